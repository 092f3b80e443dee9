//===- PathsTest.cpp - Tests of symbols as paths -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/IR/Paths.h"

#include "gtest/gtest.h"

using namespace fqat;

namespace {

TEST(PathsTest, EscapesWhatSeparatesComponents) {
  EXPECT_EQ(escapeName("a.b$c"), "a$2Eb$24c");
  EXPECT_EQ(unescapeName("a$2Eb$24c"), "a.b$c");
  EXPECT_EQ(unescapeName(escapeName("$2E")), "$2E");
  EXPECT_EQ(escapeName(""), "");
}

TEST(PathsTest, JoinsAndSplits) {
  EXPECT_EQ(joinPath("$", "model"), "model");
  EXPECT_EQ(joinPath("model.0", "a.b"), "model.0.a$2Eb");
  EXPECT_EQ(splitPath("model.0.conv").first, "model.0");
  EXPECT_EQ(splitPath("model.0.conv").second, "conv");
  EXPECT_EQ(splitPath("model").first, "$");
  EXPECT_EQ(splitPath("model").second, "model");
  EXPECT_TRUE(splitPath("$").first.empty());
}

TEST(PathsTest, SplitsAnEmptyComponent) {
  // An attribute may have an empty name.
  EXPECT_EQ(splitPath(joinPath("a", "")).first, "a");
  EXPECT_EQ(splitPath(joinPath("a", "")).second, "");
}

TEST(PathsTest, KnowsWhatLiesBelow) {
  EXPECT_TRUE(isAtOrBelow("a.b", "a"));
  EXPECT_TRUE(isAtOrBelow("a", "a"));
  EXPECT_TRUE(isAtOrBelow("a", "$"));
  EXPECT_FALSE(isAtOrBelow("ab", "a"));
  EXPECT_FALSE(isAtOrBelow("a", "a.b"));
}

TEST(PathsTest, Rebases) {
  EXPECT_EQ(rebasePath("a.b.c", "a.b", "x"), "x.c");
  EXPECT_EQ(rebasePath("a", "a", "x.y"), "x.y");
  EXPECT_EQ(rebasePath("a.b", "$", "x"), "x.a.b");
  EXPECT_EQ(rebasePath("a.b", "a", "$"), "b");
}

} // namespace
