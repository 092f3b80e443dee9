//===- TraceBuilder.cpp - Running the model symbolically -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Folding.h"
#include "fqat/Analysis/Trace.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

#include <algorithm>

using namespace mlir;

namespace fqat {

/// Whether a value of this type can be None.
static bool mayBeNone(Type type) {
  return isa<OptionalType, NoneType, AnyValueType, ObjectType>(type);
}

static bool isScalar(Attribute value) {
  return isa_and_nonnull<IntegerAttr, FloatAttr, StringAttr, UnitAttr>(value);
}

static void addLeaf(AbstractValue &value, const Leaf &leaf) {
  for (const Leaf &known : value.leaves)
    if (known.isSameTensor(leaf) && known.isTensor == leaf.isTensor &&
        known.region.allocation == leaf.region.allocation &&
        known.region.parts == leaf.region.parts)
      return;
  value.leaves.push_back(leaf);
}

/// Either of two values.
static AbstractValue join(const AbstractValue &a, const AbstractValue &b) {
  if (a.isUninitialized)
    return b;
  if (b.isUninitialized)
    return a;
  AbstractValue result;
  result.isNotNone = a.isNotNone && b.isNotNone;
  if (a.constant == b.constant)
    result.constant = a.constant;
  if (a.aggregate == b.aggregate) {
    result.aggregate = a.aggregate;
  } else if (a.aggregate && b.aggregate && a.aggregate->isExact &&
             b.aggregate->isExact &&
             a.aggregate->elements.size() == b.aggregate->elements.size() &&
             a.aggregate->keys == b.aggregate->keys) {
    result.aggregate = std::make_shared<Aggregate>(*a.aggregate);
    for (auto [element, other] :
         llvm::zip(result.aggregate->elements, b.aggregate->elements))
      element = join(element, other);
  }
  result.leaves = a.leaves;
  for (const Leaf &leaf : b.leaves)
    addLeaf(result, leaf);
  if (!result.aggregate) {
    SmallVector<Leaf> leaves;
    for (const AbstractValue *value : {&a, &b})
      if (value->aggregate)
        value->collectLeaves(leaves);
    for (const Leaf &leaf : leaves)
      addLeaf(result, leaf);
  }
  return result;
}

/// Runs the model symbolically. Calls are followed with an explicit stack.
class TraceBuilder {
public:
  TraceBuilder(mlir::ModuleOp model, SymbolTable &symbols,
               const AnchorSet &anchors, bool followsDeadArms);

  FailureOr<Trace> run();

private:
  /// A frame whose body is being run.
  struct Activation {
    unsigned frame;
    Block::iterator next, end;
  };
  /// An `fqat.if`, `fqat.loop` or `fqat.fork` that is being run.
  struct RegionRun {
    Operation *op;
    unsigned begin;
    /// Of an if: the arms still to run, last one first.
    SmallVector<Block *, 2> arms;
    /// Of a loop: the rounds run, how many are to be, and whether all are known
    /// to happen.
    uint64_t round = 0, rounds = 0;
    bool isSure = true;
    SmallVector<unsigned, 1> deciders;
    bool isDecidedBySizes = true;
    /// The arm that never runs, if that is known.
    Block *deadArm = nullptr;
    /// Of an if: what the arms so far yield. Of a loop: what it carries.
    std::vector<AbstractValue> results;
    bool hasResults = false;
  };

  AbstractValue makeExternal(Type type, bool isNumber);
  /// A number that is not known.
  AbstractValue makeNumber() {
    return makeExternal(IntType::get(model.getContext()), /*isNumber=*/true);
  }
  AbstractValue makeTensorOf(TensorAttr tensor, Attribute identity);
  AbstractValue makeScalar(Attribute constant);
  AbstractValue makeAggregate(std::vector<AbstractValue> elements);
  /// The value of an attribute that nobody changes; nothing if it is not made
  /// of known numbers and strings alone.
  std::optional<AbstractValue> makeConstant(Attribute value, Type type);
  AbstractValue &get(Value value) {
    return getIn(trace.getFrameOf(current, value), value);
  }
  AbstractValue &getIn(unsigned frame, Value value) {
    Trace::FrameContents &held = trace.contents[frame];
    return held.values[*held.index->getNumber(value)];
  }
  void set(Value value, AbstractValue held) {
    held.isNotNone |= !mayBeNone(value.getType());
    getIn(current, value) = std::move(held);
  }
  void setSpan(Operation *op, unsigned begin) {
    Trace::FrameContents &held = trace.contents[current];
    held.spans[held.index->ops.find(op)->second.first] = {begin,
                                                          trace.events.size()};
  }
  Attribute getConstant(Value value) { return get(value).constant; }
  /// The element of a list, tuple or dict; `key` is null where it is not known
  /// which.
  AbstractValue getElement(const AbstractValue &value, Attribute key,
                           Type type);

  unsigned enter(Block &body, Operation *op);
  void leave();
  LogicalResult enterCallee(Operation *call, Operation *callee, Block &body,
                            ValueRange arguments);
  void startIf(IfOp op);
  void startLoop(LoopOp op);
  void startFork(ForkOp op);
  void runArm(RegionRun &run);
  void runRound(RegionRun &run);
  void finish(RegionRun run);
  /// Notes what decides whether the bodies run.
  void addDeciders(RegionRun &run, const AbstractValue &condition);

  LogicalResult visit(Operation *op);
  LogicalResult visitOperator(OperatorOp op);
  /// Runs an operator on a list or dict; false if it is none that is known.
  bool visitContainer(OperatorOp op);
  /// Runs `aten::dict` on nothing, or on a list of keys and values.
  bool visitMakeDict(OperatorOp op);
  bool visitConstant(OperatorOp op);
  bool isSwitchedOff(OperatorOp op);
  void visitNop(OutNopOp op);
  void visitUnpack(UnpackOp op);
  void visitGet(GetOp op);
  void visitSet(SetOp op);
  void addReads(Event &event, Operation *op);
  unsigned addEvent(Event event);
  /// Notes that an op reads or changes an object that something changes.
  void touch(Operation *op, unsigned allocation, bool writes);
  MemoryRegion newAllocation() { return {nextAllocation++, {}}; }

  mlir::ModuleOp model;
  SymbolTable &symbols;
  const AnchorSet &anchors;
  bool followsDeadArms;
  Trace trace;
  SmallVector<Activation> stack;
  SmallVector<RegionRun> runs;
  unsigned current = 0;
  unsigned nextAllocation = 0;
  unsigned nextExternal = 0;
  /// The allocation of each storage.
  DenseMap<Attribute, unsigned> storages;
  /// The leaf of each slot's tensor, and of each constant's.
  struct ExternalTensor {
    unsigned index, allocation;
  };
  DenseMap<Attribute, ExternalTensor> tensors;
  /// The slots that some method writes, what they hold, and their allocations.
  DenseMap<Attribute, AbstractValue> writtenSlots;
  DenseMap<Attribute, unsigned> slotAllocations;
  /// The leaves of elements of what comes from outside.
  DenseMap<std::pair<unsigned, Attribute>, unsigned> externalElements;
  /// Whether any op changes a list or dict, and of which types those are that
  /// an attribute may hold.
  bool changesLists = false;
  DenseSet<Type> changedTypes;
};

TraceBuilder::TraceBuilder(mlir::ModuleOp model, SymbolTable &symbols,
                           const AnchorSet &anchors, bool followsDeadArms)
    : model(model), symbols(symbols), anchors(anchors),
      followsDeadArms(followsDeadArms) {
  size_t numOperators = 0;
  model.walk([&](Operation *op) {
    numOperators += isa<OperatorOp, OutNopOp>(op);
    if (auto set = dyn_cast<SetOp>(op))
      writtenSlots[set.getSlotAttr()];
    auto oper = dyn_cast<OperatorOp>(op);
    if (!oper || !oper.hasWrites())
      return;
    for (int64_t index : oper.getWritesAttr().asArrayRef()) {
      Type type = oper.getOperand(index).getType();
      if (!isa<ListType, DictType>(type))
        continue;
      changesLists = true;
      // A list that the code has made itself is no attribute's.
      Value held = getAliasBase(oper.getOperand(index));
      if (!isa_and_nonnull<ListOp, DictOp>(held.getDefiningOp()))
        changedTypes.insert(type);
    }
  });
  trace.events.reserve(numOperators);
}

AbstractValue TraceBuilder::makeExternal(Type type, bool isNumber) {
  AbstractValue value;
  Leaf leaf;
  leaf.index = nextExternal++;
  leaf.isTensor = holdsTensor(type);
  leaf.isNumber = isNumber;
  leaf.region = newAllocation();
  // Numbers lie in no memory.
  if (leaf.isTensor || !isNumber)
    trace.externalAllocations.insert(leaf.region.allocation);
  value.leaves.push_back(leaf);
  value.isNotNone = !mayBeNone(type);
  return value;
}

AbstractValue TraceBuilder::makeTensorOf(TensorAttr tensor,
                                         Attribute identity) {
  auto [it, isNew] = tensors.try_emplace(identity);
  ExternalTensor &known = it->second;
  if (isNew) {
    known.index = nextExternal++;
    auto [storage, isNewStorage] =
        storages.try_emplace(tensor.getStorage(), nextAllocation);
    nextAllocation += isNewStorage;
    known.allocation = storage->second;
    trace.externalAllocations.insert(known.allocation);
    if (auto slot = dyn_cast<FlatSymbolRefAttr>(identity))
      trace.slotsOf.try_emplace(known.allocation, slot.getAttr());
  }
  Leaf leaf;
  leaf.index = known.index;
  leaf.isTensor = true;
  leaf.region.allocation = known.allocation;
  AbstractValue value;
  value.leaves.push_back(leaf);
  value.isNotNone = true;
  return value;
}

AbstractValue TraceBuilder::makeScalar(Attribute constant) {
  AbstractValue value = makeNumber();
  value.constant = constant;
  value.isNotNone = !isa<UnitAttr>(constant);
  return value;
}

AbstractValue TraceBuilder::makeAggregate(std::vector<AbstractValue> elements) {
  AbstractValue value;
  value.aggregate = std::make_shared<Aggregate>();
  value.aggregate->elements = std::move(elements);
  value.aggregate->allocation = nextAllocation++;
  value.aggregate->guard = trace.frames[current].guard;
  value.isNotNone = true;
  return value;
}

std::optional<AbstractValue> TraceBuilder::makeConstant(Attribute value,
                                                        Type type) {
  if (isScalar(value))
    return makeScalar(value);
  ArrayAttr list = getListElements(value);
  auto dict = dyn_cast_or_null<DictAttr>(value);
  auto listType = dyn_cast<ListType>(type);
  auto dictType = dyn_cast<DictType>(type);
  if (changedTypes.contains(type) || !(list && listType) == !(dict && dictType))
    return std::nullopt;
  Type elementType = list ? listType.getElementType() : dictType.getValueType();
  AbstractValue result = makeAggregate({});
  ArrayRef<Attribute> items =
      list ? list.getValue() : dict.getItems().getValue();
  for (unsigned i = 0; i < items.size(); i += dict ? 2 : 1) {
    if (dict && !isScalar(items[i]))
      return std::nullopt;
    if (dict)
      result.aggregate->keys.push_back(items[i]);
    std::optional<AbstractValue> element =
        makeConstant(items[dict ? i + 1 : i], elementType);
    if (!element)
      return std::nullopt;
    result.aggregate->elements.push_back(std::move(*element));
  }
  return result;
}

/// Whether a list holds an element, or a dict a key; nothing if not known.
static std::optional<bool> foldContains(const Aggregate &aggregate, bool isDict,
                                        Attribute key) {
  if (!aggregate.isExact || !key ||
      (isDict && aggregate.keys.size() != aggregate.elements.size()))
    return std::nullopt;
  bool isKnown = true;
  for (auto [i, element] : llvm::enumerate(aggregate.elements)) {
    Attribute known = isDict ? aggregate.keys[i] : element.constant;
    if (known == key)
      return true;
    isKnown &= known && known.getTypeID() == key.getTypeID() &&
               isa<IntegerAttr, StringAttr>(known);
  }
  return isKnown ? std::optional<bool>(false) : std::nullopt;
}

AbstractValue TraceBuilder::getElement(const AbstractValue &value,
                                       Attribute key, Type type) {
  auto index = dyn_cast_or_null<IntegerAttr>(key);
  AbstractValue result;
  if (value.aggregate) {
    const Aggregate &aggregate = *value.aggregate;
    if (aggregate.isExact && aggregate.keys.empty())
      if (std::optional<size_t> place =
              getPlace(key, aggregate.elements.size()))
        return aggregate.elements[*place];
    if (aggregate.isExact && key)
      for (auto [known, element] :
           llvm::zip(aggregate.keys, aggregate.elements))
        if (known == key)
          return element;
    result.isUninitialized = true;
    for (const AbstractValue &element : aggregate.elements)
      result = join(result, element);
    if (result.isUninitialized)
      return makeExternal(type, /*isNumber=*/false);
    return result;
  }
  // The results of one op that come as a list: each is a tensor of its own.
  for (Leaf leaf : value.leaves) {
    leaf.isTensor = holdsTensor(type);
    if (leaf.event == Leaf::None) {
      auto [it, isNew] = externalElements.try_emplace(
          {leaf.index, key ? key : UnitAttr::get(model.getContext())},
          nextExternal);
      nextExternal += isNew;
      leaf.index = it->second;
    } else if (index) {
      auto oper = dyn_cast<OperatorOp>(trace.events[leaf.event].op);
      if (oper && splitsTensor(oper.getName()) && index.getInt() >= 0)
        leaf.region.parts.push_back({leaf.event, unsigned(index.getInt())});
      leaf.index += index.getInt();
    }
    addLeaf(result, leaf);
  }
  result.isNotNone = !mayBeNone(type);
  return result;
}

//===----------------------------------------------------------------------===//
// Frames
//===----------------------------------------------------------------------===//

/// Opens a frame in the current one. The caller gives its arguments values.
unsigned TraceBuilder::enter(Block &body, Operation *op) {
  unsigned frame = trace.frames.size();
  Frame made;
  made.body = &body;
  made.op = op;
  made.begin = trace.events.size();
  if (op) {
    const Frame &outer = trace.frames[current];
    made.parent = current;
    made.method = outer.method;
    made.guard = outer.guard;
    made.deciders = outer.deciders;
    made.isDecidedBySizes = outer.isDecidedBySizes;
    made.isDead = outer.isDead;
    made.isInFunction = outer.isInFunction;
    trace.innerFrames[{current, op}].push_back(frame);
  }
  trace.frames.push_back(std::move(made));
  auto &index = trace.indices[&body];
  if (!index)
    index = std::make_unique<const Trace::BodyIndex>(body);
  Trace::FrameContents held{index.get(), {}, {}};
  held.values.resize(index->numValues);
  held.spans.resize(index->ops.size());
  trace.contents.push_back(std::move(held));
  trace.bodyFrames[&body].push_back(frame);
  stack.push_back({frame, body.begin(), body.end()});
  return frame;
}

LogicalResult TraceBuilder::enterCallee(Operation *call, Operation *callee,
                                        Block &body, ValueRange arguments) {
  for (const Activation &active : stack)
    if (trace.frames[active.frame].body == &body)
      return (call ? call : callee)->emitError()
             << "'" << SymbolTable::getSymbolName(callee).getValue()
             << "' calls itself";
  auto method = dyn_cast<MethodOp>(callee);
  ModuleOp instance =
      method ? lookupInstance(symbols, method.getInstance()) : ModuleOp();
  if (instance && method.getMethodName() == "forward" &&
      (instance.getHooks() || instance.getPreHooks()))
    return (call ? call : callee)->emitError()
           << "'" << displayPath(instance.getSymName())
           << "' has hooks, and what they do to its arguments and results "
              "cannot be rewritten; call them in forward instead, or trace the "
              "model";
  unsigned frame = enter(body, call);
  if (method)
    trace.frames[frame].method = method;
  else
    trace.frames[frame].isInFunction = true;
  for (BlockArgument argument : body.getArguments()) {
    AbstractValue held = call ? get(arguments[argument.getArgNumber()])
                              : makeExternal(argument.getType(),
                                             !holdsTensor(argument.getType()));
    getIn(frame, argument) = std::move(held);
  }
  current = frame;
  return success();
}

void TraceBuilder::leave() {
  unsigned frame = stack.pop_back_val().frame;
  Frame &done = trace.frames[frame];
  done.end = trace.events.size();
  if (!done.op)
    return;
  Operation *op = done.op;
  SmallVector<AbstractValue> handed;
  for (Value operand : done.body->getTerminator()->getOperands())
    handed.push_back(get(operand));
  bool isLost = isa<IfOp>(op) && raises(*done.body);
  unsigned begin = done.begin;
  current = done.parent;
  if (isa<CallOp, CallFunctionOp>(op)) {
    for (auto [result, held] : llvm::zip(op->getResults(), handed))
      set(result, std::move(held));
    setSpan(op, begin);
    return;
  }

  RegionRun run = runs.pop_back_val();
  if (isa<IfOp>(op)) {
    if (!isLost && !run.hasResults) {
      run.results.assign(handed.begin(), handed.end());
      run.hasResults = true;
    } else if (!isLost) {
      for (auto [held, other] : llvm::zip(run.results, handed))
        held = join(held, other);
    }
    if (!run.arms.empty())
      return runArm(runs.emplace_back(std::move(run)));
    return finish(std::move(run));
  }
  if (isa<ForkOp>(op)) {
    run.results.push_back(handed.size() == 1
                              ? handed.front()
                              : makeAggregate({handed.begin(), handed.end()}));
    run.hasResults = true;
    return finish(std::move(run));
  }
  // A round of a loop: the first value says whether to go on.
  ++run.round;
  Attribute goesOn = handed.front().constant;
  for (auto [held, next] : llvm::zip(run.results, llvm::drop_begin(handed)))
    held = run.isSure ? next : join(held, next);
  auto flag = dyn_cast_or_null<BoolAttr>(goesOn);
  if (!flag) {
    run.isSure = false;
    addDeciders(run, handed.front());
    // Two rounds show what one hands to the next.
    run.rounds = std::min<uint64_t>(run.rounds, 2);
  }
  if ((flag && !flag.getValue()) || run.round >= run.rounds)
    return finish(std::move(run));
  runRound(runs.emplace_back(std::move(run)));
}

void TraceBuilder::addDeciders(RegionRun &run, const AbstractValue &condition) {
  SmallVector<Leaf> leaves;
  condition.collectLeaves(leaves);
  for (const Leaf &leaf : leaves) {
    run.isDecidedBySizes &= leaf.isNumber;
    if (leaf.event != Leaf::None &&
        !llvm::is_contained(run.deciders, leaf.event))
      run.deciders.push_back(leaf.event);
  }
}

void TraceBuilder::startIf(IfOp op) {
  RegionRun run;
  run.op = op;
  run.begin = trace.events.size();
  Block *thenArm = &op.getThenRegion().front();
  Block *elseArm = &op.getElseRegion().front();
  auto flag = dyn_cast_or_null<BoolAttr>(getConstant(op.getCondition()));
  trace.deadArms |= flag != nullptr;
  if (flag && !followsDeadArms) {
    run.arms.push_back(flag.getValue() ? thenArm : elseArm);
  } else {
    run.isSure = false;
    run.arms = {elseArm, thenArm};
    addDeciders(run, get(op.getCondition()));
    if (flag)
      run.deadArm = flag.getValue() ? elseArm : thenArm;
  }
  runArm(runs.emplace_back(std::move(run)));
}

void TraceBuilder::runArm(RegionRun &run) {
  Block *arm = run.arms.pop_back_val();
  auto op = cast<IfOp>(run.op);
  Block *other = arm == &op.getThenRegion().front()
                     ? &op.getElseRegion().front()
                     : &op.getThenRegion().front();
  unsigned frame = enter(*arm, op);
  trace.frames[frame].isDead |= arm == run.deadArm;
  // Beside an arm that raises, the other one always runs.
  if (!run.isSure && (raises(*arm) || !raises(*other)))
    trace.frames[frame].guard = frame;
  llvm::append_range(trace.frames[frame].deciders, run.deciders);
  trace.frames[frame].isDecidedBySizes &= run.isDecidedBySizes;
  current = frame;
}

/// How many rounds of a loop are followed one by one.
static constexpr uint64_t maxRounds = 64;

void TraceBuilder::startLoop(LoopOp op) {
  RegionRun run;
  run.op = op;
  run.begin = trace.events.size();
  auto trips = dyn_cast_or_null<IntegerAttr>(getConstant(op.getMaxTripCount()));
  auto flag = dyn_cast_or_null<BoolAttr>(getConstant(op.getCondition()));
  run.isSure = trips && flag;
  run.rounds = 2;
  if (trips && trips.getInt() <= int64_t(maxRounds))
    run.rounds = std::max<int64_t>(trips.getInt(), 0);
  else if (trips && trips.getInt() == INT64_MAX && flag)
    run.rounds = maxRounds; // A while loop: its condition ends it.
  if (flag && !flag.getValue())
    run.rounds = 0;
  if (!run.isSure) {
    run.rounds = std::min<uint64_t>(run.rounds, 2);
    addDeciders(run, get(op.getMaxTripCount()));
    addDeciders(run, get(op.getCondition()));
  }
  for (Value init : op.getInits())
    run.results.push_back(get(init));
  if (run.rounds == 0)
    return finish(std::move(run));
  runRound(runs.emplace_back(std::move(run)));
}

void TraceBuilder::runRound(RegionRun &run) {
  auto op = cast<LoopOp>(run.op);
  Block &body = op.getBody().front();
  unsigned frame = enter(body, op);
  if (!run.isSure)
    trace.frames[frame].guard = frame;
  llvm::append_range(trace.frames[frame].deciders, run.deciders);
  trace.frames[frame].isDecidedBySizes &= run.isDecidedBySizes;
  AbstractValue counter = makeExternal(body.getArgument(0).getType(), true);
  if (run.isSure)
    counter = makeScalar(
        IntegerAttr::get(IntegerType::get(model.getContext(), 64), run.round));
  getIn(frame, body.getArgument(0)) = std::move(counter);
  for (auto [argument, held] :
       llvm::zip(body.getArguments().drop_front(), run.results))
    getIn(frame, argument) = held;
  current = frame;
}

void TraceBuilder::startFork(ForkOp op) {
  RegionRun run;
  run.op = op;
  run.begin = trace.events.size();
  runs.push_back(std::move(run));
  current = enter(op.getBody().front(), op);
}

void TraceBuilder::finish(RegionRun run) {
  for (auto [i, result] : llvm::enumerate(run.op->getResults()))
    set(result, i < run.results.size() ? std::move(run.results[i])
                                       : makeExternal(result.getType(), false));
  setSpan(run.op, run.begin);
}

//===----------------------------------------------------------------------===//
// Events
//===----------------------------------------------------------------------===//

void TraceBuilder::addReads(Event &event, Operation *op) {
  unsigned now = trace.events.size();
  for (OpOperand &operand : op->getOpOperands()) {
    const AbstractValue &held = get(operand.get());
    SmallVector<Leaf> leaves;
    held.collectLeaves(leaves);
    for (const Leaf &leaf : leaves)
      if (leaf.isTensor || !leaf.isNumber || leaf.event != Leaf::None)
        event.reads.push_back(
            trace.read(leaf, operand.getOperandNumber(), now, current));
    if (changesLists && held.aggregate)
      event.touches.push_back({held.aggregate->allocation, {}});
  }
}

unsigned TraceBuilder::addEvent(Event event) {
  event.frame = current;
  trace.events.push_back(std::move(event));
  return trace.events.size() - 1;
}

void TraceBuilder::touch(Operation *op, unsigned allocation, bool writes) {
  Event event;
  event.kind = Event::Effect;
  event.op = op;
  if (writes)
    event.writes.push_back({allocation, {}});
  else
    event.touches.push_back({allocation, {}});
  addEvent(std::move(event));
}

void TraceBuilder::visitNop(OutNopOp op) {
  Event event;
  event.kind = Event::Nop;
  event.op = op;
  addReads(event, op);
  AbstractValue input = get(op.getInput());
  Leaf leaf;
  leaf.isTensor = true;
  leaf.region =
      input.leaves.empty() ? newAllocation() : input.leaves.front().region;
  leaf.event = addEvent(std::move(event));
  AbstractValue result;
  result.leaves.push_back(leaf);
  set(op.getResult(), std::move(result));
}

void TraceBuilder::visitUnpack(UnpackOp op) {
  AbstractValue aggregate = get(op.getAggregate());
  if (changesLists && aggregate.aggregate &&
      isa<ListType>(op.getAggregate().getType()))
    touch(op, aggregate.aggregate->allocation, /*writes=*/false);
  Builder builder(op.getContext());
  for (auto [i, result] : llvm::enumerate(op.getResults()))
    set(result,
        getElement(aggregate, builder.getI64IntegerAttr(i), result.getType()));
}

void TraceBuilder::visitGet(GetOp op) {
  Attribute symbol = op.getSlotAttr();
  Type type = op.getResult().getType();
  auto written = writtenSlots.find(symbol);
  Attribute value = getSlotValue(symbols.lookup(op.getSlot()));
  AbstractValue held;
  if (auto tensor = dyn_cast_or_null<TensorAttr>(value))
    held = makeTensorOf(tensor, symbol);
  else if (std::optional<AbstractValue> constant =
               written == writtenSlots.end() ? makeConstant(value, type)
                                             : std::nullopt)
    held = std::move(*constant);
  else
    held = makeExternal(type, /*isNumber=*/!holdsTensor(type));
  if (written != writtenSlots.end()) {
    auto [it, isNew] = slotAllocations.try_emplace(symbol, nextAllocation);
    nextAllocation += isNew;
    touch(op, it->second, /*writes=*/false);
    if (!written->second.leaves.empty() || written->second.aggregate)
      held = written->second;
    else
      written->second = held;
  }
  set(op.getResult(), std::move(held));
}

void TraceBuilder::visitSet(SetOp op) {
  Attribute symbol = op.getSlotAttr();
  auto [it, isNew] = slotAllocations.try_emplace(symbol, nextAllocation);
  nextAllocation += isNew;
  touch(op, it->second, /*writes=*/true);
  trace.slotsOf.try_emplace(it->second, op.getSlotAttr().getAttr());
  AbstractValue held = get(op.getValue());
  if (trace.frames[current].guard != Leaf::None) {
    AbstractValue before = writtenSlots[symbol];
    if (before.leaves.empty() && !before.aggregate)
      before = makeExternal(op.getValue().getType(), false);
    held = join(before, held);
  }
  writtenSlots[symbol] = std::move(held);
}

/// Adds an element to a list or dict of which the order is not known.
static void addToAll(Aggregate &aggregate, const AbstractValue &element) {
  if (aggregate.elements.empty())
    aggregate.elements.push_back(element);
  else
    aggregate.elements.front() = join(aggregate.elements.front(), element);
}

/// Makes the elements of a list or dict one that stands for all.
static void forgetOrder(Aggregate &aggregate) {
  AbstractValue all;
  all.isUninitialized = true;
  for (const AbstractValue &element : aggregate.elements)
    all = join(all, element);
  aggregate.elements.clear();
  if (!all.isUninitialized)
    aggregate.elements.push_back(std::move(all));
  aggregate.keys.clear();
  aggregate.isExact = false;
}

bool TraceBuilder::visitContainer(OperatorOp op) {
  if (op.getNumOperands() == 0 || !op.getName().starts_with("aten::"))
    return false;
  auto list = dyn_cast<ListType>(op.getOperand(0).getType());
  auto dict = dyn_cast<DictType>(op.getOperand(0).getType());
  if (!list && !dict)
    return false;
  Type elementType = list ? list.getElementType() : dict.getValueType();
  StringRef name = op.getShortName();
  AbstractValue held = get(op.getOperand(0));
  std::shared_ptr<Aggregate> aggregate = held.aggregate;
  auto getKey = [&](unsigned operand) {
    return operand < op.getNumOperands() ? getConstant(op.getOperand(operand))
                                         : Attribute();
  };
  auto read = [&](const AbstractValue &result) {
    if (changesLists && aggregate)
      touch(op, aggregate->allocation, /*writes=*/false);
    for (Value value : op.getResults())
      set(value, result);
    return true;
  };

  if (name == "__getitem__" || (name == "get" && op.getNumOperands() == 2))
    return read(getElement(held, getKey(1), elementType));
  if (name == "len") {
    if (aggregate && aggregate->isExact)
      return read(
          makeScalar(Builder(op.getContext())
                         .getI64IntegerAttr(aggregate->elements.size())));
    return read(makeNumber());
  }
  if (name == "list" || name == "copy" || name == "values") {
    if (!aggregate)
      return name != "values" && read(held);
    AbstractValue copy = makeAggregate(aggregate->elements);
    copy.aggregate->isExact = aggregate->isExact;
    if (name != "values")
      copy.aggregate->keys = aggregate->keys;
    return read(copy);
  }
  if (name == "items" && aggregate) {
    std::vector<AbstractValue> pairs;
    for (auto [i, element] : llvm::enumerate(aggregate->elements)) {
      Attribute key =
          i < aggregate->keys.size() ? aggregate->keys[i] : Attribute();
      pairs.push_back(
          makeAggregate({key ? makeScalar(key) : makeNumber(), element}));
    }
    AbstractValue result = makeAggregate(std::move(pairs));
    result.aggregate->isExact = aggregate->isExact;
    return read(result);
  }
  if (list && name == "add" && aggregate) {
    AbstractValue other = get(op.getOperand(1));
    AbstractValue sum = makeAggregate(aggregate->elements);
    if (other.aggregate && other.aggregate->isExact && aggregate->isExact)
      llvm::append_range(sum.aggregate->elements, other.aggregate->elements);
    else {
      forgetOrder(*sum.aggregate);
      addToAll(*sum.aggregate, getElement(other, Attribute(), elementType));
    }
    return read(sum);
  }
  if (list && name == "slice" && aggregate) {
    AbstractValue part = makeAggregate(aggregate->elements);
    auto start = dyn_cast_or_null<IntegerAttr>(getKey(1));
    auto end = dyn_cast_or_null<IntegerAttr>(getKey(2));
    auto step = dyn_cast_or_null<IntegerAttr>(getKey(3));
    bool hasStart = start || isa_and_nonnull<UnitAttr>(getKey(1));
    bool hasEnd = end || isa_and_nonnull<UnitAttr>(getKey(2));
    if (!aggregate->isExact || !hasStart || !hasEnd || !step ||
        step.getInt() <= 0) {
      forgetOrder(*part.aggregate);
      return read(part);
    }
    int64_t size = aggregate->elements.size();
    auto clamp = [&](IntegerAttr index, int64_t otherwise) {
      int64_t i = index ? index.getInt() : otherwise;
      return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
    };
    part.aggregate->elements.clear();
    for (int64_t i = clamp(start, 0), e = clamp(end, size); i < e;
         i += std::min<int64_t>(step.getInt(), size))
      part.aggregate->elements.push_back(aggregate->elements[i]);
    return read(part);
  }
  if (name == "__contains__" && aggregate)
    if (std::optional<bool> known =
            foldContains(*aggregate, dict != nullptr, getKey(1)))
      return read(makeScalar(BoolAttr::get(op.getContext(), *known)));
  if (name == "keys" && aggregate && aggregate->isExact &&
      aggregate->keys.size() == aggregate->elements.size() &&
      !llvm::is_contained(aggregate->keys, Attribute())) {
    AbstractValue keys = makeAggregate({});
    for (Attribute key : aggregate->keys)
      keys.aggregate->elements.push_back(makeScalar(key));
    return read(keys);
  }
  if (name == "__contains__" || name == "index" || name == "count" ||
      name == "keys" || name == "eq" || name == "ne")
    return read(makeNumber());

  // What changes the list.
  static const llvm::StringSet<> changes = {
      "append", "extend",  "insert", "_set_item", "pop",    "clear",     "add_",
      "update", "reverse", "remove", "sort",      "Delete", "setdefault"};
  if (!changes.contains(name) || !op.isWritten(0) || !aggregate)
    return false;
  touch(op, aggregate->allocation, /*writes=*/true);
  AbstractValue popped;
  if (name == "pop")
    popped = getElement(
        held,
        op.getNumOperands() > 1
            ? getKey(1)
            : Attribute(Builder(op.getContext()).getI64IntegerAttr(-1)),
        elementType);
  // Where it is not known whether the change happens, its place is not either.
  if (aggregate->guard != trace.frames[current].guard)
    forgetOrder(*aggregate);
  Value last = op.getOperands().back();
  bool known = aggregate->isExact;
  if (name == "append" && list && known) {
    aggregate->elements.push_back(get(last));
  } else if (name == "append") {
    addToAll(*aggregate, get(last));
  } else if ((name == "extend" || name == "add_") && list) {
    AbstractValue other = get(last);
    if (known && other.aggregate && other.aggregate->isExact) {
      std::vector<AbstractValue> added = other.aggregate->elements;
      llvm::append_range(aggregate->elements, added);
    } else {
      forgetOrder(*aggregate);
      addToAll(*aggregate, getElement(other, Attribute(), elementType));
    }
  } else if (name == "insert" && known &&
             isa_and_nonnull<IntegerAttr>(getKey(1))) {
    int64_t size = aggregate->elements.size();
    int64_t i = cast<IntegerAttr>(getKey(1)).getInt();
    i = std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
    AbstractValue inserted = get(last);
    aggregate->elements.insert(aggregate->elements.begin() + i,
                               std::move(inserted));
  } else if (name == "_set_item" && known && getKey(1)) {
    AbstractValue *place = nullptr;
    if (dict) {
      for (auto [key, element] :
           llvm::zip(aggregate->keys, aggregate->elements))
        if (key == getKey(1))
          place = &element;
      if (!place && aggregate->keys.size() == aggregate->elements.size()) {
        aggregate->keys.push_back(getKey(1));
        aggregate->elements.emplace_back();
        place = &aggregate->elements.back();
      }
    } else if (auto index = getPlace(getKey(1), aggregate->elements.size())) {
      place = &aggregate->elements[*index];
    }
    if (place) {
      *place = get(last);
    } else {
      forgetOrder(*aggregate);
      addToAll(*aggregate, get(last));
    }
  } else if (name == "pop" && list && known &&
             (op.getNumOperands() == 1 || getKey(1))) {
    Attribute end = Builder(op.getContext()).getI64IntegerAttr(-1);
    Attribute index = op.getNumOperands() == 1 ? end : getKey(1);
    if (auto place = getPlace(index, aggregate->elements.size()))
      aggregate->elements.erase(aggregate->elements.begin() + *place);
  } else if (name == "reverse" && known) {
    std::reverse(aggregate->elements.begin(), aggregate->elements.end());
  } else if (name == "clear" && known) {
    aggregate->elements.clear();
    aggregate->keys.clear();
  } else {
    forgetOrder(*aggregate);
    for (Value operand : op.getOperands().drop_front()) {
      AbstractValue other = get(operand);
      if (operand.getType() == op.getOperand(0).getType())
        other = getElement(other, Attribute(), elementType);
      if (operand.getType() == elementType ||
          operand.getType() == op.getOperand(0).getType())
        addToAll(*aggregate, other);
    }
  }
  for (Value value : op.getResults())
    set(value, name == "pop" ? popped : held);
  return true;
}

bool TraceBuilder::visitMakeDict(OperatorOp op) {
  AbstractValue dict = makeAggregate({});
  if (op.getNumOperands() != 0) {
    AbstractValue pairs = get(op.getOperand(0));
    if (!pairs.aggregate || !pairs.aggregate->isExact ||
        !pairs.aggregate->keys.empty())
      return false;
    for (const AbstractValue &pair : pairs.aggregate->elements) {
      if (!pair.aggregate || pair.aggregate->elements.size() != 2)
        return false;
      Attribute key = pair.aggregate->elements[0].constant;
      if (!key || llvm::is_contained(dict.aggregate->keys, key))
        return false;
      dict.aggregate->keys.push_back(key);
      dict.aggregate->elements.push_back(pair.aggregate->elements[1]);
    }
  }
  set(op.getResult(0), std::move(dict));
  return true;
}

/// Whether a value is None is known of most.
static Attribute foldIsNone(StringRef name, const AbstractValue &a,
                            const AbstractValue &b, MLIRContext *context) {
  bool negated = name == "aten::__isnot__";
  if (!negated && name != "aten::__is__")
    return {};
  auto isNone = [](const AbstractValue &value) {
    return isa_and_nonnull<UnitAttr>(value.constant);
  };
  if ((isNone(a) && b.isNotNone) || (isNone(b) && a.isNotNone))
    return BoolAttr::get(context, negated);
  return {};
}

bool TraceBuilder::visitConstant(OperatorOp op) {
  if (op->getNumResults() != 1 || op->getNumOperands() == 0 || op.hasWrites() ||
      op.getEffects() || isa<TensorType>(op.getResult(0).getType()))
    return false;
  SmallVector<Attribute> operands;
  for (Value operand : op.getOperands())
    operands.push_back(getConstant(operand));
  // The least or greatest of a list of two is that of two numbers.
  if (const Aggregate *list = get(op.getOperand(0)).aggregate.get();
      list && op.getNumOperands() == 1 && op.getName().starts_with("prim::m") &&
      list->isExact && list->elements.size() == 2)
    operands = {list->elements[0].constant, list->elements[1].constant};
  Attribute result;
  if (op.getNumOperands() == 2)
    result = foldIsNone(op.getName(), get(op.getOperand(0)),
                        get(op.getOperand(1)), op.getContext());
  if (!result)
    result = foldOperator(op.getName(), operands);
  if (!result)
    return false;
  set(op.getResult(0), makeScalar(result));
  return true;
}

/// Whether an operator that draws random numbers or writes statistics in
/// training is known to run in evaluation.
bool TraceBuilder::isSwitchedOff(OperatorOp op) {
  std::optional<unsigned> flag = getTrainingOperand(op);
  if (!flag)
    return false;
  auto training = dyn_cast_or_null<BoolAttr>(getConstant(op.getOperand(*flag)));
  return training && !training.getValue();
}

LogicalResult TraceBuilder::visitOperator(OperatorOp op) {
  StringRef name = op.getName();
  if ((name == "prim::CallMethod" && !isGradMode(op)) ||
      name == "prim::SetAttr")
    return op.emitError()
           << "this calls or changes an object that is known at run time only, "
              "so that what it does is not known either; trace the model, or "
              "carry the file as it is with "
              "--pass-pipeline='builtin.module()'";
  if (visitConstant(op) || visitContainer(op))
    return success();
  if (name == "aten::dict" && visitMakeDict(op))
    return success();
  Builder builder(op.getContext());
  if (handsOn(name) && op.getNumResults() == 1) {
    set(op.getResult(0), get(op.getOperand(0)));
    return success();
  }
  if (name == "prim::Uninitialized") {
    AbstractValue held;
    held.isUninitialized = true;
    set(op.getResult(0), std::move(held));
    return success();
  }
  if (name == "prim::TupleIndex") {
    set(op.getResult(0),
        getElement(get(op.getOperand(0)), getConstant(op.getOperand(1)),
                   op.getResult(0).getType()));
    return success();
  }

  bool metadataOnly = readsMetadataOnly(name);
  bool makesTensor = llvm::any_of(op.getResultTypes(), holdsTensor);
  ArrayRef<int64_t> writes;
  if (op.hasWrites() && !isSwitchedOff(op))
    writes = op.getWritesAttr().asArrayRef();
  bool writesTensor = llvm::any_of(writes, [&](int64_t operand) {
    return holdsTensor(op.getOperand(operand).getType());
  });

  Event event;
  event.op = op;
  event.isRandom = op.getRandom() && !isSwitchedOff(op);
  event.hasEffects = op.getEffects();
  event.isShapeCheck =
      name == "prim::RaiseException" && trace.frames[current].isDecidedBySizes;
  if (!metadataOnly)
    addReads(event, op);
  bool isNumber = metadataOnly;
  if (!metadataOnly)
    isNumber = llvm::all_of(
        event.reads, [](const Read &read) { return read.leaf.isNumber; });

  if ((!makesTensor || metadataOnly) && !writesTensor) {
    // A number: it depends on what it was read from.
    for (Value result : op.getResults()) {
      AbstractValue held;
      for (const Read &read : event.reads) {
        for (unsigned source : read.getEvents()) {
          Leaf leaf;
          leaf.event = source;
          leaf.isNumber = isNumber;
          leaf.region = MemoryRegion{~0u, {}};
          held.leaves.push_back(leaf);
        }
      }
      if (held.leaves.empty())
        held = makeExternal(result.getType(), isNumber);
      set(result, std::move(held));
    }
    // What it reads must not be written before.
    bool readsTensor =
        !isNumber && llvm::any_of(event.reads, [](const Read &read) {
          return read.leaf.isTensor;
        });
    if (event.hasEffects || event.isRandom || readsTensor) {
      event.kind = Event::Effect;
      addEvent(std::move(event));
    }
    return success();
  }

  unsigned index = trace.events.size();
  StringRef instance = trace.frames[current].method.getInstance();
  event.kind = anchors.contains(op, instance) ? Event::Anchor : Event::Other;
  event.isNumber = isNumber && event.kind != Event::Anchor;
  for (int64_t operand : writes) {
    const AbstractValue &held = get(op.getOperand(operand));
    SmallVector<Leaf> leaves;
    held.collectLeaves(leaves);
    for (const Leaf &leaf : leaves) {
      if (!leaf.isTensor)
        continue;
      event.writes.push_back(leaf.region);
      Trace::Write write{index, leaf.region, std::nullopt};
      if (leaves.size() == 1)
        write.target = trace.read(leaf, 0, index, current).leaf;
      trace.writes[leaf.region.allocation].push_back(std::move(write));
    }
    if (held.aggregate) {
      event.writes.push_back({held.aggregate->allocation, {}});
      forgetOrder(*held.aggregate);
    }
  }
  bool isNumberEvent = event.isNumber;
  addEvent(std::move(event));
  for (auto [i, result] : llvm::enumerate(op.getResults())) {
    AbstractValue held;
    SmallVector<Leaf> sources;
    int64_t aliased = op.getAliasedOperand(i);
    if (aliased >= 0)
      get(op.getOperand(aliased)).collectLeaves(sources);
    auto add = [&](MemoryRegion region) {
      Leaf leaf;
      leaf.event = index;
      leaf.index = i;
      leaf.isTensor = holdsTensor(result.getType());
      leaf.isNumber = isNumberEvent;
      leaf.region = std::move(region);
      addLeaf(held, leaf);
    };
    for (const Leaf &source : sources)
      if (source.isTensor)
        add(source.region);
    if (held.leaves.empty())
      add(newAllocation());
    set(result, std::move(held));
  }
  return success();
}

LogicalResult TraceBuilder::visit(Operation *op) {
  unsigned begin = trace.events.size();
  if (auto oper = dyn_cast<OperatorOp>(op)) {
    if (failed(visitOperator(oper)))
      return failure();
  } else if (auto nop = dyn_cast<OutNopOp>(op)) {
    visitNop(nop);
  } else if (auto unpack = dyn_cast<UnpackOp>(op)) {
    visitUnpack(unpack);
  } else if (isa<TupleOp, ListOp>(op)) {
    std::vector<AbstractValue> elements;
    for (Value element : op->getOperands())
      elements.push_back(get(element));
    set(op->getResult(0), makeAggregate(std::move(elements)));
  } else if (isa<DictOp>(op)) {
    AbstractValue held = makeAggregate({});
    for (unsigned i = 0; i + 1 < op->getNumOperands(); i += 2) {
      held.aggregate->keys.push_back(getConstant(op->getOperand(i)));
      held.aggregate->elements.push_back(get(op->getOperand(i + 1)));
    }
    set(op->getResult(0), std::move(held));
  } else if (auto read = dyn_cast<GetOp>(op)) {
    visitGet(read);
  } else if (auto write = dyn_cast<SetOp>(op)) {
    visitSet(write);
  } else if (auto constant = dyn_cast<ConstantOp>(op)) {
    AbstractValue held;
    if (auto tensor = dyn_cast<TensorAttr>(constant.getValue())) {
      held = makeTensorOf(tensor, constant.getValue());
      held.leaves.front().isNumber = true;
    } else if (isScalar(constant.getValue())) {
      held = makeScalar(constant.getValue());
    } else {
      held = makeExternal(constant.getResult().getType(), true);
    }
    set(constant.getResult(), std::move(held));
  }
  setSpan(op, begin);
  return success();
}

FailureOr<Trace> TraceBuilder::run() {
  MethodOp entry = getEntry(symbols);
  if (!entry)
    return model.emitError() << "the model has no method 'forward'";
  if (failed(enterCallee(nullptr, entry, entry.getBody().front(), {})))
    return failure();
  while (!stack.empty()) {
    Activation &active = stack.back();
    if (active.next == active.end) {
      leave();
      continue;
    }
    Operation *op = &*active.next++;
    if (auto call = dyn_cast<CallOp>(op)) {
      auto callee = symbols.lookup<MethodOp>(call.getCallee());
      if (failed(enterCallee(call, callee, callee.getBody().front(),
                             call.getArguments())))
        return failure();
    } else if (auto call = dyn_cast<CallFunctionOp>(op)) {
      auto callee = symbols.lookup<FunctionOp>(call.getCallee());
      if (failed(enterCallee(call, callee, callee.getBody().front(),
                             call.getArguments())))
        return failure();
    } else if (auto branch = dyn_cast<IfOp>(op)) {
      startIf(branch);
    } else if (auto loop = dyn_cast<LoopOp>(op)) {
      startLoop(loop);
    } else if (auto fork = dyn_cast<ForkOp>(op)) {
      startFork(fork);
    } else if (isa<YieldOp>(op)) {
      // What it hands on is read when its frame ends.
    } else if (auto ret = dyn_cast<ReturnOp>(op)) {
      if (current != 0)
        continue;
      trace.entryReturn = ret;
      Event end;
      addReads(end, ret);
      trace.returned.assign(end.reads.begin(), end.reads.end());
    } else if (failed(visit(op))) {
      return failure();
    }
  }
  return std::move(trace);
}

FailureOr<Trace> Trace::compute(mlir::ModuleOp model, SymbolTable &symbols,
                                const AnchorSet &anchors,
                                bool followsDeadArms) {
  return TraceBuilder(model, symbols, anchors, followsDeadArms).run();
}

} // namespace fqat
