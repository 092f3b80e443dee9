//===- OutputPath.cpp - Where an output goes -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/OutputPath.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"

using namespace llvm;

namespace fqat {

OutputPath OutputPath::resolve(StringRef path) {
  if (path == "-")
    return {path.str(), /*isSpecial=*/true};
  // Follows links. What cannot be looked at fails when it is opened.
  sys::fs::file_status status;
  if (sys::fs::status(path, status))
    return {path.str()};
  if (status.type() != sys::fs::file_type::regular_file &&
      status.type() != sys::fs::file_type::directory_file)
    return {path.str(), /*isSpecial=*/true};
  SmallString<256> target;
  if (sys::fs::is_symlink_file(path) && !sys::fs::real_path(path, target))
    return {target.str().str()};
  return {path.str()};
}

} // namespace fqat
