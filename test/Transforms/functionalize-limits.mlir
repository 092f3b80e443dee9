// RUN: fqat-mlir-opt --fqat-functionalize --split-input-file --verify-diagnostics %s

// Writes that autograd refuses and that cannot be renamed: each stays, and is
// told of.

// The model's caller sees what becomes of its input.
fqat.module @"$" class "__torch__.Input" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %w = fqat.get @weight : !fqat.tensor
  // expected-note@below {{the op is here: 'conv2d' in <root>}}
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  // expected-warning@below {{training cannot pass this write, which changes what an op keeps for its backward; it stays in place, because it writes an input, a slot or a constant, which the model's caller sees}}
  %b = fqat.op "aten::relu_"(%x) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  // expected-warning@below {{training cannot pass this write, which writes a parameter}}
  %c = fqat.op "aten::zero_"(%w) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %a : !fqat.tensor
}

// -----

fqat.module @"$" class "__torch__.List" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.list<tensor> attributes {instance = @"$"} {
  %w = fqat.get @weight : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  // expected-note@below {{the op is here}}
  %b = fqat.op "aten::exp"(%a) : (!fqat.tensor) -> !fqat.tensor
  %l = fqat.list(%a, %b) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  // expected-warning@below {{because a list or a tuple holds what it writes}}
  %c = fqat.op "aten::relu_"(%b) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %l : !fqat.list<tensor>
}

// -----

// A flattened tensor may be a copy.
fqat.module @"$" class "__torch__.Views" slots ["weight"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %w = fqat.get @weight : !fqat.tensor
  %one = fqat.constant 1 : i64
  %h = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  // expected-note@below {{the op is here}}
  %a = fqat.op "aten::exp"(%h) : (!fqat.tensor) -> !fqat.tensor
  %f = fqat.op "aten::flatten"(%a, %one) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  // expected-warning@below {{because it is seen by a name that cannot be given the new value}}
  %c = fqat.op "aten::relu_"(%a) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %f : !fqat.tensor
}

// -----

// Another method of the model calls the one that writes.
fqat.module @"$" class "__torch__.Caller" slots ["weight", "act"]
fqat.module @act class "__torch__.Act" slots []
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %w = fqat.get @weight : !fqat.tensor
  %h = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  // expected-note@below {{the op is here}}
  %a = fqat.op "aten::exp"(%h) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.call @act.forward(%a) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %b : !fqat.tensor
}
fqat.method @other(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %b = fqat.call @act.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %x : !fqat.tensor
}
fqat.method @act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act} {
  // expected-warning@below {{because other callers of the method that writes may see it}}
  %0 = fqat.op "aten::relu_"(%x) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// A loop that goes round more than once; an arm that no flag lets run.
fqat.module @"$" class "__torch__.Flow" slots ["weight", "training"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.attribute @training : !fqat.bool = false
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %w = fqat.get @weight : !fqat.tensor
  %flag = fqat.get @training : !fqat.bool
  %true = fqat.constant true
  %two = fqat.constant 2 : i64
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.loop %two while %true init() : () -> () {
  ^bb0(%i: !fqat.int):
    // expected-note@below {{the op is here}}
    %b = fqat.op "aten::exp"(%a) : (!fqat.tensor) -> !fqat.tensor
    // expected-warning@below {{because the code around it runs several times}}
    %c = fqat.op "aten::relu_"(%b) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %true : !fqat.bool
  }
  fqat.if %flag {
    // expected-note@below {{the op is here}}
    %d = fqat.op "aten::exp"(%a) : (!fqat.tensor) -> !fqat.tensor
    // expected-warning@below {{because a flag that nobody writes leaves it out}}
    %e = fqat.op "aten::relu_"(%d) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
    fqat.yield
  } else {
    fqat.yield
  }
  fqat.return %a : !fqat.tensor
}

// -----

fqat.module @"$" class "__torch__.Slot" slots ["weight", "seen"]
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<4xi8>
fqat.parameter @weight : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1], requires_grad>
fqat.attribute @seen : !fqat.tensor = #fqat.tensor<@"$s0", float32, [1], [1]>
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %w = fqat.get @weight : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x, %w) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  // expected-note@below {{the op is here}}
  %b = fqat.op "aten::exp"(%a) : (!fqat.tensor) -> !fqat.tensor
  fqat.set @seen = %b : !fqat.tensor
  // expected-warning@below {{because a slot holds what it writes}}
  %c = fqat.op "aten::relu_"(%b) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %c : !fqat.tensor
}
