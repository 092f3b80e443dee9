//===- ListReads.cpp - Reads of lists that are built up -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %l = fqat.list()
//   fqat.op "aten::append"(%l, %a)
//   %b = fqat.op "aten::__getitem__"(%l, %zero)  // becomes %a
//   %c = fqat.op "aten::cat"(%l, %one)           // reads fqat.list(%a)
//   fqat.return %l                               // stays
//
//===----------------------------------------------------------------------===//

#include "ListReads.h"

#include "fqat/IR/FQATOps.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

namespace fqat {

namespace {
/// What a list or dict holds at one point of its body.
struct Elements {
  /// Of a dict; null for a list.
  SmallVector<Attribute> keys;
  SmallVector<Value> values;
  bool isDict;

  /// The place of an element, or nothing if it is not known.
  std::optional<size_t> find(Value key) const;
  /// Follows a change; false if it is not known what it does.
  bool follow(OperatorOp op);
};
} // namespace

std::optional<size_t> Elements::find(Value key) const {
  Attribute constant = getConstant(key);
  if (!constant)
    return std::nullopt;
  if (isDict) {
    const auto *it = llvm::find(keys, constant);
    if (it == keys.end())
      return std::nullopt;
    return it - keys.begin();
  }
  return getPlace(constant, values.size());
}

bool Elements::follow(OperatorOp op) {
  StringRef name = op.getName();
  if (name == "aten::append" && !isDict && op.getNumOperands() == 2) {
    values.push_back(op.getOperand(1));
    return true;
  }
  if (name != "aten::_set_item" || op.getNumOperands() != 3)
    return false;
  if (std::optional<size_t> place = find(op.getOperand(1))) {
    values[*place] = op.getOperand(2);
    return true;
  }
  if (!isDict || !getConstant(op.getOperand(1)))
    return false;
  keys.push_back(getConstant(op.getOperand(1)));
  values.push_back(op.getOperand(2));
  return true;
}

bool forwardListReads(Operation *container) {
  Elements elements;
  elements.isDict = isa<DictOp>(container);
  for (auto [i, operand] : llvm::enumerate(container->getOperands())) {
    if (!elements.isDict || i % 2 == 1)
      elements.values.push_back(operand);
    else if (Attribute key = getConstant(operand))
      elements.keys.push_back(key);
    else
      return false;
  }
  Value list = container->getResult(0);
  bool changed = false;
  for (Operation *op = container->getNextNode(), *next; op; op = next) {
    next = op->getNextNode();
    bool readsInside = false;
    for (OpOperand &use : list.getUses())
      readsInside |= use.getOwner() != op && op->isAncestor(use.getOwner());
    auto oper = dyn_cast<OperatorOp>(op);
    bool reads = llvm::is_contained(op->getOperands(), list);
    // Bodies, callees and other lists may change it out of sight.
    if (readsInside || (reads && !oper && !isa<UnpackOp, ReturnOp>(op)))
      return changed;
    if (!reads || isa<ReturnOp>(op))
      continue;
    SmallVector<Value> values;
    if (oper && oper.isWritten(0) && oper.getOperand(0) == list) {
      if (!elements.follow(oper))
        return changed;
      // It returns the list itself.
      for (Value result : oper.getResults())
        if (result.getType() == list.getType())
          result.replaceAllUsesWith(list);
      continue;
    }
    if (oper && oper.hasWrites())
      return changed;
    if (oper && oper.getName() == "aten::__getitem__") {
      std::optional<size_t> place = elements.find(oper.getOperand(1));
      if (!place)
        continue;
      values = {elements.values[*place]};
    } else if (isa<UnpackOp>(op)) {
      if (elements.isDict || op->getNumResults() != elements.values.size())
        continue;
      values = elements.values;
    } else if (!elements.isDict && oper &&
               !llvm::any_of(oper.getResultTypes(), [&](Type type) {
                 return type == list.getType();
               })) {
      OpBuilder builder(op);
      auto copy = ListOp::create(builder, container->getLoc(), list.getType(),
                                 elements.values);
      op->replaceUsesOfWith(list, copy.getResult());
      changed = true;
      continue;
    } else {
      continue;
    }
    op->replaceAllUsesWith(values);
    op->erase();
    changed = true;
  }
  return changed;
}

} // namespace fqat
