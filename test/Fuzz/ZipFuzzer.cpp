//===- ZipFuzzer.cpp - The archive reader -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Run.h"

#include "fqat/TorchScript/Zip.h"

#include <cstdlib>

using namespace fqat;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static InputFile file(".zip");
  file.set({reinterpret_cast<const char *>(bytes), size});
  auto archive = ZipReader::open(file.getPath());
  if (!archive) {
    llvm::consumeError(archive.takeError());
    return 0;
  }
  for (const ZipEntry &entry : (*archive)->entries()) {
    // Every byte of what is said to be mapped is there.
    uint8_t sum = 0;
    if ((*archive)->isMapped(entry))
      for (char c : (*archive)->data(entry))
        sum += c;
    if (auto contents = (*archive)->read(entry)) {
      for (char c : *contents)
        sum -= c;
      if ((*archive)->isMapped(entry) && sum != 0)
        std::abort();
    } else {
      llvm::consumeError(contents.takeError());
    }
  }
  return 0;
}
