//===- DeadOpsTest.cpp - Tests of what goes without a reader -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/DeadOps.h"
#include "fqat/IR/FQATOps.h"

#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace fqat;
using namespace mlir;

namespace {

/// Erases the dead ops of a `forward` with this body and these results; returns
/// the names of what is left, in order, those of inner bodies in brackets.
class DeadOpsTest : public testing::Test {
protected:
  DeadOpsTest() { context.loadDialect<FQATDialect>(); }

  std::string erase(llvm::StringRef arguments, llvm::StringRef results,
                    llvm::StringRef body) {
    std::string source =
        ("fqat.module @\"$\" class \"__torch__.Net\" slots []\n"
         "fqat.method @forward(" +
         arguments + ") -> (" + results +
         ") attributes {instance = @\"$\"} {\n" + body + "}\n")
            .str();
    model = parseSourceString<mlir::ModuleOp>(source, &context);
    if (!model)
      return "source does not parse";
    eraseDeadOps(*model);
    method = *model->getOps<MethodOp>().begin();
    return describe(method.getBody().front());
  }

  static std::string describe(Block &block) {
    std::string text;
    for (Operation &op : block) {
      auto oper = dyn_cast<OperatorOp>(op);
      text += text.empty() ? "" : " ";
      text += oper ? oper.getName() : op.getName().stripDialect();
      for (Region &region : op.getRegions())
        text += "[" + describe(region.front()) + "]";
    }
    return text;
  }

  MLIRContext context;
  OwningOpRef<mlir::ModuleOp> model;
  MethodOp method;
};

TEST_F(DeadOpsTest, EffectsStay) {
  EXPECT_EQ(erase("%x: !fqat.tensor", "!fqat.tensor", R"mlir(
    %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
    %1 = fqat.op "aten::rand_like"(%x) random : (!fqat.tensor) -> !fqat.tensor
    fqat.return %x : !fqat.tensor
  )mlir"),
            "aten::rand_like return");
}

TEST_F(DeadOpsTest, OneArmOfAStaticIfStays) {
  EXPECT_EQ(erase("%x: !fqat.tensor", "!fqat.tensor", R"mlir(
    %none = fqat.constant unit
    %is = fqat.op "aten::__is__"(%x, %none)
      : (!fqat.tensor, !fqat.none) -> !fqat.bool
    %not = fqat.op "aten::__not__"(%is) : (!fqat.bool) -> !fqat.bool
    %0 = fqat.if %not -> !fqat.tensor {
      %1 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
      fqat.yield %1 : !fqat.tensor
    } else {
      %1 = fqat.op "aten::tanh"(%x) : (!fqat.tensor) -> !fqat.tensor
      fqat.yield %1 : !fqat.tensor
    }
    fqat.return %0 : !fqat.tensor
  )mlir"),
            "aten::relu return");
}

TEST_F(DeadOpsTest, AnOptionalDecidesNothing) {
  EXPECT_EQ(erase("%x: !fqat.optional<tensor>", "!fqat.bool", R"mlir(
    %none = fqat.constant unit
    %is = fqat.op "aten::__is__"(%x, %none)
      : (!fqat.optional<tensor>, !fqat.none) -> !fqat.bool
    %0 = fqat.if %is -> !fqat.bool {
      fqat.yield %is : !fqat.bool
    } else {
      %1 = fqat.op "aten::__not__"(%is) : (!fqat.bool) -> !fqat.bool
      fqat.yield %1 : !fqat.bool
    }
    fqat.return %0 : !fqat.bool
  )mlir"),
            "constant aten::__is__ if[yield][aten::__not__ yield] return");
}

TEST_F(DeadOpsTest, AStaticIfInsideAStaticIf) {
  EXPECT_EQ(erase("%x: !fqat.tensor", "!fqat.tensor", R"mlir(
    %true = fqat.constant true
    %0 = fqat.if %true -> !fqat.tensor {
      %2 = fqat.if %true -> !fqat.tensor {
        %1 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
        fqat.yield %1 : !fqat.tensor
      } else {
        fqat.yield %x : !fqat.tensor
      }
      fqat.yield %2 : !fqat.tensor
    } else {
      fqat.yield %x : !fqat.tensor
    }
    fqat.return %0 : !fqat.tensor
  )mlir"),
            "aten::relu return");
}

TEST_F(DeadOpsTest, ATupleThatIsTakenApartGoes) {
  EXPECT_EQ(erase("%x: !fqat.tensor, %y: !fqat.tensor", "!fqat.tensor", R"mlir(
    %0 = fqat.tuple(%x, %y)
      : (!fqat.tensor, !fqat.tensor) -> !fqat.tuple<tensor, tensor>
    %1:2 = fqat.unpack %0
      : (!fqat.tuple<tensor, tensor>) -> (!fqat.tensor, !fqat.tensor)
    fqat.return %1#1 : !fqat.tensor
  )mlir"),
            "return");
  Operation *end = method.getBody().front().getTerminator();
  EXPECT_EQ(end->getOperand(0), method.getArgument(1));
}

TEST_F(DeadOpsTest, AnElementOfATupleIsHandedOn) {
  EXPECT_EQ(erase("%x: !fqat.tensor, %y: !fqat.tensor", "!fqat.tensor", R"mlir(
    %last = fqat.constant -1 : i64
    %0 = fqat.tuple(%x, %y)
      : (!fqat.tensor, !fqat.tensor) -> !fqat.tuple<tensor, tensor>
    %1 = fqat.op "prim::TupleIndex"(%0, %last)
      : (!fqat.tuple<tensor, tensor>, !fqat.int) -> !fqat.tensor
    fqat.return %1 : !fqat.tensor
  )mlir"),
            "return");
  Operation *end = method.getBody().front().getTerminator();
  EXPECT_EQ(end->getOperand(0), method.getArgument(1));
}

TEST_F(DeadOpsTest, AListThatIsOnlyWrittenGoes) {
  EXPECT_EQ(erase("%x: !fqat.tensor", "!fqat.tensor", R"mlir(
    %0 = fqat.list(%x) : (!fqat.tensor) -> !fqat.list<tensor>
    %1 = fqat.op "aten::append"(%0, %x) writes [0] aliases [0]
      : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
    fqat.return %x : !fqat.tensor
  )mlir"),
            "return");
}

TEST_F(DeadOpsTest, WhatOnlyAnUnreadResultNeedsGoes) {
  EXPECT_EQ(erase("%c: !fqat.bool, %x: !fqat.tensor", "!fqat.tensor", R"mlir(
    %0:2 = fqat.if %c -> !fqat.tensor, !fqat.tensor {
      %1 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
      fqat.yield %x, %1 : !fqat.tensor, !fqat.tensor
    } else {
      %1 = fqat.op "aten::tanh"(%x) : (!fqat.tensor) -> !fqat.tensor
      fqat.yield %1, %x : !fqat.tensor, !fqat.tensor
    }
    fqat.return %0#0 : !fqat.tensor
  )mlir"),
            "if[yield][aten::tanh yield] return");
}

TEST_F(DeadOpsTest, ResultsOfAnIfStandInTheOrderOfTheirReaders) {
  EXPECT_EQ(erase("%c: !fqat.bool, %x: !fqat.tensor, %y: !fqat.tensor",
                  "!fqat.tensor, !fqat.tensor", R"mlir(
    %0:3 = fqat.if %c -> !fqat.tensor, !fqat.tensor, !fqat.tensor {
      fqat.yield %x, %y, %x : !fqat.tensor, !fqat.tensor, !fqat.tensor
    } else {
      fqat.yield %y, %x, %y : !fqat.tensor, !fqat.tensor, !fqat.tensor
    }
    fqat.return %0#2, %0#0 : !fqat.tensor, !fqat.tensor
  )mlir"),
            "if[yield][yield] return");
  auto branch = cast<IfOp>(method.getBody().front().front());
  Operation *end = method.getBody().front().getTerminator();
  EXPECT_EQ(branch->getNumResults(), 2U);
  EXPECT_EQ(end->getOperand(0), branch->getResult(0));
  EXPECT_EQ(end->getOperand(1), branch->getResult(1));
}

} // namespace
