// What the models hold, before they run.

// RUN: split-file %s %t
// RUN: fqat-mlir-opt %t/model.mlir --fqat-prove=original=%t/model.mlir -o /dev/null
// RUN: not fqat-mlir-opt %t/value.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=VALUE
// RUN: not fqat-mlir-opt %t/kind.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=KIND
// RUN: not fqat-mlir-opt %t/untied.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=UNTIED
// RUN: not fqat-mlir-opt %t/added.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=ADDED
// RUN: not fqat-mlir-opt %t/tied-clone.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=CLONE
// RUN: fqat-mlir-opt %t/tied-clone.mlir --fqat-prove="original=%t/model.mlir ties-clones=true" -o /dev/null
// RUN: not fqat-mlir-opt %t/method.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=METHOD

//--- model.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<2> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.buffer @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}

// VALUE: error: {{.*}}'a.mean' holds another value
//--- value.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<3> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.buffer @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}

// KIND: error: {{.*}}'a.mean' was a buffer and is a parameter
//--- kind.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<2> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.parameter @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}

// UNTIED: error: {{.*}}'b.weight' and 'a.weight' were one tensor and are two
//--- untied.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<2> : tensor<4xi8>
fqat.storage @"$s2" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad>
fqat.buffer @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s2", float32, [], [], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}

// ADDED: error: {{.*}}the new instance 'c' is neither an out_nop nor equal to an original one
//--- added.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b", "c"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<2> : tensor<4xi8>
fqat.storage @"$s2" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.buffer @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.module @c class "__torch__.B" slots ["weight"]
fqat.parameter @c.weight : !fqat.tensor = #fqat.tensor<@"$s2", float32, [], []>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}

// CLONE: error: {{.*}}'b1.weight' shares memory with
//--- tied-clone.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b", "b1"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<2> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.buffer @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.module @b1 class "__torch__.B" slots ["weight"]
fqat.parameter @b1.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
fqat.method @features(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}

// METHOD: error: {{.*}}the method 'features' is gone
//--- method.mlir
fqat.module @"$" class "__torch__.Net" slots ["a", "b"]
fqat.storage @"$s0" "float32" on "cpu" = dense<1> : tensor<4xi8>
fqat.storage @"$s1" "float32" on "cpu" = dense<2> : tensor<4xi8>
fqat.module @a class "__torch__.A" slots ["weight", "mean"]
fqat.parameter @a.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.buffer @a.mean : !fqat.tensor = #fqat.tensor<@"$s1", float32, [], []>
fqat.module @b class "__torch__.B" slots ["weight"]
fqat.parameter @b.weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], [], requires_grad, identity = 1>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  fqat.return %x : !fqat.tensor
}
