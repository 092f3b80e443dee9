//===- fqat-opt.cpp - Fixes TorchScript models for fixed-point training -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Driver.h"
#include "Manual.h"
#include "Options.h"

#include "fqat/Pipeline/Pipeline.h"
#include "fqat/TorchScript/Import.h"
#include "fqat/TorchScript/Zip.h"
#include "fqat/Transforms/BitWidths.h"

#include "mlir/Support/FileUtilities.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/raw_ostream.h"
#include <CLI/CLI.hpp>
#ifdef FQAT_ENABLE_MIMALLOC
#include <mimalloc.h>
#endif

#include <csignal>
#include <mutex>

using namespace llvm;
using namespace fqat;

static ExitCode fail(StringRef subject, const Twine &message) {
  return fail(errs(), subject, message);
}

/// Whether a file is a model by its contents: folders hold other archives too.
static bool isTorchScript(StringRef path) {
  auto archive = ZipReader::open(path);
  if (!archive) {
    consumeError(archive.takeError());
    return false;
  }
  return any_of((*archive)->entries(), [](const ZipEntry &entry) {
    return StringRef(entry.name).ends_with("/constants.pkl");
  });
}

/// Adds the models in a folder and below it, by name. What a fix has written is
/// none where something is to be fixed.
static Error collectModels(const Options &options, StringRef folder,
                           std::vector<std::string> &inputs,
                           unsigned &numSkipped) {
  std::vector<std::string> found;
  std::error_code error;
  for (sys::fs::recursive_directory_iterator it(folder, error), end;
       it != end && !error; it.increment(error)) {
    StringRef path = it->path();
    StringRef extension = sys::path::extension(path);
    bool isArchive = extension == ".pt";
    if ((!isArchive && extension != ".mlir" && extension != ".mlirbc") ||
        (!options.check && sys::path::stem(path).ends_with(".fqat")))
      continue;
    if (isArchive && !isTorchScript(path))
      ++numSkipped;
    else
      found.push_back(path.str());
  }
  if (error)
    return createStringError(error, error.message());
  if (found.empty())
    return createStringError("there is no model in this folder");
  sort(found);
  append_range(inputs, found);
  return Error::success();
}

namespace {

/// Runs the driver on all inputs, several at a time, and prints what each has
/// to say in the order of the inputs.
class Session {
public:
  Session(const Options &options, Suppressions &suppressions)
      : options(options), suppressions(suppressions) {
    report.version = FQAT_VERSION;
    report.models.resize(options.inputs.size());
    for (auto [model, input] : zip(report.models, options.inputs))
      model.input = input;
    texts.resize(options.inputs.size());
  }

  void run();
  const Report &getReport() const { return report; }

private:
  void runOne(size_t index, raw_ostream &os);
  void finish(size_t index, std::string text);
  void showProgress();
  void hideProgress();

  const Options &options;
  Suppressions &suppressions;
  Report report;
  std::mutex mutex;
  std::vector<std::optional<std::string>> texts;
  size_t numPrinted = 0, numDone = 0;
};

} // namespace

void Session::runOne(size_t index, raw_ostream &os) {
  ModelReport &model = report.models[index];
  try {
    Driver(options, suppressions, os, model).run();
  } catch (const std::exception &error) {
    os << model.input << ": internal error: " << error.what() << '\n';
    model.exitCode = Internal;
  }
}

void Session::showProgress() {
  if (options.progress && numDone != texts.size())
    errs() << formatv("\r[{0}/{1}] ", numDone, texts.size());
}

void Session::hideProgress() {
  if (options.progress)
    errs() << "\r" << std::string(24, ' ') << "\r";
}

void Session::finish(size_t index, std::string text) {
  std::scoped_lock<std::mutex> lock(mutex);
  texts[index] = std::move(text);
  ++numDone;
  hideProgress();
  for (; numPrinted != texts.size() && texts[numPrinted]; ++numPrinted)
    errs() << *std::exchange(texts[numPrinted], std::string());
  showProgress();
}

void Session::run() {
  if (texts.size() == 1)
    return runOne(0, errs());
  showProgress();
  // Large models are few: what matters is that no more run than have room.
  DefaultThreadPool pool(hardware_concurrency(options.numJobs));
  for (size_t i = 0; i != texts.size(); ++i)
    pool.async([this, i] {
      std::string text;
      raw_string_ostream os(text);
      os.enable_colors(errs().colors_enabled());
      runOne(i, os);
      finish(i, std::move(text));
    });
  pool.wait();
}

static ExitCode writeReport(const Report &report, StringRef path) {
  std::string message;
  auto file = mlir::openOutputFile(path, &message);
  if (!file)
    return fail(path, message);
  StringRef extension = sys::path::extension(path);
  SmallString<128> folder;
  if (extension == ".html")
    writeHTML(report, file->os());
  else if (extension == ".sarif" && !sys::fs::current_path(folder))
    writeSARIF(report, folder, file->os());
  else
    writeJSON(report, file->os());
  file->os().flush();
  if (file->os().has_error()) {
    message = file->os().error().message();
    file->os().clear_error();
    return fail(path, message);
  }
  file->keep();
  return Done;
}

/// What can be said of the command line before any model is read.
static ExitCode checkOptions(const Options &options) {
  bool isFolder = sys::fs::is_directory(options.output);
  if (options.inputs.size() > 1 && !options.output.empty() && !isFolder)
    return fail(options.output, "several inputs need a folder as output");
  if (!options.emit && sys::path::extension(options.output) == ".py")
    return fail(options.output,
                "a Python package is a folder: --emit=python -o DIR");
  StringSet<> outputs;
  if (options.writesModel() && options.inputs.size() > 1)
    for (const std::string &input : options.inputs)
      if (std::string path = getOutputPath(options, input);
          !outputs.insert(path).second)
        return fail(input, "another input would be written to '" + path +
                               "' too: fix them one by one");
  for (StringRef path : options.reports)
    if (StringRef extension = sys::path::extension(path);
        extension != ".json" && extension != ".sarif" && extension != ".html")
      return fail(path, "a report is a .json, .sarif or .html file");
  return Done;
}

/// Whether a file of bit widths is right; says what is wrong, with the line.
static bool areBitsReadable(const std::string &path) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/true);
  TextPrinter printer(errs(), [&](StringRef) -> std::optional<StringRef> {
    if (!buffer)
      return std::nullopt;
    return (*buffer)->getBuffer();
  });
  return succeeded(readBitPatterns(
      path, [&](unsigned line, unsigned column, const Twine &message) {
        printer.print("error", Place{"", path, line, column}, message);
      }));
}

static int runMain(int argc, char **argv) {
  Options options;
  CLI::App app("Fixes TorchScript models for fixed-point quantisation-aware "
               "training.",
               "fqat-opt");
  declareOptions(app, options);
  try {
    app.parse(argc, argv);
    bool isManual = !options.explained.empty() || !options.completion.empty() ||
                    options.manPage;
    if (options.inputs.empty() && !isManual)
      throw CLI::RequiredError("INPUT");
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? Done : Unusable;
  }
  options.verify = app.count("--verify") != 0;
  // What is written as Python is going to be trained.
  options.pipeline.functionalize |= options.getEmit() == Emit::Python;
  bool isTerminal = sys::Process::StandardErrIsDisplayed();
  errs().enable_colors(options.color == "always" ||
                       (options.color == "auto" && isTerminal &&
                        sys::Process::StandardErrHasColors() &&
                        !std::getenv("NO_COLOR")));
  if (!options.completion.empty()) {
    writeCompletion(app, options.completion, outs());
    return Done;
  }
  if (options.manPage) {
    writeManPage(app, FQAT_VERSION, outs());
    return Done;
  }
  if (!options.explained.empty()) {
    std::optional<Rule> rule = parseRule(options.explained);
    if (!rule)
      return fail("--explain",
                  "there is no rule '" + options.explained + "' (R1 to R5)");
    outs() << explain(getInfo(*rule));
    return Done;
  }

  unsigned numSkipped = 0;
  std::vector<std::string> named = std::exchange(options.inputs, {});
  for (const std::string &input : named) {
    if (!sys::fs::is_directory(input))
      options.inputs.push_back(input);
    else if (Error error =
                 collectModels(options, input, options.inputs, numSkipped))
      return fail(input, toString(std::move(error)));
  }
  options.progress |= isTerminal && !options.quiet;
  options.progress &= options.inputs.size() > 1;
  if (ExitCode code = checkOptions(options); code != Done)
    return code;
  auto anchors =
      AnchorSet::create(options.pipeline.anchors, options.pipeline.exclude);
  if (!anchors)
    return fail("--exclude", toString(anchors.takeError()));
  Suppressions suppressions;
  for (StringRef text : options.ignored)
    if (Error error = suppressions.addIgnored(text))
      return fail("--ignore", toString(std::move(error)));
  if (!options.baseline.empty())
    if (Error error = suppressions.readBaseline(options.baseline))
      return fail(options.baseline, toString(std::move(error)));
  if (!options.pipeline.bits.empty() && !areBitsReadable(options.pipeline.bits))
    return Unusable;
  for (const std::string &library : options.operatorLibraries)
    if (Error error = loadOperatorLibrary(library))
      return fail(library, toString(std::move(error)));

  registerPipelines();
  Session session(options, suppressions);
  session.run();
  const Report &report = session.getReport();

  TextPrinter printer(errs(), nullptr);
  if (!options.quiet) {
    if (options.check && report.models.size() > 1)
      printTable(report, errs());
    if (numSkipped != 0)
      printer.print("note", Place(),
                    Twine(numSkipped) + " .pt files that hold no TorchScript "
                                        "were left out");
    for (const std::string &text : suppressions.getUnused())
      printer.print("warning", Place(),
                    "--ignore " + text + " matches no finding");
    if (unsigned gone = suppressions.countGone())
      printer.print("note", Place(),
                    Twine(gone) + " findings of the baseline are gone: it can "
                                  "be written anew");
  }
  int worst = report.getExitCode();
  for (const std::string &path : options.reports)
    worst = std::max<int>(worst, writeReport(report, path));
  return worst;
}

int main(int argc, char **argv) {
  sys::PrintStackTraceOnErrorSignal(argv[0]);
  // A file that may not grow any more is an error of what is written to it.
  (void)std::signal(SIGXFSZ, SIG_IGN);
#ifdef FQAT_ENABLE_MIMALLOC
  // What one step gives back the next one takes: the system would have to clear
  // it in between.
  mi_option_disable(mi_option_allow_decommit);
#endif
  try {
    return runMain(argc, argv);
  } catch (const std::exception &error) {
    errs() << "fqat-opt: internal error: " << error.what() << '\n';
    return Internal;
  }
}
