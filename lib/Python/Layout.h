//===- Layout.h - Python text in lines that fit -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PYTHON_LAYOUT_H
#define FQAT_LIB_PYTHON_LAYOUT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/raw_ostream.h"

#include <string>
#include <vector>

namespace fqat {

/// An expression, as far as its layout needs to know it: a text, or a bracket
/// with items in it. Lines break at the outermost bracket first, as Python's
/// formatters do.
struct Code {
  /// All of it, or what stands before the bracket.
  std::string head;
  /// `(`, `[`, `{`, or 0 for none.
  char open = 0;
  std::vector<Code> items;
  /// One item a line in any case.
  bool isBroken = false;
  /// A tuple that needs its parentheses only where it is broken.
  bool isBareTuple = false;
  /// An operator's: it needs parentheses inside another one, or before a dot.
  bool isCompound = false;

  Code() = default;
  Code(llvm::StringRef text) : head(text) {}
  Code(const char *text) : head(text) {}
  Code(std::string text) : head(std::move(text)) {}
  Code(std::string head, char open, std::vector<Code> items)
      : head(std::move(head)), open(open), items(std::move(items)) {}

  /// On one line.
  std::string flat() const;
  /// The same, in parentheses if it is an operator's.
  std::string atom() const { return isCompound ? "(" + flat() + ")" : flat(); }
  /// How many brackets are open at most at one place.
  unsigned getDepth() const;
};

/// What an operator makes.
Code makeCompound(const llvm::Twine &text);

/// `name=value`, an argument that is named.
Code makeKeyword(llvm::StringRef name, Code value);

/// How long a line may be: what Python's formatters take if nobody says.
inline constexpr unsigned maxColumns = 88;

/// Writes `prefix`, an expression and `suffix`, broken where they do not fit
/// into a line.
void printCode(llvm::raw_ostream &os, unsigned indent, llvm::StringRef prefix,
               const Code &code, llvm::StringRef suffix = "");

/// A set of words that blanks separate.
llvm::StringSet<> makeSet(llvm::StringRef words);

/// Whether Python takes a name for a variable, an attribute or an argument.
bool isIdentifier(llvm::StringRef name);

/// A string as a Python literal.
std::string quote(llvm::StringRef text);

} // namespace fqat

#endif // FQAT_LIB_PYTHON_LAYOUT_H
