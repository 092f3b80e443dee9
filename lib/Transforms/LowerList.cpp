//===- LowerList.cpp - R2: list() -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %l = fqat.list(%a, %b)
//   %c = fqat.op "aten::list"(%l)                // becomes fqat.list(%a, %b)
//
//===----------------------------------------------------------------------===//

#include "fqat/Transforms/ChangeCounts.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_LOWERLISTPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct LowerList : public impl::LowerListPassBase<LowerList> {
  void runOnOperation() final;
};
} // namespace

/// The list that `op` copies, if its elements are still those that it was made
/// of.
static ListOp getUnchangedList(OperatorOp op) {
  auto list = op.getOperand(0).getDefiningOp<ListOp>();
  if (!list)
    return {};
  // Who gets hold of the list can change it.
  for (OpOperand &use : list->getUses()) {
    auto user = dyn_cast<OperatorOp>(use.getOwner());
    if (isa<UnpackOp>(use.getOwner()))
      continue;
    if (!user || user.isWritten(use.getOperandNumber()) || user.getEffects())
      return {};
  }
  return list;
}

void LowerList::runOnOperation() {
  SmallVector<std::pair<OperatorOp, ListOp>> work;
  bool failed = false;
  getOperation().walk([&](OperatorOp op) {
    if (op.getName() != "aten::list")
      return;
    if (ListOp list = getUnchangedList(op)) {
      work.push_back({op, list});
      return;
    }
    failed = true;
    op.emitError() << "list() of a list whose elements are not known here "
                      "cannot be replaced; append its elements one by one "
                      "instead [R2]";
  });
  if (failed)
    return signalPassFailure();
  for (auto [op, list] : work) {
    OpBuilder builder(op);
    auto copy = ListOp::create(builder, op.getLoc(), op.getResultTypes(),
                               list.getElements());
    op.getResult(0).replaceAllUsesWith(copy.getResult());
    op.erase();
    // A list that was made to be copied has no other use.
    if (list->use_empty())
      list.erase();
    ++numLowered;
    ++getAnalysis<ChangeCounts>().listsLowered;
  }
  if (work.empty())
    markAllAnalysesPreserved();
}

} // namespace fqat
