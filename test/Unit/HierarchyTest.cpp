//===- HierarchyTest.cpp - Tests of edits of the module tree -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace fqat;
using namespace mlir;

namespace {

constexpr const char *source = R"mlir(
  fqat.module @"$" class "__torch__.Net" slots ["conv", "conv3"]
  fqat.module @conv class "__torch__.Conv" slots ["weight", "tied"]
  fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<1xi8>
  fqat.parameter @conv.weight : !fqat.tensor
    = #fqat.tensor<@"$s0", float32, [], [], identity = 1>
  fqat.parameter @conv.tied : !fqat.tensor
    = #fqat.tensor<@"$s0", float32, [], [], identity = 1>
  fqat.module @conv3 class "__torch__.Conv" slots []
  fqat.method @conv.forward() -> !fqat.tensor attributes {instance = @conv} {
    %w = fqat.get @conv.weight : !fqat.tensor
    fqat.return %w : !fqat.tensor
  }
  fqat.method @conv.forward1() attributes {instance = @conv} {
    fqat.return
  }
)mlir";

class HierarchyTest : public testing::Test {
protected:
  HierarchyTest() {
    context.loadDialect<FQATDialect>();
    model = parseSourceString<mlir::ModuleOp>(source, &context);
  }
  fqat::ModuleOp get(llvm::StringRef symbol) {
    return cast<fqat::ModuleOp>(SymbolTable::lookupSymbolIn(*model, symbol));
  }

  MLIRContext context;
  OwningOpRef<mlir::ModuleOp> model;
};

TEST_F(HierarchyTest, FreshNamesAreFreeAndLoadable) {
  Hierarchy hierarchy(*model);
  fqat::ModuleOp root = get("$");
  EXPECT_EQ(hierarchy.getFreshName(root, "act", false), "act");
  EXPECT_EQ(hierarchy.getFreshName(root, "act", true), "act1");
  EXPECT_EQ(hierarchy.getFreshName(root, "conv", false), "conv1");
  // A number behind a number needs something in between.
  EXPECT_EQ(hierarchy.getFreshName(root, "conv3", false), "conv3_1");
  // TorchScript cannot load these.
  EXPECT_EQ(hierarchy.getFreshName(root, "class", false), "class1");
  EXPECT_EQ(hierarchy.getFreshName(root, "torch", false), "torch1");
  // Methods and attributes share one space.
  EXPECT_EQ(hierarchy.getFreshName(get("conv"), "forward", false), "forward2");
}

TEST_F(HierarchyTest, CopiesShareNothingButTiesInside) {
  Hierarchy hierarchy(*model);
  hierarchy.cloneSubtree(get("conv"), get("$"), "conv1", /*copyTensors=*/true);
  ASSERT_TRUE(succeeded(verify(*model)));
  auto valueOf = [&](llvm::StringRef slot) {
    return cast<TensorAttr>(
        getSlotValue(SymbolTable::lookupSymbolIn(*model, slot)));
  };
  EXPECT_EQ(valueOf("conv1.weight"), valueOf("conv1.tied"));
  EXPECT_NE(valueOf("conv1.weight").getStorage(),
            valueOf("conv.weight").getStorage());
  EXPECT_NE(valueOf("conv1.weight").getIdentity(),
            valueOf("conv.weight").getIdentity());
}

TEST_F(HierarchyTest, SharedCopiesHoldTheSameTensors) {
  Hierarchy hierarchy(*model);
  hierarchy.cloneSubtree(get("conv"), get("$"), "conv1", /*copyTensors=*/false);
  ASSERT_TRUE(succeeded(verify(*model)));
  EXPECT_EQ(getSlotValue(SymbolTable::lookupSymbolIn(*model, "conv1.weight")),
            getSlotValue(SymbolTable::lookupSymbolIn(*model, "conv.weight")));
}

TEST_F(HierarchyTest, ClonedMethodsNameTheCopy) {
  Hierarchy hierarchy(*model);
  hierarchy.cloneSubtree(get("conv"), get("$"), "conv1", /*copyTensors=*/true);
  auto method =
      cast<MethodOp>(SymbolTable::lookupSymbolIn(*model, "conv.forward"));
  MethodOp copy = hierarchy.cloneMethod(method, "conv", "conv1", "forward");
  ASSERT_TRUE(succeeded(verify(*model)));
  EXPECT_EQ(copy.getInstance(), "conv1");
  auto read = cast<GetOp>(copy.getBody().front().front());
  EXPECT_EQ(read.getSlot(), "conv1.weight");
}

TEST_F(HierarchyTest, MakeForwardSwapsNames) {
  Hierarchy hierarchy(*model);
  auto first =
      cast<MethodOp>(SymbolTable::lookupSymbolIn(*model, "conv.forward"));
  auto second =
      cast<MethodOp>(SymbolTable::lookupSymbolIn(*model, "conv.forward1"));
  hierarchy.makeForward(second);
  EXPECT_EQ(second.getSymName(), "conv.forward");
  EXPECT_EQ(first.getSymName(), "conv.forward1");
}

} // namespace
