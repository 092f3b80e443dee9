//===- Nesting.cpp - How deep a text nests -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Nesting.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

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
      // To the end of the string. Behind one that the file cuts off, MLIR's
      // lexer would read on.
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        i += text[i] == '\\';
      if (i >= text.size() || text[i] == '\n')
        return createStringError("line " + Twine(line) +
                                 ": a string does not end on its line");
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

Error checkCodeNesting(StringRef code) {
  constexpr size_t deepest = 2000;
  // Of a chain of operators, and of an `elif`, each is in the one before it.
  SmallVector<size_t> brackets, indents;
  size_t inBrackets = 0, words = 0, elifs = 0, line = 1;
  bool isLineStart = true;
  auto skipString = [&](size_t at) {
    char quote = code[at];
    for (++at; at < code.size() && code[at] != quote; ++at) {
      line += code[at] == '\n';
      at += code[at] == '\\';
    }
    return at + 1;
  };
  for (size_t i = 0; i < code.size();) {
    if (isLineStart) {
      size_t begin = i;
      while (i < code.size() && (code[i] == ' ' || code[i] == '\t'))
        ++i;
      isLineStart = false;
      if (i == code.size() || code[i] == '\n' || code[i] == '#')
        continue;
      while (!indents.empty() && indents.back() >= i - begin)
        indents.pop_back();
      indents.push_back(i - begin);
      elifs += code.substr(i).starts_with("elif");
      words = 0;
    }
    char c = code[i];
    if (c == '\n') {
      ++line;
      isLineStart = brackets.empty() && (i == 0 || code[i - 1] != '\\');
      ++i;
    } else if (c == '#') {
      i = std::min(code.find('\n', i), code.size());
    } else if (c == '"' || c == '\'') {
      i = skipString(i);
      ++words;
    } else if (isAlnum(c) || c == '_') {
      while (i < code.size() && (isAlnum(code[i]) || code[i] == '_'))
        ++i;
      ++words;
    } else {
      if (c == '(' || c == '[' || c == '{') {
        brackets.push_back(words);
        inBrackets += words + 1;
        words = 0;
      } else if ((c == ')' || c == ']' || c == '}') && !brackets.empty()) {
        // What follows is in what the brackets are part of: `f(x)(y)`.
        words = brackets.pop_back_val();
        inBrackets -= words + 1;
        ++words;
      } else if (c == ',') {
        words = 0;
      } else if (c != ' ' && c != '\t') {
        ++words;
      }
      ++i;
    }
    if (indents.size() + elifs + inBrackets + words > deepest)
      return createStringError("line " + Twine(line) +
                               ": the code is nested more than " +
                               Twine(deepest) + " deep");
  }
  return Error::success();
}

} // namespace fqat
