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
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$class_name,
                       StrArrayAttr:$slots);
  let assemblyFormat = [{
    $sym_name `class` $class_name `slots` $slots attr-dict
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
  let arguments = (ins SymbolNameAttr:$sym_name, AnyAttr:$value, TypeAttr:$type);
  let assemblyFormat = "$sym_name `:` $type `=` $value attr-dict";
}
def FQAT_ParameterOp : FQAT_SlotOp<"parameter"> {
  let summary = "A slot that is a parameter";
}
def FQAT_BufferOp : FQAT_SlotOp<"buffer"> {
  let summary = "A slot that is a buffer";
}
def FQAT_AttributeOp : FQAT_SlotOp<"attribute"> {
  let summary = "A slot that is neither parameter nor buffer";
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
    holds the argument's name in TorchScript. Several results are a tuple in
    TorchScript, no result is None.

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
                       OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
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

def FQAT_ReturnOp : FQAT_Op<"return", [
    Pure, HasParent<"MethodOp">, ReturnLike, Terminator]> {
  let summary = "Ends a method";
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
  let summary = "Reads a slot";
  let arguments = (ins FlatSymbolRefAttr:$slot);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$slot attr-dict `:` type($result)";
}

def FQAT_ConstantOp : FQAT_NamedResultsOp<"constant", [
    Pure, ConstantLike, InferTypeOpAdaptor]> {
  let summary = "A constant";
  let description = [{
    The kind of the attribute gives the type: an `i64` is an int, an `f64` a
    float (kept by its bits), a bool, a string, unit for None, `#fqat.device` or
    `#fqat.tensor`.
  }];
  let arguments = (ins AnyAttr:$value);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$value attr-dict";
  let hasFolder = 1;
  let hasVerifier = 1;
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
def FQAT_TupleOp : FQAT_ConstructOp<"tuple", "Makes a tuple">;
def FQAT_ListOp : FQAT_ConstructOp<"list", "Makes a list, which is mutable">;
def FQAT_DictOp : FQAT_ConstructOp<"dict",
    "Makes a dict of keys and values in turn">;

def FQAT_UnpackOp : FQAT_NamedResultsOp<"unpack", [
    MemoryEffects<[MemRead]>]> {
  let summary = "Takes a tuple or a list of known length apart";
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
    says what its schema says, so that passes need no registry of operators:
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
                       OptionalAttr<DenseI64ArrayAttr>:$writes,
                       OptionalAttr<DenseI64ArrayAttr>:$aliases,
                       UnitAttr:$random, UnitAttr:$effects);
  let results = (outs Variadic<AnyType>:$results);
  let assemblyFormat = [{
    $name (`overload` $overload^)? `(` $operands `)` (`writes` $writes^)?
    (`aliases` $aliases^)? (`random` $random^)? (`effects` $effects^)?
    attr-dict `:` functional-type($operands, $results)
  }];
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

#endif // FQAT_IR_FQATOPS_TD
