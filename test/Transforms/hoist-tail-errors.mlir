// RUN: fqat-mlir-opt --fqat-hoist-tail --split-input-file --verify-diagnostics %s

// A later in-place op of the quantised region writes what the tail reads, and a
// view relies on it.

fqat.module @"$" class "__torch__.Overwritten" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %view = fqat.op "aten::view"(%a) aliases [0] : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{the op of the tail is here, in '<root>'}}
  %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{this writes memory that the tail reads or writes before}}
  %r = fqat.op "aten::relu_"(%a) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%r, %view) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %s, %nb : !fqat.tensor, !fqat.tensor
}

// -----

// Random ops keep their order.

fqat.module @"$" class "__torch__.Random" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  // expected-note @below {{the op of the tail is here}}
  %s = fqat.op "aten::dropout"(%na) random : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{this draws random numbers, as the tail does before}}
  %d = fqat.op "aten::dropout"(%x) random : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%d) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %s, %nb : !fqat.tensor, !fqat.tensor
}

// -----

// The quantised region takes a size from the tail.

fqat.module @"$" class "__torch__.Size" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %s = fqat.op "aten::max_pool2d"(%na) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{the op of the tail is here}}
  %n = fqat.op "aten::size"(%s) : (!fqat.tensor) -> !fqat.int
  // expected-error @below {{the quantised region depends here, by a size or a number, on an op of the tail}}
  %v = fqat.op "aten::view"(%a, %n) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%v) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %s, %nb : !fqat.tensor, !fqat.tensor
}
