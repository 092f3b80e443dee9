//===- Passes.h - The passes that make a model obey the rules -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TRANSFORMS_PASSES_H
#define FQAT_TRANSFORMS_PASSES_H

#include "fqat/IR/FQATOps.h"

#include "mlir/Pass/Pass.h"

namespace fqat {

#define GEN_PASS_DECL
#include "fqat/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "fqat/Transforms/Passes.h.inc"

} // namespace fqat

#endif // FQAT_TRANSFORMS_PASSES_H
