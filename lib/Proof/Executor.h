//===- Executor.h - A symbolic run of one method -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Memory is a number of locations, each with a version: a term. A tensor is a
// view of a location, and its content the view applied to the version, so that
// a write through one name is seen through all. A list or a dict is a location
// that holds values, as long as they are known one by one.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PROOF_EXECUTOR_H
#define FQAT_LIB_PROOF_EXECUTOR_H

#include "Contents.h"
#include "Terms.h"
#include "fqat/IR/FQATOps.h"

#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SetVector.h"

#include <deque>
#include <memory>

namespace fqat {

/// Whether a value of this type may hold a tensor.
bool mayHoldTensors(mlir::Type type);

/// In-place operators after which the tensor has other sizes.
bool changesShape(llvm::StringRef name);

/// What an SSA value holds.
struct SymbolicValue {
  enum Kind {
    /// A number, a string, None: immutable and without parts.
    Scalar,
    /// A view of a location; may be None where the type says so.
    Tensor,
    Tuple,
    /// A list, a dict or an object: a location.
    Container
  } kind = Scalar;
  /// Of a scalar: the value. Of a tensor: the view, a term over `memory`.
  Term term = 0;
  unsigned location = 0;
  std::shared_ptr<const std::vector<SymbolicValue>> elements;
};

/// The elements of a list, or the keys and values of a dict.
struct Items {
  std::vector<SymbolicValue> values;
  /// Of a dict, constants.
  std::vector<Term> keys;
  bool isDict = false;
};

/// What a location holds at one time.
struct LocationState {
  Term content = 0;
  /// What decides its sizes: the version that it began with.
  Term shape = 0;
  /// Of a container whose elements are known; else null.
  std::shared_ptr<const Items> items;

  bool operator==(const LocationState &other) const {
    return content == other.content && shape == other.shape &&
           items == other.items;
  }
};

/// A symbolic run of one method of the root.
class Executor {
public:
  Executor(TermTable &terms, const Contents &contents,
           mlir::SymbolTable &symbols, mlir::ModuleOp model, bool isOriginal);

  /// Fails where something is not decided; `getReason` tells what.
  llvm::LogicalResult run(MethodOp method);

  mlir::Operation *getReasonOp() const { return reasonOp; }
  llvm::StringRef getReason() const { return reason; }

  /// What the method returns, contents included, at its end.
  llvm::ArrayRef<Term> getResults() const { return results; }
  /// What its arguments hold at its end.
  llvm::ArrayRef<Term> getArguments() const { return arguments; }
  /// Whether the run came to a slot, or to another one of its storage.
  bool touches(mlir::StringAttr slot) const;
  /// What a slot holds at its end.
  Term getSlotContent(mlir::StringAttr slot) {
    return getContent(getItems(getCell(slot))->values.front());
  }
  /// The first of the constants 0.0 and -0.0 that it came to, and whether it
  /// came to both: torch may take the first for both.
  std::optional<bool> getFirstZeroSign() const { return firstZeroSign; }
  bool hasBothZeros() const { return bothZeros; }
  /// All random draws, and all that is seen from outside, in order.
  Term getRandom() const { return read(randomLocation); }
  Term getEffects() const { return read(effectLocation); }
  /// The checks that sizes and constants decide, each with its conditions, and
  /// the dimensions (`has_dim`) that slices of all ask for.
  llvm::ArrayRef<Term> getShapeChecks() const {
    return shapeChecks.getArrayRef();
  }
  bool makesShapeCheck(Term check) const { return shapeChecks.contains(check); }

  /// The operator that made a term first, or null.
  mlir::Operation *getMaker(Term term) const {
    return term < makers.size() ? makers[term] : nullptr;
  }

private:
  using Environment = llvm::DenseMap<mlir::Value, SymbolicValue>;
  using Values = std::vector<SymbolicValue>;
  struct Group {
    llvm::SmallVector<unsigned> members;
  };
  static constexpr unsigned randomLocation = 0, effectLocation = 1,
                            elementsLocation = 2;
  // Deeper calls and ifs than any model has, shallower than the stack.
  static constexpr unsigned maxDepth = 1000;

  llvm::LogicalResult undecided(mlir::Operation *op, const llvm::Twine &why);

  // Values
  SymbolicValue makeScalar(Term term);
  SymbolicValue makeConstant(mlir::Attribute value);
  SymbolicValue makeTensor(Term content, Term shape);
  SymbolicValue makeTuple(Values elements);
  SymbolicValue makeList(Values elements);
  SymbolicValue makeContainer(std::shared_ptr<const Items> items);
  /// A value of which only the term is known.
  SymbolicValue makeUnknown(mlir::Type type, Term term, bool isShared = true);
  SymbolicValue makeStored(mlir::Attribute value, mlir::Type type,
                           mlir::StringAttr slot);
  std::optional<mlir::Attribute> getConstant(const SymbolicValue &value);
  /// The list of one element that stands for a slot.
  SymbolicValue getCell(mlir::StringAttr slot);
  void setCell(unsigned cell, SymbolicValue value);
  void noteZeros(mlir::Attribute constant);

  // Memory
  unsigned addLocation(LocationState state, bool isContainer);
  Term read(unsigned location) const {
    return locations[location].state.content;
  }
  void setState(unsigned location, LocationState state);
  void uniteGroups(unsigned a, unsigned b);
  void shareElements(const SymbolicValue &value);
  void writeTensor(const SymbolicValue &tensor, Term content,
                   bool changesShape);
  void writeUnknown(unsigned location, Term content);

  // Views (Views.cpp)
  llvm::SmallVector<Term> getSteps(Term view);
  Term readStep(Term step, Term version);
  Term writeStep(Term step, Term version, Term content);
  Term forgetBase(Term version);
  Term readView(Term view, Term version);
  Term writeView(Term view, Term version, Term content);
  /// Gives a slice the numbers that it was not given.
  void normalizeSlice(OperatorOp op, llvm::MutableArrayRef<Term> operands);
  /// Whether a view is a slice of the whole of its operand; notes that it has
  /// the dimension.
  bool takesWhole(OperatorOp op, llvm::ArrayRef<Term> operands);
  /// A term for the sizes, the dtype and the device of a term: two with equal
  /// ones have equal sizes and so on.
  Term getKind(Term term);
  std::optional<Term> joinParts(Term list, Term dim);

  Term resolve(Term term) const;
  Term getContent(const SymbolicValue &value);
  Term getShape(const SymbolicValue &value);
  const Items *getItems(const SymbolicValue &value) const;
  void collectLocations(const SymbolicValue &value,
                        llvm::SmallSetVector<unsigned, 4> &found) const;

  // Control flow
  struct Outcome {
    Values yielded;
    llvm::DenseMap<unsigned, LocationState> changed;
    bool raises = false;
  };
  llvm::FailureOr<Values> runBody(mlir::Region &body, Values passed,
                                  mlir::Operation *call);
  llvm::FailureOr<Values> runBlock(mlir::Block &block, Environment &values);
  llvm::LogicalResult runOp(mlir::Operation *op, Environment &values);
  llvm::LogicalResult runIf(IfOp op, Environment &values);
  llvm::LogicalResult runLoop(LoopOp op, Environment &values);
  llvm::FailureOr<bool> runKnownRounds(LoopOp op, Environment &values);
  llvm::LogicalResult runUnknownRounds(LoopOp op, Environment &values);
  std::optional<Term>
  getCopiedList(LoopOp op, llvm::ArrayRef<Term> operands,
                const llvm::SetVector<unsigned> &written) const;
  llvm::FailureOr<Outcome> runArm(mlir::Block &arm, Term condition, bool taken,
                                  Environment &values);
  /// Whether a location was there before the number of them was `numBefore`.
  bool isOlder(unsigned location, unsigned numBefore) const {
    return location < numBefore || locations[location].isGlobal;
  }
  llvm::DenseMap<unsigned, LocationState> rollBack(size_t mark,
                                                   unsigned numBefore);
  LocationState merge(Term condition, const LocationState &a,
                      const LocationState &b);
  SymbolicValue merge(Term condition, const SymbolicValue &a,
                      const SymbolicValue &b, mlir::Type type);

  // Operators
  llvm::LogicalResult runOperator(OperatorOp op, Environment &values);
  llvm::LogicalResult runEffect(OperatorOp op, llvm::ArrayRef<Term> operands,
                                Environment &values);
  bool runContainerOp(OperatorOp op, Environment &values);
  bool foldOp(OperatorOp op, Environment &values);
  bool isSwitchedOff(OperatorOp op, Environment &values);
  llvm::LogicalResult runNop(OutNopOp op, Environment &values);
  SymbolicValue getPart(const SymbolicValue &list, unsigned index,
                        mlir::Type type);
  Term note(Term term, mlir::Operation *op);

  struct Location {
    LocationState state;
    bool isContainer = false;
    /// Of a list, dict or object: whether it may hold tensors.
    bool holdsTensors = false;
    /// The model's, made when a run first came to it.
    bool isGlobal = false;
    /// The tensor that a list of views was split from.
    std::shared_ptr<const SymbolicValue> splitFrom = nullptr;
    /// Of a slot's cell: the slot's type.
    mlir::Type cellType = {};
    /// The locations that may be the same memory; 0 is none.
    unsigned group = 0;
    /// One of two lists: a write would have to go to both.
    bool isEither = false;
  };

  TermTable &terms;
  const Contents &contents;
  mlir::SymbolTable &symbols;
  mlir::ModuleOp model;
  Term memory;

  /// In pieces: they fit into memory that was given back.
  std::deque<Location> locations;
  std::vector<std::pair<unsigned, LocationState>> journal;
  std::vector<Group> groups;
  llvm::DenseMap<mlir::Attribute, unsigned> storages;
  llvm::DenseMap<mlir::Attribute, SymbolicValue> objects;
  /// The cell of each slot that code reads or writes.
  llvm::DenseMap<mlir::Attribute, unsigned> slots;
  llvm::DenseMap<Term, bool> assumptions;
  llvm::DenseMap<Term, Term> kinds;
  /// Whether a slice of all is the tensor itself; nothing as long as no slice
  /// was seen.
  std::optional<bool> dropsWholeSlices;
  bool isOriginal;
  llvm::SmallVector<std::pair<Term, bool>> conditions;
  unsigned depth = 0, loopDepth = 0;

  llvm::SmallVector<Term> results, arguments;
  llvm::SetVector<Term> shapeChecks;
  /// By term.
  std::vector<mlir::Operation *> makers;
  mlir::Operation *reasonOp = nullptr;
  std::string reason;
  std::optional<bool> firstZeroSign;
  bool bothZeros = false;
};

} // namespace fqat

#endif // FQAT_LIB_PROOF_EXECUTOR_H
