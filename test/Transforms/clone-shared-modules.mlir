// RUN: fqat-mlir-opt --fqat-clone-shared-modules --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-clone-shared-modules --fqat-clone-shared-modules --split-input-file %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-clone-shared-modules=clone-params=share --split-input-file %s | FileCheck %s --check-prefix=SHARE

// One instance called three times in its owner: the first call keeps it, each of
// the others gets a copy with the body of the very method that was called.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Reused" slots ["conv", "conv1", "conv2"]
// SHARE-LABEL: fqat.module @"$" class "__torch__.Reused" slots ["conv", "conv1", "conv2"]
fqat.module @"$" class "__torch__.Reused" slots ["conv"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<1xi8>
// CHECK: fqat.parameter @conv.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad>
// SHARE: fqat.parameter @conv.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.module @conv class "__torch__.Conv" slots ["weight"]
fqat.parameter @conv.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad>
// Equal bytes in storages of their own.
// CHECK: fqat.module @conv1 class "__torch__.Conv" slots ["weight"]
// CHECK: fqat.parameter @conv1.weight : !fqat.tensor = #fqat.tensor<@"$s[[S:[1-9]]]", float32, [], [], requires_grad>
// CHECK: fqat.module @conv2
// CHECK-NOT: @"$s[[S]]"
// CHECK: fqat.parameter @conv2.weight
// SHARE: fqat.parameter @conv1.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>

// CHECK: fqat.method @forward
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @conv.forward(
  %0 = fqat.call @conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.call @conv1.forward(
  %1 = fqat.call @conv.forward1(%0) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.call @conv2.forward(
  %2 = fqat.call @conv.forward(%1) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %2 : !fqat.tensor
}
// CHECK: fqat.method @conv.forward(
// CHECK-NEXT: fqat.get @conv.weight
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %w = fqat.get @conv.weight : !fqat.tensor
  %0 = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @conv2.forward(
// CHECK-NEXT: fqat.get @conv2.weight
// The body that was called second, and no method is left without a call.
// CHECK: fqat.method @conv1.forward(
// CHECK-NEXT: fqat.get @conv1.weight
// CHECK-NEXT: "aten::conv1d"
// CHECK-NOT: fqat.method
fqat.method @conv.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %w = fqat.get @conv.weight : !fqat.tensor
  %0 = fqat.op "aten::conv1d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// A class attribute: each block owns an idle twin of the activation, which only
// the last block's was traced as. Each call goes to its caller's twin.

// CHECK-LABEL: fqat.module @"$" class "__torch__.SharedAct" slots ["a", "b"]
fqat.module @"$" class "__torch__.SharedAct" slots ["a", "b"]
// CHECK: fqat.module @a class "__torch__.Block" slots ["act"]
fqat.module @a class "__torch__.Block" slots ["act"]
fqat.module @a.act class "__torch__.___torch_mangle_1.SiLU" slots []
fqat.module @b class "__torch__.Block" slots ["act"]
fqat.module @b.act class "__torch__.___torch_mangle_2.SiLU" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.call @a.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @b.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK: fqat.method @a.forward
fqat.method @a.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  // CHECK: fqat.call @a.act.forward(
  %0 = fqat.call @b.act.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @b.forward
fqat.method @b.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b} {
  // CHECK: fqat.call @b.act.forward(
  %0 = fqat.call @b.act.forward1(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @a.act.forward
fqat.method @b.act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b.act} {
  %0 = fqat.op "aten::silu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @b.act.forward(
// CHECK-NOT: fqat.method
fqat.method @b.act.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b.act} {
  %0 = fqat.op "aten::silu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// Two levels of sharing: copying the block takes the call inside it along; what
// the block itself calls twice is copied in each of the two.

// CHECK-LABEL: fqat.module @"$" class "__torch__.TwoLevels" slots ["blk", "blk1"]
fqat.module @"$" class "__torch__.TwoLevels" slots ["blk"]
// CHECK: fqat.module @blk class "__torch__.Block" slots ["relu", "relu1"]
fqat.module @blk class "__torch__.Block" slots ["relu"]
fqat.module @blk.relu class "__torch__.ReLU" slots []
// CHECK: fqat.module @blk1 class "__torch__.Block" slots ["relu", "relu1"]
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @blk.forward(
  %0 = fqat.call @blk.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // CHECK: fqat.call @blk1.forward(
  %1 = fqat.call @blk.forward1(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK: fqat.method @blk.forward
// CHECK-NEXT: fqat.call @blk.relu.forward(
// CHECK-NEXT: fqat.call @blk.relu1.forward(
fqat.method @blk.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @blk} {
  %0 = fqat.call @blk.relu.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @blk.relu.forward1(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK: fqat.method @blk1.forward
// CHECK-NEXT: fqat.call @blk1.relu.forward(
// CHECK-NEXT: fqat.call @blk1.relu1.forward(
fqat.method @blk.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @blk} {
  %0 = fqat.call @blk.relu.forward2(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @blk.relu.forward3(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @blk.relu.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @blk.relu} {
  fqat.return %x : !fqat.tensor
}
fqat.method @blk.relu.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @blk.relu} {
  fqat.return %x : !fqat.tensor
}
fqat.method @blk.relu.forward2(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @blk.relu} {
  fqat.return %x : !fqat.tensor
}
fqat.method @blk.relu.forward3(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @blk.relu} {
  fqat.return %x : !fqat.tensor
}

// -----

// A diamond: two callers that do not own the shared module. The first call keeps
// it, the copy lives in the second caller.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Diamond" slots ["a", "b", "shared0"]
fqat.module @"$" class "__torch__.Diamond" slots ["a", "b", "shared0"]
fqat.module @a class "__torch__.A" slots []
// CHECK: fqat.module @b class "__torch__.B" slots ["shared0_1"]
fqat.module @b class "__torch__.B" slots []
// CHECK: fqat.module @b.shared0_1 class "__torch__.Shared"
fqat.module @shared0 class "__torch__.Shared" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.call @a.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @b.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK: fqat.method @a.forward
// CHECK-NEXT: fqat.call @shared0.forward(
fqat.method @a.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  %0 = fqat.call @shared0.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @b.forward
// CHECK-NEXT: fqat.call @b.shared0_1.forward(
fqat.method @b.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b} {
  %0 = fqat.call @shared0.forward1(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @shared0.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @shared0} {
  fqat.return %x : !fqat.tensor
}
fqat.method @shared0.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @shared0} {
  fqat.return %x : !fqat.tensor
}

// -----

// Called once by a module that does not own it is no violation. An idle copy in
// the caller is one: the module was shared.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Foreign"
fqat.module @"$" class "__torch__.Foreign" slots ["a", "b", "head"]
fqat.module @a class "__torch__.A" slots []
fqat.module @b class "__torch__.B" slots ["neck"]
fqat.module @b.neck class "__torch__.Neck" slots []
fqat.module @head class "__torch__.Head" slots ["neck"]
fqat.module @head.neck class "__torch__.Neck" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.call @a.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @b.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
// CHECK: fqat.method @a.forward
// CHECK-NEXT: fqat.call @head.forward(
fqat.method @a.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  %0 = fqat.call @head.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
// CHECK: fqat.method @b.forward
// CHECK-NEXT: fqat.call @b.neck.forward(
fqat.method @b.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b} {
  %0 = fqat.call @head.neck.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @head.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head} {
  fqat.return %x : !fqat.tensor
}
fqat.method @head.neck.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head.neck} {
  fqat.return %x : !fqat.tensor
}

// -----

// The arms of an if are alternatives: one instance serves both. What is called
// before is not.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Arms" slots ["conv", "other", "other1"]
fqat.module @"$" class "__torch__.Arms" slots ["conv", "other"]
fqat.module @conv class "__torch__.Conv" slots []
fqat.module @other class "__torch__.Conv" slots []
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @other.forward
  // CHECK: fqat.if
  // CHECK: fqat.call @conv.forward
  // CHECK: else
  // CHECK: fqat.call @conv.forward
  // CHECK: fqat.call @other1.forward
  %0 = fqat.call @other.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %y = fqat.if %c -> !fqat.tensor {
    %1 = fqat.call @conv.forward(%0) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %1 : !fqat.tensor
  } else {
    %1 = fqat.call @conv.forward(%0) : (!fqat.tensor) -> !fqat.tensor
    %2 = fqat.call @other.forward(%1) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %2 : !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @other.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @other} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// A method that an instance calls on itself twice is copied, so that what it
// calls has one caller each.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Helper" slots ["conv", "conv1"]
fqat.module @"$" class "__torch__.Helper" slots ["conv"]
fqat.module @conv class "__torch__.Conv" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.call @helper(
  // CHECK: fqat.call @helper1(
  %0 = fqat.call @helper(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @helper(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @helper(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %0 = fqat.call @conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// Code that does not run, because of a flag, obeys the rule too: training may
// set the flag. The call that runs keeps the instance.

// CHECK-LABEL: fqat.module @"$" class "__torch__.Switched" slots ["conv", "flag", "conv1"]
fqat.module @"$" class "__torch__.Switched" slots ["conv", "flag"]
fqat.attribute @flag : !fqat.bool = false
fqat.module @conv class "__torch__.Conv" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // CHECK: fqat.if
  // CHECK-NEXT: fqat.call @conv1.forward(
  // CHECK: fqat.call @conv.forward(
  %c = fqat.get @flag : !fqat.bool
  %0 = fqat.if %c -> !fqat.tensor {
    %1 = fqat.call @conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %1 : !fqat.tensor
  } else {
    fqat.yield %x : !fqat.tensor
  }
  %2 = fqat.call @conv.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %2 : !fqat.tensor
}
fqat.method @conv.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @conv} {
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
