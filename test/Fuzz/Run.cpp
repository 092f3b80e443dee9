//===- Run.cpp - What fuzz targets hand the program -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Run.h"

#include "fqat/Driver/Run.h"

#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Process.h"

using namespace llvm;

namespace fqat {

InputFile::InputFile(StringRef extension) {
  StringRef folder = sys::fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
  path =
      (folder + "/fqat-fuzz-" + Twine(sys::Process::getProcessId()) + extension)
          .str();
}

InputFile::~InputFile() { (void)sys::fs::remove(path); }

void InputFile::set(StringRef contents) {
  std::error_code error;
  raw_fd_ostream os(path, error);
  if (error)
    reportFatalUsageError(Twine(path) + ": " + error.message());
  os << contents;
}

void runProgram(const InputFile &file) {
  Options options;
  options.inputs = {file.getPath()};
  options.output = "/dev/null";
  options.reports = {file.getPath() + ".html"};
  std::string text;
  raw_string_ostream os(text);
  Report report;
  ExitCode code = runModels(options, os, report);
  writeJSON(report, nulls());
  writeSARIF(report, "/", nulls());
  (void)sys::fs::remove(options.reports[0]);
  if (code == Internal)
    reportFatalInternalError(Twine(text));
}

} // namespace fqat
