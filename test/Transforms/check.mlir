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
  // expected-note @below {{'conv2d' in <root> (NotAdjacent) stands in between}}
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R1 nop adjacency: out_nop (OutNop) does not follow 'conv2d' in <root> (NotAdjacent) directly [fqat-r1]}}
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  // expected-error @below {{R1 nop adjacency: out_nop1 (OutNop) does not follow 'conv2d' in <root> (NotAdjacent) directly [fqat-r1]}}
  // expected-note @above {{out_nop (OutNop) stands in between}}
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
  // expected-error @below {{R1 nop adjacency: the value of 'conv2d' in <root> (NoNop) leaves the quantised region without an out_nop [fqat-r1]}}
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{'sigmoid' in <root> (NoNop) reads it}}
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
  // expected-error @below {{R1 nop adjacency: n0 (OutNop) stands on a value outside the quantised region [fqat-r1]}}
  %0 = fqat.out_nop @n0(%x) : !fqat.tensor
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R1 nop adjacency: n1 (OutNop) feeds the quantised region [fqat-r1]}}
  %1 = fqat.out_nop @n1(%a) : !fqat.tensor
  %b = fqat.op "aten::conv2d"(%1) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R1 nop adjacency: n2 (OutNop) is read by nothing [fqat-r1]}}
  %2 = fqat.out_nop @n2(%b) : !fqat.tensor
  // expected-error @below {{R1 nop adjacency: n3 (OutNop) stands on a value that has an out_nop already [fqat-r1]}}
  %3 = fqat.out_nop @n3(%b) : !fqat.tensor
  %c = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R1 nop adjacency: n4 (OutNop) does not return its argument as it is [fqat-r1]}}
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
  // expected-error @below {{R4 called once: act (SiLU) is called 2 times by <root> (Rest) [fqat-r4]}}
  %p = fqat.call @act.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{it is called again here}}
  %q = fqat.call @act.forward(%p) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R5 real forward: id (Identity) is called, but does nothing [fqat-r5]}}
  fqat.call @id.forward() : () -> ()
  // expected-error @below {{R5 real forward: late (Late) is run by its method 'forward1' instead of forward [fqat-r5]}}
  %r = fqat.call @late.forward1(%q) : (!fqat.tensor) -> !fqat.tensor
  %a = fqat.op "aten::conv2d"(%r) : (!fqat.tensor) -> !fqat.tensor
  %na = fqat.out_nop @out_nop(%a) : !fqat.tensor
  // expected-error @below {{R3 nops before the tail: 'sigmoid' in <root> (Rest) belongs to the tail but runs before the last out_nop [fqat-r3]}}
  %s = fqat.op "aten::sigmoid"(%na) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{the last out_nop is here}}
  %nb = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  %l = fqat.list(%nb) : (!fqat.tensor) -> !fqat.list<tensor>
  // expected-error @below {{R2 no list(): <root> (Rest) copies a list by list() [fqat-r2]}}
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

// -----

// R4: one activation that two blocks of a class hold, seen from both; one that
// is handed to blocks of two classes; and a block that is called twice: what it
// calls is called through it.

fqat.module @"$" class "__torch__.Shared" slots ["a", "b", "head", "gate"]
fqat.module @a class "__torch__.Conv" slots ["act"]
fqat.module @a.act class "__torch__.torch.nn.modules.activation.SiLU" slots []
fqat.module @b class "__torch__.___torch_mangle_1.Conv" slots ["act"]
fqat.module @b.act class "__torch__.torch.nn.modules.activation.___torch_mangle_2.SiLU" slots []
fqat.module @head class "__torch__.Head" slots ["drop"]
fqat.module @head.drop class "__torch__.Dropout" slots []
fqat.module @gate class "__torch__.Gate" slots []
fqat.method @forward(%x: !fqat.tensor) -> () attributes {instance = @"$"} {
  %0 = fqat.call @a.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @b.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R4 called once: head (Head) is called 2 times by <root> (Shared) [fqat-r4]}}
  %2 = fqat.call @head.forward(%1) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{it is called again here}}
  %3 = fqat.call @head.forward(%2) : (!fqat.tensor) -> !fqat.tensor
  fqat.return
}
fqat.method @a.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @a} {
  // expected-error @below {{R4 called once: b.act (SiLU) is called 2 times: one SiLU object is shared by 2 Conv blocks (a class attribute?) [fqat-r4]}}
  %0 = fqat.call @b.act.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-error @below {{R4 called once: gate (Gate) is called 2 times: one Gate object is handed to 2 Conv blocks [fqat-r4]}}
  %1 = fqat.call @gate.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @b.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b} {
  // expected-note @below {{it is called by b (Conv)}}
  %0 = fqat.call @b.act.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{it is called by b (Conv)}}
  %1 = fqat.call @gate.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
fqat.method @b.act.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @b.act} {
  %0 = fqat.op "aten::silu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @gate.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @gate} {
  %0 = fqat.op "aten::relu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @head.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head} {
  %0 = fqat.call @head.drop.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
fqat.method @head.drop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @head.drop} {
  %0 = fqat.op "aten::dropout"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}

// -----

// A nop that tracing lost; and one that two values share, which the kit takes.

fqat.module @"$" class "__torch__.Nops" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.OutNop" slots []
fqat.module @out_nop1 class "__torch__.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{R1 nop adjacency: out_nop1 (OutNop) is called, but tracing lost on which value: it leaves nothing of a call that returns its argument [fqat-r1]}}
  fqat.call @out_nop1.forward() : () -> ()
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-remark @below {{R4 called once: out_nop (OutNop) is called 2 times; the kit takes that of an out_nop [fqat-r4]}}
  %0 = fqat.out_nop @out_nop(%a) : !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{it is called again here}}
  %1 = fqat.out_nop @out_nop(%b) : !fqat.tensor
  fqat.return %0, %1 : !fqat.tensor, !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  fqat.return %x : !fqat.tensor
}
fqat.method @out_nop1.forward() attributes {instance = @out_nop1} {
  fqat.return
}

// -----

// One instance's ops before the last out_nop are one finding.

fqat.module @"$" class "__torch__.Early" slots ["out_nop", "out_nop1"]
fqat.module @out_nop class "__torch__.OutNop" slots []
fqat.module @out_nop1 class "__torch__.OutNop" slots []
fqat.method @forward(%x: !fqat.tensor) -> (!fqat.tensor, !fqat.tensor) attributes {instance = @"$"} {
  %a = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %0 = fqat.out_nop @out_nop(%a) : !fqat.tensor
  // expected-error @below {{R3 nops before the tail: 'sigmoid' in <root> (Early) belongs to the tail but runs before the last out_nop [fqat-r3]}}
  // expected-note @below {{and 2 more}}
  %s = fqat.op "aten::sigmoid"(%0) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{so does 'exp' in <root> (Early)}}
  %e = fqat.op "aten::exp"(%s) : (!fqat.tensor) -> !fqat.tensor
  %f = fqat.op "aten::sqrt"(%e) : (!fqat.tensor) -> !fqat.tensor
  %g = fqat.op "aten::neg"(%f) : (!fqat.tensor) -> !fqat.tensor
  %b = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  // expected-note @below {{the last out_nop is here}}
  %1 = fqat.out_nop @out_nop1(%b) : !fqat.tensor
  fqat.return %g, %1 : !fqat.tensor, !fqat.tensor
}
fqat.method @out_nop.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop} {
  fqat.return %x : !fqat.tensor
}
fqat.method @out_nop1.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {instance = @out_nop1} {
  fqat.return %x : !fqat.tensor
}
