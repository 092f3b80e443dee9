//===- Layout.cpp - Python text in lines that fit -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Layout.h"
#include "fqat/Python/Emit.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <charconv>
#include <cmath>

namespace fqat {

static constexpr unsigned indentWidth = 4;

static char getClosing(char open) {
  return open == '(' ? ')' : open == '[' ? ']' : '}';
}

static std::string joinFlat(const std::vector<Code> &items) {
  std::string text;
  for (const Code &item : items)
    text += (text.empty() ? "" : ", ") + item.flat();
  return text;
}

std::string Code::flat() const {
  if (!open)
    return head;
  std::string inner = joinFlat(items);
  if (isBareTuple)
    return inner;
  // A tuple of one.
  if (open == '(' && head.empty() && items.size() == 1)
    inner += ',';
  return head + open + inner + getClosing(open);
}

unsigned Code::getDepth() const {
  // A bracket in a string counts as well: that only makes a line shorter.
  unsigned depth = 0, deepest = 0;
  for (char c : head) {
    if (c == '(' || c == '[' || c == '{')
      deepest = std::max(deepest, ++depth);
    else if ((c == ')' || c == ']' || c == '}') && depth != 0)
      --depth;
  }
  for (const Code &item : items)
    deepest = std::max(deepest, item.getDepth() + 1);
  return std::max(deepest, open ? 1u : 0u);
}

Code makeCompound(const llvm::Twine &text) {
  Code code(text.str());
  code.isCompound = true;
  return code;
}

Code makeKeyword(llvm::StringRef name, Code value) {
  value.head = (name + "=" + value.head).str();
  value.isCompound = false;
  return value;
}

static bool isBrokenWithin(const Code &code) {
  return code.isBroken || llvm::any_of(code.items, isBrokenWithin);
}

llvm::StringSet<> makeSet(llvm::StringRef words) {
  llvm::SmallVector<llvm::StringRef> parts;
  words.split(parts, ' ');
  llvm::StringSet<> result;
  result.insert_range(parts);
  return result;
}

bool isIdentifier(llvm::StringRef name) {
  static const llvm::StringSet<> keywords = makeSet(
      "False None True and as assert async await break class continue def "
      "del elif else except finally for from global if import in is "
      "lambda nonlocal not or pass raise return try while with yield");
  return !name.empty() && (llvm::isAlpha(name[0]) || name[0] == '_') &&
         llvm::all_of(name,
                      [](char c) { return llvm::isAlnum(c) || c == '_'; }) &&
         !keywords.contains(name);
}

void printCode(llvm::raw_ostream &os, unsigned indent, llvm::StringRef prefix,
               const Code &code, llvm::StringRef suffix) {
  os.indent(indent) << prefix;
  std::string flat = code.flat();
  auto fits = [](size_t columns) { return columns <= maxColumns; };
  bool isBroken = isBrokenWithin(code);
  if (!isBroken && fits(indent + prefix.size() + flat.size() + suffix.size())) {
    os << flat << suffix << '\n';
    return;
  }
  unsigned inner = indent + indentWidth;
  if (!code.open || (code.items.empty() && !code.isBroken)) {
    // An operator's, and all that is assigned, may be put into parentheses.
    bool isWrapped = code.isCompound || prefix.ends_with(" = ");
    if (isWrapped && fits(inner + flat.size())) {
      os << "(\n";
      os.indent(inner) << flat << '\n';
      os.indent(indent) << ')' << suffix << '\n';
      return;
    }
    os << flat << suffix << '\n';
    return;
  }
  os << code.head << code.open << '\n';
  std::string items = joinFlat(code.items);
  bool isTuple = code.open == '(' && code.head.empty();
  if (!isBroken && !isTuple && code.open == '(' && fits(inner + items.size())) {
    os.indent(inner) << items << '\n';
  } else {
    for (const Code &item : code.items)
      printCode(os, inner, "", item, ",");
  }
  os.indent(indent) << getClosing(code.open) << suffix << '\n';
}

std::string quote(llvm::StringRef text) {
  std::string result;
  llvm::raw_string_ostream os(result);
  // As Python's formatters like it: double quotes unless they need escapes.
  char mark = text.contains('"') && !text.contains('\'') ? '\'' : '"';
  os << mark;
  for (char c : text) {
    if (c == '\\' || c == mark)
      os << '\\' << c;
    else if (c == '\n')
      os << "\\n";
    else if (c == '\t')
      os << "\\t";
    else if (c == '\r')
      os << "\\r";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      os << "\\x" << llvm::hexdigit((c >> 4) & 15, /*LowerCase=*/true)
         << llvm::hexdigit(c & 15, /*LowerCase=*/true);
    else
      os << c;
  }
  os << mark;
  return result;
}

std::string spellFloat(double value) {
  if (std::isnan(value))
    return "float(\"nan\")";
  if (std::isinf(value))
    return value < 0 ? "float(\"-inf\")" : "float(\"inf\")";
  char buffer[64];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, end);
  if (size_t sign = text.find("e+"); sign != std::string::npos)
    text.erase(sign + 1, 1);
  if (text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

} // namespace fqat
