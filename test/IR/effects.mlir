// RUN: fqat-mlir-opt --cse --canonicalize %s | FileCheck %s

// MLIR's own passes see the effects of the schema: they merge and drop what is
// pure, and leave alone what writes, draws or is seen from outside.

fqat.module @"$" class "__torch__.Net" slots []
// CHECK-LABEL: fqat.method @forward
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.constant 1 : i64
  // CHECK-NOT: fqat.constant
  %a = fqat.constant 1 : i64
  %b = fqat.constant 1 : i64
  // CHECK: "aten::relu_"
  %0 = fqat.op "aten::relu_"(%x) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  // CHECK: "aten::bernoulli"
  %1 = fqat.op "aten::bernoulli"(%x) random : (!fqat.tensor) -> !fqat.tensor
  // CHECK: "prim::Print"
  fqat.op "prim::Print"(%x) effects : (!fqat.tensor) -> ()
  // CHECK: "aten::add"
  %2 = fqat.op "aten::add"(%x, %a) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  // A second one reads memory that may have changed: it stays.
  // CHECK: "aten::add"
  %3 = fqat.op "aten::add"(%2, %b) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  fqat.return %3 : !fqat.tensor
}
