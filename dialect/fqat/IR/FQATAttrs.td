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

def FQAT_DeviceAttr : FQAT_Attr<"Device", "device"> {
  let summary = "A device, as torch spells it (`cpu`, `cuda:0`)";
  let parameters = (ins StringRefParameter<>:$spelling);
  let assemblyFormat = "`<` $spelling `>`";
}

#endif // FQAT_IR_FQATATTRS_TD
