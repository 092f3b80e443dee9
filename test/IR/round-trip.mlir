// RUN: fqat-mlir-opt --verify-roundtrip %s | FileCheck %s

// CHECK: fqat.module @"$" class "__torch__.Net" slots ["conv", "again", "a.b"]
fqat.module @"$" class "__torch__.Net" slots ["conv", "again", "a.b"]
// CHECK: fqat.module @conv class "__torch__.Conv" slots ["weight", "running_mean", "training"]
fqat.module @conv class "__torch__.Conv" slots ["weight", "running_mean", "training"]
// CHECK: fqat.storage @"$s0" "float32" on "cpu" = dense<{{.*}}> : tensor<8xi8>
fqat.storage @"$s0" "float32" on "cpu" = dense<[0, 1, 2, 3, 4, 5, 6, 7]> : tensor<8xi8>
// CHECK: fqat.parameter @conv.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], offset = 1, requires_grad, identity = 2>
fqat.parameter @conv.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], offset = 1, requires_grad, identity = 2>
// CHECK: fqat.buffer @conv.running_mean : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], []>
fqat.buffer @conv.running_mean : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], []>
// CHECK: fqat.attribute @conv.training : !fqat.bool = false
fqat.attribute @conv.training : !fqat.bool = false
// CHECK: fqat.alias @again = @conv
fqat.alias @again = @conv
// CHECK: fqat.attribute @a$2Eb : !fqat.optional<bool> = unit
fqat.attribute @a$2Eb : !fqat.optional<bool> = unit
// CHECK: fqat.record "extra/readme.txt" = dense<104> : tensor<1xi8>
fqat.record "extra/readme.txt" = dense<104> : tensor<1xi8>

// CHECK: fqat.method @forward(%x: !fqat.tensor {fqat.name = "x"}) -> (!fqat.tensor, !fqat.list<tensor>) attributes {instance = @"$"}
fqat.method @forward(%x: !fqat.tensor {fqat.name = "x"}) -> (!fqat.tensor, !fqat.list<tensor>) attributes {instance = @"$"} {
  // CHECK: %[[Y:.*]] = fqat.call @conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %y = fqat.call @conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: %[[N:.*]] = fqat.out_nop @conv(%[[Y]]) : !fqat.tensor
  %n = fqat.out_nop @conv(%y) : !fqat.tensor
  // CHECK: %[[W:.*]] = fqat.get @conv.weight : !fqat.tensor
  %w = fqat.get @conv.weight : !fqat.tensor
  // CHECK: fqat.constant 1 : i64
  %one = fqat.constant 1 : i64
  // CHECK: %[[A:.*]] = fqat.op "aten::add_" overload "Tensor"(%[[N]], %[[W]], %{{.*}}) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor, !fqat.int) -> !fqat.tensor
  %a = fqat.op "aten::add_" overload "Tensor"(%n, %w, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.tensor, !fqat.int) -> !fqat.tensor
  // CHECK: fqat.op "aten::dropout"(%{{.*}}) random :
  %d = fqat.op "aten::dropout"(%a) random : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.list(%{{.*}}, %{{.*}}) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %l = fqat.list(%a, %d) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  // CHECK: fqat.unpack %{{.*}} : (!fqat.list<tensor>) -> (!fqat.tensor, !fqat.tensor)
  %u:2 = fqat.unpack %l : (!fqat.list<tensor>) -> (!fqat.tensor, !fqat.tensor)
  // CHECK: fqat.tuple(%{{.*}}) : (!fqat.tensor) -> !fqat.tuple<tensor>
  %t = fqat.tuple(%u#0) : (!fqat.tensor) -> !fqat.tuple<tensor>
  // CHECK: fqat.constant "boxes"
  %key = fqat.constant "boxes"
  // CHECK: fqat.dict(%{{.*}}, %{{.*}}) : (!fqat.str, !fqat.tensor) -> !fqat.dict<str, tensor>
  %m = fqat.dict(%key, %u#1) : (!fqat.str, !fqat.tensor) -> !fqat.dict<str, tensor>
  fqat.return %d, %l : !fqat.tensor, !fqat.list<tensor>
}

// Floats are kept by their bits.
// CHECK-LABEL: fqat.method @conv.forward
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  // CHECK: fqat.constant -0.000000e+00 : f64
  %0 = fqat.constant -0.0 : f64
  // CHECK: fqat.constant 0x7FF0000000000000 : f64
  %1 = fqat.constant 0x7FF0000000000000 : f64
  // CHECK: fqat.constant 0x7FF8000000000001 : f64
  %2 = fqat.constant 0x7FF8000000000001 : f64
  // CHECK: fqat.constant true
  %3 = fqat.constant true
  // CHECK: fqat.constant unit
  %4 = fqat.constant unit
  // CHECK: fqat.constant #fqat.device<"cuda:0">
  %5 = fqat.constant #fqat.device<"cuda:0">
  // CHECK: fqat.constant #fqat.tensor<@"$s0", int64, [], []>
  %6 = fqat.constant #fqat.tensor<@"$s0", int64, [], []>
  fqat.return %x : !fqat.tensor
}

// Every type, alone and nested.
// CHECK-LABEL: fqat.method @conv.types
// CHECK-SAME: !fqat.number, %{{.*}}: !fqat.device, %{{.*}}: !fqat.any, %{{.*}}: !fqat.float
// CHECK-SAME: !fqat.tuple<int, list<optional<tensor>>, dict<str, tuple<empty>>>
// CHECK-SAME: !fqat.object<"__torch__.Thing">
fqat.method @conv.types(%0: !fqat.number, %1: !fqat.device, %2: !fqat.any, %3: !fqat.float,
    %4: !fqat.tuple<int, list<optional<tensor>>, dict<str, tuple<empty>>>,
    %5: !fqat.object<"__torch__.Thing">, %6: !fqat.none) attributes {instance = @conv} {
  fqat.return
}
