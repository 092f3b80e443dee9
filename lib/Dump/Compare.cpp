//===- Compare.cpp - Where two dumps differ -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rows of both dumps are brought into the order of the columns and looked at as
// a whole; only one that has a difference is looked at element by element.
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Compare.h"
#include "HeatMap.h"
#include "Verdict.h"
#include "Walk.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

using namespace llvm;

namespace fqat::dump {

//===----------------------------------------------------------------------===//
// Two numbers
//===----------------------------------------------------------------------===//

/// The number of a float32 among all of them, from the least to the largest.
static int64_t getRank(float value) {
  auto bits = llvm::bit_cast<int32_t>(value);
  return bits < 0 ? -static_cast<int64_t>(bits & 0x7fffffff) : bits;
}

static bool areBothNaN(float a, float b) {
  return std::isnan(a) && std::isnan(b);
}

static double getMagnitude(float kit, float board) {
  if (kit == board || areBothNaN(kit, board))
    return 0;
  double magnitude =
      std::abs(static_cast<double>(kit) - static_cast<double>(board));
  return std::isnan(magnitude) ? std::numeric_limits<double>::infinity()
                               : magnitude;
}

bool isEqual(float kit, float board, const Tolerance &tolerance) {
  if (kit == board || areBothNaN(kit, board))
    return true;
  // An infinity is near to nothing else, though rtol * inf is infinite.
  if (!std::isfinite(kit) || !std::isfinite(board))
    return false;
  if (tolerance.ulp)
    return std::abs(getRank(kit) - getRank(board)) <= *tolerance.ulp;
  return getMagnitude(kit, board) <=
         tolerance.atol + tolerance.rtol * std::abs(static_cast<double>(kit));
}

/// Whether all elements of two rows are the very same numbers. What the
/// compiler makes of it takes several at once.
static bool areSame(const float *kit, const float *board, uint64_t count) {
  int isDifferent = 0;
  for (uint64_t i = 0; i != count; ++i) {
    int isSame = static_cast<int>(kit[i] == board[i]);
    int areNaN = static_cast<int>(std::isnan(kit[i])) &
                 static_cast<int>(std::isnan(board[i]));
    isDifferent |= (isSame | areNaN) ^ 1;
  }
  return isDifferent == 0;
}

namespace {
/// Both dumps, row by row.
class Walk {
public:
  explicit Walk(const Pair &pair)
      : shape(pair.shape), kit(*pair.kit, pair.kitFormat, shape),
        board(*pair.board, pair.boardFormat, shape),
        pieces(shape, kit.isFlat() && board.isFlat()) {}

  const Pieces &getPieces() const { return pieces; }

  /// Calls `visit(index, count, kit row, board row)` for each row of the pieces
  /// from `begin` to `end`, until it returns false. `shift` as in
  /// `countDifferences`.
  template <typename Visit>
  void run(uint64_t begin, uint64_t end, int shift, Visit visit) const {
    std::vector<float> kitScratch(pieces.getLength()),
        boardScratch(pieces.getLength());
    uint64_t first = shift > 0 ? shift : 0;
    uint64_t last = shape.c - (shift < 0 ? -shift : 0);
    for (uint64_t i = begin; i != end; ++i) {
      Piece piece = pieces[i];
      for (uint64_t c = first; c < last; ++c) {
        Index index = piece.begin, from = piece.begin;
        index.c = c;
        from.c = c - shift;
        const float *kitRow = kit.read(from, piece.count, kitScratch.data());
        const float *boardRow =
            board.read(index, piece.count, boardScratch.data());
        if (!visit(index, piece.count, kitRow, boardRow))
          return;
      }
    }
  }

private:
  Shape shape;
  Reader kit, board;
  Pieces pieces;
};

/// What a thread finds.
struct Findings {
  uint64_t different = 0;
  std::vector<Errors> channels, rows;
  std::optional<Difference> first, worst;
  std::vector<Difference> samples;
};
} // namespace

/// Where the board's file has the element of a position, its header counted.
static uint64_t getByte(const Pair &pair, uint64_t position) {
  return pair.board->getOffset() +
         position * getBits(pair.boardFormat.type) / 8;
}

/// Where the element of an index lies.
static Difference locate(const Pair &pair, const Index &index, float kit,
                         float board) {
  Difference difference;
  difference.index = index;
  difference.kit = kit;
  difference.board = board;
  difference.magnitude = getMagnitude(kit, board);
  difference.kitIndex = pair.kitFormat.getPosition(pair.shape, index);
  uint64_t position = pair.boardFormat.getPosition(pair.shape, index);
  difference.boardByte = getByte(pair, position);
  if (isPacked(pair.boardFormat.type))
    difference.boardNibble = pair.boardFormat.getNibble(position);
  return difference;
}

static bool isWorse(const Difference &a, const Difference &b) {
  return a.magnitude != b.magnitude ? a.magnitude > b.magnitude
                                    : a.kitIndex < b.kitIndex;
}

//===----------------------------------------------------------------------===//
// Comparing
//===----------------------------------------------------------------------===//

/// Whether the bytes of both files are the same and mean the same. That is the
/// rule, and takes no more than reading them.
static bool hasSameBytes(const Pair &pair) {
  const Format &a = pair.kitFormat, &b = pair.boardFormat;
  if (a.type != b.type || a.order != b.order || a.scale != b.scale ||
      a.zero != b.zero || a.isPadded != b.isPadded ||
      a.isSwapped != b.isSwapped)
    return false;
  // What pads may be anything.
  StringRef kit = pair.kit->getBytes(), board = pair.board->getBytes();
  return kit == board;
}

uint64_t countDifferences(const Pair &pair, const Tolerance &tolerance,
                          int shift, uint64_t limit, unsigned numThreads) {
  Walk walk(pair);
  std::atomic<uint64_t> different = 0;
  forEachPart(walk.getPieces().size(), numThreads,
              [&](uint64_t begin, uint64_t end, unsigned) {
                walk.run(begin, end, shift,
                         [&](const Index &, uint64_t count, const float *kit,
                             const float *board) {
                           if (areSame(kit, board, count))
                             return true;
                           uint64_t found = 0;
                           for (uint64_t i = 0; i != count; ++i)
                             found += !isEqual(kit[i], board[i], tolerance);
                           return (different += found) <= limit;
                         });
              });
  return different;
}

/// Writes the elements that differ, in the order of images, channels, rows and
/// columns.
static void writeTable(const Pair &pair, const Tolerance &tolerance,
                       const Comparison &result, raw_ostream &os) {
  os << "n,c,h,w,kit_index,board_byte,board_nibble,kit,board,abs\n";
  const Shape &shape = pair.shape;
  Reader kit(*pair.kit, pair.kitFormat, shape);
  Reader board(*pair.board, pair.boardFormat, shape);
  std::vector<float> kitScratch(shape.w), boardScratch(shape.w);
  const Format &format = pair.boardFormat;
  uint64_t kitStride = pair.kitFormat.getStrides(shape).axes[W],
           boardStride = format.getStrides(shape).axes[W];
  // The fewest digits that are read as the very same number.
  auto writeNumber = [&os](auto value) {
    char text[32];
    os << ','
       << StringRef(text,
                    std::to_chars(text, std::end(text), value).ptr - text);
  };
  auto writeRow = [&](Index index) {
    const float *a = kit.read(index, shape.w, kitScratch.data());
    const float *b = board.read(index, shape.w, boardScratch.data());
    uint64_t kitIndex = pair.kitFormat.getPosition(shape, index),
             position = format.getPosition(shape, index);
    for (; index.w != shape.w;
         ++index.w, kitIndex += kitStride, position += boardStride) {
      float left = a[index.w], right = b[index.w];
      if (isEqual(left, right, tolerance))
        continue;
      os << index.n << ',' << index.c << ',' << index.h << ',' << index.w << ','
         << kitIndex << ',' << getByte(pair, position) << ',';
      if (isPacked(format.type))
        os << format.getNibble(position);
      writeNumber(left);
      writeNumber(right);
      writeNumber(getMagnitude(left, right));
      os << '\n';
    }
  };
  for (uint64_t n = 0; n != shape.n; ++n)
    for (uint64_t c = 0; c != shape.c; ++c)
      for (uint64_t h = 0; h != shape.h && result.channels[c].different != 0;
           ++h)
        writeRow({n, c, h, 0});
}

/// Adds what differs in a part of a row of the image.
static void addErrors(const Pair &pair, const Tolerance &tolerance,
                      const Index &index, uint64_t count, const float *kit,
                      const float *board, Findings &findings, HeatMap *map) {
  uint64_t different = 0, first = count, worst = count;
  double maxAbs = 0, worstMagnitude = -1;
  for (uint64_t i = 0; i != count; ++i) {
    double magnitude = getMagnitude(kit[i], board[i]);
    maxAbs = std::max(maxAbs, magnitude);
    // Branches that nothing foretells would take most of the time.
    bool isWrong = !isEqual(kit[i], board[i], tolerance);
    different += isWrong;
    if (first == count && isWrong)
      first = i;
    if (magnitude > worstMagnitude && isWrong) {
      worstMagnitude = magnitude;
      worst = i;
    }
    if (map && isWrong)
      map->add(index.c, index.h, index.w + i, magnitude);
  }
  for (Errors *errors :
       {&findings.channels[index.c], &findings.rows[index.h]}) {
    errors->different += different;
    errors->maxAbs = std::max(errors->maxAbs, maxAbs);
  }
  findings.different += different;
  if (different == 0)
    return;
  auto getDifference = [&](uint64_t i) {
    Index place = index;
    place.w += i;
    return locate(pair, place, kit[i], board[i]);
  };
  Difference earliest = getDifference(first), largest = getDifference(worst);
  if (!findings.first || earliest.kitIndex < findings.first->kitIndex)
    findings.first = earliest;
  if (!findings.worst || isWorse(largest, *findings.worst))
    findings.worst = largest;
  constexpr size_t mostSamples = 64;
  if (findings.samples.size() != mostSamples)
    findings.samples.push_back(earliest);
}

/// What all threads have found.
static Comparison merge(const Shape &shape, ArrayRef<Findings> findings) {
  Comparison result;
  result.shape = shape;
  result.count = shape.count();
  result.channels.resize(shape.c);
  result.rows.resize(shape.h);
  auto add = [](std::vector<Errors> &all, const std::vector<Errors> &part) {
    for (auto [one, other] : zip(all, part)) {
      one.different += other.different;
      one.maxAbs = std::max(one.maxAbs, other.maxAbs);
    }
  };
  for (const Findings &part : findings) {
    result.different += part.different;
    add(result.channels, part.channels);
    add(result.rows, part.rows);
    if (part.first &&
        (!result.first || part.first->kitIndex < result.first->kitIndex))
      result.first = part.first;
    if (part.worst && (!result.worst || isWorse(*part.worst, *result.worst)))
      result.worst = part.worst;
    append_range(result.samples, part.samples);
  }
  for (const Errors &channel : result.channels)
    result.maxAbs = std::max(result.maxAbs, channel.maxAbs);
  return result;
}

/// Writes kit - board of a row to its place in an array.
static void writeDifferences(uint8_t *array, uint64_t position, uint64_t count,
                             const float *kit, const float *board) {
  for (uint64_t i = 0; i != count; ++i) {
    // Two infinities, and two NaNs, are equal.
    bool isSame = kit[i] == board[i] || areBothNaN(kit[i], board[i]);
    float difference = isSame ? 0 : kit[i] - board[i];
    std::memcpy(array + (position + i) * sizeof(float), &difference,
                sizeof(float));
  }
}

Comparison compare(const Pair &pair, const CompareOptions &options) {
  const Shape &shape = pair.shape;
  Walk walk(pair);
  auto numThreads = static_cast<unsigned>(std::min<uint64_t>(
      getNumThreads(options.numThreads), walk.getPieces().size()));
  std::optional<HeatMap> map;
  if (options.png)
    map.emplace(shape);
  std::vector<Findings> findings(numThreads);
  for (Findings &mine : findings) {
    mine.channels.resize(shape.c);
    mine.rows.resize(shape.h);
  }
  // An array wants all elements, of equal files as well.
  if (options.array || !hasSameBytes(pair))
    forEachPart(
        walk.getPieces().size(), numThreads,
        [&](uint64_t begin, uint64_t end, unsigned thread) {
          walk.run(begin, end, /*shift=*/0,
                   [&](const Index &index, uint64_t count, const float *kit,
                       const float *board) {
                     if (options.array)
                       writeDifferences(options.array,
                                        Format().getPosition(shape, index),
                                        count, kit, board);
                     if (areSame(kit, board, count))
                       return true;
                     // Row by row of the image.
                     for (uint64_t i = 0; i != count;) {
                       Index place = advance(shape, index, i);
                       uint64_t part = std::min(count - i, shape.w - place.w);
                       addErrors(pair, options.tolerance, place, part, kit + i,
                                 board + i, findings[thread],
                                 map ? &*map : nullptr);
                       i += part;
                     }
                     return true;
                   });
        });
  Comparison result = merge(shape, findings);
  findVerdict(pair, options.tolerance, numThreads, result);
  if (map)
    map->write(*options.png);
  if (options.csv)
    writeTable(pair, options.tolerance, result, *options.csv);
  return result;
}

} // namespace fqat::dump
