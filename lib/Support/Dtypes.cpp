//===- Dtypes.cpp - The element types of tensors -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Dtypes.h"

namespace fqat {

namespace {
struct Dtype {
  /// Of storages in files.
  llvm::StringLiteral storage;
  /// As Python has it, without `torch.`.
  llvm::StringLiteral name;
  /// In bytes.
  size_t size;
};
} // namespace

// The first ones in the order of torch's numbers.
static constexpr Dtype dtypes[] = {
    {"Byte", "uint8", 1},
    {"Char", "int8", 1},
    {"Short", "int16", 2},
    {"Int", "int32", 4},
    {"Long", "int64", 8},
    {"Half", "float16", 2},
    {"Float", "float32", 4},
    {"Double", "float64", 8},
    {"ComplexHalf", "complex32", 4},
    {"ComplexFloat", "complex64", 8},
    {"ComplexDouble", "complex128", 16},
    {"Bool", "bool", 1},
    {"QInt8", "qint8", 1},
    {"QUInt8", "quint8", 1},
    {"QInt32", "qint32", 4},
    {"BFloat16", "bfloat16", 2},
    {"QUInt4x2", "quint4x2", 1},
    {"QUInt2x4", "quint2x4", 1},
    {"Bits8", "bits8", 1},
    {"Bits16", "bits16", 2},
    {"Float8_e5m2", "float8_e5m2", 1},
    {"Float8_e4m3fn", "float8_e4m3fn", 1},
    {"Float8_e5m2fnuz", "float8_e5m2fnuz", 1},
    {"Float8_e4m3fnuz", "float8_e4m3fnuz", 1},
    {"Float8_e8m0fnu", "float8_e8m0fnu", 1},
    {"Float4_e2m1fn_x2", "float4_e2m1fn_x2", 1},
    {"UInt16", "uint16", 2},
    {"UInt32", "uint32", 4},
    {"UInt64", "uint64", 8},
};

llvm::StringRef getDtypeName(llvm::StringRef storageName) {
  for (const Dtype &dtype : dtypes)
    if (dtype.storage == storageName)
      return dtype.name;
  return {};
}

llvm::StringRef getDtypeName(int64_t scalarType) {
  constexpr int64_t bfloat16 = 15;
  return scalarType >= 0 && scalarType <= bfloat16
             ? llvm::StringRef(dtypes[scalarType].name)
             : llvm::StringRef();
}

static const Dtype *findDtype(llvm::StringRef name) {
  for (const Dtype &dtype : dtypes)
    if (dtype.name == name)
      return &dtype;
  return nullptr;
}

llvm::StringRef getStorageName(llvm::StringRef dtype) {
  const Dtype *found = findDtype(dtype);
  return found ? llvm::StringRef(found->storage) : llvm::StringRef();
}

size_t getElementSize(llvm::StringRef dtype) {
  const Dtype *found = findDtype(dtype);
  return found ? found->size : 1;
}

} // namespace fqat
