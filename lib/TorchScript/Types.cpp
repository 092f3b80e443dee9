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
  case c10::TypeKind::ComplexType:
    return ComplexType::get(context);
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

c10::TypePtr convertType(mlir::Type type, TypeResolver resolve) {
  auto convert = [&](mlir::Type t) { return convertType(t, resolve); };
  return llvm::TypeSwitch<mlir::Type, c10::TypePtr>(type)
      .Case([](TensorType) { return c10::TensorType::get(); })
      .Case([](IntType) { return c10::IntType::get(); })
      .Case([](FloatType) { return c10::FloatType::get(); })
      .Case([](BoolType) { return c10::BoolType::get(); })
      .Case([](StrType) { return c10::StringType::get(); })
      .Case([](NoneType) { return c10::NoneType::get(); })
      .Case([](NumberType) { return c10::NumberType::get(); })
      .Case([](ComplexType) { return c10::ComplexType::get(); })
      .Case([](DeviceType) { return c10::DeviceObjType::get(); })
      .Case([](AnyValueType) { return c10::AnyType::get(); })
      .Case([&](ListType list) -> c10::TypePtr {
        c10::TypePtr element = convert(list.getElementType());
        return element ? c10::ListType::create(element) : nullptr;
      })
      .Case([&](OptionalType optional) -> c10::TypePtr {
        c10::TypePtr element = convert(optional.getElementType());
        return element ? c10::OptionalType::create(element) : nullptr;
      })
      .Case([&](DictType dict) -> c10::TypePtr {
        c10::TypePtr key = convert(dict.getKeyType());
        c10::TypePtr value = convert(dict.getValueType());
        return key && value ? c10::DictType::create(key, value) : nullptr;
      })
      .Case([&](TupleType tuple) -> c10::TypePtr {
        std::vector<c10::TypePtr> elements;
        for (mlir::Type element : tuple.getElementTypes()) {
          elements.push_back(convert(element));
          if (!elements.back())
            return nullptr;
        }
        return c10::TupleType::create(elements);
      })
      .Case([&](ObjectType object) { return resolve(object.getSpelling()); })
      .Default([](mlir::Type) { return nullptr; });
}

} // namespace fqat
