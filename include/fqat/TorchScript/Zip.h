//===- Zip.h - Reading zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_ZIP_H
#define FQAT_TORCHSCRIPT_ZIP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fqat {

/// One record of an archive, as its central directory has it. Offsets and sizes
/// are in bytes.
struct ZipEntry {
  std::string name;
  /// Where the record's data begins in the file.
  uint64_t dataOffset;
  /// The size in the file, and the size of the contents.
  uint64_t compressedSize, size;
  uint32_t crc32;
  /// 0 stored, 8 deflated.
  uint16_t method;
};

/// A zip archive in a mapped file. The map is private and writable: writes to
/// it are copied and never reach the file.
///
/// Read are stored and deflated records, zip64, comments, records in any order,
/// and archives with other bytes in front. Every offset is checked against the
/// file's size before it is used.
class ZipReader {
public:
  /// Fails where the file cannot be mapped or is no readable zip archive:
  /// truncated, encrypted, with overlapping names, or with names that lead out
  /// of a folder.
  static llvm::Expected<std::shared_ptr<ZipReader>> open(llvm::StringRef path);
  ~ZipReader();
  ZipReader(const ZipReader &) = delete;
  ZipReader &operator=(const ZipReader &) = delete;

  /// The records in the order of the directory.
  llvm::ArrayRef<ZipEntry> entries() const { return records; }
  /// The record of that name, or null.
  const ZipEntry *find(llvm::StringRef name) const;

  /// Whether the contents lie in the map as they are.
  bool isMapped(const ZipEntry &entry) const { return entry.method == 0; }
  /// The contents of a mapped record. They live as long as the reader.
  llvm::MutableArrayRef<char> data(const ZipEntry &entry) const {
    return {bytes + entry.dataOffset, static_cast<size_t>(entry.size)};
  }
  /// The contents of any record, inflated where needed. Fails where they do not
  /// have the size and the checksum that the directory gives.
  llvm::Expected<std::string> read(const ZipEntry &entry) const;

private:
  ZipReader() = default;
  llvm::Error parse();
  llvm::Error parseEntry(uint64_t &position, uint64_t end, uint64_t shift);
  llvm::Error locate(ZipEntry &entry, uint64_t headerOffset);

  template <typename T>
  T get(uint64_t offset) const;

  char *bytes = nullptr;
  uint64_t fileSize = 0;
  std::vector<ZipEntry> records;
  llvm::StringMap<size_t> indices;
};

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_ZIP_H
