// RUN: fqat-mlir-opt --split-input-file --verify-diagnostics %s

// expected-error @below {{'fqat.module' op lies below 'a', which is no instance}}
fqat.module @a.b class "__torch__.B" slots []

// -----

// expected-error @below {{declares the slot "w", but 'w' is not defined}}
fqat.module @"$" class "__torch__.Net" slots ["w"]

// -----

fqat.module @"$" class "__torch__.Net" slots []
// expected-error @below {{refers to 'a', which is no instance}}
fqat.alias @b = @a

// -----

// expected-error @below {{holds 'tensor<2xi32>' instead of a vector of bytes}}
fqat.storage @"$s0" "float32" on "cpu" = dense<0> : tensor<2xi32>

// -----

fqat.module @"$" class "__torch__.Net" slots ["w"]
// expected-error @below {{views '$s0', which is no storage}}
fqat.parameter @w : !fqat.tensor = #fqat.tensor<@"$s0", float32, [], []>

// -----

// expected-error @below {{tensor has 2 sizes but 1 strides}}
#t = #fqat.tensor<@"$s0", float32, [1, 2], [1]>

// -----

// expected-error @below {{tensor has a negative offset or size}}
#t = #fqat.tensor<@"$s0", float32, [-1], [1]>

// -----

// expected-error @below {{the identity 9223372036854775807 is not between 0 and}}
#t = #fqat.tensor<@"$s0", float32, [1], [1], identity = 9223372036854775807>

// -----

// expected-error @below {{the identity -1 is not between 0 and}}
#l = #fqat.list<[] id -1>

// -----

// expected-error @below {{unknown tensor property 'color'}}
#t = #fqat.tensor<@"$s0", float32, [1], [1], color = 1>

// -----

fqat.module @"$" class "__torch__.Net" slots []
// expected-error @below {{is no member of its instance '$'}}
fqat.method @a.forward() attributes {instance = @"$"} {
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward() -> !fqat.int attributes {instance = @"$"} {
  // expected-error @below {{returns other types than its method declares}}
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward() attributes {instance = @"$"} {
  // expected-error @below {{calls 'a.forward', which is no method}}
  fqat.call @a.forward() : () -> ()
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
// expected-note @below {{the method is here}}
fqat.method @helper(%x: !fqat.tensor) attributes {instance = @"$"} {
  fqat.return
}
fqat.method @forward() attributes {instance = @"$"} {
  // expected-error @below {{does not match the signature of 'helper'}}
  fqat.call @helper() : () -> ()
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{calls 'out_nop', which is no instance}}
  %n = fqat.out_nop @out_nop(%x) : !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots ["n"]
fqat.attribute @n : !fqat.int = 1 : i64
fqat.method @forward() attributes {instance = @"$"} {
  // expected-error @below {{reads a slot of type '!fqat.int'}}
  %0 = fqat.get @n : !fqat.bool
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward() attributes {instance = @"$"} {
  // expected-error @below {{reads an instance as '!fqat.bool'}}
  %0 = fqat.get @"$" : !fqat.bool
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward() attributes {instance = @"$"} {
  // expected-error @below {{reads 'forward', which is no slot}}
  %0 = fqat.get @forward : !fqat.bool
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward() attributes {instance = @"$"} {
  // expected-error @below {{no constant has the value 1 : i32}}
  %0 = fqat.constant 1 : i32
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{makes no list}}
  %0 = fqat.list(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{has a key without a value}}
  %0 = fqat.dict(%x) : (!fqat.tensor) -> !fqat.dict<tensor, tensor>
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tuple<tensor, int>) attributes {instance = @"$"} {
  // expected-error @below {{has other results than the tuple has elements}}
  %0 = fqat.unpack %x : (!fqat.tuple<tensor, int>) -> !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{name 'relu' has no namespace}}
  %0 = fqat.op "relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{writes operand 1, which is not there}}
  %0 = fqat.op "aten::relu_"(%x) writes [1] : (!fqat.tensor) -> !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{has 1 results but 2 aliases}}
  %0 = fqat.op "aten::view"(%x) aliases [0, 0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %b: !fqat.bool) attributes {instance = @"$"} {
  // expected-error @below {{has an arm that yields other types than its results}}
  %y = fqat.if %b -> !fqat.int {
    fqat.yield %x : !fqat.tensor
  } else {
    fqat.yield %x : !fqat.tensor
  }
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %n: !fqat.int, %b: !fqat.bool) attributes {instance = @"$"} {
  // expected-error @below {{has a body whose arguments do not fit its inits}}
  %y = fqat.loop %n while %b init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int):
    fqat.yield %b, %x : !fqat.bool, !fqat.tensor
  }
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %n: !fqat.int, %b: !fqat.bool) attributes {instance = @"$"} {
  // expected-error @below {{has a body that yields other types than its results}}
  %y = fqat.loop %n while %b init(%x) : (!fqat.tensor) -> !fqat.tensor {
  ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
    fqat.yield %x1 : !fqat.tensor
  }
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots ["n"]
fqat.attribute @n : !fqat.int = 1 : i64
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{writes a slot of type '!fqat.int'}}
  fqat.set @n = %x : !fqat.tensor
  fqat.return
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{calls '$__torch__.f', which is no function}}
  fqat.call_function @"$__torch__.f"(%x) : (!fqat.tensor) -> ()
  fqat.return
}

// -----

// expected-error @below {{has a symbol without a dollar sign}}
fqat.function @scale(%x: !fqat.tensor) {
  fqat.return
}
