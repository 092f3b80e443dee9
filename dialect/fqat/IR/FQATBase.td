//===- FQATBase.td - The fqat dialect -*- tablegen -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_IR_FQATBASE_TD
#define FQAT_IR_FQATBASE_TD

include "mlir/IR/OpBase.td"

def FQAT_Dialect : Dialect {
  let name = "fqat";
  let cppNamespace = "::fqat";
  let summary = "A TorchScript model as instances, slots and methods";
  let description = [{
    One `builtin.module` is one model and one symbol table. A symbol is the
    dotted path of an instance, of a slot or of a method, as in
    `named_modules()` and `state_dict()`; the root instance is `@"$"`. A dot or
    a dollar sign inside an attribute's name is spelled `$2E` or `$24`, so a
    path can always be taken apart again.

    Instances are described, not classes: two instances of one Python class are
    two `fqat.module` ops, each with its own methods. That is what tracing
    produces, and what rewriting one instance alone needs.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = [{
    /// The symbol of the root instance.
    static constexpr ::llvm::StringLiteral kRootName{"$"};
    /// The name of the argument attribute that holds a method argument's
    /// TorchScript name.
    static constexpr ::llvm::StringLiteral kArgNameAttr{"fqat.name"};
    /// Those of its default, and of one that must be given by its name.
    static constexpr ::llvm::StringLiteral kArgDefaultAttr{"fqat.default"};
    static constexpr ::llvm::StringLiteral kArgKeywordOnlyAttr{
        "fqat.keyword_only"};
    /// The name of the attribute of an anchor that holds its bit widths, and
    /// that of the record of a file that tells those of all layers.
    static constexpr ::llvm::StringLiteral kBitsAttr{"fqat.bits"};
    static constexpr ::llvm::StringLiteral kBitsRecord{"extra/fqat_bits.json"};

  private:
    void registerTypes();
    void registerAttributes();

  public:
  }];
}

class FQAT_Op<string mnemonic, list<Trait> traits = []>
    : Op<FQAT_Dialect, mnemonic, traits>;

#endif // FQAT_IR_FQATBASE_TD
