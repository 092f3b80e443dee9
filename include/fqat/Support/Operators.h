//===- Operators.h - What is known of TorchScript's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What an `fqat.op` does not say of itself.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_OPERATORS_H
#define FQAT_SUPPORT_OPERATORS_H

#include "fqat/IR/FQATOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <optional>

namespace fqat {

/// Whether a type, or one that a list, tuple, dict or optional of it holds, is
/// wanted.
bool holdsType(mlir::Type type, llvm::function_ref<bool(mlir::Type)> isWanted);

/// Whether a value of this type may hold a tensor; what is in an object or an
/// Any is not known and does not count.
bool holdsTensor(mlir::Type type);

/// Whether an operator reads a tensor's size or kind, not its elements.
bool readsMetadataOnly(llvm::StringRef name);

/// Whether an operator makes a list of views that share no element with each
/// other.
bool splitsTensor(llvm::StringRef name);

/// Whether an operator hands its first operand on as it is, under another type
/// at most.
bool handsOn(llvm::StringRef name);

/// Whether an operator takes a list or dict and hands on some of its elements.
bool readsContainer(OperatorOp op);

/// The operand that says whether an operator runs in training, where it draws
/// random numbers or writes statistics; nothing if it has none.
std::optional<unsigned> getTrainingOperand(OperatorOp op);

/// Whether a call of an object's method is one of torch.no_grad and its like:
/// they change nothing that is computed.
bool isGradMode(OperatorOp op);

/// What autograd keeps of an operator until its backward has run, so that a
/// write to it in between is refused.
enum class Saved {
  Nothing,
  /// All tensors that it reads.
  Operands,
  /// Those that another operand's gradient is computed from: of `a * b`, each
  /// only if the other one has a gradient.
  Factors,
  /// The tensor that it makes.
  Result,
  /// Or any of these: nobody knows.
  All,
};

/// What autograd keeps of an operator, as PyTorch's derivatives.yaml says. An
/// in-place operator keeps a copy of what it writes, not the memory.
Saved getSaved(llvm::StringRef name);

/// Whether no gradient flows through an operator.
bool stopsGradient(llvm::StringRef name);

/// Whether an arm ends by raising: nothing of it is seen afterwards.
bool raises(mlir::Block &arm);

/// What a value is a view of, or one object with.
mlir::Value getAliasBase(mlir::Value value);

/// The constant that a value is, lists and tuples made of constants included
/// (as an array); null if it is none.
mlir::Attribute getConstant(mlir::Value value);

/// The ints that a constant list or tuple holds; nothing if it is none, or
/// holds anything else.
std::optional<llvm::SmallVector<int64_t>> getInts(mlir::Attribute value);

/// The place that an index means in a list of known length; nothing if it is
/// not known or not in the list.
std::optional<size_t> getPlace(mlir::Attribute index, size_t size);

} // namespace fqat

#endif // FQAT_SUPPORT_OPERATORS_H
