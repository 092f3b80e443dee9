//===- Nesting.h - How deep the brackets of a text are -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_NESTING_H
#define FQAT_SUPPORT_NESTING_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace fqat {

/// MLIR's parser and LLVM's of JSON call themselves at each bracket, and run
/// out of stack where a file has very many. Fails if more than 256 braces,
/// brackets and parentheses are open at one place, or if a string does not end
/// on its line, which MLIR's lexer gets over badly. Strings are left out, and
/// comments (`//` to the end of the line) if the text has them.
llvm::Error checkNesting(llvm::StringRef text, bool hasComments);

/// The same for TorchScript's code and types, which libtorch's parser follows:
/// brackets, chains of operators, blocks. Fails beyond 2,000.
llvm::Error checkCodeNesting(llvm::StringRef code);

} // namespace fqat

#endif // FQAT_SUPPORT_NESTING_H
