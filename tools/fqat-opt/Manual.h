//===- Manual.h - Man page and shell completion -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both are made of CLI11's own table of options, so that they say what the
// program takes.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_OPT_MANUAL_H
#define FQAT_OPT_MANUAL_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"

namespace CLI {
class App;
} // namespace CLI

namespace fqat {

/// The manual as a page of section 1, for man.
void writeManPage(const CLI::App &app, llvm::StringRef version,
                  llvm::raw_ostream &os);

/// The script that completes the command line in `bash`, `zsh` or `fish`.
void writeCompletion(const CLI::App &app, llvm::StringRef shell,
                     llvm::raw_ostream &os);

} // namespace fqat

#endif // FQAT_OPT_MANUAL_H
