//===- InsertOutNop.cpp - R1: an out_nop on every crossing value -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %h = fqat.call @cv2.forward(%x)
//   %c = fqat.op "aten::cat"(...)                // reads %h
//
//   %h = fqat.call @cv2.forward(%x)
//   %n = fqat.out_nop @out_nop(%h)
//   %c = fqat.op "aten::cat"(...)                // reads %n
//
//===----------------------------------------------------------------------===//

#include "ListReads.h"
#include "Rerouter.h"
#include "fqat/Analysis/Regions.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/DeadOps.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeLog.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_INSERTOUTNOPPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {

/// A tensor by the op that makes it and the number that the trace gives it.
using TensorKey = std::pair<Operation *, unsigned>;

/// What placing and rerouting ask of a trace for each crossing value.
class TensorIndex {
public:
  TensorIndex(const Trace &trace, ArrayRef<CrossingValue> crossings);

  /// The operands that read a crossing tensor.
  ArrayRef<Use> getReads(const Leaf &leaf) const {
    return reads.find({leaf.event, leaf.index})->second;
  }
  /// The values that hold a crossing value's tensor right after its producer
  /// and can be read behind an op of a frame's body: those that the op makes,
  /// and those made before, latest first, in the body and in those around.
  SmallVector<Value> getNames(unsigned frame, Operation *after,
                              const CrossingValue &crossing);
  /// Whether a value is such a name.
  bool holds(unsigned frame, Value value, const CrossingValue &crossing) const;

private:
  /// The tensors of a frame's body by what memory they lie in, in the order of
  /// the text.
  using Names = DenseMap<unsigned, SmallVector<Value>>;
  const Names &getNamesIn(unsigned frame);

  const Trace &trace;
  DenseMap<std::pair<unsigned, unsigned>, SmallVector<Use>> reads;
  DenseMap<unsigned, Names> names;
};

/// The instances of nops, as far as nobody uses them.
class NopPool {
public:
  NopPool(Hierarchy &hierarchy, StringRef nopName)
      : hierarchy(hierarchy), nopName(nopName) {}

  /// Adds a nop that was taken out, and the tensor that it stood on.
  void addFree(TensorKey key, StringRef instance);
  /// Forgets the tensors whose ops are gone.
  void dropTensorsBut(const DenseSet<Operation *> &alive);
  /// Finds again which nops are used.
  void update();
  /// The instance of a new nop for a tensor: one that the model has, or a new
  /// one. With `isShared` an owner's nops share one.
  std::string take(ModuleOp owner, TensorKey key, bool isShared);

private:
  std::string choose(ModuleOp owner, TensorKey key);
  /// An owner's nops, those that are used first or last.
  SmallVector<ModuleOp> getNops(ModuleOp owner, bool areUsed);

  Hierarchy &hierarchy;
  StringRef nopName;
  llvm::StringSet<> used;
  DenseMap<TensorKey, SmallVector<std::string, 1>> freeByTensor;
  llvm::StringSet<> free;
  /// By owner: the nop that all share, and the ones left, last one first.
  DenseMap<Operation *, std::string> shared;
  DenseMap<Operation *, SmallVector<ModuleOp>> left;
};

/// Where a crossing value gets its nop.
struct Placement {
  unsigned frame;
  /// The op of the frame's body that the nop follows.
  Operation *after;
  Value value;
};

struct InsertOutNop : public impl::InsertOutNopPassBase<InsertOutNop> {
  using Base::Base;
  void runOnOperation() final;

private:
  FailureOr<Placement> place(const Trace &trace, TensorIndex &index,
                             const CrossingValue &crossing);
  LogicalResult insert(Hierarchy &hierarchy, const Trace &trace,
                       TensorIndex &index, NopPool &pool,
                       const CrossingValue &crossing,
                       const Placement &placement, bool &signatureChanged);
  /// Reports what is named as an out_nop and is none: a second one beside it
  /// would not help.
  LogicalResult checkNames(SymbolTable &symbols, const Trace &trace);
  /// Lets nops that take a view by sizes of their own return their argument.
  bool simplifyViews(Hierarchy &hierarchy);
  /// Drops the tail that callees return to nobody: moved behind the last nop,
  /// it would be dead.
  bool dropUnreadTail(Hierarchy &hierarchy, const Trace &trace,
                      const Regions &regions);
  /// Lets the readers of lists that are built up, and hold crossing values,
  /// read the elements: one list cannot hold a value and its nop's result.
  bool separateReaders(const Trace &trace, ArrayRef<CrossingValue> crossings);
  /// Takes out the nops that do not stand where a crossing value needs them.
  LogicalResult strip(SymbolTable &symbols, NopPool &pool, const Trace &trace,
                      const Regions &regions);
  /// Makes sure that an instance's forward returns its argument.
  void makeForward(Hierarchy &hierarchy, StringRef instance);

  bool isStripped = false;
};

} // namespace

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

TensorIndex::TensorIndex(const Trace &trace, ArrayRef<CrossingValue> crossings)
    : trace(trace) {
  for (const CrossingValue &crossing : crossings)
    reads[{crossing.leaf.event, crossing.leaf.index}];
  auto add = [&](const Read &read, Operation *op) {
    auto it = reads.find({read.leaf.event, read.leaf.index});
    if (it != reads.end())
      it->second.push_back({op, read.operand});
  };
  for (const Event &event : trace.getEvents())
    for (const Read &read : event.reads)
      add(read, event.op);
  for (const Read &read : trace.getReturned())
    add(read, trace.getReturn());
}

const TensorIndex::Names &TensorIndex::getNamesIn(unsigned frame) {
  auto [it, isNew] = names.try_emplace(frame);
  if (!isNew)
    return it->second;
  auto add = [&](Value value) {
    const AbstractValue &held = trace.getValue(frame, value);
    if (isa<TensorType>(value.getType()) && held.leaves.size() == 1)
      it->second[held.leaves.front().region.allocation].push_back(value);
  };
  Block *body = trace.getFrames()[frame].body;
  for (BlockArgument argument : body->getArguments())
    add(argument);
  for (Operation &op : *body)
    for (Value result : op.getResults())
      add(result);
  return it->second;
}

bool TensorIndex::holds(unsigned frame, Value value,
                        const CrossingValue &crossing) const {
  const AbstractValue &held = trace.getValue(frame, value);
  return isa<TensorType>(value.getType()) && held.leaves.size() == 1 &&
         trace.readAfter(held.leaves.front(), crossing.producer)
             .leaf.isSameTensor(crossing.leaf);
}

SmallVector<Value> TensorIndex::getNames(unsigned frame, Operation *after,
                                         const CrossingValue &crossing) {
  SmallVector<Value> result;
  // What an if or a loop makes is not there yet in its bodies.
  for (bool isOwn = true; after; isOwn = false) {
    Operation *outer = nullptr;
    if (frame != 0 && isa<IfOp, LoopOp, ForkOp>(trace.getFrames()[frame].op))
      outer = trace.getFrames()[frame].op;
    const Names &found = getNamesIn(frame);
    auto it = found.find(crossing.leaf.region.allocation);
    ArrayRef<Value> values = it == found.end() ? ArrayRef<Value>() : it->second;
    while (!values.empty()) {
      // The latest op's results, in their order; the arguments are last.
      Operation *definition = values.back().getDefiningOp();
      size_t begin = values.size();
      while (begin != 0 && values[begin - 1].getDefiningOp() == definition)
        --begin;
      bool isSeen = !definition || definition->isBeforeInBlock(after) ||
                    (isOwn && definition == after);
      if (isSeen)
        llvm::copy_if(
            values.drop_front(begin), std::back_inserter(result),
            [&](Value value) { return holds(frame, value, crossing); });
      values = values.take_front(begin);
    }
    after = outer;
    frame = trace.getFrames()[frame].parent;
  }
  return result;
}

/// The value of a frame's body that holds the very tensor of a crossing value
/// right after its producer: one that `after` makes, or that is taken out of a
/// list that it makes (`after` then becomes what takes it out), or the last one
/// before.
static Value findValue(TensorIndex &index, unsigned frame, Operation *&after,
                       const CrossingValue &crossing) {
  for (Value result : after->getResults())
    if (index.holds(frame, result, crossing))
      return result;
  for (Operation *user : after->getUsers()) {
    if (!isa<UnpackOp>(user) || user->getBlock() != after->getBlock())
      continue;
    for (Value result : user->getResults())
      if (index.holds(frame, result, crossing)) {
        after = user;
        return result;
      }
  }
  SmallVector<Value> names = index.getNames(frame, after, crossing);
  return names.empty() ? Value() : names.front();
}

FailureOr<Placement> InsertOutNop::place(const Trace &trace, TensorIndex &index,
                                         const CrossingValue &crossing) {
  ArrayRef<Event> events = trace.getEvents();
  ArrayRef<Frame> frames = trace.getFrames();
  const Event &producer = events[crossing.producer];
  Placement placement{producer.frame, producer.op, Value()};
  placement.value =
      findValue(index, placement.frame, placement.after, crossing);
  // Outwards, while nothing but the nops of the same op happens in between. An
  // arm that may not run and the rounds of a loop keep their nops.
  while (placement.frame != 0) {
    const Frame &frame = frames[placement.frame];
    if (isa<LoopOp, ForkOp>(frame.op) || frame.guard == placement.frame)
      break;
    bool isAdjacent = true;
    for (unsigned i = crossing.producer + 1; isAdjacent && i != frame.end; ++i)
      isAdjacent =
          !standsBetween(trace, i, crossing.producer, crossing.producer);
    // What hands out several values keeps their nops inside, side by side.
    if (!isAdjacent ||
        (placement.value && frame.getCall() && frame.op->getNumResults() > 1))
      break;
    Operation *after = frame.op;
    Value value = findValue(index, frame.parent, after, crossing);
    if (!value)
      break;
    placement = {frame.parent, after, value};
  }
  if (placement.value && frames[placement.frame].isInFunction)
    placement.value = Value();
  if (placement.value)
    return placement;
  return producer.op->emitError()
         << "the value that this writes crosses into the tail, but no value "
            "of '"
         << displayPath(frames[producer.frame].getInstance())
         << "' holds it, so that no out_nop can be placed [R1]";
}

/// What a tensor is called across traces: the op that made it, and which of its
/// tensors it is.
static TensorKey getKey(const Trace &trace, const Leaf &leaf) {
  Operation *op =
      leaf.event == Leaf::None ? nullptr : trace.getEvents()[leaf.event].op;
  return {op, leaf.index};
}

LogicalResult InsertOutNop::checkNames(SymbolTable &symbols,
                                       const Trace &trace) {
  for (auto &[symbol, sites] : collectCalls(trace)) {
    ModuleOp instance = lookupInstance(symbols, symbol);
    if (!isOutNop(instance, nopName))
      continue;
    CallOp call = trace.getFrames()[sites.front()].getCall();
    return call.emitError()
           << "'" << displayPath(symbol) << "' (" << instance.getOriginalName()
           << ") is named as an out_nop, but is not known to return its "
              "argument as it is; let its forward return x, or give your "
              "out_nops another name with --nop-name [R1]";
  }
  return success();
}

/// Takes out the nops that dead tail has left without a reader.
static bool dropUnreadNops(const Trace &trace, const Regions &regions) {
  SmallVector<OutNopOp> unread;
  for (auto [i, event] : llvm::enumerate(trace.getEvents()))
    if (event.kind == Event::Nop && regions.getUsers(i).empty() &&
        !regions.isReturned(i))
      unread.push_back(cast<OutNopOp>(event.op));
  for (OutNopOp nop : unread) {
    nop.getResult().replaceAllUsesWith(nop.getInput());
    nop.erase();
  }
  return !unread.empty();
}

bool InsertOutNop::dropUnreadTail(Hierarchy &hierarchy, const Trace &trace,
                                  const Regions &regions) {
  llvm::SetVector<Operation *> methods;
  for (const Frame &frame : trace.getFrames()) {
    CallOp call = frame.getCall();
    if (!call)
      continue;
    for (Value result : call.getResults()) {
      if (!result.use_empty())
        continue;
      SmallVector<Leaf> leaves;
      trace.getValue(frame.parent, result).collectLeaves(leaves);
      if (llvm::any_of(leaves, [&](const Leaf &leaf) {
            return leaf.event != Leaf::None && regions.isTail(leaf.event);
          }))
        methods.insert(MethodOp(frame.method));
    }
  }
  bool changed = false;
  for (Operation *op : methods) {
    auto method = cast<MethodOp>(op);
    unsigned before = method.getNumResults();
    hierarchy.pruneSignature(method);
    changed |= method.getNumResults() != before;
  }
  if (changed) {
    eraseDeadOps(getOperation());
    hierarchy.eraseHuskCalls();
  }
  return changed;
}

bool InsertOutNop::separateReaders(const Trace &trace,
                                   ArrayRef<CrossingValue> crossings) {
  DenseSet<std::pair<unsigned, unsigned>> crossing;
  for (const CrossingValue &value : crossings)
    crossing.insert({value.leaf.event, value.leaf.index});
  SmallVector<Operation *> lists;
  getOperation().walk([&](Operation *op) {
    if (!isa<ListOp, DictOp>(op) ||
        llvm::none_of(op->getUsers(), [](Operation *user) {
          auto oper = dyn_cast<OperatorOp>(user);
          return oper && oper.hasWrites();
        }))
      return;
    for (unsigned frame : trace.getFramesOf(op->getBlock())) {
      SmallVector<Leaf> leaves;
      trace.getValue(frame, op->getResult(0)).collectLeaves(leaves);
      if (llvm::any_of(leaves, [&](const Leaf &leaf) {
            return crossing.contains({leaf.event, leaf.index});
          })) {
        lists.push_back(op);
        return;
      }
    }
  });
  bool changed = false;
  for (Operation *op : lists)
    changed |= forwardListReads(op);
  return changed;
}

LogicalResult InsertOutNop::strip(SymbolTable &symbols, NopPool &pool,
                                  const Trace &trace, const Regions &regions) {
  ArrayRef<Event> events = trace.getEvents();
  // Values that some reader takes without their nop need it put in anew.
  using TensorNumber = std::pair<unsigned, unsigned>;
  DenseSet<TensorNumber> uncovered;
  for (const CrossingValue &crossing : findCrossingValues(trace, regions))
    uncovered.insert({crossing.leaf.event, crossing.leaf.index});
  DenseSet<TensorNumber> covered;
  DenseSet<StringRef> used;
  SmallVector<unsigned> wrong;
  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind != Event::Nop)
      continue;
    auto nop = cast<OutNopOp>(event.op);
    const Read &read = event.reads.front();
    unsigned producer = read.getProducer();
    bool isRight = producer != Leaf::None && regions.isQuantised(producer) &&
                   !regions.hasAnchorDownstream(i) &&
                   (!regions.getUsers(i).empty() || regions.isReturned(i));
    for (unsigned k = producer + 1; isRight && k != i; ++k)
      isRight = !standsBetween(trace, k, producer, i);
    TensorNumber number(read.leaf.event, read.leaf.index);
    isRight =
        isRight && !uncovered.contains(number) &&
        covered.insert(number).second &&
        (used.insert(nop.getInstance()).second || nopInstances == "owner");
    if (!isRight)
      wrong.push_back(i);
  }
  for (unsigned i : wrong) {
    auto nop = cast<OutNopOp>(events[i].op);
    const Leaf &leaf = events[i].reads.front().leaf;
    // A nop that hands on a copy protects it from what is written later.
    auto forward =
        symbols.lookup<MethodOp>(joinPath(nop.getInstance(), "forward"));
    if (forward && !isIdentity(symbols, forward))
      return nop.emitError()
             << "out_nop '" << displayPath(nop.getInstance())
             << "' does not stand right behind the value that it marks alone, "
                "and cannot move because it is not known to return its "
                "argument as it is; let its forward return x [R1]";
    Read atEnd = trace.readAfter(leaf, events.size());
    if (forward && !returnsArgument(forward) &&
        (atEnd.leaf.event != leaf.event ||
         llvm::any_of(atEnd.writers,
                      [&](unsigned writer) { return writer > i; }))) {
      return nop.emitError()
             << "out_nop '" << displayPath(nop.getInstance())
             << "' does not stand right behind the value that it marks, and "
                "cannot move because the value is written later [R1]";
    }
    if (leaf.event != Leaf::None)
      pool.addFree(getKey(trace, leaf), nop.getInstance());
    nop.getResult().replaceAllUsesWith(nop.getInput());
    nop.erase();
  }
  isStripped = !wrong.empty();
  if (!isStripped)
    return success();
  // What only such a nop read is read by nothing now.
  eraseDeadOps(getOperation());
  DenseSet<Operation *> alive;
  getOperation().walk([&](Operation *op) { alive.insert(op); });
  pool.dropTensorsBut(alive);
  return success();
}

void NopPool::addFree(TensorKey key, StringRef instance) {
  freeByTensor[key].push_back(instance.str());
  free.insert(instance);
}

void NopPool::dropTensorsBut(const DenseSet<Operation *> &alive) {
  SmallVector<TensorKey> gone;
  for (auto &[key, instances] : freeByTensor)
    if (!alive.contains(key.first))
      gone.push_back(key);
  for (TensorKey key : gone) {
    for (StringRef instance : freeByTensor[key])
      free.erase(instance);
    freeByTensor.erase(key);
  }
}

void NopPool::update() {
  used.clear();
  shared.clear();
  left.clear();
  hierarchy.getModel().walk([&](Operation *op) {
    if (auto nop = dyn_cast<OutNopOp>(op))
      used.insert(nop.getInstance());
    else if (auto call = dyn_cast<CallOp>(op))
      used.insert(splitPath(call.getCallee()).first);
  });
}

SmallVector<ModuleOp> NopPool::getNops(ModuleOp owner, bool areUsed) {
  SmallVector<ModuleOp> nops;
  for (Operation *member : hierarchy.getMembers(owner))
    if (auto instance = dyn_cast<ModuleOp>(member);
        instance && isOutNop(instance, nopName) &&
        used.contains(instance.getSymName()) == areUsed)
      nops.push_back(instance);
  return nops;
}

std::string NopPool::choose(ModuleOp owner, TensorKey key) {
  // The nop that the model has for this very value, where it stood wrong.
  if (auto it = freeByTensor.find(key); it != freeByTensor.end())
    for (const std::string &instance : it->second)
      if (!used.contains(instance))
        return instance;
  // A nop that nothing calls any more: its value is not known, its place is.
  SymbolTable &symbols = hierarchy.getSymbols();
  auto [it, isNew] = left.try_emplace(owner);
  if (isNew) {
    it->second = getNops(owner, /*areUsed=*/false);
    llvm::erase_if(it->second, [&](ModuleOp instance) {
      return free.contains(instance.getSymName()) ||
             !llvm::all_of(hierarchy.getMethods(instance),
                           [&](MethodOp method) {
                             return isHusk(symbols, method) ||
                                    isIdentity(symbols, method);
                           });
    });
    std::reverse(it->second.begin(), it->second.end());
  }
  while (!it->second.empty()) {
    StringRef instance = it->second.pop_back_val().getSymName();
    if (!used.contains(instance))
      return instance.str();
  }
  std::string name = hierarchy.getFreshName(owner, nopName, /*numbered=*/false);
  return hierarchy
      .addChild(owner, name, "__torch__.fqat.OutNop", owner.getLoc())
      .getSymName()
      .str();
}

std::string NopPool::take(ModuleOp owner, TensorKey key, bool isShared) {
  std::string instance;
  if (!isShared) {
    instance = choose(owner, key);
  } else {
    std::string &one = shared[owner];
    if (one.empty()) {
      SmallVector<ModuleOp> nops = getNops(owner, /*areUsed=*/true);
      one = nops.empty() ? choose(owner, key) : nops.front().getSymName().str();
    }
    instance = one;
  }
  used.insert(instance);
  return instance;
}

bool InsertOutNop::simplifyViews(Hierarchy &hierarchy) {
  llvm::SetVector<StringRef> instances;
  getOperation().walk([&](OutNopOp nop) {
    auto forward = hierarchy.getSymbols().lookup<MethodOp>(
        joinPath(nop.getInstance(), "forward"));
    if (forward && isViewBySizes(forward))
      instances.insert(nop.getInstance());
  });
  for (StringRef instance : instances)
    makeForward(hierarchy, instance);
  return !instances.empty();
}

void InsertOutNop::makeForward(Hierarchy &hierarchy, StringRef instance) {
  SymbolTable &symbols = hierarchy.getSymbols();
  auto forward = symbols.lookup<MethodOp>(joinPath(instance, "forward"));
  if (forward && isIdentity(symbols, forward) && !isViewBySizes(forward))
    return;
  // What tracing left of a nop is a husk.
  for (MethodOp method :
       hierarchy.getMethods(lookupInstance(symbols, instance)))
    hierarchy.eraseMethod(method);
  Type tensor = TensorType::get(&getContext());
  OpBuilder builder(&getContext());
  builder.setInsertionPointToEnd(getOperation().getBody());
  Location loc = makeNodeLoc(&getContext(), {}, instance, {});
  forward = MethodOp::create(
      builder, loc, builder.getStringAttr(joinPath(instance, "forward")),
      FlatSymbolRefAttr::get(&getContext(), instance),
      TypeAttr::get(builder.getFunctionType({tensor}, {tensor})));
  forward.setArgAttr(0, FQATDialect::kArgNameAttr, builder.getStringAttr("x"));
  Block *body = builder.createBlock(&forward.getBody());
  ReturnOp::create(builder, loc, body->addArgument(tensor, loc));
  hierarchy.insertMethod(forward);
}

LogicalResult InsertOutNop::insert(Hierarchy &hierarchy, const Trace &trace,
                                   TensorIndex &index, NopPool &pool,
                                   const CrossingValue &crossing,
                                   const Placement &placement,
                                   bool &signatureChanged) {
  MethodOp method = trace.getFrames()[placement.frame].method;
  ArrayRef<unsigned> runs =
      trace.getFramesOf(trace.getFrames()[placement.frame].body);
  // Runs of which an execution makes one only share the nop; it serves the
  // other crossing values too.
  signatureChanged = runs.size() != 1;
  if (isa_and_nonnull<LoopOp>(trace.getFrames()[placement.frame].op)) {
    InFlightDiagnostic diag =
        trace.getEvents()[crossing.producer].op->emitError()
        << "this value leaves the quantised region in each round of a loop, of "
           "which the number of rounds is not known, so that one out_nop would "
           "serve several values; make it a constant, or trace the model [R1]";
    diag.attachNote(trace.getFrames()[placement.frame].op->getLoc())
        << "the loop is here";
    return diag;
  }
  for (unsigned run : runs)
    if (run != placement.frame && !trace.areExclusive(run, placement.frame))
      return trace.getEvents()[crossing.producer].op->emitError()
             << "'" << displayPath(method.getInstance())
             << "' runs several times, so that one out_nop would serve several "
                "values; clone shared modules first [R1]";
  ModuleOp owner = lookupInstance(hierarchy.getSymbols(), method.getInstance());
  std::string instance =
      pool.take(owner, getKey(trace, crossing.leaf), nopInstances == "owner");
  makeForward(hierarchy, instance);

  // Behind the nops that follow the same op already.
  Operation *after = placement.after;
  while (isa_and_nonnull<OutNopOp>(after->getNextNode()))
    after = after->getNextNode();
  OpBuilder builder(&getContext());
  builder.setInsertionPointAfter(after);
  FileLineColLoc position = getPosition(placement.after->getLoc());
  auto nop = OutNopOp::create(
      builder, makeNodeLoc(&getContext(), position, method.getInstance(), {}),
      placement.value.getType(),
      FlatSymbolRefAttr::get(&getContext(), instance), placement.value);
  getAnalysis<ChangeLog>().add(Change::Nop, placement.after->getLoc(), instance,
                               displayPath(instance) +
                                   " is put in behind the value of " +
                                   describeOp(placement.after));

  DenseSet<Use> wanted, reading;
  reading.insert_range(index.getReads(crossing.leaf));
  for (auto [event, operand] : crossing.readers)
    wanted.insert({trace.getEvents()[event].op, operand});
  if (crossing.isReturned)
    for (const Read &read : trace.getReturned())
      if (read.leaf.isSameTensor(crossing.leaf))
        wanted.insert({trace.getReturn(), read.operand});
  // A later size of the value may as well be that of the nop's result: what the
  // tail computes with then needs the nop's result only.
  Rerouter rerouter(hierarchy, trace, wanted, reading);
  // Every name of the tensor in this body.
  for (Value name : index.getNames(placement.frame, placement.after, crossing))
    if (failed(rerouter.reroute(name, nop.getResult())))
      return failure();
  signatureChanged |= rerouter.changedSignature();
  for (Use use : wanted)
    if (!rerouter.getDone().contains(use)) {
      InFlightDiagnostic diag = use.first->emitError()
                                << "this reads a crossing value in a way that "
                                   "an out_nop cannot be put in between [R1]";
      diag.attachNote(placement.after->getLoc()) << "the value is made here";
      return diag;
    }
  return success();
}

void InsertOutNop::runOnOperation() {
  if (nopInstances != "each" && nopInstances != "owner") {
    getOperation().emitError() << "nop-instances must be each or owner";
    return signalPassFailure();
  }
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  Hierarchy hierarchy(getOperation());
  ChangeLog &log = getAnalysis<ChangeLog>();
  NopPool pool(hierarchy, nopName);
  FailureOr<Trace> trace =
      Trace::compute(getOperation(), hierarchy.getSymbols(), *anchorSet);
  if (failed(trace) || failed(checkNames(hierarchy.getSymbols(), *trace)) ||
      failed(strip(hierarchy.getSymbols(), pool, *trace, Regions(*trace))))
    return signalPassFailure();
  bool changed = isStripped;
  changed |= simplifyViews(hierarchy);
  // A change of a signature replaces calls that the trace names: trace again.
  bool isKnown = !changed, stale = true;
  while (stale) {
    stale = false;
    hierarchy.forgetCalls();
    if (!isKnown)
      trace =
          Trace::compute(getOperation(), hierarchy.getSymbols(), *anchorSet);
    isKnown = false;
    if (failed(trace))
      return signalPassFailure();
    Regions regions(*trace);
    log.anchors = regions.getNumAnchors();
    if (dropUnreadTail(hierarchy, *trace, regions) ||
        dropUnreadNops(*trace, regions)) {
      stale = changed = true;
      continue;
    }
    SmallVector<CrossingValue> crossings = findCrossingValues(*trace, regions);
    if (separateReaders(*trace, crossings)) {
      stale = changed = true;
      continue;
    }
    TensorIndex index(*trace, crossings);
    pool.update();
    for (const CrossingValue &crossing : crossings) {
      FailureOr<Placement> placement = place(*trace, index, crossing);
      if (failed(placement) || failed(insert(hierarchy, *trace, index, pool,
                                             crossing, *placement, stale)))
        return signalPassFailure();
      ++numInserted;
      changed = true;
      if (stale)
        break;
    }
  }
  // Each crossing value has its nop now.
  log.crossingValues = 0;
  getOperation().walk([&](OutNopOp) { ++log.crossingValues; });
  numAnchors += log.anchors;
  numCrossing += log.crossingValues;
  if (!changed)
    return markAllAnalysesPreserved();
  // A list, for one, of which every reader reads the elements now.
  eraseDeadOps(getOperation());
}

} // namespace fqat
