//===- fqat-opt.cpp - Fixes TorchScript models for fixed-point training -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Pipeline/Pipeline.h"
#include "fqat/Proof/Proof.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/TorchScript/Export.h"
#include "fqat/TorchScript/Import.h"
#include "fqat/TorchScript/Verify.h"

#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include <CLI/CLI.hpp>

#include <chrono>
#include <unistd.h>

using namespace mlir;
using fqat::ChangeCounts;
using fqat::PipelineOptions;

namespace {

/// What the program returns to its caller.
enum ExitCode : int {
  Done = 0,
  Found = 1,
  Unusable = 2,
  NotMet = 3,
  NotProved = 4,
  Internal = 70,
};

enum class Emit { TorchScript, MLIR, Bytecode, None };

struct Options {
  std::vector<std::string> inputs;
  std::string output;
  bool check = false;
  bool quiet = false;
  bool verbose = false;
  bool elideWeights = false;
  bool noProof = false;
  bool verify = false;
  std::string verifyInputs;
  std::optional<Emit> emit;
  std::string passPipeline;
  std::vector<std::string> operatorLibraries;
  PipelineOptions pipeline;
};

/// Seconds since the last question.
class Clock {
public:
  double lap() {
    auto now = std::chrono::steady_clock::now();
    std::chrono::duration<double> elapsed = now - last;
    last = now;
    return elapsed.count();
  }

private:
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

/// Prints diagnostics as compilers do: `FILE:LINE: error: what`.
class DiagnosticPrinter {
public:
  explicit DiagnosticPrinter(MLIRContext *context)
      : handler(context, [](Diagnostic &diag) {
          print(diag);
          return success();
        }) {}

private:
  static void printLine(Location loc, StringRef kind, const Twine &message) {
    if (FileLineColLoc position = fqat::getPosition(loc)) {
      llvm::errs() << position.getFilename().getValue();
      if (position.getLine() != 0)
        llvm::errs() << ':' << position.getLine();
      llvm::errs() << ": ";
    }
    llvm::errs() << kind << ": " << message << '\n';
  }

  static void print(Diagnostic &diag) {
    StringRef kind = diag.getSeverity() == DiagnosticSeverity::Error ? "error"
                     : diag.getSeverity() == DiagnosticSeverity::Warning
                         ? "warning"
                         : "note";
    std::string message = diag.str();
    // Messages name the instance where it matters; else the location does.
    StringRef instance = fqat::getInstancePath(diag.getLocation());
    std::string shown = "'" + fqat::displayPath(instance);
    if (!instance.empty() && !StringRef(message).contains(shown))
      message += " (in " + shown + "')";
    printLine(diag.getLocation(), kind, message);
    for (Diagnostic &note : diag.getNotes())
      printLine(note.getLocation(), "note", note.str());
  }

  ScopedDiagnosticHandler handler;
};

/// Fixes or checks one file.
class Driver {
public:
  Driver(const Options &options, MLIRContext &context)
      : options(options), context(context) {}

  ExitCode run(const std::string &input);

private:
  ExitCode prove(mlir::ModuleOp model);
  ExitCode verifyFile(const std::string &path);
  OwningOpRef<mlir::ModuleOp> read(const std::string &input);
  ExitCode runPasses(mlir::ModuleOp model, ChangeCounts &counts);
  ExitCode write(mlir::ModuleOp model, StringRef output);
  ExitCode writeTo(mlir::ModuleOp model, raw_ostream &os);
  std::string getOutput(StringRef input) const;
  Emit getEmit() const;
  void summarise(StringRef input, StringRef output, const ChangeCounts &counts,
                 double seconds);

  const Options &options;
  MLIRContext &context;
  std::string input;
  /// The model as it was read: the passes change it in place.
  OwningOpRef<mlir::ModuleOp> original;
};

} // namespace

static ExitCode fail(StringRef subject, const Twine &message) {
  llvm::errs() << subject << ": error: " << message << '\n';
  return Unusable;
}

OwningOpRef<mlir::ModuleOp> Driver::read(const std::string &input) {
  StringRef extension = llvm::sys::path::extension(input);
  if (extension == ".mlir" || extension == ".mlirbc") {
    // The blobs of bytecode stay in the buffer, aligned as they were.
    std::string message;
    auto buffer = openInputFile(input, llvm::Align(64), &message);
    if (!buffer) {
      fail(input, message);
      return nullptr;
    }
    auto sources = std::make_shared<llvm::SourceMgr>();
    sources->AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
    auto model =
        parseSourceFile<mlir::ModuleOp>(sources, ParserConfig(&context));
    if (!model || failed(fqat::checkModel(*model)))
      return nullptr;
    return model;
  }
  return fqat::importTorchScript(input, &context, options.pipeline.nopName);
}

Emit Driver::getEmit() const {
  if (options.emit)
    return *options.emit;
  if (options.check)
    return Emit::None;
  StringRef extension = llvm::sys::path::extension(options.output);
  return extension == ".mlir"     ? Emit::MLIR
         : extension == ".mlirbc" ? Emit::Bytecode
                                  : Emit::TorchScript;
}

std::string Driver::getOutput(StringRef input) const {
  Emit emit = getEmit();
  StringRef extension = emit == Emit::MLIR       ? ".mlir"
                        : emit == Emit::Bytecode ? ".mlirbc"
                                                 : ".pt";
  std::string name = (llvm::sys::path::stem(input) + ".fqat" + extension).str();
  if (options.inputs.size() > 1 ||
      (!options.output.empty() &&
       llvm::sys::fs::is_directory(options.output))) {
    SmallString<128> path(options.output);
    llvm::sys::path::append(path, name);
    return path.str().str();
  }
  if (!options.output.empty())
    return options.output;
  if (emit == Emit::MLIR)
    return "-";
  SmallString<128> path(llvm::sys::path::parent_path(input));
  llvm::sys::path::append(path, name);
  return path.str().str();
}

ExitCode Driver::runPasses(mlir::ModuleOp model, ChangeCounts &counts) {
  PassManager manager(&context);
  // A pass that makes invalid IR is our fault, not the user's: told apart
  // below.
  manager.enableVerifier(false);
  if (!options.passPipeline.empty()) {
    FailureOr<OpPassManager> parsed =
        parsePassPipeline(options.passPipeline, llvm::errs());
    if (failed(parsed))
      return Unusable;
    if (parsed->getOpAnchorName() != mlir::ModuleOp::getOperationName())
      return fail("--pass-pipeline", "the pipeline must start with "
                                     "'builtin.module(...)'");
    static_cast<OpPassManager &>(manager) = std::move(*parsed);
  } else if (options.check) {
    fqat::buildCheckPipeline(manager, options.pipeline);
  } else {
    fqat::buildFixPipeline(manager, options.pipeline);
  }
  fqat::addCountReader(manager, counts);
  if (failed(manager.run(model)))
    return options.check ? Found : NotMet;
  if (failed(verify(model)))
    return Internal;
  return Done;
}

ExitCode Driver::writeTo(mlir::ModuleOp model, raw_ostream &os) {
  if (getEmit() == Emit::TorchScript) {
    ExitCode code = Unusable;
    auto check = [&](mlir::ModuleOp seen) {
      code = prove(seen);
      return success(code == Done);
    };
    bool isProved = !options.noProof;
    if (succeeded(fqat::exportTorchScript(model, os, options.pipeline.nopName,
                                          isProved ? fqat::ExportCheck(check)
                                                   : nullptr)))
      return Done;
    return code == NotProved ? NotProved : Unusable;
  }
  if (getEmit() == Emit::Bytecode) {
    BytecodeWriterConfig config;
    config.setElideResourceDataFlag(options.elideWeights);
    return succeeded(writeBytecodeToFile(model, os, config)) ? Done : Internal;
  }
  OpPrintingFlags flags;
  if (options.elideWeights) {
    // For people: the lines that a file needs to be whole are left out too.
    flags.elideLargeElementsAttrs(16);
    flags.elideLargeResourceString(64);
  } else {
    flags.enableDebugInfo(/*enable=*/true);
  }
  model->print(os, flags);
  os << '\n';
  return Done;
}

ExitCode Driver::write(mlir::ModuleOp model, StringRef output) {
  if (output == "-") {
    llvm::raw_fd_ostream os(STDOUT_FILENO, /*shouldClose=*/false);
    ExitCode code = writeTo(model, os);
    os.flush();
    if (os.has_error()) {
      std::string message = os.error().message();
      os.clear_error();
      return fail("standard output", message);
    }
    return code;
  }
  // Written beside the output and renamed, so that a reader sees the old file
  // or the new one, and the input may be the output.
  auto file = llvm::sys::fs::TempFile::create(output + ".%%%%%%.tmp");
  if (!file)
    return fail(output, llvm::toString(file.takeError()));
  ExitCode code;
  std::error_code error;
  {
    llvm::raw_fd_ostream os(file->FD, /*shouldClose=*/false);
    code = writeTo(model, os);
    os.flush();
    error = os.error();
    os.clear_error();
  }
  if (!error && code == Done && fsync(file->FD) != 0)
    error = std::error_code(errno, std::generic_category());
  if (!error && code == Done && options.verify)
    code = verifyFile(file->TmpName);
  if (error || code != Done) {
    llvm::consumeError(file->discard());
    return error ? fail(output, error.message()) : code;
  }
  if (llvm::Error renamed = file->keep(output)) {
    llvm::consumeError(file->discard());
    return fail(output, llvm::toString(std::move(renamed)));
  }
  return Done;
}

void Driver::summarise(StringRef input, StringRef output,
                       const ChangeCounts &counts, double seconds) {
  llvm::errs() << input << ": " << counts.anchors << " anchors, "
               << counts.crossingValues << " crossing values; "
               << counts.nopsInserted << " out_nops put in, "
               << counts.instancesCloned << " instances cloned, "
               << counts.twinsUsed << " twins put to use, " << counts.opsMoved
               << " ops moved";
  if (counts.husksRemoved != 0)
    llvm::errs() << ", " << counts.husksRemoved << " calls of husks removed";
  if (counts.methodsRenamed != 0)
    llvm::errs() << ", " << counts.methodsRenamed << " methods renamed";
  if (counts.listsLowered != 0)
    llvm::errs() << ", " << counts.listsLowered << " list() replaced";
  if (counts.loopsUnrolled != 0)
    llvm::errs() << ", " << counts.loopsUnrolled << " loops unrolled";
  if (counts.functionsInlined != 0)
    llvm::errs() << ", " << counts.functionsInlined << " functions inlined";
  llvm::errs() << "; " << llvm::format("%.2f", seconds) << " s\n";
  if (!output.empty() && output != "-")
    llvm::errs() << "wrote " << output << '\n';
}

ExitCode Driver::prove(mlir::ModuleOp model) {
  return succeeded(fqat::proveEqual(*original, model,
                                    options.pipeline.cloneParams == "share"))
             ? Done
             : NotProved;
}

ExitCode Driver::verifyFile(const std::string &path) {
  // What was written, as a reader will see it.
  OwningOpRef<mlir::ModuleOp> written =
      fqat::importTorchScript(path, &context, options.pipeline.nopName);
  if (!written)
    return Internal;
  if (!options.noProof)
    if (ExitCode code = prove(*written); code != Done)
      return code;
  std::string tracedInputs;
  for (auto record : original->getOps<fqat::RecordOp>())
    if (record.getName() == "traced_inputs.pkl")
      if (auto bytes = dyn_cast<DenseResourceElementsAttr>(record.getBytes()))
        if (AsmResourceBlob *blob = bytes.getRawHandle().getBlob())
          tracedInputs.assign(blob->getData().begin(), blob->getData().end());
  auto comparison =
      fqat::compareRuns(input, path, options.verifyInputs, tracedInputs);
  if (!comparison)
    return fail("--verify", llvm::toString(comparison.takeError()));
  if (!comparison->originalFailure.empty()) {
    llvm::errs() << input
                 << ": warning: not verified: the original itself fails on "
                    "these inputs: "
                 << comparison->originalFailure << '\n';
    return Done;
  }
  if (comparison->difference.empty())
    return Done;
  fail(input, "the fixed model computes something else: " +
                  comparison->difference + "; nothing was written");
  return NotProved;
}

ExitCode Driver::run(const std::string &path) {
  input = path;
  StringRef extension = llvm::sys::path::extension(path);
  if (options.verify &&
      (getEmit() != Emit::TorchScript || getOutput(path) == "-" ||
       extension == ".mlir" || extension == ".mlirbc"))
    return fail("--verify", "both models are run, so that the input and the "
                            "output must be TorchScript files");
  Clock total, phase;
  auto report = [&](StringRef what) {
    if (options.verbose)
      llvm::errs() << input << ": " << what << ": "
                   << llvm::format("%.3f", phase.lap()) << " s\n";
  };
  OwningOpRef<mlir::ModuleOp> model = read(input);
  if (!model)
    return Unusable;
  report("import");
  bool isProved = getEmit() != Emit::None && !options.noProof;
  if (isProved || options.verify)
    original = model->clone();
  ChangeCounts counts(*model);
  ExitCode code = runPasses(*model, counts);
  report("passes");
  if (code != Done)
    return code;
  // Of a TorchScript file, what its reader will see is proved: see writeTo.
  if (isProved && getEmit() != Emit::TorchScript) {
    code = prove(*model);
    report("proof");
    if (code != Done)
      return code;
  }
  std::string output;
  if (getEmit() != Emit::None) {
    output = getOutput(input);
    code = write(*model, output);
    bool isBoth = isProved && getEmit() == Emit::TorchScript;
    report(isBoth ? "export and proof" : "export");
    if (code != Done)
      return code;
  }
  if (!options.quiet) {
    if (options.check)
      llvm::errs() << input << ": no findings\n";
    else
      summarise(input, output, counts, total.lap());
  }
  return Done;
}

static std::string getVersion() {
  return llvm::formatv("fqat-opt {0} (MLIR {1}, libtorch {2})", FQAT_VERSION,
                       LLVM_VERSION_STRING, fqat::getTorchVersion())
      .str();
}

/// Declares the command line. Its words are those of the design.
static void declareOptions(CLI::App &app, Options &options) {
  app.add_option("INPUT", options.inputs,
                 "TorchScript files (.pt), or models as .mlir or .mlirbc")
      ->required();
  app.add_option("-o,--output", options.output,
                 "Output file, or folder for several inputs "
                 "(default: NAME.fqat.pt beside the input)");
  app.add_flag("--check", options.check,
               "Report what breaks the rules, write nothing");
  static const std::map<std::string, Emit> emits = {
      {"torchscript", Emit::TorchScript},
      {"mlir", Emit::MLIR},
      {"bytecode", Emit::Bytecode},
      {"none", Emit::None}};
  app.add_option("--emit", options.emit,
                 "What to write: torchscript, mlir (to standard output "
                 "without -o), bytecode or none (default: by the extension of "
                 "-o)")
      ->transform(CLI::CheckedTransformer(emits).description(""));
  app.add_flag("--no-prove", options.noProof,
               "Write without showing that the fixed model computes the same "
               "bits");
  app.add_flag("--verify{}", options.verifyInputs,
               "Also prove what was written, read again, and run both models "
               "and compare the bits: on INPUTS.pt (--verify=INPUTS.pt, a "
               "tuple saved by torch.save), or on random inputs of the sizes "
               "that the model was traced with");
  app.add_flag("--elide-weights", options.elideWeights,
               "Leave big weights and source lines out of .mlir, for reading");
  app.add_option("--pass-pipeline", options.passPipeline,
                 "Own choice and order of passes: 'builtin.module(...)'");
  app.add_option("--anchors", options.pipeline.anchors,
                 "Op families that are layers (default: conv,linear)")
      ->delimiter(',')
      ->check(CLI::IsMember({"conv", "linear"}).description(""));
  app.add_option("--exclude", options.pipeline.exclude,
                 "Globs of instances, and what is below them, whose ops are "
                 "no layers; * crosses dots")
      ->delimiter(',');
  app.add_option("--nop-name", options.pipeline.nopName,
                 "Attribute name of an out_nop")
      ->capture_default_str();
  app.add_option("--nop-instances", options.pipeline.nopInstances,
                 "each: every crossing value has an out_nop of its own; owner: "
                 "those of one module share one")
      ->check(CLI::IsMember({"each", "owner"}).description(""))
      ->capture_default_str();
  app.add_option("--clone-params", options.pipeline.cloneParams,
                 "copy: each clone has parameters of its own; share: they "
                 "stay tied")
      ->check(CLI::IsMember({"copy", "share"}).description(""))
      ->capture_default_str();
  app.add_option("--load-op-library", options.operatorLibraries,
                 "Library with the model's custom operators (LIB.so); may be "
                 "given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("-q,--quiet", options.quiet, "Print errors only");
  app.add_flag("-v,--verbose", options.verbose, "Print times of the phases");
  app.set_version_flag("--version", getVersion());
  app.footer("Exit codes: 0 done, or --check found nothing; 1 --check found "
             "something;\n2 usage, or a file that cannot be read or written; "
             "3 a rule cannot be met; 4 not shown to compute the same;\n"
             "70 internal error. Unless it is 0, "
             "nothing is written.");
}

static int runMain(int argc, char **argv) {
  Options options;
  CLI::App app("Fixes TorchScript models for fixed-point quantisation-aware "
               "training.",
               "fqat-opt");
  declareOptions(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? Done : Unusable;
  }
  options.verify = app.count("--verify") != 0;
  if (options.inputs.size() > 1 && !options.output.empty() &&
      !llvm::sys::fs::is_directory(options.output))
    return fail(options.output, "several inputs need a folder as output");
  auto anchors = fqat::AnchorSet::create(options.pipeline.anchors,
                                         options.pipeline.exclude);
  if (!anchors)
    return fail("--exclude", llvm::toString(anchors.takeError()));

  for (const std::string &library : options.operatorLibraries)
    if (llvm::Error error = fqat::loadOperatorLibrary(library))
      return fail(library, llvm::toString(std::move(error)));

  fqat::registerPipelines();
  // The worst of what the files gave.
  int worst = Done;
  for (const std::string &input : options.inputs) {
    MLIRContext context(MLIRContext::Threading::DISABLED);
    context.loadDialect<fqat::FQATDialect>();
    context.printOpOnDiagnostic(false);
    DiagnosticPrinter printer(&context);
    worst = std::max<int>(worst, Driver(options, context).run(input));
  }
  return worst;
}

int main(int argc, char **argv) {
  llvm::sys::PrintStackTraceOnErrorSignal(argv[0]);
  try {
    return runMain(argc, argv);
  } catch (const std::exception &error) {
    llvm::errs() << "fqat-opt: internal error: " << error.what() << '\n';
    return Internal;
  }
}
