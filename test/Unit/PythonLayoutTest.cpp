//===- PythonLayoutTest.cpp - Python text in lines that fit -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../../lib/Python/Layout.h"
#include "fqat/Python/Emit.h"

#include <gtest/gtest.h>
#include <limits>

using namespace fqat;

static std::string print(llvm::StringRef prefix, const Code &code,
                         unsigned indent = 0) {
  std::string text;
  llvm::raw_string_ostream os(text);
  printCode(os, indent, prefix, code);
  return text;
}

static Code makeCall(unsigned numArguments, bool isBroken = false) {
  Code call("f", '(', {});
  for (unsigned i = 0; i != numArguments; ++i)
    call.items.push_back("argument" + std::to_string(i));
  call.isBroken = isBroken;
  return call;
}

TEST(PythonLayoutTest, WhatFitsStaysOnALine) {
  EXPECT_EQ(print("x = ", makeCall(2)), "x = f(argument0, argument1)\n");
}

TEST(PythonLayoutTest, ArgumentsMoveToALineOfTheirOwn) {
  EXPECT_EQ(print("the_result = ", makeCall(7)),
            "the_result = f(\n"
            "    argument0, argument1, argument2, argument3, argument4, "
            "argument5, argument6\n"
            ")\n");
}

TEST(PythonLayoutTest, ArgumentsGetALineEach) {
  std::string text = print("x = ", makeCall(9));
  EXPECT_EQ(llvm::StringRef(text).count('\n'), 11u);
  EXPECT_TRUE(llvm::StringRef(text).ends_with("    argument8,\n)\n"));
}

TEST(PythonLayoutTest, BrokenStaysBroken) {
  EXPECT_EQ(print("", makeCall(1, /*isBroken=*/true), 4),
            "    f(\n        argument0,\n    )\n");
}

TEST(PythonLayoutTest, AnOperatorGetsParentheses) {
  Code sum(std::string(45, 'a') + " + " + std::string(35, 'b'));
  sum.isCompound = true;
  EXPECT_EQ(print("result = ", sum), "result = (\n    " + sum.head + "\n)\n");
}

TEST(PythonLayoutTest, ALongNameThatIsAssignedGetsParentheses) {
  std::string name(84, 'a');
  EXPECT_EQ(print("result = ", Code(name)),
            "result = (\n    " + name + "\n)\n");
  EXPECT_EQ(print("", Code(name), 8), "        " + name + "\n");
}

TEST(PythonLayoutTest, ATupleOfOneHasAComma) {
  EXPECT_EQ(Code("", '(', {"a"}).flat(), "(a,)");
  EXPECT_EQ(Code("f", '(', {"a"}).flat(), "f(a)");
}

TEST(PythonLayoutTest, Strings) {
  EXPECT_EQ(quote("a\\b\n"), "\"a\\\\b\\n\"");
  EXPECT_EQ(quote("say \"x\""), "'say \"x\"'");
  EXPECT_EQ(quote("\x01"), "\"\\x01\"");
}

TEST(PythonLayoutTest, Floats) {
  EXPECT_EQ(spellFloat(2), "2.0");
  EXPECT_EQ(spellFloat(0.1), "0.1");
  EXPECT_EQ(spellFloat(-0.0), "-0.0");
  EXPECT_EQ(spellFloat(1e-5), "1e-05");
  EXPECT_EQ(spellFloat(1e9), "1e09");
  EXPECT_EQ(spellFloat(-std::numeric_limits<double>::infinity()),
            "float(\"-inf\")");
  EXPECT_EQ(spellFloat(std::numeric_limits<double>::quiet_NaN()),
            "float(\"nan\")");
}
