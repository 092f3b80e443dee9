//===- HoistTail.cpp - R3: the tail behind the last out_nop -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %a = fqat.out_nop @out_nop(%0)
//   %c = fqat.op "aten::sigmoid"(%a)             // goes below %b
//   %b = fqat.out_nop @out_nop1(%1)
//
// First the tail leaves callees that return before the last out_nop, deepest
// callees first; then the bodies on the way to the last out_nop are reordered.
// A call whose callee does nothing but tail moves as it is.
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeCounts.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_HOISTTAILPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {

/// What an op of a body does in one run, its callees included.
struct Unit {
  bool hasTail = false;
  /// Events that stay where they are: quantised ones, nops, and those before
  /// the first anchor.
  bool hasOther = false;
  bool isRandom = false;
  bool hasEffects = false;
  SmallVector<MemoryRegion> reads, writes;

  bool isTail() const { return hasTail && !hasOther; }
  bool isMixed() const { return hasTail && hasOther; }
};

/// The ops of one body that are to move, in their order.
using MoveSet = llvm::SetVector<Operation *>;

struct HoistTail : public impl::HoistTailPassBase<HoistTail> {
  using Base::Base;
  void runOnOperation() final;

private:
  /// The state of one round: passes of the trace over the model as it is.
  struct Round {
    const Trace &trace;
    const Regions &regions;
    /// The last out_nop's event, and the frames that it runs in.
    unsigned lastNop;
    DenseSet<unsigned> lastNopFrames;
  };

  Unit getUnit(const Round &round, unsigned frame, Operation *op);
  /// Whether an op makes no tensor event and can run anywhere: a constant, a
  /// list, a number.
  bool isFeederKind(const Round &round, unsigned frame, Operation *op);
  std::optional<unsigned> findFrameToHoist(const Round &round);
  FailureOr<MoveSet> collect(const Round &round, unsigned frame,
                             Block::iterator end);
  LogicalResult checkOrder(const Round &round, unsigned frame,
                           const MoveSet &moved, Block::iterator end);
  LogicalResult hoist(Hierarchy &hierarchy, const Round &round, unsigned frame);
  LogicalResult reorder(const Round &round, unsigned frame);
};

} // namespace

//===----------------------------------------------------------------------===//
// What moves
//===----------------------------------------------------------------------===//

Unit HoistTail::getUnit(const Round &round, unsigned frame, Operation *op) {
  Unit unit;
  auto [begin, end] = round.trace.getSpan(frame, op);
  for (unsigned i = begin; i != end; ++i) {
    const Event &event = round.trace.getEvents()[i];
    bool isTail = round.regions.isTail(i);
    unit.hasTail |= isTail;
    unit.hasOther |= !isTail && !event.isNumber;
    for (const Read &read : event.reads)
      if (read.leaf.isTensor)
        unit.reads.push_back(read.leaf.region);
    llvm::append_range(unit.writes, event.writes);
    if (auto oper = dyn_cast<OperatorOp>(event.op)) {
      unit.isRandom |= oper.getRandom();
      unit.hasEffects |= oper.getEffects();
    }
  }
  if (auto oper = dyn_cast<OperatorOp>(op)) {
    unit.isRandom |= oper.getRandom();
    unit.hasEffects |= oper.getEffects();
  }
  return unit;
}

bool HoistTail::isFeederKind(const Round &round, unsigned frame,
                             Operation *op) {
  if (isa<ListOp, TupleOp, DictOp, ConstantOp, GetOp>(op))
    return true;
  auto oper = dyn_cast<OperatorOp>(op);
  if (!oper || oper.hasWrites() || oper.getRandom() || oper.getEffects())
    return false;
  auto [begin, end] = round.trace.getSpan(frame, op);
  return begin == end || round.trace.getEvents()[begin].isNumber;
}

FailureOr<MoveSet> HoistTail::collect(const Round &round, unsigned frame,
                                      Block::iterator end) {
  MethodOp method = round.trace.getFrames()[frame].method;
  Block &body = method.getBody().front();
  MoveSet moved;
  for (Operation &op : llvm::make_range(body.begin(), end)) {
    if (isa<ReturnOp>(op))
      continue;
    Unit unit = getUnit(round, frame, &op);
    Operation *source = nullptr;
    for (Value operand : op.getOperands())
      if (Operation *definition = operand.getDefiningOp();
          definition && moved.contains(definition))
        source = definition;
    if (!unit.isTail() && !source)
      continue;
    if (unit.hasOther) {
      InFlightDiagnostic diag =
          op.emitError() << "the quantised region depends here, by a size or a "
                            "number, on an op of the tail, which therefore "
                            "cannot go behind the last out_nop [R3]";
      diag.attachNote(source->getLoc()) << "the op of the tail is here";
      return diag;
    }
    moved.insert(&op);
  }
  // Lists, sizes and the like that only what moves reads move along: they
  // belong to their readers.
  MoveSet reversed;
  for (Operation &op : llvm::reverse(llvm::make_range(body.begin(), end))) {
    bool isFeeder = isFeederKind(round, frame, &op) && !op.use_empty() &&
                    llvm::all_of(op.getUsers(), [&](Operation *user) {
                      return moved.contains(user) || reversed.contains(user);
                    });
    if (isFeeder || moved.contains(&op))
      reversed.insert(&op);
  }
  return MoveSet(reversed.rbegin(), reversed.rend());
}

static bool overlaps(ArrayRef<MemoryRegion> a, ArrayRef<MemoryRegion> b) {
  return llvm::any_of(a, [&](const MemoryRegion &x) {
    return llvm::any_of(b,
                        [&](const MemoryRegion &y) { return x.mayOverlap(y); });
  });
}

LogicalResult HoistTail::checkOrder(const Round &round, unsigned frame,
                                    const MoveSet &moved, Block::iterator end) {
  // What moves passes all that stays behind it. Few ops write anything.
  SmallVector<std::pair<Operation *, Unit>> passing;
  MethodOp method = round.trace.getFrames()[frame].method;
  for (Operation &op :
       llvm::make_range(method.getBody().front().begin(), end)) {
    Unit unit = getUnit(round, frame, &op);
    if (moved.contains(&op)) {
      passing.push_back({&op, std::move(unit)});
      continue;
    }
    for (auto &[other, tail] : passing) {
      StringRef why;
      if ((!unit.writes.empty() && overlaps(unit.writes, tail.reads)) ||
          (!unit.writes.empty() && overlaps(unit.writes, tail.writes)))
        why = "writes memory that the tail reads or writes before";
      else if (!tail.writes.empty() && overlaps(tail.writes, unit.reads))
        why = "reads memory that the tail writes before";
      else if (unit.isRandom && tail.isRandom)
        why = "draws random numbers, as the tail does before";
      else if (unit.hasEffects && tail.hasEffects)
        why = "has an effect that is seen from outside, as the tail has before";
      if (why.empty())
        continue;
      InFlightDiagnostic diag = op.emitError()
                                << "this " << why
                                << ", so that the tail cannot go behind the "
                                   "last out_nop with the same result [R3]";
      diag.attachNote(other->getLoc())
          << "the op of the tail is here, in '"
          << displayPath(method.getInstance()) << "'";
      return diag;
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Out of a callee
//===----------------------------------------------------------------------===//

/// Whether a frame does both tail and other work itself or in its calls.
static bool isMixedFrame(const Trace &trace, const Regions &regions,
                         unsigned frame) {
  bool hasTail = false, hasOther = false;
  const Frame &f = trace.getFrames()[frame];
  for (unsigned i = f.begin; i != f.end; ++i) {
    hasTail |= regions.isTail(i);
    hasOther |= !regions.isTail(i) && !trace.getEvents()[i].isNumber;
  }
  return hasTail && hasOther;
}

std::optional<unsigned> HoistTail::findFrameToHoist(const Round &round) {
  ArrayRef<Frame> frames = round.trace.getFrames();
  auto getClass = [&](unsigned frame) {
    MethodOp method = frames[frame].method;
    return cast<ModuleOp>(SymbolTable::lookupNearestSymbolFrom(
                              getOperation(), method.getInstanceAttr()))
        .getOriginalName();
  };
  // A callee before the last out_nop must give up its tail. Its siblings of one
  // class do the same, so that the branches of a head look alike.
  std::vector<char> mustHoist(frames.size(), false);
  llvm::SmallDenseSet<std::pair<unsigned, StringRef>> kinds;
  for (unsigned frame = 1; frame != frames.size(); ++frame) {
    if (round.lastNopFrames.contains(frame) ||
        frames[frame].begin > round.lastNop ||
        !isMixedFrame(round.trace, round.regions, frame))
      continue;
    mustHoist[frame] = true;
    kinds.insert({frames[frame].parent, getClass(frame)});
  }
  for (unsigned frame = 1; frame != frames.size(); ++frame)
    if (!mustHoist[frame] &&
        kinds.contains({frames[frame].parent, getClass(frame)}) &&
        isMixedFrame(round.trace, round.regions, frame))
      mustHoist[frame] = true;
  // So must one that runs the last out_nop itself but takes what the tail
  // makes: its own tail waits for that outside.
  for (unsigned frame : round.lastNopFrames) {
    if (frame == 0 || !isMixedFrame(round.trace, round.regions, frame))
      continue;
    CallOp call = frames[frame].call;
    for (Value argument : call.getArguments()) {
      SmallVector<Leaf> leaves;
      round.trace.getValue(frames[frame].parent, argument)
          .collectLeaves(leaves);
      mustHoist[frame] |= llvm::any_of(leaves, [&](const Leaf &leaf) {
        return leaf.event != Leaf::None && round.regions.isTail(leaf.event);
      });
    }
  }
  // Callees follow their callers, and so are deeper: take the last one first.
  for (unsigned frame = frames.size(); frame-- > 1;) {
    if (!mustHoist[frame])
      continue;
    // One whose tail all runs further down has nothing of its own to give.
    MethodOp method = frames[frame].method;
    for (Operation &op : method.getBody().front())
      if (getUnit(round, frame, &op).isTail())
        return frame;
  }
  return std::nullopt;
}

LogicalResult HoistTail::hoist(Hierarchy &hierarchy, const Round &round,
                               unsigned frame) {
  MethodOp method = round.trace.getFrames()[frame].method;
  CallOp call = round.trace.getFrames()[frame].call;
  if (round.trace.getFramesOf(method).size() != 1 ||
      !llvm::hasSingleElement(*hierarchy.getSymbols().getSymbolUses(
          method.getSymNameAttr(), getOperation())))
    return call.emitError()
           << "'" << displayPath(method.getInstance())
           << "' is called from several places, so that its tail cannot move "
              "into its caller; clone shared modules first [R3]";
  Block &body = method.getBody().front();
  FailureOr<MoveSet> moved = collect(round, frame, body.end());
  if (failed(moved) || failed(checkOrder(round, frame, *moved, body.end())))
    return failure();

  // Numbers and constants that the tail needs, and something else too, are made
  // again in the caller.
  auto isRemade = [&](Operation *op) {
    return !moved->contains(op) && isFeederKind(round, frame, op) &&
           !isa<ListOp, DictOp>(op);
  };
  MoveSet needed(moved->begin(), moved->end());
  for (Operation &op : llvm::reverse(body)) {
    if (!needed.contains(&op))
      continue;
    for (Value operand : op.getOperands())
      if (Operation *definition = operand.getDefiningOp();
          definition && isRemade(definition))
        needed.insert(definition);
  }

  // What else the moved ops read, the callee returns; what it returned of the
  // tail, it does not.
  auto ret = cast<ReturnOp>(body.getTerminator());
  SmallVector<Value> returned;
  SmallVector<std::optional<unsigned>> kept;
  DenseMap<Value, unsigned> resultOf;
  for (Value operand : ret.getOperands()) {
    Operation *definition = operand.getDefiningOp();
    if (definition && moved->contains(definition)) {
      kept.push_back(std::nullopt);
      continue;
    }
    kept.push_back(returned.size());
    resultOf.try_emplace(operand, returned.size());
    returned.push_back(operand);
  }
  for (Operation &op : body) {
    if (!needed.contains(&op))
      continue;
    for (Value operand : op.getOperands()) {
      Operation *definition = operand.getDefiningOp();
      if (!definition || needed.contains(definition) ||
          resultOf.contains(operand))
        continue;
      resultOf[operand] = returned.size();
      returned.push_back(operand);
    }
  }

  // The new call, and behind it what moves.
  SmallVector<Type> types(ValueRange(returned).getTypes());
  OpBuilder builder(call);
  auto rebuilt = CallOp::create(builder, call.getLoc(), call.getCalleeAttr(),
                                types, call.getArguments());
  builder.setInsertionPointAfter(rebuilt);
  IRMapping mapping;
  for (BlockArgument argument : method.getArguments())
    mapping.map(argument, call.getArguments()[argument.getArgNumber()]);
  for (auto [value, index] : resultOf)
    mapping.map(value, rebuilt.getResult(index));
  for (Operation &op : body)
    if (needed.contains(&op))
      builder.clone(op, mapping);
  SmallVector<Value> replacements;
  for (Value operand : ret.getOperands())
    replacements.push_back(mapping.lookup(operand));
  call.replaceAllUsesWith(replacements);
  rebuilt->setLoc(stripNames(call.getLoc()));
  call.erase();

  ret->setOperands(returned);
  method.setFunctionTypeAttr(
      TypeAttr::get(builder.getFunctionType(method.getArgumentTypes(), types)));
  method.removeResAttrsAttr();
  for (Operation *op : llvm::reverse(moved->getArrayRef()))
    op->erase();
  // Numbers that only the tail needed are of no use here any more.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (needed.contains(&op) && op.use_empty())
      op.erase();
  pruneSignature(hierarchy.getSymbols(), method);
  numHoisted += moved->size();
  getAnalysis<ChangeCounts>().opsMoved += moved->size();
  return success();
}

//===----------------------------------------------------------------------===//
// Within a body
//===----------------------------------------------------------------------===//

LogicalResult HoistTail::reorder(const Round &round, unsigned frame) {
  MethodOp method = round.trace.getFrames()[frame].method;
  Block &body = method.getBody().front();
  Operation *pivot = nullptr;
  for (Operation &op : body) {
    auto [begin, end] = round.trace.getSpan(frame, &op);
    if (begin <= round.lastNop && round.lastNop < end)
      pivot = &op;
  }
  assert(pivot && "the frame runs the last out_nop");
  FailureOr<MoveSet> moved = collect(round, frame, pivot->getIterator());
  if (failed(moved))
    return failure();
  if (moved->empty())
    return success();
  if (failed(checkOrder(round, frame, *moved, std::next(pivot->getIterator()))))
    return failure();
  for (Value operand : pivot->getOperands())
    if (Operation *definition = operand.getDefiningOp();
        definition && moved->contains(definition))
      return pivot->emitError() << "the last out_nop depends on the tail [R3]";
  Operation *last = pivot;
  for (Operation *op : *moved) {
    op->moveAfter(last);
    last = op;
  }
  numMoved += moved->size();
  getAnalysis<ChangeCounts>().opsMoved += moved->size();
  return success();
}

void HoistTail::runOnOperation() {
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  Hierarchy hierarchy(getOperation());
  while (true) {
    FailureOr<Trace> trace =
        Trace::compute(getOperation(), hierarchy.getSymbols(), *anchorSet);
    if (failed(trace))
      return signalPassFailure();
    Regions regions(*trace);
    std::optional<unsigned> lastNop;
    for (auto [i, event] : llvm::enumerate(trace->getEvents()))
      if (event.kind == Event::Nop)
        lastNop = i;
    if (!lastNop)
      return markAllAnalysesPreserved();
    Round round{*trace, regions, *lastNop, {}};
    unsigned frame = trace->getEvents()[*lastNop].frame;
    while (round.lastNopFrames.insert(frame).second)
      frame = trace->getFrames()[frame].parent;

    if (std::optional<unsigned> callee = findFrameToHoist(round)) {
      if (failed(hoist(hierarchy, round, *callee)))
        return signalPassFailure();
      continue;
    }
    for (auto [i, f] : llvm::enumerate(trace->getFrames()))
      if (round.lastNopFrames.contains(i) && failed(reorder(round, i)))
        return signalPassFailure();
    return;
  }
}

} // namespace fqat
