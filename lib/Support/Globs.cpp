//===- Globs.cpp - Globs of instances -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Globs.h"
#include "fqat/IR/Paths.h"

using namespace llvm;

namespace fqat {

Expected<InstanceGlob> InstanceGlob::create(StringRef text) {
  auto owned = std::make_shared<const std::string>(text);
  Expected<GlobPattern> pattern = GlobPattern::create(*owned);
  if (!pattern)
    return createStringError("bad glob '" + text +
                             "': " + toString(pattern.takeError()));
  return InstanceGlob(std::move(owned), std::move(*pattern));
}

bool InstanceGlob::matches(StringRef path) const {
  for (; !path.empty() && path != "$"; path = splitPath(path).first)
    if (pattern.match(path))
      return true;
  // The root's path is empty, and everything lies below it.
  return pattern.match("");
}

} // namespace fqat
