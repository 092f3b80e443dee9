//===- Passes.td - The passes that make a model obey the rules -*- tablegen -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TRANSFORMS_PASSES_TD
#define FQAT_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

class AnchorOptions {
  list<Option> anchorOptions = [
    ListOption<"anchors", "anchors", "std::string",
               "Op families that are layers: conv, linear (default: both)">,
    ListOption<"exclude", "exclude", "std::string",
               "Globs of instances whose ops, and those below, are no layers">,
  ];
}

class NopNameOption {
  list<Option> nopNameOption = [
    Option<"nopName", "nop-name", "std::string", /*default=*/"\"out_nop\"",
           "Attribute name of an out_nop">,
  ];
}

def CanonicalizeEntryPass
    : Pass<"fqat-canonicalize-entry", "::mlir::ModuleOp"> {
  let summary = "Name every entry method forward, drop calls of husks (R5)";
  let description = [{
    The training kit runs `forward`. An instance that the model's `forward`
    calls through one method of another name gets that method under the name
    `forward`.

    Tracing leaves of an identity module a call without arguments that returns
    nothing, a husk. Such calls do nothing and count as calls, so they go. The
    instance stays, with its state.

    ```mlir
    fqat.call @act.forward() : () -> ()                 // goes
    %y = fqat.call @conv.forward2(%x) : ...             // conv.forward(%x)
    ```
  }];
  let statistics = [
    Statistic<"numRenamed", "num-renamed", "Entry methods renamed to forward">,
    Statistic<"numHusks", "num-husks", "Calls of husks removed">,
  ];
}

def LowerListPass : Pass<"fqat-lower-list", "::mlir::ModuleOp"> {
  let summary = "Replace list() (R2)";
  let description = [{
    `aten::list` copies a list. Where its operand is a list that the same body
    makes, and that nothing changes, the copy is made from the elements.

    ```mlir
    %l = fqat.list(%a, %b) : ...
    %c = fqat.op "aten::list"(%l) : ...                 // fqat.list(%a, %b)
    ```

    Of any other list or string, a loop appends the elements to an empty list.
  }];
  let statistics = [Statistic<"numLowered", "num-lowered", "list() replaced">];
}

def UnrollLoopsPass : Pass<"fqat-unroll-loops", "::mlir::ModuleOp"> {
  let summary = "Unroll loops that call modules (R4)";
  let description = [{
    A loop in whose rounds a module is called, or a layer computed, runs it
    several times. Where the number of rounds is a constant, or an attribute
    that nobody writes, the rounds are written one after the other, and each
    call can get an instance of its own.

    ```mlir
    %y = fqat.loop %two while %true init(%x) ... { fqat.call @conv.forward ... }
    // becomes
    %0 = fqat.call @conv.forward(%x) : ...
    %y = fqat.call @conv.forward(%0) : ...
    ```

    Restriction: loops of more than 64 rounds stay.
  }];
  let statistics = [Statistic<"numUnrolled", "num-unrolled", "Loops unrolled">];
}

def InlineFunctionsPass : Pass<"fqat-inline-functions", "::mlir::ModuleOp">,
    AnchorOptions {
  let summary = "Inline free functions that an out_nop must stand in";
  let description = [{
    A free function cannot call a module. One that computes a layer, or both
    quantised work and tail, or goes on after a crossing value, is inlined where
    a method calls it. Forked code is inlined too where its future is only waited
    for: what runs beside something else has no place in an order.

    ```mlir
    %y = fqat.call_function @"$head"(%x, %w) : ...
    // becomes
    %0 = fqat.op "aten::conv2d"(%x, %w, ...) : ...
    %y = fqat.op "aten::sigmoid"(%0) : ...
    ```
  }];
  let options = anchorOptions;
  let statistics = [
    Statistic<"numInlined", "num-inlined", "Calls of functions inlined">,
  ];
}

def CloneSharedModulesPass
    : Pass<"fqat-clone-shared-modules", "::mlir::ModuleOp"> {
  let summary = "Give every call of a module an instance of its own (R4)";
  let description = [{
    A call whose caller owns an idle twin of the callee (a copy of the shared
    module that tracing left without methods) goes to the twin, which gets the
    body of the very method that was called. Of the other calls the owner's own,
    or else the first, keeps the original; each of the rest gets a copy of the
    subtree in its caller, under the original's name with a number appended.

    ```mlir
    %1 = fqat.call @conv.forward(%0) : ...
    %2 = fqat.call @conv.forward1(%1) : ...             // @conv1.forward
    ```

    Restriction: a shared module that writes its own state (batch norm traced in
    training mode) cannot be copied with the same final state; that is an error
    under `clone-params=copy`, because each copy would see a part of the
    updates only.
  }];
  let options = [
    Option<"cloneParams", "clone-params", "std::string", /*default=*/"\"copy\"",
           "copy: every call has tensors of its own; share: all stay tied">,
  ];
  let statistics = [
    Statistic<"numCloned", "num-cloned", "Instances cloned">,
    Statistic<"numTwins", "num-twins", "Calls that went to a twin">,
  ];
}

def InsertOutNopPass : Pass<"fqat-insert-out-nop", "::mlir::ModuleOp">,
    AnchorOptions, NopNameOption {
  let summary = "Put an out_nop on every crossing value (R1)";
  let description = [{
    A crossing value is a tensor made in the quantised region that the tail
    reads or the model returns. It gets an out_nop right after its producer, in
    the outermost frame in which nothing stands between the two; the tail and
    the returns read the nop's result, the quantised region the value itself.
    Where one call hands out several values, the nops stay inside it, so that
    the branches of a head look alike.

    ```mlir
    %h = fqat.call @cv2.forward(%x) : ...
    %n = fqat.out_nop @out_nop(%h) : !fqat.tensor
    %c = fqat.op "aten::cat"(...)                       // reads %n
    ```

    Restriction: a method that runs several times in one run of the model gets
    no nop, because one nop would then serve several values; clone first.
  }];
  let options = !listconcat(anchorOptions, nopNameOption, [
    Option<"nopInstances", "nop-instances", "std::string",
           /*default=*/"\"each\"",
           "each: every crossing value has an out_nop of its own; owner: those "
           "of one instance share one">,
  ]);
  let statistics = [
    Statistic<"numInserted", "num-inserted", "out_nops inserted">,
    Statistic<"numCrossing", "num-crossing", "Crossing values">,
    Statistic<"numAnchors", "num-anchors", "Anchors">,
  ];
}

def HoistTailPass : Pass<"fqat-hoist-tail", "::mlir::ModuleOp">,
    AnchorOptions, NopNameOption {
  let summary = "Move the tail behind the last out_nop (R3)";
  let description = [{
    In the frame that runs the last out_nop, tail ops move behind it, in their
    own order. Tail ops of a callee that returns before the last out_nop move
    into the caller; the callee returns the values that they need.

    ```mlir
    %a = fqat.out_nop @out_nop(%0) : !fqat.tensor
    %c = fqat.op "aten::sigmoid"(%a) : ...              // goes below %b
    %b = fqat.out_nop @out_nop1(%1) : !fqat.tensor
    ```

    The tail of an arm of an `fqat.if` that ends before the last out_nop goes to
    a second `fqat.if` behind it, with the same condition. A write that the tail
    may not pass becomes out of place, where nobody relies on it but through its
    result.

    Restriction: any other op that writes memory which an op of the tail reads
    or writes cannot be passed, nor can a random op pass another one. Both lines
    are named.
  }];
  let options = !listconcat(anchorOptions, nopNameOption);
  let statistics = [
    Statistic<"numMoved", "num-moved", "Tail ops moved behind the nops">,
    Statistic<"numHoisted", "num-hoisted", "Tail ops hoisted out of a callee">,
  ];
}

def FunctionalizePass : Pass<"fqat-functionalize", "::mlir::ModuleOp"> {
  let summary = "Make writes that autograd refuses out of place";
  let description = [{
    Autograd refuses a write to memory that an earlier op keeps for its
    backward, and one to a result of an op that makes several views (`chunk`),
    or to what these look at.
    Such a write becomes out of place, with the same bits, and its later readers
    read what it made. Through a slice, that is a concatenation of what stays
    and what is new.

    ```mlir
    %v = fqat.op "aten::slice"(%x, %dim, %zero, %c, %one) aliases [0] : ...
    %y = fqat.op "aten::conv2d"(%v, %w) : ...
    %z = fqat.op "aten::copy_"(%v, %y, %false) writes [0] aliases [0] : ...
    fqat.return %x
    // becomes
    %r = fqat.op "aten::slice"(%x, %dim, %c, %end, %one) aliases [0] : ...
    %n = fqat.op "aten::cat"([%y, %r], %dim) : ...
    fqat.return %n
    ```

    An activation takes its other form; what may convert its operands, or
    broadcast them, writes a copy. Through a view that is no range, the write
    goes to a copy of the whole. All other writes stay as they are.

    Restriction: a write that is seen where it cannot be renamed (by the model's
    caller, in a slot, through a list or a view that may be a copy) stays, with
    a warning.
  }];
  let statistics = [
    Statistic<"numWrites", "num-writes", "Writes that became out of place">,
  ];
}

def AssignBitsPass : Pass<"fqat-assign-bits", "::mlir::ModuleOp">,
    AnchorOptions {
  let summary = "Give layers the bit widths of a file";
  let description = [{
    The file maps globs of instances to feature and weight bits; a later pattern
    wins. What matches an instance gives its clones the same, unless a pattern
    names them alone. Each anchor gets the attribute `fqat.bits`, and the model
    a record `extra/fqat_bits.json` that tells those of all layers. A pattern
    that matches no layer is a warning.

    ```mlir
    %0 = fqat.op "aten::conv2d"(%x, %w) {fqat.bits = #fqat.bits<feature = 12, weight = 8>} : ...
    ```
  }];
  let options = !listconcat(anchorOptions, [
    Option<"file", "file", "std::string", /*default=*/"", "The file, YAML">,
  ]);
  let statistics = [
    Statistic<"numLayers", "num-layers", "Layers that got bit widths">,
  ];
}

def CheckPass : Pass<"fqat-check", "::mlir::ModuleOp">,
    AnchorOptions, NopNameOption {
  let summary = "Report what breaks the rules, change nothing";
  let description = [{
    Emits one error for each finding, with the rule at its end in brackets, and
    fails if there is any.
  }];
  let options = !listconcat(anchorOptions, nopNameOption);
  let statistics = [Statistic<"numFindings", "num-findings", "Findings">];
}

#endif // FQAT_TRANSFORMS_PASSES_TD
