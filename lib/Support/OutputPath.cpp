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
#include "llvm/Support/Path.h"

#include <climits>
#include <unistd.h>

using namespace llvm;

namespace fqat {

/// The path that a link leads to, of which the file need not be there.
static OutputPath followLinks(StringRef path) {
  constexpr unsigned mostLinks = 40;
  SmallString<256> place(path);
  for (unsigned i = 0; i != mostLinks; ++i) {
    if (!sys::fs::is_symlink_file(place))
      return {place.str().str()};
    char buffer[PATH_MAX];
    ssize_t size = ::readlink(place.c_str(), buffer, sizeof(buffer));
    if (size < 0)
      return {path.str(), /*isSpecial=*/false,
              std::error_code(errno, std::generic_category())};
    StringRef target(buffer, size);
    if (sys::path::is_relative(target)) {
      sys::path::remove_filename(place);
      sys::path::append(place, target);
    } else {
      place = target;
    }
  }
  return {path.str(), /*isSpecial=*/false,
          std::make_error_code(std::errc::too_many_symbolic_link_levels)};
}

OutputPath OutputPath::resolve(StringRef path) {
  if (path == "-")
    return {path.str(), /*isSpecial=*/true};
  // Follows links. What cannot be looked at fails when it is opened.
  sys::fs::file_status status;
  if (sys::fs::status(path, status))
    return followLinks(path);
  if (status.type() != sys::fs::file_type::regular_file &&
      status.type() != sys::fs::file_type::directory_file)
    return {path.str(), /*isSpecial=*/true};
  SmallString<256> target;
  if (sys::fs::is_symlink_file(path) && !sys::fs::real_path(path, target))
    return {target.str().str()};
  return {path.str()};
}

std::string OutputPath::getTemporaryPattern() const {
  SmallString<256> pattern(sys::path::parent_path(path));
  sys::path::append(pattern, ".fqat-%%%%%%%%.tmp");
  return pattern.str().str();
}

} // namespace fqat
