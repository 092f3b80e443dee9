//===- DumpTest.cpp - Tests of dumps and their formats -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Dump.h"
#include "fqat/Dump/Layers.h"

#include "gtest/gtest.h"

using namespace fqat::dump;
using llvm::StringRef;

static std::string getError(llvm::Error error) {
  return toString(std::move(error));
}

namespace {

TEST(DumpTest, ShapesAreFourSizesThatFitTogether) {
  auto shape = parseShape("2, 8,5,7");
  ASSERT_TRUE(bool(shape));
  EXPECT_EQ(*shape, (Shape{2, 8, 5, 7}));
  EXPECT_EQ(shape->count(), 560u);
  EXPECT_EQ(shape->str(), "2,8,5,7");
  for (StringRef text : {"", "1,2,3", "1,2,3,4,5", "1,2,3,0", "1,2,3,-4", "a,b",
                         "4294967296,4294967296,1,1"}) {
    auto bad = parseShape(text);
    ASSERT_FALSE(bool(bad)) << text.str();
    EXPECT_NE(getError(bad.takeError()).find("is no shape"), std::string::npos);
  }
}

TEST(DumpTest, PositionsFollowTheLayout) {
  Shape shape{2, 3, 4, 5};
  Index index{1, 2, 3, 4};
  Format format;
  EXPECT_EQ(format.getPosition(shape, index), 119u);
  EXPECT_EQ(format.getPosition(shape, {0, 1, 0, 0}), 20u);
  format.order = kNHWC;
  EXPECT_EQ(format.getPosition(shape, {0, 1, 0, 0}), 1u);
  EXPECT_EQ(format.getPosition(shape, {0, 0, 0, 1}), 3u);
  EXPECT_EQ(format.getSize(shape), 480u);
}

TEST(DumpTest, PackedChannelsArePaddedWhereThatIsSaid) {
  Shape shape{1, 3, 2, 2};
  Format format;
  format.type = ElementType::U4;
  EXPECT_NE(format.findFault(shape).find("nhwc"), std::string::npos);
  format.order = kNHWC;
  EXPECT_NE(format.findFault(shape).find("3 is odd"), std::string::npos);
  format.isPadded = true;
  EXPECT_EQ(format.findFault(shape), "");
  EXPECT_EQ(format.getSize(shape), 8u);
  EXPECT_EQ(format.getPosition(shape, {0, 2, 0, 1}), 6u);
  // Bytes need no padding.
  format.type = ElementType::U8;
  EXPECT_EQ(format.getSize(shape), 12u);
}

TEST(DumpTest, HeadersOfArraysAreReadAsTheyAreWritten) {
  std::string header = makeNpyHeader(ElementType::U8, {1, 5, 7, 4});
  EXPECT_EQ(header.size() % 64, 0u);
  auto npy = parseNpyHeader(header + "data");
  ASSERT_TRUE(bool(npy));
  EXPECT_EQ(npy->dataOffset, header.size());
  EXPECT_EQ(npy->descr, "|u1");
  EXPECT_FALSE(npy->isFortran);
  EXPECT_EQ(npy->sizes, (std::vector<uint64_t>{1, 5, 7, 4}));
  // Cut anywhere it is none.
  for (size_t size = 0; size != header.size(); ++size) {
    auto cut = parseNpyHeader(StringRef(header).take_front(size));
    EXPECT_FALSE(bool(cut));
    consumeError(cut.takeError());
  }
}

TEST(DumpTest, NewerHeadersHaveALongerLength) {
  std::string text = "{'descr': '<f4', 'fortran_order': True, 'shape': (3,), }";
  std::string header = std::string("\x93NUMPY\x02\x00", 8) +
                       static_cast<char>(text.size()) + std::string(3, '\0') +
                       text;
  auto npy = parseNpyHeader(header);
  ASSERT_TRUE(bool(npy));
  EXPECT_TRUE(npy->isFortran);
  EXPECT_EQ(npy->sizes, std::vector<uint64_t>{3});
}

TEST(DumpTest, TolerancesExcludeEachOther) {
  PairSettings settings;
  EXPECT_EQ(settings.findFault(), "");
  settings.atol = 1;
  settings.rtol = 1;
  EXPECT_EQ(settings.findFault(), "");
  settings.lsb = 1;
  EXPECT_NE(settings.findFault(), "");
  settings = PairSettings();
  settings.scale = -0.5F;
  settings.lsb = 2;
  EXPECT_EQ(settings.findFault(), "");
  EXPECT_NEAR(settings.getTolerance().atol, 1, 0.01);
  settings.scale = 0;
  EXPECT_NE(settings.findFault(), "");
}

} // namespace
