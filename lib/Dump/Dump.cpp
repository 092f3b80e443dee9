//===- Dump.cpp - A dump of a layer, of the kit or of the board -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Dump.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <cstring>

using namespace llvm;

namespace fqat::dump {

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

std::optional<ElementType> parseType(StringRef name) {
  return StringSwitch<std::optional<ElementType>>(name)
      .CaseLower("f32", ElementType::F32)
      .CaseLower("u8", ElementType::U8)
      .CaseLower("i8", ElementType::I8)
      .CaseLower("u4", ElementType::U4)
      .CaseLower("i4", ElementType::I4)
      .Default(std::nullopt);
}

StringRef getName(ElementType type) {
  static constexpr StringLiteral names[] = {"f32", "u8", "i8", "u4", "i4"};
  return names[static_cast<unsigned>(type)];
}

unsigned getBits(ElementType type) {
  static constexpr unsigned bits[] = {32, 8, 8, 4, 4};
  return bits[static_cast<unsigned>(type)];
}

std::optional<Order> parseOrder(StringRef name) {
  return StringSwitch<std::optional<Order>>(name)
      .CaseLower("nchw", kNCHW)
      .CaseLower("nhwc", kNHWC)
      .Default(std::nullopt);
}

std::string getName(const Order &order) {
  std::string name = "N";
  for (Axis axis : order)
    name += "CHW"[axis];
  return name;
}

std::string spellNumber(double value) {
  for (int digits = 6; digits <= 9; ++digits) {
    std::string text;
    raw_string_ostream(text) << llvm::format("%.*g", digits, value);
    double read;
    if (std::isnan(value) ||
        (to_float(text, read) &&
         static_cast<float>(read) == static_cast<float>(value)) ||
        digits == 9)
      return text;
  }
  return "";
}

std::string Shape::str() const {
  return formatv("{0},{1},{2},{3}", n, c, h, w).str();
}

Expected<Shape> parseShape(StringRef text) {
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  Shape shape;
  uint64_t *sizes[] = {&shape.n, &shape.c, &shape.h, &shape.w};
  constexpr uint64_t mostElements = uint64_t(1) << 48, longestAxis = 1 << 24;
  uint64_t count = 1;
  bool isGood = parts.size() == std::size(sizes);
  for (unsigned i = 0; isGood && i != std::size(sizes); ++i) {
    isGood = !parts[i].trim().getAsInteger(10, *sizes[i]) && *sizes[i] != 0 &&
             *sizes[i] <= mostElements / count;
    if (isGood)
      count *= *sizes[i];
  }
  // Channels and rows are counted one by one.
  if (isGood && std::max(shape.c, shape.h) > longestAxis)
    return createStringError("'" + text +
                             "' has more than 16777216 channels or rows");
  if (!isGood)
    return createStringError("'" + text +
                             "' is no shape; write N,C,H,W: four numbers from "
                             "1 on, such as 1,64,40,40");
  return shape;
}

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

Format::Strides Format::getStrides(const Shape &shape) const {
  Strides strides;
  uint64_t stride = 1;
  for (Axis axis : reverse(order)) {
    strides.axes[axis] = stride;
    stride *= shape.get(axis);
    if (isPadded && isPacked(type) && axis == C)
      stride += stride % 2;
  }
  strides.n = stride;
  return strides;
}

uint64_t Format::getSize(const Shape &shape) const {
  uint64_t elements = getStrides(shape).n * shape.n;
  return isPacked(type) ? (elements + 1) / 2 : elements * getBits(type) / 8;
}

std::string Format::findFault(const Shape &shape) const {
  if (!isPacked(type))
    return "";
  if (order != kNHWC)
    return (getName(type) + " packs channels, two in a byte, which takes the "
                            "layout nhwc")
        .str();
  if (shape.c % 2 != 0 && !isPadded)
    return formatv("{0} packs two channels in a byte, and {1} is odd; if the "
                   "last byte of a pixel is half empty, say --pad",
                   getName(type), shape.c)
        .str();
  return "";
}

//===----------------------------------------------------------------------===//
// .npy
//===----------------------------------------------------------------------===//

static constexpr StringLiteral kMagic = "\x93NUMPY";

bool isNpyPath(StringRef path) {
  return sys::path::extension(path).equals_insensitive(".npy");
}

std::array<uint64_t, 4> getSizes(const Shape &shape, const Order &order) {
  return {shape.n, shape.get(order[0]), shape.get(order[1]),
          shape.get(order[2])};
}

/// What stands behind a key in a header.
static StringRef getField(StringRef header, StringRef key) {
  size_t at = header.find(("'" + key + "':").str());
  return at == StringRef::npos ? StringRef()
                               : header.drop_front(at + key.size() + 3).ltrim();
}

Expected<NpyHeader> parseNpyHeader(StringRef bytes) {
  auto fail = [] {
    return createStringError("the file is no .npy: its header is broken");
  };
  constexpr size_t versionEnd = 8;
  if (!bytes.starts_with(kMagic) || bytes.size() < versionEnd + 4)
    return fail();
  bool isOld = bytes[kMagic.size()] == 1;
  const char *length = bytes.data() + versionEnd;
  size_t begin = versionEnd + (isOld ? 2 : 4);
  size_t size = isOld ? support::endian::read16le(length)
                      : support::endian::read32le(length);
  if (size > bytes.size() - begin)
    return fail();
  StringRef header = bytes.substr(begin, size);
  NpyHeader npy;
  npy.dataOffset = begin + size;
  StringRef descr = getField(header, "descr");
  StringRef order = getField(header, "fortran_order");
  StringRef sizes = getField(header, "shape");
  if (descr.starts_with("["))
    return createStringError("arrays of records are no dumps");
  if (!descr.consume_front("'") || !sizes.consume_front("(") ||
      !sizes.contains(')') || order.empty())
    return fail();
  npy.descr = descr.take_until([](char c) { return c == '\''; }).str();
  npy.isFortran = order.starts_with("True");
  SmallVector<StringRef> parts;
  sizes.take_until([](char c) { return c == ')'; }).split(parts, ',');
  for (StringRef part : parts) {
    if (part.trim().empty())
      continue;
    uint64_t value;
    if (part.trim().getAsInteger(10, value))
      return fail();
    npy.sizes.push_back(value);
  }
  return npy;
}

std::string makeNpyHeader(ElementType type, ArrayRef<uint64_t> sizes) {
  std::string shape;
  for (uint64_t size : sizes)
    shape += std::to_string(size) + ", ";
  StringRef descr = type == ElementType::F32  ? "<f4"
                    : type == ElementType::I8 ? "|i1"
                                              : "|u1";
  std::string header =
      formatv("{{'descr': '{0}', 'fortran_order': False, 'shape': ({1}), }",
              descr,
              StringRef(shape).rtrim(", ") + (sizes.size() == 1 ? "," : ""))
          .str();
  constexpr size_t alignment = 64, before = 10;
  header.append(alignment - 1 - (before + header.size()) % alignment, ' ');
  header += '\n';
  char length[2];
  support::endian::write16le(length, header.size());
  return kMagic.str() + std::string("\x01\x00", 2) + std::string(length, 2) +
         header;
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

Expected<DumpFile> DumpFile::open(StringRef path) {
  DumpFile file;
  file.path = path.str();
  sys::fs::file_status status;
  if (!sys::fs::status(path, status) &&
      status.type() != sys::fs::file_type::regular_file &&
      status.type() != sys::fs::file_type::fifo_file)
    return createStringError(path + ": this is no file");
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError(buffer.getError(),
                             path + ": " + buffer.getError().message());
  file.buffer = std::move(*buffer);
  StringRef bytes = file.buffer->getBuffer();
  if (isNpyPath(path)) {
    Expected<NpyHeader> header = parseNpyHeader(bytes);
    if (!header)
      return createStringError(path + ": " + toString(header.takeError()));
    file.npy = std::move(*header);
  }
  return file;
}

Expected<std::optional<ElementType>> DumpFile::getOwnType() const {
  if (!npy)
    return std::nullopt;
  if (npy->isFortran)
    return createStringError(path + ": the array is in Fortran's order; save "
                                    "numpy.ascontiguousarray() of it");
  if (npy->descr == "<f4")
    return ElementType::F32;
  if (npy->descr == "|u1")
    return ElementType::U8;
  if (npy->descr == "|i1")
    return ElementType::I8;
  if (StringRef(npy->descr).starts_with(">"))
    return createStringError(path + ": the array is big-endian; save "
                                    "array.astype('<f4')");
  return createStringError(path + ": arrays of '" + npy->descr +
                           "' are no dumps; save it as float32, uint8 or int8");
}

Expected<std::optional<Shape>>
DumpFile::getOwnShape(const Format &format) const {
  if (!npy || isPacked(format.type))
    return std::nullopt;
  ArrayRef<uint64_t> sizes = npy->sizes;
  if (sizes.size() != 3 && sizes.size() != 4)
    return createStringError(
        formatv("{0}: the array has {1} dimensions, not 4 (or 3, without N)",
                path, sizes.size())
            .str());
  Shape shape;
  if (sizes.size() == 4)
    shape.n = sizes.front();
  for (auto [axis, size] : zip(format.order, sizes.take_back(3)))
    (axis == C ? shape.c : axis == H ? shape.h : shape.w) = size;
  // As strict as where it is written by hand.
  Expected<Shape> checked = parseShape(shape.str());
  if (!checked)
    return createStringError(path + ": " + toString(checked.takeError()));
  return shape;
}

Expected<ElementType>
DumpFile::resolveType(const std::optional<ElementType> &given) const {
  auto own = getOwnType();
  if (!own)
    return own.takeError();
  if (!given)
    return own->value_or(ElementType::F32);
  if (*own && **own != *given &&
      (**own == ElementType::F32 || *given == ElementType::F32))
    return createStringError(path + ": the array is " + getName(**own) +
                             ", not " + getName(*given));
  return *given;
}

Expected<std::optional<Shape>>
DumpFile::resolveShape(const Format &format,
                       const std::optional<Shape> &given) const {
  auto own = getOwnShape(format);
  if (!own || !given)
    return own;
  if (*own && **own != *given)
    return createStringError(path + ": the array is " + (*own)->str() +
                             " (as " + getName(format.order) + "), not " +
                             given->str());
  return given;
}

Error DumpFile::check(const Format &format, const Shape &shape) const {
  if (std::string fault = format.findFault(shape); !fault.empty())
    return createStringError(path + ": " + fault);
  if (npy && isPacked(format.type)) {
    if (npy->descr != "|u1" && npy->descr != "|i1")
      return createStringError(path +
                               ": packed elements are bytes, and the "
                               "array is of '" +
                               npy->descr + "'");
    std::vector<uint64_t> sizes = {shape.n, shape.h, shape.w,
                                   (shape.c + 1) / 2};
    if (npy->sizes.size() == 3 && shape.n == 1)
      sizes.erase(sizes.begin());
    bool isFlat = npy->sizes.size() < 3;
    if (!isFlat && npy->sizes != sizes)
      return createStringError(
          path + ": the array is no (N, H, W, C / 2) of the shape " +
          shape.str());
  }
  uint64_t expected = format.getSize(shape), size = getBytes().size();
  if (size == expected)
    return Error::success();
  // What it would be.
  std::string fits;
  for (ElementType type :
       {ElementType::F32, ElementType::U8, ElementType::U4}) {
    Format other = format;
    other.type = type;
    other.isPadded = isPacked(type);
    other.order = isPacked(type) ? kNHWC : format.order;
    if (type != format.type && other.getSize(shape) == size)
      fits = ("; it would be that of " + getName(type)).str();
  }
  return createStringError(
      formatv("{0}: {1} bytes, but {2} elements of {3} ({4}) are {5} bytes{6}",
              path, size, shape.count(), getName(format.type), shape.str(),
              expected, fits)
          .str());
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

Reader::Reader(const DumpFile &file, const Format &format, const Shape &shape)
    : data(file.getBytes().data()), format(format), shape(shape),
      strides(format.getStrides(shape)) {}

template <typename Get>
void Reader::convert(uint64_t position, uint64_t count, float *out,
                     Get get) const {
  uint64_t stride = strides.axes[W];
  float scale = format.scale;
  int64_t zero = format.zero;
  for (uint64_t i = 0; i != count; ++i, position += stride)
    out[i] = static_cast<float>(get(position) - zero) * scale;
}

const float *Reader::read(const Index &index, uint64_t count,
                          float *scratch) const {
  const uint64_t stride = strides.axes[W];
  uint64_t position = strides.getPosition(index);
  const char *bytes = data;
  auto getNibble = [bytes, format = format](uint64_t at) {
    unsigned shift = format.getNibble(at) * 4;
    return (static_cast<uint8_t>(bytes[at / 2]) >> shift) & 15;
  };
  switch (format.type) {
  case ElementType::F32: {
    const char *first = bytes + position * sizeof(float);
    bool isPlain = format.scale == 1 && format.zero == 0;
    if (stride == 1 && isPlain &&
        reinterpret_cast<uintptr_t>(first) % alignof(float) == 0)
      return reinterpret_cast<const float *>(first);
    for (uint64_t i = 0; i != count; ++i)
      std::memcpy(scratch + i, first + i * stride * sizeof(float),
                  sizeof(float));
    if (!isPlain)
      for (uint64_t i = 0; i != count; ++i)
        scratch[i] = (scratch[i] - format.zero) * format.scale;
    break;
  }
  case ElementType::U8:
    convert(position, count, scratch, [bytes](uint64_t at) {
      return static_cast<int>(static_cast<uint8_t>(bytes[at]));
    });
    break;
  case ElementType::I8:
    convert(position, count, scratch, [bytes](uint64_t at) {
      return static_cast<int>(static_cast<int8_t>(bytes[at]));
    });
    break;
  case ElementType::U4:
    convert(position, count, scratch, getNibble);
    break;
  case ElementType::I4:
    convert(position, count, scratch, [getNibble](uint64_t at) {
      int value = getNibble(at);
      return value < 8 ? value : value - 16;
    });
    break;
  }
  return scratch;
}

} // namespace fqat::dump
