//===- LocationsTest.cpp - Tests of what locations carry -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Locations.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"

using namespace fqat;
using namespace mlir;

namespace {

constexpr const char *stack =
    "/usr/lib/python3/site-packages/torch/nn/modules/conv.py(548): forward\n"
    "/usr/lib/python3/site-packages/torch/nn/modules/module.py(1): _call_impl\n"
    "/home/me/model (copy).py(15): forward\n"
    "not a frame\n";

TEST(LocationsTest, ParsesTheTracersStack) {
  auto frames = parseStack(stack);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[1].function, "_call_impl");
  EXPECT_EQ(frames[2].file, "/home/me/model (copy).py");
  EXPECT_EQ(frames[2].line, 15u);
}

TEST(LocationsTest, FindsTheAuthorsFrame) {
  auto frames = parseStack(stack);
  const StackFrame *frame = findUserFrame(frames);
  ASSERT_NE(frame, nullptr);
  EXPECT_EQ(frame->line, 15u);
  EXPECT_EQ(findUserFrame({}), nullptr);
  // Where all is torch's, the innermost frame has to do.
  EXPECT_EQ(findUserFrame(llvm::ArrayRef(frames).take_front(2))->line, 548u);
}

TEST(LocationsTest, KeepsNamesAndRecordsApart) {
  MLIRContext context;
  Attribute record = StringAttr::get(&context, "text");
  Location loc = makeNodeLoc(
      &context, FileLineColLoc::get(&context, "model.py", 7, 0), "a.b", record);
  Location named = withNames(loc, "x,y");
  EXPECT_EQ(stripNames(named), loc);
  EXPECT_EQ(stripNames(loc), loc);
  EXPECT_EQ(withNames(named, ""), loc);
  EXPECT_EQ(getDebugRecord(named), record);
  EXPECT_EQ(getInstancePath(named), "a.b");
  EXPECT_EQ(getPosition(named).getLine(), 7u);
}

TEST(LocationsTest, FindsNothingWhereThereIsNothing) {
  MLIRContext context;
  Location unknown = UnknownLoc::get(&context);
  EXPECT_FALSE(getPosition(unknown));
  EXPECT_EQ(getInstancePath(unknown), "");
  EXPECT_FALSE(getDebugRecord(unknown));
}

} // namespace
