//===- Operators.cpp - What is known of TorchScript's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Operators.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace fqat {

bool holdsType(Type type, function_ref<bool(Type)> isWanted) {
  if (auto list = dyn_cast<ListType>(type))
    return holdsType(list.getElementType(), isWanted);
  if (auto optional = dyn_cast<OptionalType>(type))
    return holdsType(optional.getElementType(), isWanted);
  if (auto dict = dyn_cast<DictType>(type))
    return holdsType(dict.getValueType(), isWanted);
  if (auto tuple = dyn_cast<TupleType>(type))
    return llvm::any_of(tuple.getElementTypes(), [&](Type element) {
      return holdsType(element, isWanted);
    });
  return isWanted(type);
}

bool holdsTensor(Type type) {
  return holdsType(type, [](Type part) { return isa<TensorType>(part); });
}

bool readsMetadataOnly(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::size",         "aten::dim",
      "aten::len",          "prim::device",
      "prim::dtype",        "prim::layout",
      "aten::numel",        "aten::stride",
      "prim::is_cuda",      "prim::is_nested",
      "prim::is_quantized", "prim::requires_grad",
      "aten::is_complex",   "aten::is_floating_point",
      "aten::__is__",       "aten::__isnot__"};
  return names.contains(name);
}

bool splitsTensor(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::chunk",        "aten::split",        "aten::split_with_sizes",
      "aten::unbind",       "aten::tensor_split", "aten::unsafe_chunk",
      "aten::unsafe_split", "aten::hsplit",       "aten::vsplit",
      "aten::dsplit"};
  return names.contains(name);
}

bool handsOn(StringRef name) {
  return name == "prim::unchecked_cast" || name == "aten::_unwrap_optional" ||
         name == "aten::wait";
}

bool readsContainer(OperatorOp op) {
  static const llvm::StringSet<> names = {
      "aten::__getitem__", "aten::get",  "aten::pop",   "aten::list",
      "aten::copy",        "aten::add",  "aten::slice", "aten::values",
      "aten::items",       "aten::add_", "aten::append"};
  return names.contains(op.getName());
}

std::optional<unsigned> getTrainingOperand(OperatorOp op) {
  unsigned operand =
      llvm::StringSwitch<unsigned>(op.getName())
          .Cases({"aten::dropout", "aten::dropout_", "aten::feature_dropout",
                  "aten::feature_dropout_", "aten::alpha_dropout",
                  "aten::alpha_dropout_", "aten::feature_alpha_dropout",
                  "aten::native_dropout"},
                 2)
          .Cases({"aten::batch_norm", "aten::instance_norm",
                  "aten::_batch_norm_impl_index", "aten::native_batch_norm",
                  "aten::cudnn_batch_norm", "aten::miopen_batch_norm"},
                 5)
          .Default(~0u);
  if (operand >= op.getNumOperands())
    return std::nullopt;
  return operand;
}

bool isGradMode(OperatorOp op) {
  if (op.getName() != "prim::CallMethod" || op.getNumOperands() == 0)
    return false;
  auto type = dyn_cast<ObjectType>(op.getOperand(0).getType());
  return type &&
         type.getSpelling().starts_with("__torch__.torch.autograd.grad_mode.");
}

bool raises(Block &arm) {
  return llvm::any_of(arm, [](Operation &op) {
    auto oper = dyn_cast<OperatorOp>(op);
    return oper && oper.getName() == "prim::RaiseException";
  });
}

Value getAliasBase(Value value) {
  while (auto op = value.getDefiningOp<OperatorOp>()) {
    int64_t aliased =
        op.getAliasedOperand(cast<OpResult>(value).getResultNumber());
    if (aliased < 0)
      break;
    value = op.getOperand(aliased);
  }
  return value;
}

std::optional<size_t> getPlace(Attribute index, size_t size) {
  auto number = dyn_cast_or_null<IntegerAttr>(index);
  if (!number || isa<BoolAttr>(index))
    return std::nullopt;
  int64_t place = number.getInt();
  if (place < 0)
    place += size;
  if (place < 0 || place >= static_cast<int64_t>(size))
    return std::nullopt;
  return place;
}

} // namespace fqat
