//===- ArchiveTest.cpp - Tests of reading and writing archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../../lib/TorchScript/Archive.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <torch/csrc/jit/frontend/resolver.h>

using namespace fqat;
namespace jit = torch::jit;

namespace {

/// A module with one tensor on a device that this machine may not have, and a
/// method that reads a constant.
struct ArchiveTest : testing::Test {
  ArchiveTest() {
    llvm::SmallString<128> path;
    EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("archive", "pt", path));
    file = path.str().str();
    PickleWriter data;
    data.global("__torch__.M");
    data.newObject();
    data.beginDict(false);
    data.string("weight");
    writeTensor(data, "cuda:3");
    data.endDict(false);
    data.build();
    dataPickle = data.finish();
    PickleWriter constants;
    constants.beginTuple(2);
    writeTensor(constants, "cpu");
    constants.string("\xc3\xa9");
    constants.endTuple(2);
    constantPickle = constants.finish();
    code = {{"__torch__",
             "class M(Module):\n"
             "  __parameters__ = [\"weight\", ]\n"
             "  __buffers__ = []\n"
             "  weight : Tensor\n"
             "  def forward(self: __torch__.M,\n"
             "    x: Tensor) -> Tuple[Tensor, str]:\n"
             "    return (torch.add(x, CONSTANTS.c0), CONSTANTS.c1)\n",
             ""}};
    contents.data = {dataPickle, storages};
    contents.constants = {constantPickle, storages};
    contents.code = code;
    contents.extraRecords = records;
  }
  ~ArchiveTest() override { llvm::sys::fs::remove(file); }

  static void writeTensor(PickleWriter &pickle, llvm::StringRef device) {
    pickle.global("torch._utils._rebuild_tensor_v2");
    pickle.mark();
    pickle.mark();
    pickle.string("storage");
    pickle.global("torch.FloatStorage");
    pickle.string("0");
    pickle.string(device);
    pickle.integer(1);
    pickle.tupleFromMark();
    pickle.persistent();
    pickle.integer(0);
    pickle.endTuple(0);
    pickle.endTuple(0);
    pickle.boolean(false);
    pickle.global("collections.OrderedDict");
    pickle.endTuple(0);
    pickle.reduce();
    pickle.tupleFromMark();
    pickle.reduce();
  }

  std::string write() {
    std::string bytes;
    llvm::raw_string_ostream os(bytes);
    ArchiveWriter writer(os);
    writer.start(contents.data.storages);
    writer.startRest(contents);
    writer.finish();
    return bytes;
  }

  llvm::Expected<std::unique_ptr<Archive>> readBack() {
    std::error_code error;
    llvm::raw_fd_ostream os(file, error);
    os << write();
    os.close();
    return Archive::read(file, [](const llvm::Twine &) {});
  }

  std::string file, dataPickle, constantPickle;
  float value = 2.5;
  llvm::ArrayRef<char> storages[1] = {
      {reinterpret_cast<const char *>(&value), sizeof(value)}};
  std::vector<CodeFile> code;
  std::vector<ExtraRecord> records = {{"extra/note", "text"},
                                      {"traced_inputs.pkl", "raw"}};
  ArchiveContents contents;
};

TEST_F(ArchiveTest, WhatIsWrittenIsRead) {
  auto archive = readBack();
  ASSERT_TRUE(bool(archive)) << llvm::toString(archive.takeError());
  const PickleValue &root = (*archive)->getRoot();
  ASSERT_EQ(root.kind, PickleValue::Object);
  const PickleValue &weight = *root.items[1]->items[1];
  EXPECT_EQ(weight.arguments()[0]->items[0]->items[3]->text, "cuda:3");
  auto bytes = (*archive)->getStorage(Archive::Data, "0");
  ASSERT_TRUE(bool(bytes));
  EXPECT_EQ(*bytes, storages[0]);
  ASSERT_EQ((*archive)->getExtraRecords().size(), 2u);
  EXPECT_EQ((*archive)->getExtraRecords()[0].name, "extra/note");
  EXPECT_EQ((*archive)->getExtraRecords()[0].bytes, "text");
}

TEST_F(ArchiveTest, ConstantsStandForTheirValues) {
  auto archive = readBack();
  ASSERT_TRUE(bool(archive)) << llvm::toString(archive.takeError());
  auto type = (*archive)->loadType("__torch__.M")->expect<c10::ClassType>();
  auto graph = jit::toGraphFunction(type->getMethod("forward")).graph();
  unsigned numTensors = 0, numStrings = 0;
  for (jit::Node *node : graph->nodes()) {
    if (node->kind() != c10::prim::Constant)
      continue;
    c10::IValue constant = *jit::toIValue(node->output());
    if (constant.isTensor()) {
      ++numTensors;
      const PickleValue *meant = (*archive)->getConstant(constant);
      ASSERT_TRUE(meant);
      EXPECT_TRUE(meant->isCallOf("torch._utils._rebuild_tensor_v2"));
    } else if (constant.isString()) {
      ++numStrings;
      EXPECT_EQ(constant.toStringRef(), "\xc3\xa9");
    }
  }
  EXPECT_EQ(numTensors, 1u);
  EXPECT_EQ(numStrings, 1u);
}

TEST_F(ArchiveTest, BytesDependOnTheContentsAlone) {
  EXPECT_EQ(write(), write());
}

TEST_F(ArchiveTest, AMissingStorageIsAnError) {
  auto archive = readBack();
  ASSERT_TRUE(bool(archive)) << llvm::toString(archive.takeError());
  auto bytes = (*archive)->getStorage(Archive::Data, "7");
  ASSERT_FALSE(bool(bytes));
  EXPECT_NE(llvm::toString(bytes.takeError()).find("data/7"),
            std::string::npos);
}

TEST_F(ArchiveTest, ADamagedPickleIsNamed) {
  contents.data.pickle = "no pickle";
  auto archive = readBack();
  ASSERT_FALSE(bool(archive));
  EXPECT_NE(llvm::toString(archive.takeError()).find("data.pkl"),
            std::string::npos);
}

TEST_F(ArchiveTest, AClassOfAnUnknownLibraryHasARemedy) {
  PickleWriter constants;
  constants.beginTuple(1);
  constants.global("__torch__.torch.classes.other.Thing");
  constants.newObject();
  constants.none();
  constants.build();
  constants.endTuple(1);
  constantPickle = constants.finish();
  contents.constants.pickle = constantPickle;
  auto archive = readBack();
  ASSERT_FALSE(bool(archive));
  EXPECT_NE(llvm::toString(archive.takeError()).find("--load-op-library"),
            std::string::npos);
}

TEST(CodeTest, LinesComeBack) {
  auto source = std::make_shared<jit::Source>("first\nsecond\n",
                                              std::string("model.py"), 12);
  jit::SourceRangeRecords ranges;
  ranges.emplace_back(0, jit::SourceRange());
  ranges.emplace_back(10, jit::SourceRange(source, 6, 12));
  auto record = readDebugRecord(DebugRecordWriter().write(ranges));
  auto code = std::make_shared<jit::Source>(std::string(30, ' '));
  auto find = [&](size_t position) {
    return record->findSourceRangeThatGenerated(
        jit::SourceRange(code, position, position + 1));
  };
  EXPECT_EQ(find(3)->source()->size(), 0u);
  for (size_t position : {10, 20}) {
    auto found = find(position);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->text().str(), "second");
    EXPECT_EQ(found->source()->filename(), "model.py");
    EXPECT_EQ(found->source()->starting_line_no(), 12u);
  }
}

TEST(CodeTest, JoinedRecordsBeginWhereTheirCodeDoes) {
  std::vector<std::pair<size_t, std::string>> parts;
  for (size_t begin : {0, 100}) {
    auto source = std::make_shared<jit::Source>(
        "line", "file" + std::to_string(begin), 1);
    jit::SourceRangeRecords ranges;
    ranges.emplace_back(5, jit::SourceRange(source, 0, 4));
    parts.emplace_back(begin, DebugRecordWriter().write(ranges));
  }
  auto record = joinDebugRecords(parts);
  auto code = std::make_shared<jit::Source>(std::string(200, ' '));
  auto getFile = [&](size_t position) -> std::optional<std::string> {
    auto found = record->findSourceRangeThatGenerated(
        jit::SourceRange(code, position, position + 1));
    return found ? found->source()->filename() : std::nullopt;
  };
  EXPECT_EQ(getFile(50), "file0");
  EXPECT_EQ(getFile(102), std::nullopt);
  EXPECT_EQ(getFile(150), "file100");
}

TEST(CodeTest, ADamagedRecordGivesNoLines) {
  auto record = readDebugRecord("no pickle");
  auto code = std::make_shared<jit::Source>(std::string("code"));
  EXPECT_FALSE(
      record->findSourceRangeThatGenerated(jit::SourceRange(code, 0, 1)));
}

} // namespace
