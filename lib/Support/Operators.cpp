//===- Operators.cpp - What is known of TorchScript's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Operators.h"
#include "fqat/Support/Model.h"

#include "llvm/ADT/StringMap.h"
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

/// What derivatives.yaml keeps of the out-of-place operators.
static const llvm::StringMap<Saved> &getSavedTable() {
  static const llvm::StringMap<Saved> table = [] {
    llvm::StringMap<Saved> made;
    auto add = [&](Saved saved, StringRef words) {
      SmallVector<StringRef> names;
      words.split(names, ' ');
      for (StringRef name : names)
        made[name] = saved;
    };
    // Sizes, indices and masks are no memory of the model.
    add(Saved::Nothing,
        "add sub rsub neg cat concat stack hstack vstack view reshape "
        "view_as reshape_as _reshape_alias _unsafe_view permute "
        "transpose t unsqueeze squeeze slice select narrow expand "
        "expand_as flatten unflatten ravel movedim swapaxes swapdims "
        "chunk split split_with_sizes tensor_split unbind unsafe_chunk "
        "unsafe_split contiguous clone to type_as float half double "
        "alias detach diagonal unfold im2col col2im repeat "
        "repeat_interleave tile roll flip mean sum cumsum pad "
        "constant_pad_nd upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d upsample_linear1d upsample_bilinear2d "
        "upsample_trilinear3d upsample_bicubic2d dropout "
        "feature_dropout alpha_dropout feature_alpha_dropout "
        "pixel_shuffle pixel_unshuffle channel_shuffle copy fill zero "
        "index index_select index_put gather scatter scatter_add "
        "embedding masked_fill masked_select where tril triu "
        "broadcast_tensors meshgrid lift_fresh zeros_like ones_like "
        "empty_like full_like rand_like randn_like new_zeros new_ones "
        "new_empty new_full floor ceil round trunc sign");
    add(Saved::Factors, "mul matmul mm bmm mv dot");
    add(Saved::Operands,
        "_convolution _convolution_mode convolution conv1d conv2d "
        "conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
        "linear addmm addbmm baddbmm addmv addcmul addcdiv einsum "
        "bilinear div batch_norm _batch_norm_impl_index "
        "native_batch_norm instance_norm layer_norm native_layer_norm "
        "group_norm native_group_norm local_response_norm silu mish "
        "gelu hardswish hardsigmoid prelu log_sigmoid abs log log2 "
        "log10 log1p sin cos square clamp clamp_min clamp_max maximum "
        "minimum hypot atan2 lerp max_pool1d max_pool2d max_pool3d "
        "max_pool2d_with_indices adaptive_max_pool2d avg_pool1d "
        "avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d reflection_pad1d reflection_pad2d "
        "replication_pad1d replication_pad2d grid_sampler "
        "grid_sampler_2d var prod");
    add(Saved::Result, "relu sigmoid tanh exp softmax log_softmax sqrt rsqrt "
                       "reciprocal");
    return made;
  }();
  return table;
}

Saved getSaved(StringRef name) {
  if (!name.consume_front("aten::"))
    return Saved::All;
  bool isInPlace = name.ends_with("_") && !name.ends_with("__");
  // In place, these compute their gradient from what they have made.
  static const llvm::StringSet<> keepResult = {
      "leaky_relu_", "elu_",   "celu_",      "selu_",
      "hardtanh_",   "relu6_", "threshold_", "rrelu_"};
  if (isInPlace && keepResult.contains(name))
    return Saved::Result;
  const llvm::StringMap<Saved> &table = getSavedTable();
  auto it = table.find(isInPlace ? name.drop_back() : name);
  return it == table.end() ? Saved::All : it->second;
}

bool stopsGradient(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::detach",      "aten::gt",          "aten::lt",
      "aten::ge",          "aten::le",          "aten::eq",
      "aten::ne",          "aten::argmax",      "aten::argmin",
      "aten::argsort",     "aten::logical_not", "aten::logical_and",
      "aten::logical_or",  "aten::isnan",       "aten::nonzero",
      "aten::zeros_like",  "aten::ones_like",   "aten::empty_like",
      "aten::full_like",   "aten::rand_like",   "aten::randn_like",
      "aten::new_zeros",   "aten::new_ones",    "aten::new_empty",
      "aten::new_full",    "aten::arange",      "aten::zeros",
      "aten::ones",        "aten::empty",       "aten::full",
      "aten::bernoulli",   "prim::data",        "aten::floor_divide",
      "aten::bitwise_not", "aten::bitwise_and", "aten::bitwise_or"};
  return names.contains(name);
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

Attribute getConstant(Value value) {
  if (auto constant = value.getDefiningOp<ConstantOp>())
    return constant.getValue();
  Operation *op = value.getDefiningOp();
  if (!isa_and_nonnull<ListOp, TupleOp>(op))
    return {};
  SmallVector<Attribute> elements;
  for (Value operand : op->getOperands()) {
    Attribute element = getConstant(operand);
    if (!element)
      return {};
    elements.push_back(element);
  }
  return ArrayAttr::get(value.getContext(), elements);
}

std::optional<SmallVector<int64_t>> getInts(Attribute value) {
  if (!value)
    return std::nullopt;
  ArrayAttr elements = getListElements(value);
  if (!elements)
    elements = dyn_cast<ArrayAttr>(value);
  if (!elements)
    return std::nullopt;
  SmallVector<int64_t> numbers;
  for (Attribute element : elements) {
    auto number = dyn_cast<IntegerAttr>(element);
    if (!number)
      return std::nullopt;
    numbers.push_back(number.getInt());
  }
  return numbers;
}

} // namespace fqat
