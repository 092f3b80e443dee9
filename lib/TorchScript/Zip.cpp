//===- Zip.cpp - Reading zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Zip.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Endian.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

namespace fqat {

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(message);
}

template <typename T>
T ZipReader::get(uint64_t offset) const {
  return llvm::support::endian::read<T, llvm::endianness::little>(bytes +
                                                                  offset);
}

llvm::Expected<std::shared_ptr<ZipReader>>
ZipReader::open(llvm::StringRef path) {
  int fd = ::open(path.str().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return makeError("cannot open the file: " +
                     std::error_code(errno, std::generic_category()).message());
  llvm::scope_exit closeFile([&] { ::close(fd); });
  struct stat status;
  if (fstat(fd, &status) != 0)
    return makeError("cannot read the file: " +
                     std::error_code(errno, std::generic_category()).message());
  if (S_ISDIR(status.st_mode))
    return makeError("this is a folder, not a file");
  if (!S_ISREG(status.st_mode))
    return makeError("this is no regular file, so it cannot be mapped");
  if (status.st_size == 0)
    return makeError("the file is empty");

  std::shared_ptr<ZipReader> reader(new ZipReader);
  // A model's own code may write to its tensors while it is loaded.
  void *map = mmap(nullptr, status.st_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  if (map == MAP_FAILED)
    return makeError("cannot map the file: " +
                     std::error_code(errno, std::generic_category()).message());
  reader->bytes = static_cast<char *>(map);
  reader->fileSize = status.st_size;
  if (llvm::Error error = reader->parse())
    return error;
  return reader;
}

ZipReader::~ZipReader() {
  if (bytes)
    munmap(bytes, fileSize);
}

const ZipEntry *ZipReader::find(llvm::StringRef name) const {
  auto it = indices.find(name);
  return it == indices.end() ? nullptr : &records[it->second];
}

llvm::Error ZipReader::parse() {
  constexpr uint64_t endSize = 22, maxComment = 0xffff;
  // The end record stands last, before a comment of any length.
  if (fileSize < endSize)
    return makeError("this is no zip archive, so no TorchScript file");
  uint64_t lowest =
      fileSize > endSize + maxComment ? fileSize - endSize - maxComment : 0;
  uint64_t end = fileSize - endSize + 1;
  bool found = false;
  while (!found && end > lowest) {
    --end;
    found = get<uint32_t>(end) == 0x06054b50 &&
            end + endSize + get<uint16_t>(end + 20) <= fileSize;
  }
  if (!found)
    return makeError("this is no zip archive, so no TorchScript file; or it "
                     "is truncated");
  uint64_t numEntries = get<uint16_t>(end + 10);
  uint64_t size = get<uint32_t>(end + 12);
  uint64_t offset = get<uint32_t>(end + 16);
  uint64_t directoryEnd = end;
  if (end >= 20 && get<uint32_t>(end - 20) == 0x07064b50) {
    // Zip64 has an end record of its own, whose place the locator gives,
    // counted from the archive's beginning.
    uint64_t big = get<uint64_t>(end - 20 + 8);
    constexpr uint64_t bigSize = 56;
    if (end - 20 < bigSize)
      return makeError("the zip64 end record is damaged");
    // Right before the locator, if other bytes stand in front of the archive.
    if (big > end - 20 - bigSize || get<uint32_t>(big) != 0x06064b50)
      big = end - 20 - bigSize;
    if (get<uint32_t>(big) != 0x06064b50)
      return makeError("the zip64 end record is damaged");
    numEntries = get<uint64_t>(big + 32);
    size = get<uint64_t>(big + 40);
    offset = get<uint64_t>(big + 48);
    directoryEnd = big;
  }
  if (size > directoryEnd)
    return makeError("the zip directory is larger than the file");
  // What stands in front of the archive shifts every offset in it.
  uint64_t position = directoryEnd - size;
  if (offset > position)
    return makeError("the zip directory lies outside the file");
  uint64_t shift = position - offset;
  // An entry takes 46 bytes at least.
  if (numEntries > size / 46)
    return makeError("the zip directory is too small for its entries");
  records.reserve(numEntries);
  for (uint64_t i = 0; i != numEntries; ++i)
    if (llvm::Error error = parseEntry(position, directoryEnd, shift))
      return error;
  return llvm::Error::success();
}

llvm::Error ZipReader::parseEntry(uint64_t &position, uint64_t end,
                                  uint64_t shift) {
  constexpr uint64_t headerSize = 46;
  if (end - position < headerSize || get<uint32_t>(position) != 0x02014b50)
    return makeError("the zip directory is damaged");
  uint16_t flags = get<uint16_t>(position + 8);
  uint64_t nameSize = get<uint16_t>(position + 28);
  uint64_t extraSize = get<uint16_t>(position + 30);
  uint64_t commentSize = get<uint16_t>(position + 32);
  if (end - position - headerSize < nameSize + extraSize + commentSize)
    return makeError("the zip directory is damaged");
  ZipEntry entry;
  entry.name.assign(bytes + position + headerSize, nameSize);
  entry.method = get<uint16_t>(position + 10);
  entry.crc32 = get<uint32_t>(position + 16);
  entry.compressedSize = get<uint32_t>(position + 20);
  entry.size = get<uint32_t>(position + 24);
  uint64_t header = get<uint32_t>(position + 42);

  // A field that is full has its value in the zip64 extra field, in this order.
  uint64_t extra = position + headerSize + nameSize;
  uint64_t extraEnd = extra + extraSize;
  while (extraEnd - extra >= 4) {
    uint16_t id = get<uint16_t>(extra);
    uint64_t length = get<uint16_t>(extra + 2);
    extra += 4;
    if (length > extraEnd - extra)
      break;
    uint64_t field = extra, fieldEnd = extra + length;
    if (id == 1)
      for (uint64_t *value : {&entry.size, &entry.compressedSize, &header})
        if (*value == 0xffffffff) {
          if (fieldEnd - field < 8)
            return makeError("the zip64 field of '" + entry.name +
                             "' is damaged");
          *value = get<uint64_t>(field);
          field += 8;
        }
    extra += length;
  }
  position += headerSize + nameSize + extraSize + commentSize;

  llvm::StringRef name = entry.name;
  if (name.ends_with("/"))
    return llvm::Error::success();
  llvm::SmallVector<llvm::StringRef> parts;
  name.split(parts, '/');
  if (name.empty() || name.contains('\0') || name.starts_with("/") ||
      llvm::is_contained(parts, ".."))
    return makeError("the archive has a record of a forbidden name");
  if (flags & 1)
    return makeError("the record '" + entry.name + "' is encrypted");
  if (header > fileSize || shift > fileSize - header)
    return makeError("the record '" + entry.name + "' lies outside the file");
  if (llvm::Error error = locate(entry, header + shift))
    return error;
  if (!indices.try_emplace(entry.name, records.size()).second)
    return makeError("the archive has two records named '" + entry.name + "'");
  records.push_back(std::move(entry));
  return llvm::Error::success();
}

llvm::Error ZipReader::locate(ZipEntry &entry, uint64_t headerOffset) {
  constexpr uint64_t headerSize = 30;
  if (fileSize - headerOffset < headerSize ||
      get<uint32_t>(headerOffset) != 0x04034b50)
    return makeError("the header of the record '" + entry.name +
                     "' is damaged");
  uint64_t skipped = headerSize + get<uint16_t>(headerOffset + 26) +
                     get<uint16_t>(headerOffset + 28);
  if (fileSize - headerOffset < skipped)
    return makeError("the record '" + entry.name + "' lies outside the file");
  entry.dataOffset = headerOffset + skipped;
  if (fileSize - entry.dataOffset < entry.compressedSize)
    return makeError("the record '" + entry.name + "' is truncated");
  if (entry.method == 0 && entry.size != entry.compressedSize)
    return makeError("the stored record '" + entry.name +
                     "' has two different sizes");
  return llvm::Error::success();
}

llvm::Expected<std::string> ZipReader::read(const ZipEntry &entry) const {
  const char *begin = bytes + entry.dataOffset;
  std::string result;
  if (entry.method == 0) {
    result.assign(begin, entry.size);
  } else if (entry.method == 8) {
    // Deflate cannot do better than 1032 to 1: more is a lie about the size.
    if (entry.size / 1032 > entry.compressedSize)
      return makeError("the record '" + entry.name + "' claims to hold " +
                       llvm::Twine(entry.size) + " bytes in " +
                       llvm::Twine(entry.compressedSize));
    result.resize(entry.size);
    z_stream stream = {};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
      return makeError("zlib does not start");
    llvm::scope_exit finish([&] { inflateEnd(&stream); });
    uint64_t inLeft = entry.compressedSize, outLeft = entry.size;
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(begin));
    stream.next_out = reinterpret_cast<Bytef *>(result.data());
    int status = Z_OK;
    // zlib counts in 32 bits.
    constexpr uint64_t maxChunk = 1u << 30;
    while (status == Z_OK) {
      uInt in = std::min(inLeft, maxChunk), out = std::min(outLeft, maxChunk);
      stream.avail_in = in;
      stream.avail_out = out;
      status = inflate(&stream, Z_NO_FLUSH);
      inLeft -= in - stream.avail_in;
      outLeft -= out - stream.avail_out;
    }
    if (status != Z_STREAM_END || outLeft != 0)
      return makeError("the deflated record '" + entry.name + "' is damaged");
  } else {
    return makeError("the record '" + entry.name +
                     "' is compressed by method " + llvm::Twine(entry.method) +
                     "; only deflate is read");
  }
  uLong crc = ::crc32_z(0, reinterpret_cast<const Bytef *>(result.data()),
                        result.size());
  if (crc != entry.crc32)
    return makeError("the record '" + entry.name +
                     "' does not have its checksum");
  return result;
}

} // namespace fqat
