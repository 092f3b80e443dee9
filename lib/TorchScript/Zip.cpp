//===- Zip.cpp - Reading and writing zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Zip.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/EndianStream.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

namespace fqat {

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(message);
}

static uint32_t computeCrc(llvm::StringRef bytes) {
  return ::crc32_z(0, reinterpret_cast<const Bytef *>(bytes.data()),
                   bytes.size());
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

template <typename T>
T ZipReader::get(uint64_t offset) const {
  return llvm::support::endian::read<T, llvm::endianness::little>(bytes +
                                                                  offset);
}

/// The archives that are open, by the end of their maps.
static std::map<const char *, ZipReader *> &getOpenArchives() {
  static std::map<const char *, ZipReader *> archives;
  return archives;
}
static std::mutex openArchivesMutex;

llvm::Expected<std::shared_ptr<ZipReader>>
ZipReader::open(llvm::StringRef path) {
  // A pipe without a writer would not open.
  int fd = ::open(path.str().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return makeError("cannot open the file: " +
                     std::error_code(errno, std::generic_category()).message());
  std::shared_ptr<ZipReader> reader(new ZipReader);
  reader->file = fd;
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
  std::scoped_lock<std::mutex> lock(openArchivesMutex);
  getOpenArchives()[reader->bytes + reader->fileSize] = reader.get();
  return reader;
}

ZipReader::~ZipReader() {
  if (bytes) {
    {
      std::scoped_lock<std::mutex> lock(openArchivesMutex);
      getOpenArchives().erase(bytes + fileSize);
    }
    munmap(bytes, fileSize);
  }
  ::close(file);
}

std::optional<ZipReader::Place> ZipReader::findPlace(llvm::StringRef contents) {
  std::scoped_lock<std::mutex> lock(openArchivesMutex);
  auto it = getOpenArchives().upper_bound(contents.data());
  if (it == getOpenArchives().end() || contents.data() < it->second->bytes)
    return std::nullopt;
  ZipReader &reader = *it->second;
  if (reader.byOffset.empty()) {
    for (const ZipEntry &entry : reader.records)
      if (reader.isMapped(entry) && entry.size != 0)
        reader.byOffset.push_back(&entry);
    llvm::sort(reader.byOffset, [](const ZipEntry *a, const ZipEntry *b) {
      return a->dataOffset < b->dataOffset;
    });
  }
  uint64_t offset = contents.data() - reader.bytes;
  auto entry =
      llvm::partition_point(reader.byOffset, [&](const ZipEntry *other) {
        return other->dataOffset < offset;
      });
  if (entry == reader.byOffset.end() || (*entry)->dataOffset != offset ||
      (*entry)->size != contents.size())
    return std::nullopt;
  // Some writers leave the field empty.
  uint32_t crc = (*entry)->crc32;
  return Place{reader.file, offset,
               crc == 0 ? std::nullopt : std::optional<uint32_t>(crc)};
}

const ZipEntry *ZipReader::find(llvm::StringRef name) const {
  auto it = indices.find(name);
  return it == indices.end() ? nullptr : &records[it->second];
}

/// More than this is not inflated if it is more than so many times what it was
/// deflated to. What torch writes is 30 to 1 at the most.
constexpr uint64_t maxInflated = 64 << 20, maxRatio = 200;

/// What a file is that is no zip archive; empty if it is of no known kind.
static llvm::StringRef findFormat(llvm::StringRef bytes) {
  auto at = [&](size_t i) -> unsigned char {
    return i < bytes.size() ? bytes[i] : 0;
  };
  // torch.save's number, before it took to zip archives.
  if (bytes.starts_with("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20"))
    return "a file of torch.save, in the format of torch 1.5 and before";
  if (at(0) == 0x80 && at(1) >= 2 && at(1) <= 5)
    return "a Python pickle";
  // A version, and then the first of the fields that writers begin with.
  if (at(0) == 8 && at(1) > 0 && at(1) < 32 &&
      llvm::is_contained({0x12, 0x1a, 0x22, 0x2a, 0x3a, 0x42}, at(2)))
    return "an ONNX model";
  // The length of a JSON text, and that.
  if (at(8) == '{' &&
      llvm::all_of(llvm::seq(4, 8), [&](size_t i) { return at(i) == 0; }))
    return "a safetensors file";
  if (bytes.starts_with("\x89HDF"))
    return "an HDF5 file";
  if (bytes.starts_with("\x1f\x8b"))
    return "a gzip file";
  if (bytes.substr(257).starts_with("ustar"))
    return "a tar archive";
  if (bytes.starts_with("ML\xefR"))
    return "MLIR bytecode (call it .mlirbc)";
  return "";
}

llvm::Error ZipReader::parse() {
  constexpr uint64_t endSize = 22, maxComment = 0xffff;
  // The end record stands last, before a comment of any length.
  bool found = false;
  uint64_t lowest =
      fileSize > endSize + maxComment ? fileSize - endSize - maxComment : 0;
  uint64_t end = fileSize < endSize ? 0 : fileSize - endSize + 1;
  while (!found && end > lowest) {
    --end;
    found = get<uint32_t>(end) == 0x06054b50 &&
            end + endSize + get<uint16_t>(end + 20) <= fileSize;
  }
  if (!found)
    if (llvm::StringRef format = findFormat({bytes, fileSize}); !format.empty())
      return makeError("this is " + format + ", not a TorchScript file; " +
                       kHowToMake);
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
  // Few bytes that are the contents of many records.
  uint64_t numBytes = 0, numInflated = 0;
  for (const ZipEntry &entry : records) {
    numBytes = llvm::SaturatingAdd(numBytes, entry.compressedSize);
    if (!isMapped(entry))
      numInflated = llvm::SaturatingAdd(numInflated, entry.size);
  }
  if (numBytes > fileSize)
    return makeError("the archive has records that overlap");
  if (numInflated > maxInflated && numInflated / maxRatio > fileSize)
    return makeError("the archive would inflate to " +
                     llvm::Twine(numInflated) + " bytes, which no model does");
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
    if (entry.size > maxInflated &&
        entry.size / maxRatio > entry.compressedSize)
      return makeError("the record '" + entry.name + "' inflates from " +
                       llvm::Twine(entry.compressedSize) + " to " +
                       llvm::Twine(entry.size) +
                       " bytes, which no model does; if it is right, unpack "
                       "the archive and pack it without compression");
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
  if (computeCrc(result) != entry.crc32)
    return makeError("the record '" + entry.name +
                     "' does not have its checksum");
  return result;
}

bool ZipReader::hasItsChecksum(const ZipEntry &entry) const {
  return entry.crc32 == 0 ||
         computeCrc({bytes + entry.dataOffset, entry.size}) == entry.crc32;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

uint64_t OutputFile::appendFrom(int from, uint64_t offset, uint64_t size) {
  flush();
  uint64_t copied = 0;
  while (copied != size && !has_error()) {
    auto position = static_cast<off_t>(offset + copied);
    ssize_t count = ::copy_file_range(from, &position, get_fd(), nullptr,
                                      size - copied, /*flags=*/0);
    if (count < 0 && errno == EINTR)
      continue;
    // On two file systems, or into a pipe: the caller writes it.
    if (count <= 0)
      break;
    copied += count;
    inc_pos(count);
  }
  return copied;
}

void OutputFile::startSync() {
  flush();
  ::sync_file_range(get_fd(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

void OutputFile::cutOff(uint64_t offset) {
  seek(offset);
  syncedSize = std::min(syncedSize, offset);
  if (::ftruncate(get_fd(), static_cast<off_t>(offset)) != 0)
    error_detected(std::error_code(errno, std::generic_category()));
}

void OutputFile::sync() {
  flush();
  if (error())
    return;
  if (::fsync(get_fd()) != 0)
    error_detected(std::error_code(errno, std::generic_category()));
  else
    syncedSize = tell();
}

std::error_code OutputFile::finish() {
  if (syncedSize != tell())
    sync();
  std::error_code result = error();
  clear_error();
  return result;
}

std::optional<DeflatedText> deflateText(llvm::StringRef text) {
  DeflatedText result{"", text.size(), computeCrc(text)};
  z_stream stream = {};
  // Code is much alike: a higher level takes long and makes it little shorter.
  if (text.size() > UINT32_MAX / 2 ||
      deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, -MAX_WBITS,
                   /*memLevel=*/9, Z_DEFAULT_STRATEGY) != Z_OK)
    return std::nullopt;
  llvm::scope_exit finish([&] { deflateEnd(&stream); });
  result.bytes.resize(deflateBound(&stream, text.size()));
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(text.data()));
  stream.avail_in = text.size();
  stream.next_out = reinterpret_cast<Bytef *>(result.bytes.data());
  stream.avail_out = result.bytes.size();
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
    return std::nullopt;
  result.bytes.resize(stream.total_out);
  if (result.bytes.size() >= text.size())
    return std::nullopt;
  return result;
}

namespace {
/// Puts little-endian numbers together.
class Fields {
public:
  explicit Fields(std::string &bytes)
      : stream(bytes), writer(stream, llvm::endianness::little) {}

  template <typename... Ts>
  void add16(Ts... values) {
    (writer.write<uint16_t>(values), ...);
  }
  template <typename... Ts>
  void add32(Ts... values) {
    (writer.write<uint32_t>(values), ...);
  }
  template <typename... Ts>
  void add64(Ts... values) {
    (writer.write<uint64_t>(values), ...);
  }

private:
  llvm::raw_string_ostream stream;
  llvm::support::endian::Writer writer;
};
} // namespace

static constexpr uint16_t stored = 0, deflated = 8;
/// What a field holds whose value stands in the zip64 field.
static constexpr uint32_t full32 = 0xffffffff;
static uint32_t limit32(uint64_t value) {
  return value >= full32 ? full32 : static_cast<uint32_t>(value);
}
static uint16_t limit16(uint64_t value) {
  return value >= 0xffff ? 0xffff : static_cast<uint16_t>(value);
}

void ZipWriter::writeHeader(llvm::StringRef name, uint16_t method,
                            uint64_t compressedSize, uint64_t size,
                            uint32_t crc32) {
  std::string path = folder + name.str();
  uint64_t offset = os.tell() - start;
  // Names are in UTF-8, and the time is the first that a zip can tell.
  constexpr uint16_t flags = 0x0800, time = 0, date = 0x0021;
  bool isBig = compressedSize >= full32 || size >= full32;
  auto getVersion = [](bool needsZip64) -> uint16_t {
    return needsZip64 ? 45 : 20;
  };

  std::string header = "PK\3\4";
  {
    Fields fields(header);
    constexpr uint64_t headerSize = 30, bigSize = 20, paddingHeader = 4;
    uint64_t extraSize = isBig ? bigSize : 0, padding = 0;
    if (method == stored) {
      extraSize += paddingHeader;
      uint64_t data = offset + headerSize + path.size() + extraSize;
      padding = (alignment - data % alignment) % alignment;
      extraSize += padding;
    }
    fields.add16(getVersion(isBig), flags, method, time, date);
    fields.add32(crc32, isBig ? full32 : static_cast<uint32_t>(compressedSize),
                 isBig ? full32 : static_cast<uint32_t>(size));
    fields.add16(static_cast<uint16_t>(path.size()),
                 static_cast<uint16_t>(extraSize));
    header += path;
    if (isBig) {
      fields.add16(uint16_t(1), uint16_t(16));
      fields.add64(size, compressedSize);
    }
    if (method == stored) {
      // The field that torch's own writer pads with.
      header += "FB";
      fields.add16(static_cast<uint16_t>(padding));
      header.append(padding, 'Z');
    }
  }
  os << header;

  directory += "PK\1\2";
  Fields fields(directory);
  std::string extra;
  {
    Fields big(extra);
    for (uint64_t value : {size, compressedSize, offset})
      if (value >= full32)
        big.add64(value);
  }
  fields.add16(getVersion(!extra.empty()), getVersion(!extra.empty()), flags,
               method, time, date);
  fields.add32(crc32, limit32(compressedSize), limit32(size));
  fields.add16(static_cast<uint16_t>(path.size()),
               static_cast<uint16_t>(extra.empty() ? 0 : extra.size() + 4),
               /*comment=*/uint16_t(0), /*disk=*/uint16_t(0),
               /*attributes=*/uint16_t(0));
  fields.add32(/*attributes=*/uint32_t(0), limit32(offset));
  directory += path;
  if (!extra.empty()) {
    fields.add16(uint16_t(1), static_cast<uint16_t>(extra.size()));
    directory += extra;
  }
  ++numEntries;
  std::array<uint64_t, 3> parts = {fingerprint, llvm::xxh3_64bits(path), crc32};
  fingerprint = llvm::xxh3_64bits(llvm::ArrayRef(
      reinterpret_cast<const uint8_t *>(parts.data()), sizeof(parts)));
}

void ZipWriter::add(llvm::StringRef name, llvm::StringRef contents) {
  std::optional<ZipReader::Place> place = ZipReader::findPlace(contents);
  uint32_t crc = place && place->crc32 ? *place->crc32 : computeCrc(contents);
  writeHeader(name, stored, contents.size(), contents.size(), crc);
  // A copy by the system takes two calls more than a short write.
  constexpr size_t minToCopy = 1 << 16;
  if (file && place && contents.size() >= minToCopy)
    contents = contents.drop_front(
        file->appendFrom(place->file, place->offset, contents.size()));
  os << contents;
}

void ZipWriter::addDeflated(llvm::StringRef name, const DeflatedText &text) {
  writeHeader(name, deflated, text.bytes.size(), text.size, text.crc32);
  os << text.bytes;
}

void ZipWriter::goBack(const Mark &mark) {
  file->cutOff(mark.offset);
  directory.resize(mark.directorySize);
  numEntries = mark.numEntries;
  fingerprint = mark.fingerprint;
}

void ZipWriter::finish() {
  uint64_t offset = os.tell() - start, size = directory.size();
  os << directory;
  std::string end;
  Fields fields(end);
  if (numEntries >= 0xffff || offset >= full32 || size >= full32) {
    uint64_t bigEnd = offset + size;
    end += "PK\6\6";
    fields.add64(uint64_t(44));
    fields.add16(uint16_t(45), uint16_t(45));
    fields.add32(uint32_t(0), uint32_t(0));
    fields.add64(numEntries, numEntries, size, offset);
    end += "PK\6\7";
    fields.add32(uint32_t(0));
    fields.add64(bigEnd);
    fields.add32(uint32_t(1));
  }
  end += "PK\5\6";
  fields.add16(uint16_t(0), uint16_t(0), limit16(numEntries),
               limit16(numEntries));
  fields.add32(limit32(size), limit32(offset));
  fields.add16(uint16_t(0));
  os << end;
}

//===----------------------------------------------------------------------===//
// Writing ahead
//===----------------------------------------------------------------------===//

/// Starts a thread; where there is no room for one, does the work itself.
static std::thread startThread(std::function<void()> work) {
  try {
    return std::thread(work);
  } catch (const std::system_error &) {
    work();
    return {};
  }
}

/// Whether `write` comes to its end. If not, the file has an error: a file that
/// somebody cuts off is a signal for who reads its map, and in a thread nobody
/// catches what is thrown.
static bool writeSafely(OutputFile &file, llvm::function_ref<void()> write) {
  bool isDone = false;
  llvm::CrashRecoveryContext recovery;
  bool hasEnded = recovery.RunSafely([&] {
    try {
      write();
      isDone = true;
    } catch (const std::bad_alloc &) {
      file.fail(std::make_error_code(std::errc::not_enough_memory));
    }
  });
  if (!hasEnded)
    file.fail(std::make_error_code(std::errc::io_error));
  return isDone;
}

void WeightWriter::run() {
  // A disk that begins early is done early.
  constexpr uint64_t syncInterval = 8 << 20;
  uint64_t lastSync = file.tell();
  while (true) {
    size_t index;
    llvm::StringRef contents;
    {
      std::scoped_lock<std::mutex> lock(mutex);
      index = marks.size();
      isRunning = index < records.size();
      if (!isRunning)
        return;
      contents = records[index];
      marks.push_back(zip.getMark());
    }
    if (!writeSafely(
            file, [&] { zip.add("data/" + std::to_string(index), contents); }))
      return;
    if (file.tell() - lastSync >= syncInterval) {
      file.startSync();
      lastSync = file.tell();
    }
  }
}

void WeightWriter::start() {
  isRunning = true;
  thread = startThread([this] { run(); });
}

void WeightWriter::wait() {
  if (thread.joinable())
    thread.join();
}

void WeightWriter::stop() {
  std::scoped_lock<std::mutex> lock(mutex);
  records.clear();
}

void WeightWriter::expect(llvm::ArrayRef<llvm::StringRef> contents,
                          std::shared_ptr<const void> keeper) {
  records = contents;
  owner = std::move(keeper);
  start();
}

void WeightWriter::write(llvm::ArrayRef<llvm::StringRef> contents) {
  // The same bytes in the same place are the same record.
  auto isSame = [](llvm::StringRef a, llvm::StringRef b) {
    return a.data() == b.data() && a.size() == b.size();
  };
  size_t numRight = 0;
  {
    std::scoped_lock<std::mutex> lock(mutex);
    while (numRight != std::min(records.size(), contents.size()) &&
           isSame(records[numRight], contents[numRight]))
      ++numRight;
    bool isAllRight = marks.size() <= numRight;
    records = isAllRight ? contents : contents.take_front(numRight);
    if (isAllRight && isRunning)
      return;
  }
  wait();
  if (marks.size() > numRight) {
    zip.goBack(marks[numRight]);
    marks.resize(numRight);
  }
  records = contents;
  start();
}

void ScratchArchive::startRest(std::function<void()> write) {
  rest = startThread([this, write = std::move(write)] {
    writeSafely(file, write);
    if (!isCancelled)
      file.sync();
  });
}

void ScratchArchive::wait() {
  if (rest.joinable())
    rest.join();
}

void ScratchArchive::cancel() {
  isCancelled = true;
  // The rest waits for the weights.
  weights.stop();
  wait();
  weights.wait();
}

} // namespace fqat
