// RUN: fqat-mlir-opt --fqat-insert-out-nop --verify-diagnostics %s

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
