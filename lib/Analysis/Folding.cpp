//===- Folding.cpp - Operators on known numbers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Folding.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <optional>
#include <string>

using namespace mlir;

namespace fqat {

namespace {
enum class Comparison {
  Equal,
  NotEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual
};
} // namespace

static std::optional<Comparison> getComparison(StringRef name) {
  return llvm::StringSwitch<std::optional<Comparison>>(name)
      .Case("aten::eq", Comparison::Equal)
      .Case("aten::ne", Comparison::NotEqual)
      .Case("aten::lt", Comparison::Less)
      .Case("aten::le", Comparison::LessEqual)
      .Case("aten::gt", Comparison::Greater)
      .Case("aten::ge", Comparison::GreaterEqual)
      .Default(std::nullopt);
}

template <typename T>
static bool compare(Comparison kind, T a, T b) {
  switch (kind) {
  case Comparison::Equal:
    return a == b;
  case Comparison::NotEqual:
    return a != b;
  case Comparison::Less:
    return a < b;
  case Comparison::LessEqual:
    return a <= b;
  case Comparison::Greater:
    return a > b;
  case Comparison::GreaterEqual:
    return a >= b;
  }
  llvm_unreachable("all comparisons are listed");
}

static std::optional<bool> getBool(Attribute value) {
  if (auto flag = dyn_cast<BoolAttr>(value))
    return flag.getValue();
  return std::nullopt;
}

static std::optional<int64_t> getInt(Attribute value) {
  auto number = dyn_cast<IntegerAttr>(value);
  if (!number || isa<BoolAttr>(value))
    return std::nullopt;
  return number.getInt();
}

/// TorchScript compares an int and a float as floats.
static std::optional<double> getDouble(Attribute value) {
  if (auto number = dyn_cast<FloatAttr>(value))
    return number.getValueAsDouble();
  if (std::optional<int64_t> number = getInt(value))
    return double(*number);
  return std::nullopt;
}

/// Arithmetic on ints, or nothing where it overflows or is not known.
static std::optional<int64_t> computeInt(StringRef name, int64_t a, int64_t b) {
  int64_t result;
  if (name == "aten::add" && !llvm::AddOverflow(a, b, result))
    return result;
  if (name == "aten::sub" && !llvm::SubOverflow(a, b, result))
    return result;
  if (name == "aten::mul" && !llvm::MulOverflow(a, b, result))
    return result;
  // Division of negative numbers rounds down in Python: left alone.
  if (name == "aten::floordiv" && a >= 0 && b > 0)
    return a / b;
  if (name == "aten::remainder" && a >= 0 && b > 0)
    return a % b;
  if (name == "prim::min")
    return std::min(a, b);
  if (name == "prim::max")
    return std::max(a, b);
  return std::nullopt;
}

Attribute foldOperator(StringRef name, ArrayRef<Attribute> operands) {
  if (operands.empty() || llvm::is_contained(operands, Attribute()))
    return {};
  Builder builder(operands.front().getContext());
  Attribute first = operands.front();
  if (operands.size() == 1) {
    if (name == "prim::unchecked_cast")
      return first;
    std::optional<bool> flag = getBool(first);
    std::optional<int64_t> number = getInt(first);
    if (name == "aten::__not__" && flag)
      return builder.getBoolAttr(!*flag);
    if (name == "aten::neg" && number && *number != INT64_MIN)
      return builder.getI64IntegerAttr(-*number);
    if (name == "aten::Bool" && number)
      return builder.getBoolAttr(*number != 0);
    if (name == "aten::str" && number)
      return builder.getStringAttr(std::to_string(*number));
    if (name == "aten::Int" && (flag || number))
      return builder.getI64IntegerAttr(flag ? *flag : *number);
    return {};
  }
  // How `for i in range(low, high, step)` is written.
  if (operands.size() == 3) {
    std::optional<int64_t> a = getInt(operands[0]), b = getInt(operands[1]),
                           c = getInt(operands[2]);
    if (!a || !b || !c)
      return {};
    int64_t result;
    if (name == "aten::__range_length" && *c > 0 &&
        !llvm::SubOverflow(*b, *a, result))
      return builder.getI64IntegerAttr(result <= 0 ? 0 : (result - 1) / *c + 1);
    if (name == "aten::__range_length" && *c < 0 && *c != INT64_MIN &&
        !llvm::SubOverflow(*a, *b, result))
      return builder.getI64IntegerAttr(result <= 0 ? 0
                                                   : (result - 1) / -*c + 1);
    int64_t product;
    if (name == "aten::__derive_index" && !llvm::MulOverflow(*a, *c, product) &&
        !llvm::AddOverflow(*b, product, result))
      return builder.getI64IntegerAttr(result);
    return {};
  }
  if (operands.size() != 2)
    return {};
  Attribute second = operands[1];
  bool isNone = isa<UnitAttr>(first) && isa<UnitAttr>(second);
  if (isNone && name == "aten::__is__")
    return builder.getBoolAttr(true);
  if (isNone && name == "aten::__isnot__")
    return builder.getBoolAttr(false);
  std::optional<bool> p = getBool(first), q = getBool(second);
  if (p && q) {
    if (name == "aten::__and__")
      return builder.getBoolAttr(*p && *q);
    if (name == "aten::__or__")
      return builder.getBoolAttr(*p || *q);
  }
  std::optional<int64_t> a = getInt(first), b = getInt(second);
  if (std::optional<Comparison> kind = getComparison(name)) {
    if (p && q && (*kind == Comparison::Equal || *kind == Comparison::NotEqual))
      return builder.getBoolAttr(compare(*kind, *p, *q));
    if (a && b)
      return builder.getBoolAttr(compare(*kind, *a, *b));
    std::optional<double> x = getDouble(first), y = getDouble(second);
    if (x && y)
      return builder.getBoolAttr(compare(*kind, *x, *y));
    auto s = dyn_cast<StringAttr>(first), t = dyn_cast<StringAttr>(second);
    if (s && t)
      return builder.getBoolAttr(compare(*kind, s.getValue(), t.getValue()));
    return {};
  }
  if (a && b)
    if (std::optional<int64_t> result = computeInt(name, *a, *b))
      return builder.getI64IntegerAttr(*result);
  return {};
}

} // namespace fqat
