//===- Run.h - What fuzz targets hand the program -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TEST_FUZZ_RUN_H
#define FQAT_TEST_FUZZ_RUN_H

#include "llvm/ADT/StringRef.h"

namespace fqat {

/// A file with an extension, in memory where the system has that, that every
/// input in turn is the contents of.
class InputFile {
public:
  explicit InputFile(llvm::StringRef extension);
  ~InputFile();

  /// Overwrites the contents.
  void set(llvm::StringRef contents);
  const std::string &getPath() const { return path; }

private:
  std::string path;
};

/// Fixes the model in a file, writes it to nowhere and draws the report. Any
/// exit code will do but that of an internal error, which aborts.
void runProgram(const InputFile &file);

} // namespace fqat

#endif // FQAT_TEST_FUZZ_RUN_H
