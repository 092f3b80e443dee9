//===- Dtypes.h - The element types of tensors -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_DTYPES_H
#define FQAT_SUPPORT_DTYPES_H

#include "llvm/ADT/StringRef.h"

namespace fqat {

/// Torch's name of an element type, `float32`, for the name that a storage of
/// it has in a file, `Float`; empty if there is none.
llvm::StringRef getDtypeName(llvm::StringRef storageName);

/// The same for the number that an operator's argument has for it
/// (`torch.ScalarType`); empty beyond `bfloat16`.
llvm::StringRef getDtypeName(int64_t scalarType);

/// The inverse of the first `getDtypeName`: empty if there is no such dtype.
llvm::StringRef getStorageName(llvm::StringRef dtype);

/// The size of an element in bytes; a dtype that packs several elements into a
/// byte counts one for each byte.
size_t getElementSize(llvm::StringRef dtype);

} // namespace fqat

#endif // FQAT_SUPPORT_DTYPES_H
