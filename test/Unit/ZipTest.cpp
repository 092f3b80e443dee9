//===- ZipTest.cpp - Tests of the zip reader and writer -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Zip.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

#include <cstdlib>
#include <zlib.h>

using namespace fqat;

namespace {

/// Builds archives byte by byte, right and wrong ones.
class ZipBuilder {
public:
  std::string bytes;
  bool zip64 = false;
  uint16_t flags = 0;

  void add(const std::string &name, const std::string &contents,
           bool deflated = false) {
    std::string stored = deflated ? deflateRaw(contents) : contents;
    uint32_t crc = crc32_z(0, reinterpret_cast<const Bytef *>(contents.data()),
                           contents.size());
    uint64_t header = bytes.size();
    bytes += "PK\3\4";
    put16({20, flags, uint16_t(deflated ? 8 : 0), 0, 0});
    put32({crc, uint32_t(stored.size()), uint32_t(contents.size())});
    put16({uint16_t(name.size()), 3});
    bytes += name + "pad" + stored;

    std::swap(bytes, directory);
    bytes += "PK\1\2";
    put16({20, 20, flags, uint16_t(deflated ? 8 : 0), 0, 0});
    if (zip64) {
      put32({crc, ~0u, ~0u});
      put16({uint16_t(name.size()), 28, 0, 0, 0});
      put32({0, ~0u});
      bytes += name;
      put16({1, 24});
      put64({contents.size(), stored.size(), header});
    } else {
      put32({crc, uint32_t(stored.size()), uint32_t(contents.size())});
      put16({uint16_t(name.size()), 0, 0, 0, 0});
      put32({0, uint32_t(header)});
      bytes += name;
    }
    std::swap(bytes, directory);
    ++numEntries;
  }

  std::string finish(const std::string &comment = "") {
    uint64_t offset = bytes.size(), size = directory.size();
    bytes += directory;
    if (zip64) {
      uint64_t end = bytes.size();
      bytes += "PK\6\6";
      put64({44});
      put16({45, 45});
      put32({0, 0});
      put64({numEntries, numEntries, size, offset});
      bytes += "PK\6\7";
      put32({0});
      put64({end});
      put32({1});
    }
    bytes += "PK\5\6";
    uint16_t count = zip64 ? 0xffff : numEntries;
    put16({0, 0, count, count});
    put32({zip64 ? ~0u : uint32_t(size), zip64 ? ~0u : uint32_t(offset)});
    put16({uint16_t(comment.size())});
    bytes += comment;
    return bytes;
  }

private:
  template <typename T>
  void put(std::initializer_list<T> values) {
    for (T value : values)
      for (size_t i = 0; i != sizeof(T); ++i)
        bytes += static_cast<char>(value >> (8 * i));
  }
  void put16(std::initializer_list<uint16_t> values) { put(values); }
  void put32(std::initializer_list<uint32_t> values) { put(values); }
  void put64(std::initializer_list<uint64_t> values) { put(values); }

  static std::string deflateRaw(const std::string &contents) {
    z_stream stream = {};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
    std::string result(deflateBound(&stream, contents.size()), '\0');
    stream.next_in =
        reinterpret_cast<Bytef *>(const_cast<char *>(contents.data()));
    stream.avail_in = contents.size();
    stream.next_out = reinterpret_cast<Bytef *>(result.data());
    stream.avail_out = result.size();
    deflate(&stream, Z_FINISH);
    result.resize(stream.total_out);
    deflateEnd(&stream);
    return result;
  }

  std::string directory;
  uint64_t numEntries = 0;
};

class ZipTest : public testing::Test {
protected:
  ~ZipTest() override {
    if (!path.empty())
      llvm::sys::fs::remove(path);
  }

  std::shared_ptr<ZipReader> open(const std::string &bytes) {
    auto reader = ZipReader::open(write(bytes));
    if (!reader) {
      ADD_FAILURE() << llvm::toString(reader.takeError());
      return nullptr;
    }
    return *reader;
  }
  std::string getError(const std::string &bytes) {
    auto reader = ZipReader::open(write(bytes));
    return reader ? "" : llvm::toString(reader.takeError());
  }
  std::string read(ZipReader &reader, llvm::StringRef name) {
    const ZipEntry *entry = reader.find(name);
    if (!entry)
      return "no entry";
    auto contents = reader.read(*entry);
    return contents ? *contents : llvm::toString(contents.takeError());
  }

  llvm::StringRef write(const std::string &bytes) {
    if (!path.empty())
      llvm::sys::fs::remove(path);
    int fd;
    EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("fqat", "zip", fd, path));
    llvm::raw_fd_ostream(fd, /*shouldClose=*/true) << bytes;
    return path;
  }

private:
  llvm::SmallString<64> path;
};

TEST_F(ZipTest, ReadsStoredAndDeflated) {
  ZipBuilder zip;
  zip.add("a/stored", "12345");
  zip.add("a/deflated", std::string(100000, 'x'), /*deflated=*/true);
  auto reader = open(zip.finish("a comment"));
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->entries().size(), 2u);
  EXPECT_EQ(read(*reader, "a/stored"), "12345");
  EXPECT_EQ(read(*reader, "a/deflated"), std::string(100000, 'x'));
  const ZipEntry &stored = *reader->find("a/stored");
  EXPECT_TRUE(reader->isMapped(stored));
  EXPECT_EQ(std::string(reader->data(stored).data(), 5), "12345");
  EXPECT_FALSE(reader->isMapped(*reader->find("a/deflated")));
  EXPECT_EQ(reader->find("b"), nullptr);
}

TEST_F(ZipTest, WritesToTheMapDoNotReachTheFile) {
  ZipBuilder zip;
  zip.add("a", "12345");
  std::string bytes = zip.finish();
  auto reader = open(bytes);
  ASSERT_TRUE(reader);
  reader->data(*reader->find("a"))[0] = '9';
  EXPECT_NE(read(*reader, "a"), "12345");
  EXPECT_EQ(read(*open(bytes), "a"), "12345");
}

TEST_F(ZipTest, ReadsZip64) {
  ZipBuilder zip;
  zip.zip64 = true;
  zip.add("a", "12345");
  zip.add("b", "678", /*deflated=*/true);
  auto reader = open(zip.finish());
  ASSERT_TRUE(reader);
  EXPECT_EQ(read(*reader, "a"), "12345");
  EXPECT_EQ(read(*reader, "b"), "678");
}

TEST_F(ZipTest, ReadsBehindOtherBytes) {
  for (bool zip64 : {false, true}) {
    ZipBuilder zip;
    zip.zip64 = zip64;
    zip.add("a", "12345");
    auto reader = open("#!/bin/sh\n" + zip.finish());
    ASSERT_TRUE(reader);
    EXPECT_EQ(read(*reader, "a"), "12345");
  }
}

TEST_F(ZipTest, RefusesWhatIsNoArchive) {
  EXPECT_EQ(getError(""), "the file is empty");
  EXPECT_NE(getError("short").find("no zip archive"), std::string::npos);
  EXPECT_NE(getError(std::string(70000, 'x')).find("no zip archive"),
            std::string::npos);
  auto folder = ZipReader::open("/");
  EXPECT_EQ(llvm::toString(folder.takeError()), "this is a folder, not a file");
  auto missing = ZipReader::open("/nonexistent/file");
  EXPECT_NE(llvm::toString(missing.takeError()).find("cannot open"),
            std::string::npos);
}

TEST_F(ZipTest, RefusesEveryTruncation) {
  ZipBuilder zip;
  zip.add("a", "12345");
  zip.add("b", "678", /*deflated=*/true);
  std::string bytes = zip.finish();
  for (size_t size = 0; size != bytes.size(); ++size)
    EXPECT_NE(getError(bytes.substr(0, size)), "") << size;
}

TEST_F(ZipTest, SurvivesEveryFlippedByte) {
  ZipBuilder zip;
  zip.zip64 = true;
  zip.add("a", "12345");
  zip.add("b", std::string(50, 'x'), /*deflated=*/true);
  std::string bytes = zip.finish();
  for (size_t i = 0; i != bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= 0xff;
    auto reader = ZipReader::open(write(damaged));
    if (!reader) {
      llvm::consumeError(reader.takeError());
      continue;
    }
    for (const ZipEntry &entry : (*reader)->entries())
      llvm::consumeError((*reader)->read(entry).takeError());
  }
}

TEST_F(ZipTest, ChecksTheChecksum) {
  ZipBuilder zip;
  zip.add("a", "12345");
  std::string bytes = zip.finish();
  bytes[bytes.find("12345")] = '9';
  EXPECT_EQ(read(*open(bytes), "a"),
            "the record 'a' does not have its checksum");
}

TEST_F(ZipTest, RefusesForbiddenNames) {
  for (const char *name : {"../a", "a/../b", "/a"}) {
    ZipBuilder zip;
    zip.add(name, "1");
    EXPECT_EQ(getError(zip.finish()),
              "the archive has a record of a forbidden name")
        << name;
  }
}

TEST_F(ZipTest, RefusesTwoRecordsOfOneName) {
  ZipBuilder zip;
  zip.add("a", "1");
  zip.add("a", "2");
  EXPECT_EQ(getError(zip.finish()), "the archive has two records named 'a'");
}

TEST_F(ZipTest, RefusesEncryptedRecords) {
  ZipBuilder zip;
  zip.flags = 1;
  zip.add("a", "1");
  EXPECT_EQ(getError(zip.finish()), "the record 'a' is encrypted");
}

TEST_F(ZipTest, RefusesABomb) {
  ZipBuilder zip;
  zip.add("a", "1", /*deflated=*/true);
  std::string bytes = zip.finish();
  // The size in the directory, 24 bytes into the entry.
  size_t size = bytes.find("PK\1\2") + 24;
  bytes.replace(size, 4, "\xff\xff\xff\x7f");
  EXPECT_EQ(getError(bytes), "the archive would inflate to 2147483647 bytes, "
                             "which no model does");
  // Less than that is not refused before it is inflated.
  bytes.replace(size, 4, llvm::StringRef("\xff\xff\xff\0", 4));
  EXPECT_NE(read(*open(bytes), "a").find("claims to hold 16777215 bytes"),
            std::string::npos);
}

TEST_F(ZipTest, RefusesRecordsThatShareTheirBytes) {
  ZipBuilder zip;
  std::string contents(1000, 'x');
  zip.add("a", contents);
  zip.add("b", "");
  std::string bytes = zip.finish();
  size_t a = bytes.find("PK\1\2"), b = bytes.find("PK\1\2", a + 1);
  // Checksum and sizes, and where the record begins.
  for (auto [offset, size] : {std::pair(16, 12), std::pair(42, 4)})
    bytes.replace(b + offset, size, bytes, a + offset, size);
  EXPECT_EQ(getError(bytes), "the archive has records that overlap");
}

/// Writes an archive to a file of its own.
class ZipWriterTest : public ZipTest {
protected:
  void writeFile(llvm::function_ref<void(ZipWriter &)> addRecords) {
    int fd;
    ASSERT_FALSE(
        llvm::sys::fs::createTemporaryFile("fqat", "zip", fd, written));
    OutputFile file(fd, /*shouldClose=*/true);
    ZipWriter writer(file, "archive/", &file);
    addRecords(writer);
    writer.finish();
    file.flush();
    ASSERT_FALSE(file.has_error());
  }
  std::shared_ptr<ZipReader> openWritten() {
    auto reader = ZipReader::open(written);
    if (!reader) {
      ADD_FAILURE() << llvm::toString(reader.takeError());
      return nullptr;
    }
    return *reader;
  }
  ~ZipWriterTest() override {
    if (!written.empty())
      llvm::sys::fs::remove(written);
  }

  llvm::SmallString<128> written;
};

TEST_F(ZipWriterTest, RecordsComeBack) {
  std::string text(1000, 'x');
  std::optional<DeflatedText> deflated = deflateText(text);
  ASSERT_TRUE(deflated);
  EXPECT_LT(deflated->bytes.size(), 100u);
  writeFile([&](ZipWriter &writer) {
    writer.add("a", "1");
    writer.add("empty", "");
    writer.addDeflated("text", *deflated);
    writer.add("b", "22");
  });
  auto reader = openWritten();
  ASSERT_EQ(reader->entries().size(), 4u);
  EXPECT_EQ(read(*reader, "archive/a"), "1");
  EXPECT_EQ(read(*reader, "archive/empty"), "");
  EXPECT_EQ(read(*reader, "archive/text"), text);
  EXPECT_EQ(read(*reader, "archive/b"), "22");
  for (llvm::StringRef name : {"archive/a", "archive/empty", "archive/b"})
    EXPECT_EQ(reader->find(name)->dataOffset % ZipWriter::alignment, 0u);
}

TEST_F(ZipWriterTest, WhatDeflateDoesNotShortenIsNotDeflated) {
  EXPECT_FALSE(deflateText("abc"));
}

TEST_F(ZipWriterTest, MoreRecordsThanAPlainDirectoryCounts) {
  constexpr unsigned count = 70000;
  writeFile([&](ZipWriter &writer) {
    for (unsigned i = 0; i != count; ++i)
      writer.add(std::to_string(i), "");
  });
  EXPECT_EQ(openWritten()->entries().size(), count);
}

TEST_F(ZipWriterTest, MappedRecordsKeepTheirBytesAndChecksums) {
  // Longer than what is worth a copy by the system, and shorter.
  std::string big(200000, 'b'), small = "small";
  ZipBuilder zip;
  zip.add("big", big);
  zip.add("small", small);
  std::string bytes = zip.finish();
  auto source = open(bytes);
  auto get = [&](llvm::StringRef name) {
    llvm::ArrayRef<char> data = source->data(*source->find(name));
    return llvm::StringRef(data.data(), data.size());
  };
  std::optional<ZipReader::Place> place = ZipReader::findPlace(get("big"));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->crc32, source->find("big")->crc32);
  EXPECT_FALSE(ZipReader::findPlace(get("big").drop_front()));
  EXPECT_FALSE(ZipReader::findPlace(big));
  writeFile([&](ZipWriter &writer) {
    writer.add("big", get("big"));
    writer.add("again", get("big"));
    writer.add("small", get("small"));
  });
  auto reader = openWritten();
  EXPECT_EQ(read(*reader, "archive/big"), big);
  EXPECT_EQ(read(*reader, "archive/again"), big);
  EXPECT_EQ(read(*reader, "archive/small"), small);
}

TEST_F(ZipWriterTest, AChecksumThatIsMissingIsComputed) {
  ZipBuilder zip;
  zip.add("a", "contents");
  std::string bytes = zip.finish();
  // The checksum in the directory, 16 bytes into the entry.
  bytes.replace(bytes.find("PK\1\2") + 16, 4, std::string(4, '\0'));
  auto source = open(bytes);
  llvm::ArrayRef<char> data = source->data(*source->find("a"));
  writeFile([&](ZipWriter &writer) {
    writer.add("a", llvm::StringRef(data.data(), data.size()));
  });
  EXPECT_EQ(read(*openWritten(), "archive/a"), "contents");
}

/// Writes the records `data/0`, ... and one behind them, having expected
/// others, and gives the file's bytes.
static std::string writeWeights(std::vector<llvm::StringRef> expected,
                                std::vector<llvm::StringRef> actual) {
  int fd;
  llvm::SmallString<128> path;
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("fqat", "zip", fd, path));
  {
    OutputFile file(fd, /*shouldClose=*/true);
    ScratchArchive archive(file, "archive/");
    if (!expected.empty())
      archive.weights.expect(expected, nullptr);
    archive.weights.write(actual);
    archive.weights.wait();
    archive.zip.add("last", "1");
    archive.zip.finish();
  }
  auto buffer = llvm::MemoryBuffer::getFile(path);
  llvm::sys::fs::remove(path);
  return (*buffer)->getBuffer().str();
}

TEST(WeightWriterTest, WhatWasExpectedMakesNoDifference) {
  std::vector<std::string> texts;
  for (unsigned i = 0; i != 200; ++i)
    texts.push_back(std::to_string(i) + std::string(i * 100, 'x'));
  std::vector<llvm::StringRef> weights(texts.begin(), texts.end());
  std::string right = writeWeights({}, weights);
  EXPECT_EQ(writeWeights(weights, weights), right);
  auto others = weights;
  std::swap(others[100], others[150]);
  EXPECT_EQ(writeWeights(others, weights), right);
  std::swap(others[0], others[1]);
  EXPECT_EQ(writeWeights(others, weights), right);
  others = weights;
  others.resize(50);
  EXPECT_EQ(writeWeights(others, weights), right);
  others = weights;
  others.push_back("more");
  EXPECT_EQ(writeWeights(others, weights), right);
  // Equal bytes elsewhere are another record, with the same result.
  std::string copy = texts[3];
  others = weights;
  others[3] = copy;
  EXPECT_EQ(writeWeights(others, weights), right);
}

TEST(WeightWriterTest, CanBeCancelled) {
  int fd;
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("fqat", "zip", fd, path));
  {
    OutputFile file(fd, /*shouldClose=*/true);
    ScratchArchive archive(file, "archive/");
    auto owner = std::make_shared<std::string>(1 << 20, 'x');
    std::weak_ptr<std::string> watched = owner;
    std::vector<llvm::StringRef> weights(1000, *owner);
    archive.weights.expect(weights, owner);
    owner.reset();
    EXPECT_FALSE(watched.expired());
    archive.weights.cancel();
  }
  llvm::sys::fs::remove(path);
}

/// A crash that is recovered from leaves nobody else who could.
TEST(ScratchArchiveTest, EndsItsThreads) {
  int fd;
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("fqat", "zip", fd, path));
  size_t numAdded = 0;
  {
    OutputFile file(fd, /*shouldClose=*/true);
    ScratchArchive archive(file, "archive/");
    std::string text(1 << 20, 'x');
    std::vector<llvm::StringRef> weights(1000, text);
    archive.weights.write(weights);
    archive.startRest([&] {
      archive.weights.wait();
      archive.zip.add("last", "1");
      ++numAdded;
    });
  }
  // The weights were not all written, and whoever waited for them is done.
  EXPECT_EQ(numAdded, 1u);
  uint64_t size;
  ASSERT_FALSE(llvm::sys::fs::file_size(path, size));
  EXPECT_LT(size, 1000u << 20);
  llvm::sys::fs::remove(path);
}

TEST_F(ZipWriterTest, EqualRecordsHaveEqualFingerprints) {
  auto getFingerprint = [](llvm::StringRef name, llvm::StringRef contents) {
    std::string bytes;
    llvm::raw_string_ostream os(bytes);
    ZipWriter writer(os, "");
    writer.add(name, contents);
    return writer.getFingerprint();
  };
  EXPECT_EQ(getFingerprint("a", "1"), getFingerprint("a", "1"));
  EXPECT_NE(getFingerprint("a", "1"), getFingerprint("b", "1"));
  EXPECT_NE(getFingerprint("a", "1"), getFingerprint("a", "2"));
}

} // namespace
