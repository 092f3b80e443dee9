// A tensor that a part was written to, and the same put together of its parts.

// RUN: split-file %s %t
// RUN: fqat-mlir-opt %t/cat.mlir --fqat-prove=original=%t/model.mlir -o /dev/null
// RUN: not fqat-mlir-opt %t/swapped.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: not fqat-mlir-opt %t/gap.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: not fqat-mlir-opt %t/short.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: not fqat-mlir-opt %t/other-dim.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: not fqat-mlir-opt %t/other-tensor.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: not fqat-mlir-opt %t/dim.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=DIM
// RUN: not fqat-mlir-opt %t/wide-cat.mlir --fqat-prove=original=%t/wide.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: fqat-mlir-opt %t/convert-copy.mlir --fqat-prove=original=%t/convert.mlir -o /dev/null
// RUN: not fqat-mlir-opt %t/convert-cat.mlir --fqat-prove=original=%t/convert.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: not fqat-mlir-opt %t/mixed-cat.mlir --fqat-prove=original=%t/mixed.mlir -o /dev/null 2>&1 | FileCheck %s
// RUN: fqat-mlir-opt %t/order-changed.mlir --fqat-prove=original=%t/order.mlir -o /dev/null
// RUN: not fqat-mlir-opt %t/overlap-changed.mlir --fqat-prove=original=%t/overlap.mlir -o /dev/null 2>&1 | FileCheck %s

// CHECK: error: the fixed model is not shown to compute what the original does: output of 'forward' differs
// DIM: error: the fixed model is not shown to compute what the original does: what 'forward' checks differs

//--- model.mlir
// x[:, :4] = conv(x[:, :4])
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %a = fqat.op "aten::slice" overload "Tensor"(%h, %0, %0, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%a, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %b = fqat.op "aten::slice" overload "Tensor"(%h, %0, %0, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%b, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  fqat.op "aten::copy_"(%v, %c, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- cat.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- swapped.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%r, %c) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- gap.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %5, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- short.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %8, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- other-dim.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %2, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- other-tensor.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%x, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- dim.mlir
// A slice of all of a dimension that the original does not ask for.
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  %z = fqat.op "aten::slice" overload "Tensor"(%y, %4, %0, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  fqat.return %z : !fqat.tensor
}

//--- wide.mlir
// The convolution has other channels than the part: it may be spread over it.
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  fqat.op "aten::copy_"(%v, %c, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- wide-cat.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%c, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- convert.mlir
// A write converts to the dtype of what is written; cat would convert all.
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %d = fqat.op "aten::to" overload "dtype"(%c, %dtype, %false, %false, %none) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.bool, !fqat.bool, !fqat.none) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  fqat.op "aten::copy_"(%v, %d, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- convert-copy.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %d = fqat.op "aten::to" overload "dtype"(%c, %dtype, %false, %false, %none) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.bool, !fqat.bool, !fqat.none) -> !fqat.tensor
  %k = fqat.op "aten::clone"(%p, %none) : (!fqat.tensor, !fqat.none) -> !fqat.tensor
  fqat.op "aten::copy_"(%k, %d, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%k, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- convert-cat.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %p = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %4, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %c = fqat.op "aten::conv2d"(%p, %weight, %none, %ones, %ones, %ones, %1) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %d = fqat.op "aten::to" overload "dtype"(%c, %dtype, %false, %false, %none) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.bool, !fqat.bool, !fqat.none) -> !fqat.tensor
  %r = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%d, %r) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- mixed.mlir
// Of a tensor of one channel, [2:-1] takes nothing, and [-1:] all.
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %2, %last, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %n = fqat.op "aten::relu"(%v) : (!fqat.tensor) -> !fqat.tensor
  fqat.op "aten::copy_"(%v, %n, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- mixed-cat.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %2, %last, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %n = fqat.op "aten::relu"(%v) : (!fqat.tensor) -> !fqat.tensor
  %a = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %2, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %b = fqat.op "aten::slice" overload "Tensor"(%h, %1, %last, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %listy = fqat.list(%a, %n, %b) : (!fqat.tensor, !fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %y = fqat.op "aten::cat"(%listy, %1) : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

//--- order.mlir
// Parts that share nothing are written in any order.
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %2, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %w = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %m = fqat.op "aten::exp"(%v) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::exp"(%w) : (!fqat.tensor) -> !fqat.tensor
  fqat.op "aten::copy_"(%v, %m, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.op "aten::copy_"(%w, %n, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- order-changed.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %2, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %w = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %m = fqat.op "aten::exp"(%v) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::exp"(%w) : (!fqat.tensor) -> !fqat.tensor
  fqat.op "aten::copy_"(%w, %n, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.op "aten::copy_"(%v, %m, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- overlap.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %5, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %w = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %m = fqat.op "aten::exp"(%v) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::exp"(%w) : (!fqat.tensor) -> !fqat.tensor
  fqat.op "aten::copy_"(%v, %m, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.op "aten::copy_"(%w, %n, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}

//--- overlap-changed.mlir
fqat.module @"$" class "__torch__.Net" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %0 = fqat.constant 0 : i64
  %1 = fqat.constant 1 : i64
  %2 = fqat.constant 2 : i64
  %4 = fqat.constant 4 : i64
  %5 = fqat.constant 5 : i64
  %8 = fqat.constant 8 : i64
  %last = fqat.constant -1 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %dtype = fqat.constant 7 : i64
  %false = fqat.constant false
  %ones = fqat.list(%1, %1) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::slice" overload "Tensor"(%h, %1, %0, %5, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %w = fqat.op "aten::slice" overload "Tensor"(%h, %1, %4, %end, %1) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %m = fqat.op "aten::exp"(%v) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::exp"(%w) : (!fqat.tensor) -> !fqat.tensor
  fqat.op "aten::copy_"(%w, %n, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.op "aten::copy_"(%v, %m, %false) writes [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> ()
  fqat.return %h : !fqat.tensor
}
