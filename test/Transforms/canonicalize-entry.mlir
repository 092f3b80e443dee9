// RUN: fqat-mlir-opt --fqat-canonicalize-entry --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-canonicalize-entry --fqat-canonicalize-entry --split-input-file %s | FileCheck %s

// A husk's calls go, its instance and methods stay; a husk may call husks.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Husks"
fqat.module @"$" class "__torch__.Husks" slots ["id"]
// CHECK: fqat.module @id
fqat.module @id class "__torch__.Identity" slots ["inner"]
fqat.module @id.inner class "__torch__.Identity" slots []
// CHECK: fqat.method @forward(%[[X:.*]]: !fqat.tensor)
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK-NOT: fqat.call
  // CHECK: fqat.return %[[X]]
  fqat.call @id.forward() : () -> ()
  fqat.call @id.forward1() : () -> ()
  fqat.return %x : !fqat.tensor
}
// CHECK: fqat.method @id.forward
fqat.method @id.forward() attributes {instance = @id} {
  fqat.call @id.inner.forward() : () -> ()
  fqat.return
}
fqat.method @id.forward1() attributes {instance = @id} {
  fqat.return
}
fqat.method @id.inner.forward() attributes {instance = @id.inner} {
  fqat.return
}

// -----

// R5: the method that runs becomes forward; one that has the name gets the other's.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Renamed"
fqat.module @"$" class "__torch__.Renamed" slots ["a"]
fqat.module @a class "__torch__.A" slots []
// CHECK: fqat.method @forward
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @a.forward(
  %0 = fqat.call @a.forward1(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// Exported methods follow the renaming.
// CHECK: fqat.method @features
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @a.forward1(
  %0 = fqat.call @a.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @a.forward1
// CHECK-NEXT: "aten::tanh"
fqat.method @a.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  %0 = fqat.op "aten::tanh"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @a.forward(
// CHECK-NEXT: "aten::exp"
fqat.method @a.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  %0 = fqat.op "aten::exp"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// An instance that is called twice has no one entry: R4 comes first.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Twice"
fqat.module @"$" class "__torch__.Twice" slots ["a"]
fqat.module @a class "__torch__.A" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @a.forward1(
  %0 = fqat.call @a.forward1(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.call @a.forward1(
  %1 = fqat.call @a.forward1(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @a.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  %0 = fqat.op "aten::exp"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// `len(self.blocks)` runs no module: the number comes in its place. What reads
// a slot is no constant.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Length"
fqat.module @"$" class "__torch__.Length" slots ["blocks"]
fqat.module @blocks class "__torch__.ModuleList" slots ["n"]
fqat.attribute @blocks.n : !fqat.int = 2 : i64
// CHECK: fqat.method @forward
fqat.method @forward() -> (!fqat.int, !fqat.int) attributes {instance = @"$"} {
  // CHECK-NEXT: %[[LEN:.*]] = fqat.constant 3
  // CHECK-NEXT: %[[N:.*]] = fqat.call @blocks.
  // CHECK-NEXT: fqat.return %[[LEN]], %[[N]]
  %0 = fqat.call @blocks.__len__() : () -> !fqat.int
  %1 = fqat.call @blocks.size() : () -> !fqat.int
  fqat.return %0, %1 : !fqat.int, !fqat.int
}
fqat.method @blocks.__len__() -> !fqat.int attributes {instance = @blocks} {
  %0 = fqat.constant 3 : i64
  fqat.return %0 : !fqat.int
}
fqat.method @blocks.size() -> !fqat.int attributes {instance = @blocks} {
  %0 = fqat.get @blocks.n : !fqat.int
  fqat.return %0 : !fqat.int
}
