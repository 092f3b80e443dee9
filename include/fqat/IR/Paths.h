//===- Paths.h - Symbols as dotted paths -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_IR_PATHS_H
#define FQAT_IR_PATHS_H

#include "llvm/ADT/StringRef.h"
#include <string>

namespace fqat {

/// An attribute's name as one component of a path: `.` becomes `$2E` and `$`
/// becomes `$24`.
std::string escapeName(llvm::StringRef name);

/// The inverse of `escapeName`.
std::string unescapeName(llvm::StringRef component);

/// The symbol of the member `name` (not escaped) of the instance `path`, which
/// may be the root.
std::string joinPath(llvm::StringRef path, llvm::StringRef name);

/// The instance that a member belongs to, and the member's escaped name.
/// The root itself has no parent: both are empty.
std::pair<llvm::StringRef, llvm::StringRef> splitPath(llvm::StringRef path);

/// Whether `path` is `ancestor` or lies below it. Everything lies below the
/// root.
bool isAtOrBelow(llvm::StringRef path, llvm::StringRef ancestor);

/// `path` with its prefix `from` (an instance that it is or lies below)
/// replaced by `to`.
std::string rebasePath(llvm::StringRef path, llvm::StringRef from,
                       llvm::StringRef to);

/// The path as `named_modules()` gives it, for messages: `<root>` for the root.
std::string displayPath(llvm::StringRef path);

} // namespace fqat

#endif // FQAT_IR_PATHS_H
