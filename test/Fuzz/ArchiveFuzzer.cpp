//===- ArchiveFuzzer.cpp - A TorchScript file, from import to export -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The zip around the records is the business of another target: here one record
// changes at a time, and the checksums are right.
//
//===----------------------------------------------------------------------===//

#include "Run.h"

#include "fqat/TorchScript/Export.h"
#include "fqat/TorchScript/Zip.h"

#include "llvm/Support/raw_ostream.h"

#include <cstring>
#include <random>

using namespace fqat;

extern "C" size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t maxSize);

static InputFile &getFile() {
  static InputFile file(".pt");
  return file;
}

static std::string repack(const ZipReader &archive, std::minstd_rand &random) {
  std::vector<const ZipEntry *> candidates;
  for (const ZipEntry &entry : archive.entries())
    if (!llvm::StringRef(entry.name).contains("/data/"))
      candidates.push_back(&entry);
  if (candidates.empty())
    return "";
  const ZipEntry *chosen = candidates[random() % candidates.size()];
  std::string made;
  llvm::raw_string_ostream os(made);
  ZipWriter zip(os, "");
  for (const ZipEntry &entry : archive.entries()) {
    auto contents = archive.read(entry);
    if (!contents) {
      llvm::consumeError(contents.takeError());
      return "";
    }
    if (&entry == chosen) {
      size_t size = contents->size();
      contents->resize(size + 64);
      contents->resize(
          LLVMFuzzerMutate(reinterpret_cast<uint8_t *>(contents->data()), size,
                           contents->size()));
    }
    zip.add(entry.name, *contents);
  }
  zip.finish();
  return made;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size,
                                          size_t maxSize, unsigned seed) {
  std::minstd_rand random(seed);
  getFile().set({reinterpret_cast<const char *>(bytes), size});
  auto archive = ZipReader::open(getFile().getPath());
  if (!archive) {
    llvm::consumeError(archive.takeError());
    return LLVMFuzzerMutate(bytes, size, maxSize);
  }
  std::string made = repack(**archive, random);
  if (made.empty() || made.size() > maxSize)
    return LLVMFuzzerMutate(bytes, size, maxSize);
  std::memcpy(bytes, made.data(), made.size());
  return made.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  getFile().set({reinterpret_cast<const char *>(bytes), size});
  runProgram(getFile());
  return 0;
}
