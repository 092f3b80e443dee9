//===- Types.cpp - Types of TorchScript and of the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Types.h"

#include "fqat/IR/FQATDialect.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include <ATen/core/enum_type.h>

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

c10::NamedTypePtr getNamedType(const c10::TypePtr &type) {
  c10::NamedTypePtr named = type->cast<c10::EnumType>();
  if (!named)
    named = type->cast<c10::NamedType>();
  return named && named->name() ? named : nullptr;
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

mlir::Attribute
convertValue(const c10::IValue &value, mlir::MLIRContext *context,
             llvm::function_ref<mlir::Attribute(const c10::IValue &)> lookup) {
  mlir::Builder builder(context);
  auto convertAll = [&](const auto &elements) -> mlir::ArrayAttr {
    llvm::SmallVector<mlir::Attribute> result;
    for (const auto &element : elements) {
      result.push_back(convertValue(c10::IValue(element), context, lookup));
      if (!result.back())
        return {};
    }
    return builder.getArrayAttr(result);
  };
  if (mlir::Attribute known = lookup(value))
    return known;
  if (value.isNone())
    return builder.getUnitAttr();
  if (value.isBool())
    return builder.getBoolAttr(value.toBool());
  if (value.isInt())
    return builder.getI64IntegerAttr(value.toInt());
  if (value.isDouble())
    return builder.getF64FloatAttr(value.toDouble());
  if (value.isComplexDouble()) {
    c10::complex<double> number = value.toComplexDouble();
    return ComplexAttr::get(context, builder.getF64FloatAttr(number.real()),
                            builder.getF64FloatAttr(number.imag()));
  }
  if (value.isString())
    return builder.getStringAttr(value.toStringRef());
  if (value.isDevice())
    return DeviceAttr::get(context, value.toDevice().str());
  if (value.isEnum()) {
    auto member = value.toEnumHolder();
    return EnumAttr::get(context, member->qualifiedClassName(), member->name());
  }
  if (value.isTuple())
    return convertAll(value.toTupleRef().elements());
  if (value.isList()) {
    if (mlir::ArrayAttr elements = convertAll(value.toListRef()))
      return ListAttr::get(context, elements, value.type()->annotation_str(),
                           /*identity=*/0);
    return {};
  }
  if (value.isGenericDict()) {
    std::vector<c10::IValue> items;
    for (const auto &entry : value.toGenericDict()) {
      items.push_back(entry.key());
      items.push_back(entry.value());
    }
    if (mlir::ArrayAttr elements = convertAll(items))
      return DictAttr::get(context, elements, value.type()->annotation_str(),
                           /*identity=*/0);
  }
  return {};
}

} // namespace fqat
