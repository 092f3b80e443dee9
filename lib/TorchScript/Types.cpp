//===- Types.cpp - Types of TorchScript and of the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Types.h"

#include "fqat/IR/FQATDialect.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

namespace fqat {

mlir::Type convertType(const c10::TypePtr &type, mlir::MLIRContext *context) {
  auto convert = [&](const c10::TypePtr &t) { return convertType(t, context); };
  switch (type->kind()) {
  case c10::TypeKind::TensorType:
    return TensorType::get(context);
  case c10::TypeKind::IntType:
    return IntType::get(context);
  case c10::TypeKind::FloatType:
    return FloatType::get(context);
  case c10::TypeKind::BoolType:
    return BoolType::get(context);
  case c10::TypeKind::StringType:
    return StrType::get(context);
  case c10::TypeKind::NoneType:
    return NoneType::get(context);
  case c10::TypeKind::NumberType:
    return NumberType::get(context);
  case c10::TypeKind::DeviceObjType:
    return DeviceType::get(context);
  case c10::TypeKind::AnyType:
    return AnyValueType::get(context);
  case c10::TypeKind::ListType:
    return ListType::get(
        convert(type->expectRef<c10::ListType>().getElementType()));
  case c10::TypeKind::OptionalType:
    return OptionalType::get(
        convert(type->expectRef<c10::OptionalType>().getElementType()));
  case c10::TypeKind::DictType: {
    const auto &dict = type->expectRef<c10::DictType>();
    return DictType::get(context, convert(dict.getKeyType()),
                         convert(dict.getValueType()));
  }
  case c10::TypeKind::TupleType: {
    const auto &tuple = type->expectRef<c10::TupleType>();
    if (tuple.name())
      break;
    llvm::SmallVector<mlir::Type> elements;
    for (const c10::TypePtr &element : tuple.elements())
      elements.push_back(convert(element));
    return TupleType::get(context, elements);
  }
  default:
    break;
  }
  return ObjectType::get(context, type->annotation_str());
}

c10::TypePtr convertType(mlir::Type type) {
  return llvm::TypeSwitch<mlir::Type, c10::TypePtr>(type)
      .Case([](TensorType) { return c10::TensorType::get(); })
      .Case([](IntType) { return c10::IntType::get(); })
      .Case([](FloatType) { return c10::FloatType::get(); })
      .Case([](BoolType) { return c10::BoolType::get(); })
      .Case([](StrType) { return c10::StringType::get(); })
      .Case([](NoneType) { return c10::NoneType::get(); })
      .Case([](NumberType) { return c10::NumberType::get(); })
      .Case([](DeviceType) { return c10::DeviceObjType::get(); })
      .Case([](AnyValueType) { return c10::AnyType::get(); })
      .Case([](ListType list) -> c10::TypePtr {
        c10::TypePtr element = convertType(list.getElementType());
        return element ? c10::ListType::create(element) : nullptr;
      })
      .Case([](OptionalType optional) -> c10::TypePtr {
        c10::TypePtr element = convertType(optional.getElementType());
        return element ? c10::OptionalType::create(element) : nullptr;
      })
      .Case([](DictType dict) -> c10::TypePtr {
        c10::TypePtr key = convertType(dict.getKeyType());
        c10::TypePtr value = convertType(dict.getValueType());
        return key && value ? c10::DictType::create(key, value) : nullptr;
      })
      .Case([](TupleType tuple) -> c10::TypePtr {
        std::vector<c10::TypePtr> elements;
        for (mlir::Type element : tuple.getElementTypes()) {
          elements.push_back(convertType(element));
          if (!elements.back())
            return nullptr;
        }
        return c10::TupleType::create(elements);
      })
      .Default([](mlir::Type) { return nullptr; });
}

/// Torch's names; the order does not matter.
static constexpr std::pair<c10::ScalarType, llvm::StringLiteral> dtypeNames[] =
    {
        {c10::ScalarType::Byte, "uint8"},
        {c10::ScalarType::Char, "int8"},
        {c10::ScalarType::Short, "int16"},
        {c10::ScalarType::Int, "int32"},
        {c10::ScalarType::Long, "int64"},
        {c10::ScalarType::Half, "float16"},
        {c10::ScalarType::Float, "float32"},
        {c10::ScalarType::Double, "float64"},
        {c10::ScalarType::ComplexHalf, "complex32"},
        {c10::ScalarType::ComplexFloat, "complex64"},
        {c10::ScalarType::ComplexDouble, "complex128"},
        {c10::ScalarType::Bool, "bool"},
        {c10::ScalarType::BFloat16, "bfloat16"},
        {c10::ScalarType::Float8_e5m2, "float8_e5m2"},
        {c10::ScalarType::Float8_e4m3fn, "float8_e4m3fn"},
        {c10::ScalarType::Float8_e5m2fnuz, "float8_e5m2fnuz"},
        {c10::ScalarType::Float8_e4m3fnuz, "float8_e4m3fnuz"},
        {c10::ScalarType::UInt16, "uint16"},
        {c10::ScalarType::UInt32, "uint32"},
        {c10::ScalarType::UInt64, "uint64"},
};

llvm::StringRef getDtypeName(c10::ScalarType type) {
  const auto *it = llvm::find_if(
      dtypeNames, [&](const auto &entry) { return entry.first == type; });
  return it == std::end(dtypeNames) ? llvm::StringRef()
                                    : llvm::StringRef(it->second);
}

std::optional<c10::ScalarType> getDtype(llvm::StringRef name) {
  const auto *it = llvm::find_if(
      dtypeNames, [&](const auto &entry) { return entry.second == name; });
  if (it == std::end(dtypeNames))
    return std::nullopt;
  return it->first;
}

} // namespace fqat
