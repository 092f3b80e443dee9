//===- Verify.h - Runs two model files and compares them -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_VERIFY_H
#define FQAT_TORCHSCRIPT_VERIFY_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>

namespace fqat {

/// What came of running two models.
struct RunComparison {
  /// The first difference; empty if all bits are equal.
  std::string difference;
  /// Why the original did not run, so that there was nothing to compare.
  std::string originalFailure;
};

/// Runs `forward` of two TorchScript files on equal inputs with equal seeds and
/// compares the bits of what they return (values, NaN and signed zero included,
/// dtypes, sizes, strides, structure), the inputs, the random state, and what
/// the original's slots hold afterwards.
///
/// `inputs` is a file of `torch.save`: a tuple or list of arguments, or one
/// tensor. If it is empty, the inputs are random, with a fixed seed, and have
/// the sizes that the record `tracedInputs` (`traced_inputs.pkl`) tells; the
/// integers are small enough for the original to accept them.
///
/// Fails where the inputs or a file cannot be read. Nothing is thrown.
llvm::Expected<RunComparison> compareRuns(llvm::StringRef original,
                                          llvm::StringRef fixed,
                                          llvm::StringRef inputs,
                                          llvm::StringRef tracedInputs);

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_VERIFY_H
