//===- ProgramTest.cpp - How a program ends -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Program.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"

#include <latch>
#include <thread>
#include <vector>

using namespace fqat;
namespace fs = llvm::sys::fs;

/// Threads run out of memory together while files are unfinished.
[[noreturn]] static void endInManyThreads(llvm::StringRef folder) {
  llvm::SmallString<128> pattern(folder);
  llvm::sys::path::append(pattern, "%%%%%%.tmp");
  std::vector<fs::TempFile> files;
  for (int i = 0; i != 100; ++i)
    files.push_back(llvm::cantFail(fs::TempFile::create(pattern)));
  constexpr int count = 4;
  std::latch together(count);
  std::vector<std::thread> threads;
  for (int i = 0; i != count; ++i)
    threads.emplace_back([&] {
      together.arrive_and_wait();
      endForLackOfMemory();
    });
  for (std::thread &thread : threads)
    thread.join();
  std::abort();
}

TEST(Program, ThreadsThatEndAtOnceLeaveNoFile) {
  llvm::SmallString<128> folder;
  ASSERT_FALSE(fs::createUniqueDirectory("fqat-program", folder));
  for (int i = 0; i != 10; ++i)
    EXPECT_EXIT(endInManyThreads(folder), testing::ExitedWithCode(2),
                "^error: there is not enough memory\n$");
  std::error_code error;
  EXPECT_EQ(fs::directory_iterator(folder, error), fs::directory_iterator());
  EXPECT_FALSE(fs::remove_directories(folder));
}
