//===- Info.cpp - What a dump looks like -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Info.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <array>
#include <cmath>
#include <cstring>

using namespace llvm;

namespace fqat::dump {

/// How many elements the guesses look at.
static constexpr uint64_t kSample = 1 << 20;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

/// The share of those that are no zero which a network would have as features
/// or weights; nothing if there are too few to tell.
static std::optional<double> getShareOfUsual(StringRef bytes) {
  constexpr float least = 1e-12F, most = 1e12F;
  constexpr uint64_t fewest = 16;
  uint64_t count = std::min<uint64_t>(bytes.size() / sizeof(float), kSample);
  uint64_t numUsual = 0, numOther = 0;
  for (uint64_t i = 0; i != count; ++i) {
    float value;
    std::memcpy(&value, bytes.data() + i * sizeof(float), sizeof(float));
    if (value == 0)
      continue;
    float size = std::abs(value);
    (size >= least && size <= most ? numUsual : numOther) += 1;
  }
  if (numUsual + numOther < fewest)
    return std::nullopt;
  return static_cast<double>(numUsual) / (numUsual + numOther);
}

/// How much the bytes of a float32 differ in kind: 0 if each of the four places
/// has the same bytes equally often, up to 1.
static double getUnevenness(StringRef bytes) {
  constexpr unsigned numPlaces = sizeof(float);
  std::array<std::array<double, 256>, numPlaces> shares = {};
  uint64_t count = std::min<uint64_t>(bytes.size() / numPlaces, kSample);
  for (uint64_t i = 0; i != count * numPlaces; ++i)
    shares[i % numPlaces][static_cast<uint8_t>(bytes[i])] += 1.0 / count;
  double largest = 0;
  for (unsigned place = 1; place != numPlaces; ++place) {
    double distance = 0;
    for (unsigned value = 0; value != 256; ++value)
      distance += std::abs(shares[place][value] - shares[0][value]) / 2;
    largest = std::max(largest, distance);
  }
  return largest;
}

static std::string guessType(StringRef bytes, ElementType type) {
  constexpr double nearlyAll = 0.99, many = 0.9, uneven = 0.5;
  std::optional<double> usual = getShareOfUsual(bytes);
  if (!usual)
    return "";
  if (type == ElementType::F32)
    return *usual < many
               ? formatv("{0:f0} % of these are no numbers that a network "
                         "computes: they look like bytes (u8, i8, u4) read as "
                         "floats",
                         (1 - *usual) * 100)
                     .str()
               : "";
  bool isFloat = bytes.size() % sizeof(float) == 0 && *usual >= nearlyAll &&
                 getUnevenness(bytes) > uneven;
  return isFloat ? formatv("they look like floats read as {0}: try --type f32",
                           getName(type))
                       .str()
                 : "";
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

/// How far neighbours within a row are apart, as a share of how far elements
/// are apart anyway. Features are smooth: in the right layout it is small.
static std::optional<double>
getRoughness(const DumpFile &file, const Format &format, const Shape &shape) {
  Reader reader(file, format, shape);
  std::vector<float> row(shape.w);
  double near = 0, sum = 0, squares = 0;
  uint64_t numPairs = 0, count = 0;
  // Some rows of each channel.
  uint64_t numRows =
      std::max<uint64_t>(1, std::min(shape.h, kSample / shape.c / shape.w));
  for (uint64_t c = 0; c != shape.c; ++c)
    for (uint64_t i = 0; i != numRows; ++i) {
      const float *values =
          reader.read({0, c, i * shape.h / numRows, 0}, shape.w, row.data());
      for (uint64_t w = 0; w != shape.w; ++w) {
        if (!std::isfinite(values[w]))
          return std::nullopt;
        sum += values[w];
        squares += static_cast<double>(values[w]) * values[w];
        ++count;
        if (w == 0)
          continue;
        double step = static_cast<double>(values[w]) - values[w - 1];
        near += step * step;
        ++numPairs;
      }
    }
  double mean = sum / count, variance = squares / count - mean * mean;
  if (numPairs == 0 || !(variance > 0))
    return std::nullopt;
  // Of numbers that have nothing to do with each other it is 1.
  return near / numPairs / (2 * variance);
}

static std::string guessLayout(const DumpFile &file, const Format &format,
                               const Shape &shape) {
  constexpr uint64_t fewest = 64;
  if (isPacked(format.type) || shape.c == 1 || shape.h * shape.w == 1 ||
      shape.count() / shape.n < fewest)
    return "";
  Format other = format;
  other.order = format.order == kNCHW ? kNHWC : kNCHW;
  std::optional<double> given = getRoughness(file, format, shape),
                        turned = getRoughness(file, other, shape);
  constexpr double much = 0.5;
  if (!given || !turned || *turned > *given * much)
    return "";
  return formatv("neighbours in a row have little to do with each other as "
                 "{0}, and more as {1}: try --layout {2}",
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
