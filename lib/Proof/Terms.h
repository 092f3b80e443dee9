//===- Terms.h - Values by what they are made of -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PROOF_TERMS_H
#define FQAT_LIB_PROOF_TERMS_H

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/Allocator.h"

#include <deque>
#include <optional>

namespace fqat {

/// The number of a term: an operation on other terms. Equal terms have equal
/// numbers, so that comparing two values is comparing two integers.
using Term = unsigned;

/// All terms of a proof, each once.
class TermTable {
public:
  explicit TermTable(mlir::MLIRContext *context)
      : context(context),
        constantName(mlir::StringAttr::get(context, "constant")),
        chooseName(mlir::StringAttr::get(context, "choose")),
        writeName(mlir::StringAttr::get(context, "write")),
        listName(mlir::StringAttr::get(context, "list")) {}

  /// The term of an operation; `detail` is what tells it from others of its
  /// name besides its operands (an overload, an index).
  Term get(mlir::StringAttr name, mlir::Attribute detail,
           llvm::ArrayRef<Term> operands);
  Term get(llvm::StringRef name, llvm::ArrayRef<Term> operands,
           mlir::Attribute detail = {}) {
    return get(mlir::StringAttr::get(context, name), detail, operands);
  }
  Term get(llvm::StringRef name, llvm::ArrayRef<Term> operands,
           uint64_t detail);
  Term getConstant(mlir::Attribute value) {
    return get(constantName, value, {});
  }
  Term getList(llvm::ArrayRef<Term> elements) {
    return get(listName, {}, elements);
  }

  mlir::StringAttr getName(Term term) const { return terms[term].name; }
  mlir::Attribute getDetail(Term term) const { return terms[term].detail; }
  llvm::ArrayRef<Term> getOperands(Term term) const {
    return {terms[term].operands, terms[term].numOperands};
  }
  bool isCalled(Term term, llvm::StringRef name) const {
    return terms[term].name == name;
  }
  bool isChoice(Term term) const { return terms[term].name == chooseName; }
  bool isWrite(Term term) const { return terms[term].name == writeName; }
  /// The value of a constant, or null.
  mlir::Attribute getConstantValue(Term term) const {
    return terms[term].name == constantName ? terms[term].detail
                                            : mlir::Attribute();
  }

  /// Either of two values. Equal ones are no choice, and what stands for no
  /// value (`uninitialized`) is never looked at.
  Term choose(Term condition, Term ifTrue, Term ifFalse);

  /// Whether sizes, kinds, constants and numbers from outside alone decide the
  /// value.
  bool isMadeOfSizes(Term term);

  /// Notes that a term is what an in-place operator has made on every way
  /// through the original: it has the dtype of its first operand.
  void noteInPlace(Term term) { inPlace.insert(term); }
  bool isInPlace(Term term) const { return inPlace.contains(term); }
  /// Another method is run, which may be given other dtypes.
  void forgetInPlace() { inPlace.clear(); }

  /// Another run begins. What it makes first is probably what the first run has
  /// made first, and so on.
  void rewind() { expected = 0; }

  /// The text of a term, `depth` operations deep.
  std::string print(Term term, unsigned depth) const;

  mlir::MLIRContext *getContext() const { return context; }

private:
  struct Node {
    mlir::StringAttr name;
    mlir::Attribute detail;
    const Term *operands;
    unsigned numOperands;
    std::optional<bool> isMadeOfSizes = std::nullopt;
  };
  /// What the set of terms holds: a term's contents lie in `terms` only.
  struct Entry {
    unsigned hash;
    Term term;
  };
  struct Key {
    const TermTable &table;
    mlir::StringAttr name;
    mlir::Attribute detail;
    llvm::ArrayRef<Term> operands;
    unsigned hash;
  };
  struct EntryInfo {
    static Entry getEmptyKey() { return {0, ~0u}; }
    static Entry getTombstoneKey() { return {0, ~0u - 1}; }
    static unsigned getHashValue(Entry entry) { return entry.hash; }
    static unsigned getHashValue(const Key &key) { return key.hash; }
    static bool isEqual(Entry a, Entry b) { return a.term == b.term; }
    static bool isEqual(const Key &key, Entry entry) {
      return key.hash == entry.hash && entry.term < key.table.terms.size() &&
             key.table.matches(entry.term, key);
    }
  };
  bool matches(Term term, const Key &key) const;

  mlir::MLIRContext *context;
  // The names that are asked for most.
  mlir::StringAttr constantName, chooseName, writeName, listName;
  llvm::BumpPtrAllocator allocator;
  /// In pieces: they fit into memory that was given back.
  std::deque<Node> terms;
  /// The term that will probably be asked for next: it is found in the cache of
  /// the processor, unlike its entry.
  Term expected = 0;
  llvm::DenseSet<Term> inPlace;
  llvm::DenseSet<Entry, EntryInfo> entries;
};

/// Whether an operator reads sizes, kinds and the like only, which a write does
/// not change.
bool readsSizesOnly(llvm::StringRef name);

} // namespace fqat

#endif // FQAT_LIB_PROOF_TERMS_H
