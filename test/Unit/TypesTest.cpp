//===- TypesTest.cpp - Tests of types and constants -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../../lib/TorchScript/Types.h"
#include "fqat/Support/Dtypes.h"

#include "fqat/IR/FQATDialect.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/bit.h"
#include "gtest/gtest.h"
#include <torch/csrc/jit/frontend/script_type_parser.h>

#include <cmath>

using namespace fqat;

namespace {

struct TypesTest : testing::Test {
  TypesTest() { context.loadDialect<FQATDialect>(); }

  static c10::TypePtr parse(llvm::StringRef spelling) {
    return torch::jit::ScriptTypeParser().parseType(spelling.str());
  }
  mlir::Attribute convert(const c10::IValue &value) {
    return convertValue(value, &context,
                        [](const c10::IValue &) { return mlir::Attribute(); });
  }

  mlir::MLIRContext context;
};

TEST_F(TypesTest, TypesComeBack) {
  for (const char *spelling :
       {"Tensor", "int", "float", "bool", "str", "complex", "number", "Any",
        "NoneType", "Device", "List[Tensor]", "List[List[int]]",
        "Optional[Tensor]", "Optional[List[Optional[str]]]",
        "Dict[str, List[Tensor]]", "Tuple[int, Tuple[Tensor, str]]",
        "Future[Tensor]", "Union[int, str, Tensor]",
        "Dict[int, Future[List[int]]]"}) {
    c10::TypePtr type = parse(spelling);
    mlir::Type converted = convertType(type, &context);
    ASSERT_TRUE(converted) << spelling;
    EXPECT_EQ(*convertType(converted, parse), *type) << spelling;
  }
}

TEST_F(TypesTest, UnknownTypesAreNull) {
  auto type = ObjectType::get(&context, "__torch__.Missing");
  EXPECT_FALSE(convertType(ListType::get(type),
                           [](llvm::StringRef) { return c10::TypePtr(); }));
}

TEST_F(TypesTest, TensorRefinementsAreDropped) {
  auto type = c10::TensorType::createContiguous(at::kFloat, at::kCPU, {1, 2});
  EXPECT_EQ(convertType(type, &context), TensorType::get(&context));
}

TEST_F(TypesTest, FloatConstantsKeepTheirBits) {
  for (uint64_t bits : {uint64_t(1) << 63, uint64_t(0), uint64_t(1),
                        uint64_t(0x7ff8000000000123)}) {
    auto attr = cast<mlir::FloatAttr>(
        convert(c10::IValue(llvm::bit_cast<double>(bits))));
    EXPECT_EQ(attr.getValue().bitcastToAPInt().getZExtValue(), bits);
  }
  EXPECT_NE(convert(c10::IValue(0.0)), convert(c10::IValue(-0.0)));
}

TEST_F(TypesTest, OtherConstants) {
  EXPECT_EQ(convert(c10::IValue()), mlir::UnitAttr::get(&context));
  EXPECT_TRUE(isa<mlir::BoolAttr>(convert(c10::IValue(true))));
  EXPECT_EQ(cast<mlir::IntegerAttr>(convert(c10::IValue(-3))).getInt(), -3);
  std::string text("a\0\xff", 3);
  EXPECT_EQ(cast<mlir::StringAttr>(convert(c10::IValue(text))).getValue(),
            text);
  EXPECT_EQ(cast<DeviceAttr>(convert(c10::IValue(c10::Device("cuda:1"))))
                .getSpelling(),
            "cuda:1");
  auto complex =
      cast<ComplexAttr>(convert(c10::IValue(c10::complex<double>(-0.0, 2.0))));
  EXPECT_TRUE(std::signbit(complex.getRealValue()));
  EXPECT_EQ(complex.getImagValue(), 2.0);
  auto list = cast<ListAttr>(convert(c10::IValue(std::vector<int64_t>{1, 2})));
  EXPECT_EQ(list.getTypeTag(), "List[int]");
  EXPECT_EQ(list.getElements().size(), 2u);
  auto tuple = cast<mlir::ArrayAttr>(
      convert(c10::ivalue::Tuple::create({c10::IValue(1), c10::IValue("a")})));
  EXPECT_EQ(tuple.size(), 2u);
}

TEST_F(TypesTest, PlaceholdersAreAskedFor) {
  auto known = mlir::StringAttr::get(&context, "known");
  auto lookup = [&](const c10::IValue &value) {
    return value.isTensor() ? mlir::Attribute(known) : mlir::Attribute();
  };
  EXPECT_EQ(convertValue(c10::IValue(at::Tensor()), &context, lookup), known);
  EXPECT_FALSE(convert(c10::IValue(at::Tensor())));
}

TEST(DtypesTest, NamesComeBack) {
  for (const char *name : {"Float", "BFloat16", "Float8_e4m3fn", "QUInt8",
                           "ComplexDouble", "UInt16", "Bool"}) {
    llvm::StringRef dtype = getDtypeName(name);
    ASSERT_FALSE(dtype.empty()) << name;
    EXPECT_EQ(getStorageName(dtype), name);
  }
  EXPECT_EQ(getDtypeName("Float"), "float32");
  EXPECT_EQ(getElementSize("complex128"), 16u);
  EXPECT_TRUE(getDtypeName("Quaternion").empty());
  EXPECT_TRUE(getStorageName("quaternion").empty());
}

void checkSize(llvm::StringRef name, c10::ScalarType type) {
  llvm::StringRef dtype = getDtypeName(name);
  if (!dtype.empty()) {
    EXPECT_EQ(getElementSize(dtype), c10::elementSize(type)) << name.str();
  }
}

TEST(DtypesTest, SizesAreTorchs) {
#define CHECK_SIZE(_, name) checkSize(#name, c10::ScalarType::name);
  AT_FORALL_SCALAR_TYPES_WITH_COMPLEX_AND_QINTS(CHECK_SIZE)
#undef CHECK_SIZE
}

} // namespace
