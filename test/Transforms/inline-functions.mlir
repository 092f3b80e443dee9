// RUN: fqat-mlir-opt --fqat-inline-functions --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-inline-functions --fqat-inline-functions --split-input-file %s | FileCheck %s

// A function that computes a layer is inlined, and so is one that it calls for
// the same reason; one that computes nothing but tail stays a call.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Layers"
fqat.module @"$" class "__torch__.Layers" slots []
fqat.function @"$__torch__.inner"(%x: !fqat.tensor) -> !fqat.tensor {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.function @"$__torch__.outer"(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) {
  %0 = fqat.call_function @"$__torch__.inner"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0, %x : !fqat.tensor, !fqat.tensor
}
fqat.function @"$__torch__.tail"(%x: !fqat.tensor) -> !fqat.tensor {
  %0 = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @forward(%[[X:.*]]: !fqat.tensor)
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK-NEXT: %[[A:.*]] = fqat.op "aten::conv2d"(%[[X]])
  // CHECK-NEXT: %[[B:.*]] = fqat.call_function @"$__torch__.tail"(%[[A]])
  // CHECK-NEXT: fqat.return %[[B]], %[[X]]
  %0:2 = fqat.call_function @"$__torch__.outer"(%x) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  %1 = fqat.call_function @"$__torch__.tail"(%0#0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1, %0#1 : !fqat.tensor, !fqat.tensor
}

// -----

// Quantised work and tail in one; and a value that crosses before the function
// ends.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Mixed"
fqat.module @"$" class "__torch__.Mixed" slots []
fqat.function @"$__torch__.mixed"(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) {
  %0 = fqat.op "aten::mul"(%x, %x) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0, %1 : !fqat.tensor, !fqat.tensor
}
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: fqat.op "aten::conv2d"
  // CHECK-NEXT: fqat.op "aten::mul"
  // CHECK-NEXT: fqat.op "aten::sigmoid"
  // CHECK-NEXT: fqat.op "aten::conv2d"
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %0:2 = fqat.call_function @"$__torch__.mixed"(%a) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  %b = fqat.op "aten::conv2d"(%0#0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %b, %0#1 : !fqat.tensor, !fqat.tensor
}

// -----

// The root's own methods are the model's interface: what `forward` calls of them
// is inlined where a module is called, and the method stays as it is.

// CHECK-LABEL: fqat.module @"$" class "__torch__.OwnMethod"
fqat.module @"$" class "__torch__.OwnMethod" slots ["conv"]
fqat.module @conv class "__torch__.Conv" slots []
// CHECK: fqat.method @forward(%[[X:.*]]: !fqat.tensor)
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK-NEXT: %[[A:.*]] = fqat.call @conv.forward(%[[X]])
  // CHECK-NEXT: %[[B:.*]] = fqat.call @decode(%[[A]])
  // CHECK-NEXT: fqat.return %[[B]]
  %0 = fqat.call @features(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @decode(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK: fqat.method @features
// CHECK-NEXT: fqat.call @conv.forward
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.call @conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @decode
fqat.method @decode(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// An instance's own method, beside a tail: what moves out of the instance could
// not call it.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Cell"
fqat.module @"$" class "__torch__.Cell" slots ["cell"]
fqat.module @cell class "__torch__.LSTM" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %0:2 = fqat.call @cell.forward(%x) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  fqat.return %0#0, %0#1 : !fqat.tensor, !fqat.tensor
}
// CHECK: fqat.method @cell.forward
fqat.method @cell.forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @cell} {
  // CHECK-NEXT: fqat.op "aten::conv2d"
  // CHECK-NEXT: fqat.op "aten::squeeze"
  // CHECK-NEXT: fqat.op "aten::index_select"
  // CHECK-NEXT: fqat.return
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::squeeze"(%0) aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.call @cell.permute(%1) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0, %2 : !fqat.tensor, !fqat.tensor
}
fqat.method @cell.permute(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @cell} {
  %0 = fqat.op "aten::index_select"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
