//===- PickleTest.cpp - Tests of the pickle reader and writer -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Pickle.h"

#include "llvm/ADT/bit.h"
#include "gtest/gtest.h"

#include <limits>

using namespace fqat;

namespace {

/// The bytes of a pickle of one value.
template <typename WriteFn>
std::string write(WriteFn fn) {
  PickleWriter writer;
  fn(writer);
  return writer.finish();
}

Pickle parse(llvm::StringRef bytes) {
  llvm::Expected<Pickle> pickle = Pickle::parse(bytes);
  EXPECT_TRUE(bool(pickle)) << llvm::toString(pickle.takeError());
  return std::move(*pickle);
}

std::string getError(llvm::StringRef bytes) {
  llvm::Expected<Pickle> pickle = Pickle::parse(bytes);
  return pickle ? "" : llvm::toString(pickle.takeError());
}

TEST(PickleTest, Integers) {
  for (int64_t value :
       {int64_t(0), int64_t(255), int64_t(256), int64_t(65535), int64_t(65536),
        int64_t(-1), int64_t(std::numeric_limits<int32_t>::min()),
        int64_t(1) << 40, std::numeric_limits<int64_t>::min(),
        std::numeric_limits<int64_t>::max()}) {
    Pickle pickle = parse(write([&](auto &w) { w.integer(value); }));
    EXPECT_EQ(pickle.getRoot().kind, PickleValue::Int);
    EXPECT_EQ(pickle.getRoot().integer, value);
  }
  // As Python writes a short negative long: the sign bit reaches up.
  EXPECT_EQ(parse("\x80\x02\x8a\x02\xff\x7f.").getRoot().integer, 32767);
  EXPECT_EQ(parse("\x80\x02\x8a\x01\xfe.").getRoot().integer, -2);
}

TEST(PickleTest, FloatsByTheirBits) {
  for (uint64_t bits :
       {uint64_t(0), uint64_t(1) << 63, uint64_t(0x7ff0000000000000),
        uint64_t(0x7ff8000000000123), uint64_t(0xfff0000000000001),
        uint64_t(1)}) {
    Pickle pickle =
        parse(write([&](auto &w) { w.real(llvm::bit_cast<double>(bits)); }));
    EXPECT_EQ(llvm::bit_cast<uint64_t>(pickle.getRoot().real), bits);
  }
}

TEST(PickleTest, StringsOfAnyBytes) {
  std::string text("\0\xff\r\n\xc3\xa9'\"", 8);
  EXPECT_EQ(parse(write([&](auto &w) { w.string(text); })).getRoot().text,
            text);
}

TEST(PickleTest, EqualStringsAndGlobalsAreWrittenOnce) {
  std::string bytes = write([](PickleWriter &w) {
    w.beginTuple(4);
    for (int i = 0; i != 2; ++i) {
      w.string("name");
      w.global("torch.FloatStorage");
    }
    w.endTuple(4);
  });
  EXPECT_EQ(bytes, std::string("\x80\x02(X\x04\0\0\0nameq\0ctorch\n"
                               "FloatStorage\nq\x01h\0h\x01t.",
                               42));
}

TEST(PickleTest, ContainersKeepTheirOrder) {
  Pickle pickle = parse(write([](PickleWriter &w) {
    w.beginDict(false);
    w.string("b");
    w.beginList(false);
    w.integer(2);
    w.none();
    w.endList(false);
    w.string("a");
    w.beginList(true);
    w.endList(true);
    w.endDict(false);
  }));
  const PickleValue &dict = pickle.getRoot();
  ASSERT_EQ(dict.kind, PickleValue::Dict);
  ASSERT_EQ(dict.items.size(), 4u);
  EXPECT_EQ(dict.items[0]->text, "b");
  EXPECT_EQ(dict.items[1]->items.size(), 2u);
  EXPECT_EQ(dict.items[2]->text, "a");
  EXPECT_TRUE(dict.items[3]->items.empty());
}

TEST(PickleTest, ObjectsAreNotRestored) {
  Pickle pickle = parse(write([](PickleWriter &w) {
    w.global("__torch__.a.B");
    w.newObject();
    w.integer(7);
    w.build();
  }));
  const PickleValue &object = pickle.getRoot();
  ASSERT_EQ(object.kind, PickleValue::Object);
  EXPECT_EQ(object.items[0]->text, "__torch__.a.B");
  EXPECT_EQ(object.items[1]->integer, 7);
}

TEST(PickleTest, WhatIsSharedStaysOneValue) {
  Pickle pickle = parse(write([](PickleWriter &w) {
    w.beginTuple(3);
    w.beginList(true);
    w.endList(true);
    unsigned list = w.remember();
    w.get(list);
    w.beginList(true);
    w.endList(true);
    w.endTuple(3);
  }));
  const PickleValue &tuple = pickle.getRoot();
  EXPECT_EQ(tuple.items[0], tuple.items[1]);
  EXPECT_NE(tuple.items[0], tuple.items[2]);
}

TEST(PickleTest, MoreThan256RememberedValues) {
  Pickle pickle = parse(write([](PickleWriter &w) {
    w.beginTuple(600);
    for (int i = 0; i != 300; ++i)
      w.string(std::to_string(i));
    for (int i = 0; i != 300; ++i)
      w.string(std::to_string(i));
    w.endTuple(600);
  }));
  EXPECT_EQ(pickle.getRoot().items[299], pickle.getRoot().items[599]);
  EXPECT_EQ(pickle.getRoot().items[599]->text, "299");
}

TEST(PickleTest, AValueThatContainsItselfIsAnError) {
  // l = []; l.append(l)
  EXPECT_NE(getError(llvm::StringRef("\x80\x02]q\0h\0a.", 9)), "");
  // An object whose state is the object.
  EXPECT_NE(getError(llvm::StringRef("\x80\x02"
                                     "c__torch__\nA\n)\x81q\0h\0b.",
                                     23)),
            "");
}

TEST(PickleTest, DeepNestingIsAnError) {
  std::string bytes = "\x80\x02";
  for (int i = 0; i != 100000; ++i)
    bytes += "(";
  bytes += "K";
  bytes += '\0';
  for (int i = 0; i != 100000; ++i)
    bytes += "t";
  EXPECT_NE(getError(bytes + "."), "");
}

TEST(PickleTest, UnknownOpcodesAreErrors) {
  EXPECT_NE(getError("\x80\x02i."), "");
  EXPECT_NE(getError("\x80\x04N."), "");
  // A stack that is empty, a mark that is missing, two values.
  EXPECT_NE(getError("\x80\x02."), "");
  EXPECT_NE(getError("\x80\x02t."), "");
  EXPECT_NE(getError("\x80\x02NN."), "");
  // An integer of more than 64 bits.
  EXPECT_NE(
      getError(llvm::StringRef("\x80\x02\x8a\x09\1\1\1\1\1\1\1\1\1.", 14)), "");
}

TEST(PickleTest, DamagedBytesNeverCrash) {
  std::string bytes = write([](PickleWriter &w) {
    w.global("__torch__.M");
    w.newObject();
    w.beginDict(false);
    w.string("weight");
    w.global("torch._utils._rebuild_tensor_v2");
    w.mark();
    w.mark();
    w.string("storage");
    w.global("torch.FloatStorage");
    w.string("0");
    w.string("cpu");
    w.integer(70000);
    w.tupleFromMark();
    w.persistent();
    w.real(1.5);
    w.boolean(true);
    w.tupleFromMark();
    w.reduce();
    w.endDict(false);
    w.build();
  });
  EXPECT_EQ(getError(bytes), "");
  for (size_t size = 0; size != bytes.size(); ++size)
    EXPECT_NE(getError(llvm::StringRef(bytes).take_front(size)), "");
  for (size_t i = 0; i != bytes.size(); ++i)
    for (int value = 0; value != 256; ++value) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(value);
      (void)getError(damaged);
    }
}

} // namespace
