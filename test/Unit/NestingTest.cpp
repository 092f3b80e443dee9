//===- NestingTest.cpp - Tests of how deep texts nest -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Nesting.h"

#include "gtest/gtest.h"

using namespace fqat;

static std::string repeat(llvm::StringRef text, size_t count) {
  std::string result;
  for (size_t i = 0; i != count; ++i)
    result += text;
  return result;
}

static std::string check(const std::string &text) {
  return llvm::toString(checkNesting(text, /*hasComments=*/true));
}

static std::string checkCode(const std::string &code) {
  return llvm::toString(checkCodeNesting(code));
}

TEST(NestingTest, Brackets) {
  EXPECT_EQ(check(repeat("(", 256) + repeat(")", 256)), "");
  EXPECT_EQ(check("\n" + repeat("([", 150)),
            "line 2: more than 256 brackets in each other");
  EXPECT_EQ(check("\"" + repeat("(", 300) + "\\\"\" // " + repeat("[", 300)),
            "");
}

// MLIR's lexer went on behind the end of the file, and so out of the map.
TEST(NestingTest, StringThatTheFileCutsOff) {
  EXPECT_EQ(check("a\n\"b"), "line 2: a string does not end on its line");
  EXPECT_EQ(check("\"a\\"), "line 1: a string does not end on its line");
  EXPECT_EQ(check("\"a\nb\""), "line 1: a string does not end on its line");
}

TEST(NestingTest, CodeThatIsLongIsNotDeep) {
  EXPECT_EQ(checkCode(repeat("x = torch.add(a, b, alpha=1)\n", 5000)), "");
  EXPECT_EQ(checkCode("x = [" + repeat("-1, 2.5e-05, (3, 4), ", 5000) + "]"),
            "");
  EXPECT_EQ(checkCode("x = \"" + repeat("([", 5000) + "\\\"\" # " +
                      repeat("((", 5000) + "\n"),
            "");
  EXPECT_EQ(checkCode(repeat("if a:\n  b\nelse:\n  c\n", 5000)), "");
}

TEST(NestingTest, CodeThatIsDeep) {
  std::string message = "line 1: the code is nested more than 2000 deep";
  for (llvm::StringRef part :
       {"(", "[", "-", "not ", ".x", "[0]", "1+", "1 if True else ", "List[",
        "f(a)(", "1 +\\\n", "(1,\n"}) {
    std::string found = checkCode("x = " + repeat(part, 2500));
    EXPECT_NE(found.find("nested more than 2000 deep"), std::string::npos)
        << part.str();
  }
  EXPECT_EQ(checkCode(repeat("(", 2500)), message);
  EXPECT_NE(checkCode("if a:\n  b\n" + repeat("elif a:\n  b\n", 2500)), "");
  std::string blocks;
  for (size_t i = 0; i != 2500; ++i)
    blocks += repeat(" ", i) + "if a:\n";
  EXPECT_NE(checkCode(blocks), "");
}
