// RUN: fqat-mlir-opt --fqat-insert-out-nop=anchors=linear %s | FileCheck %s --check-prefix=LINEAR
// RUN: fqat-mlir-opt --fqat-insert-out-nop=exclude=head.* %s | FileCheck %s --check-prefix=EXCLUDE
// RUN: fqat-mlir-opt --fqat-insert-out-nop=nop-name=quant_out %s | FileCheck %s --check-prefix=NAME
// RUN: not fqat-mlir-opt --fqat-insert-out-nop=anchors=pool %s 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: unknown anchors 'pool': there are conv and linear

fqat.module @"$" class "__torch__.Net" slots ["head"]
fqat.module @head class "__torch__.Head" slots ["dfl"]
fqat.module @head.dfl class "__torch__.DFL" slots []
// LINEAR: fqat.call @head.forward
// LINEAR-NEXT: fqat.return
// NAME: fqat.out_nop @quant_out(
// EXCLUDE: %[[H:.*]] = fqat.call @head.forward
// EXCLUDE-NEXT: fqat.return %[[H]]
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.call @head.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// The conv of the excluded instance is tail: the one before it is output conv.
// EXCLUDE: fqat.method @head.forward
// EXCLUDE-NEXT: %[[C:.*]] = fqat.op "aten::conv2d"
// EXCLUDE-NEXT: %[[N:.*]] = fqat.out_nop @head.out_nop(%[[C]])
// EXCLUDE-NEXT: fqat.call @head.dfl.forward(%[[N]])
fqat.method @head.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @head.dfl.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @head.dfl.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head.dfl} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
