//===- Run.cpp - Fixes or checks models -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Driver/Run.h"

#include "Driver.h"

#include "fqat/Support/Outputs.h"
#include "fqat/Support/Workers.h"
#include "fqat/TorchScript/Import.h"
#include "fqat/TorchScript/Zip.h"
#include "fqat/Transforms/BitWidths.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Threading.h"

#include <atomic>
#include <csignal>
#include <mutex>

using namespace llvm;

namespace fqat {

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
    bool isArchive = sys::path::extension(path) == ".pt";
    if ((!isArchive && !isIR(path)) ||
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
  Session(const Options &options, Suppressions &suppressions, raw_ostream &os,
          Report &report)
      : options(options), suppressions(suppressions), os(os), report(report) {
    report.version = getVersion().str();
    report.models.resize(options.inputs.size());
    for (auto [model, input] : zip(report.models, options.inputs))
      model.input = input;
    texts.resize(options.inputs.size());
  }

  void run();

private:
  void runOne(size_t index, raw_ostream &text);
  void finish(size_t index, std::string text);
  void showProgress();
  void hideProgress();

  const Options &options;
  Suppressions &suppressions;
  raw_ostream &os;
  Report &report;
  std::mutex mutex;
  std::vector<std::optional<std::string>> texts;
  size_t numPrinted = 0, numDone = 0;
  std::atomic<bool> hasCrashed = false;
};

} // namespace

void Session::runOne(size_t index, raw_ostream &text) {
  ModelReport &model = report.models[index];
  if (hasCrashed) {
    model.exitCode = Internal;
    text
        << model.input
        << ": internal error: not read, as another model crashed the program\n";
    return;
  }
  auto driver = std::make_unique<Driver>(options, suppressions, text, model);
  CrashRecoveryContext recovery;
  bool isDone = recovery.RunSafely([&] {
    try {
      driver->run();
    } catch (const std::bad_alloc &) {
      model.exitCode =
          fail(text, model.input, "there is not enough memory for this model");
    } catch (const std::exception &error) {
      text << model.input << ": internal error: " << error.what() << '\n';
      model.exitCode = Internal;
    }
  });
  if (isDone)
    return;
  // What a crash leaves behind is not to be touched, and not to be gone on
  // with.
  hasCrashed = true;
  driver->discardOutput();
  [[maybe_unused]] Driver *left = driver.release();
  if (recovery.RetCode == 128 + SIGBUS) {
    model.exitCode = fail(text, model.input,
                          "the file became shorter while it was read, or its "
                          "disk failed");
    return;
  }
  text << model.input << ": internal error: the program crashed (signal "
       << recovery.RetCode - 128 << "); nothing was written\n";
  model.exitCode = Internal;
}

void Session::showProgress() {
  if (options.progress && numDone != texts.size())
    os << formatv("\r[{0}/{1}] ", numDone, texts.size());
}

void Session::hideProgress() {
  if (options.progress)
    os << "\r" << std::string(24, ' ') << "\r";
}

void Session::finish(size_t index, std::string text) {
  std::scoped_lock<std::mutex> lock(mutex);
  texts[index] = std::move(text);
  ++numDone;
  hideProgress();
  for (; numPrinted != texts.size() && texts[numPrinted]; ++numPrinted)
    os << *std::exchange(texts[numPrinted], std::string());
  showProgress();
}

void Session::run() {
  if (texts.size() == 1)
    return runWorkers(1, [&] { runOne(0, os); });
  showProgress();
  // Large models are few: what matters is that no more run than have room.
  size_t numJobs = hardware_concurrency(options.numJobs).compute_thread_count();
  std::atomic<size_t> next = 0;
  runWorkers(std::min(numJobs, texts.size()), [&] {
    for (size_t i; (i = next++) < texts.size();) {
      std::string text;
      raw_string_ostream textOS(text);
      textOS.enable_colors(os.colors_enabled());
      runOne(i, textOS);
      finish(i, std::move(text));
    }
  });
}

static ExitCode writeReport(const Report &report, StringRef path,
                            raw_ostream &os) {
  Outputs outputs;
  raw_ostream *file;
  Error error = outputs.openStream(path, file);
  if (!error) {
    StringRef extension = sys::path::extension(path);
    SmallString<128> folder;
    if (extension == ".html")
      writeHTML(report, *file);
    else if (extension == ".sarif" && !sys::fs::current_path(folder))
      writeSARIF(report, folder, *file);
    else
      writeJSON(report, *file);
    error = outputs.commit();
  }
  if (!error)
    return Done;
  std::string message = toString(std::move(error));
  StringRef why = message;
  why.consume_front((path + ": ").str());
  return fail(os, path, why);
}

/// What can be said of the command line before any model is read.
static ExitCode checkOptions(const Options &options, raw_ostream &os) {
  bool isFolder = sys::fs::is_directory(options.output);
  if (options.inputs.size() > 1 && !options.output.empty() && !isFolder)
    return fail(os, options.output, "several inputs need a folder as output");
  if (!options.emit && sys::path::extension(options.output) == ".py")
    return fail(os, options.output,
                "a Python package is a folder: --emit=python -o DIR");
  StringSet<> outputs;
  if (options.writesModel() && options.inputs.size() > 1)
    for (const std::string &input : options.inputs)
      if (std::string path = getOutputPath(options, input);
          !outputs.insert(path).second)
        return fail(os, input,
                    "another input would be written to '" + path +
                        "' too: fix them one by one");
  for (StringRef path : options.reports)
    if (StringRef extension = sys::path::extension(path);
        extension != ".json" && extension != ".sarif" && extension != ".html")
      return fail(os, path, "a report is a .json, .sarif or .html file");
  return Done;
}

/// Whether a file of bit widths is right; says what is wrong, with the line.
static bool areBitsReadable(const std::string &path, raw_ostream &os) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/true);
  TextPrinter printer(os, [&](StringRef) -> std::optional<StringRef> {
    if (!buffer)
      return std::nullopt;
    return (*buffer)->getBuffer();
  });
  return succeeded(readBitPatterns(
      path, [&](unsigned line, unsigned column, const Twine &message) {
        printer.print("error", Place{"", path, line, column}, message);
      }));
}

ExitCode runModels(Options options, raw_ostream &os, Report &report) {
  unsigned numSkipped = 0;
  std::vector<std::string> named = std::exchange(options.inputs, {});
  for (const std::string &input : named) {
    if (!sys::fs::is_directory(input))
      options.inputs.push_back(input);
    else if (Error error =
                 collectModels(options, input, options.inputs, numSkipped))
      return fail(os, input, toString(std::move(error)));
  }
  options.progress &= options.inputs.size() > 1;
  if (ExitCode code = checkOptions(options, os); code != Done)
    return code;
  auto anchors =
      AnchorSet::create(options.pipeline.anchors, options.pipeline.exclude);
  if (!anchors)
    return fail(os, "--exclude", toString(anchors.takeError()));
  Suppressions suppressions;
  for (StringRef text : options.ignored)
    if (Error error = suppressions.addIgnored(text))
      return fail(os, "--ignore", toString(std::move(error)));
  if (!options.baseline.empty())
    if (Error error = suppressions.readBaseline(options.baseline))
      return fail(os, options.baseline, toString(std::move(error)));
  if (!options.pipeline.bits.empty() &&
      !areBitsReadable(options.pipeline.bits, os))
    return Unusable;
  for (const std::string &library : options.operatorLibraries)
    if (Error error = loadOperatorLibrary(library))
      return fail(os, library, toString(std::move(error)));

  static std::once_flag registered;
  std::call_once(registered, registerPipelines);
  Session(options, suppressions, os, report).run();

  TextPrinter printer(os, nullptr);
  if (!options.quiet) {
    if (options.check && report.models.size() > 1)
      printTable(report, os);
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
    worst = std::max<int>(worst, writeReport(report, path, os));
  return static_cast<ExitCode>(worst);
}

} // namespace fqat
