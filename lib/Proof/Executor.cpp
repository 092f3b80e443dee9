//===- Executor.cpp - A symbolic run of one method -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"
#include "fqat/Analysis/Folding.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

#include <algorithm>

using namespace mlir;

namespace fqat {

// Deeper calls than any model has, shallower than the stack.
static constexpr unsigned maxDepth = 400;
// Loops of more rounds are compared as loops, body against body.
static constexpr int64_t maxRounds = 64;

//===----------------------------------------------------------------------===//
// What operators do
//===----------------------------------------------------------------------===//

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

/// Operators that make a list of views of their first operand.
static bool splits(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::chunk",  "aten::split",  "aten::split_with_sizes", "aten::unbind",
      "aten::hsplit", "aten::vsplit", "aten::tensor_split",     "aten::dsplit"};
  return names.contains(name);
}

/// Views in which one element of memory may stand in several places.
static bool mayRepeat(StringRef name) {
  return name == "aten::expand" || name == "aten::as_strided" ||
         name == "aten::unfold";
}

/// In-place operators that compute, by their names, what the same name without
/// the underscore does: the result has the operand's dtype in both forms. Their
/// result also has the operand's sizes.
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

/// In-place operators after which the tensor has other sizes.
static bool changesShape(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::transpose_", "aten::squeeze_",   "aten::unsqueeze_",
      "aten::t_",         "aten::swapaxes_",  "aten::swapdims_",
      "aten::resize_",    "aten::resize_as_", "aten::set_",
      "aten::set_data"};
  return names.contains(name);
}

bool Executor::isSwitchedOff(OperatorOp op, Environment &values) {
  unsigned flag =
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
  if (flag >= op.getNumOperands())
    return false;
  auto training = getConstant(values[op.getOperand(flag)]);
  auto isOn = training ? dyn_cast<BoolAttr>(*training) : BoolAttr();
  return isOn && !isOn.getValue();
}

/// Whether a value of this type may hold a tensor.
static bool mayHoldTensors(Type type) {
  if (auto list = dyn_cast<ListType>(type))
    return mayHoldTensors(list.getElementType());
  if (auto optional = dyn_cast<OptionalType>(type))
    return mayHoldTensors(optional.getElementType());
  if (auto dict = dyn_cast<DictType>(type))
    return mayHoldTensors(dict.getValueType());
  if (auto tuple = dyn_cast<TupleType>(type))
    return llvm::any_of(tuple.getElementTypes(), mayHoldTensors);
  return isa<TensorType, ObjectType, AnyValueType>(type);
}

/// Whether an op only switches gradients on or off: no number depends on it.
static bool isGradMode(OperatorOp op) {
  if (op.getName() != "prim::CallMethod" || op.getNumOperands() == 0)
    return false;
  auto type = dyn_cast<ObjectType>(op.getOperand(0).getType());
  return type && type.getSpelling().contains("torch.autograd.grad_mode");
}

static bool raises(Block &block) {
  return llvm::any_of(block, [](Operation &op) {
    auto oper = dyn_cast<OperatorOp>(op);
    return oper && oper.getName() == "prim::RaiseException";
  });
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Executor::Executor(TermTable &terms, const Contents &contents,
                   SymbolTable &symbols, mlir::ModuleOp model)
    : terms(terms), contents(contents), symbols(symbols), model(model),
      memory(terms.get("memory", {})) {
  groups.emplace_back();
  for (StringRef start : {"random", "effects", "elements"})
    addLocation({terms.get(start, {}), 0, nullptr}, /*isContainer=*/false);
}

LogicalResult Executor::undecided(Operation *op, const Twine &why) {
  if (!reasonOp) {
    reasonOp = op;
    reason = why.str();
  }
  return failure();
}

SymbolicValue Executor::makeScalar(Term term) {
  SymbolicValue value;
  value.term = term;
  return value;
}

SymbolicValue Executor::makeConstant(Attribute value) {
  return makeScalar(terms.getConstant(value));
}

SymbolicValue Executor::makeTensor(Term content, Term shape) {
  SymbolicValue value;
  value.kind = SymbolicValue::Tensor;
  value.term = memory;
  value.location = addLocation({content, shape, nullptr}, false);
  return value;
}

SymbolicValue Executor::makeTuple(Values elements) {
  SymbolicValue value;
  value.kind = SymbolicValue::Tuple;
  value.elements = std::make_shared<const Values>(std::move(elements));
  return value;
}

SymbolicValue Executor::makeContainer(std::shared_ptr<const Items> items) {
  SymbolicValue value;
  value.kind = SymbolicValue::Container;
  value.location = addLocation({0, 0, std::move(items)}, true);
  locations[value.location].holdsTensors = true;
  return value;
}

SymbolicValue Executor::makeList(Values elements) {
  auto items = std::make_shared<Items>();
  items->values = std::move(elements);
  return makeContainer(std::move(items));
}

SymbolicValue Executor::makeUnknown(Type type, Term term, bool isShared) {
  if (auto optional = dyn_cast<OptionalType>(type))
    return makeUnknown(optional.getElementType(), term, isShared);
  if (isa<NoneType>(type))
    return makeConstant(UnitAttr::get(type.getContext()));
  if (auto tuple = dyn_cast<TupleType>(type)) {
    Values elements;
    for (auto [i, element] : llvm::enumerate(tuple.getElementTypes()))
      elements.push_back(
          makeUnknown(element, terms.get("element", {term}, i), isShared));
    return makeTuple(std::move(elements));
  }
  if (!isa<TensorType, ListType, DictType, ObjectType, AnyValueType>(type))
    return makeScalar(term);
  SymbolicValue value;
  if (isa<TensorType>(type)) {
    value = makeTensor(term, term);
  } else {
    value.kind = SymbolicValue::Container;
    value.location = addLocation({term, term, nullptr}, true);
    locations[value.location].holdsTensors = mayHoldTensors(type);
    isShared &= mayHoldTensors(type);
  }
  // What comes out of a container of unknown elements may be any of them.
  if (isShared)
    uniteGroups(elementsLocation, value.location);
  return value;
}

std::optional<Attribute> Executor::getConstant(const SymbolicValue &value) {
  if (value.kind != SymbolicValue::Scalar)
    return std::nullopt;
  Attribute constant = terms.getConstantValue(resolve(value.term));
  return constant ? std::optional<Attribute>(constant) : std::nullopt;
}

SymbolicValue Executor::makeStored(Attribute value, Type type,
                                   StringAttr slot) {
  if (auto optional = dyn_cast<OptionalType>(type);
      optional && !isa<UnitAttr>(value))
    return makeStored(value, optional.getElementType(), slot);
  if (isa<IntegerAttr, FloatAttr, StringAttr, UnitAttr, DeviceAttr, ComplexAttr,
          EnumAttr>(value))
    return makeConstant(value);
  // One object in several slots.
  if (int64_t identity = getIdentity(value); identity != 0) {
    Attribute key = Builder(value.getContext()).getI64IntegerAttr(identity);
    if (auto it = objects.find(key); it != objects.end())
      return it->second;
    SymbolicValue made = makeStored(
        [&]() -> Attribute {
          if (auto tensor = dyn_cast<TensorAttr>(value))
            return TensorAttr::get(value.getContext(), tensor.getStorage(),
                                   tensor.getDtype(), tensor.getSizes(),
                                   tensor.getStrides(), tensor.getOffset(),
                                   tensor.getRequiresGrad(), 0);
          if (auto list = dyn_cast<ListAttr>(value))
            return ListAttr::get(value.getContext(), list.getElements(),
                                 list.getTypeTag(), 0);
          if (auto dict = dyn_cast<DictAttr>(value))
            return DictAttr::get(value.getContext(), dict.getItems(),
                                 dict.getTypeTag(), 0);
          if (auto build = dyn_cast<BuildAttr>(value))
            return BuildAttr::get(value.getContext(), build.getFunction(),
                                  build.getArguments(), 0);
          return contents.normalize(model, value);
        }(),
        type, slot);
    objects[key] = made;
    return made;
  }
  if (auto tensor = dyn_cast<TensorAttr>(value)) {
    StringAttr storage = tensor.getStorage().getAttr();
    auto [it, isNew] = storages.try_emplace(storage, 0);
    if (isNew) {
      Term content = terms.get("storage", {}, contents.lookup(model, storage));
      it->second = addLocation({content, content, nullptr}, false);
      locations[it->second].isGlobal = true;
    }
    SymbolicValue made;
    made.kind = SymbolicValue::Tensor;
    made.location = it->second;
    Attribute how = TensorAttr::get(
        value.getContext(),
        FlatSymbolRefAttr::get(StringAttr::get(value.getContext(), "$")),
        tensor.getDtype(), tensor.getSizes(), tensor.getStrides(),
        tensor.getOffset(), /*requires_grad=*/false, /*identity=*/0);
    made.term = terms.get("stored", {memory}, how);
    return made;
  }
  if (ArrayAttr list = getListElements(value))
    if (auto listType = dyn_cast<ListType>(type)) {
      Values elements;
      for (Attribute element : list)
        elements.push_back(
            makeStored(element, listType.getElementType(), slot));
      SymbolicValue made = makeList(std::move(elements));
      locations[made.location].holdsTensors = mayHoldTensors(type);
      return made;
    }
  if (auto dict = dyn_cast<DictAttr>(value))
    if (auto dictType = dyn_cast<DictType>(type)) {
      auto items = std::make_shared<Items>();
      items->isDict = true;
      ArrayRef<Attribute> parts = dict.getItems().getValue();
      for (unsigned i = 0; i + 1 < parts.size(); i += 2) {
        items->keys.push_back(
            terms.getConstant(contents.normalize(model, parts[i])));
        items->values.push_back(
            makeStored(parts[i + 1], dictType.getValueType(), slot));
      }
      return makeContainer(std::move(items));
    }
  if (auto tuple = dyn_cast<ArrayAttr>(value))
    if (auto tupleType = dyn_cast<TupleType>(type);
        tupleType && tupleType.getElementTypes().size() == tuple.size()) {
      Values elements;
      for (auto [element, elementType] :
           llvm::zip(tuple, tupleType.getElementTypes()))
        elements.push_back(makeStored(element, elementType, slot));
      return makeTuple(std::move(elements));
    }
  return makeUnknown(type,
                     terms.get("value", {}, contents.normalize(model, value)));
}

SymbolicValue Executor::getCell(StringAttr slot) {
  auto it = slots.find(slot);
  if (it == slots.end()) {
    size_t numBefore = locations.size();
    Operation *op = symbols.lookup(slot);
    Type type = op->getAttrOfType<TypeAttr>("type").getValue();
    Attribute value = getSlotValue(op);
    Values held = {value ? makeStored(value, type, slot)
                         : makeUnknown(type, terms.get("hidden", {}, slot))};
    unsigned cell = makeList(std::move(held)).location;
    for (size_t i = numBefore; i != locations.size(); ++i)
      locations[i].isGlobal = true;
    cellTypes[cell] = type;
    it = slots.try_emplace(slot, cell).first;
  }
  SymbolicValue cell;
  cell.kind = SymbolicValue::Container;
  cell.location = it->second;
  return cell;
}

void Executor::setCell(unsigned cell, SymbolicValue value) {
  auto items = std::make_shared<Items>();
  items->values.push_back(std::move(value));
  setState(cell, {0, 0, std::move(items)});
}

bool Executor::touches(StringAttr slot) const {
  if (slots.contains(slot))
    return true;
  auto tensor =
      dyn_cast_or_null<TensorAttr>(getSlotValue(symbols.lookup(slot)));
  return tensor && storages.contains(tensor.getStorage().getAttr());
}

void Executor::noteZeros(Attribute constant) {
  constant.walk([&](FloatAttr number) {
    if (!number.getValue().isZero())
      return;
    bool sign = number.getValue().isNegative();
    bothZeros |= firstZeroSign.value_or(sign) != sign;
    if (!firstZeroSign)
      firstZeroSign = sign;
  });
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

unsigned Executor::addLocation(LocationState state, bool isContainer) {
  locations.push_back({std::move(state), isContainer});
  return locations.size() - 1;
}

void Executor::setState(unsigned location, LocationState state) {
  journal.emplace_back(location, locations[location].state);
  locations[location].state = std::move(state);
}

void Executor::uniteGroups(unsigned a, unsigned b) {
  unsigned groupA = locations[a].group, groupB = locations[b].group;
  if (a == b || (groupA == groupB && groupA != 0))
    return;
  if (groupA == 0 && groupB == 0) {
    locations[a].group = locations[b].group = groups.size();
    groups.push_back({{a, b}});
    return;
  }
  if (groupA == 0 || (groupB != 0 && groups[groupA].members.size() <
                                         groups[groupB].members.size()))
    return uniteGroups(b, a);
  if (groupB == 0) {
    locations[b].group = groupA;
    groups[groupA].members.push_back(b);
    return;
  }
  for (unsigned member : groups[groupB].members) {
    locations[member].group = groupA;
    groups[groupA].members.push_back(member);
  }
  groups[groupB].members.clear();
}

void Executor::collectLocations(
    const SymbolicValue &value,
    llvm::SmallSetVector<unsigned, 4> &found) const {
  if (value.kind == SymbolicValue::Tuple)
    for (const SymbolicValue &element : *value.elements)
      collectLocations(element, found);
  if (value.kind != SymbolicValue::Tensor &&
      value.kind != SymbolicValue::Container)
    return;
  if (!found.insert(value.location))
    return;
  const Location &location = locations[value.location];
  if (location.splitFrom)
    collectLocations(*location.splitFrom, found);
  if (location.state.items)
    for (const SymbolicValue &element : location.state.items->values)
      collectLocations(element, found);
}

void Executor::shareElements(const SymbolicValue &value) {
  llvm::SmallSetVector<unsigned, 4> found;
  collectLocations(value, found);
  for (unsigned location : found)
    if (!locations[location].isContainer || locations[location].holdsTensors)
      uniteGroups(elementsLocation, location);
}

void Executor::writeUnknown(unsigned location, Term content) {
  const Location &old = locations[location];
  if (old.state.items)
    for (const SymbolicValue &element : old.state.items->values)
      shareElements(element);
  setState(location, {content, content, nullptr});
  if (unsigned group = locations[location].group)
    for (unsigned member : groups[group].members) {
      if (member == location)
        continue;
      LocationState state = locations[member].state;
      if (state.items)
        continue;
      state.content = terms.get("maybe_written", {state.content, content});
      setState(member, state);
    }
}

void Executor::writeTensor(const SymbolicValue &tensor, Term content,
                           bool changesShape) {
  unsigned location = tensor.location;
  LocationState state = locations[location].state;
  if (tensor.term == memory) {
    state.content = content;
  } else {
    bool repeats = false;
    for (Term view = tensor.term; view != memory;
         view = terms.getOperands(view).front())
      repeats |= mayRepeat(terms.getName(view).getValue());
    // A write that hides an older one of the same view.
    Term base = state.content;
    while (terms.isCalled(base, "write") &&
           terms.getOperands(base)[1] == tensor.term)
      base = terms.getOperands(base)[0];
    state.content = terms.get(repeats ? "write_repeated" : "write",
                              {base, tensor.term, content});
  }
  if (changesShape)
    state.shape = state.content;
  setState(location, state);
  if (unsigned group = locations[location].group)
    for (unsigned member : groups[group].members) {
      if (member == location)
        continue;
      LocationState other = locations[member].state;
      if (other.items)
        continue;
      other.content = terms.get("maybe_written", {other.content, content});
      setState(member, other);
    }
}

Term Executor::resolve(Term term) const {
  while (terms.isCalled(term, "choose")) {
    auto it = assumptions.find(terms.getOperands(term)[0]);
    if (it == assumptions.end())
      return term;
    term = terms.getOperands(term)[it->second ? 1 : 2];
  }
  return term;
}

Term Executor::readView(Term view, Term version) {
  version = resolve(version);
  if (view == memory)
    return version;
  if (terms.isCalled(version, "write") && terms.getOperands(version)[1] == view)
    return resolve(terms.getOperands(version)[2]);
  SmallVector<Term> operands(terms.getOperands(view));
  operands[0] = readView(operands[0], version);
  return terms.get(terms.getName(view), terms.getDetail(view), operands);
}

const Items *Executor::getItems(const SymbolicValue &value) const {
  return value.kind == SymbolicValue::Container
             ? locations[value.location].state.items.get()
             : nullptr;
}

Term Executor::getContent(const SymbolicValue &value) {
  switch (value.kind) {
  case SymbolicValue::Scalar:
    return resolve(value.term);
  case SymbolicValue::Tensor:
    return readView(value.term, read(value.location));
  case SymbolicValue::Tuple: {
    SmallVector<Term> elements;
    for (const SymbolicValue &element : *value.elements)
      elements.push_back(getContent(element));
    return terms.get("tuple", elements);
  }
  case SymbolicValue::Container:
    break;
  }
  const Location &location = locations[value.location];
  if (location.splitFrom)
    return getContent(*location.splitFrom);
  if (!location.state.items && !location.holdsTensors)
    return resolve(location.state.content);
  if (!location.state.items)
    return terms.get("elements",
                     {resolve(location.state.content), read(elementsLocation)});
  std::shared_ptr<const Items> items = location.state.items;
  SmallVector<Term> parts;
  for (auto [i, element] : llvm::enumerate(items->values)) {
    if (items->isDict)
      parts.push_back(items->keys[i]);
    parts.push_back(getContent(element));
  }
  return terms.get(items->isDict ? "dict" : "list", parts);
}

Term Executor::getShape(const SymbolicValue &value) {
  if (value.kind != SymbolicValue::Tensor)
    return getContent(value);
  Term term = readView(value.term, locations[value.location].state.shape);
  // What keeps the sizes of its operand does not matter to them.
  while (true) {
    term = resolve(term);
    StringRef name = terms.getName(term).getValue();
    if (!getOutOfPlaceName((name + "_").str()).empty() || name == "aten::clone")
      term = terms.getOperands(term).front();
    else
      return term;
  }
}

//===----------------------------------------------------------------------===//
// Bodies and control flow
//===----------------------------------------------------------------------===//

Term Executor::note(Term term, Operation *op) {
  makers.try_emplace(term, op);
  return term;
}

LogicalResult Executor::run(MethodOp method) {
  Values passed;
  Block &body = method.getBody().front();
  for (BlockArgument argument : body.getArguments()) {
    Type type = argument.getType();
    bool isNumber =
        isa<IntType, FloatType, BoolType, StrType, NumberType>(type);
    Term term =
        terms.get(isNumber ? "number" : "input", {}, argument.getArgNumber());
    passed.push_back(makeUnknown(type, term, /*isShared=*/false));
  }
  FailureOr<Values> returned = runBody(method.getBody(), passed, method);
  if (failed(returned))
    return failure();
  for (const SymbolicValue &value : *returned)
    results.push_back(getContent(value));
  for (const SymbolicValue &value : passed)
    arguments.push_back(getContent(value));
  return success();
}

FailureOr<Executor::Values> Executor::runBody(Region &body, Values passed,
                                              Operation *call) {
  if (depth == maxDepth)
    return undecided(call, "the calls are too deep");
  ++depth;
  Environment values;
  for (auto [argument, value] : llvm::zip(body.getArguments(), passed))
    values[argument] = value;
  FailureOr<Values> returned = runBlock(body.front(), values);
  --depth;
  return returned;
}

FailureOr<Executor::Values> Executor::runBlock(Block &block,
                                               Environment &values) {
  for (Operation &op : block.without_terminator())
    if (failed(runOp(&op, values)))
      return failure();
  Values handed;
  for (Value operand : block.getTerminator()->getOperands())
    handed.push_back(values[operand]);
  return handed;
}

LogicalResult Executor::runOp(Operation *op, Environment &values) {
  auto hand = [&](FailureOr<Values> returned) -> LogicalResult {
    if (failed(returned))
      return failure();
    for (auto [result, value] : llvm::zip(op->getResults(), *returned))
      values[result] = value;
    return success();
  };
  Values operands;
  for (Value operand : op->getOperands())
    operands.push_back(values[operand]);
  if (auto oper = dyn_cast<OperatorOp>(op))
    return runOperator(oper, values);
  if (auto nop = dyn_cast<OutNopOp>(op))
    return runNop(nop, values);
  if (auto branch = dyn_cast<IfOp>(op))
    return runIf(branch, values);
  if (auto loop = dyn_cast<LoopOp>(op))
    return runLoop(loop, values);
  if (auto call = dyn_cast<CallOp>(op)) {
    auto callee = symbols.lookup<MethodOp>(call.getCallee());
    return hand(runBody(callee.getBody(), std::move(operands), op));
  }
  if (auto call = dyn_cast<CallFunctionOp>(op)) {
    auto callee = symbols.lookup<FunctionOp>(call.getCallee());
    return hand(runBody(callee.getBody(), std::move(operands), op));
  }
  if (auto fork = dyn_cast<ForkOp>(op)) {
    FailureOr<Values> yielded = runBlock(fork.getBody().front(), values);
    if (failed(yielded))
      return failure();
    values[fork.getResult()] = yielded->size() == 1
                                   ? yielded->front()
                                   : makeTuple(std::move(*yielded));
    return success();
  }
  if (auto constant = dyn_cast<ConstantOp>(op)) {
    noteZeros(constant.getValue());
    values[constant.getResult()] = makeStored(
        constant.getValue(), constant.getResult().getType(), StringAttr());
    return success();
  }
  if (isa<TupleOp>(op)) {
    values[op->getResult(0)] = makeTuple(std::move(operands));
    return success();
  }
  if (isa<ListOp>(op)) {
    SymbolicValue list = makeList(std::move(operands));
    locations[list.location].holdsTensors =
        mayHoldTensors(op->getResult(0).getType());
    values[op->getResult(0)] = list;
    return success();
  }
  if (isa<DictOp>(op)) {
    auto items = std::make_shared<Items>();
    items->isDict = true;
    for (unsigned i = 0; i + 1 < operands.size(); i += 2) {
      if (!getConstant(operands[i])) {
        SmallVector<Term> parts;
        for (const SymbolicValue &part : operands) {
          parts.push_back(getContent(part));
          shareElements(part);
        }
        values[op->getResult(0)] =
            makeUnknown(op->getResult(0).getType(), terms.get("dict", parts));
        return success();
      }
      items->keys.push_back(resolve(operands[i].term));
      items->values.push_back(operands[i + 1]);
    }
    values[op->getResult(0)] = makeContainer(std::move(items));
    return success();
  }
  if (auto unpack = dyn_cast<UnpackOp>(op)) {
    for (auto [i, result] : llvm::enumerate(unpack.getResults()))
      values[result] = getPart(operands[0], i, result.getType());
    return success();
  }
  if (auto get = dyn_cast<GetOp>(op)) {
    StringAttr symbol = get.getSlotAttr().getAttr();
    Operation *slot = symbols.lookup(symbol);
    if (isa<ModuleOp, AliasOp>(slot)) {
      ModuleOp instance = lookupInstance(symbols, symbol);
      values[get.getResult()] = makeScalar(terms.get(
          "instance", {},
          StringAttr::get(op->getContext(), instance.getOriginalName())));
      return success();
    }
    values[get.getResult()] = getItems(getCell(symbol))->values.front();
    return success();
  }
  if (auto set = dyn_cast<SetOp>(op)) {
    setCell(getCell(set.getSlotAttr().getAttr()).location, operands[0]);
    return success();
  }
  return undecided(op, "the proof does not know '" +
                           op->getName().getStringRef() + "'");
}

LogicalResult Executor::runNop(OutNopOp op, Environment &values) {
  SymbolicValue input = values[op.getInput()];
  auto body = symbols.lookup<MethodOp>(joinPath(op.getInstance(), "forward"));
  if (!body)
    return undecided(op, "the out_nop has no forward");
  if (returnsArgument(body)) {
    values[op.getResult()] = input;
    return success();
  }
  // What tracing made of an identity computes its argument, in memory of its
  // own or not.
  if (isIdentity(symbols, body)) {
    SymbolicValue result = makeTensor(getContent(input), getShape(input));
    uniteGroups(input.location, result.location);
    values[op.getResult()] = result;
    return success();
  }
  FailureOr<Values> returned = runBody(body.getBody(), {input}, op);
  if (failed(returned))
    return failure();
  values[op.getResult()] = returned->front();
  return success();
}

SymbolicValue Executor::getPart(const SymbolicValue &list, unsigned index,
                                Type type) {
  if (list.kind == SymbolicValue::Tuple)
    return (*list.elements)[index];
  if (const Items *items = getItems(list);
      items && !items->isDict && index < items->values.size())
    return items->values[index];
  if (list.kind == SymbolicValue::Container)
    if (const auto &split = locations[list.location].splitFrom) {
      SymbolicValue part = *split;
      part.term = terms.get("element", {part.term}, index);
      return part;
    }
  return makeUnknown(type, terms.get("element", {getContent(list)}, index));
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

DenseMap<unsigned, LocationState> Executor::rollBack(size_t mark,
                                                     unsigned numBefore) {
  DenseMap<unsigned, LocationState> changed;
  while (journal.size() > mark) {
    auto [location, old] = std::move(journal.back());
    journal.pop_back();
    // What was made since belongs to whoever made it.
    if (!isOlder(location, numBefore))
      continue;
    changed.try_emplace(location, locations[location].state);
    locations[location].state = std::move(old);
  }
  return changed;
}

FailureOr<Executor::Outcome> Executor::runArm(Block &arm, Term condition,
                                              bool taken, Environment &values) {
  size_t mark = journal.size();
  unsigned numBefore = locations.size();
  assumptions[condition] = taken;
  conditions.push_back({condition, taken});
  FailureOr<Values> yielded = runBlock(arm, values);
  Outcome outcome;
  if (succeeded(yielded))
    outcome.yielded = std::move(*yielded);
  conditions.pop_back();
  outcome.changed = rollBack(mark, numBefore);
  for (auto &[location, state] : outcome.changed)
    state.content = resolve(state.content);
  assumptions.erase(condition);
  outcome.raises = raises(arm);
  if (failed(yielded))
    return failure();
  return outcome;
}

LocationState Executor::merge(Term condition, const LocationState &a,
                              const LocationState &b) {
  if (a == b)
    return a;
  LocationState result;
  result.content = terms.choose(condition, a.content, b.content);
  result.shape = terms.choose(condition, a.shape, b.shape);
  return result;
}

SymbolicValue Executor::merge(Term condition, const SymbolicValue &a,
                              const SymbolicValue &b, Type type) {
  auto isUninitialized = [&](const SymbolicValue &value) {
    if (value.kind == SymbolicValue::Tensor)
      return terms.isCalled(read(value.location), "uninitialized");
    if (value.kind == SymbolicValue::Container)
      return !locations[value.location].state.items &&
             terms.isCalled(read(value.location), "uninitialized");
    return value.kind == SymbolicValue::Scalar &&
           terms.isCalled(value.term, "uninitialized");
  };
  if (isUninitialized(b))
    return a;
  if (isUninitialized(a))
    return b;
  if (a.kind == SymbolicValue::Scalar && b.kind == SymbolicValue::Scalar)
    return makeScalar(terms.choose(condition, a.term, b.term));
  if (a.kind == b.kind && a.kind == SymbolicValue::Tuple &&
      a.elements->size() == b.elements->size()) {
    Values elements;
    auto tupleType = dyn_cast<TupleType>(type);
    for (auto [i, elementA, elementB] :
         llvm::enumerate(*a.elements, *b.elements))
      elements.push_back(
          merge(condition, elementA, elementB,
                tupleType ? tupleType.getElementTypes()[i]
                          : Type(AnyValueType::get(terms.getContext()))));
    return makeTuple(std::move(elements));
  }
  bool isSameKind = a.kind == b.kind;
  if (isSameKind && a.location == b.location &&
      (a.kind == SymbolicValue::Container || a.term == b.term))
    return a;
  Term content = terms.choose(condition, getContent(a), getContent(b));
  SymbolicValue result;
  const Items *itemsA = getItems(a), *itemsB = getItems(b);
  if (itemsA && itemsB && itemsA->isDict == itemsB->isDict &&
      itemsA->keys == itemsB->keys &&
      itemsA->values.size() == itemsB->values.size()) {
    auto items = std::make_shared<Items>();
    items->isDict = itemsA->isDict;
    items->keys = itemsA->keys;
    std::shared_ptr<const Items> keepA = locations[a.location].state.items,
                                 keepB = locations[b.location].state.items;
    Type any = AnyValueType::get(terms.getContext());
    for (auto [elementA, elementB] : llvm::zip(keepA->values, keepB->values))
      items->values.push_back(merge(condition, elementA, elementB, any));
    result = makeContainer(std::move(items));
    locations[result.location].isEither = true;
    return result;
  }
  bool isTensor =
      a.kind == SymbolicValue::Tensor || b.kind == SymbolicValue::Tensor;
  if (isTensor) {
    Term shape = terms.choose(condition, getShape(a), getShape(b));
    result = makeTensor(content, shape);
    for (const SymbolicValue *from : {&a, &b})
      if (from->kind == SymbolicValue::Tensor)
        uniteGroups(from->location, result.location);
    return result;
  }
  shareElements(a);
  shareElements(b);
  result = makeUnknown(type, content);
  if (result.kind == SymbolicValue::Container)
    locations[result.location].isEither = true;
  return result;
}

LogicalResult Executor::runIf(IfOp op, Environment &values) {
  Term condition = resolve(values[op.getCondition()].term);
  Block *thenArm = &op.getThenRegion().front();
  Block *elseArm = &op.getElseRegion().front();
  while (terms.isCalled(condition, "aten::__not__")) {
    condition = terms.getOperands(condition).front();
    std::swap(thenArm, elseArm);
  }
  std::optional<bool> known;
  if (auto flag = dyn_cast_or_null<BoolAttr>(terms.getConstantValue(condition)))
    known = flag.getValue();
  else if (auto it = assumptions.find(condition); it != assumptions.end())
    known = it->second;
  if (known) {
    FailureOr<Values> yielded = runBlock(*known ? *thenArm : *elseArm, values);
    if (failed(yielded))
      return failure();
    for (auto [result, value] : llvm::zip(op.getResults(), *yielded))
      values[result] = value;
    return success();
  }
  FailureOr<Outcome> a = runArm(*thenArm, condition, true, values);
  if (failed(a))
    return failure();
  FailureOr<Outcome> b = runArm(*elseArm, condition, false, values);
  if (failed(b))
    return failure();
  // What an arm that raises leaves behind is seen by nobody.
  bool onlyA = b->raises && !a->raises, onlyB = a->raises && !b->raises;
  llvm::SmallVector<unsigned> changed;
  for (auto &[location, state] : a->changed)
    changed.push_back(location);
  for (auto &[location, state] : b->changed)
    if (!a->changed.contains(location))
      changed.push_back(location);
  llvm::sort(changed);
  for (unsigned location : changed) {
    auto getState = [&](Outcome &outcome) {
      auto it = outcome.changed.find(location);
      return it == outcome.changed.end() ? locations[location].state
                                         : it->second;
    };
    LocationState stateA = getState(*a), stateB = getState(*b);
    if (location != effectLocation && (onlyA || onlyB)) {
      setState(location, onlyA ? stateA : stateB);
      continue;
    }
    if (!stateA.items && !stateB.items) {
      setState(location, merge(condition, stateA, stateB));
      continue;
    }
    // A container, or the cell of a slot.
    if (stateA.items == stateB.items)
      continue;
    if (stateA.items && stateB.items &&
        stateA.items->isDict == stateB.items->isDict &&
        stateA.items->keys == stateB.items->keys &&
        stateA.items->values.size() == stateB.items->values.size()) {
      auto items = std::make_shared<Items>();
      items->isDict = stateA.items->isDict;
      items->keys = stateA.items->keys;
      Type any = AnyValueType::get(op.getContext());
      for (auto [elementA, elementB] :
           llvm::zip(stateA.items->values, stateB.items->values))
        items->values.push_back(merge(condition, elementA, elementB, any));
      setState(location, {0, 0, std::move(items)});
      continue;
    }
    auto getVersion = [&](const LocationState &state) {
      if (!state.items)
        return state.content;
      SmallVector<Term> parts;
      for (auto [i, element] : llvm::enumerate(state.items->values)) {
        if (state.items->isDict)
          parts.push_back(state.items->keys[i]);
        parts.push_back(getContent(element));
        shareElements(element);
      }
      return terms.get(state.items->isDict ? "dict" : "list", parts);
    };
    Term version =
        terms.choose(condition, getVersion(stateA), getVersion(stateB));
    setState(location, {version, version, nullptr});
  }
  for (auto [i, result] : llvm::enumerate(op.getResults()))
    values[result] = onlyA   ? a->yielded[i]
                     : onlyB ? b->yielded[i]
                             : merge(condition, a->yielded[i], b->yielded[i],
                                     result.getType());
  return success();
}

LogicalResult Executor::runLoop(LoopOp op, Environment &values) {
  FailureOr<bool> isDone = runKnownRounds(op, values);
  if (failed(isDone))
    return failure();
  return *isDone ? success() : runUnknownRounds(op, values);
}

FailureOr<bool> Executor::runKnownRounds(LoopOp op, Environment &values) {
  auto trips = getConstant(values[op.getMaxTripCount()]);
  auto number = trips ? dyn_cast<IntegerAttr>(*trips) : IntegerAttr();
  auto isKnown = [&](const SymbolicValue &value) -> std::optional<bool> {
    auto constant = getConstant(value);
    auto flag = constant ? dyn_cast<BoolAttr>(*constant) : BoolAttr();
    return flag ? std::optional<bool>(flag.getValue()) : std::nullopt;
  };
  std::optional<bool> goesOn = isKnown(values[op.getCondition()]);
  if (!goesOn)
    return false;
  // A while loop has no count; it may still end in a known round.
  bool isCounted = number && number.getInt() <= maxRounds;
  bool isWhile = number && number.getInt() == INT64_MAX;
  if (*goesOn && !isCounted && !isWhile)
    return false;
  size_t mark = journal.size();
  unsigned numBefore = locations.size();
  size_t numChecks = shapeChecks.size();
  Values carried;
  for (Value init : op.getInits())
    carried.push_back(values[init]);
  Block &body = op.getBody().front();
  int64_t round = 0;
  for (; *goesOn && number && round < number.getInt(); ++round) {
    values[body.getArgument(0)] =
        makeConstant(Builder(op.getContext()).getI64IntegerAttr(round));
    for (auto [argument, value] :
         llvm::zip(llvm::drop_begin(body.getArguments()), carried))
      values[argument] = value;
    FailureOr<Values> yielded = runBlock(body, values);
    if (failed(yielded))
      return failure();
    goesOn = isKnown(yielded->front());
    if (!goesOn || (isWhile && round == maxRounds)) {
      rollBack(mark, numBefore);
      while (shapeChecks.size() > numChecks)
        shapeChecks.pop_back();
      return false;
    }
    carried.assign(std::next(yielded->begin()), yielded->end());
  }
  for (auto [result, value] : llvm::zip(op.getResults(), carried))
    values[result] = value;
  return true;
}

/// The list that a loop copies: one that appends, to an empty list, element
/// after element of it and does nothing else. That is how `list()` is written
/// without it. `operands` are those of the loop's term.
std::optional<Term>
Executor::getCopiedList(LoopOp op, ArrayRef<Term> operands,
                        const llvm::SetVector<unsigned> &written) const {
  if (op->getNumResults() != 0 || written.size() != 1)
    return std::nullopt;
  const Items *begin = locations[written.front()].state.items.get();
  Term trips = operands[0], goesOn = operands[3], last = operands[4];
  auto isTrue = [&](Term term) {
    auto flag = dyn_cast_or_null<BoolAttr>(terms.getConstantValue(term));
    return flag && flag.getValue();
  };
  if (!begin || begin->isDict || !begin->values.empty() ||
      !terms.isCalled(trips, "aten::len") || !isTrue(operands[1]) ||
      !isTrue(goesOn) || !terms.isCalled(last, "aten::append"))
    return std::nullopt;
  Term list = terms.getOperands(trips)[0];
  Term before = terms.getOperands(last)[0];
  Term element = terms.getOperands(last)[1];
  if (!terms.isCalled(before, "loop_memory") ||
      !terms.isCalled(element, "aten::__getitem__") ||
      terms.getOperands(element)[0] != list ||
      !terms.isCalled(terms.getOperands(element)[1], "loop_count") ||
      terms.getOperands(terms.getOperands(element)[1])[0] !=
          terms.getOperands(before)[0])
    return std::nullopt;
  return list;
}

LogicalResult Executor::runUnknownRounds(LoopOp op, Environment &values) {
  Block &body = op.getBody().front();
  unsigned level = loopDepth++;
  auto getSymbol = [&](StringRef what, unsigned index) {
    // Names bound by the loop; loops beside each other may use the same.
    return terms.get(
        what,
        {terms.getConstant(Builder(op.getContext()).getI64IntegerAttr(level))},
        index);
  };
  SmallVector<Term> operands = {resolve(values[op.getMaxTripCount()].term),
                                resolve(values[op.getCondition()].term)};
  for (Value init : op.getInits()) {
    operands.push_back(getContent(values[init]));
    // What is carried may be the same memory in every round.
    shareElements(values[init]);
  }
  size_t mark = journal.size();
  unsigned numBefore = locations.size();
  size_t numChecks = shapeChecks.size();
  llvm::SetVector<unsigned> written;
  auto getVersion = [&](unsigned location) {
    const LocationState &state = locations[location].state;
    if (!state.items)
      return state.content;
    SymbolicValue container;
    container.kind = SymbolicValue::Container;
    container.location = location;
    return getContent(container);
  };
  Values yielded;
  SmallVector<Term> finals;
  while (true) {
    SmallVector<std::pair<unsigned, Term>> starts;
    for (auto [i, location] : llvm::enumerate(written))
      starts.push_back({location, getSymbol("loop_memory", i)});
    for (auto [location, symbol] : starts) {
      if (std::shared_ptr<const Items> items = locations[location].state.items)
        for (const SymbolicValue &element : items->values)
          shareElements(element);
      if (Type type = cellTypes.lookup(location)) {
        setCell(location, makeUnknown(type, symbol));
        continue;
      }
      LocationState state = locations[location].state;
      setState(location, {symbol, state.items ? symbol : state.shape, nullptr});
    }
    values[body.getArgument(0)] = makeScalar(getSymbol("loop_count", 0));
    for (auto [i, argument] :
         llvm::enumerate(llvm::drop_begin(body.getArguments())))
      values[argument] =
          makeUnknown(argument.getType(), getSymbol("loop_value", i));
    size_t begin = journal.size();
    FailureOr<Values> round = runBlock(body, values);
    if (failed(round))
      return failure();
    bool isStable = true;
    for (size_t i = begin; i != journal.size(); ++i)
      if (isOlder(journal[i].first, numBefore))
        isStable &= !written.insert(journal[i].first);
    yielded = std::move(*round);
    if (isStable) {
      for (const SymbolicValue &value : yielded)
        finals.push_back(getContent(value));
      for (unsigned location : written)
        finals.push_back(getVersion(location));
    }
    rollBack(mark, numBefore);
    while (shapeChecks.size() > numChecks)
      shapeChecks.pop_back();
    if (isStable)
      break;
  }
  --loopDepth;
  for (unsigned location : written)
    operands.push_back(getVersion(location));
  llvm::append_range(operands, finals);
  if (std::optional<Term> copied = getCopiedList(op, operands, written)) {
    writeUnknown(written.front(), *copied);
    return success();
  }
  Term loop = note(terms.get("loop", operands, written.size()), op);
  for (auto [i, location] : llvm::enumerate(written)) {
    Term content = terms.get("result", {loop}, op->getNumResults() + i);
    if (Type type = cellTypes.lookup(location))
      setCell(location, makeUnknown(type, content));
    else if (locations[location].isContainer)
      writeUnknown(location, content);
    else
      setState(location, {content, locations[location].state.shape, nullptr});
  }
  for (auto [i, result] : llvm::enumerate(op.getResults()))
    values[result] =
        makeUnknown(result.getType(), terms.get("result", {loop}, i));
  return success();
}

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

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

/// The place that an index means in a list of known length.
static std::optional<size_t> getPlace(Attribute index, size_t size) {
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
  // Held, because a new location may move the others.
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
  if (op->getNumResults() == 1 &&
      (name == "prim::unchecked_cast" || name == "aten::_unwrap_optional" ||
       name == "aten::wait")) {
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
  Term term =
      isCopy ? operands[0] : note(terms.get(label, detail, operands), op);
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
      if (isa<TensorType>(type))
        values[result] = makeTensor(content, content);
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
      SmallVector<Term> parts(operands);
      parts[0] = source.term;
      SymbolicValue view = source;
      view.term = terms.get(label, detail, parts);
      values[result] = view;
      continue;
    }
    if (source.kind == SymbolicValue::Tensor && aliased == 0 &&
        isa<ListType>(type) && splits(name)) {
      SmallVector<Term> parts(operands);
      parts[0] = source.term;
      SymbolicValue split = source;
      split.term = terms.get(label, detail, parts);
      SymbolicValue list;
      list.kind = SymbolicValue::Container;
      list.location = addLocation({content, content, nullptr}, true);
      locations[list.location].splitFrom = split;
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
