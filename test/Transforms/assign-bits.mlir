// RUN: split-file %s %t
// RUN: cd %t && fqat-mlir-opt --fqat-assign-bits=file=bits.yaml model.mlir 2>warnings | FileCheck model.mlir
// RUN: FileCheck --check-prefix=WARN %t/model.mlir < %t/warnings
// RUN: cd %t && fqat-mlir-opt --fqat-assign-bits=file=bits.yaml model.mlir 2>/dev/null | fqat-mlir-opt --fqat-assign-bits=file=none.yaml | FileCheck --check-prefix=NONE model.mlir
// RUN: cd %t && not fqat-mlir-opt --fqat-assign-bits=file=bad.yaml model.mlir 2>&1 | FileCheck --check-prefix=BAD model.mlir
// RUN: cd %t && not fqat-mlir-opt --fqat-assign-bits=file=absent.yaml model.mlir 2>&1 | FileCheck --check-prefix=ABSENT model.mlir

//--- bits.yaml
"*": {feature: 8, weight: 8}
# A later line wins, each of the two by itself.
head: {feature: 12}
head.box: {weight: 4}
# A clone that is named by itself.
conv1: {feature: 4}
# Before what it was cloned from: the clone's own name is nearer.
conv: {feature: 10}
nowhere.*: {feature: 4}

//--- none.yaml
# Nothing.

//--- bad.yaml
head: {feature: 8}
head.box: {weight: 5}

//--- model.mlir
// BAD: bad.yaml:2:20: error: weight bits are 4 or 8, not 5
// ABSENT: absent.yaml:0:0: error: {{.*}}
// NONE-NOT: fqat.bits
// NONE: fqat.record "extra/fqat_bits.json"
// NONE-NOT: fqat.record

// WARN-NOT: warning:
// WARN: bits.yaml:9:1: warning: 'nowhere.*' matches no layer
// WARN-NOT: warning:

fqat.module @"$" class "__torch__.Net" slots ["conv", "conv1", "conv2", "head"]
fqat.module @conv class "__torch__.Conv2d" slots []
fqat.module @conv1 class "__torch__.Conv2d" slots []
fqat.module @conv2 class "__torch__.Conv2d" slots []
fqat.module @head class "__torch__.Head" slots ["box"]
fqat.module @head.box class "__torch__.Linear" slots []

// A layer in the model itself, whose path is empty.
// CHECK-LABEL: fqat.method @forward(
// CHECK: "aten::conv2d"({{.*}}) {fqat.bits = #fqat.bits<feature = 8, weight = 8>}
// CHECK-NOT: fqat.bits
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::relu"(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK-LABEL: fqat.method @conv.forward
// CHECK: {fqat.bits = #fqat.bits<feature = 10, weight = 8>}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor loc(fused["@conv"])
  fqat.return %0 : !fqat.tensor
}
// CHECK-LABEL: fqat.method @conv1.forward
// CHECK: {fqat.bits = #fqat.bits<feature = 4, weight = 8>}
fqat.method @conv1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv1} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor loc("@conv")
  fqat.return %0 : !fqat.tensor
}
// CHECK-LABEL: fqat.method @conv2.forward
// CHECK: {fqat.bits = #fqat.bits<feature = 10, weight = 8>}
fqat.method @conv2.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv2} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor loc("@conv")
  fqat.return %0 : !fqat.tensor
}
// CHECK-LABEL: fqat.method @head.box.forward
// CHECK: {fqat.bits = #fqat.bits<feature = 12, weight = 4>}
fqat.method @head.box.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head.box} {
  %0 = fqat.op "aten::linear"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.record "extra/fqat_bits.json"
