// RUN: fqat-mlir-opt --fqat-unroll-loops --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-unroll-loops --fqat-unroll-loops --split-input-file %s | FileCheck %s

// The number of rounds is an attribute that nobody writes; the counter is a
// constant in each round.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Attribute"
fqat.module @"$" class "__torch__.Attribute" slots ["n", "conv"]
fqat.attribute @n : !fqat.int = 2 : i64
fqat.module @conv class "__torch__.Conv" slots []
// CHECK: fqat.method @forward(%[[X:.*]]: !fqat.tensor)
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: %[[ZERO:.*]] = fqat.constant 0 : i64
  // CHECK-NEXT: %[[A:.*]] = fqat.call @conv.forward(%[[X]])
  // CHECK-NEXT: %[[B:.*]] = fqat.op "aten::mul"(%[[A]], %[[ZERO]])
  // CHECK-NEXT: %[[ONE:.*]] = fqat.constant 1 : i64
  // CHECK-NEXT: %[[C:.*]] = fqat.call @conv.forward(%[[B]])
  // CHECK-NEXT: %[[D:.*]] = fqat.op "aten::mul"(%[[C]], %[[ONE]])
  // CHECK-NEXT: fqat.return %[[D]]
  %n = fqat.get @n : !fqat.int
  %true = fqat.constant true
  %y = fqat.loop %n while %true init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    %0 = fqat.call @conv.forward(%x1) : (!fqat.tensor) -> !fqat.tensor
    %1 = fqat.op "aten::mul"(%0, %i) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
    fqat.yield %true, %1 : !fqat.bool, !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// Nested loops, and a while loop whose condition is known: the counter decides.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Nested"
fqat.module @"$" class "__torch__.Nested" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK-COUNT-4: fqat.op "aten::conv2d"
  // CHECK-NOT: aten::conv2d
  // CHECK: fqat.return
  %two = fqat.constant 2 : i64
  %max = fqat.constant 9223372036854775807 : i64
  %true = fqat.constant true
  %y = fqat.loop %max while %true init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    %z = fqat.loop %two while %true init(%x1) : (!fqat.tensor) -> !fqat.tensor {
    ^bb0(%j: !fqat.int, %x2: !fqat.tensor):
      %0 = fqat.op "aten::conv2d"(%x2) : (!fqat.tensor) -> !fqat.tensor
      fqat.yield %true, %0 : !fqat.bool, !fqat.tensor
    }
    %one = fqat.constant 1 : i64
    %c = fqat.op "aten::lt" overload "int"(%i, %one) : (!fqat.int, !fqat.int) -> !fqat.bool
    fqat.yield %c, %z : !fqat.bool, !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}

// -----

// No loop of the tail, none whose attribute a method writes, none of unknown
// length.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Kept"
fqat.module @"$" class "__torch__.Kept" slots ["n"]
fqat.attribute @n : !fqat.int = 2 : i64
fqat.method @forward(%x: !fqat.tensor, %k: !fqat.int) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK-COUNT-3: fqat.loop
  %two = fqat.constant 2 : i64
  %true = fqat.constant true
  %a = fqat.loop %two while %true init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    %0 = fqat.op "aten::sigmoid"(%x1) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %true, %0 : !fqat.bool, !fqat.tensor
  }
  fqat.set @n = %k : !fqat.int
  %n = fqat.get @n : !fqat.int
  %b = fqat.loop %n while %true init(%a) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    %0 = fqat.op "aten::conv2d"(%x1) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %true, %0 : !fqat.bool, !fqat.tensor
  }
  %c = fqat.loop %k while %true init(%b) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    %0 = fqat.op "aten::conv2d"(%x1) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %true, %0 : !fqat.bool, !fqat.tensor
  }
  fqat.return %c : !fqat.tensor
}
