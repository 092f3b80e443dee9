//===- FQATOps.td - Instances, slots, methods and their bodies -*- tablegen -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_IR_FQATOPS_TD
#define FQAT_IR_FQATOPS_TD

include "fqat/IR/FQATAttrs.td"
include "fqat/IR/FQATBase.td"
include "fqat/IR/FQATTypes.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

//===----------------------------------------------------------------------===//
// The object graph
//===----------------------------------------------------------------------===//

def FQAT_ModuleOp : FQAT_Op<"module", [
    Symbol, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "An instance: one module object of the model's tree";
  let description = [{
    The symbol is the instance's dotted path, `class` the qualified name of its
    TorchScript class. `slots` lists the names of its attributes in order; each
    is declared by the op whose symbol is that name below the path: a
    parameter, a buffer, an attribute, an instance or an alias.

    ```mlir
    fqat.module @model.0 class "__torch__.torch.nn.modules.conv.Conv2d"
      slots ["weight", "bias", "training"]
    ```

    `constants` are the class's constants, names and values in turn; `hooks` and
    `pre_hooks` name the methods that run after and before the instance's own.
    `state` is there if the class has `__getstate__` and `__setstate__`: it is
    what the file holds of the instance, carried as it is. The slots of such an
    instance have no value (`fqat.attribute` without `=`). `interface` is the
    type of the attribute that holds the instance if it is not the class.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$class_name,
                       StrArrayAttr:$slots,
                       OptionalAttr<ArrayAttr>:$constants,
                       OptionalAttr<StrArrayAttr>:$hooks,
                       OptionalAttr<StrArrayAttr>:$pre_hooks,
                       OptionalAttr<AnyAttr>:$state,
                       OptionalAttr<TypeAttr>:$interface);
  let builders = [OpBuilder<
      (ins "::llvm::StringRef":$sym_name, "::llvm::StringRef":$class_name,
           "::mlir::ArrayAttr":$slots)>];
  let assemblyFormat = [{
    $sym_name `class` $class_name `slots` $slots
    (`constants` $constants^)? (`hooks` $hooks^)? (`pre_hooks` $pre_hooks^)?
    (`state` $state^)? (`interface` $interface^)? attr-dict
  }];
  let extraClassDeclaration = [{
    bool isRoot() { return getSymName() == FQATDialect::kRootName; }
    /// The last component of the class name, without torch's mangling: the
    /// name of the Python class.
    ::llvm::StringRef getOriginalName() {
      return getClassName().rsplit('.').second;
    }
    /// The symbol of what stands below this instance under the attribute or
    /// method name `name`.
    std::string getMemberSymbol(::llvm::StringRef name);
  }];
}

def FQAT_AliasOp : FQAT_Op<"alias", [
    Symbol, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A second attribute that holds the same instance";
  let description = [{
    One module object under two attributes is one `fqat.module`, under the first
    of them. The other is listed in `slots` like any, and declared as an alias.

    ```mlir
    fqat.alias @again = @conv
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefAttr:$target);
  let assemblyFormat = "$sym_name `=` $target attr-dict";
}

def FQAT_StorageOp : FQAT_Op<"storage", [
    Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "The bytes that tensors view";
  let description = [{
    `bytes` is a blob of 8-bit integers which borrows the mapped input file.
    Two storages may borrow the same bytes: they are equal, not shared.
    `dtype` is the element type that the file declares for the storage.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$dtype, StrAttr:$device,
                       ElementsAttr:$bytes);
  let assemblyFormat = "$sym_name $dtype `on` $device `=` $bytes attr-dict";
  let hasVerifier = 1;
}

def FQAT_TypedefOp : FQAT_Op<"typedef", [HasParent<"::mlir::ModuleOp">]> {
  let summary = "A class that is no module, an enum, a named tuple or an interface";
  let description = [{
    The definition as TorchScript prints it. `constants` are the values that the
    text calls `CONSTANTS.c0`, ..., the same for all definitions; `debug` is the record of the lines that it
    was generated from, as it stands in a file. A free function that the text
    calls is defined in the same way.

    ```mlir
    fqat.typedef "__torch__.Pair" "class Pair(NamedTuple):\n  a : int\n"
    ```
  }];
  let arguments = (ins StrAttr:$name, StrAttr:$source,
                       OptionalAttr<ArrayAttr>:$constants,
                       OptionalAttr<StrAttr>:$debug);
  let assemblyFormat = [{
    $name $source (`constants` $constants^)? (`debug` $debug^)? attr-dict
  }];
}

def FQAT_RecordOp : FQAT_Op<"record", [HasParent<"::mlir::ModuleOp">]> {
  let summary = "A record of the file that lies beside the model";
  let description = [{
    The inputs that the model was traced with, and the extra files of its
    author. They are carried as they are.
  }];
  let arguments = (ins StrAttr:$name, ElementsAttr:$bytes);
  let assemblyFormat = "$name `=` $bytes attr-dict";
}

class FQAT_SlotOp<string mnemonic> : FQAT_Op<mnemonic, [
    Symbol, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<AnyAttr>:$value,
                       TypeAttr:$type);
  let assemblyFormat = "$sym_name `:` $type (`=` $value^)? attr-dict";
}
def FQAT_ParameterOp : FQAT_SlotOp<"parameter"> {
  let summary = "A slot that is a parameter";
  let description = [{
    The symbol is the instance's path and the slot's name, the value a tensor.
    There is none where the instance carries its raw `state`.

    ```mlir
    fqat.parameter @conv.weight : !fqat.tensor
      = #fqat.tensor<@"$s0", float32, [4], [1], requires_grad>
    ```
  }];
}
def FQAT_BufferOp : FQAT_SlotOp<"buffer"> {
  let summary = "A slot that is a buffer";
  let description = [{
    As a parameter, see `fqat.parameter`.

    ```mlir
    fqat.buffer @bn.running_mean : !fqat.tensor
      = #fqat.tensor<@"$s0", float32, [4], [1]>
    ```
  }];
}
def FQAT_AttributeOp : FQAT_SlotOp<"attribute"> {
  let summary = "A slot that is neither parameter nor buffer";
  let description = [{
    The value is of any type that TorchScript has, tensors and lists included.
    `training` is such a slot, because code can read it.

    ```mlir
    fqat.attribute @conv.training : !fqat.bool = false
    ```
  }];
}

//===----------------------------------------------------------------------===//
// Methods and calls
//===----------------------------------------------------------------------===//

def FQAT_MethodOp : FQAT_Op<"method", [
    FunctionOpInterface, IsolatedFromAbove, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>,
    OpAsmOpInterface]> {
  let summary = "A method of one instance";
  let description = [{
    `self` is no argument: the instance is an attribute, and what a body needs
    of the model it names by symbol. The methods of the root are the model's
    interface: their signatures never change. Argument attribute `fqat.name`
    holds the argument's name in TorchScript, `self_name` that of `self` if the
    code gives it another. Several results are a tuple in TorchScript, no result
    is None.

    ```mlir
    fqat.method @model.0.forward(%x: !fqat.tensor) -> !fqat.tensor
        attributes {instance = @model.0} {
      %y = fqat.call @model.0.conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
      fqat.return %y : !fqat.tensor
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefAttr:$instance,
                       TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<StrAttr>:$self_name,
                       OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let builders = [OpBuilder<
      (ins "::mlir::StringAttr":$sym_name,
           "::mlir::FlatSymbolRefAttr":$instance,
           "::mlir::TypeAttr":$function_type),
      [{ build($_builder, $_state, sym_name, instance, function_type,
               /*self_name=*/nullptr, /*arg_attrs=*/nullptr,
               /*res_attrs=*/nullptr); }]>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The name under which the instance has the method (`forward`).
    ::llvm::StringRef getMethodName();
    /// Whether the method belongs to the root, and so to the model's interface.
    bool isExported() { return getInstance() == FQATDialect::kRootName; }
    /// TorchScript's name of argument `index`; empty if it has none.
    ::llvm::StringRef getArgName(unsigned index);

    ::mlir::Region *getCallableRegion() { return &getBody(); }
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() {
      return getFunctionType().getInputs();
    }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() {
      return getFunctionType().getResults();
    }
    // OpAsmOpInterface
    void getAsmBlockArgumentNames(::mlir::Region &region,
                                  ::mlir::OpAsmSetValueNameFn setNameFn);
  }];
}

def FQAT_FunctionOp : FQAT_Op<"function", [
    FunctionOpInterface, IsolatedFromAbove, HasParent<"::mlir::ModuleOp">,
    OpAsmOpInterface]> {
  let summary = "A free function";
  let description = [{
    What `@torch.jit.script` makes of a function. The symbol is a dollar sign
    and the function's qualified name.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The name by which TorchScript calls it.
    ::llvm::StringRef getQualifiedName() { return getSymName().drop_front(); }

    ::mlir::Region *getCallableRegion() { return &getBody(); }
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() {
      return getFunctionType().getInputs();
    }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() {
      return getFunctionType().getResults();
    }
    // OpAsmOpInterface
    void getAsmBlockArgumentNames(::mlir::Region &region,
                                  ::mlir::OpAsmSetValueNameFn setNameFn);
  }];
}

def FQAT_ReturnOp : FQAT_Op<"return", [
    Pure, ParentOneOf<["MethodOp", "FunctionOp"]>, ReturnLike, Terminator]> {
  let summary = "Ends a method or a function";
  let description = [{
    An operand may have a subtype of what is declared: a tensor is returned as
    an optional.
  }];
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "($operands^ `:` type($operands))? attr-dict";
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, {}); }]>];
  let hasVerifier = 1;
}

class FQAT_NamedResultsOp<string mnemonic, list<Trait> traits = []>
    : FQAT_Op<mnemonic, !listconcat(traits, [
        DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>])>;

def FQAT_CallOp : FQAT_NamedResultsOp<"call", [
    DeclareOpInterfaceMethods<SymbolUserOpInterface>,
    DeclareOpInterfaceMethods<CallOpInterface>]> {
  let summary = "Calls a method of an instance";
  let description = [{
    The callee may belong to any instance, also to one that the caller could not
    reach through its own attributes in TorchScript: export threads it.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee,
                       Variadic<AnyType>:$arguments,
                       OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let results = (outs Variadic<AnyType>:$results);
  let assemblyFormat = [{
    $callee `(` $arguments `)` attr-dict `:`
    functional-type($arguments, $results)
  }];
  let builders = [OpBuilder<
      (ins "::mlir::FlatSymbolRefAttr":$callee, "::mlir::TypeRange":$results,
           "::mlir::ValueRange":$arguments),
      [{ build($_builder, $_state, results, callee, arguments,
               /*arg_attrs=*/nullptr, /*res_attrs=*/nullptr); }]>];
}

def FQAT_CallFunctionOp : FQAT_NamedResultsOp<"call_function", [
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Calls a free function";
  let description = [{
    ```mlir
    %y = fqat.call_function @"$__torch__.scale"(%x, %two)
        : (!fqat.tensor, !fqat.int) -> !fqat.tensor
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyType>:$arguments);
  let results = (outs Variadic<AnyType>:$results);
  let assemblyFormat = [{
    $callee `(` $arguments `)` attr-dict `:`
    functional-type($arguments, $results)
  }];
}

def FQAT_OutNopOp : FQAT_NamedResultsOp<"out_nop", [
    AllTypesMatch<["input", "result"]>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Calls an out_nop: marks a crossing value";
  let description = [{
    The operand is the instance. Its `forward` returns its argument; the result
    is that very tensor.
  }];
  let arguments = (ins FlatSymbolRefAttr:$instance, FQAT_TensorType:$input);
  let results = (outs FQAT_TensorType:$result);
  let assemblyFormat = "$instance `(` $input `)` attr-dict `:` type($input)";
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

def FQAT_GetOp : FQAT_NamedResultsOp<"get", [
    MemoryEffects<[MemRead]>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Reads a slot, or an instance";
  let description = [{
    Scripted code reads an attribute at a place of its own choice, and export
    reads it there again. An instance that is read is a value only for what
    cannot name it: a call does.
  }];
  let arguments = (ins FlatSymbolRefAttr:$slot);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$slot attr-dict `:` type($result)";
}

def FQAT_SetOp : FQAT_Op<"set", [
    MemoryEffects<[MemWrite]>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Writes a slot";
  let description = [{
    The value has the slot's type.

    ```mlir
    fqat.set @count = %n : !fqat.int
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$slot, AnyType:$value);
  let assemblyFormat = "$slot `=` $value attr-dict `:` type($value)";
}

def FQAT_ConstantOp : FQAT_NamedResultsOp<"constant", [
    Pure, ConstantLike, InferTypeOpAdaptor]> {
  let summary = "A constant";
  let description = [{
    The kind of the attribute gives the type: an `i64` is an int, an `f64` a
    float (kept by its bits), a bool, a string, unit for None; the rest are the
    dialect's own.
  }];
  let arguments = (ins AnyAttr:$value);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$value attr-dict";
  let hasFolder = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The type of a value, or null if no constant has it.
    static ::mlir::Type getValueType(::mlir::Attribute value);
  }];
}

class FQAT_ConstructOp<string mnemonic, string what> : FQAT_NamedResultsOp<
    mnemonic, [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = what;
  let arguments = (ins Variadic<AnyType>:$elements);
  let results = (outs AnyType:$result);
  let assemblyFormat = [{
    `(` $elements `)` attr-dict `:` functional-type($elements, $result)
  }];
  let hasVerifier = 1;
}
def FQAT_TupleOp : FQAT_ConstructOp<"tuple", "Makes a tuple"> {
  let description = [{
    ```mlir
    %t = fqat.tuple(%x, %n) : (!fqat.tensor, !fqat.int) -> !fqat.tuple<tensor, int>
    ```
  }];
}
def FQAT_ListOp : FQAT_ConstructOp<"list", "Makes a list, which is mutable"> {
  let description = [{
    Two lists are two objects, whatever they hold.

    ```mlir
    %l = fqat.list(%x, %y) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
    ```
  }];
}
def FQAT_DictOp : FQAT_ConstructOp<"dict",
    "Makes a dict of keys and values in turn"> {
  let description = [{
    ```mlir
    %d = fqat.dict(%key, %x) : (!fqat.str, !fqat.tensor) -> !fqat.dict<str, tensor>
    ```
  }];
}

def FQAT_UnpackOp : FQAT_NamedResultsOp<"unpack", [
    MemoryEffects<[MemRead]>]> {
  let summary = "Takes a tuple or a list of known length apart";
  let description = [{
    Of a tuple, each element is a result.

    ```mlir
    %u:2 = fqat.unpack %l : (!fqat.list<tensor>) -> (!fqat.tensor, !fqat.tensor)
    ```
  }];
  let arguments = (ins AnyType:$aggregate);
  let results = (outs Variadic<AnyType>:$elements);
  let assemblyFormat = [{
    $aggregate attr-dict `:` functional-type($aggregate, $elements)
  }];
  let hasVerifier = 1;
}

def FQAT_OperatorOp : FQAT_NamedResultsOp<"op", [
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Any TorchScript operator";
  let description = [{
    `name` and `overload` identify the operator as TorchScript does. The rest
    says what its schema says, so that passes need no registry of operators;
    `with` holds what the operator is told besides its operands:
    `writes` are the operands whose memory it writes, `aliases` gives for each
    result the operand whose memory it may share (-1 for none), `random` says
    that it draws random numbers, `effects` that it does something else that is
    seen from outside (print, raise) or is not known.

    ```mlir
    %y = fqat.op "aten::relu_"(%x) writes [0] aliases [0]
        : (!fqat.tensor) -> !fqat.tensor
    %z = fqat.op "aten::add" overload "Tensor"(%x, %y, %one)
        : (!fqat.tensor, !fqat.tensor, !fqat.int) -> !fqat.tensor
    ```
  }];
  let arguments = (ins StrAttr:$name, OptionalAttr<StrAttr>:$overload,
                       Variadic<AnyType>:$operands,
                       OptionalAttr<DictionaryAttr>:$extra,
                       OptionalAttr<DenseI64ArrayAttr>:$writes,
                       OptionalAttr<DenseI64ArrayAttr>:$aliases,
                       UnitAttr:$random, UnitAttr:$effects);
  let results = (outs Variadic<AnyType>:$results);
  let assemblyFormat = [{
    $name (`overload` $overload^)? `(` $operands `)`
    (`with` $extra^)? (`writes` $writes^)?
    (`aliases` $aliases^)? (`random` $random^)? (`effects` $effects^)?
    attr-dict `:` functional-type($operands, $results)
  }];
  let builders = [
    // A pure operator; no overload if it is empty.
    OpBuilder<(ins "::llvm::StringRef":$name, "::llvm::StringRef":$overload,
                   "::mlir::ValueRange":$operands, "::mlir::TypeRange":$results)>
  ];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The name without its namespace: `cat` of `aten::cat`.
    ::llvm::StringRef getShortName() { return getName().rsplit(':').second; }
    /// Whether the op writes operand `index`.
    bool isWritten(unsigned index) {
      return getWrites() && ::llvm::is_contained(*getWrites(), int64_t(index));
    }
    bool hasWrites() { return getWrites() && !getWrites()->empty(); }
    /// The operand whose memory result `index` may share, or -1.
    int64_t getAliasedOperand(unsigned index) {
      return getAliases() ? (*getAliases())[index] : -1;
    }
  }];
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

def FQAT_YieldOp : FQAT_Op<"yield", [
    Pure, ParentOneOf<["IfOp", "LoopOp", "ForkOp"]>, ReturnLike, Terminator]> {
  let summary = "Ends a region of an `fqat.if`, `fqat.loop` or `fqat.fork`";
  let description = [{
    The operands are what the arm gives, whether to go on and what the loop
    carries, or what the future will hold.

    ```mlir
    fqat.yield %go_on, %x : !fqat.bool, !fqat.tensor
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "($operands^ `:` type($operands))? attr-dict";
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, {}); }]>];
}

def FQAT_IfOp : FQAT_NamedResultsOp<"if", [
    RecursiveMemoryEffects, NoRegionArguments]> {
  let summary = "Runs one of two arms";
  let description = [{
    An arm may yield a subtype of the result's type.

    ```mlir
    %y = fqat.if %flag -> !fqat.tensor {
      ...
      fqat.yield %a : !fqat.tensor
    } else {
      fqat.yield %x : !fqat.tensor
    }
    ```
  }];
  let arguments = (ins FQAT_BoolType:$condition);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$then_region,
                        SizedRegion<1>:$else_region);
  let assemblyFormat = [{
    $condition (`->` type($results)^)? $then_region `else`
    $else_region attr-dict
  }];
  let hasVerifier = 1;
}

def FQAT_LoopOp : FQAT_Op<"loop", [
    RecursiveMemoryEffects,
    DeclareOpInterfaceMethods<OpAsmOpInterface,
        ["getAsmResultNames", "getAsmBlockArgumentNames"]>]> {
  let summary = "Runs its body while a condition holds, at most so many times";
  let description = [{
    TorchScript's one loop. The body's first argument counts the runs; the
    others are carried from run to run and are the loop's results in the end.
    The body yields whether to go on, and what it carries.

    ```mlir
    %y = fqat.loop %n while %true init(%x) : (!fqat.tensor) -> !fqat.tensor {
    ^bb0(%i: !fqat.int, %x1: !fqat.tensor):
      ...
      fqat.yield %true, %x2 : !fqat.bool, !fqat.tensor
    }
    ```
  }];
  let arguments = (ins FQAT_IntType:$max_trip_count, FQAT_BoolType:$condition,
                       Variadic<AnyType>:$inits);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $max_trip_count `while` $condition `init` `(` $inits `)` `:`
    functional-type($inits, $results) $body attr-dict
  }];
  let hasVerifier = 1;
}

def FQAT_ForkOp : FQAT_NamedResultsOp<"fork", [
    RecursiveMemoryEffects, NoRegionArguments]> {
  let summary = "Runs its body beside what follows";
  let description = [{
    The result is a future of what the body yields; `aten::wait` gives it.

    ```mlir
    %f = fqat.fork -> !fqat.object<"Future(Tensor)"> {
      %y = fqat.call @linear.forward(%x) : (!fqat.tensor) -> !fqat.tensor
      fqat.yield %y : !fqat.tensor
    }
    ```
  }];
  let results = (outs AnyType:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`->` type($result) $body attr-dict";
}

#endif // FQAT_IR_FQATOPS_TD
