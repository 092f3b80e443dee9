// Models that differ in what does not matter.

// RUN: split-file %s %t
// RUN: fqat-mlir-opt %t/nop.mlir --fqat-prove=original=%t/model.mlir -o /dev/null
// RUN: fqat-mlir-opt %t/in-place.mlir --fqat-prove=original=%t/model.mlir -o /dev/null
// RUN: fqat-mlir-opt %t/inlined.mlir --fqat-prove=original=%t/model.mlir -o /dev/null
// RUN: fqat-mlir-opt %t/clone.mlir --fqat-prove=original=%t/model.mlir -o /dev/null
// RUN: fqat-mlir-opt %t/split-if.mlir --fqat-prove=original=%t/if.mlir -o /dev/null
// RUN: fqat-mlir-opt %t/checks-moved.mlir --fqat-prove=original=%t/checks.mlir -o /dev/null
// RUN: fqat-mlir-opt %t/appended.mlir --fqat-prove=original=%t/list.mlir -o /dev/null

//--- model.mlir
fqat.module @"$" class "__torch__.Net" slots ["act"]
fqat.module @act class "__torch__.ReLU" slots ["training"]
fqat.attribute @act.training : !fqat.bool = false
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.int) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.call @act.forward(%a) : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.call @act.forward(%b) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::size"(%c, %one) : (!fqat.tensor, !fqat.int) -> !fqat.int
  fqat.return %c, %n : !fqat.tensor, !fqat.int
}
fqat.method @act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act} {
  %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

//--- nop.mlir
fqat.module @"$" class "__torch__.Net" slots ["act", "out_nop"]
fqat.module @act class "__torch__.ReLU" slots ["training"]
fqat.attribute @act.training : !fqat.bool = false
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.int) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.call @act.forward(%a) : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.call @act.forward(%b) : (!fqat.tensor) -> !fqat.tensor
  %nop = fqat.out_nop @out_nop(%c) : !fqat.tensor
  %n = fqat.op "aten::size"(%nop, %one) : (!fqat.tensor, !fqat.int) -> !fqat.int
  fqat.return %nop, %n : !fqat.tensor, !fqat.int
}
fqat.method @act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act} {
  %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  fqat.return %x : !fqat.tensor
}

//--- in-place.mlir
// The size is read before the write; a write does not change it.
fqat.module @"$" class "__torch__.Net" slots ["act"]
fqat.module @act class "__torch__.ReLU" slots ["training"]
fqat.attribute @act.training : !fqat.bool = false
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.int) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::size"(%a, %one) : (!fqat.tensor, !fqat.int) -> !fqat.int
  %b = fqat.op "aten::relu_"(%a) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.op "aten::relu_"(%a) writes [0] aliases [0] : (!fqat.tensor) -> !fqat.tensor
  fqat.return %b, %n : !fqat.tensor, !fqat.int
}

//--- inlined.mlir
fqat.module @"$" class "__torch__.Net" slots ["act"]
fqat.module @act class "__torch__.ReLU" slots ["training"]
fqat.attribute @act.training : !fqat.bool = false
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.int) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::relu"(%a) : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.op "aten::relu"(%b) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::size"(%a, %one) : (!fqat.tensor, !fqat.int) -> !fqat.int
  fqat.return %c, %n : !fqat.tensor, !fqat.int
}

//--- clone.mlir
fqat.module @"$" class "__torch__.Net" slots ["act", "act1"]
fqat.module @act class "__torch__.ReLU" slots ["training"]
fqat.attribute @act.training : !fqat.bool = false
fqat.module @act1 class "__torch__.ReLU" slots ["training"]
fqat.attribute @act1.training : !fqat.bool = false
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.int) attributes {instance = @"$"} {
  %one = fqat.constant 1 : i64
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.call @act.forward(%a) : (!fqat.tensor) -> !fqat.tensor
  %c = fqat.call @act1.forward(%b) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.op "aten::size"(%c, %one) : (!fqat.tensor, !fqat.int) -> !fqat.int
  fqat.return %c, %n : !fqat.tensor, !fqat.int
}
fqat.method @act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act} {
  %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @act1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act1} {
  %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

//--- if.mlir
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> !fqat.tensor attributes {instance = @"$"} {
  %y = fqat.if %c -> !fqat.tensor {
    %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
    %b = fqat.op "aten::sigmoid"(%a) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %b : !fqat.tensor
  } else {
    fqat.yield %x : !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}

//--- split-if.mlir
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %c: !fqat.bool) -> !fqat.tensor attributes {instance = @"$"} {
  %first = fqat.if %c -> !fqat.tensor {
    %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %a : !fqat.tensor
  } else {
    %u = fqat.op "prim::Uninitialized"() : () -> !fqat.tensor
    fqat.yield %u : !fqat.tensor
  }
  %not = fqat.op "aten::__not__"(%c) : (!fqat.bool) -> !fqat.bool
  %y = fqat.if %not -> !fqat.tensor {
    fqat.yield %x : !fqat.tensor
  } else {
    %b = fqat.op "aten::sigmoid"(%first) : (!fqat.tensor) -> !fqat.tensor
    fqat.yield %b : !fqat.tensor
  }
  fqat.return %y : !fqat.tensor
}

//--- checks.mlir
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %y: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %four = fqat.constant 4 : i64
  %m = fqat.constant "four, please"
  %n = fqat.constant "of y too"
  %dx = fqat.op "aten::dim"(%x) : (!fqat.tensor) -> !fqat.int
  %cx = fqat.op "aten::ne" overload "int"(%dx, %four) : (!fqat.int, !fqat.int) -> !fqat.bool
  fqat.if %cx {
    fqat.op "prim::RaiseException"(%m) effects : (!fqat.str) -> ()
    fqat.yield
  } else {
    fqat.yield
  }
  %dy = fqat.op "aten::dim"(%y) : (!fqat.tensor) -> !fqat.int
  %cy = fqat.op "aten::ne" overload "int"(%dy, %four) : (!fqat.int, !fqat.int) -> !fqat.bool
  fqat.if %cy {
    fqat.op "prim::RaiseException"(%n) effects : (!fqat.str) -> ()
    fqat.yield
  } else {
    fqat.yield
  }
  fqat.return %x : !fqat.tensor
}

//--- checks-moved.mlir
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor, %y: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %four = fqat.constant 4 : i64
  %m = fqat.constant "four, please"
  %n = fqat.constant "of y too"
  %dy = fqat.op "aten::dim"(%y) : (!fqat.tensor) -> !fqat.int
  %cy = fqat.op "aten::ne" overload "int"(%dy, %four) : (!fqat.int, !fqat.int) -> !fqat.bool
  fqat.if %cy {
    fqat.op "prim::RaiseException"(%n) effects : (!fqat.str) -> ()
    fqat.yield
  } else {
    fqat.yield
  }
  %dx = fqat.op "aten::dim"(%x) : (!fqat.tensor) -> !fqat.int
  %cx = fqat.op "aten::ne" overload "int"(%dx, %four) : (!fqat.int, !fqat.int) -> !fqat.bool
  fqat.if %cx {
    fqat.op "prim::RaiseException"(%m) effects : (!fqat.str) -> ()
    fqat.yield
  } else {
    fqat.yield
  }
  fqat.return %x : !fqat.tensor
}

//--- list.mlir
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%l: !fqat.list<int>) -> !fqat.list<int> attributes {instance = @"$"} {
  %0 = fqat.op "aten::list" overload "t"(%l) : (!fqat.list<int>) -> !fqat.list<int>
  fqat.return %0 : !fqat.list<int>
}

//--- appended.mlir
fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%l: !fqat.list<int>) -> !fqat.list<int> attributes {instance = @"$"} {
  %true = fqat.constant true
  %n = fqat.op "aten::len" overload "t"(%l) : (!fqat.list<int>) -> !fqat.int
  %0 = fqat.list() : () -> !fqat.list<int>
  fqat.loop %n while %true init() : () -> () {
  ^bb0(%i: !fqat.int):
    %e = fqat.op "aten::__getitem__" overload "t"(%l, %i) : (!fqat.list<int>, !fqat.int) -> !fqat.int
    %1 = fqat.op "aten::append" overload "t"(%0, %e) writes [0] aliases [0] : (!fqat.list<int>, !fqat.int) -> !fqat.list<int>
    fqat.yield %true : !fqat.bool
  }
  fqat.return %0 : !fqat.list<int>
}
