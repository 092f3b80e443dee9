// RUN: fqat-mlir-opt --fqat-functionalize --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-functionalize --fqat-functionalize --split-input-file %s | FileCheck %s

// A convolution keeps the part that it reads, and its result is written there.
// It has the sizes and the dtype of the part, so that it takes its place.
// CHECK-LABEL: fqat.module @"$" class "__torch__.PartialConv"
fqat.module @"$" class "__torch__.PartialConv" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<576xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [4, 4, 3, 3], [36, 9, 3, 1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[X:.*]] = fqat.op "aten::clone"
  // CHECK: %[[PART:.*]] = fqat.op "aten::slice"
  // CHECK: %[[CONV:.*]] = fqat.op "aten::conv2d"(%[[PART]]
  // CHECK: %[[DIM:.*]] = fqat.constant 1 : i64
  // CHECK: %[[C:.*]] = fqat.constant 4 : i64
  // CHECK: %[[REST:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[X]], %[[DIM]], %[[C]],
  // CHECK-NEXT: %[[LIST:.*]] = fqat.list(%[[CONV]], %[[REST]])
  // CHECK-NEXT: %[[CAT:.*]] = fqat.op "aten::cat"(%[[LIST]], %[[DIM]])
  // CHECK-NEXT: fqat.return %[[CAT]]
  %weight = fqat.get @weight : !fqat.tensor
  %none = fqat.constant unit
  %zero = fqat.constant 0 : i64
  %one = fqat.constant 1 : i64
  %c = fqat.constant 4 : i64
  %end = fqat.constant 9223372036854775807 : i64
  %false = fqat.constant false
  %ones = fqat.list(%one, %one) : (!fqat.int, !fqat.int) -> !fqat.list<int>
  %h = fqat.op "aten::clone"(%x, %none) : (!fqat.tensor, !fqat.none) -> !fqat.tensor
  %0 = fqat.op "aten::slice" overload "Tensor"(%h, %one, %zero, %c, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %1 = fqat.op "aten::conv2d"(%0, %weight, %none, %ones, %ones, %ones, %one) : (!fqat.tensor, !fqat.tensor, !fqat.none, !fqat.list<int>, !fqat.list<int>, !fqat.list<int>, !fqat.int) -> !fqat.tensor
  %2 = fqat.op "aten::slice" overload "Tensor"(%h, %zero, %zero, %end, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %3 = fqat.op "aten::slice" overload "Tensor"(%2, %one, %zero, %c, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %4 = fqat.op "aten::copy_"(%3, %1, %false) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> !fqat.tensor
  fqat.return %h : !fqat.tensor
}

// -----

// What may have other sizes or another dtype is copied to a copy of the part.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Middle"
fqat.module @"$" class "__torch__.Middle" slots ["weight"]
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[S:.*]] = fqat.op "aten::sigmoid"
  // CHECK: %[[PART:.*]] = fqat.op "aten::slice"
  // CHECK: %[[COPY:.*]] = fqat.op "aten::clone"(%[[PART]]
  // CHECK: %[[NEW:.*]] = fqat.op "aten::copy_"(%[[COPY]], %{{.*}}) writes [0]
  // CHECK: %[[FRONT:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[S]],
  // CHECK: %[[BACK:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[S]],
  // CHECK-NEXT: fqat.list(%[[FRONT]], %[[NEW]], %[[BACK]])
  // CHECK-NEXT: %[[CAT:.*]] = fqat.op "aten::cat"
  // CHECK-NEXT: fqat.return %[[CAT]]
  %w = fqat.get @weight : !fqat.tensor
  %minus = fqat.constant -1 : i64
  %one = fqat.constant 1 : i64
  %b = fqat.constant 2 : i64
  %e = fqat.constant 4 : i64
  %two = fqat.constant 2.0 : f64
  %false = fqat.constant false
  %h = fqat.op "aten::mul" overload "Tensor"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%h) : (!fqat.tensor) -> !fqat.tensor
  %0 = fqat.op "aten::slice" overload "Tensor"(%s, %minus, %b, %e, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %1 = fqat.op "aten::mul" overload "Scalar"(%0, %two) : (!fqat.tensor, !fqat.float) -> !fqat.tensor
  %2 = fqat.op "aten::copy_"(%0, %1, %false) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> !fqat.tensor
  fqat.return %s : !fqat.tensor
}
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>

// -----

// A part of a part, by an index; a view that was taken before the write sees it.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Nested"
fqat.module @"$" class "__torch__.Nested" slots ["weight"]
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[S:.*]] = fqat.op "aten::sigmoid"
  // CHECK: %[[OUTER:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[S]]
  // CHECK: %[[INNER:.*]] = fqat.op "aten::select" overload "int"(%[[OUTER]]
  // CHECK: %[[NEW:.*]] = fqat.op "aten::relu"(%[[INNER]])
  // CHECK: %[[FRONT:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[OUTER]],
  // CHECK: %[[UP:.*]] = fqat.op "aten::unsqueeze"(%[[NEW]]
  // CHECK: fqat.list(%[[FRONT]], %[[UP]])
  // CHECK-NEXT: %[[PART:.*]] = fqat.op "aten::cat"
  // CHECK: %[[BACK:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[S]],
  // CHECK-NEXT: fqat.list(%[[PART]], %[[BACK]])
  // CHECK-NEXT: %[[WHOLE:.*]] = fqat.op "aten::cat"
  // CHECK-NEXT: %[[VIEW:.*]] = fqat.op "aten::unsqueeze"(%[[WHOLE]]
  // CHECK-NEXT: fqat.return %[[WHOLE]], %[[VIEW]]
  %w = fqat.get @weight : !fqat.tensor
  %zero = fqat.constant 0 : i64
  %one = fqat.constant 1 : i64
  %two = fqat.constant 2 : i64
  %last = fqat.constant -1 : i64
  %h = fqat.op "aten::mul" overload "Tensor"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%h) : (!fqat.tensor) -> !fqat.tensor
  %v = fqat.op "aten::unsqueeze"(%s, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %0 = fqat.op "aten::slice" overload "Tensor"(%s, %one, %zero, %two, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %1 = fqat.op "aten::select" overload "int"(%0, %two, %last) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int) -> !fqat.tensor
  %2 = fqat.op "aten::relu_"(%1) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %s, %v : !fqat.tensor, !fqat.tensor
}
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>

// -----

// Only where autograd refuses. Nobody keeps what the first activation and the
// addition write; the other two write what an activation and a convolution keep.
// What has no other form writes a copy. The oldest name reads the last version.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Where"
fqat.module @"$" class "__torch__.Where" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[B:.*]] = fqat.op "aten::relu_"(%[[A]]) writes [0]
  // CHECK-NEXT: %[[C:.*]] = fqat.op "aten::mul" overload "Scalar"(%[[B]]
  // CHECK-NEXT: %[[D:.*]] = fqat.op "aten::silu"(%[[B]]) :
  // CHECK-NEXT: %[[E:.*]] = fqat.op "aten::add_" overload "Tensor"(%[[C]], %[[D]]) writes [0]
  // CHECK-NEXT: %[[F:.*]] = fqat.op "aten::conv2d"(%[[D]]
  // CHECK: %[[COPY:.*]] = fqat.op "aten::clone"(%[[D]]
  // CHECK-NEXT: %[[G:.*]] = fqat.op "aten::mul_" overload "Tensor"(%[[COPY]], %[[E]]) writes [0]
  // CHECK-NEXT: fqat.op "aten::add" overload "Tensor"(%[[F]], %[[G]])
  %w = fqat.get @weight : !fqat.tensor
  %three = fqat.constant 3.0 : f64
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::relu_"(%a) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.op "aten::mul" overload "Scalar"(%b, %three) : (!fqat.tensor, !fqat.float) -> !fqat.tensor
  %d = fqat.op "aten::silu_"(%b) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %e = fqat.op "aten::add_" overload "Tensor"(%c, %d) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %f = fqat.op "aten::conv2d"(%d, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %g = fqat.op "aten::mul_" overload "Tensor"(%d, %e) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %i = fqat.op "aten::add" overload "Tensor"(%f, %a) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %i : !fqat.tensor
}

// -----

// Without a gradient nothing is kept.
// CHECK-LABEL: fqat.module @"$" class "__torch__.NoGradient"
fqat.module @"$" class "__torch__.NoGradient" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.op "aten::relu_"
  %s = fqat.op "aten::sigmoid"(%x) : (!fqat.tensor) -> !fqat.tensor
  %r = fqat.op "aten::relu_"(%s) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r : !fqat.tensor
}

// -----

// The caller reads the tensor by the name that it handed in: the call's result
// is its new version, or is given one.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Callers"
fqat.module @"$" class "__torch__.Callers" slots ["weight", "act", "scale"]
fqat.module @act class "__torch__.Act" slots []
fqat.module @scale class "__torch__.Scale" slots []
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
// CHECK: fqat.method @forward
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[B:.*]] = fqat.op "aten::exp"(%[[A]])
  // CHECK-NEXT: %[[C:.*]] = fqat.call @act.forward(%[[B]])
  // CHECK-NEXT: %[[D:.*]] = fqat.op "aten::add" overload "Tensor"(%[[C]], %[[C]])
  // CHECK-NEXT: %[[E:.*]] = fqat.op "aten::exp"(%[[D]])
  // CHECK-NEXT: %[[F:.*]]:2 = fqat.call @scale.forward(%[[E]])
  // CHECK-NEXT: %[[G:.*]] = fqat.op "aten::add" overload "Tensor"(%[[F]]#1, %[[F]]#0)
  // CHECK-NEXT: fqat.return %[[G]]
  %w = fqat.get @weight : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::exp"(%a) : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.call @act.forward(%b) : (!fqat.tensor) -> !fqat.tensor
  %d = fqat.op "aten::add" overload "Tensor"(%b, %c) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %e = fqat.op "aten::exp"(%d) : (!fqat.tensor) -> !fqat.tensor
  %f = fqat.call @scale.forward(%e) : (!fqat.tensor) -> !fqat.tensor
  %g = fqat.op "aten::add" overload "Tensor"(%e, %f) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %g : !fqat.tensor
}
// CHECK: fqat.method @act.forward
fqat.method @act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act} {
  // CHECK: fqat.op "aten::relu"(
  %0 = fqat.op "aten::relu_"(%x) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @scale.forward
fqat.method @scale.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @scale} {
  // CHECK: %[[NEW:.*]] = fqat.op "aten::zero_"
  // CHECK-NEXT: %[[MEAN:.*]] = fqat.op "aten::mean"
  // CHECK-NEXT: fqat.return %[[MEAN]], %[[NEW]]
  %0 = fqat.op "aten::zero_"(%x) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::mean"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}

// -----

// An arm hands its version out; the other one hands on what was there.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Arm"
fqat.module @"$" class "__torch__.Arm" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[B:.*]] = fqat.op "aten::exp"
  // CHECK-NEXT: %[[V:.*]] = fqat.if
  // CHECK-NEXT: %[[R:.*]] = fqat.op "aten::relu"(%[[B]]) :
  // CHECK-NEXT: fqat.yield %[[R]]
  // CHECK: fqat.yield %[[B]]
  // CHECK: fqat.return %[[V]]
  %w = fqat.get @weight : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::exp"(%a) : (!fqat.tensor) -> !fqat.tensor
  fqat.if %c {
    %r = fqat.op "aten::relu_"(%b) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
    fqat.yield
  } else {
    fqat.yield
  }
  fqat.return %b : !fqat.tensor
}

// -----

// A write to one of several views that one op made is refused at once. So is
// none to what only looks like it.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Chunks"
fqat.module @"$" class "__torch__.Chunks" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[P:.*]]:2 = fqat.unpack
  // CHECK-NEXT: %[[R:.*]] = fqat.op "aten::relu"(%[[P]]#0) :
  // CHECK: %[[Q:.*]]:2 = fqat.unpack
  // CHECK-NEXT: fqat.op "aten::relu_"(%[[Q]]#0) writes [0]
  // CHECK: fqat.return %[[R]]
  %two = fqat.constant 2 : i64
  %one = fqat.constant 1 : i64
  %w = fqat.get @weight : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %0 = fqat.op "aten::chunk"(%a, %two, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int) -> !fqat.list<tensor>
  %1:2 = fqat.unpack %0 : (!fqat.list<tensor>) -> (!fqat.tensor, !fqat.tensor)
  %2 = fqat.op "aten::relu_"(%1#0) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %3 = fqat.op "aten::unsafe_chunk"(%b, %two, %one) : (!fqat.tensor, !fqat.int, !fqat.int) -> !fqat.list<tensor>
  %4:2 = fqat.unpack %3 : (!fqat.list<tensor>) -> (!fqat.tensor, !fqat.tensor)
  %5 = fqat.op "aten::relu_"(%4#0) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %6 = fqat.op "aten::sigmoid_"(%4#1) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %7 = fqat.op "aten::add" overload "Tensor"(%1#1, %6) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %8 = fqat.op "aten::add" overload "Tensor"(%7, %5) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %1#0, %8 : !fqat.tensor, !fqat.tensor
}

// -----

// A transposed tensor has no parts that could be put together, and places that
// are counted from both ends may lie either way: the write goes to a copy.
// CHECK-LABEL: fqat.module @"$" class "__torch__.Copied"
fqat.module @"$" class "__torch__.Copied" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::exp"
  // CHECK: %[[B:.*]] = fqat.op "aten::clone"(%[[A]]
  // CHECK-NEXT: %[[T:.*]] = fqat.op "aten::transpose"(%[[B]]
  // CHECK-NEXT: fqat.op "aten::relu_"(%[[T]])
  // CHECK: %[[C:.*]] = fqat.op "aten::exp"
  // CHECK: %[[D:.*]] = fqat.op "aten::clone"(%[[C]]
  // CHECK-NEXT: %[[S:.*]] = fqat.op "aten::slice" overload "Tensor"(%[[D]]
  // CHECK-NEXT: fqat.op "aten::relu_"(%[[S]])
  // CHECK: fqat.return %[[B]], %[[D]]
  %w = fqat.get @weight : !fqat.tensor
  %zero = fqat.constant 0 : i64
  %one = fqat.constant 1 : i64
  %two = fqat.constant 2 : i64
  %last = fqat.constant -1 : i64
  %h = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %a = fqat.op "aten::exp"(%h) : (!fqat.tensor) -> !fqat.tensor
  %t = fqat.op "aten::transpose"(%a, %zero, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int) -> !fqat.tensor
  %b = fqat.op "aten::relu_"(%t) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.op "aten::exp"(%h) : (!fqat.tensor) -> !fqat.tensor
  %s = fqat.op "aten::slice" overload "Tensor"(%c, %zero, %two, %last, %one) aliases [0] : (!fqat.tensor, !fqat.int, !fqat.int, !fqat.int, !fqat.int) -> !fqat.tensor
  %d = fqat.op "aten::relu_"(%s) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %a, %c : !fqat.tensor, !fqat.tensor
}
