// RUN: fqat-mlir-opt --fqat-clone-shared-modules --verify-diagnostics %s
// RUN: fqat-mlir-opt --fqat-clone-shared-modules=clone-params=share %s | FileCheck %s

// A copy of a module that updates its own state would see half of the updates.

fqat.module @"$" class "__torch__.Net" slots ["bn"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<1xi8>
fqat.module @bn class "__torch__.BatchNorm2d" slots ["running_mean"]
fqat.buffer @bn.running_mean : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], []>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @bn.forward(
  %0 = fqat.call @bn.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.call @bn1.forward(
  %1 = fqat.call @bn.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @bn.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @bn} {
  %m = fqat.get @bn.running_mean : !fqat.tensor
  %v = fqat.op "aten::view"(%m) aliases [0] : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{'bn' is called 2 times and writes its own state 'bn.running_mean'}}
  %0 = fqat.op "aten::batch_norm"(%x, %v) writes [1] : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
