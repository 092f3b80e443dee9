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

#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeLog.h"
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

/// Appends the elements of a list, or the letters of a string, to a new list
/// one by one.
static Value appendElements(OperatorOp op) {
  OpBuilder builder(op);
  MLIRContext *context = op.getContext();
  Location loc = op.getLoc();
  Value source = op.getOperand(0);
  auto listType = cast<ListType>(op.getResult(0).getType());
  bool isString = isa<StrType>(source.getType());
  StringRef overload = isString ? "str" : "t";
  DenseI64ArrayAttr first =
      builder.getDenseI64ArrayAttr(SmallVector<int64_t>{0});
  // TorchScript keeps no line of an empty list.
  Location listLoc =
      makeNodeLoc(context, getPosition(loc), getInstancePath(loc), {});
  Value list = ListOp::create(builder, listLoc, listType, ValueRange());
  Value length = OperatorOp::create(builder, loc, "aten::len", overload, source,
                                    IntType::get(context))
                     .getResult(0);
  Value goesOn = ConstantOp::create(builder, loc, builder.getBoolAttr(true));
  auto loop =
      LoopOp::create(builder, loc, TypeRange(), length, goesOn, ValueRange());
  Block *body = builder.createBlock(&loop.getBody());
  Value index = body->addArgument(IntType::get(context), loc);
  auto element = OperatorOp::create(builder, loc, "aten::__getitem__", overload,
                                    {source, index}, listType.getElementType());
  if (!isString)
    element.setAliasesAttr(first);
  auto append = OperatorOp::create(builder, loc, "aten::append", "t",
                                   {list, element.getResult(0)}, listType);
  append.setWritesAttr(first);
  append.setAliasesAttr(first);
  YieldOp::create(builder, loc, goesOn);
  return list;
}

void LowerList::runOnOperation() {
  SmallVector<OperatorOp> work;
  getOperation().walk([&](OperatorOp op) {
    if (op.getName() == "aten::list")
      work.push_back(op);
  });
  for (OperatorOp op : work) {
    ListOp list = getUnchangedList(op);
    OpBuilder builder(op);
    Value copy = list ? ListOp::create(builder, op.getLoc(),
                                       op.getResultTypes(), list.getElements())
                            .getResult()
                      : appendElements(op);
    getAnalysis<ChangeLog>().add(
        Change::List, op.getLoc(), getInstanceOf(op),
        "list() is replaced: the elements are appended one by one");
    op.getResult(0).replaceAllUsesWith(copy);
    op.erase();
    // A list that was made to be copied has no other use.
    if (list && list->use_empty())
      list.erase();
    ++numLowered;
  }
  if (work.empty())
    markAllAnalysesPreserved();
}

} // namespace fqat
