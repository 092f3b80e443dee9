//===- Driver.cpp - Fixes or checks one model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Driver.h"
#include "PythonPackage.h"

#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Proof/Proof.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Nesting.h"
#include "fqat/Support/OutputPath.h"
#include "fqat/TorchScript/Export.h"
#include "fqat/TorchScript/Import.h"
#include "fqat/TorchScript/Schemas.h"
#include "fqat/TorchScript/Verify.h"
#include "fqat/TorchScript/Zip.h"

#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <mutex>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;

namespace fqat {

/// An output that is written beside its place and renamed, so that a reader
/// sees the old file or the new one, and the input may be the output. Discarded
/// unless it is kept.
struct Driver::PendingOutput {
  explicit PendingOutput(llvm::sys::fs::TempFile temporary)
      : file(std::move(temporary)), stream(file.FD, /*shouldClose=*/false),
        archive(stream, kArchiveFolder) {}
  ~PendingOutput() {
    archive.cancel();
    stream.flush();
    stream.clear_error();
    if (!isKept)
      llvm::consumeError(file.discard());
  }

  llvm::Error keep(StringRef output) {
    llvm::Error error = file.keep(output);
    isKept = !error;
    return error;
  }

  llvm::sys::fs::TempFile file;
  OutputFile stream;
  ScratchArchive archive;
  bool isKept = false;
};

bool isIR(StringRef path) {
  StringRef extension = llvm::sys::path::extension(path);
  return extension == ".mlir" || extension == ".mlirbc";
}

ExitCode fail(raw_ostream &os, StringRef subject, const Twine &message) {
  TextPrinter(os, nullptr).print("error", Place{"", subject.str()}, message);
  return Unusable;
}

std::string getOutputPath(const Options &options, StringRef input) {
  Emit emit = options.getEmit();
  StringRef extension = emit == Emit::MLIR       ? ".mlir"
                        : emit == Emit::Bytecode ? ".mlirbc"
                        : emit == Emit::Dot      ? ".dot"
                                                 : ".pt";
  // A package is a folder itself.
  bool isFolder =
      !options.output.empty() &&
      (emit == Emit::Python ? options.inputs.size() > 1
                            : llvm::sys::fs::is_directory(options.output));
  if (!options.output.empty() && !isFolder)
    return options.output;
  if ((emit == Emit::MLIR || emit == Emit::Dot) && !isFolder &&
      options.inputs.size() == 1)
    return "-";
  SmallString<128> path(isFolder ? StringRef(options.output)
                                 : llvm::sys::path::parent_path(input));
  StringRef stem = llvm::sys::path::stem(input);
  if (emit == Emit::Python) {
    // Python imports it by this name.
    std::string name = stem.str();
    for (char &c : name)
      if (!llvm::isAlnum(c))
        c = '_';
    llvm::sys::path::append(path, name + "_fqat");
  } else {
    llvm::sys::path::append(path, stem + ".fqat" + extension);
  }
  return path.str().str();
}

Driver::~Driver() = default;

Driver::Driver(const Options &options, Suppressions &suppressions,
               raw_ostream &os, ModelReport &report)
    : options(options), suppressions(suppressions), os(os), report(report),
      input(report.input), context(MLIRContext::Threading::DISABLED),
      printer(os, [this](StringRef file) { return readSource(file); }) {
  context.loadDialect<FQATDialect>();
  context.printOpOnDiagnostic(false);
  context.getDiagEngine().registerHandler(
      [this](Diagnostic &diagnostic) { handle(diagnostic); });
}

ExitCode Driver::fail(StringRef subject, const Twine &message) {
  report.errors.push_back(Place{"", "", 0, 0, message.str()});
  return fqat::fail(os, subject, message);
}

void Driver::handle(Diagnostic &diagnostic) {
  // The check behind a fix has notes on what the fix was asked to do.
  if (diagnostic.getSeverity() == DiagnosticSeverity::Remark)
    return;
  // Messages name the instance where it matters; else the location does.
  std::string message = diagnostic.str();
  StringRef instance = getInstancePath(diagnostic.getLocation());
  std::string shown = displayPath(instance);
  if (!instance.empty() && !StringRef(message).contains(shown))
    message += " (in '" + shown + "')";
  Place place = makePlace(diagnostic.getLocation(), instance, message);
  StringRef kind = "note";
  if (diagnostic.getSeverity() == DiagnosticSeverity::Error) {
    kind = "error";
    report.errors.push_back(place);
  } else if (diagnostic.getSeverity() == DiagnosticSeverity::Warning) {
    kind = "warning";
  }
  // Of IR, the location without a line is that of the file that it came from.
  if (place.line == 0 && !place.file.empty() && isIR(input))
    place.file.clear();
  // Of several models, it must be told which.
  bool isNamed = StringRef(message).contains(input);
  if (place.file.empty() && !isNamed) {
    place.file = input;
    isNamed = true;
  }
  printer.print(kind, place, message);
  if (kind == "error" && options.inputs.size() > 1 && !isNamed)
    printer.print("note", Place{"", input}, "it is an error of this model");
  for (Diagnostic &note : diagnostic.getNotes())
    printer.print("note", makePlace(note.getLocation(), "", ""), note.str());
}

/// A source file, or code in the model's own file.
std::optional<StringRef> Driver::readSource(StringRef file) {
  auto [it, isNew] = sources.try_emplace(file);
  std::unique_ptr<std::string> &text = it->second;
  if (isNew && file.starts_with("code/")) {
    auto archive = ZipReader::open(input);
    if (!archive) {
      llvm::consumeError(archive.takeError());
      return std::nullopt;
    }
    for (const ZipEntry &entry : (*archive)->entries())
      if (StringRef(entry.name).split('/').second == file) {
        if (auto contents = (*archive)->read(entry))
          text = std::make_unique<std::string>(std::move(*contents));
        else
          llvm::consumeError(contents.takeError());
      }
  } else if (isNew) {
    // The file names what it likes: a device must not be read.
    constexpr uint64_t maxSize = 16 << 20;
    uint64_t size;
    if (llvm::sys::fs::is_regular_file(file) &&
        !llvm::sys::fs::file_size(file, size) && size <= maxSize)
      if (auto buffer = llvm::MemoryBuffer::getFile(file))
        text = std::make_unique<std::string>((*buffer)->getBuffer());
  }
  return text ? std::optional<StringRef>(*text) : std::nullopt;
}

/// Why a file cannot be IR; empty if it can. Only its beginning is looked at: a
/// wrong file may be of any size.
static std::string findNoIR(StringRef path) {
  // A pipe gives its bytes once.
  if (!llvm::sys::fs::is_regular_file(path))
    return "";
  std::array<char, 4096> begin;
  auto file = llvm::sys::fs::openNativeFileForRead(path);
  if (!file)
    return errorToErrorCode(file.takeError()).message();
  llvm::scope_exit close([&] {
    // It was only read.
    std::error_code ignored = llvm::sys::fs::closeFile(*file);
    (void)ignored;
  });
  auto size = llvm::sys::fs::readNativeFileSlice(*file, begin, 0);
  if (!size)
    return errorToErrorCode(size.takeError()).message();
  StringRef text(begin.data(), *size);
  if (text.starts_with("PK"))
    return "this is a zip archive, not MLIR; a TorchScript file is called .pt";
  bool isBytecode = text.starts_with("ML\xefR");
  if (llvm::sys::path::extension(path) == ".mlirbc" && !isBytecode)
    return "this is no MLIR bytecode";
  if (!isBytecode && text.contains('\0'))
    return "this is no text, so no MLIR";
  return "";
}

/// Whether `parse` ends, and not with a crash: a child process tries it. MLIR's
/// reader of bytecode trusts what it reads.
static bool survives(llvm::function_ref<void()> parse) {
  constexpr unsigned maxSeconds = 60;
  pid_t child = fork();
  if (child < 0)
    return true;
  if (child == 0) {
    // The handlers are the parent's, and so are the files that they remove.
    for (int signal : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGINT,
                       SIGTERM, SIGHUP, SIGALRM})
      (void)std::signal(signal, SIG_DFL);
    int null = ::open("/dev/null", O_WRONLY);
    for (int stream : {STDOUT_FILENO, STDERR_FILENO})
      (void)::dup2(null, stream);
    (void)::alarm(maxSeconds);
    parse();
    ::_exit(0);
  }
  int status;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return true;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

OwningOpRef<mlir::ModuleOp> Driver::readIR() {
  std::string message = findNoIR(input);
  std::unique_ptr<llvm::MemoryBuffer> buffer;
  // The blobs of bytecode stay in the buffer, aligned as they were.
  if (message.empty())
    buffer = openInputFile(input, llvm::Align(64), &message);
  if (!buffer) {
    fail(input, message);
    return nullptr;
  }
  bool isCode = isBytecode(*buffer);
  if (!isCode)
    if (llvm::Error error =
            checkNesting(buffer->getBuffer(), /*hasComments=*/true)) {
      fail(input, llvm::toString(std::move(error)));
      return nullptr;
    }
  auto sources = std::make_shared<llvm::SourceMgr>();
  sources->AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  OwningOpRef<mlir::ModuleOp> model;
  auto parse = [&] {
    model = parseSourceFile<mlir::ModuleOp>(sources, ParserConfig(&context));
  };
  if (isCode && !survives(parse)) {
    fail(input, "the bytecode is damaged");
    return nullptr;
  }
  parse();
  if (!model || failed(checkModel(*model)))
    return nullptr;
  return model;
}

OwningOpRef<mlir::ModuleOp> Driver::read() {
  if (isIR(input))
    return readIR();
  return importTorchScript(input, &context, options.pipeline.nopName, &phases,
                           pending ? &pending->archive.weights : nullptr);
}

ExitCode Driver::runPasses(mlir::ModuleOp model) {
  PassManager manager(&context);
  // A pass that makes invalid IR is our fault, not the user's: told apart
  // below.
  manager.enableVerifier(false);
  if (!options.passPipeline.empty()) {
    FailureOr<OpPassManager> parsed =
        parsePassPipeline(options.passPipeline, os);
    if (failed(parsed))
      return Unusable;
    if (parsed->getOpAnchorName() != mlir::ModuleOp::getOperationName())
      return fail("--pass-pipeline", "the pipeline must start with "
                                     "'builtin.module(...)'");
    static_cast<OpPassManager &>(manager) = std::move(*parsed);
  } else if (!options.check) {
    buildFixPipeline(manager, options.pipeline);
  }
  if (options.check || !options.passPipeline.empty())
    addAssignBits(manager, options.pipeline);
  addChangeReader(manager, log);
  if (failed(manager.run(model)))
    return NotMet;
  if (failed(verify(model)))
    return Internal;
  return Done;
}

FailureOr<AnchorSet> Driver::getAnchors(mlir::ModuleOp model) {
  return AnchorSet::create(model, options.pipeline.anchors,
                           options.pipeline.exclude);
}

/// Finds, and in a check prints, what breaks the rules.
ExitCode Driver::find(mlir::ModuleOp model) {
  FailureOr<AnchorSet> anchors = getAnchors(model);
  if (failed(anchors))
    return Unusable;
  FailureOr<std::vector<Finding>> findings =
      findBrokenRules(model, *anchors, options.pipeline.nopName);
  if (failed(findings))
    return options.check ? Found : NotMet;
  if (options.drawsModels())
    report.before = draw(model);
  report.setFindings(*findings);
  suppressions.apply(report);
  if (!options.check)
    return Done;
  for (const ReportedFinding &finding : report.findings)
    if (finding.suppression == ReportedFinding::None &&
        (!options.quiet || finding.severity == Severity::Error))
      printer.print(finding);
  return report.count(Severity::Error) != 0 ? Found : Done;
}

FailureOr<RunGraph> Driver::draw(mlir::ModuleOp model) {
  FailureOr<AnchorSet> anchors = getAnchors(model);
  if (failed(anchors))
    return failure();
  return RunGraph::create(model, *anchors);
}

ExitCode Driver::writeTo(mlir::ModuleOp model, raw_ostream &stream,
                         ScratchArchive *scratch) {
  if (options.getEmit() == Emit::TorchScript) {
    ExitCode code = Unusable;
    auto check = [&](mlir::ModuleOp seen) {
      code = prove(seen);
      return success(code == Done);
    };
    ExportCheck proof = options.noProof ? nullptr : ExportCheck(check);
    StringRef nopName = options.pipeline.nopName;
    if (succeeded(
            scratch
                ? exportTorchScript(model, *scratch, nopName, proof, &phases)
                : exportTorchScript(model, stream, nopName, proof, &phases)))
      return Done;
    return code == NotProved ? NotProved : Unusable;
  }
  if (options.getEmit() == Emit::Dot) {
    FailureOr<RunGraph> graph = draw(model);
    if (failed(graph))
      return NotMet;
    writeDot(*graph, llvm::sys::path::filename(input), stream);
    return Done;
  }
  if (options.getEmit() == Emit::Bytecode) {
    BytecodeWriterConfig config;
    config.setElideResourceDataFlag(options.elideWeights);
    return succeeded(writeBytecodeToFile(model, stream, config)) ? Done
                                                                 : Internal;
  }
  OpPrintingFlags flags;
  if (options.elideWeights) {
    // For people: the lines that a file needs to be whole are left out too.
    flags.elideLargeElementsAttrs(16);
    flags.elideLargeResourceString(64);
  } else {
    flags.enableDebugInfo(/*enable=*/true);
  }
  model->print(stream, flags);
  stream << '\n';
  return Done;
}

ExitCode Driver::openOutput(StringRef output) {
  OutputPath place = OutputPath::resolve(output);
  if (place.error)
    return fail(output, place.error.message());
  auto file = llvm::sys::fs::TempFile::create(place.getTemporaryPattern());
  if (!file)
    return fail(output, llvm::toString(file.takeError()));
  pending = std::make_unique<PendingOutput>(std::move(*file));
  return Done;
}

ExitCode Driver::writePython(mlir::ModuleOp model, StringRef output) {
  if (output == "-")
    return fail("-o -", "a Python package is a folder: name one");
  FailureOr<AnchorSet> anchors = getAnchors(model);
  if (failed(anchors))
    return Unusable;
  OperatorSchemas schemas;
  FailureOr<PythonModel> python =
      emitPython(model, *anchors, options.pipeline.nopName,
                 llvm::sys::path::filename(input),
                 [&](StringRef name, StringRef overload) {
                   return schemas.lookup(name, overload);
                 });
  if (failed(python))
    return NotMet;
  if (llvm::Error error = writePythonPackage(*python, model, output)) {
    std::string message = llvm::toString(std::move(error));
    return message.empty() ? Unusable : fail(output, message);
  }
  return Done;
}

ExitCode Driver::write(mlir::ModuleOp model, StringRef output) {
  if (options.getEmit() == Emit::Python)
    return writePython(model, output);
  OutputPath place = OutputPath::resolve(output);
  if (place.isSpecial) {
    std::error_code error;
    llvm::raw_fd_ostream stream(place.path, error);
    if (error)
      return fail(output, error.message());
    ExitCode code = writeTo(model, stream, /*scratch=*/nullptr);
    stream.flush();
    if (stream.has_error()) {
      std::string message = stream.error().message();
      stream.clear_error();
      return fail(output == "-" ? "standard output" : output, message);
    }
    return code;
  }
  if (!pending)
    if (ExitCode code = openOutput(output); code != Done)
      return code;
  if (ExitCode code = writeTo(model, pending->stream, &pending->archive);
      code != Done)
    return code;
  if (std::error_code error = pending->stream.finish())
    return fail(output, error.message());
  if (options.verify)
    if (ExitCode code = verifyFile(pending->file.TmpName); code != Done)
      return code;
  if (llvm::Error renamed = pending->keep(place.path))
    return fail(output, llvm::toString(std::move(renamed)));
  return Done;
}

void Driver::summariseCheck() {
  os << input << ": ";
  printCounts(report, "no findings", os);
  os << '\n';
}

void Driver::summariseFix(double seconds) {
  static constexpr std::pair<Change::Kind, StringLiteral> always[] = {
      {Change::Nop, "out_nops put in"},
      {Change::Clone, "instances cloned"},
      {Change::Twin, "twins put to use"},
      {Change::Move, "ops moved"}};
  static constexpr std::pair<Change::Kind, StringLiteral> sometimes[] = {
      {Change::Husk, "calls of husks removed"},
      {Change::Rename, "methods renamed"},
      {Change::List, "list() replaced"},
      {Change::Loop, "loops unrolled"},
      {Change::Function, "functions inlined"},
      {Change::Write, "writes made out of place"}};
  os << input << ": " << report.anchors << " anchors, " << report.crossingValues
     << " crossing values";
  StringRef separator = "; ";
  for (auto [kind, words] : always) {
    os << separator << log.count(kind) << ' ' << words;
    separator = ", ";
  }
  for (auto [kind, words] : sometimes)
    if (log.count(kind) != 0)
      os << ", " << log.count(kind) << ' ' << words;
  os << "; " << llvm::format("%.2f", seconds) << " s\n";
  if (!report.output.empty() && report.output != "-")
    os << "wrote " << report.output << '\n';
}

ExitCode Driver::prove(mlir::ModuleOp model) {
  report.proved = succeeded(
      proveEqual(*original, model, options.pipeline.cloneParams == "share"));
  phases.end("proof");
  return *report.proved ? Done : NotProved;
}

ExitCode Driver::verifyFile(const std::string &path) {
  // What was written, as a reader will see it.
  OwningOpRef<mlir::ModuleOp> written =
      importTorchScript(path, &context, options.pipeline.nopName);
  if (!written)
    return Internal;
  if (!options.noProof)
    if (ExitCode code = prove(*written); code != Done)
      return code;
  std::string tracedInputs;
  for (auto record : original->getOps<RecordOp>())
    if (record.getName() == "traced_inputs.pkl")
      if (auto bytes = getBytes(record.getBytes()))
        tracedInputs.assign(bytes->begin(), bytes->end());
  // Torch's random state is one for all threads.
  static std::mutex running;
  std::scoped_lock<std::mutex> lock(running);
  auto comparison =
      compareRuns(input, path, options.verifyInputs, tracedInputs);
  if (!comparison)
    return fail("--verify", llvm::toString(comparison.takeError()));
  if (!comparison->originalFailure.empty()) {
    std::string why = "the original itself fails on these inputs: " +
                      comparison->originalFailure;
    if (!options.verifyInputs.empty())
      return fail(options.verifyInputs, why);
    printer.print("warning", makePlace(UnknownLoc::get(&context), "", ""),
                  input + ": not verified: " + why);
    return Done;
  }
  if (comparison->difference.empty())
    return Done;
  fail(input, "the fixed model computes something else: " +
                  comparison->difference + "; nothing was written");
  return NotProved;
}

void Driver::discardOutput() { pending.reset(); }

ExitCode Driver::run() {
  ExitCode code = runSteps();
  discardOutput();
  report.exitCode = code;
  if (options.verbose)
    for (auto [name, seconds] : phases.getSteps())
      os << input << ": " << name << ": " << llvm::format("%.3f", seconds)
         << " s\n";
  return code;
}

ExitCode Driver::runSteps() {
  Emit emit = options.getEmit();
  std::string output = getOutputPath(options, input);
  bool isSpecial = OutputPath::resolve(output).isSpecial;
  if (options.verify && (emit != Emit::TorchScript || isSpecial || isIR(input)))
    return fail("--verify", "both models are run, so that the input and the "
                            "output must be TorchScript files");
  // Most weights will be what they are, where they are.
  if (options.writesModel() && emit == Emit::TorchScript && !isSpecial)
    if (ExitCode code = openOutput(output); code != Done)
      return code;
  OwningOpRef<mlir::ModuleOp> model = read();
  if (!model)
    return Unusable;
  phases.end("import");
  bool isProved = options.writesModel() && !options.noProof;
  if (isProved || options.verify) {
    // The copy lies in one piece, in the order in which the passes walk it.
    original = std::move(model);
    model = original->clone();
    phases.end("copy");
  }
  // What is to be fixed is looked at before, if anyone wants to know.
  if (!options.check && !options.reports.empty())
    if (ExitCode code = find(*model); code != Done)
      return code;
  if (!options.check || !options.passPipeline.empty() ||
      !options.pipeline.bits.empty()) {
    ExitCode code = runPasses(*model);
    phases.end("passes");
    if (code != Done)
      return code;
    report.setChanges(log);
    if (options.drawsModels() && !options.check)
      report.after = draw(*model);
  }
  report.setLayers(*model);
  ExitCode found = Done;
  if (options.check) {
    found = find(*model);
    phases.end("check");
    if (found > Found)
      return found;
  }
  // Of a TorchScript file, what its reader will see is proved: see writeTo.
  if (isProved && emit != Emit::TorchScript) {
    ExitCode code = prove(*model);
    if (code != Done)
      return code;
  }
  if (options.writesModel()) {
    ExitCode code = write(*model, output);
    phases.end("write");
    if (code != Done)
      return code;
    report.output = std::move(output);
  }
  if (!options.quiet) {
    if (options.check)
      summariseCheck();
    else
      summariseFix(phases.getTotal());
  }
  return found;
}

} // namespace fqat
