//===- Pack.h - Two 4-bit channels in a byte, and back -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DUMP_PACK_H
#define FQAT_DUMP_PACK_H

#include "fqat/Dump/Dump.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace fqat::dump {

/// What `pack` does with values that are no 4-bit numbers: an error unless it
/// is told.
struct PackOptions {
  /// -8..7 in two's complement, instead of 0..15.
  bool isSigned = false;
  /// Fractions go to the nearest number, halves to the even one.
  bool rounds = false;
  /// Values out of range become the nearest in it.
  bool clamps = false;
};

/// The format of packed elements.
Format getPackedFormat(bool isSigned, bool isPadded);

/// Makes room for so many bytes.
using Allocate = llvm::function_ref<llvm::Expected<uint8_t *>(uint64_t size)>;

/// Packs the elements of a file, in `getPackedFormat`, into what `allocate`
/// makes once the file is known to hold them. `format` is that of the file; its
/// `isPadded` says that a last odd channel is alone in its byte. Fails at the
/// first element that cannot be packed.
llvm::Error pack(const DumpFile &input, const Format &format,
                 const Shape &shape, const PackOptions &options,
                 Allocate allocate);

/// Writes the elements of a packed file as `plain`: f32, u8 or i8, of scale 1.
llvm::Error unpack(const DumpFile &input, const Format &packed,
                   const Shape &shape, const Format &plain, Allocate allocate);

} // namespace fqat::dump

#endif // FQAT_DUMP_PACK_H
