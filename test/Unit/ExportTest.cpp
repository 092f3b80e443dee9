//===- ExportTest.cpp - Tests of what export hands to its check -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Export.h"
#include "fqat/IR/FQATOps.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace fqat;
using namespace mlir;

namespace {

// A weight, a constant that libtorch sees a number of, a child and a nop.
constexpr const char *source = R"mlir(
  fqat.module @"$" class "__torch__.Net" slots ["child", "out_nop"]
  fqat.storage @"$s0" "float32" on "cpu" = dense<[0, 0, 128, 63]> : tensor<4xi8>
  fqat.module @child class "__torch__.Child" slots ["weight"]
  fqat.parameter @child.weight : !fqat.tensor
    = #fqat.tensor<@"$s0", float32, [], [], requires_grad>
  fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
  fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor
      attributes {instance = @"$"} {
    %0 = fqat.call @child.forward(%x) : (!fqat.tensor) -> !fqat.tensor
    %1 = fqat.out_nop @out_nop(%0) : !fqat.tensor
    fqat.return %1 : !fqat.tensor
  }
  fqat.method @child.forward(%x: !fqat.tensor) -> !fqat.tensor
      attributes {instance = @child} {
    %w = fqat.get @child.weight : !fqat.tensor
    %c = fqat.constant #fqat.tensor<@"$s0", float32, [], []>
    %0 = fqat.op "aten::mul" overload "Tensor"(%x, %w)
      : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
    %1 = fqat.op "aten::mul" overload "Tensor"(%0, %c)
      : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
    fqat.return %1 : !fqat.tensor
  }
  fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor
      attributes {instance = @out_nop} {
    fqat.return %x : !fqat.tensor
  }
)mlir";

class ExportTest : public testing::Test {
protected:
  ExportTest() {
    context.loadDialect<FQATDialect>();
    model = parseSourceString<mlir::ModuleOp>(source, &context);
  }

  MLIRContext context;
  OwningOpRef<mlir::ModuleOp> model;
};

TEST_F(ExportTest, TheCheckSeesWhatAReaderWillSee) {
  ASSERT_TRUE(model);
  std::string written, symbols;
  bool hasNop = false, hasConstant = false;
  llvm::raw_string_ostream os(written);
  auto check = [&](mlir::ModuleOp seen) {
    EXPECT_TRUE(written.empty());
    for (auto method : seen.getOps<MethodOp>())
      symbols += (method.getSymName() + " ").str();
    seen.walk([&](OutNopOp nop) { hasNop = nop.getInstance() == "out_nop"; });
    seen.walk([&](ConstantOp constant) {
      auto tensor = dyn_cast<TensorAttr>(constant.getValue());
      if (!tensor)
        return;
      // The bytes are the original's, not those of what stands for them.
      auto storage = cast<StorageOp>(
          SymbolTable::lookupSymbolIn(seen, tensor.getStorage()));
      auto bytes = cast<DenseResourceElementsAttr>(storage.getBytes());
      llvm::ArrayRef<char> data = bytes.getRawHandle().getBlob()->getData();
      hasConstant = data.size() == 4 && data[3] == 63;
    });
    EXPECT_NE(seen, *model);
    return success();
  };
  ASSERT_TRUE(succeeded(exportTorchScript(*model, os, "out_nop", check)));
  EXPECT_EQ(symbols, "forward child.forward out_nop.forward ");
  EXPECT_TRUE(hasNop);
  EXPECT_TRUE(hasConstant);
  EXPECT_FALSE(written.empty());
}

TEST_F(ExportTest, NothingIsWrittenWhereTheCheckFails) {
  std::string written;
  llvm::raw_string_ostream os(written);
  auto check = [&](mlir::ModuleOp) { return failure(); };
  EXPECT_TRUE(failed(exportTorchScript(*model, os, "out_nop", check)));
  EXPECT_TRUE(written.empty());
}

} // namespace
