//===- HeatMap.cpp - A picture of where dumps differ -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HeatMap.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Compression.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace llvm;

namespace fqat::dump {

/// The longest side of a picture, in pixels.
static constexpr uint64_t kLongest = 4096;
/// Between channels.
static constexpr uint64_t kGap = 1;

HeatMap::HeatMap(const Shape &shape) : numChannels(shape.c) {
  // About as wide as high.
  numColumns = std::max<uint64_t>(
      1, std::llround(std::sqrt(static_cast<double>(shape.c) * shape.h /
                                static_cast<double>(shape.w))));
  numColumns = std::min(numColumns, numChannels);
  auto getSide = [](uint64_t number, uint64_t size) {
    return number * (size + kGap) + kGap;
  };
  for (step = 1;; ++step) {
    height = (shape.h + step - 1) / step;
    width = (shape.w + step - 1) / step;
    uint64_t numRows = (numChannels + numColumns - 1) / numColumns;
    if ((getSide(numColumns, width) <= kLongest &&
         getSide(numRows, height) <= kLongest) ||
        (height == 1 && width == 1))
      break;
  }
  // More channels than a picture has room for: the first ones.
  constexpr uint64_t most = kLongest / (1 + kGap);
  numColumns = std::min(numColumns, most);
  numChannels = std::min(numChannels, numColumns * most);
  cells.resize(numChannels * height * width);
}

static void writeChunk(raw_ostream &os, StringRef name, StringRef contents) {
  char number[4];
  support::endian::write32be(number, contents.size());
  os.write(number, sizeof(number));
  std::string body = (name + contents).str();
  os << body;
  support::endian::write32be(number, crc32(arrayRefFromStringRef(body)));
  os.write(number, sizeof(number));
}

void HeatMap::write(raw_ostream &os) const {
  float largest = 0;
  for (float cell : cells)
    if (std::isfinite(cell))
      largest = std::max(largest, cell);
  uint64_t numRows = (numChannels + numColumns - 1) / numColumns;
  uint64_t totalWidth = numColumns * (width + kGap) + kGap;
  uint64_t totalHeight = numRows * (height + kGap) + kGap;
  // A colour for each of 255 steps; 0 is equal, 255 is between channels.
  constexpr unsigned numSteps = 254, gapColour = 255;
  std::string palette;
  for (unsigned i = 0; i != 256; ++i) {
    double x = static_cast<double>(i) / numSteps;
    auto ramp = [&](double begin) {
      double value = std::clamp((x - begin) * 3, 0.0, 1.0);
      return static_cast<char>(std::lround(value * 255));
    };
    // Red, then yellow, then white; what differs at all is not black.
    char red = i == 0 ? 0
                      : static_cast<char>(
                            std::max<int>(64, static_cast<uint8_t>(ramp(0))));
    if (i == gapColour)
      palette += {64, 64, 64};
    else
      palette += {red, ramp(1.0 / 3), ramp(2.0 / 3)};
  }
  // Each line begins with its filter: none.
  std::string pixels;
  pixels.reserve((totalWidth + 1) * totalHeight);
  for (uint64_t y = 0; y != totalHeight; ++y) {
    pixels += '\0';
    for (uint64_t x = 0; x != totalWidth; ++x) {
      uint64_t h = y % (height + kGap), w = x % (width + kGap);
      uint64_t c = y / (height + kGap) * numColumns + x / (width + kGap);
      unsigned colour = gapColour;
      if (h >= kGap && w >= kGap && c < numChannels) {
        float value = cells[(c * height + h - kGap) * width + w - kGap];
        double share = std::isinf(value) ? 1 : value / largest;
        colour = value == 0 ? 0 : 1 + std::lround(share * (numSteps - 1));
      }
      pixels += static_cast<char>(colour);
    }
  }
  SmallVector<uint8_t, 0> deflated;
  compression::zlib::compress(arrayRefFromStringRef(pixels), deflated);
  char header[13] = {};
  support::endian::write32be(header, totalWidth);
  support::endian::write32be(header + 4, totalHeight);
  header[8] = 8; // bits of a pixel
  header[9] = 3; // a number of the palette
  os << "\x89PNG\r\n\x1a\n";
  writeChunk(os, "IHDR", StringRef(header, sizeof(header)));
  writeChunk(os, "PLTE", palette);
  writeChunk(os, "IDAT", toStringRef(deflated));
  writeChunk(os, "IEND", "");
}

} // namespace fqat::dump
