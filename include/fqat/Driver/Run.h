//===- Run.h - Fixes or checks models -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DRIVER_RUN_H
#define FQAT_DRIVER_RUN_H

#include "fqat/Driver/Options.h"
#include "fqat/Report/Report.h"

#include "llvm/Support/raw_ostream.h"

namespace fqat {

/// Prints `SUBJECT: error: what` and returns `Unusable`.
ExitCode fail(llvm::raw_ostream &os, llvm::StringRef subject,
              const llvm::Twine &message);

/// Does what a command line says, all of the program but its manual: fixes or
/// checks the inputs, several at a time, and writes the reports. What there is
/// to say goes to `os`, in the order of the inputs, with colours if it has them
/// on; what was found and done goes to `report`, which is new.
///
/// Returns the worst of what the models gave. Nothing is thrown.
ExitCode runModels(Options options, llvm::raw_ostream &os, Report &report);

} // namespace fqat

#endif // FQAT_DRIVER_RUN_H
