// RUN: fqat-mlir-opt --fqat-clone-shared-modules --split-input-file --verify-diagnostics %s

// A loop of unknown length.

fqat.module @"$" class "__torch__.Rounds" slots ["conv"]
fqat.module @conv class "__torch__.Conv" slots []
fqat.method @forward(%x: !fqat.tensor, %n: !fqat.int) -> !fqat.tensor attributes {instance = @"$"} {
  %true = fqat.constant true
  // expected-note @below {{the loop is here}}
  %y = fqat.loop %n while %true init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    // expected-error @below {{'conv' is called again and again by a loop of which the number of rounds is not known}}
    %0 = fqat.call @conv.forward(%x1) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %true, %0 : !fqat.bool, !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// A frozen file.

fqat.module @"$" class "__torch__.Frozen" slots []
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %w = fqat.constant #fqat.tensor<@"$s0", float32, [1], [1]>
  // expected-warning @below {{the weights of this layer are constants, and the model calls no module: it is frozen or inlined}}
  %0 = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
