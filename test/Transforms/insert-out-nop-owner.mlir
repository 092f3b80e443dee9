// RUN: fqat-mlir-opt --fqat-insert-out-nop=nop-instances=owner %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-insert-out-nop=nop-instances=owner --fqat-insert-out-nop=nop-instances=owner %s | FileCheck %s
// RUN: not fqat-mlir-opt --fqat-insert-out-nop=nop-instances=none %s 2>&1 | FileCheck %s --check-prefix=ERROR

// The crossing values of one owner share one nop.

// ERROR: nop-instances must be each or owner
// CHECK: fqat.module @"$" class "__torch__.Net" slots ["out_nop"]
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK-COUNT-2: fqat.out_nop @out_nop(
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %a, %b : !fqat.tensor, !fqat.tensor
}
