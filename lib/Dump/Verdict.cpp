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
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>
#include <cmath>

using namespace llvm;

namespace fqat::dump {

/// Fewer differences, or fewer values that differ, can look like any mistake:
/// data is often constant.
static constexpr uint64_t kFewestDifferences = 4, kFewestValues = 3;

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
    return explains(other, tolerance, shift);
  }
  bool explains(const Pair &other, const Tolerance &tolerance,
                int shift) const {
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
  for (const Format *format : {&pair.kitFormat, &pair.boardFormat})
    if (format->isPadded && isPacked(format->type) && pair.shape.c % 2 != 0)
      return false;
  const Order orders[] = {kNCHW,     kNHWC,     {W, H, C},
                          {C, W, H}, {H, C, W}, {W, C, H}};
  // Axes of one element have no place.
  auto getAxes = [&](const Order &order) {
    return to_vector(make_filter_range(
        order, [&](Axis axis) { return pair.shape.get(axis) != 1; }));
  };
  const Order kitOrder = pair.kitFormat.order,
              boardOrder = pair.boardFormat.order;
  SmallVector<std::pair<Order, Order>> candidates;
  // Packed channels lie together: more likely it is the kit's file.
  if (isPacked(pair.boardFormat.type))
    candidates = {{kNCHW, boardOrder}, {kNHWC, boardOrder}};
  for (const Order &kit : {kitOrder, kNCHW, kNHWC})
    for (const Order &board : orders)
      if (!is_contained(candidates, std::pair(kit, board)))
        candidates.emplace_back(kit, board);
  for (const auto &[kit, board] : candidates) {
    if (getAxes(kit) == getAxes(kitOrder) &&
        getAxes(board) == getAxes(boardOrder))
      continue;
    Pair other = pair;
    other.kitFormat.order = kit;
    other.boardFormat.order = board;
    if (!explains(other))
      continue;
    std::string text;
    if (kit != kitOrder)
      text = "the kit's file is in the order " + getName(kit) + ", not " +
             getName(kitOrder);
    if (board != boardOrder)
      text += (text.empty() ? "the board's file is in the order "
                            : ", and the board's in ") +
              getName(board) + ", not " + getName(boardOrder);
    return say("equal after transposing", text);
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
  // What moves is wrong in two places.
  if (pair.shape.c < 3 || wrong < 2)
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
  if (pair.shape.c < 2)
    return false;
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

bool Search::findScaled() {
  // The power of two that most elements are apart.
  SmallVector<double> exponents;
  for (const Difference &sample : result.samples) {
    double ratio = static_cast<double>(sample.board) / sample.kit;
    if (std::isfinite(ratio) && ratio > 0)
      exponents.push_back(std::log2(ratio));
  }
  if (exponents.empty())
    return false;
  auto *middle = exponents.begin() + exponents.size() / 2;
  std::nth_element(exponents.begin(), middle, exponents.end());
  constexpr double near = 0.25, most = 32;
  double exponent = std::round(*middle);
  if (exponent == 0 || std::abs(exponent) > most ||
      std::abs(*middle - exponent) > near)
    return false;
  const double factor = std::exp2(-exponent);
  Pair other = pair;
  other.boardFormat.scale =
      static_cast<float>(other.boardFormat.scale * factor);
  Tolerance scaled = tolerance;
  if (scaled.isInSteps)
    scaled.atol *= factor;
  if (!explains(other, scaled, /*shift=*/0))
    return false;
  return say(formatv("scaled by 2^{0}", static_cast<int>(exponent)).str(),
             "each value of the board is the kit's times " +
                 Twine(spellNumber(std::exp2(exponent))) + "; --scale " +
                 spellNumber(other.boardFormat.scale) + " makes them equal");
}

void findVerdict(const Pair &pair, const Tolerance &tolerance,
                 unsigned numThreads, Comparison &result) {
  if (result.different == 0) {
    result.verdict = "equal";
    return;
  }
  SmallVector<float> values;
  for (const Difference &sample : result.samples)
    for (float value : {sample.kit, sample.board})
      if (values.size() < kFewestValues && !is_contained(values, value))
        values.push_back(value);
  if (result.different < kFewestDifferences || values.size() < kFewestValues)
    return;
  Search search(pair, tolerance, numThreads, result);
  (void)(search.findTransposed() || search.findShifted() ||
         search.findSwapped() || search.findScaled());
}

} // namespace fqat::dump
