//===- Program.h - What every program does first and last -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_PROGRAM_H
#define FQAT_SUPPORT_PROGRAM_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"

namespace fqat {

/// Calls `body`, the program's main, and returns what the program returns: what
/// `body` does; 2 if standard output could not be written; 70 after an
/// exception.
///
/// Before that, the process is made fit for anybody's shell: a standard stream
/// that is closed never becomes a file that is opened later; a file that may
/// not grow any more is an error of what is written to it, not a signal; a
/// crash inside `llvm::CrashRecoveryContext` is recovered from.
int runProgram(llvm::StringRef name, const char *argv0,
               llvm::function_ref<int()> body);

/// Ends the program with a message and code 2, and removes unfinished files.
/// For allocators that cannot throw.
[[noreturn]] void endForLackOfMemory();

} // namespace fqat

#endif // FQAT_SUPPORT_PROGRAM_H
