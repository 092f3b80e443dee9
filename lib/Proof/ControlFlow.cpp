//===- ControlFlow.cpp - Ifs and loops of a symbolic run -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace fqat {

// Loops of more rounds are compared as loops, body against body.
static constexpr int64_t maxRounds = 64;

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
  if (depth == maxDepth)
    return undecided(arm.getParentOp(), "calls and ifs are too deep");
  size_t mark = journal.size();
  unsigned numBefore = locations.size();
  assumptions[condition] = taken;
  conditions.push_back({condition, taken});
  ++depth;
  FailureOr<Values> yielded = runBlock(arm, values);
  --depth;
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
      if (Type type = locations[location].cellType) {
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
    if (Type type = locations[location].cellType)
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

} // namespace fqat
