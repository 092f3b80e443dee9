// RUN: fqat-mlir-opt --fqat-check --split-input-file --verify-diagnostics %s

// Nothing to report.

fqat.module @"$" class "__torch__.Clean" slots ["out_nop"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %n = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %s = fqat.op "aten::sigmoid"(%n) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %s : !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  fqat.return %x : !fqat.tensor
}

// -----

// R1: conv1, conv2, nop1, nop2.

fqat.module @"$" class "__torch__.NotAdjacent" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{'conv2d' of '<root>' stands in between}}
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{out_nop 'out_nop' does not follow 'conv2d' of '<root>' directly [R1]}}
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  // expected-error @below {{out_nop 'out_nop1' does not follow 'conv2d' of '<root>' directly [R1]}}
  // expected-note @above {{'out_nop' of '<root>' stands in between}}
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %na, %nb : !fqat.tensor, !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  fqat.return %x : !fqat.tensor
}
fqat.method @out_nop1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop1} {
  fqat.return %x : !fqat.tensor
}

// -----

fqat.module @"$" class "__torch__.NoNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {
  // expected-error @below {{the value of 'conv2d' of '<root>' leaves the quantised region without an out_nop [R1]}}
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{'sigmoid' of '<root>' reads it here}}
  %s = fqat.op "aten::sigmoid"(%a) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %s : !fqat.tensor
}

// -----

// A nop on the wrong value, one that feeds a conv, one that nothing reads, two on
// one value, and one that is none.

fqat.module @"$" class "__torch__.BadNops" slots ["n0", "n1", "n2", "n3", "n4"]
fqat.module @n0 class "__torch__.OutNop" slots []
fqat.module @n1 class "__torch__.OutNop" slots []
fqat.module @n2 class "__torch__.OutNop" slots []
fqat.module @n3 class "__torch__.OutNop" slots []
fqat.module @n4 class "__torch__.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{out_nop 'n0' stands on a value outside the quantised region [R1]}}
  %0 = fqat.out_nop @n0(%x) : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{out_nop 'n1' feeds the quantised region [R1]}}
  %1 = fqat.out_nop @n1(%a) : !fqat.tensor
  %b = fqat.op "aten::conv2d"(%1) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{out_nop 'n2' is read by nothing [R1]}}
  %2 = fqat.out_nop @n2(%b) : !fqat.tensor
  // expected-error @below {{out_nop 'n3' stands on a value that has an out_nop already [R1]}}
  %3 = fqat.out_nop @n3(%b) : !fqat.tensor
  %c = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{out_nop 'n4' does not return its argument as it is [R1]}}
  %4 = fqat.out_nop @n4(%c) : !fqat.tensor
  fqat.return %3, %4 : !fqat.tensor, !fqat.tensor
}
fqat.method @n0.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n0} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n1} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n2.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n2} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n3.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n3} {
  fqat.return %x : !fqat.tensor
}
fqat.method @n4.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @n4} {
  %0 = fqat.op "aten::mul"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// R2, R3, R4, R5.

fqat.module @"$" class "__torch__.Rest" slots ["out_nop", "out_nop1", "act", "id", "late"]
fqat.module @out_nop class "__torch__.fqat.OutNop" slots []
fqat.module @out_nop1 class "__torch__.fqat.OutNop" slots []
fqat.module @act class "__torch__.___torch_mangle_3.SiLU" slots []
fqat.module @id class "__torch__.Identity" slots []
fqat.module @late class "__torch__.Late" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{'act' (SiLU) is called 2 times; each module must be called once only [R4]}}
  %p = fqat.call @act.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{it is called again here}}
  %q = fqat.call @act.forward(%p) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{'id' (Identity) does nothing but is called [R5]}}
  fqat.call @id.forward() : () -> ()
  // expected-error @below {{'late' (Late) is run by its method 'forward1' instead of forward [R5]}}
  %r = fqat.call @late.forward1(%q) : (!fqat.tensor) -> !fqat.tensor
  %a = fqat.op "aten::conv2d"(%r) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  // expected-error @below {{'sigmoid' of '<root>' belongs to the tail but runs before the last out_nop [R3]}}
  %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{the last out_nop is here}}
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  %l = fqat.list(%nb) : (!fqat.tensor) -> !fqat.list<tensor>
  // expected-error @below {{list() cannot be trained}}
  %m = fqat.op "aten::list"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %s, %nb : !fqat.tensor, !fqat.tensor
}
fqat.method @act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @act} {
  %0 = fqat.op "aten::silu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @id.forward() attributes {instance = @id} {
  fqat.return
}
fqat.method @late.forward1(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @late} {
  %0 = fqat.op "aten::exp"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  fqat.return %x : !fqat.tensor
}
fqat.method @out_nop1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop1} {
  fqat.return %x : !fqat.tensor
}
