//===- PythonPackage.h - Writes a model as a Python package -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_DRIVER_PYTHONPACKAGE_H
#define FQAT_LIB_DRIVER_PYTHONPACKAGE_H

#include "fqat/Python/Emit.h"

#include "llvm/Support/Error.h"

namespace fqat {

/// Writes a model as a package in the folder `path`: `__init__.py`,
/// `model.py`, `weights.pt`, and `constants.pt` where the code has tensors
/// of its own. The folder appears whole or not at all; it takes the place of an
/// empty one or of an earlier package, and of nothing else.
///
/// Fails where a file cannot be written. What is wrong with the model is an
/// error at the model, and the failure has no message.
llvm::Error writePythonPackage(const PythonModel &python, mlir::ModuleOp model,
                               llvm::StringRef path);

} // namespace fqat

#endif // FQAT_LIB_DRIVER_PYTHONPACKAGE_H
