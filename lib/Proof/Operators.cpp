//===- Operators.cpp - Operators in a symbolic run -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Operators.h"
#include "Executor.h"
#include "fqat/Analysis/Folding.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

#include <algorithm>

using namespace mlir;

namespace fqat {

/// Operators whose tensor is always a view of their first operand.
static bool isView(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::view",       "aten::select",    "aten::slice",
      "aten::narrow",     "aten::transpose", "aten::permute",
      "aten::t",          "aten::unsqueeze", "aten::squeeze",
      "aten::expand",     "aten::detach",    "aten::alias",
      "aten::diagonal",   "aten::movedim",   "aten::swapaxes",
      "aten::swapdims",   "aten::numpy_T",   "aten::unflatten",
      "aten::as_strided", "aten::unfold",    "aten::view_as_real",
      "aten::real",       "aten::imag",      "prim::data"};
  return names.contains(name);
}

/// In-place operators that compute, by their names, what the same name without
/// the underscore does: the result has the operand's dtype in both forms, where
/// the in-place one does not fail.
static StringRef getOutOfPlaceName(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::relu_",
      "aten::relu6_",
      "aten::hardtanh_",
      "aten::leaky_relu_",
      "aten::elu_",
      "aten::celu_",
      "aten::selu_",
      "aten::silu_",
      "aten::mish_",
      "aten::gelu_",
      "aten::hardswish_",
      "aten::hardsigmoid_",
      "aten::sigmoid_",
      "aten::tanh_",
      "aten::dropout_",
      "aten::threshold_",
      "aten::feature_dropout_",
  };
  return names.contains(name) ? name.drop_back() : StringRef();
}

bool changesShape(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::transpose_", "aten::squeeze_",   "aten::unsqueeze_",
      "aten::t_",         "aten::swapaxes_",  "aten::swapdims_",
      "aten::resize_",    "aten::resize_as_", "aten::set_",
      "aten::set_data",   "aten::as_strided_"};
  return names.contains(name);
}

bool Executor::isSwitchedOff(OperatorOp op, Environment &values) {
  std::optional<unsigned> flag = getTrainingOperand(op);
  if (!flag)
    return false;
  auto training = getConstant(values[op.getOperand(*flag)]);
  auto isOn = training ? dyn_cast<BoolAttr>(*training) : BoolAttr();
  return isOn && !isOn.getValue();
}

bool Executor::foldOp(OperatorOp op, Environment &values) {
  if (op->getNumResults() != 1 || op.hasWrites() || op.getEffects() ||
      op->getNumOperands() == 0)
    return false;
  SmallVector<Attribute> operands;
  for (Value operand : op.getOperands())
    operands.push_back(getConstant(values[operand]).value_or(Attribute()));
  StringRef name = op.getName();
  if (op.getNumOperands() == 1 && name.starts_with("prim::m"))
    if (const Items *items = getItems(values[op.getOperand(0)]);
        items && items->values.size() == 2)
      operands = {getConstant(items->values[0]).value_or(Attribute()),
                  getConstant(items->values[1]).value_or(Attribute())};
  Attribute result;
  if (name == "aten::__is__" || name == "aten::__isnot__") {
    // Whether something is None is known of what cannot be, or is.
    std::optional<bool> none[2];
    for (unsigned i : {0, 1}) {
      const SymbolicValue &value = values[op.getOperand(i)];
      Type type = op.getOperand(i).getType();
      if (operands[i])
        none[i] = isa<UnitAttr>(operands[i]);
      else if (value.kind == SymbolicValue::Tuple ||
               (value.kind == SymbolicValue::Container && getItems(value)) ||
               !isa<OptionalType, NoneType, AnyValueType, ObjectType>(type))
        none[i] = false;
      else if (value.kind == SymbolicValue::Tensor) {
        // An operator's result is a tensor; an argument may be None.
        StringRef made = terms.getName(getShape(value)).getValue();
        if (made.contains("::") || made == "stored")
          none[i] = false;
      }
    }
    if (none[0] && none[1] && (*none[0] || *none[1]))
      result = BoolAttr::get(op.getContext(), (*none[0] == *none[1]) ==
                                                  (name == "aten::__is__"));
  } else {
    result = foldOperator(name, operands);
  }
  if (!result)
    return false;
  values[op.getResult(0)] = makeConstant(result);
  return true;
}

bool Executor::runContainerOp(OperatorOp op, Environment &values) {
  StringRef name = op.getName();
  if (name == "aten::dict") {
    auto items = std::make_shared<Items>();
    items->isDict = true;
    if (op.getNumOperands() == 1) {
      const Items *pairs = getItems(values[op.getOperand(0)]);
      if (!pairs)
        return false;
      for (const SymbolicValue &pair : pairs->values) {
        if (pair.kind != SymbolicValue::Tuple || pair.elements->size() != 2 ||
            !getConstant((*pair.elements)[0]))
          return false;
        Term key = resolve((*pair.elements)[0].term);
        if (llvm::is_contained(items->keys, key))
          return false;
        items->keys.push_back(key);
        items->values.push_back((*pair.elements)[1]);
      }
    } else if (op.getNumOperands() != 0) {
      return false;
    }
    values[op.getResult(0)] = makeContainer(std::move(items));
    return true;
  }
  if (op.getNumOperands() == 0 || !name.starts_with("aten::"))
    return false;
  SymbolicValue first = values[op.getOperand(0)];
  if (first.kind != SymbolicValue::Container)
    return false;
  name = op.getShortName();
  auto give = [&](SymbolicValue value) {
    if (op->getNumResults() != 0)
      values[op.getResult(0)] = std::move(value);
    return true;
  };
  auto getKey = [&](unsigned i) {
    return i < op.getNumOperands()
               ? getConstant(values[op.getOperand(i)]).value_or(Attribute())
               : Attribute();
  };
  Builder builder(op.getContext());
  if (name == "__getitem__" && !getItems(first) &&
      isa<ListType>(op.getOperand(0).getType())) {
    auto index = dyn_cast_or_null<IntegerAttr>(getKey(1));
    if (!index || index.getInt() < 0)
      return false;
    return give(getPart(first, index.getInt(), op.getResult(0).getType()));
  }
  if ((name == "list" || name == "copy") && !getItems(first) &&
      isa<ListType>(op.getOperand(0).getType())) {
    // Another list of the same elements.
    SymbolicValue list =
        makeUnknown(op.getResult(0).getType(),
                    resolve(locations[first.location].state.content));
    locations[list.location].splitFrom = locations[first.location].splitFrom;
    return give(list);
  }
  // Held, because a write gives the location others.
  std::shared_ptr<const Items> items = locations[first.location].state.items;
  if (!items)
    return false;
  size_t size = items->values.size();
  auto findKey = [&](unsigned operand) -> std::optional<size_t> {
    if (!items->isDict)
      return getPlace(getKey(operand), size);
    if (!getKey(operand))
      return std::nullopt;
    Term key = resolve(values[op.getOperand(operand)].term);
    auto it = llvm::find(items->keys, key);
    return it == items->keys.end()
               ? std::nullopt
               : std::optional<size_t>(it - items->keys.begin());
  };
  if (name == "__getitem__") {
    std::optional<size_t> place = findKey(1);
    return place && give(items->values[*place]);
  }
  if (name == "len")
    return give(makeConstant(builder.getI64IntegerAttr(size)));
  if (name == "list" || name == "copy") {
    if (!items->isDict)
      return give(makeContainer(items));
    return name == "copy" && give(makeContainer(items));
  }
  if (name == "keys" && items->isDict) {
    Values keys;
    for (Term key : items->keys)
      keys.push_back(makeScalar(key));
    return give(makeList(std::move(keys)));
  }
  if (name == "values" && items->isDict)
    return give(makeList(items->values));
  if (name == "items" && items->isDict) {
    Values pairs;
    for (auto [key, value] : llvm::zip(items->keys, items->values))
      pairs.push_back(makeTuple({makeScalar(key), value}));
    return give(makeList(std::move(pairs)));
  }
  if (name == "__contains__") {
    Attribute key = getKey(1);
    if (!key || !isa<IntegerAttr, StringAttr>(key))
      return false;
    bool found = false;
    for (size_t i = 0; i != size; ++i) {
      Attribute held =
          items->isDict ? terms.getConstantValue(items->keys[i])
                        : getConstant(items->values[i]).value_or(Attribute());
      if (!held || held.getTypeID() != key.getTypeID())
        return false;
      found |= held == key;
    }
    return give(makeConstant(builder.getBoolAttr(found)));
  }
  if (name == "add" && !items->isDict) {
    const Items *other = getItems(values[op.getOperand(1)]);
    if (!other)
      return false;
    Values all = items->values;
    llvm::append_range(all, other->values);
    return give(makeList(std::move(all)));
  }
  if (name == "slice" && !items->isDict && op.getNumOperands() == 4) {
    auto getBound = [&](unsigned i, int64_t none) -> std::optional<int64_t> {
      Attribute bound = getKey(i);
      if (isa_and_nonnull<UnitAttr>(bound))
        return none;
      auto number = dyn_cast_or_null<IntegerAttr>(bound);
      return number ? std::optional<int64_t>(number.getInt()) : std::nullopt;
    };
    std::optional<int64_t> begin = getBound(1, 0), end = getBound(2, INT64_MAX),
                           step = getBound(3, 1);
    if (!begin || !end || step != 1)
      return false;
    auto clamp = [&](int64_t i) {
      return std::clamp<int64_t>(i < 0 ? i + int64_t(size) : i, 0, size);
    };
    Values some;
    for (int64_t i = clamp(*begin); i < clamp(*end); ++i)
      some.push_back(items->values[i]);
    return give(makeList(std::move(some)));
  }
  if (!op.hasWrites() || locations[first.location].isEither)
    return false;
  auto changed = std::make_shared<Items>(*items);
  if (name == "append" && !items->isDict) {
    changed->values.push_back(values[op.getOperand(1)]);
  } else if ((name == "extend" || name == "add_") && !items->isDict) {
    const Items *other = getItems(values[op.getOperand(1)]);
    if (!other)
      return false;
    llvm::append_range(changed->values, other->values);
  } else if (name == "clear") {
    changed->values.clear();
    changed->keys.clear();
  } else if (name == "reverse" && !items->isDict) {
    std::reverse(changed->values.begin(), changed->values.end());
  } else if (name == "insert" && !items->isDict) {
    auto index = dyn_cast_or_null<IntegerAttr>(getKey(1));
    if (!index)
      return false;
    int64_t i = index.getInt();
    i = std::clamp<int64_t>(i < 0 ? i + int64_t(size) : i, 0, size);
    changed->values.insert(changed->values.begin() + i,
                           values[op.getOperand(2)]);
  } else if (name == "_set_item") {
    std::optional<size_t> place = findKey(1);
    if (place) {
      changed->values[*place] = values[op.getOperand(2)];
    } else if (items->isDict && getKey(1)) {
      changed->keys.push_back(resolve(values[op.getOperand(1)].term));
      changed->values.push_back(values[op.getOperand(2)]);
    } else {
      return false;
    }
  } else if (name == "pop" || name == "Delete") {
    std::optional<size_t> place = op.getNumOperands() > 1 ? findKey(1)
                                  : size != 0 ? std::optional<size_t>(size - 1)
                                              : std::nullopt;
    if (!place)
      return false;
    SymbolicValue popped = changed->values[*place];
    changed->values.erase(changed->values.begin() + *place);
    if (items->isDict)
      changed->keys.erase(changed->keys.begin() + *place);
    setState(first.location, {0, 0, std::move(changed)});
    return give(popped);
  } else {
    return false;
  }
  setState(first.location, {0, 0, std::move(changed)});
  return give(first);
}

LogicalResult Executor::runEffect(OperatorOp op, ArrayRef<Term> operands,
                                  Environment &values) {
  SmallVector<Term> parts(operands);
  bool isDecidedBySizes = loopDepth == 0;
  for (auto [condition, taken] : conditions)
    isDecidedBySizes &= terms.isMadeOfSizes(condition);
  Attribute detail = op.getOverloadAttr();
  if (op.getName() == "prim::RaiseException" && isDecidedBySizes) {
    // It is reached on the same inputs, whatever else happens before; what is
    // seen from outside before it is part of it.
    SmallVector<Term> guards;
    for (auto [condition, taken] : conditions)
      guards.push_back(taken ? condition : terms.get("not", {condition}));
    llvm::sort(guards);
    guards.erase(llvm::unique(guards), guards.end());
    parts.push_back(read(effectLocation));
    parts.push_back(terms.get("guards", guards));
    shapeChecks.insert(note(terms.get(op.getNameAttr(), detail, parts), op));
    return success();
  }
  parts.push_back(read(effectLocation));
  Term effect = note(terms.get(op.getNameAttr(), detail, parts), op);
  setState(effectLocation, {effect, 0, nullptr});
  if (op.getName() == "prim::RaiseException" || op.getName() == "prim::Print" ||
      op.getName() == "aten::warn")
    return success();
  // It may change whatever it is handed.
  for (Value operand : op.getOperands()) {
    llvm::SmallSetVector<unsigned, 4> found;
    collectLocations(values[operand], found);
    for (unsigned location : found) {
      if (locations[location].isContainer) {
        writeUnknown(location, effect);
        continue;
      }
      SymbolicValue tensor;
      tensor.kind = SymbolicValue::Tensor;
      tensor.term = memory;
      tensor.location = location;
      writeTensor(tensor, terms.get("maybe_written", {read(location), effect}),
                  /*changesShape=*/false);
    }
  }
  for (auto [i, result] : llvm::enumerate(op.getResults()))
    values[result] =
        makeUnknown(result.getType(), terms.get("result", {effect}, i));
  return success();
}

LogicalResult Executor::runOperator(OperatorOp op, Environment &values) {
  StringRef name = op.getName();
  if (op->getNumResults() == 1 && handsOn(name)) {
    values[op.getResult(0)] = values[op.getOperand(0)];
    return success();
  }
  if (name == "prim::Uninitialized") {
    values[op.getResult(0)] =
        makeUnknown(op.getResult(0).getType(), terms.get("uninitialized", {}),
                    /*isShared=*/false);
    return success();
  }
  if (foldOp(op, values) || runContainerOp(op, values))
    return success();
  if (name == "prim::TupleIndex")
    if (auto index = getConstant(values[op.getOperand(1)])) {
      const SymbolicValue &tuple = values[op.getOperand(0)];
      if (tuple.kind == SymbolicValue::Tuple)
        if (auto place = getPlace(*index, tuple.elements->size())) {
          SymbolicValue element = (*tuple.elements)[*place];
          values[op.getResult(0)] = element;
          return success();
        }
    }

  bool isOff = isSwitchedOff(op, values);
  if (isOff && name.contains("dropout") && op->getNumResults() == 1) {
    // Handed on as it is; out of place, torch may say that it is another one.
    values[op.getResult(0)] = values[op.getOperand(0)];
    return success();
  }
  bool sizesOnly = readsSizesOnly(name);
  SmallVector<Term> operands;
  for (Value operand : op.getOperands())
    operands.push_back(sizesOnly ? getShape(values[operand])
                                 : getContent(values[operand]));
  if (op.getEffects()) {
    if (isGradMode(op)) {
      for (auto [i, result] : llvm::enumerate(op.getResults()))
        values[result] =
            makeUnknown(result.getType(), terms.get("grad_mode", {}, i));
      return success();
    }
    return runEffect(op, operands, values);
  }
  normalizeSlice(op, operands);
  StringRef outOfPlace = getOutOfPlaceName(name);
  StringAttr label = outOfPlace.empty()
                         ? op.getNameAttr()
                         : StringAttr::get(op.getContext(), outOfPlace);
  Attribute detail = op.getOverloadAttr();
  if (op.getExtra())
    detail = ArrayAttr::get(
        op.getContext(),
        {detail ? detail : Attribute(UnitAttr::get(op.getContext())),
         op.getExtraAttr()});
  bool isRandom = op.getRandom() && !isOff;
  if (isRandom)
    operands.push_back(getRandom());
  // The content of a clone is that of its source.
  bool isCopy = name == "aten::clone" && op.getNumOperands() == 2 &&
                isa_and_nonnull<UnitAttr>(
                    getConstant(values[op.getOperand(1)]).value_or(nullptr));
  std::optional<Term> known;
  if (isCopy)
    known = operands[0];
  else if (name == "aten::cat" && operands.size() == 2)
    known = joinParts(operands[0], operands[1]);
  else if (name == "aten::copy_" && operands.size() == 3 &&
           getKind(operands[0]) == getKind(operands[1]))
    // Nothing to convert, and no size to spread over another.
    known = operands[1];
  Term term = known ? *known : note(terms.get(label, detail, operands), op);
  // Out of place, these convert what is no float; in place, they fail on it.
  if (name == "aten::sigmoid_" || name == "aten::tanh_")
    if (isOriginal && conditions.empty() && loopDepth == 0)
      terms.noteInPlace(term);
  if (isRandom)
    setState(randomLocation, {terms.get("drawn", {term}), 0, nullptr});

  ArrayRef<int64_t> writes;
  if (op.hasWrites() && !isOff)
    writes = op.getWritesAttr().asArrayRef();
  bool isInPlace =
      writes.size() == 1 && op->getNumResults() <= 1 &&
      (op->getNumResults() == 0 || op.getAliasedOperand(0) == writes.front());
  for (int64_t index : writes) {
    const SymbolicValue written = values[op.getOperand(index)];
    Term content = isInPlace ? term : terms.get("written", {term}, index);
    if (written.kind == SymbolicValue::Tensor) {
      writeTensor(written, content, changesShape(name));
    } else if (written.kind == SymbolicValue::Container) {
      if (locations[written.location].isEither ||
          locations[written.location].splitFrom)
        return undecided(op, "the list that is changed here may be another "
                             "one's as well");
      writeUnknown(written.location, content);
      // What it may hold from now on.
      for (Value operand : op.getOperands())
        shareElements(values[operand]);
    } else if (!getConstant(written)) {
      // A None is not written.
      return undecided(op, "what is written here is not known");
    }
  }

  for (auto [i, result] : llvm::enumerate(op.getResults())) {
    Term content =
        op->getNumResults() == 1 ? term : terms.get("result", {term}, i);
    int64_t aliased = op.getAliasedOperand(i);
    Type type = result.getType();
    if (aliased < 0) {
      // Parts that are put together have the sizes of what they are parts of.
      Term shape = content;
      while (known && terms.isWrite(shape))
        shape = terms.getOperands(shape).front();
      if (isa<TensorType>(type))
        values[result] = makeTensor(content, shape);
      else
        values[result] = makeUnknown(type, content,
                                     /*isShared=*/!isa<TupleType>(type));
      continue;
    }
    SymbolicValue source = values[op.getOperand(aliased)];
    if (op.isWritten(aliased)) {
      values[result] = source;
      continue;
    }
    if (source.kind == SymbolicValue::Tensor && aliased == 0 &&
        isa<TensorType>(type) && isView(name)) {
      if (takesWhole(op, operands)) {
        values[result] = source;
        continue;
      }
      SmallVector<Term> parts(operands);
      parts[0] = source.term;
      SymbolicValue view = source;
      view.term = terms.get(label, detail, parts);
      values[result] = view;
      continue;
    }
    if (source.kind == SymbolicValue::Tensor && aliased == 0 &&
        isa<ListType>(type) && splitsTensor(name)) {
      SmallVector<Term> parts(operands);
      parts[0] = source.term;
      SymbolicValue split = source;
      split.term = terms.get(label, detail, parts);
      SymbolicValue list;
      list.kind = SymbolicValue::Container;
      list.location = addLocation({content, content, nullptr}, true);
      locations[list.location].splitFrom =
          std::make_shared<const SymbolicValue>(split);
      values[result] = list;
      continue;
    }
    // It may be the operand's memory, or that of its elements.
    SymbolicValue made = makeUnknown(type, content, /*isShared=*/false);
    llvm::SmallSetVector<unsigned, 4> found, own;
    collectLocations(source, found);
    collectLocations(made, own);
    for (unsigned location : own)
      for (unsigned other : found)
        uniteGroups(other, location);
    if (source.kind == SymbolicValue::Container)
      shareElements(made);
    values[result] = made;
  }
  return success();
}

} // namespace fqat
