//===- Zip.h - Reading and writing zip archives -*- C++ -*-===//
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
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace fqat {

/// Where a TorchScript file comes from, for who has another one.
inline constexpr llvm::StringLiteral kHowToMake =
    "build the model in Python, and save torch.jit.trace(model, inputs) or "
    "torch.jit.script(model)";

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
  /// have the size and the checksum that the directory gives, or would inflate
  /// to very much more than they are.
  llvm::Expected<std::string> read(const ZipEntry &entry) const;
  /// Whether a mapped record has the checksum that the directory gives; some
  /// writers give none.
  bool hasItsChecksum(const ZipEntry &entry) const;

  /// A mapped record, where it lies in its file.
  struct Place {
    int file;
    uint64_t offset;
    /// Nothing if the archive was written without checksums.
    std::optional<uint32_t> crc32;
  };
  /// The record of which these are the contents, in any archive that is open;
  /// nothing if they are no whole record.
  static std::optional<Place> findPlace(llvm::StringRef contents);

private:
  ZipReader() = default;
  llvm::Error parse();
  llvm::Error parseEntry(uint64_t &position, uint64_t end, uint64_t shift);
  llvm::Error locate(ZipEntry &entry, uint64_t headerOffset);

  template <typename T>
  T get(uint64_t offset) const;

  char *bytes = nullptr;
  uint64_t fileSize = 0;
  int file = -1;
  std::vector<ZipEntry> records;
  llvm::StringMap<size_t> indices;
  /// The mapped records by their offsets, once somebody asks for a place.
  std::vector<const ZipEntry *> byOffset;
};

/// A file that is written, and to which parts of other files can be appended
/// without a pass through this program's memory.
class OutputFile : public llvm::raw_fd_ostream {
public:
  using raw_fd_ostream::raw_fd_ostream;

  /// Appends `size` bytes of `file` from `offset` on. Returns how many the
  /// system has copied: fewer, or none, where it cannot.
  uint64_t appendFrom(int file, uint64_t offset, uint64_t size);
  /// Has the system begin to bring to the disk what was written so far, and
  /// does not wait for it.
  void startSync();
  /// Forgets all that was written from `offset` on.
  void cutOff(uint64_t offset);
  /// Has the file end with an error.
  void fail(std::error_code error) { error_detected(error); }
  /// Writes what is left and brings all to the disk. Errors stay with the file.
  void sync();
  /// The same, if there are other bytes than `sync` has seen. Returns the first
  /// error that the file had, and clears it.
  std::error_code finish();

private:
  /// How many bytes `sync` has brought to the disk.
  uint64_t syncedSize = 0;
};

/// A text that was deflated to be written.
struct DeflatedText {
  std::string bytes;
  /// Of the text itself.
  uint64_t size;
  uint32_t crc32;
};

/// Deflates a text; nothing if that does not make it shorter.
std::optional<DeflatedText> deflateText(llvm::StringRef text);

/// Writes a zip archive in which every stored record begins at a multiple of 64
/// bytes, so that it can be used where it is mapped. Zip64 where it must be.
/// The bytes depend on the records alone. Errors are the stream's.
class ZipWriter {
public:
  static constexpr uint64_t alignment = 64;

  /// `folder` ends in a slash and stands before each name. If `file` is given,
  /// it is the stream, and records of mapped archives are copied by the system.
  ZipWriter(llvm::raw_ostream &os, llvm::StringRef folder,
            OutputFile *file = nullptr)
      : os(os), file(file), start(os.tell()), folder(folder) {}

  /// Writes a stored record.
  void add(llvm::StringRef name, llvm::StringRef contents);
  /// Writes a deflated record.
  void addDeflated(llvm::StringRef name, const DeflatedText &text);
  /// Writes the directory. Nothing can be added afterwards.
  void finish();

  /// A number for the names and checksums of all records so far.
  uint64_t getFingerprint() const { return fingerprint; }

  /// Where the writer is, so that it can go back to it.
  struct Mark {
    uint64_t offset, directorySize, numEntries, fingerprint;
  };
  Mark getMark() const {
    return {os.tell(), directory.size(), numEntries, fingerprint};
  }
  /// Forgets all records since a mark. Only where the stream is a file.
  void goBack(const Mark &mark);

private:
  void writeHeader(llvm::StringRef name, uint16_t method,
                   uint64_t compressedSize, uint64_t size, uint32_t crc32);

  llvm::raw_ostream &os;
  OutputFile *file;
  uint64_t start;
  std::string folder;
  std::string directory;
  uint64_t numEntries = 0;
  uint64_t fingerprint = 0;
};

/// Writes records `data/0`, `data/1`, ... to a file in a thread of its own,
/// while others are busy with what comes behind them. It may begin before it is
/// known for sure what they are.
class WeightWriter {
public:
  WeightWriter(OutputFile &file, ZipWriter &zip) : file(file), zip(zip) {}
  ~WeightWriter() { cancel(); }
  WeightWriter(const WeightWriter &) = delete;
  WeightWriter &operator=(const WeightWriter &) = delete;

  /// Begins to write what the records will probably be. `owner` keeps them.
  void expect(llvm::ArrayRef<llvm::StringRef> contents,
              std::shared_ptr<const void> owner);
  /// Tells what they are. What was written and is right stays.
  void write(llvm::ArrayRef<llvm::StringRef> contents);
  /// Returns when all are written.
  void wait();
  /// Has it end behind the record in work.
  void stop();
  /// Returns when nothing is written any more.
  void cancel() {
    stop();
    wait();
  }

private:
  void start();
  void run();

  OutputFile &file;
  ZipWriter &zip;
  std::shared_ptr<const void> owner;
  std::thread thread;
  /// Guards what follows.
  std::mutex mutex;
  std::vector<llvm::StringRef> records;
  /// Where each record begins that is written, the one in work included.
  std::vector<ZipWriter::Mark> marks;
  bool isRunning = false;
};

/// A zip archive in a file that nobody sees before it is whole. Its threads are
/// its own: where a crash is recovered from, nobody else is left to end them.
class ScratchArchive {
public:
  ScratchArchive(OutputFile &file, llvm::StringRef folder)
      : file(file), zip(file, folder, &file), weights(file, zip) {}
  ~ScratchArchive() { cancel(); }
  ScratchArchive(const ScratchArchive &) = delete;
  ScratchArchive &operator=(const ScratchArchive &) = delete;

  /// Calls `write`, which must wait for the weights before it adds a record, in
  /// a thread, and brings the file to the disk.
  void startRest(std::function<void()> write);
  /// Returns when that is done.
  void wait();
  /// Returns when nothing is written any more, be it whole or not.
  void cancel();

  OutputFile &file;
  ZipWriter zip;
  WeightWriter weights;

private:
  std::thread rest;
  std::atomic<bool> isCancelled = false;
};

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_ZIP_H
