//===- Nesting.cpp - How deep the brackets of a text are -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Nesting.h"

using namespace llvm;

namespace fqat {

Error checkNesting(StringRef text, bool hasComments) {
  constexpr unsigned deepest = 256;
  unsigned depth = 0, line = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
    case '\n':
      ++line;
      break;
    case '"':
      // To the end of the string.
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        line += text[i] == '\n';
        i += text[i] == '\\';
      }
      break;
    case '/':
      if (hasComments && text.substr(i, 2) == "//") {
        i = std::min(text.find('\n', i), text.size());
        ++line;
      }
      break;
    case '{':
    case '[':
    case '(':
      if (++depth > deepest)
        return createStringError("line " + Twine(line) + ": more than " +
                                 Twine(deepest) + " brackets in each other");
      break;
    case '}':
    case ']':
    case ')':
      depth -= depth != 0;
      break;
    default:
      break;
    }
  }
  return Error::success();
}

} // namespace fqat
