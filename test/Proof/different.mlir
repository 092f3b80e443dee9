// Each model differs from the first in one thing that matters.

// RUN: split-file %s %t
// RUN: not fqat-mlir-opt %t/constant.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=CONSTANT
// RUN: not fqat-mlir-opt %t/order.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=ORDER
// RUN: not fqat-mlir-opt %t/random.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=RANDOM
// RUN: not fqat-mlir-opt %t/input.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=INPUT
// RUN: not fqat-mlir-opt %t/slot.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=SLOT
// RUN: not fqat-mlir-opt %t/view.mlir --fqat-prove=original=%t/model.mlir -o /dev/null 2>&1 | FileCheck %s --check-prefix=VIEW

//--- model.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %n = fqat.get @count : !fqat.int
  %n1 = fqat.op "aten::add" overload "int"(%n, %one) : (!fqat.int, !fqat.int) -> !fqat.int
  fqat.set @count = %n1 : !fqat.int
  %a = fqat.op "aten::conv2d"(%x, %one) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%a, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}

// CONSTANT: error: the fixed model is not shown to compute what the original does: output 0 of 'forward' differs
// CONSTANT: note: in the original: 1
// CONSTANT: note: in the fixed model: 0
//--- constant.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %n = fqat.get @count : !fqat.int
  %n1 = fqat.op "aten::add" overload "int"(%n, %one) : (!fqat.int, !fqat.int) -> !fqat.int
  fqat.set @count = %n1 : !fqat.int
  %a = fqat.op "aten::conv2d"(%x, %zero) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%a, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}

// A read of a view behind the write of its base.
// ORDER: error: {{.*}} output 1 of 'forward' differs
// ORDER: note: in the original: aten::conv2d(
// ORDER: note: in the fixed model: aten::add_(aten::conv2d(
//--- order.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %n = fqat.get @count : !fqat.int
  %n1 = fqat.op "aten::add" overload "int"(%n, %one) : (!fqat.int, !fqat.int) -> !fqat.int
  fqat.set @count = %n1 : !fqat.int
  %a = fqat.op "aten::conv2d"(%x, %one) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%a, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}

// RANDOM: error: {{.*}} output 0 of 'forward' differs
//--- random.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %n = fqat.get @count : !fqat.int
  %n1 = fqat.op "aten::add" overload "int"(%n, %one) : (!fqat.int, !fqat.int) -> !fqat.int
  fqat.set @count = %n1 : !fqat.int
  %a = fqat.op "aten::conv2d"(%x, %one) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%a, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}

// INPUT: error: {{.*}} what 'forward' leaves in its argument 0 differs
//--- input.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %n = fqat.get @count : !fqat.int
  %n1 = fqat.op "aten::add" overload "int"(%n, %one) : (!fqat.int, !fqat.int) -> !fqat.int
  fqat.set @count = %n1 : !fqat.int
  %a = fqat.op "aten::conv2d"(%x, %one) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%a, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %v = fqat.op "aten::add_"(%x, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}

// SLOT: error: {{.*}} what 'forward' leaves in 'count' differs
//--- slot.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %a = fqat.op "aten::conv2d"(%x, %one) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%a, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}

// A write through a view is a write of its base.
// VIEW: error: {{.*}} output 0 of 'forward' differs
// VIEW: note: in the fixed model: write(
//--- view.mlir
fqat.module @"$" class "__torch__.Net" slots ["count"]
fqat.attribute @count : !fqat.int = 0 : i64
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %zero = fqat.constant 0 : i64
  %n = fqat.get @count : !fqat.int
  %n1 = fqat.op "aten::add" overload "int"(%n, %one) : (!fqat.int, !fqat.int) -> !fqat.int
  fqat.set @count = %n1 : !fqat.int
  %a = fqat.op "aten::conv2d"(%x, %one) : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %part = fqat.op "aten::select"(%a, %zero) aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %before = fqat.op "aten::exp"(%part) : (!fqat.tensor) -> !fqat.tensor
  %w = fqat.op "aten::add_"(%part, %one) writes [0] aliases [0] : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %r = fqat.op "aten::dropout"(%a, %one) random : (!fqat.tensor, !fqat.int) -> !fqat.tensor
  %s = fqat.op "aten::bernoulli"(%before) random : (!fqat.tensor) -> !fqat.tensor
  fqat.return %r, %s : !fqat.tensor, !fqat.tensor
}
