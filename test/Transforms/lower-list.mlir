// RUN: fqat-mlir-opt --fqat-lower-list %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-lower-list --fqat-lower-list %s | FileCheck %s

fqat.module @"$" class "__torch__.Net" slots []
// CHECK-LABEL: fqat.method @forward
// CHECK-SAME: %[[A:[^:]*]]: !fqat.tensor, %[[B:[^:]*]]: !fqat.tensor
fqat.method @forward(%a: !fqat.tensor, %b: !fqat.tensor) -> !fqat.list<tensor> attributes {instance = @"$"} {
  // CHECK-NEXT: %[[L:.*]] = fqat.list(%[[A]], %[[B]])
  // CHECK-NEXT: fqat.return %[[L]]
  %l = fqat.list(%a, %b) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %c = fqat.op "aten::list" overload "t"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c : !fqat.list<tensor>
}

// A list that something else reads stays beside its copy.
// CHECK-LABEL: fqat.method @read
fqat.method @read(%a: !fqat.tensor) -> (!fqat.list<tensor>, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[L:.*]] = fqat.list
  // CHECK: fqat.op "aten::cat"(%[[L]])
  // CHECK: %[[C:.*]] = fqat.list
  // CHECK: fqat.return %[[C]]
  %l = fqat.list(%a) : (!fqat.tensor) -> !fqat.list<tensor>
  %s = fqat.op "aten::cat"(%l) : (!fqat.list<tensor>) -> !fqat.tensor
  %c = fqat.op "aten::list" overload "t"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c, %s : !fqat.list<tensor>, !fqat.tensor
}
