//===- Trace.cpp - A symbolic run of the model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/Analysis/CallTree.h"
#include "fqat/IR/Paths.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/GlobPattern.h"

#include <map>

using namespace mlir;

namespace fqat {

//===----------------------------------------------------------------------===//
// Anchors
//===----------------------------------------------------------------------===//

llvm::Expected<AnchorSet> AnchorSet::create(ArrayRef<std::string> families,
                                            ArrayRef<std::string> excluded) {
  AnchorSet set;
  if (!families.empty()) {
    set.convs = set.linears = false;
    for (StringRef family : families) {
      if (family == "conv")
        set.convs = true;
      else if (family == "linear")
        set.linears = true;
      else
        return llvm::createStringError("unknown anchors '" + family +
                                       "': there are conv and linear");
    }
  }
  for (const std::string &glob : excluded) {
    if (auto pattern = llvm::GlobPattern::create(glob); !pattern)
      return llvm::createStringError(
          "bad glob '" + glob + "': " + llvm::toString(pattern.takeError()));
    set.excluded.push_back(glob);
  }
  return set;
}

FailureOr<AnchorSet> AnchorSet::create(Operation *op,
                                       ArrayRef<std::string> families,
                                       ArrayRef<std::string> excluded) {
  auto set = create(families, excluded);
  if (!set)
    return op->emitError() << llvm::toString(set.takeError());
  return std::move(*set);
}

bool AnchorSet::isExcluded(StringRef instance) const {
  for (const std::string &glob : excluded) {
    auto pattern = llvm::cantFail(llvm::GlobPattern::create(glob));
    for (StringRef path = instance; !path.empty() && path != "$";
         path = splitPath(path).first)
      if (pattern.match(path))
        return true;
  }
  return false;
}

bool AnchorSet::contains(OperatorOp op, StringRef instance) const {
  static const llvm::StringSet<> convNames = {
      "aten::_convolution",     "aten::_convolution_mode",
      "aten::convolution",      "aten::conv1d",
      "aten::conv2d",           "aten::conv3d",
      "aten::conv_transpose1d", "aten::conv_transpose2d",
      "aten::conv_transpose3d"};
  bool isAnchor = (convs && convNames.contains(op.getName())) ||
                  (linears && op.getName() == "aten::linear");
  return isAnchor && !isExcluded(instance);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

bool MemoryRegion::mayOverlap(const MemoryRegion &other) const {
  if (allocation != other.allocation)
    return false;
  for (auto [a, b] : llvm::zip(parts, other.parts))
    if (a != b)
      return a.first != b.first;
  return true;
}

void AbstractValue::collectLeaves(SmallVectorImpl<Leaf> &result) const {
  llvm::append_range(result, leaves);
  for (const AbstractValue &element : elements)
    element.collectLeaves(result);
}

SmallVector<unsigned, 2> Read::getEvents() const {
  SmallVector<unsigned, 2> result;
  if (leaf.event != Leaf::None)
    result.push_back(leaf.event);
  for (unsigned writer : writers)
    if (!llvm::is_contained(result, writer))
      result.push_back(writer);
  return result;
}

//===----------------------------------------------------------------------===//
// Building a trace
//===----------------------------------------------------------------------===//

bool readsMetadataOnly(OperatorOp op) {
  static const llvm::StringSet<> names = {
      "aten::size",         "aten::dim",
      "aten::len",          "prim::device",
      "prim::dtype",        "prim::layout",
      "aten::numel",        "aten::stride",
      "prim::is_cuda",      "prim::is_nested",
      "prim::is_quantized", "prim::requires_grad",
      "aten::is_complex",   "aten::is_floating_point"};
  return names.contains(op.getName());
}

/// Operators whose results share no element with each other.
static bool splitsTensor(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::chunk",        "aten::split",        "aten::split_with_sizes",
      "aten::unbind",       "aten::tensor_split", "aten::unsafe_chunk",
      "aten::unsafe_split", "aten::hsplit",       "aten::vsplit",
      "aten::dsplit"};
  return names.contains(name);
}

static bool holdsTensor(Type type) {
  if (isa<TensorType>(type))
    return true;
  if (auto list = dyn_cast<ListType>(type))
    return holdsTensor(list.getElementType());
  if (auto optional = dyn_cast<OptionalType>(type))
    return holdsTensor(optional.getElementType());
  if (auto dict = dyn_cast<DictType>(type))
    return holdsTensor(dict.getValueType());
  if (auto tuple = dyn_cast<TupleType>(type))
    return llvm::any_of(tuple.getElementTypes(), holdsTensor);
  return false;
}

/// Runs the model symbolically. Calls are followed with an explicit stack.
class TraceBuilder {
public:
  TraceBuilder(mlir::ModuleOp model, SymbolTable &symbols,
               const AnchorSet &anchors)
      : model(model), symbols(symbols), anchors(anchors) {}

  FailureOr<Trace> run();

private:
  /// A frame whose body is being run.
  struct Activation {
    unsigned frame;
    Block::iterator next, end;
  };

  AbstractValue makeExternal(Type type, bool isNumber);
  AbstractValue makeTensorOf(TensorAttr tensor, Attribute identity);
  AbstractValue &get(Value value) { return trace.values[{current, value}]; }
  void set(Value value, AbstractValue held) {
    trace.values[{current, value}] = std::move(held);
  }
  LogicalResult enter(MethodOp method, CallOp call, unsigned parent);
  void leave();
  void visit(Operation *op);
  void visitOperator(OperatorOp op);
  void visitNop(OutNopOp op);
  void visitUnpack(UnpackOp op);
  void addReads(Event &event, Operation *op);
  MemoryRegion newAllocation() { return {nextAllocation++, {}}; }

  mlir::ModuleOp model;
  SymbolTable &symbols;
  const AnchorSet &anchors;
  Trace trace;
  SmallVector<Activation> stack;
  unsigned current = 0;
  unsigned nextAllocation = 0;
  unsigned nextExternal = 0;
  /// The allocation of each storage, and the leaf of each slot.
  DenseMap<Attribute, unsigned> storages;
  DenseMap<Attribute, AbstractValue> slots;
};

AbstractValue TraceBuilder::makeExternal(Type type, bool isNumber) {
  AbstractValue value;
  Leaf leaf;
  leaf.index = nextExternal++;
  leaf.isTensor = holdsTensor(type);
  leaf.isNumber = isNumber;
  leaf.region = newAllocation();
  value.leaves.push_back(leaf);
  return value;
}

AbstractValue TraceBuilder::makeTensorOf(TensorAttr tensor,
                                         Attribute identity) {
  AbstractValue &known = slots[identity];
  if (!known.leaves.empty())
    return known;
  Leaf leaf;
  leaf.index = nextExternal++;
  leaf.isTensor = true;
  auto [it, isNew] = storages.try_emplace(tensor.getStorage(), nextAllocation);
  nextAllocation += isNew;
  leaf.region.allocation = it->second;
  known.leaves.push_back(leaf);
  return known;
}

LogicalResult TraceBuilder::enter(MethodOp method, CallOp call,
                                  unsigned parent) {
  for (const Activation &active : stack)
    if (trace.frames[active.frame].method == method)
      return method.emitError()
             << "'" << method.getSymName() << "' calls itself";
  if (failed(checkStraightLine(method)))
    return failure();
  unsigned frame = trace.frames.size();
  Frame made;
  made.method = method;
  made.call = call;
  made.parent = parent;
  made.begin = trace.events.size();
  trace.frames.push_back(made);
  trace.methodFrames[method].push_back(frame);
  for (BlockArgument argument : method.getArguments()) {
    AbstractValue held;
    if (call)
      held =
          trace.values[{parent, call.getArguments()[argument.getArgNumber()]}];
    else
      held = makeExternal(argument.getType(), !holdsTensor(argument.getType()));
    trace.values[{frame, argument}] = std::move(held);
  }
  if (call)
    trace.callees[{parent, call}] = frame;
  Block &body = method.getBody().front();
  stack.push_back({frame, body.begin(), body.end()});
  current = frame;
  return success();
}

void TraceBuilder::leave() {
  unsigned frame = stack.pop_back_val().frame;
  Frame &done = trace.frames[frame];
  done.end = trace.events.size();
  if (!done.call)
    return;
  auto ret = cast<ReturnOp>(done.method.getBody().front().getTerminator());
  for (auto [result, operand] :
       llvm::zip(done.call.getResults(), ret.getOperands())) {
    AbstractValue held = trace.values[{frame, operand}];
    trace.values[{done.parent, result}] = std::move(held);
  }
  trace.spans[{done.parent, done.call}] = {done.begin, done.end};
  current = done.parent;
}

Read Trace::read(const Leaf &leaf, unsigned operand, unsigned before) const {
  Read result;
  result.operand = operand;
  result.leaf = leaf;
  auto it = writes.find(leaf.region.allocation);
  if (it == writes.end() || !leaf.isTensor)
    return result;
  for (const Write &write : it->second) {
    if (write.event >= before ||
        (leaf.event != Leaf::None && write.event <= leaf.event) ||
        !write.region.mayOverlap(leaf.region))
      continue;
    // An in-place op on this very tensor gives it another name.
    if (write.target && write.target->isSameTensor(result.leaf)) {
      result.leaf.event = write.event;
      result.leaf.index = 0;
      result.writers.clear();
      continue;
    }
    if (result.leaf.event != write.event)
      result.writers.push_back(write.event);
  }
  return result;
}

Read Trace::readAfter(const Leaf &leaf, unsigned at) const {
  return read(leaf, 0, at + 1);
}

void TraceBuilder::addReads(Event &event, Operation *op) {
  unsigned now = trace.events.size();
  for (OpOperand &operand : op->getOpOperands()) {
    SmallVector<Leaf> leaves;
    get(operand.get()).collectLeaves(leaves);
    for (const Leaf &leaf : leaves)
      event.reads.push_back(trace.read(leaf, operand.getOperandNumber(), now));
  }
}

void TraceBuilder::visitNop(OutNopOp op) {
  Event event;
  event.kind = Event::Nop;
  event.op = op;
  event.frame = current;
  addReads(event, op);
  unsigned index = trace.events.size();
  AbstractValue input = get(op.getInput());
  Leaf leaf;
  leaf.event = index;
  leaf.isTensor = true;
  leaf.region =
      input.leaves.empty() ? newAllocation() : input.leaves.front().region;
  AbstractValue result;
  result.leaves.push_back(leaf);
  trace.events.push_back(std::move(event));
  set(op.getResult(), std::move(result));
}

void TraceBuilder::visitUnpack(UnpackOp op) {
  AbstractValue aggregate = get(op.getAggregate());
  for (auto [i, result] : llvm::enumerate(op.getResults())) {
    AbstractValue element;
    if (aggregate.isAggregate &&
        aggregate.elements.size() == op.getNumResults()) {
      element = aggregate.elements[i];
    } else {
      // The results of one op that come as a list: each is a tensor of its own.
      SmallVector<Leaf> leaves;
      aggregate.collectLeaves(leaves);
      for (Leaf leaf : leaves) {
        leaf.isTensor = holdsTensor(result.getType());
        if (leaf.event != Leaf::None) {
          auto oper = dyn_cast<OperatorOp>(trace.events[leaf.event].op);
          if (oper && splitsTensor(oper.getName()))
            leaf.region.parts.push_back({leaf.event, i});
        }
        leaf.index += i;
        element.leaves.push_back(leaf);
      }
    }
    set(result, std::move(element));
  }
}

void TraceBuilder::visitOperator(OperatorOp op) {
  // List operators hand their elements on.
  if (op.getName() == "aten::list" || op.getName() == "aten::copy") {
    if (op.getNumOperands() == 1 && isa<ListType>(op.getOperand(0).getType()))
      return set(op.getResult(0), get(op.getOperand(0)));
  }
  bool metadataOnly = readsMetadataOnly(op);
  bool makesTensor = llvm::any_of(op.getResultTypes(), holdsTensor);
  bool writesTensor = false;
  if (auto writes = op.getWrites())
    for (int64_t index : *writes)
      writesTensor |= holdsTensor(op.getOperand(index).getType());

  Event event;
  event.op = op;
  event.frame = current;
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
    return;
  }

  unsigned index = trace.events.size();
  StringRef instance = MethodOp(trace.frames[current].method).getInstance();
  event.kind = anchors.contains(op, instance) ? Event::Anchor : Event::Other;
  event.isNumber = isNumber && event.kind != Event::Anchor;
  if (auto writes = op.getWrites()) {
    for (int64_t operand : *writes) {
      SmallVector<Leaf> leaves;
      get(op.getOperand(operand)).collectLeaves(leaves);
      for (const Leaf &leaf : leaves) {
        if (!leaf.isTensor)
          continue;
        event.writes.push_back(leaf.region);
        Trace::Write write{index, leaf.region, std::nullopt};
        if (leaves.size() == 1)
          write.target = trace.read(leaf, 0, index).leaf;
        trace.writes[leaf.region.allocation].push_back(std::move(write));
      }
    }
  }
  bool isNumberEvent = event.isNumber;
  trace.events.push_back(std::move(event));
  for (auto [i, result] : llvm::enumerate(op.getResults())) {
    AbstractValue held;
    SmallVector<Leaf> sources;
    int64_t aliased = op.getAliasedOperand(i);
    if (aliased >= 0)
      get(op.getOperand(aliased)).collectLeaves(sources);
    auto addLeaf = [&](MemoryRegion region) {
      Leaf leaf;
      leaf.event = index;
      leaf.index = i;
      leaf.isTensor = holdsTensor(result.getType());
      leaf.isNumber = isNumberEvent;
      leaf.region = std::move(region);
      held.leaves.push_back(std::move(leaf));
    };
    for (const Leaf &source : sources)
      if (source.isTensor)
        addLeaf(source.region);
    if (held.leaves.empty())
      addLeaf(newAllocation());
    set(result, std::move(held));
  }
}

void TraceBuilder::visit(Operation *op) {
  unsigned begin = trace.events.size();
  if (auto oper = dyn_cast<OperatorOp>(op)) {
    visitOperator(oper);
  } else if (auto nop = dyn_cast<OutNopOp>(op)) {
    visitNop(nop);
  } else if (auto unpack = dyn_cast<UnpackOp>(op)) {
    visitUnpack(unpack);
  } else if (isa<TupleOp, ListOp, DictOp>(op)) {
    AbstractValue held;
    held.isAggregate = true;
    for (Value element : op->getOperands())
      held.elements.push_back(get(element));
    set(op->getResult(0), std::move(held));
  } else if (auto read = dyn_cast<GetOp>(op)) {
    Operation *slot = symbols.lookup(read.getSlot());
    Attribute value = slot->getAttr("value");
    if (auto tensor = dyn_cast_or_null<TensorAttr>(value))
      set(read.getResult(), makeTensorOf(tensor, read.getSlotAttr()));
    else
      set(read.getResult(),
          makeExternal(read.getResult().getType(), /*isNumber=*/true));
  } else if (auto constant = dyn_cast<ConstantOp>(op)) {
    AbstractValue held = makeExternal(constant.getResult().getType(), true);
    if (auto tensor = dyn_cast<TensorAttr>(constant.getValue())) {
      held = makeTensorOf(tensor, constant.getValue());
      held.leaves.front().isNumber = true;
    }
    set(constant.getResult(), std::move(held));
  }
  trace.spans[{current, op}] = {begin, trace.events.size()};
}

FailureOr<Trace> TraceBuilder::run() {
  auto entry = symbols.lookup<MethodOp>("forward");
  if (!entry)
    return model.emitError() << "the model has no method 'forward'";
  if (failed(enter(entry, CallOp(), 0)))
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
      if (failed(enter(callee, call, current)))
        return failure();
      continue;
    }
    if (auto ret = dyn_cast<ReturnOp>(op)) {
      if (current == 0) {
        trace.entryReturn = ret;
        Event end;
        addReads(end, ret);
        trace.returned.assign(end.reads.begin(), end.reads.end());
      }
      continue;
    }
    visit(op);
  }
  return std::move(trace);
}

FailureOr<Trace> Trace::compute(mlir::ModuleOp model, SymbolTable &symbols,
                                const AnchorSet &anchors) {
  return TraceBuilder(model, symbols, anchors).run();
}

const AbstractValue &Trace::getValue(unsigned frame, Value value) const {
  static const AbstractValue nothing;
  auto it = values.find({frame, value});
  return it == values.end() ? nothing : it->second;
}

ArrayRef<unsigned> Trace::getFramesOf(MethodOp method) const {
  auto it = methodFrames.find(method);
  if (it == methodFrames.end())
    return {};
  return it->second;
}

std::optional<unsigned> Trace::getCallee(unsigned frame, CallOp call) const {
  auto it = callees.find({frame, call});
  if (it == callees.end())
    return std::nullopt;
  return it->second;
}

std::pair<unsigned, unsigned> Trace::getSpan(unsigned frame,
                                             Operation *op) const {
  auto it = spans.find({frame, op});
  return it == spans.end() ? std::pair<unsigned, unsigned>() : it->second;
}

//===----------------------------------------------------------------------===//
// Regions
//===----------------------------------------------------------------------===//

static bool isBatchNorm(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::batch_norm", "aten::_batch_norm_impl_index",
      "aten::native_batch_norm", "aten::cudnn_batch_norm",
      "aten::miopen_batch_norm"};
  return names.contains(name);
}

static bool isFusibleActivation(StringRef name) {
  static const llvm::StringSet<> names = {
      "relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu",
      "celu", "selu",  "silu",     "mish",       "gelu",  "hardswish"};
  if (!name.consume_front("aten::"))
    return false;
  name.consume_back("_");
  return names.contains(name);
}

static StringRef getOperatorName(const Event &event) {
  auto op = dyn_cast_or_null<OperatorOp>(event.op);
  return op ? op.getName() : StringRef();
}

Regions::Regions(const Trace &trace) {
  ArrayRef<Event> events = trace.getEvents();
  size_t size = events.size();
  users.resize(size);
  quantised.assign(size, false);
  tail.assign(size, false);
  upstream.assign(size, false);
  downstream.assign(size, false);
  returned.assign(size, false);

  for (auto [i, event] : llvm::enumerate(events)) {
    bool isAnchor = event.kind == Event::Anchor;
    numAnchors += isAnchor;
    upstream[i] = isAnchor;
    for (const Read &read : event.reads)
      for (unsigned source : read.getEvents()) {
        upstream[i] |= upstream[source];
        if (users[source].empty() || users[source].back() != i)
          users[source].push_back(i);
      }
  }
  for (size_t i = size; i-- != 0;)
    for (unsigned user : users[i])
      downstream[i] |= events[user].kind == Event::Anchor || downstream[user];
  for (const Read &read : trace.getReturned())
    for (unsigned source : read.getEvents())
      returned[source] = true;

  // What stands behind a nop is what stands before it.
  auto lookThroughNops = [&](unsigned event) {
    while (events[event].kind == Event::Nop && !events[event].reads.empty() &&
           events[event].reads.front().getProducer() != Leaf::None)
      event = events[event].reads.front().getProducer();
    return event;
  };
  auto isOnlyUser = [&](unsigned user, unsigned event) {
    SmallVector<unsigned> worklist = {event};
    while (!worklist.empty()) {
      unsigned producer = worklist.pop_back_val();
      if (returned[producer])
        return false;
      for (unsigned other : users[producer]) {
        if (events[other].kind == Event::Nop)
          worklist.push_back(other);
        else if (other != user)
          return false;
      }
    }
    return true;
  };

  // The last event of each group so far; a group grows from its anchor.
  std::vector<char> inGroup(size, false);
  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind == Event::Anchor) {
      inGroup[i] = true;
      continue;
    }
    StringRef name = getOperatorName(event);
    bool isNorm = isBatchNorm(name), isActivation = isFusibleActivation(name);
    if ((!isNorm && !isActivation) || event.reads.empty() ||
        event.reads.front().operand != 0 ||
        event.reads.front().leaf.event == Leaf::None)
      continue;
    unsigned source = lookThroughNops(event.reads.front().leaf.event);
    if (!inGroup[source] || !isOnlyUser(i, source))
      continue;
    bool afterAnchor = events[source].kind == Event::Anchor;
    bool afterNorm = isBatchNorm(getOperatorName(events[source]));
    inGroup[i] = isNorm ? afterAnchor : afterAnchor || afterNorm;
  }

  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind == Event::Nop || !upstream[i])
      continue;
    quantised[i] = inGroup[i] || downstream[i];
    tail[i] = !quantised[i];
  }
}

SmallVector<CrossingValue> findCrossingValues(const Trace &trace,
                                              const Regions &regions) {
  ArrayRef<Event> events = trace.getEvents();
  // A value is a tensor under its latest name, and its latest quantised writer.
  using Key = std::tuple<unsigned, unsigned, unsigned>;
  std::map<Key, unsigned> numbers;
  SmallVector<CrossingValue> values;
  auto add = [&](const Read &read) -> CrossingValue * {
    if (!read.leaf.isTensor)
      return nullptr;
    std::optional<unsigned> producer;
    for (unsigned event : read.getEvents())
      if (regions.isQuantised(event))
        producer = event;
    if (!producer)
      return nullptr;
    auto [it, isNew] = numbers.try_emplace(
        {*producer, read.leaf.event, read.leaf.index}, values.size());
    if (isNew)
      values.push_back({read.leaf, *producer, {}, false});
    return &values[it->second];
  };
  for (auto [i, event] : llvm::enumerate(events)) {
    if (!regions.isTail(i))
      continue;
    for (const Read &read : event.reads)
      if (CrossingValue *value = add(read))
        value->readers.push_back({i, read.operand});
  }
  for (const Read &read : trace.getReturned())
    if (CrossingValue *value = add(read))
      value->isReturned = true;
  llvm::stable_sort(values, [](const CrossingValue &a, const CrossingValue &b) {
    return std::tie(a.producer, a.leaf.event, a.leaf.index) <
           std::tie(b.producer, b.leaf.event, b.leaf.index);
  });
  return values;
}

} // namespace fqat
