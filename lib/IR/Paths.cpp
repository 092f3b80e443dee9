//===- Paths.cpp - Symbols as dotted paths -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/IR/Paths.h"
#include "fqat/IR/FQATDialect.h"

#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace fqat {

static bool isRoot(StringRef path) { return path == FQATDialect::kRootName; }

std::string escapeName(StringRef name) {
  std::string result;
  for (char c : name) {
    if (c == '.')
      result += "$2E";
    else if (c == '$')
      result += "$24";
    else
      result += c;
  }
  return result;
}

std::string unescapeName(StringRef component) {
  std::string result;
  while (!component.empty()) {
    if (component.consume_front("$2E")) {
      result += '.';
    } else if (component.consume_front("$24")) {
      result += '$';
    } else {
      result += component.front();
      component = component.drop_front();
    }
  }
  return result;
}

std::string joinPath(StringRef path, StringRef name) {
  if (isRoot(path))
    return escapeName(name);
  return (path + "." + escapeName(name)).str();
}

std::pair<StringRef, StringRef> splitPath(StringRef path) {
  if (isRoot(path))
    return {};
  auto [parent, name] = path.rsplit('.');
  if (name.empty() && parent.size() == path.size())
    return {FQATDialect::kRootName, path};
  return {parent, name};
}

bool isAtOrBelow(StringRef path, StringRef ancestor) {
  if (isRoot(ancestor) || path == ancestor)
    return true;
  return path.size() > ancestor.size() && path.starts_with(ancestor) &&
         path[ancestor.size()] == '.';
}

std::string rebasePath(StringRef path, StringRef from, StringRef to) {
  assert(isAtOrBelow(path, from) && "path must lie below its prefix");
  if (path == from)
    return to.str();
  StringRef rest = isRoot(from) ? path : path.drop_front(from.size() + 1);
  return isRoot(to) ? rest.str() : (to + "." + rest).str();
}

std::string displayPath(StringRef path) {
  return isRoot(path) ? "<root>" : path.str();
}

} // namespace fqat
