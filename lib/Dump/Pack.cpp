//===- Pack.cpp - Two 4-bit channels in a byte, and back -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Pack.h"
#include "Walk.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <cstring>

using namespace llvm;

namespace fqat::dump {

Format getPackedFormat(bool isSigned, bool isPadded) {
  Format packed;
  packed.type = isSigned ? ElementType::I4 : ElementType::U4;
  packed.order = kNHWC;
  packed.isPadded = isPadded;
  return packed;
}

/// The 4-bit number of a value; nothing if it has none.
static std::optional<uint8_t> getNibble(float value,
                                        const PackOptions &options) {
  const float low = options.isSigned ? -8 : 0, high = options.isSigned ? 7 : 15;
  float number = options.rounds ? std::nearbyint(value) : value;
  if (options.clamps)
    number = number < low ? low : number > high ? high : number;
  // False for a NaN.
  if (!(number >= low && number <= high) || number != std::trunc(number))
    return std::nullopt;
  return static_cast<uint8_t>(static_cast<int>(number) & 15);
}

/// Why a value has no 4-bit number.
static std::string explainFault(float value, const PackOptions &options) {
  if (std::isnan(value))
    return "is no number";
  if (getNibble(value, {options.isSigned, /*rounds=*/true, options.clamps}))
    return "is a fraction; --round takes the nearest number";
  if (options.isSigned)
    return "is outside -8..7; --clamp takes the nearest";
  std::string text = "is outside 0..15; --clamp takes the nearest";
  return value < 0 ? text + ", and --signed packs -8..7" : text;
}

Error pack(const DumpFile &input, const Format &format, const Shape &shape,
           const PackOptions &options, Allocate allocate) {
  Format packed = getPackedFormat(options.isSigned, format.isPadded);
  if (std::string fault = packed.findFault(shape); !fault.empty())
    return createStringError(input.getPath() + ": " + fault);
  if (Error error = input.check(format, shape))
    return error;
  Expected<uint8_t *> output = allocate(packed.getSize(shape));
  if (!output)
    return output.takeError();
  uint64_t bytesPerPixel = (shape.c + 1) / 2;
  Reader reader(input, format, shape);
  Pieces pieces(shape, reader.isFlat());
  std::vector<float> scratch(pieces.getLength());
  for (uint64_t i = 0; i != pieces.size(); ++i) {
    Piece piece = pieces[i];
    Index index = piece.begin;
    for (index.c = 0; index.c != shape.c; ++index.c) {
      const float *row = reader.read(index, piece.count, scratch.data());
      uint8_t *byte = *output + packed.getPosition(shape, index) / 2;
      bool isHigh = index.c % 2 != 0;
      for (uint64_t k = 0; k != piece.count; ++k, byte += bytesPerPixel) {
        std::optional<uint8_t> nibble = getNibble(row[k], options);
        if (!nibble) {
          Index place = advance(shape, index, k);
          return createStringError(
              formatv("{0}: the value {1} at n={2} c={3} h={4} w={5} (index "
                      "{6}) {7}",
                      input.getPath(), spellNumber(row[k]), place.n, place.c,
                      place.h, place.w, format.getPosition(shape, place),
                      explainFault(row[k], options))
                  .str());
        }
        if (isHigh)
          *byte |= *nibble << 4;
        else
          *byte = *nibble;
      }
    }
  }
  return Error::success();
}

Error unpack(const DumpFile &input, const Format &packed, const Shape &shape,
             const Format &plain, Allocate allocate) {
  if (Error error = input.check(packed, shape))
    return error;
  Expected<uint8_t *> output = allocate(plain.getSize(shape));
  if (!output)
    return output.takeError();
  Reader reader(input, packed, shape);
  Format::Strides strides = plain.getStrides(shape);
  Pieces pieces(shape, reader.isFlat() && strides.areFlat(shape));
  std::vector<float> scratch(pieces.getLength());
  const unsigned elementSize = getBits(plain.type) / 8;
  for (uint64_t i = 0; i != pieces.size(); ++i) {
    Piece piece = pieces[i];
    Index index = piece.begin;
    for (index.c = 0; index.c != shape.c; ++index.c) {
      const float *row = reader.read(index, piece.count, scratch.data());
      uint8_t *element =
          *output + plain.getPosition(shape, index) * elementSize;
      for (uint64_t k = 0; k != piece.count;
           ++k, element += strides.axes[W] * elementSize) {
        if (plain.type == ElementType::F32)
          std::memcpy(element, &row[k], sizeof(float));
        else
          *element = static_cast<uint8_t>(static_cast<int>(row[k]));
      }
    }
  }
  return Error::success();
}

} // namespace fqat::dump
