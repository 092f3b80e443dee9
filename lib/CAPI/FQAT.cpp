//===- FQAT.cpp - C interface to fqat-opt -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Options are kept as the words of a command line and parsed as such, so that
// both have the same names, values and messages.
//
//===----------------------------------------------------------------------===//

#include "fqat-c/FQAT.h"

#include "fqat/Driver/Run.h"

#include "llvm/ADT/STLExtras.h"
#include <CLI/CLI.hpp>

#include <new>

using namespace fqat;

struct FqatOptions {
  std::vector<std::string> words;
  std::string message;
};

struct FqatResult {
  FqatStatus status = FQAT_INTERNAL;
  std::string text, report;
};

/// What a command line says. Throws what CLI11 throws.
static Options parse(std::vector<std::string> words) {
  Options options;
  CLI::App app("", "fqat");
  declareOptions(app, options);
  // CLI11 takes the last word first.
  std::reverse(words.begin(), words.end());
  app.parse(std::move(words));
  return options;
}

static FqatResult *run(std::vector<std::string> words,
                       const FqatOptions *options, const char *input) {
  auto *result = new (std::nothrow) FqatResult;
  if (!result)
    return nullptr;
  try {
    if (options)
      llvm::append_range(words, options->words);
    words.insert(words.end(), {"--", input});
    llvm::raw_string_ostream os(result->text);
    Report report;
    result->status =
        static_cast<FqatStatus>(runModels(parse(std::move(words)), os, report));
    llvm::raw_string_ostream reportOS(result->report);
    writeJSON(report, reportOS);
  } catch (const CLI::ParseError &error) {
    result->status = FQAT_UNUSABLE;
    result->text = std::string("error: ") + error.what() + '\n';
  } catch (const std::exception &error) {
    result->status = FQAT_INTERNAL;
    result->text = std::string("internal error: ") + error.what() + '\n';
  }
  return result;
}

const char *fqatGetVersion(void) {
  static const std::string versions = getVersions();
  return versions.c_str();
}

FqatOptions *fqatOptionsCreate(void) { return new (std::nothrow) FqatOptions; }

void fqatOptionsDestroy(FqatOptions *options) { delete options; }

const char *fqatOptionsSet(FqatOptions *options, const char *name,
                           const char *value) {
  options->message.clear();
  try {
    // What the calls themselves say, and what is about the program.
    static constexpr llvm::StringLiteral others[] = {
        "check", "completion", "color",    "explain", "help",
        "jobs",  "man",        "progress", "output",  "version"};
    llvm::StringRef letters = "abcdefghijklmnopqrstuvwxyz-";
    if (name[0] == '\0' || name[0] == '-' ||
        llvm::StringRef(name).find_first_not_of(letters) !=
            llvm::StringRef::npos ||
        llvm::is_contained(others, llvm::StringRef(name))) {
      options->message = std::string("--") + name + " is no option of a call";
      return options->message.c_str();
    }
    std::string word = std::string("--") + name;
    if (value)
      word += std::string("=") + value;
    std::vector<std::string> words = options->words;
    words.push_back(word);
    std::vector<std::string> whole = words;
    whole.insert(whole.end(), {"--", "model.pt"});
    (void)parse(std::move(whole));
    options->words = std::move(words);
    return nullptr;
  } catch (const std::exception &error) {
    options->message = error.what();
    return options->message.c_str();
  }
}

FqatResult *fqatCheck(const char *input, const FqatOptions *options) {
  return run({"--check"}, options, input);
}

FqatResult *fqatFix(const char *input, const char *output,
                    const FqatOptions *options) {
  return run({std::string("--output=") + output}, options, input);
}

FqatStatus fqatResultGetStatus(const FqatResult *result) {
  return result->status;
}

const char *fqatResultGetText(const FqatResult *result) {
  return result->text.c_str();
}

const char *fqatResultGetReport(const FqatResult *result) {
  return result->report.c_str();
}

void fqatResultDestroy(FqatResult *result) { delete result; }
