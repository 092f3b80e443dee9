// RUN: fqat-mlir-opt %s | fqat-mlir-opt | FileCheck %s
// RUN: fqat-mlir-opt --mlir-print-op-generic %s | fqat-mlir-opt | FileCheck %s

// CHECK: fqat.typedef "__torch__.Pair" "class Pair(NamedTuple):\0A  a : int\0A" constants [1, "x"] debug "d"
fqat.typedef "__torch__.Pair" "class Pair(NamedTuple):\0A  a : int\0A" constants [1, "x"] debug "d"

// CHECK: fqat.module @"$" class "__torch__.M" slots ["n", "child"] constants ["k", 1] hooks ["after"] pre_hooks ["before"]
fqat.module @"$" class "__torch__.M" slots ["n", "child"] constants ["k", 1] hooks ["after"] pre_hooks ["before"]
// CHECK: fqat.attribute @n : !fqat.int = 3
fqat.attribute @n : !fqat.int = 3
// CHECK: fqat.module @child class "__torch__.C" slots ["w"] state [1, "raw"] interface !fqat.object<"__torch__.I">
fqat.module @child class "__torch__.C" slots ["w"] state [1, "raw"] interface !fqat.object<"__torch__.I">
// CHECK: fqat.buffer @child.w : !fqat.tensor{{$}}
fqat.buffer @child.w : !fqat.tensor

// CHECK-LABEL: fqat.function @"$__torch__.scale"(
fqat.function @"$__torch__.scale"(%x: !fqat.tensor {fqat.name = "x"},
                                  %by: !fqat.float {fqat.name = "by", fqat.default = 2.0, fqat.keyword_only})
    -> !fqat.tensor {
  %y = fqat.op "aten::mul" overload "Scalar"(%x, %by) : (!fqat.tensor, !fqat.float) -> !fqat.tensor
  fqat.return %y : !fqat.tensor
}

// An argument, an arm and a return may have a subtype of what is declared.
// CHECK-LABEL: fqat.method @forward(
// CHECK-SAME:    %[[X:.*]]: !fqat.tensor, %[[FLAG:.*]]: !fqat.bool) -> !fqat.optional<tensor>
fqat.method @forward(%x: !fqat.tensor, %flag: !fqat.bool) -> !fqat.optional<tensor>
    attributes {instance = @"$"} {
  // CHECK: fqat.get @child : !fqat.object<"__torch__.C">
  %child = fqat.get @child : !fqat.object<"__torch__.C">
  // CHECK: %[[N:.*]] = fqat.get @n : !fqat.int
  %n = fqat.get @n : !fqat.int
  // CHECK: fqat.set @n = %[[N]] : !fqat.int
  fqat.set @n = %n : !fqat.int
  %none = fqat.constant unit
  // CHECK: %[[Y:.*]] = fqat.if %[[FLAG]] -> !fqat.optional<tensor> {
  // CHECK:   fqat.yield %[[X]] : !fqat.tensor
  // CHECK: } else {
  // CHECK:   fqat.yield %{{.*}} : !fqat.none
  // CHECK: }
  %y = fqat.if %flag -> !fqat.optional<tensor> {
    fqat.yield %x : !fqat.tensor
  } else {
    fqat.yield %none : !fqat.none
  }
  // CHECK: fqat.loop %[[N]] while %[[FLAG]] init(%[[X]]) : (!fqat.tensor) -> !fqat.tensor {
  // CHECK: ^bb0(%{{.*}}: !fqat.int, %[[CARRIED:.*]]: !fqat.tensor):
  // CHECK:   %[[NEXT:.*]] = fqat.call_function @"$__torch__.scale"(%[[CARRIED]],
  // CHECK:   fqat.yield %[[FLAG]], %[[NEXT]] : !fqat.bool, !fqat.tensor
  %z = fqat.loop %n while %flag init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %carried: !fqat.tensor):
    %two = fqat.constant 2.0
    %next = fqat.call_function @"$__torch__.scale"(%carried, %two)
        : (!fqat.tensor, !fqat.float) -> !fqat.tensor
    fqat.yield %flag, %next : !fqat.bool, !fqat.tensor
  }
  // CHECK: fqat.fork -> !fqat.object<"Future[Tensor]"> {
  %f = fqat.fork -> !fqat.object<"Future[Tensor]"> {
    fqat.yield %z : !fqat.tensor
  }
  // CHECK: fqat.op "prim::isinstance"(%[[Y]]) with {types = [!fqat.tensor]}
  %is = fqat.op "prim::isinstance"(%y) with {types = [!fqat.tensor]}
      : (!fqat.optional<tensor>) -> !fqat.bool
  fqat.return %x : !fqat.tensor
}

// CHECK-LABEL: fqat.method @constants
fqat.method @constants() attributes {instance = @"$"} {
  // CHECK: fqat.constant #fqat.complex<-0.000000e+00 : f64, 0x7FF8000000000123 : f64>
  %c = fqat.constant #fqat.complex<-0.0, 0x7FF8000000000123 : f64>
  // CHECK: fqat.constant #fqat.enum<"__torch__.Colour", "RED">
  %e = fqat.constant #fqat.enum<"__torch__.Colour", "RED">
  // CHECK: fqat.constant #fqat.object<"__torch__.torch.classes.a.B", #fqat.dict<["k", #fqat.list<[1, "\00\FF"] as "List[Any]" id 2>]> id 1>
  %o = fqat.constant #fqat.object<"__torch__.torch.classes.a.B", #fqat.dict<["k", #fqat.list<[1, "\00\FF"] as "List[Any]" id 2>]> id 1>
  // CHECK: fqat.constant #fqat.build<"torch._utils._rebuild_qtensor", [#fqat.global<"torch.per_tensor_affine">]>
  %b = fqat.constant #fqat.build<"torch._utils._rebuild_qtensor", [#fqat.global<"torch.per_tensor_affine">]>
  // CHECK: fqat.constant [1, unit, [true]]
  %t = fqat.constant [1, unit, [true]]
  fqat.return
}
