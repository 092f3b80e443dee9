//===- Schemas.cpp - The arguments of torch's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Schemas.h"

#include "llvm/ADT/StringMap.h"
#include <torch/csrc/jit/runtime/operator.h>

namespace jit = torch::jit;

namespace fqat {

struct OperatorSchemas::Known {
  llvm::StringMap<std::unique_ptr<std::vector<ArgumentSchema>>> schemas;
};

OperatorSchemas::OperatorSchemas() : known(std::make_unique<Known>()) {}
OperatorSchemas::~OperatorSchemas() = default;

/// A default as Python spells it; empty if it has no short spelling.
static std::string spell(const c10::IValue &value) {
  if (value.isNone())
    return "None";
  if (value.isBool())
    return value.toBool() ? "True" : "False";
  if (value.isInt())
    return std::to_string(value.toInt());
  if (value.isDouble())
    return spellFloat(value.toDouble());
  if (value.isString())
    return "\"" + value.toStringRef() + "\"";
  if (!value.isList())
    return "";
  std::string text;
  for (const c10::IValue &element : value.toListRef()) {
    std::string spelled = spell(element);
    if (spelled.empty())
      return "";
    text += (text.empty() ? "" : ", ") + spelled;
  }
  return "[" + text + "]";
}

static ArgumentSchema makeArgument(const c10::Argument &argument) {
  ArgumentSchema result;
  result.name = argument.name();
  result.isKeywordOnly = argument.kwarg_only();
  c10::TypePtr type = argument.real_type();
  if (auto optional = type->cast<c10::OptionalType>())
    type = optional->getElementType();
  if (type->kind() == c10::TypeKind::ScalarTypeType)
    result.kind = ArgumentSchema::Dtype;
  else if (type->kind() == c10::TypeKind::LayoutType)
    result.kind = ArgumentSchema::Layout;
  else if (type->kind() == c10::TypeKind::MemoryFormatType)
    result.kind = ArgumentSchema::MemoryFormat;
  if (argument.default_value())
    result.defaultValue = spell(*argument.default_value());
  return result;
}

const std::vector<ArgumentSchema> *
OperatorSchemas::lookup(llvm::StringRef name, llvm::StringRef overload) {
  auto [it, isNew] =
      known->schemas.try_emplace((name + "." + overload).str(), nullptr);
  if (!isNew)
    return it->second.get();
  try {
    for (const auto &candidate :
         jit::getAllOperatorsFor(c10::Symbol::fromQualString(name.str()))) {
      const c10::FunctionSchema &schema = candidate->schema();
      if (schema.overload_name() != overload)
        continue;
      it->second = std::make_unique<std::vector<ArgumentSchema>>();
      for (const c10::Argument &argument : schema.arguments())
        it->second->push_back(makeArgument(argument));
      break;
    }
  } catch (const std::exception &) {
    // A name that libtorch does not take for one: no schema.
    return nullptr;
  }
  return it->second.get();
}

} // namespace fqat
