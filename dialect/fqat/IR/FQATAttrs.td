//===- FQATAttrs.td - Constants that MLIR has no attribute for -*- tablegen -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_IR_FQATATTRS_TD
#define FQAT_IR_FQATATTRS_TD

include "fqat/IR/FQATBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"

class FQAT_Attr<string name, string attrMnemonic> : AttrDef<FQAT_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def FQAT_TensorAttr : FQAT_Attr<"Tensor", "tensor"> {
  let summary = "A tensor: a view of a storage";
  let description = [{
    `storage` names an `fqat.storage`; `offset`, `sizes` and `strides` count
    elements of `dtype`, which is torch's name without `torch.` (`float32`).
    Slots that hold one and the same tensor object carry the same `identity`;
    0 means that no other slot holds it.

    ```mlir
    #fqat.tensor<@"$s0", float32, [8, 3, 1, 1], [3, 1, 1, 1], offset = 4,
                 requires_grad, identity = 2>
    ```
  }];
  let parameters = (ins
    "::mlir::FlatSymbolRefAttr":$storage,
    StringRefParameter<>:$dtype,
    ArrayRefParameter<"int64_t">:$sizes,
    ArrayRefParameter<"int64_t">:$strides,
    "int64_t":$offset, "bool":$requires_grad, "int64_t":$identity
  );
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    /// The same tensor over another storage, no longer shared with any slot.
    TensorAttr cloneWithStorage(::mlir::FlatSymbolRefAttr storage) const;
  }];
  let genVerifyDecl = 1;
}

def FQAT_BitsAttr : FQAT_Attr<"Bits", "bits"> {
  let summary = "The bit widths that the board gives a layer";
  let description = [{
    `feature` is that of the layer's output, 4, 8, 10 or 12; `weight` that of its
    weights, 4 or 8. 0 means that nobody said. The attribute `fqat.bits` of an
    anchor.

    ```mlir
    %0 = fqat.op "aten::conv2d"(%x, %w) {fqat.bits = #fqat.bits<feature = 10, weight = 4>} : ...
    ```
  }];
  let parameters = (ins DefaultValuedParameter<"unsigned", "0">:$feature,
                        DefaultValuedParameter<"unsigned", "0">:$weight);
  let assemblyFormat = "`<` struct(params) `>`";
  let extraClassDeclaration = [{
    static bool isFeatureWidth(int64_t bits) {
      return bits == 4 || bits == 8 || bits == 10 || bits == 12;
    }
    static bool isWeightWidth(int64_t bits) { return bits == 4 || bits == 8; }
  }];
  let genVerifyDecl = 1;
}

def FQAT_DeviceAttr : FQAT_Attr<"Device", "device"> {
  let summary = "A device, as torch spells it (`cpu`, `cuda:0`)";
  let description = [{
    ```mlir
    #fqat.device<"cuda:0">
    ```
  }];
  let parameters = (ins StringRefParameter<>:$spelling);
  let assemblyFormat = "`<` $spelling `>`";
}

//===----------------------------------------------------------------------===//
// Values
//
// None is `unit`, a bool, an int (`i64`), a float (`f64`), a string and a tuple
// (an array) are MLIR's own attributes. What TorchScript can change in place
// carries an `id` if several slots, or several places in one value, hold one
// and the same object.
//===----------------------------------------------------------------------===//

def FQAT_ComplexAttr : FQAT_Attr<"Complex", "complex"> {
  let summary = "A complex number";
  let description = [{
    ```mlir
    #fqat.complex<1.0 : f64, -0.0 : f64>
    ```
  }];
  // Floats with their types: what is not a number is printed by its bits.
  let parameters = (ins "::mlir::Attribute":$real, "::mlir::Attribute":$imag);
  let assemblyFormat = "`<` $real `,` $imag `>`";
  let extraClassDeclaration = [{
    double getRealValue() const {
      return ::llvm::cast<::mlir::FloatAttr>(getReal()).getValueAsDouble();
    }
    double getImagValue() const {
      return ::llvm::cast<::mlir::FloatAttr>(getImag()).getValueAsDouble();
    }
  }];
  let genVerifyDecl = 1;
}

def FQAT_ListAttr : FQAT_Attr<"List", "list"> {
  let summary = "A list";
  let description = [{
    `as` is the type that the file gives the list, in TorchScript's spelling;
    old files give none.

    ```mlir
    #fqat.list<["x", "y"] as "List[str]">
    ```
  }];
  let parameters = (ins "::mlir::ArrayAttr":$elements,
                        StringRefParameter<"", "\"\"">:$type_tag,
                        DefaultValuedParameter<"int64_t", "0">:$identity);
  let assemblyFormat = [{
    `<` $elements (`as` $type_tag^)? (`id` $identity^)? `>`
  }];
  let genVerifyDecl = 1;
}

def FQAT_DictAttr : FQAT_Attr<"Dict", "dict"> {
  let summary = "A dict: keys and values in turn, in their order";
  let description = [{
    `as` is the type that the file gives it, as of a list.

    ```mlir
    #fqat.dict<["x", 1, "y", 2] as "Dict[str, int]">
    ```
  }];
  let parameters = (ins "::mlir::ArrayAttr":$items,
                        StringRefParameter<"", "\"\"">:$type_tag,
                        DefaultValuedParameter<"int64_t", "0">:$identity);
  let assemblyFormat = [{
    `<` $items (`as` $type_tag^)? (`id` $identity^)? `>`
  }];
  let genVerifyDecl = 1;
}

def FQAT_ObjectAttr : FQAT_Attr<"Object", "object"> {
  let summary = "An instance of a class that is no module";
  let description = [{
    `state` is what the file holds: a dict of the attributes, or whatever the
    class's own `__getstate__` gave. It is carried as it is; no code of the
    class runs.

    ```mlir
    #fqat.object<"__torch__.Point", #fqat.dict<["x", 1, "y", 2]>>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$class_name,
                        "::mlir::Attribute":$state,
                        DefaultValuedParameter<"int64_t", "0">:$identity);
  let assemblyFormat = "`<` $class_name `,` $state (`id` $identity^)? `>`";
  let genVerifyDecl = 1;
}

def FQAT_BuildAttr : FQAT_Attr<"Build", "build"> {
  let summary = "A value that a file has built by calling a function";
  let description = [{
    Quantised and sparse tensors and generators, for example. A storage among
    the arguments is named by its symbol. A member of an enum is built by its
    class from its value, which is no array of arguments.

    ```mlir
    #fqat.build<"__torch__.Colour", 2 : i64>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$function,
                        "::mlir::Attribute":$arguments,
                        DefaultValuedParameter<"int64_t", "0">:$identity);
  let assemblyFormat = "`<` $function `,` $arguments (`id` $identity^)? `>`";
  let genVerifyDecl = 1;
}

def FQAT_GlobalAttr : FQAT_Attr<"Global", "global"> {
  let summary = "A name that a file refers to as it is: `torch.per_tensor_affine`";
  let description = [{
    ```mlir
    #fqat.global<"torch.per_tensor_affine">
    ```
  }];
  let parameters = (ins StringRefParameter<>:$name);
  let assemblyFormat = "`<` $name `>`";
}

def FQAT_EnumAttr : FQAT_Attr<"Enum", "enum"> {
  let summary = "A member of an enum, as code names it";
  let description = [{
    ```mlir
    #fqat.enum<"__torch__.Colour", "RED">
    ```
  }];
  let parameters = (ins StringRefParameter<>:$enum_name,
                        StringRefParameter<>:$member);
  let assemblyFormat = "`<` $enum_name `,` $member `>`";
}

#endif // FQAT_IR_FQATATTRS_TD
