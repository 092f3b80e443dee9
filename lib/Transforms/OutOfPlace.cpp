//===- OutOfPlace.cpp - A write that becomes out of place -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "OutOfPlace.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace fqat {

bool writesFirstOperand(OperatorOp op) {
  return op && op.getNumResults() == 1 && op.hasWrites() &&
         op.getWrites()->size() == 1 && op.isWritten(0) &&
         op.getAliasedOperand(0) == 0;
}

/// The operator that computes the same bits out of place, whatever the kind of
/// the tensor; empty if none does.
static StringRef getFunctionalName(OperatorOp op) {
  static const llvm::StringSet<> names = {
      "aten::relu_",           "aten::relu6_",     "aten::hardtanh_",
      "aten::leaky_relu_",     "aten::elu_",       "aten::celu_",
      "aten::selu_",           "aten::silu_",      "aten::mish_",
      "aten::gelu_",           "aten::hardswish_", "aten::hardsigmoid_",
      "aten::sigmoid_",        "aten::tanh_",      "aten::dropout_",
      "aten::feature_dropout_"};
  return names.contains(op.getName()) ? op.getName().drop_back() : StringRef();
}

void makeOutOfPlace(OperatorOp op) {
  OpBuilder builder(op);
  StringRef name = getFunctionalName(op);
  if (!name.empty()) {
    op.setNameAttr(builder.getStringAttr(name));
    op.removeWritesAttr();
    op.removeAliasesAttr();
    return;
  }
  Value none = ConstantOp::create(builder, op.getLoc(), builder.getUnitAttr());
  auto copy =
      OperatorOp::create(builder, op.getLoc(), "aten::clone", "",
                         {op.getOperand(0), none}, op.getOperand(0).getType());
  op->setOperand(0, copy.getResult(0));
}

} // namespace fqat
