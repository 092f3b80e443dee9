//===- Terms.cpp - Values by what they are made of -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Terms.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/Hashing.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace fqat {

bool readsSizesOnly(StringRef name) {
  // A write may change the strides and whether a gradient is required.
  return readsMetadataOnly(name) && name != "aten::stride" &&
         name != "prim::requires_grad";
}

Term TermTable::get(StringAttr name, Attribute detail,
                    ArrayRef<Term> operands) {
  Key key = {*this, name, detail, operands, /*hash=*/0};
  if (expected < terms.size() && matches(expected, key))
    return expected++;
  key.hash = static_cast<unsigned>(
      llvm::hash_combine(name, detail, llvm::hash_combine_range(operands)));
  Term next = terms.size();
  auto [it, isNew] = entries.insert_as(Entry{key.hash, next}, key);
  if (isNew)
    terms.push_back({name, detail, operands.copy(allocator).data(),
                     static_cast<unsigned>(operands.size())});
  expected = std::max(expected, it->term + 1);
  return it->term;
}

bool TermTable::matches(Term term, const Key &key) const {
  return terms[term].name == key.name && terms[term].detail == key.detail &&
         getOperands(term) == key.operands;
}

Term TermTable::get(StringRef name, ArrayRef<Term> operands, uint64_t detail) {
  return get(name, operands, Builder(context).getI64IntegerAttr(detail));
}

Term TermTable::choose(Term condition, Term ifTrue, Term ifFalse) {
  if (ifTrue == ifFalse || isCalled(ifFalse, "uninitialized"))
    return ifTrue;
  if (isCalled(ifTrue, "uninitialized"))
    return ifFalse;
  return get("choose", {condition, ifTrue, ifFalse});
}

bool TermTable::isMadeOfSizes(Term root) {
  // Operands have lower numbers; a stack of our own, because terms are deep.
  SmallVector<Term> work = {root};
  while (!work.empty()) {
    Term term = work.back();
    if (terms[term].isMadeOfSizes) {
      work.pop_back();
      continue;
    }
    StringRef name = terms[term].name.getValue();
    std::optional<bool> known;
    if (name == "constant" || name == "number" || readsSizesOnly(name))
      known = true;
    else if (terms[term].numOperands == 0)
      known = false;
    size_t before = work.size();
    if (!known)
      for (Term operand : getOperands(term)) {
        if (!terms[operand].isMadeOfSizes)
          work.push_back(operand);
        else if (!*terms[operand].isMadeOfSizes)
          known = false;
      }
    if (known)
      work.resize(before);
    if (!known && work.size() != before)
      continue;
    terms[term].isMadeOfSizes = known.value_or(true);
    work.pop_back();
  }
  return *terms[root].isMadeOfSizes;
}

std::string TermTable::print(Term term, unsigned depth) const {
  std::string text;
  llvm::raw_string_ostream os(text);
  const Node &node = terms[term];
  if (Attribute value = getConstantValue(term)) {
    value.print(os, /*elideType=*/true);
    return text;
  }
  os << node.name.getValue();
  if (node.detail) {
    std::string detail;
    llvm::raw_string_ostream detailStream(detail);
    node.detail.print(detailStream, /*elideType=*/true);
    os << (detail.size() > 64 ? "[...]" : "[" + detail + "]");
  }
  if (node.numOperands == 0)
    return text;
  os << '(';
  for (auto [i, operand] : llvm::enumerate(getOperands(term))) {
    if (i == 6) {
      os << ", ...";
      break;
    }
    os << (i == 0 ? "" : ", ");
    bool isLeaf = getConstantValue(operand) || getOperands(operand).empty();
    os << (depth == 0 && !isLeaf ? "..."
                                 : print(operand, depth == 0 ? 0 : depth - 1));
  }
  os << ')';
  return text;
}

} // namespace fqat
