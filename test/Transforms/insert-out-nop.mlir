// RUN: fqat-mlir-opt --fqat-insert-out-nop --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-insert-out-nop --fqat-insert-out-nop --split-input-file %s | FileCheck %s

// A head whose branches end two frames down: the nops go into the frame whose
// tail reads the values, right behind the calls, before any cat.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Detect" slots ["cv2", "cv3", "out_nop", "out_nop1"]
fqat.module @"$" class "__torch__.Detect" slots ["cv2", "cv3"]
fqat.module @cv2 class "__torch__.Sequential" slots ["0"]
fqat.module @cv2.0 class "__torch__.Conv2d" slots []
fqat.module @cv3 class "__torch__.Conv2d" slots []
// CHECK: fqat.module @out_nop class "__torch__.fqat.OutNop" slots ["training", "_is_full_backward_hook"]
// CHECK: fqat.attribute @out_nop.training : !fqat.bool = false
// CHECK: fqat.module @out_nop1 class "__torch__.fqat.OutNop"
// CHECK: fqat.method @forward
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.call @cv2.forward
  // CHECK-NEXT: %[[NA:.*]] = fqat.out_nop @out_nop(%[[A]])
  %0 = fqat.call @cv2.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: %[[B:.*]] = fqat.call @cv3.forward
  // CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @out_nop1(%[[B]])
  %1 = fqat.call @cv3.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: %[[L:.*]] = fqat.list(%[[NA]], %[[NB]])
  %l = fqat.list(%0, %1) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  // CHECK: fqat.op "aten::cat"(%[[L]])
  %c = fqat.op "aten::cat"(%l) : (!fqat.list<tensor>) -> !fqat.tensor
  fqat.return %c : !fqat.tensor
}
// CHECK: fqat.method @cv2.forward
// CHECK-NOT: fqat.out_nop
fqat.method @cv2.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @cv2} {
  %0 = fqat.call @cv2.0.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @cv2.0.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @cv2.0} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @cv3.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @cv3} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @out_nop.forward(%[[X:.*]]: !fqat.tensor {fqat.name = "x"}) -> !fqat.tensor
// CHECK-NEXT: fqat.return %[[X]]

// -----

// The group ends behind its batch norm and activation; sigmoid is tail. A value
// that a later conv reads too keeps its own reader.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Reused"
fqat.module @"$" class "__torch__.Reused" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: fqat.op "aten::conv2d"
  // CHECK-NEXT: fqat.op "aten::batch_norm"
  // CHECK-NEXT: %[[R:.*]] = fqat.op "aten::relu_"
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @out_nop(%[[R]])
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::batch_norm"(%0) : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.op "aten::relu_"(%1) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  // CHECK: %[[C:.*]] = fqat.op "aten::conv2d"(%[[R]])
  // CHECK-NEXT: %[[NC:.*]] = fqat.out_nop @out_nop1(%[[C]])
  %3 = fqat.op "aten::conv2d"(%2) : (!fqat.tensor) -> !fqat.tensor
  // The old name of the tensor is the same tensor.
  // CHECK: %[[S:.*]] = fqat.op "aten::sigmoid"(%[[N]])
  %4 = fqat.op "aten::sigmoid"(%1) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.return %[[S]], %[[NC]]
  fqat.return %4, %3 : !fqat.tensor, !fqat.tensor
}

// -----

// Two uses of one activation are two readers: the group ends before them.

// CHECK-LABEL: fqat.module @"$" class "__torch__.TwoReaders"
fqat.module @"$" class "__torch__.TwoReaders" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[C:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @out_nop(%[[C]])
  // CHECK-NEXT: fqat.op "aten::relu"(%[[N]])
  // CHECK-NEXT: fqat.op "aten::tanh"(%[[N]])
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::relu"(%0) : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.op "aten::tanh"(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1, %2 : !fqat.tensor, !fqat.tensor
}

// -----

// FasterNet: a slice written in place. The whole tensor crosses, and its
// producer is the write.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Sliced"
fqat.module @"$" class "__torch__.Sliced" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %false = fqat.constant false
  %c = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: %[[K:.*]] = fqat.op "aten::clone"
  // CHECK-NOT: fqat.out_nop
  %k = fqat.op "aten::clone"(%c) : (!fqat.tensor) -> !fqat.tensor
  %s = fqat.op "aten::slice"(%k) aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %y = fqat.op "aten::conv2d"(%s) : (!fqat.tensor) -> !fqat.tensor
  %t = fqat.op "aten::slice"(%k) aliases [0] : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.op "aten::copy_"
  %w = fqat.op "aten::copy_"(%t, %y, %false) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor, !fqat.bool) -> !fqat.tensor
  // CHECK-NEXT: %[[NK:.*]] = fqat.out_nop @out_nop(%[[K]])
  // CHECK: fqat.op "aten::conv2d"(%[[K]])
  %z = fqat.op "aten::conv2d"(%k) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.return %[[NK]], %{{.*}}
  fqat.return %k, %z : !fqat.tensor, !fqat.tensor
}

// -----

// What hands out several values keeps the nops inside, side by side, although
// the last one would be adjacent further out.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Backbone" slots ["body"]
fqat.module @"$" class "__torch__.Backbone" slots ["body"]
// CHECK: fqat.module @body class "__torch__.Body" slots ["out_nop", "out_nop1"]
fqat.module @body class "__torch__.Body" slots []
// CHECK: fqat.method @forward
// CHECK-NEXT: %[[B:.*]]:2 = fqat.call @body.forward
// CHECK-NEXT: fqat.return %[[B]]#0, %[[B]]#1
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %0:2 = fqat.call @body.forward(%x) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  fqat.return %0#0, %0#1 : !fqat.tensor, !fqat.tensor
}
// CHECK: fqat.method @body.forward
fqat.method @body.forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @body} {
  // CHECK: %[[C:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @body.out_nop(%[[C]])
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: %[[D:.*]] = fqat.op "aten::conv2d"(%[[C]])
  // CHECK-NEXT: %[[M:.*]] = fqat.out_nop @body.out_nop1(%[[D]])
  %1 = fqat.op "aten::conv2d"(%0) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.return %[[N]], %[[M]]
  fqat.return %0, %1 : !fqat.tensor, !fqat.tensor
}

// -----

// A callee that does more behind the conv keeps the nop; if the caller wants the
// value itself too, the callee returns both.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Both"
fqat.module @"$" class "__torch__.Both" slots ["a"]
fqat.module @a class "__torch__.A" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[A:.*]]:3 = fqat.call @a.forward
  // CHECK-SAME: -> (!fqat.tensor, !fqat.tensor, !fqat.tensor)
  // CHECK: fqat.op "aten::conv2d"(%[[A]]#0)
  // CHECK: fqat.return %[[A]]#2, %{{.*}}
  %0:2 = fqat.call @a.forward(%x) : (!fqat.tensor) -> (!fqat.tensor, !fqat.tensor)
  %1 = fqat.op "aten::conv2d"(%0#0) : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.op "aten::mul"(%0#1, %1) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %0#0, %2 : !fqat.tensor, !fqat.tensor
}
// CHECK: fqat.method @a.forward
fqat.method @a.forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @a} {
  // CHECK: %[[C:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @a.out_nop(%[[C]])
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::exp"(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.return %[[C]], %{{.*}}, %[[N]]
  fqat.return %0, %1 : !fqat.tensor, !fqat.tensor
}

// -----

// No anchor, no nop.

// CHECK-LABEL: fqat.module @"$" class "__torch__.NoConv"
// CHECK-NOT: out_nop
fqat.module @"$" class "__torch__.NoConv" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// Parts of one split: one for the tail, one for a conv.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Parts"
fqat.module @"$" class "__torch__.Parts" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::chunk"(%0) aliases [0] : (!fqat.tensor) -> !fqat.list<tensor>
  // CHECK: %[[P:.*]]:2 = fqat.unpack
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @out_nop(%[[P]]#0)
  // CHECK-NEXT: %[[C:.*]] = fqat.op "aten::conv2d"(%[[P]]#1)
  // CHECK-NEXT: %[[M:.*]] = fqat.out_nop @out_nop1(%[[C]])
  %2:2 = fqat.unpack %1 : (!fqat.list<tensor>) -> (!fqat.tensor, !fqat.tensor)
  %3 = fqat.op "aten::conv2d"(%2#1) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.return %[[N]], %[[M]]
  fqat.return %2#0, %3 : !fqat.tensor, !fqat.tensor
}

// -----

// A nop that the model has in the wrong place moves to its value; one that the
// quantised region reads is passed by; one in the right place stays.

// CHECK-LABEL: fqat.module @"$" class "__torch__.OwnNops" slots ["n0", "n1", "n2", "n3"]
fqat.module @"$" class "__torch__.OwnNops" slots ["n0", "n1", "n2", "n3"]
fqat.module @n0 class "__torch__.OutNop" slots []
fqat.module @n1 class "__torch__.OutNop" slots []
fqat.module @n2 class "__torch__.OutNop" slots []
fqat.module @n3 class "__torch__.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[NA:.*]] = fqat.out_nop @n0(%[[A]])
  // CHECK-NEXT: %[[B:.*]] = fqat.op "aten::conv2d"(%[[A]])
  // CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @n1(%[[B]])
  // CHECK-NEXT: %[[C:.*]] = fqat.op "aten::conv1d"
  // CHECK-NEXT: %[[NC:.*]] = fqat.out_nop @n2(%[[C]])
  // CHECK-NEXT: fqat.return %[[NA]], %[[NB]], %[[NC]]
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %0 = fqat.out_nop @n0(%a) : !fqat.tensor
  %b = fqat.op "aten::conv2d"(%0) : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.op "aten::conv1d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.out_nop @n1(%b) : !fqat.tensor
  %2 = fqat.out_nop @n2(%c) : !fqat.tensor
  %3 = fqat.out_nop @n3(%x) : !fqat.tensor
  fqat.return %0, %1, %2 : !fqat.tensor, !fqat.tensor, !fqat.tensor
}
fqat.method @n0.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n0} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n1} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n2.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n2} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n3.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n3} {
  fqat.return %x : !fqat.tensor
}

// -----

// A list that is built up: the layer reads the element, the return the list, in
// which the nop's result lies.

// CHECK-LABEL: fqat.module @"$" class "__torch__.BuiltUp"
fqat.module @"$" class "__torch__.BuiltUp" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.list<tensor>) attributes {instance = @"$"} {
  // CHECK: %[[L:.*]] = fqat.list()
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[N:.*]] = fqat.out_nop @out_nop(%[[A]])
  // CHECK: fqat.op "aten::append"(%[[L]], %[[N]])
  // CHECK: %[[B:.*]] = fqat.op "aten::conv2d"(%[[A]])
  // CHECK: %[[NB:.*]] = fqat.out_nop @out_nop1(%[[B]])
  // CHECK: fqat.return %[[NB]], %[[L]]
  %l = fqat.list() : () -> !fqat.list<tensor>
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %m = fqat.op "aten::append"(%l, %a) writes [0] aliases [0] : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
  %last = fqat.constant -1 : i64
  %e = fqat.op "aten::__getitem__"(%l, %last) aliases [0] : (!fqat.list<tensor>, !fqat.int) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%e) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %b, %l : !fqat.tensor, !fqat.list<tensor>
}

// -----

// One of two arms makes the value; the tail and a layer both read what comes out
// of the if, which hands on both the value and the nop's result.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Join"
fqat.module @"$" class "__torch__.Join" slots []
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[A:.*]] = fqat.op "aten::conv2d"
  // CHECK-NEXT: %[[NA:.*]] = fqat.out_nop @out_nop(%[[A]])
  // CHECK-NEXT: %[[IF:.*]]:2 = fqat.if
  // CHECK-NEXT: %[[B:.*]] = fqat.op "aten::conv2d"(%[[A]])
  // CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @out_nop1(%[[B]])
  // CHECK-NEXT: fqat.yield %[[B]], %[[NB]]
  // CHECK: else
  // CHECK-NEXT: fqat.yield %[[A]], %[[NA]]
  // CHECK: fqat.op "aten::conv2d"(%[[IF]]#0)
  // CHECK: fqat.return %[[IF]]#1
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %y = fqat.if %c -> !fqat.tensor {
    %b = fqat.op "aten::conv2d"(%a) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %b : !fqat.tensor
  } else {
    fqat.yield %a : !fqat.tensor
  }
  %o = fqat.op "aten::conv2d"(%y) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %y, %o : !fqat.tensor, !fqat.tensor
}
