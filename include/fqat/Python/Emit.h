//===- Emit.h - From the fqat dialect to a Python module -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_PYTHON_EMIT_H
#define FQAT_PYTHON_EMIT_H

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/FQATOps.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <string>
#include <vector>

namespace fqat {

/// What an operator's schema says of one argument.
struct ArgumentSchema {
  /// What the argument's number stands for, where it stands for a name.
  enum Kind { Plain, Dtype, Layout, MemoryFormat } kind = Plain;
  std::string name;
  bool isKeywordOnly = false;
  /// As Python spells it; empty if there is none.
  std::string defaultValue;
};

/// The arguments of an operator, or null where it is not known.
using SchemaLookup = llvm::function_ref<const std::vector<ArgumentSchema> *(
    llvm::StringRef name, llvm::StringRef overload)>;

/// A float as a Python expression with the same bits.
std::string spellFloat(double value);

/// A model as Python.
struct PythonModel {
  /// The text of `model.py`.
  std::string source;
  /// What `weights.pt` must hold: the `state_dict`, in its order.
  std::vector<std::pair<std::string, mlir::Attribute>> state;
  /// What `constants.pt` must hold: tensors of the code that are no weights.
  std::vector<std::pair<std::string, mlir::Attribute>> constants;
};

/// Writes a model as a Python module that any torch from 1.8 on runs, trains
/// and traces: a class for each distinct structure, torch.nn's own classes
/// wherever an instance does exactly what they do, and a function `build` that
/// makes the instances.
///
/// `nopName` is the attribute name of an out_nop; `input` is named in the
/// module's first line. Fails, with a diagnostic at the op, where the model
/// holds what Python cannot say in this way.
mlir::FailureOr<PythonModel> emitPython(mlir::ModuleOp model,
                                        const AnchorSet &anchors,
                                        llvm::StringRef nopName,
                                        llvm::StringRef input,
                                        SchemaLookup getSchema);

} // namespace fqat

#endif // FQAT_PYTHON_EMIT_H
