//===- StateDict.h - Tensors in a file of torch.save -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_STATEDICT_H
#define FQAT_TORCHSCRIPT_STATEDICT_H

#include "fqat/TorchScript/Zip.h"

#include "mlir/IR/BuiltinOps.h"

namespace fqat {

/// Writes tensors of a model, by their names and in this order, as
/// `torch.save` writes a `state_dict`: a zip archive that torch 1.6 and later
/// load. Tensors that share a storage, or are one object, do so again when they
/// are loaded. Unlike a `state_dict`'s, they require gradients where the
/// model's do. Weights go from the mapped input to the file by the system where
/// that can.
///
/// On failure an error is emitted, and what was written is useless. Errors of
/// the file are the file's.
llvm::LogicalResult
writeStateDict(mlir::ModuleOp model,
               llvm::ArrayRef<std::pair<std::string, mlir::Attribute>> tensors,
               OutputFile &file);

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_STATEDICT_H
