//===- FQATTypes.td - TorchScript types -*- tablegen -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_IR_FQATTYPES_TD
#define FQAT_IR_FQATTYPES_TD

include "fqat/IR/FQATBase.td"
include "mlir/IR/AttrTypeBase.td"

class FQAT_Type<string name, string typeMnemonic> : TypeDef<FQAT_Dialect, name> {
  let mnemonic = typeMnemonic;
}

class FQAT_SimpleType<string name, string typeMnemonic, string what>
    : FQAT_Type<name, typeMnemonic> {
  let summary = what;
}

def FQAT_TensorType : FQAT_SimpleType<"Tensor", "tensor",
    "TorchScript's Tensor: mutable, it may alias other tensors">;
def FQAT_IntType : FQAT_SimpleType<"Int", "int", "TorchScript's int: 64 bits">;
def FQAT_FloatType : FQAT_SimpleType<"Float", "float",
    "TorchScript's float: IEEE double">;
def FQAT_BoolType : FQAT_SimpleType<"Bool", "bool", "TorchScript's bool">;
def FQAT_StrType : FQAT_SimpleType<"Str", "str", "TorchScript's str">;
def FQAT_NoneType : FQAT_SimpleType<"None", "none", "TorchScript's NoneType">;
def FQAT_NumberType : FQAT_SimpleType<"Number", "number",
    "TorchScript's number: int, float or complex">;
def FQAT_DeviceType : FQAT_SimpleType<"Device", "device",
    "TorchScript's Device">;
def FQAT_ComplexType : FQAT_SimpleType<"Complex", "complex",
    "TorchScript's complex: two IEEE doubles">;
def FQAT_AnyValueType : FQAT_SimpleType<"AnyValue", "any", "TorchScript's Any">;

class FQAT_ElementType<string name, string typeMnemonic, string what>
    : FQAT_Type<name, typeMnemonic> {
  let summary = what;
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` custom<ShortType>($elementType) `>`";
  let builders = [TypeBuilderWithInferredContext<
      (ins "::mlir::Type":$elementType),
      [{ return $_get(elementType.getContext(), elementType); }]>];
}
def FQAT_ListType : FQAT_ElementType<"List", "list", "TorchScript's List[T]">;
def FQAT_OptionalType : FQAT_ElementType<"Optional", "optional",
    "TorchScript's Optional[T]">;

def FQAT_DictType : FQAT_Type<"Dict", "dict"> {
  let summary = "TorchScript's Dict[K, V]";
  let parameters = (ins "::mlir::Type":$keyType, "::mlir::Type":$valueType);
  let assemblyFormat = [{
    `<` custom<ShortType>($keyType) `,` custom<ShortType>($valueType) `>`
  }];
}

def FQAT_TupleType : FQAT_Type<"Tuple", "tuple"> {
  let summary = "TorchScript's Tuple[T...], without field names";
  let parameters = (ins ArrayRefParameter<"::mlir::Type">:$elementTypes);
  let assemblyFormat = "`<` custom<ShortTypes>($elementTypes) `>`";
}

def FQAT_ObjectType : FQAT_Type<"Object", "object"> {
  let summary = "Any other TorchScript type, as TorchScript spells it";
  let parameters = (ins StringRefParameter<>:$spelling);
  let assemblyFormat = "`<` $spelling `>`";
}

#endif // FQAT_IR_FQATTYPES_TD
