//===- Workers.h - Threads with room for deep code -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_WORKERS_H
#define FQAT_SUPPORT_WORKERS_H

#include "llvm/ADT/STLFunctionalExtras.h"

namespace fqat {

/// Calls `work` in `count` threads and returns when all are done. Each has a
/// stack for what nests as deep as `checkCodeNesting` lets pass, whatever limit
/// the caller's has. Where the system has no room for so many threads there are
/// fewer; the caller does the work itself if there is room for none.
void runWorkers(unsigned count, llvm::function_ref<void()> work);

} // namespace fqat

#endif // FQAT_SUPPORT_WORKERS_H
