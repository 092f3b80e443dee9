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

namespace fqat {

/// Where an output goes. A file is written beside its place and renamed; what
/// must stay what it is (a pipe, a device, standard output) is written to.
struct OutputPath {
  /// Behind symbolic links, which stay.
  std::string path;
  bool isSpecial = false;

  /// `-` is standard output.
  static OutputPath resolve(llvm::StringRef path);
};

} // namespace fqat

#endif // FQAT_SUPPORT_OUTPUTPATH_H
