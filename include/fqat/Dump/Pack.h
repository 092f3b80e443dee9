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

/// Writes the elements of a file, packed and in NHWC, to `output`: raw, or as
/// an array (N,H,W,bytes) of uint8 where its name ends in `.npy`. `format` is
/// that of the file; `isPadded` says that a last odd channel is alone in its
/// byte. Nothing is written where an element cannot be packed.
llvm::Error pack(const DumpFile &input, const Format &format,
                 const Shape &shape, const PackOptions &options,
                 llvm::StringRef output);

/// Writes the elements of a packed file as `type` (f32, u8 or i8) in `order`.
llvm::Error unpack(const DumpFile &input, const Format &packed,
                   const Shape &shape, ElementType type, const Order &order,
                   llvm::StringRef output);

} // namespace fqat::dump

#endif // FQAT_DUMP_PACK_H
