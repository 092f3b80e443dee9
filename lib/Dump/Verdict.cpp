//===- Verdict.cpp - The simple mistake that explains it all -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each mistake that people make is a way to read the files that makes them
// equal. One that leaves a single difference explains nothing: then, most
// times, the values are wrong and not the way they are read.
//
//===----------------------------------------------------------------------===//

#include "Verdict.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace llvm;

namespace fqat::dump {

/// Fewer differences than these can look like any mistake: data is often
/// constant.
static constexpr uint64_t kFewest = 4;

namespace {
class Search {
public:
  Search(const Pair &pair, const Tolerance &tolerance, unsigned numThreads,
         Comparison &result)
      : pair(pair), tolerance(tolerance), numThreads(numThreads),
        result(result) {}

  bool findTransposed();
  bool findShifted();
  bool findSwapped();
  bool findScaled();

private:
  /// Most ways to read the files fail at an element that is known to differ.
  bool explains(const Pair &other, int shift = 0) const {
    Reader kit(*other.kit, other.kitFormat, other.shape),
        board(*other.board, other.boardFormat, other.shape);
    for (const Difference &sample : result.samples) {
      Index from = sample.index;
      from.c -= shift;
      // There is none at the edge.
      if (from.c >= other.shape.c)
        continue;
      float a, b;
      if (!isEqual(*kit.read(from, 1, &a), *board.read(sample.index, 1, &b),
                   tolerance))
        return false;
    }
    return countDifferences(other, tolerance, shift, /*limit=*/0, numThreads) ==
           0;
  }
  bool explainsEdge(int shift) const;
  bool say(const Twine &verdict, const Twine &explanation) {
    result.verdict = verdict.str();
    result.explanation = explanation.str();
    return true;
  }

  const Pair &pair;
  const Tolerance &tolerance;
  unsigned numThreads;
  Comparison &result;
};
} // namespace

/// Another order in one of the files, or in both.
bool Search::findTransposed() {
  // A pixel that is padded is whole only where its channels lie together.
  bool isBound = pair.boardFormat.isPadded || pair.kitFormat.isPadded;
  if (isBound)
    return false;
  Order orders[] = {{C, H, W}, {H, W, C}, {W, H, C},
                    {C, W, H}, {H, C, W}, {W, C, H}};
  auto getSizesAs = [&](const Order &order) {
    // Axes of one element have no place.
    SmallVector<Axis> axes;
    for (Axis axis : order)
      if (pair.shape.get(axis) != 1)
        axes.push_back(axis);
    return axes;
  };
  for (const Order &kitOrder : {pair.kitFormat.order, kNCHW, kNHWC})
    for (const Order &boardOrder : orders) {
      if (getSizesAs(kitOrder) == getSizesAs(pair.kitFormat.order) &&
          getSizesAs(boardOrder) == getSizesAs(pair.boardFormat.order))
        continue;
      Pair other = pair;
      other.kitFormat.order = kitOrder;
      other.boardFormat.order = boardOrder;
      if (!explains(other))
        continue;
      if (kitOrder == pair.kitFormat.order)
        return say("equal after transposing",
                   "the board's file is in the order " + getName(boardOrder) +
                       ", not " + getName(pair.boardFormat.order));
      return say("equal after transposing",
                 "the kit's file is in the order " + getName(kitOrder) +
                     ", not " + getName(pair.kitFormat.order) +
                     ", and the board's in " + getName(boardOrder));
    }
  return false;
}

/// Whether the channel of the board that has no partner is what a shift leaves
/// there: the channel from the other end, the next pixel's, or one value.
bool Search::explainsEdge(int shift) const {
  const Shape &shape = pair.shape;
  Reader kit(*pair.kit, pair.kitFormat, shape),
      board(*pair.board, pair.boardFormat, shape);
  std::vector<float> kitRow(shape.w), boardRow(shape.w);
  uint64_t edge = shift > 0 ? 0 : shape.c - 1, other = shape.c - 1 - edge;
  bool isWrapped = true, isNext = true, isConstant = true;
  std::optional<float> before, constant;
  for (uint64_t n = 0; n != shape.n; ++n)
    for (uint64_t h = 0; h != shape.h; ++h) {
      const float *a = kit.read({n, other, h, 0}, shape.w, kitRow.data());
      const float *b = board.read({n, edge, h, 0}, shape.w, boardRow.data());
      for (uint64_t w = 0; w != shape.w; ++w) {
        isWrapped &= isEqual(a[w], b[w], tolerance);
        if (!constant)
          constant = b[w];
        isConstant &= b[w] == *constant;
        // In memory the last channel is followed by the next pixel's first.
        if (before)
          isNext &= shift > 0 ? isEqual(*before, b[w], tolerance)
                              : isEqual(a[w], *before, tolerance);
        before = shift > 0 ? a[w] : b[w];
      }
    }
  return isWrapped || isNext || isConstant;
}

bool Search::findShifted() {
  uint64_t wrong = count_if(result.channels, [](const Errors &channel) {
    return channel.different != 0;
  });
  if (pair.shape.c < 3 || wrong <= pair.shape.c / 2)
    return false;
  for (int shift : {1, -1})
    if (explains(pair, shift) && explainsEdge(shift))
      return say("shifted by one channel",
                 shift == 1
                     ? "channel c of the board holds channel c - 1 of the kit"
                     : "channel c of the board holds channel c + 1 of the kit");
  return false;
}

bool Search::findSwapped() {
  for (bool isKit : {false, true}) {
    Pair other = pair;
    Format &format = isKit ? other.kitFormat : other.boardFormat;
    if (!isPacked(format.type))
      continue;
    format.isSwapped = !format.isSwapped;
    if (explains(other))
      return say(
          "nibbles swapped",
          Twine("the first of two channels is in the high nibble of the ") +
              (isKit ? "kit's" : "board's") + " file");
  }
  return false;
}

/// A power of two, or a little more, in full.
static std::string getNumber(double value) {
  std::string text;
  raw_string_ostream(text) << llvm::format("%.9g", value);
  return text;
}

bool Search::findScaled() {
  const Difference &worst = *result.worst;
  double ratio = static_cast<double>(worst.board) / worst.kit;
  int exponent;
  constexpr double half = 0.5;
  if (!std::isfinite(ratio) || std::frexp(ratio, &exponent) != half)
    return false;
  --exponent;
  constexpr int most = 32;
  if (exponent == 0 || std::abs(exponent) > most)
    return false;
  Pair other = pair;
  other.boardFormat.scale = std::ldexp(other.boardFormat.scale, -exponent);
  if (!explains(other))
    return false;
  return say(formatv("scaled by 2^{0}", exponent).str(),
             ("each value of the board is the kit's times " +
              Twine(getNumber(std::ldexp(1.0, exponent))) + "; --scale " +
              getNumber(other.boardFormat.scale) + " makes them equal")
                 .str());
}

void findVerdict(const Pair &pair, const Tolerance &tolerance,
                 unsigned numThreads, Comparison &result) {
  if (result.different == 0) {
    result.verdict = "equal";
    return;
  }
  if (result.different < kFewest)
    return;
  Search search(pair, tolerance, numThreads, result);
  (void)(search.findTransposed() || search.findShifted() ||
         search.findSwapped() || search.findScaled());
}

} // namespace fqat::dump
