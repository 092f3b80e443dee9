//===- Executor.cpp - A symbolic run of one method -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace fqat {

/// Views in which one element of memory may stand in several places.
static bool mayRepeat(StringRef name) {
  return name == "aten::expand" || name == "aten::as_strided" ||
         name == "aten::unfold";
}

bool mayHoldTensors(Type type) {
  return holdsType(type, [](Type part) {
    return isa<TensorType, ObjectType, AnyValueType>(part);
  });
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Executor::Executor(TermTable &terms, const Contents &contents,
                   SymbolTable &symbols, mlir::ModuleOp model, bool isOriginal)
    : terms(terms), contents(contents), symbols(symbols), model(model),
      memory(terms.get("memory", {})), isOriginal(isOriginal) {
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
    locations[cell].cellType = type;
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
    state.content = repeats ? terms.get("write_repeated",
                                        {state.content, tensor.term, content})
                            : writeView(tensor.term, state.content, content);
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
  while (terms.isChoice(term)) {
    auto it = assumptions.find(terms.getOperands(term)[0]);
    if (it == assumptions.end())
      return term;
    term = terms.getOperands(term)[it->second ? 1 : 2];
  }
  return term;
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
  return items->isDict ? terms.get("dict", parts) : terms.getList(parts);
}

Term Executor::getShape(const SymbolicValue &value) {
  if (value.kind != SymbolicValue::Tensor)
    return getContent(value);
  Term term = readView(value.term, locations[value.location].state.shape);
  // What keeps the sizes and the dtype of its operand does not matter to them.
  static const llvm::StringSet<> keepsBoth = {
      "aten::relu",      "aten::relu6",      "aten::hardtanh",
      "aten::hardswish", "aten::leaky_relu", "aten::elu",
      "aten::silu",      "aten::mish",       "aten::gelu",
      "aten::celu",      "aten::selu",       "aten::hardsigmoid",
      "aten::threshold", "aten::dropout",    "aten::feature_dropout",
      "aten::clone"};
  while (keepsBoth.contains(terms.getName(term).getValue()))
    term = resolve(terms.getOperands(term).front());
  return term;
}

//===----------------------------------------------------------------------===//
// Bodies and control flow
//===----------------------------------------------------------------------===//

Term Executor::note(Term term, Operation *op) {
  if (term >= makers.size())
    makers.resize(term + 1);
  if (!makers[term])
    makers[term] = op;
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
    return undecided(call, "calls and ifs are too deep");
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

} // namespace fqat
