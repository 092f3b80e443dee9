//===- Info.cpp - What a dump looks like -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Info.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

using namespace llvm;

namespace fqat::dump {

/// How many elements the guesses look at.
static constexpr uint64_t kSample = 1 << 20;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

namespace {
/// What four bytes at a time look like, read as float32. Zeros tell nothing,
/// and neither does what is no number or stands for none.
struct Words {
  uint64_t count = 0;
  /// How many have a magnitude that features and weights have.
  uint64_t numUsual = 0;
  /// How often each of the four places has each byte.
  std::array<std::array<uint64_t, 256>, sizeof(float)> bytes = {};

  /// Reads from the byte `shift` on.
  explicit Words(StringRef data, unsigned shift = 0);

  double getShareOfUsual() const {
    return static_cast<double>(numUsual) / static_cast<double>(count);
  }
  /// How much the places differ: 0 if each has the same bytes equally often, up
  /// to 1. Those of bytes do not, unless they are channels.
  double getUnevenness() const;
};
} // namespace

Words::Words(StringRef data, unsigned shift) {
  constexpr float least = 1e-20F, most = 1e20F;
  constexpr float largest = std::numeric_limits<float>::max();
  uint64_t end = std::min<uint64_t>(data.size(), kSample * sizeof(float));
  for (uint64_t at = shift; at + sizeof(float) <= end; at += sizeof(float)) {
    float value;
    std::memcpy(&value, data.data() + at, sizeof(float));
    float size = std::abs(value);
    bool isMark =
        std::isnan(value) && (bit_cast<uint32_t>(value) & 0x3fffff) == 0;
    if (size == 0 || std::isinf(value) || isMark || size == largest)
      continue;
    ++count;
    numUsual += size >= least && size <= most;
    for (unsigned place = 0; place != sizeof(float); ++place)
      ++bytes[place][static_cast<uint8_t>(data[at + place])];
  }
}

double Words::getUnevenness() const {
  double largest = 0;
  for (unsigned place = 1; place != sizeof(float); ++place) {
    uint64_t distance = 0;
    for (unsigned value = 0; value != 256; ++value) {
      uint64_t a = bytes[place][value], b = bytes[0][value];
      distance += a > b ? a - b : b - a;
    }
    largest = std::max(largest, static_cast<double>(distance) /
                                    (2 * static_cast<double>(count)));
  }
  return largest;
}

static std::string guessType(StringRef bytes, ElementType type) {
  constexpr double nearlyAll = 0.99, many = 0.9, uneven = 0.5, even = 0.3;
  constexpr uint64_t fewest = 16, enough = 1024;
  Words words(bytes);
  if (words.count < fewest)
    return "";
  if (type == ElementType::F32) {
    bool areBytes = words.getShareOfUsual() < many ||
                    (words.count >= enough && words.getUnevenness() < even);
    return areBytes ? "these are hardly numbers that a network computes: they "
                      "look like bytes (u8, i8, u4) read as floats"
                    : "";
  }
  if (bytes.size() % sizeof(float) != 0 ||
      words.getShareOfUsual() < nearlyAll || words.getUnevenness() < uneven)
    return "";
  // Channels of bytes can look like floats, but then they do from any byte on.
  for (unsigned shift = 1; shift != sizeof(float); ++shift)
    if (Words shifted(bytes, shift);
        shifted.count >= fewest && shifted.getShareOfUsual() > many)
      return "";
  return ("they look like floats read as " + getName(type) + ": try --type f32")
      .str();
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

namespace {
/// How far neighbours are apart, as a share of how far elements are apart
/// anyway: of numbers that have nothing to do with each other it is 1. Features
/// are smooth: in the right layout it is small.
struct Roughness {
  double inRow, inColumn;
};
} // namespace

static std::optional<Roughness>
getRoughness(const DumpFile &file, const Format &format, const Shape &shape) {
  Reader reader(file, format, shape);
  std::vector<float> row(shape.w), above(shape.w);
  double inRows = 0, inColumns = 0, sum = 0, squares = 0;
  uint64_t numInRows = 0, numInColumns = 0, count = 0;
  auto add = [](double &total, uint64_t &number, float a, float b) {
    double step = static_cast<double>(a) - b;
    total += step * step;
    ++number;
  };
  // Some rows of each channel and image.
  uint64_t numMaps = shape.n * shape.c;
  uint64_t numRows =
      std::clamp<uint64_t>(kSample / numMaps / shape.w, 1, shape.h);
  for (uint64_t map = 0; map != numMaps && count < 4 * kSample; ++map)
    for (uint64_t i = 0; i != numRows; ++i) {
      Index index{map / shape.c, map % shape.c, i * shape.h / numRows, 0};
      const float *values = reader.read(index, shape.w, row.data());
      const float *before = nullptr;
      if (index.h != 0) {
        --index.h;
        before = reader.read(index, shape.w, above.data());
      }
      for (uint64_t w = 0; w != shape.w; ++w) {
        if (!std::isfinite(values[w]) || (before && !std::isfinite(before[w])))
          return std::nullopt;
        sum += values[w];
        squares += static_cast<double>(values[w]) * values[w];
        ++count;
        if (w != 0)
          add(inRows, numInRows, values[w], values[w - 1]);
        if (before)
          add(inColumns, numInColumns, values[w], before[w]);
      }
    }
  auto number = static_cast<double>(count);
  double mean = sum / number, variance = squares / number - mean * mean;
  if (!(variance > 0))
    return std::nullopt;
  auto getShare = [&](double total, uint64_t pairs) {
    return pairs == 0 ? 1 : total / static_cast<double>(pairs) / (2 * variance);
  };
  return Roughness{getShare(inRows, numInRows),
                   getShare(inColumns, numInColumns)};
}

static std::string guessLayout(const DumpFile &file, const Format &format,
                               const Shape &shape) {
  constexpr uint64_t fewest = 64;
  if (isPacked(format.type) || shape.c == 1 || shape.h * shape.w == 1 ||
      shape.count() / shape.n < fewest)
    return "";
  Format other = format;
  other.order = format.order == kNCHW ? kNHWC : kNCHW;
  std::optional<Roughness> given = getRoughness(file, format, shape),
                           turned = getRoughness(file, other, shape);
  // Along rows and along columns: where all channels are alike, the wrong
  // layout looks smooth in one of them.
  constexpr double much = 0.5;
  if (!given || !turned || turned->inRow > given->inRow * much ||
      (shape.h != 1 && turned->inColumn > given->inColumn * much))
    return "";
  return formatv("neighbours have little to do with each other as {0}, and "
                 "more as {1}: try --layout {2}",
                 getName(format.order), getName(other.order),
                 StringRef(getName(other.order)).lower())
      .str();
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

/// Shapes of one image that feature maps often have: square, with a number of
/// channels that hardware likes.
static std::vector<Shape> guessShapes(uint64_t count) {
  constexpr uint64_t mostChannels = 4096, unit = 8;
  constexpr size_t mostShapes = 6;
  std::vector<Shape> shapes;
  for (uint64_t c = 1; c <= mostChannels && shapes.size() != mostShapes; ++c) {
    if (count % c != 0 || (c % unit != 0 && c != 1 && c != 3))
      continue;
    uint64_t area = count / c;
    auto side = static_cast<uint64_t>(
        std::llround(std::sqrt(static_cast<double>(area))));
    if (side != 0 && side * side == area)
      shapes.push_back({1, c, side, side});
  }
  return shapes;
}

Expected<Info> describe(const DumpFile &file, const Format &format,
                        const std::optional<Shape> &shape) {
  if (shape)
    if (Error error = file.check(format, *shape))
      return std::move(error);
  StringRef bytes = file.getBytes();
  Info info;
  info.type = format.type;
  info.numBytes = bytes.size();
  for (ElementType type :
       {ElementType::F32, ElementType::U8, ElementType::U4}) {
    uint64_t numBits = bytes.size() * 8;
    if (bytes.empty() || numBits % getBits(type) != 0)
      continue;
    uint64_t count = numBits / getBits(type);
    info.fits.push_back({type, count, guessShapes(count)});
  }
  if (bytes.empty())
    info.warnings.emplace_back("the file is empty");
  // One long row; of a shape, those that pad are left out.
  uint64_t numElements = bytes.size() * 8 / getBits(format.type);
  if (bytes.size() * 8 % getBits(format.type) != 0) {
    info.warnings.push_back(formatv("{0} bytes are no whole number of {1}",
                                    bytes.size(), getName(format.type))
                                .str());
    return info;
  }
  Format flat = format;
  flat.order = kNCHW;
  flat.isPadded = false;
  Shape line{1, 1, 1, std::max<uint64_t>(1, numElements)};
  Reader reader(file, flat, line);
  constexpr uint64_t length = 4096;
  std::vector<float> scratch(length);
  double sum = 0;
  uint64_t numFinite = 0;
  bool skipsPads =
      format.isPadded && isPacked(format.type) && shape && shape->c % 2 != 0;
  for (uint64_t at = 0; at < numElements; at += length) {
    uint64_t count = std::min(length, numElements - at);
    const float *row = reader.read({0, 0, 0, at}, count, scratch.data());
    for (uint64_t i = 0; i != count; ++i) {
      if (skipsPads && (at + i) % (shape->c + 1) == shape->c)
        continue;
      ++info.count;
      float value = row[i];
      if (std::isnan(value)) {
        ++info.numNaN;
        continue;
      }
      if (std::isinf(value)) {
        ++info.numInfinite;
        continue;
      }
      ++numFinite;
      info.numZero += value == 0;
      sum += value;
      info.min = std::min<double>(info.min.value_or(value), value);
      info.max = std::max<double>(info.max.value_or(value), value);
    }
  }
  if (numFinite != 0)
    info.mean = sum / numFinite;
  if (std::string guess = guessType(bytes, format.type); !guess.empty())
    info.warnings.push_back(std::move(guess));
  else if (shape)
    if (std::string layout = guessLayout(file, format, *shape); !layout.empty())
      info.warnings.push_back(std::move(layout));
  return info;
}

} // namespace fqat::dump
