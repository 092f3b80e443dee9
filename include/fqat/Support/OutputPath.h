//===- OutputPath.h - Where an output goes -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_OUTPUTPATH_H
#define FQAT_SUPPORT_OUTPUTPATH_H

#include "llvm/ADT/StringRef.h"

#include <string>
#include <system_error>

namespace fqat {

/// Where an output goes. A file is written beside its place and renamed; what
/// must stay what it is (a pipe, a device, standard output) is written to.
struct OutputPath {
  /// Behind symbolic links, which stay.
  std::string path;
  bool isSpecial = false;
  /// Of links that lead nowhere.
  std::error_code error = {};

  /// A pattern for the name of the file that is written until it is whole: in
  /// the same folder, and short enough wherever the output's own name is.
  std::string getTemporaryPattern() const;

  /// `-` is standard output.
  static OutputPath resolve(llvm::StringRef path);
};

} // namespace fqat

#endif // FQAT_SUPPORT_OUTPUTPATH_H
