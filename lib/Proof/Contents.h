//===- Contents.h - What storages hold -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PROOF_CONTENTS_H
#define FQAT_LIB_PROOF_CONTENTS_H

#include "fqat/IR/FQATOps.h"

#include "llvm/ADT/DenseMap.h"

#include <functional>

namespace fqat {

/// Numbers the contents of storages: those with equal bytes, dtype and device
/// have equal numbers. Serves two models in one context.
class Contents {
public:
  /// `byBytes`: bytes are compared. Else equal bytes at different places count
  /// as different, and no byte is read.
  Contents(mlir::ModuleOp original, mlir::ModuleOp fixed, bool byBytes);

  /// The number of a storage's content.
  unsigned lookup(mlir::ModuleOp model, mlir::StringAttr storage) const {
    return numbers.lookup({model.getOperation(), storage});
  }
  /// A value with contents in the place of storages, and without identities:
  /// equal for equal values of both models.
  mlir::Attribute normalize(mlir::ModuleOp model, mlir::Attribute value) const;
  /// Whether two values are equal when normalised.
  bool areEqual(mlir::ModuleOp modelA, mlir::Attribute a, mlir::ModuleOp modelB,
                mlir::Attribute b) const;

private:
  llvm::DenseMap<std::pair<mlir::Operation *, mlir::Attribute>, unsigned>
      numbers;
};

/// Whether two attributes hold the same bytes, wherever they are.
bool haveEqualBytes(mlir::ElementsAttr a, mlir::ElementsAttr b);

} // namespace fqat

#endif // FQAT_LIB_PROOF_CONTENTS_H
