//===- Dump.h - A dump of a layer, of the kit or of the board -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A dump is a file of numbers and nothing else, or a `.npy`. What they are, and
// in which order, the one who made it knows: the training kit writes float32 in
// NCHW, the board float32 or integers in NHWC, 4-bit ones two in a byte:
//
//   byte i of a pixel = channel[2i] + 16 * channel[2i + 1]
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DUMP_DUMP_H
#define FQAT_DUMP_DUMP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <array>
#include <memory>
#include <optional>
#include <string>

namespace fqat::dump {

/// What an element is. `U4` and `I4` (two's complement) lie two in a byte.
enum class ElementType { F32, U8, I8, U4, I4 };

std::optional<ElementType> parseType(llvm::StringRef name);
llvm::StringRef getName(ElementType type);
/// Bits of an element: 32, 8 or 4.
unsigned getBits(ElementType type);
inline bool isPacked(ElementType type) { return getBits(type) == 4; }

/// The axes of a feature without its images, which come first in any order.
enum Axis : uint8_t { C, H, W };

/// The axes from the slowest to the fastest.
using Order = std::array<Axis, 3>;
inline constexpr Order kNCHW = {C, H, W};
inline constexpr Order kNHWC = {H, W, C};

/// `nchw` or `nhwc`, in either case; nothing for another name.
std::optional<Order> parseOrder(llvm::StringRef name);
/// All four letters: `NCHW`.
std::string getName(const Order &order);

/// How many images, channels, rows and columns there are: each at least 1, at
/// most 2^48 elements in all, and 2^24 channels or rows.
struct Shape {
  uint64_t n = 1, c = 1, h = 1, w = 1;

  uint64_t count() const { return n * c * h * w; }
  uint64_t get(Axis axis) const { return axis == C ? c : axis == H ? h : w; }
  /// `N,C,H,W`.
  std::string str() const;
  bool operator==(const Shape &) const = default;
};

/// Reads `N,C,H,W`.
llvm::Expected<Shape> parseShape(llvm::StringRef text);

/// The place of an element.
struct Index {
  uint64_t n, c, h, w;
};

/// How the elements lie in a file, and what they stand for:
/// `scale * (element - zero)`, computed in float32 as the kit does.
struct Format {
  ElementType type = ElementType::F32;
  Order order = kNCHW;
  float scale = 1;
  int32_t zero = 0;
  /// Packed elements of an odd number of channels: the last byte of a pixel has
  /// nothing in its high nibble.
  bool isPadded = false;
  /// The high nibble comes first.
  bool isSwapped = false;

  /// How many elements lie between two that differ by one along an axis, the
  /// ones that pad counted; `n` stands for the images.
  struct Strides {
    uint64_t n, axes[3];

    /// The position of an element among all, the ones that pad counted.
    uint64_t getPosition(const Index &index) const {
      return index.n * n + index.c * axes[C] + index.h * axes[H] +
             index.w * axes[W];
    }
    /// Whether the rows of an image follow each other.
    bool areFlat(const Shape &shape) const {
      return axes[H] == axes[W] * shape.w;
    }
  };
  Strides getStrides(const Shape &shape) const;
  /// Bytes of a file that holds `shape`.
  uint64_t getSize(const Shape &shape) const;
  uint64_t getPosition(const Shape &shape, const Index &index) const {
    return getStrides(shape).getPosition(index);
  }
  /// Which nibble of its byte a packed element has: 0 for the low one.
  unsigned getNibble(uint64_t position) const {
    return (position ^ static_cast<uint64_t>(isSwapped)) & 1;
  }
  /// Why a file cannot have this format; empty if it can.
  std::string findFault(const Shape &shape) const;
};

/// A number as people write it: enough digits to tell any two float32 from each
/// other, and no more than it takes.
std::string spellNumber(double value);

/// What a `.npy` says of itself.
struct NpyHeader {
  /// Of the file.
  uint64_t dataOffset = 0;
  /// As numpy spells it: `<f4`.
  std::string descr;
  bool isFortran = false;
  std::vector<uint64_t> sizes;
};

/// Reads the header at the beginning of a `.npy`.
llvm::Expected<NpyHeader> parseNpyHeader(llvm::StringRef bytes);
/// The header of an array of `type` (float32 or uint8) in C order.
std::string makeNpyHeader(ElementType type, llvm::ArrayRef<uint64_t> sizes);
/// Whether a path means a `.npy`.
bool isNpyPath(llvm::StringRef path);
/// The sizes of an array that holds `shape` in an order, images first.
std::array<uint64_t, 4> getSizes(const Shape &shape, const Order &order);

/// A file, mapped where it is large.
class DumpFile {
public:
  /// Fails if there is no such file, or it is a bad `.npy`.
  static llvm::Expected<DumpFile> open(llvm::StringRef path);

  const std::string &getPath() const { return path; }
  /// The elements, without the header of a `.npy`.
  llvm::StringRef getBytes() const {
    return buffer->getBuffer().drop_front(npy ? npy->dataOffset : 0);
  }
  const std::optional<NpyHeader> &getNpy() const { return npy; }
  /// Where the elements begin in the file.
  uint64_t getOffset() const { return npy ? npy->dataOffset : 0; }

  /// The type that is given, or a `.npy`'s own, or else float32. Fails where
  /// they contradict each other; bytes may be packed, or signed.
  llvm::Expected<ElementType>
  resolveType(const std::optional<ElementType> &given) const;
  /// The shape that is given, or that a `.npy` of this order has; nothing for a
  /// raw file and for packed elements. Fails where they contradict each other.
  llvm::Expected<std::optional<Shape>>
  resolveShape(const Format &format, const std::optional<Shape> &given) const;
  /// The file as one of `format` that holds `shape`: fails if it does not.
  llvm::Error check(const Format &format, const Shape &shape) const;

private:
  llvm::Expected<std::optional<ElementType>> getOwnType() const;
  llvm::Expected<std::optional<Shape>> getOwnShape(const Format &format) const;

  std::string path;
  std::unique_ptr<llvm::MemoryBuffer> buffer;
  std::optional<NpyHeader> npy;
};

/// Elements of a file by their place: rows along the columns, or along all
/// pixels of an image where those are adjacent.
class Reader {
public:
  Reader(const DumpFile &file, const Format &format, const Shape &shape);

  /// Whether the rows of an image follow each other.
  bool isFlat() const { return strides.areFlat(shape); }
  /// `count` elements from `index` on, along the columns and on into the rows
  /// below: into `scratch`, or where they lie in the file.
  const float *read(const Index &index, uint64_t count, float *scratch) const;

private:
  template <typename Get>
  void convert(uint64_t position, uint64_t count, float *out, Get get) const;

  const char *data;
  Format format;
  Shape shape;
  Format::Strides strides;
};

} // namespace fqat::dump

#endif // FQAT_DUMP_DUMP_H
