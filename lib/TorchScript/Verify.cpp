//===- Verify.cpp - Runs two model files and compares them -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Verify.h"

#include "Archive.h"

#include "fqat/TorchScript/Kernels.h"
#include "fqat/TorchScript/Pickle.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MemoryBuffer.h"
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cstring>

using llvm::StringRef;
using llvm::Twine;
using IValues = std::vector<c10::IValue>;

namespace fqat {

static llvm::Error makeError(const Twine &message) {
  return llvm::createStringError(message.str());
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

/// Whether libtorch can copy a value, which it does by calling itself: none
/// that contains itself or nests very deep. `numLeft` is how many values may be
/// looked at.
static bool canBeCopied(const c10::IValue &value, unsigned depth,
                        size_t &numLeft) {
  constexpr unsigned deepest = 200;
  if (depth == deepest || numLeft == 0)
    return false;
  --numLeft;
  auto canAll = [&](auto &&items) {
    return llvm::all_of(items, [&](const c10::IValue &item) {
      return canBeCopied(item, depth + 1, numLeft);
    });
  };
  if (value.isTuple())
    return canAll(value.toTupleRef().elements());
  if (value.isList())
    return canAll(value.toListRef());
  if (value.isGenericDict()) {
    for (const auto &entry : value.toGenericDict())
      if (!canBeCopied(entry.key(), depth + 1, numLeft) ||
          !canBeCopied(entry.value(), depth + 1, numLeft))
        return false;
  }
  return true;
}

static llvm::Expected<IValues> readInputs(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return makeError(path + ": " + buffer.getError().message());
  StringRef bytes = (*buffer)->getBuffer();
  c10::IValue value;
  try {
    value = torch::jit::pickle_load({bytes.begin(), bytes.end()});
  } catch (const std::exception &error) {
    return makeError(path + ": no inputs that torch.save has written: " +
                     cleanMessage(error));
  }
  size_t numLeft = 10'000'000;
  if (!canBeCopied(value, 0, numLeft))
    return makeError(path +
                     ": the inputs contain themselves, or nest too deep");
  if (value.isTuple())
    return IValues(value.toTupleRef().elements().begin(),
                   value.toTupleRef().elements().end());
  if (value.isList())
    return IValues(value.toListRef().begin(), value.toListRef().end());
  return IValues{value};
}

namespace {
/// Makes random values in the forms of the values that a model was traced with.
/// Integers are below `bound`.
class InputMaker {
public:
  explicit InputMaker(int64_t bound) : bound(bound) {}

  /// Nothing for what is in no form that tracing takes.
  std::optional<c10::IValue> make(const PickleValue &value);

private:
  std::optional<c10::IValue> makeTensor(const PickleValue &call);
  std::optional<IValues> makeAll(llvm::ArrayRef<const PickleValue *> values);

  int64_t bound;
};
} // namespace

std::optional<IValues>
InputMaker::makeAll(llvm::ArrayRef<const PickleValue *> values) {
  IValues result;
  for (const PickleValue *value : values) {
    std::optional<c10::IValue> made = make(*value);
    if (!made)
      return std::nullopt;
    result.push_back(std::move(*made));
  }
  return result;
}

std::optional<c10::IValue> InputMaker::makeTensor(const PickleValue &call) {
  // (storage, offset, sizes, strides, ...), the storage a tuple of 'storage',
  // its type, its name, its device and its length.
  auto arguments = call.arguments();
  if (arguments.size() < 4 || arguments[0]->kind != PickleValue::Persistent ||
      !arguments[0]->items[0]->isTuple() ||
      arguments[0]->items[0]->items.size() < 2)
    return std::nullopt;
  StringRef type = arguments[0]->items[0]->items[1]->text;
  type.consume_front("torch.");
  type.consume_back("Storage");
  std::optional<at::ScalarType> dtype;
  for (int i = 0; i != static_cast<int>(at::ScalarType::NumOptions); ++i)
    if (type == c10::toString(static_cast<at::ScalarType>(i)))
      dtype = static_cast<at::ScalarType>(i);
  if (!dtype)
    return std::nullopt;
  std::vector<int64_t> sizes, strides;
  for (const PickleValue *size : arguments[2]->items)
    sizes.push_back(size->integer);
  for (const PickleValue *stride : arguments[3]->items)
    strides.push_back(stride->integer);
  at::Tensor filled;
  if (*dtype == at::kBool)
    filled = at::randint(2, sizes, at::kLong).to(at::kBool);
  else if (at::isIntegralType(*dtype, /*includeBool=*/false))
    filled = at::randint(bound, sizes, at::kLong).to(*dtype);
  else
    filled = at::randn(sizes, at::isComplexType(*dtype) ? at::kComplexDouble
                                                        : at::kDouble)
                 .to(*dtype);
  // An expanded one cannot be filled.
  if (llvm::is_contained(strides, 0) || sizes.size() != strides.size())
    return filled;
  at::Tensor tensor = at::empty_strided(sizes, strides, *dtype);
  tensor.copy_(filled);
  return tensor;
}

std::optional<c10::IValue> InputMaker::make(const PickleValue &value) {
  switch (value.kind) {
  case PickleValue::None:
    return c10::IValue();
  case PickleValue::Bool:
    return c10::IValue(value.integer != 0);
  case PickleValue::Int:
    return c10::IValue(value.integer);
  case PickleValue::Float:
    return c10::IValue(value.real);
  case PickleValue::String:
    return c10::IValue(value.text);
  case PickleValue::Tuple: {
    std::optional<IValues> elements = makeAll(value.items);
    if (!elements)
      return std::nullopt;
    return c10::ivalue::Tuple::create(std::move(*elements));
  }
  case PickleValue::Reduce:
    break;
  default:
    return std::nullopt;
  }
  if (value.isCallOf("torch._utils._rebuild_tensor_v2"))
    return makeTensor(value);
  // A list or a dict with its type.
  if (!value.isCallOf("torch.jit._pickle.restore_type_tag") ||
      value.arguments().empty())
    return std::nullopt;
  const PickleValue &held = *value.arguments().front();
  std::optional<IValues> items = makeAll(held.items);
  if (!items || items->empty())
    return std::nullopt;
  if (held.kind == PickleValue::List) {
    c10::List<c10::IValue> list(items->front().type());
    for (c10::IValue &item : *items)
      list.push_back(std::move(item));
    return list;
  }
  if (held.kind != PickleValue::Dict)
    return std::nullopt;
  c10::Dict<c10::IValue, c10::IValue> dict((*items)[0].type(),
                                           (*items)[1].type());
  for (size_t i = 0; i + 1 < items->size(); i += 2)
    dict.insert((*items)[i], (*items)[i + 1]);
  return dict;
}

static std::optional<IValues> makeInputs(const PickleValue &record,
                                         int64_t bound) {
  // A dict of lists by method, both with their types.
  auto unwrap = [](const PickleValue *value) {
    while (value->isCallOf("torch.jit._pickle.restore_type_tag") &&
           !value->arguments().empty())
      value = value->arguments().front();
    return value;
  };
  const PickleValue *methods = unwrap(&record);
  if (methods->kind != PickleValue::Dict)
    return std::nullopt;
  for (size_t i = 0; i + 1 < methods->items.size(); i += 2) {
    if (methods->items[i]->text != "forward")
      continue;
    IValues inputs;
    for (const PickleValue *value : unwrap(methods->items[i + 1])->items) {
      std::optional<c10::IValue> made = InputMaker(bound).make(*value);
      if (!made)
        return std::nullopt;
      inputs.push_back(std::move(*made));
    }
    return inputs;
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Comparing
//===----------------------------------------------------------------------===//

static std::string compareTensors(const at::Tensor &a, const at::Tensor &b,
                                  const std::string &path) {
  if (a.defined() != b.defined())
    return path + " is a tensor on one side only";
  if (!a.defined())
    return "";
  if (a.scalar_type() != b.scalar_type() || a.layout() != b.layout() ||
      a.sizes() != b.sizes())
    return path + " has another dtype, layout or size";
  if (a.is_sparse() || a.is_quantized() || a.layout() != at::kStrided) {
    if (a.is_quantized())
      return a.qscheme() == b.qscheme() && at::equal(a, b) ? ""
                                                           : path + " differs";
    return compareTensors(a.to_dense(), b.to_dense(), path);
  }
  if (a.strides() != b.strides())
    return path + " has other strides";
  auto getBits = [](const at::Tensor &tensor) {
    return tensor.resolve_conj().resolve_neg().cpu().contiguous();
  };
  at::Tensor bitsA = getBits(a), bitsB = getBits(b);
  if (std::memcmp(bitsA.const_data_ptr(), bitsB.const_data_ptr(),
                  bitsA.nbytes()) == 0)
    return "";
  const char *bytesA = static_cast<const char *>(bitsA.const_data_ptr());
  const char *bytesB = static_cast<const char *>(bitsB.const_data_ptr());
  size_t first = 0, size = bitsA.element_size();
  while (std::memcmp(bytesA + first * size, bytesB + first * size, size) == 0)
    ++first;
  return path + " differs, first in element " + std::to_string(first);
}

static std::string compareValues(const c10::IValue &a, const c10::IValue &b,
                                 const std::string &path) {
  if (a.isTensor() && b.isTensor())
    return compareTensors(a.toTensor(), b.toTensor(), path);
  if (a.tagKind() != b.tagKind())
    return path + " is of another kind";
  auto compareAll = [&](auto &&itemsA, auto &&itemsB) -> std::string {
    if (itemsA.size() != itemsB.size())
      return path + " has another length";
    for (size_t i = 0; i != itemsA.size(); ++i) {
      std::string found = compareValues(itemsA[i], itemsB[i],
                                        path + "[" + std::to_string(i) + "]");
      if (!found.empty())
        return found;
    }
    return "";
  };
  if (a.isTuple())
    return compareAll(a.toTupleRef().elements(), b.toTupleRef().elements());
  if (a.isList())
    return compareAll(a.toListRef(), b.toListRef());
  if (a.isGenericDict()) {
    IValues itemsA, itemsB;
    for (auto [dict, items] : {std::pair(a.toGenericDict(), &itemsA),
                               std::pair(b.toGenericDict(), &itemsB)})
      for (const auto &entry : dict) {
        items->push_back(entry.key());
        items->push_back(entry.value());
      }
    return compareAll(itemsA, itemsB);
  }
  if (a.isDouble()) {
    // By their bits: NaN equals itself, and -0.0 is not 0.0.
    return llvm::bit_cast<uint64_t>(a.toDouble()) ==
                   llvm::bit_cast<uint64_t>(b.toDouble())
               ? ""
               : path + " differs";
  }
  if (a.isObject()) {
    auto objectA = a.toObject(), objectB = b.toObject();
    auto type = objectA->type();
    for (size_t i = 0; i != type->numAttributes(); ++i) {
      const std::string &name = type->getAttributeName(i);
      if (!objectB->type()->hasAttribute(name))
        return (Twine(path) + "." + name + " is gone").str();
      std::string found =
          compareValues(objectA->getSlot(i), objectB->getAttr(name),
                        (Twine(path) + "." + name).str());
      if (!found.empty())
        return found;
    }
    return "";
  }
  if (a.isInt() || a.isBool() || a.isString() || a.isNone() || a.isDevice())
    return a == b ? "" : path + " differs";
  // Of the rest (generators, streams) nothing but the kind can be told.
  return "";
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

namespace {
/// One run of one model.
struct Run {
  torch::jit::Module module;
  IValues inputs;
  c10::IValue result;
  at::Tensor randomState;

  /// Runs on copies of `given`; throws what libtorch throws.
  void run(StringRef path, const IValues &given) {
    module = torch::jit::load(path.str());
    for (const c10::IValue &input : given)
      inputs.push_back(input.deepcopy());
    at::manual_seed(0);
    result = module.forward(inputs);
    randomState = at::detail::getDefaultCPUGenerator().get_state();
  }
};
} // namespace

llvm::Expected<RunComparison> compareRuns(StringRef original, StringRef fixed,
                                          StringRef inputs,
                                          StringRef tracedInputs) {
  try {
    requireKernels();
    c10::AutoGradMode noGradients(false);
    // Integers are often indices: what is too big for the model is tried again
    // smaller.
    std::vector<IValues> candidates;
    if (!inputs.empty()) {
      auto read = readInputs(inputs);
      if (!read)
        return read.takeError();
      candidates.push_back(std::move(*read));
    } else {
      if (tracedInputs.empty())
        return makeError("the file does not tell what inputs the model takes; "
                         "give some with --verify=INPUTS.pt");
      auto record = Pickle::parse(tracedInputs);
      if (!record)
        return record.takeError();
      for (int64_t bound : {256, 16, 2, 1}) {
        at::manual_seed(0);
        if (auto made = makeInputs(record->getRoot(), bound))
          candidates.push_back(std::move(*made));
      }
      if (candidates.empty())
        return makeError("the inputs that the model was traced with are in no "
                         "form that can be made up; give some with "
                         "--verify=INPUTS.pt");
    }

    RunComparison comparison;
    std::optional<Run> before;
    const IValues *used = nullptr;
    for (const IValues &candidate : candidates) {
      try {
        before.emplace();
        before->run(original, candidate);
        used = &candidate;
        break;
      } catch (const std::exception &error) {
        before.reset();
        if (comparison.originalFailure.empty())
          comparison.originalFailure = cleanMessage(error);
      }
    }
    if (!before)
      return comparison;
    comparison.originalFailure.clear();
    Run after;
    try {
      after.run(fixed, *used);
    } catch (const std::exception &error) {
      comparison.difference = "the fixed model fails: " + cleanMessage(error);
      return comparison;
    }
    for (const auto &[what, a, b] :
         {std::tuple("the output", before->result, after.result),
          std::tuple("the inputs afterwards",
                     c10::IValue(c10::ivalue::Tuple::create(before->inputs)),
                     c10::IValue(c10::ivalue::Tuple::create(after.inputs))),
          std::tuple("the random state afterwards",
                     c10::IValue(before->randomState),
                     c10::IValue(after.randomState)),
          std::tuple("the model afterwards",
                     c10::IValue(before->module._ivalue()),
                     c10::IValue(after.module._ivalue()))}) {
      comparison.difference = compareValues(a, b, what);
      if (!comparison.difference.empty())
        break;
    }
    return comparison;
  } catch (const std::exception &error) {
    return makeError("libtorch: " + cleanMessage(error));
  }
}

} // namespace fqat
