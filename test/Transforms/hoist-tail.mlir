// RUN: fqat-mlir-opt --fqat-hoist-tail --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-hoist-tail --fqat-hoist-tail --split-input-file %s | FileCheck %s

// In one body: a stable reorder, lists along with their readers.

// CHECK-LABEL: fqat.module @"$" class "__torch__.OneBody"
fqat.module @"$" class "__torch__.OneBody" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[NA:.*]] = fqat.out_nop @out_nop(%[[A]])
  // CHECK-NEXT: %[[B:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @out_nop1(%[[B]])
  // CHECK-NEXT: %[[L:.*]] = fqat.list(%[[NA]])
  // CHECK-NEXT: %[[C:.*]] = fqat.op "aten::cat"(%[[L]])
  // CHECK-NEXT: %[[D:.*]] = fqat.op "aten::sigmoid"(%[[C]])
  // CHECK-NEXT: fqat.op "aten::add"(%[[D]], %[[NB]])
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %l = fqat.list(%na) : (!fqat.tensor) -> !fqat.list<tensor>
  %c = fqat.op "aten::cat"(%l) : (!fqat.list<tensor>) -> !fqat.tensor
  %d = fqat.op "aten::sigmoid"(%c) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  %e = fqat.op "aten::add"(%d, %nb) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %e : !fqat.tensor
}

// -----

// A head per level with its own tail: the tail leaves each head, also the last
// one's, which is of the same class; the heads return what their convs made.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Levels"
fqat.module @"$" class "__torch__.Levels" slots ["h0", "h1"]
fqat.module @h0 class "__torch__.Head" slots ["out_nop", "scale"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.buffer @h0.scale : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], []>
fqat.module @h0.out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @h1 class "__torch__.___torch_mangle_1.Head" slots ["out_nop"]
fqat.module @h1.out_nop class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.call @h0.forward
  // CHECK: %[[B:.*]] = fqat.call @h1.forward
  // The sizes and slots that the tail reads come along.
  // CHECK-NEXT: %[[SIZE:.*]] = fqat.op "aten::size"(%[[A]])
  // CHECK-NEXT: %[[V:.*]] = fqat.op "aten::view"(%[[A]], %[[SIZE]])
  // CHECK-NEXT: %[[SCALE:.*]] = fqat.get @h0.scale
  // CHECK-NEXT: %[[M:.*]] = fqat.op "aten::mul"(%[[V]], %[[SCALE]])
  // CHECK: %[[W:.*]] = fqat.op "aten::view"(%[[B]])
  // CHECK: fqat.op "aten::add"(%[[M]], %[[W]])
  %0 = fqat.call @h0.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @h1.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.op "aten::add"(%0, %1) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %2 : !fqat.tensor
}
// CHECK: fqat.method @h0.forward
// CHECK-NEXT: fqat.op "aten::conv2d"
// CHECK-NEXT: %[[N:.*]] = fqat.out_nop
// CHECK-NEXT: fqat.return %[[N]]
fqat.method @h0.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @h0} {
  %c = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.out_nop @h0.out_nop(%c) : !fqat.tensor
  %s = fqat.op "aten::size"(%n) : (!fqat.tensor) -> !fqat.int
  %v = fqat.op "aten::view"(%n, %s) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %w = fqat.get @h0.scale : !fqat.tensor
  %m = fqat.op "aten::mul"(%v, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %m : !fqat.tensor
}
// CHECK: fqat.method @h1.forward
// CHECK-NEXT: fqat.op "aten::conv2d"
// CHECK-NEXT: %[[N:.*]] = fqat.out_nop
// CHECK-NEXT: fqat.return %[[N]]
fqat.method @h1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @h1} {
  %c = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.out_nop @h1.out_nop(%c) : !fqat.tensor
  %v = fqat.op "aten::view"(%n) aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %v : !fqat.tensor
}

// -----

// A call that does nothing but tail moves whole, and brings what it needs.

// CHECK-LABEL: fqat.module @"$" class "__torch__.TailModule"
fqat.module @"$" class "__torch__.TailModule" slots ["out_nop", "out_nop1", "decode"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.module @decode class "__torch__.Decode" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: fqat.out_nop @out_nop(
  // CHECK-NOT: fqat.call
  // CHECK: fqat.out_nop @out_nop1(
  // CHECK-NEXT: fqat.call @decode.forward
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %d = fqat.call @decode.forward(%na) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %d, %nb : !fqat.tensor, !fqat.tensor
}
fqat.method @decode.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @decode} {
  %0 = fqat.op "aten::exp"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// The callee that runs the last out_nop takes what the tail makes: what it does
// with that moves out, and it takes it no more.

// CHECK-LABEL: fqat.module @"$" class "__torch__.TailArgument"
fqat.module @"$" class "__torch__.TailArgument" slots ["out_nop", "m"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @m class "__torch__.M" slots ["out_nop"]
fqat.module @m.out_nop class "__torch__.fqat.OutNop" slots []
// CHECK: fqat.method @forward(%[[X:.*]]: !fqat.tensor)
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[N:.*]] = fqat.out_nop @out_nop(
  // CHECK-NEXT: %[[M:.*]] = fqat.call @m.forward(%[[X]]) : (!fqat.tensor) -> !fqat.tensor
  // CHECK-NEXT: %[[S:.*]] = fqat.op "aten::sigmoid"(%[[N]])
  // CHECK-NEXT: fqat.op "aten::mul"(%[[S]], %[[M]])
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%n) : (!fqat.tensor) -> !fqat.tensor
  %r = fqat.call @m.forward(%s, %x) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %r : !fqat.tensor
}
fqat.method @m.forward(%t: !fqat.tensor, %x: !fqat.tensor) -> !fqat.tensor attributes {instance = @m} {
  %c = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.out_nop @m.out_nop(%c) : !fqat.tensor
  %r = fqat.op "aten::mul"(%t, %n) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %r : !fqat.tensor
}

// -----

// The tail of an arm that ends before the last out_nop goes to a second if; what
// it reads of the arm comes along.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Arms"
fqat.module @"$" class "__torch__.Arms" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
// CHECK: fqat.method @forward(%[[X:.*]]: !fqat.tensor, %[[C:.*]]: !fqat.bool)
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK-NEXT: %[[IF:.*]] = fqat.if %[[C]] -> !fqat.tensor {
  // CHECK-NEXT: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @out_nop(%[[A]])
  // CHECK-NEXT: fqat.yield %[[N]]
  // CHECK-NEXT: } else {
  // CHECK-NEXT: %[[U:.*]] = fqat.op "prim::Uninitialized"
  // CHECK-NEXT: fqat.yield %[[U]]
  // CHECK: fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @out_nop1
  // CHECK-NEXT: %[[T:.*]] = fqat.if %[[C]] -> !fqat.tensor {
  // CHECK-NEXT: %[[S:.*]] = fqat.op "aten::sigmoid"(%[[IF]])
  // CHECK-NEXT: fqat.yield %[[S]]
  // CHECK-NEXT: } else {
  // CHECK-NEXT: fqat.yield %[[X]]
  // CHECK: fqat.return %[[T]], %[[NB]]
  %t = fqat.if %c -> !fqat.tensor {
    %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
    %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
    %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %s : !fqat.tensor
  } else {
    fqat.yield %x : !fqat.tensor
  }
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %t, %nb : !fqat.tensor, !fqat.tensor
}

// -----

// Within an arm, and no further: no execution comes to both arms.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Alternatives"
fqat.module @"$" class "__torch__.Alternatives" slots ["out_nop", "out_nop1", "out_nop2"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop2 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.if
  // CHECK-NEXT: aten::conv2d
  // CHECK-NEXT: fqat.out_nop @out_nop(
  // CHECK-NEXT: aten::conv2d
  // CHECK-NEXT: fqat.out_nop @out_nop1(
  // CHECK-NEXT: aten::sigmoid
  // CHECK-NEXT: aten::add
  // CHECK: else
  // CHECK-NEXT: aten::conv2d
  // CHECK-NEXT: fqat.out_nop @out_nop2(
  // CHECK-NEXT: aten::tanh
  // CHECK-NOT: fqat.if
  // CHECK: fqat.return
  %t = fqat.if %c -> !fqat.tensor {
    %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
    %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
    %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
    %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
    %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
    %y = fqat.op "aten::add"(%s, %nb) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
    fqat.yield %y : !fqat.tensor
  } else {
    %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
    %na = fqat.out_nop @out_nop2(%a) : !fqat.tensor
    %s = fqat.op "aten::tanh"(%na) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %s : !fqat.tensor
  }
  fqat.return %t : !fqat.tensor
}

// -----

// Appends keep their order: one that reads no tail goes along with one that
// does.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Appends"
fqat.module @"$" class "__torch__.Appends" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.list<tensor> attributes {instance = @"$"} {
  // CHECK: %[[NA:.*]] = fqat.out_nop @out_nop(
  // CHECK: fqat.out_nop @out_nop1(
  // CHECK: %[[S:.*]] = fqat.op "aten::sigmoid"(%[[NA]])
  // CHECK-NEXT: fqat.op "aten::append"(%{{.*}}, %[[S]])
  // CHECK-NEXT: fqat.op "aten::append"(%{{.*}}, %[[NA]])
  %l = fqat.list() : () -> !fqat.list<tensor>
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
  %0 = fqat.op "aten::append"(%l, %s) writes [0] aliases [0] : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
  %1 = fqat.op "aten::append"(%l, %na) writes [0] aliases [0] : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  %2 = fqat.op "aten::append"(%l, %nb) writes [0] aliases [0] : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
  fqat.return %l : !fqat.list<tensor>
}

// -----

// A write that the tail may not pass becomes out of place: an activation by
// its other form, any other op on a copy.

// CHECK-LABEL: fqat.module @"$" class "__torch__.OutOfPlace"
fqat.module @"$" class "__torch__.OutOfPlace" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: fqat.out_nop @out_nop(%[[A]])
  // CHECK-NEXT: %[[R:.*]] = fqat.op "aten::relu"(%[[A]]) :
  // CHECK-NEXT: %[[M:.*]] = fqat.op "aten::add_"(%[[R]], %[[R]]) writes [0]
  // CHECK-NEXT: fqat.op "aten::conv2d"(%[[M]])
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
  %r = fqat.op "aten::relu_"(%a) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %m = fqat.op "aten::add_"(%r, %r) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%m) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %s, %nb : !fqat.tensor, !fqat.tensor
}

// -----

// CHECK-LABEL: fqat.module @"$" class "__torch__.Copied"
fqat.module @"$" class "__torch__.Copied" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: fqat.out_nop @out_nop(%[[A]])
  // CHECK-NEXT: %[[NONE:.*]] = fqat.constant unit
  // CHECK-NEXT: %[[COPY:.*]] = fqat.op "aten::clone"(%[[A]], %[[NONE]])
  // CHECK-NEXT: fqat.op "aten::add_"(%[[COPY]], %{{.*}}) writes [0] aliases [0]
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
  %m = fqat.op "aten::add_"(%a, %x) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%m) : (!fqat.tensor) -> !fqat.tensor
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %s, %nb : !fqat.tensor, !fqat.tensor
}
