// RUN: fqat-mlir-opt --fqat-insert-out-nop --split-input-file --verify-diagnostics %s

// One nop in a method that runs twice would serve two values.

fqat.module @"$" class "__torch__.Net" slots ["a"]
fqat.module @a class "__torch__.A" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0:2 = fqat.call @a.forward(%x) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  %1:2 = fqat.call @a.forward(%x) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  %2 = fqat.op "aten::add"(%0#0, %1#1) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %2 : !fqat.tensor
}
fqat.method @a.forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @a} {
  // expected-error @below {{'a' runs several times, so that one out_nop would serve several values}}
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0, %1 : !fqat.tensor, !fqat.tensor
}

// -----

// Named as a nop, and none.

fqat.module @"$" class "__torch__.Named" slots ["out_nop"]
fqat.module @out_nop class "__torch__.Conv2d" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // expected-error @below {{'out_nop' (Conv2d) is named as an out_nop, but is not known to return its argument as it is}}
  %y = fqat.call @out_nop.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  %y = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

// -----

// A value that crosses in each round of a loop of unknown length.

fqat.module @"$" class "__torch__.Rounds" slots []
fqat.method @forward(%x: !fqat.tensor, %n: !fqat.int) -> !fqat.tensor attributes {instance = @"$"} {
  %true = fqat.constant true
  // expected-note @below {{the loop is here}}
  %y = fqat.loop %n while %true init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    // expected-error @below {{this value leaves the quantised region in each round of a loop}}
    %0 = fqat.op "aten::conv2d"(%x1) : (!fqat.tensor) -> !fqat.tensor
    %1 = fqat.op "aten::sigmoid"(%0) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %true, %x : !fqat.bool, !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}
