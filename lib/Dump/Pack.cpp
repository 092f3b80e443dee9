//===- Pack.cpp - Two 4-bit channels in a byte, and back -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Pack.h"
#include "Walk.h"

#include "llvm/Support/FileOutputBuffer.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <cstring>

using namespace llvm;

namespace fqat::dump {

namespace {
/// A file of known size, which is there once it is whole.
class Output {
public:
  static Expected<Output> create(StringRef path, ElementType type,
                                 ArrayRef<uint64_t> sizes, uint64_t size) {
    std::string header = isNpyPath(path) ? makeNpyHeader(type, sizes) : "";
    auto made = FileOutputBuffer::create(path, header.size() + size);
    if (!made)
      return createStringError(path + ": " + toString(made.takeError()));
    Output output;
    output.path = path.str();
    output.buffer = std::move(*made);
    llvm::copy(header, output.buffer->getBufferStart());
    output.bytes = output.buffer->getBufferStart() + header.size();
    return output;
  }

  uint8_t *getBytes() { return bytes; }
  Error commit() {
    if (Error error = buffer->commit())
      return createStringError(path + ": " + toString(std::move(error)));
    return Error::success();
  }

private:
  std::string path;
  std::unique_ptr<FileOutputBuffer> buffer;
  uint8_t *bytes = nullptr;
};
} // namespace

/// A number as people write it.
static std::string spell(float value) {
  std::string text;
  raw_string_ostream(text) << llvm::format("%.9g", value);
  return text;
}

/// The 4-bit number of a value, or why it has none.
static Expected<uint8_t> getNibble(float value, const PackOptions &options) {
  int low = options.isSigned ? -8 : 0, high = options.isSigned ? 7 : 15;
  float number = options.rounds ? std::nearbyint(value) : value;
  if (std::isnan(number))
    return createStringError("is no number");
  if (number < float(low) || number > float(high)) {
    if (!options.clamps)
      return createStringError(
          formatv("is outside {0}..{1}; --clamp takes the nearest{2}", low,
                  high,
                  options.isSigned || value >= 0 ? ""
                                                 : ", and --signed packs -8..7")
              .str());
    number = static_cast<float>(number < float(low) ? low : high);
  }
  if (number != std::trunc(number))
    return createStringError("is a fraction; --round takes the nearest number");
  return static_cast<uint8_t>(static_cast<int>(number) & 15);
}

Error pack(const DumpFile &input, const Format &format, const Shape &shape,
           const PackOptions &options, StringRef path) {
  Format packed;
  packed.type = options.isSigned ? ElementType::I4 : ElementType::U4;
  packed.order = kNHWC;
  packed.isPadded = format.isPadded;
  if (std::string fault = packed.findFault(shape); !fault.empty())
    return createStringError(input.getPath() + ": " + fault);
  if (Error error = input.check(format, shape))
    return error;
  uint64_t bytesPerPixel = (shape.c + 1) / 2;
  Expected<Output> output = Output::create(
      path, ElementType::U8, {shape.n, shape.h, shape.w, bytesPerPixel},
      packed.getSize(shape));
  if (!output)
    return output.takeError();
  Reader reader(input, format, shape);
  Pieces pieces(shape, reader.isFlat());
  std::vector<float> scratch(pieces.getLength());
  for (uint64_t i = 0; i != pieces.size(); ++i) {
    Piece piece = pieces[i];
    Index index = piece.begin;
    for (index.c = 0; index.c != shape.c; ++index.c) {
      const float *row = reader.read(index, piece.count, scratch.data());
      uint8_t *byte = output->getBytes() + packed.getPosition(shape, index) / 2;
      bool isHigh = index.c % 2 != 0;
      for (uint64_t k = 0; k != piece.count; ++k, byte += bytesPerPixel) {
        Expected<uint8_t> nibble = getNibble(row[k], options);
        if (!nibble) {
          uint64_t w = index.w + k;
          Index place = {index.n, index.c, index.h + w / shape.w, w % shape.w};
          return createStringError(
              formatv("{0}: the value {1} at n={2} c={3} h={4} w={5} (index "
                      "{6}) {7}",
                      input.getPath(), spell(row[k]), place.n, place.c, place.h,
                      place.w, format.getPosition(shape, place),
                      toString(nibble.takeError()))
                  .str());
        }
        if (isHigh)
          *byte |= *nibble << 4;
        else
          *byte = *nibble;
      }
    }
  }
  return output->commit();
}

Error unpack(const DumpFile &input, const Format &packed, const Shape &shape,
             ElementType type, const Order &order, StringRef path) {
  if (Error error = input.check(packed, shape))
    return error;
  Format plain;
  plain.type = type;
  plain.order = order;
  Expected<Output> output =
      Output::create(path, type, getSizes(shape, order), plain.getSize(shape));
  if (!output)
    return output.takeError();
  Reader reader(input, packed, shape);
  Format::Strides strides = plain.getStrides(shape);
  bool isFlat = strides.axes[H] == strides.axes[W] * shape.w;
  Pieces pieces(shape, reader.isFlat() && isFlat);
  std::vector<float> scratch(pieces.getLength());
  const unsigned elementSize = getBits(type) / 8;
  for (uint64_t i = 0; i != pieces.size(); ++i) {
    Piece piece = pieces[i];
    Index index = piece.begin;
    for (index.c = 0; index.c != shape.c; ++index.c) {
      const float *row = reader.read(index, piece.count, scratch.data());
      uint8_t *element =
          output->getBytes() + plain.getPosition(shape, index) * elementSize;
      for (uint64_t k = 0; k != piece.count;
           ++k, element += strides.axes[W] * elementSize) {
        if (type == ElementType::F32)
          std::memcpy(element, &row[k], sizeof(float));
        else
          *element = static_cast<uint8_t>(static_cast<int>(row[k]));
      }
    }
  }
  return output->commit();
}

} // namespace fqat::dump
