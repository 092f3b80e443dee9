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
// First the tail leaves callees, and arms of an `fqat.if`, that end before the
// last out_nop, deepest ones first; then the bodies on the way to the last
// out_nop are reordered. A call whose callee does nothing but tail moves as it
// is.
//
//===----------------------------------------------------------------------===//

#include "OutOfPlace.h"
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
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"

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
  bool checksShape = false;
  SmallVector<MemoryRegion> reads, writes;

  bool isTail() const { return hasTail && !hasOther; }
};

/// Several units together, to rule out at once that another one is in conflict
/// with any of them.
class UnitSet {
public:
  void add(const Unit &unit);
  /// Whether a later unit may be in conflict with one of these.
  bool mayConflict(const Unit &later) const;

private:
  DenseSet<unsigned> read, written;
  bool isRandom = false, hasEffects = false, checksShape = false;
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
    SmallVector<unsigned> nops;

    /// The out_nops that run from event `begin` on and before event `end`.
    ArrayRef<unsigned> getNops(unsigned begin, unsigned end) const {
      const unsigned *first = llvm::lower_bound(nops, begin);
      return ArrayRef(first, std::lower_bound(first, nops.end(), end));
    }
    /// Whether an out_nop runs after a frame has ended.
    bool hasNopAfter(unsigned frame) const {
      unsigned end = trace.getFrames()[frame].end;
      return llvm::any_of(llvm::reverse(getNops(end, trace.getEvents().size())),
                          [&](unsigned nop) {
                            return !trace.areExclusive(
                                trace.getEvents()[nop].frame, frame);
                          });
    }
  };

  /// What keeps an op of the tail from passing one that stays.
  struct Conflict {
    Operation *moving = nullptr, *staying = nullptr;
    StringRef why;
    /// Whether a write is to blame, which may become out of place.
    bool isWrite = false;
  };

  Unit getUnit(const Round &round, unsigned frame, Operation *op);
  /// Whether an op makes no tensor event and can run anywhere: a constant, a
  /// list, a number.
  bool isFeederKind(const Round &round, unsigned frame, Operation *op);
  /// The frames that must give up their tail, those of callees before those of
  /// their callers.
  SmallVector<unsigned> findFramesToHoist(Hierarchy &hierarchy,
                                          const Round &round);
  FailureOr<MoveSet> collect(const Round &round, unsigned frame,
                             Block::iterator end);
  bool forwardSizes(const MoveSet &moved);
  LogicalResult checkOrder(const Round &round, unsigned frame,
                           const MoveSet &moved, Block::iterator end);
  bool makeOutOfPlace(const Round &round, unsigned frame,
                      const Conflict &conflict);
  bool makeOutOfPlace(const Round &round, unsigned event);
  MoveSet addRemade(const Round &round, unsigned frame, const MoveSet &moved);
  LogicalResult hoistAll(Hierarchy &hierarchy, const Round &round,
                         ArrayRef<unsigned> frames);
  LogicalResult hoist(Hierarchy &hierarchy, const Round &round, unsigned frame);
  LogicalResult hoistFromCallee(Hierarchy &hierarchy, const Round &round,
                                unsigned frame);
  LogicalResult hoistFromArms(Hierarchy &hierarchy, const Round &round,
                              unsigned frame, IfOp op);
  LogicalResult reorder(const Round &round, unsigned frame);
  void recordMoves(const MoveSet &moved);
  void eraseMoved(Block &body, const MoveSet &moved, const MoveSet &needed);

  /// Whether a write became out of place, or a size was taken elsewhere, so
  /// that the trace is not true any more.
  bool isStale = false;
  bool changed = false;
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
    unit.hasOther |= !isTail && event.isTensorEvent();
    unit.isRandom |= event.isRandom;
    unit.hasEffects |= event.hasEffects && !event.isShapeCheck;
    unit.checksShape |= event.isShapeCheck;
    for (const Read &read : event.reads)
      if (read.leaf.isTensor)
        unit.reads.push_back(read.leaf.region);
    llvm::append_range(unit.reads, event.touches);
    llvm::append_range(unit.writes, event.writes);
  }
  return unit;
}

bool HoistTail::isFeederKind(const Round &round, unsigned frame,
                             Operation *op) {
  auto [begin, end] = round.trace.getSpan(frame, op);
  for (unsigned i = begin; i != end; ++i)
    if (!round.trace.getEvents()[i].isNumber)
      return false;
  if (isa<ListOp, TupleOp, DictOp, ConstantOp, GetOp>(op))
    return true;
  auto oper = dyn_cast<OperatorOp>(op);
  return oper && !oper.hasWrites() && !oper.getRandom() && !oper.getEffects();
}

/// What an op reads of the body that it stands in, and of those around it.
static SmallVector<Value> getInputs(Operation *op) {
  llvm::SetVector<Value> inputs(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), inputs);
  return inputs.takeVector();
}

static bool overlaps(ArrayRef<MemoryRegion> a, ArrayRef<MemoryRegion> b) {
  return llvm::any_of(a, [&](const MemoryRegion &x) {
    return llvm::any_of(b,
                        [&](const MemoryRegion &y) { return x.mayOverlap(y); });
  });
}

/// Why `later` cannot run before `earlier`; empty if it can.
static std::pair<StringRef, bool> getConflict(const Unit &earlier,
                                              const Unit &later) {
  if (!later.writes.empty() && (overlaps(later.writes, earlier.reads) ||
                                overlaps(later.writes, earlier.writes)))
    return {"writes memory that the tail reads or writes before", true};
  if (!earlier.writes.empty() && overlaps(earlier.writes, later.reads))
    return {"reads memory that the tail writes before", true};
  if (later.isRandom && earlier.isRandom)
    return {"draws random numbers, as the tail does before", false};
  // A model that two shapes are wrong for raises in any case, by one of the
  // two checks. Everything else that is seen from outside keeps its order.
  if ((later.hasEffects && (earlier.hasEffects || earlier.checksShape)) ||
      (later.checksShape && earlier.hasEffects))
    return {"has an effect that is seen from outside, as the tail has before",
            false};
  return {"", false};
}

void UnitSet::add(const Unit &unit) {
  for (const MemoryRegion &region : unit.reads)
    read.insert(region.allocation);
  for (const MemoryRegion &region : unit.writes)
    written.insert(region.allocation);
  isRandom |= unit.isRandom;
  hasEffects |= unit.hasEffects;
  checksShape |= unit.checksShape;
}

bool UnitSet::mayConflict(const Unit &later) const {
  auto isIn = [](const DenseSet<unsigned> &set) {
    return [&set](const MemoryRegion &region) {
      return set.contains(region.allocation);
    };
  };
  return llvm::any_of(later.writes, isIn(read)) ||
         llvm::any_of(later.writes, isIn(written)) ||
         (!written.empty() && llvm::any_of(later.reads, isIn(written))) ||
         (later.isRandom && isRandom) ||
         (later.hasEffects && (hasEffects || checksShape)) ||
         (later.checksShape && hasEffects);
}

/// Whether an op computes element by element: its result has the size of its
/// first operand.
static bool keepsSizes(OperatorOp op) {
  static const llvm::StringSet<> unary = {
      "aten::sigmoid",     "aten::tanh",        "aten::softmax",
      "aten::log_softmax", "aten::relu",        "aten::exp",
      "aten::log",         "aten::sqrt",        "aten::neg",
      "aten::abs",         "aten::clamp",       "aten::dropout",
      "aten::contiguous",  "aten::clone",       "aten::detach",
      "aten::alias",       "aten::hardsigmoid", "aten::log_sigmoid",
      "aten::softplus",    "aten::silu",        "aten::gelu",
      "aten::leaky_relu",  "aten::hardswish",   "aten::hardtanh"};
  static const llvm::StringSet<> binary = {
      "aten::add", "aten::sub", "aten::mul", "aten::div", "aten::pow"};
  if (unary.contains(op.getName()))
    return true;
  if (!binary.contains(op.getName()))
    return false;
  // The other operand must not make it bigger: a number, or a tensor without
  // dimensions.
  Value other = op.getOperand(1);
  if (!isa<TensorType>(other.getType()))
    return true;
  auto constant = other.getDefiningOp<ConstantOp>();
  auto tensor =
      constant ? dyn_cast<TensorAttr>(constant.getValue()) : TensorAttr();
  return tensor && tensor.getSizes().empty();
}

/// Takes sizes of what computes element by element from what it computes with
/// instead. Returns whether there was any.
bool HoistTail::forwardSizes(const MoveSet &moved) {
  bool forwarded = false;
  for (Operation *op : moved) {
    auto size = dyn_cast<OperatorOp>(op);
    if (!size ||
        (size.getName() != "aten::size" && size.getName() != "aten::dim" &&
         size.getName() != "aten::numel"))
      continue;
    auto source = size.getOperand(0).getDefiningOp<OperatorOp>();
    if (!source || !moved.contains(source) || !keepsSizes(source))
      continue;
    size->setOperand(0, source.getOperand(0));
    forwarded = true;
  }
  return forwarded;
}

FailureOr<MoveSet> HoistTail::collect(const Round &round, unsigned frame,
                                      Block::iterator end) {
  Block &body = *round.trace.getFrames()[frame].body;
  MoveSet moved;
  SmallVector<Unit> movedUnits;
  UnitSet allMoved;
  for (Operation &op : llvm::make_range(body.begin(), end)) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      continue;
    Unit unit = getUnit(round, frame, &op);
    Operation *source = nullptr;
    for (Value input : getInputs(&op))
      if (Operation *definition = input.getDefiningOp();
          definition && moved.contains(definition))
        source = definition;
    // What is neither quantised nor tail goes along where it must not be
    // passed: an append to the list that the tail appends to.
    bool isBound = source || unit.isTail();
    if (!isBound && !unit.hasOther && allMoved.mayConflict(unit))
      isBound = llvm::any_of(movedUnits, [&](const Unit &other) {
        return !getConflict(other, unit).first.empty();
      });
    if (!isBound)
      continue;
    if (unit.hasOther && forwardSizes(moved)) {
      isStale = true;
      return MoveSet();
    }
    if (unit.hasOther) {
      InFlightDiagnostic diag =
          op.emitError() << "the quantised region depends here, by a size or a "
                            "number, on an op of the tail, which therefore "
                            "cannot go behind the last out_nop [R3]";
      diag.attachNote(source->getLoc()) << "the op of the tail is here";
      return diag;
    }
    moved.insert(&op);
    allMoved.add(unit);
    movedUnits.push_back(std::move(unit));
  }
  // Lists, sizes and the like that only what moves reads move along: they
  // belong to their readers.
  MoveSet reversed;
  for (Operation &op : llvm::reverse(llvm::make_range(body.begin(), end))) {
    bool isFeeder = isFeederKind(round, frame, &op) && !op.use_empty() &&
                    llvm::all_of(op.getUsers(), [&](Operation *user) {
                      Operation *outer = body.findAncestorOpInBlock(*user);
                      return moved.contains(outer) || reversed.contains(outer);
                    });
    if (isFeeder || moved.contains(&op))
      reversed.insert(&op);
  }
  return MoveSet(reversed.rbegin(), reversed.rend());
}

LogicalResult HoistTail::checkOrder(const Round &round, unsigned frame,
                                    const MoveSet &moved, Block::iterator end) {
  // What moves passes all that stays behind it. Few ops write anything.
  SmallVector<std::pair<Operation *, Unit>> passing;
  UnitSet allPassing;
  const Frame &run = round.trace.getFrames()[frame];
  for (Operation &op : llvm::make_range(run.body->begin(), end)) {
    Unit unit = getUnit(round, frame, &op);
    if (moved.contains(&op)) {
      allPassing.add(unit);
      passing.push_back({&op, std::move(unit)});
      continue;
    }
    if (!allPassing.mayConflict(unit))
      continue;
    for (auto &[other, tail] : passing) {
      auto [why, isWrite] = getConflict(tail, unit);
      if (why.empty())
        continue;
      if (isWrite && makeOutOfPlace(round, frame, {other, &op, why, true})) {
        isStale = true;
        return success();
      }
      InFlightDiagnostic diag = op.emitError()
                                << "this " << why
                                << ", so that the tail cannot go behind the "
                                   "last out_nop with the same result [R3]";
      diag.attachNote(other->getLoc()) << "the op of the tail is here, in '"
                                       << displayPath(run.getInstance()) << "'";
      return diag;
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Out of place
//===----------------------------------------------------------------------===//

/// Makes every write that is to blame for a conflict out of place.
bool HoistTail::makeOutOfPlace(const Round &round, unsigned frame,
                               const Conflict &conflict) {
  Unit moving = getUnit(round, frame, conflict.moving);
  Unit staying = getUnit(round, frame, conflict.staying);
  bool changed = false;
  auto visit = [&](Operation *op, const Unit &other) {
    auto [begin, end] = round.trace.getSpan(frame, op);
    for (unsigned i = begin; i != end; ++i) {
      const Event &event = round.trace.getEvents()[i];
      if (!overlaps(event.writes, other.reads) &&
          !overlaps(event.writes, other.writes))
        continue;
      if (!makeOutOfPlace(round, i))
        return false;
      changed = true;
    }
    return true;
  };
  return visit(conflict.staying, moving) && visit(conflict.moving, staying) &&
         changed;
}

/// Makes one write out of place, if nobody relies on it but through its result.
bool HoistTail::makeOutOfPlace(const Round &round, unsigned event) {
  const Trace &trace = round.trace;
  const Event &write = trace.getEvents()[event];
  auto op = dyn_cast<OperatorOp>(write.op);
  if (!writesFirstOperand(op) ||
      trace.getFramesOf(trace.getFrames()[write.frame].body).size() != 1)
    return false;
  for (const MemoryRegion &region : write.writes)
    if (trace.isExternal(region.allocation))
      return false;
  // Whether a later read comes to the tensor by the op's result.
  SmallVector<Use> renamed;
  auto readsResult = [&](const Read &read, Operation *reader, unsigned frame) {
    if (llvm::is_contained(read.writers, event))
      return false;
    if (read.leaf.event != event)
      return true;
    SmallVector<Leaf> leaves;
    trace.getValue(frame, reader->getOperand(read.operand))
        .collectLeaves(leaves);
    if (llvm::any_of(leaves,
                     [&](const Leaf &leaf) { return leaf.event == event; }))
      return true;
    // By an older name: it can read the result where it sees it.
    bool sees = op->getParentRegion()->isAncestor(reader->getParentRegion()) &&
                isa<TensorType>(reader->getOperand(read.operand).getType());
    if (sees)
      renamed.push_back({reader, read.operand});
    return sees;
  };
  for (unsigned i = event + 1; i != trace.getEvents().size(); ++i)
    for (const Read &read : trace.getEvents()[i].reads)
      if (!readsResult(read, trace.getEvents()[i].op,
                       trace.getEvents()[i].frame))
        return false;
  for (const Read &read : trace.getReturned())
    if (!readsResult(read, trace.getReturn(), 0))
      return false;
  for (auto [reader, operand] : renamed)
    reader->setOperand(operand, op.getResult(0));

  fqat::makeOutOfPlace(op);
  return true;
}

//===----------------------------------------------------------------------===//
// Out of a body
//===----------------------------------------------------------------------===//

/// Tells which frames do both tail and other work, themselves or in their
/// calls.
static std::vector<char> findMixedFrames(const Trace &trace,
                                         const Regions &regions) {
  // How many events of either kind come before each event.
  std::vector<unsigned> numTail = {0}, numOther = {0};
  for (auto [i, event] : llvm::enumerate(trace.getEvents())) {
    bool isTail = regions.isTail(i);
    numTail.push_back(numTail.back() + isTail);
    numOther.push_back(numOther.back() + (!isTail && event.isTensorEvent()));
  }
  std::vector<char> mixed;
  for (const Frame &frame : trace.getFrames())
    mixed.push_back(numTail[frame.end] != numTail[frame.begin] &&
                    numOther[frame.end] != numOther[frame.begin]);
  return mixed;
}

SmallVector<unsigned> HoistTail::findFramesToHoist(Hierarchy &hierarchy,
                                                   const Round &round) {
  ArrayRef<Frame> frames = round.trace.getFrames();
  std::vector<char> isMixed = findMixedFrames(round.trace, round.regions);
  auto getClass = [&](unsigned frame) {
    return hierarchy.getSymbols()
        .lookup<ModuleOp>(frames[frame].getInstance())
        .getOriginalName();
  };
  // A body that ends before the last out_nop must give up its tail. A callee's
  // siblings of one class do the same, so that the branches of a head look
  // alike.
  std::vector<char> mustHoist(frames.size(), false);
  llvm::SmallDenseSet<std::pair<unsigned, StringRef>> kinds;
  for (unsigned frame = 1; frame != frames.size(); ++frame) {
    if (!isMixed[frame])
      continue;
    if (round.hasNopAfter(frame)) {
      mustHoist[frame] = true;
      if (frames[frame].getCall())
        kinds.insert({frames[frame].parent, getClass(frame)});
      continue;
    }
    // So must one that runs an out_nop itself but takes what the tail makes:
    // its own tail waits for that outside.
    if (round.getNops(frames[frame].begin, frames[frame].end).empty())
      continue;
    for (Value input : getInputs(frames[frame].op)) {
      SmallVector<Leaf> leaves;
      round.trace.getValue(frames[frame].parent, input).collectLeaves(leaves);
      mustHoist[frame] |= llvm::any_of(leaves, [&](const Leaf &leaf) {
        return leaf.event != Leaf::None && round.regions.isTail(leaf.event);
      });
    }
  }
  for (unsigned frame = 1; frame != frames.size(); ++frame)
    if (!mustHoist[frame] && isMixed[frame] && frames[frame].getCall() &&
        kinds.contains({frames[frame].parent, getClass(frame)}))
      mustHoist[frame] = true;
  // Callees follow their callers, and so are deeper: take the last one first.
  SmallVector<unsigned> found;
  for (unsigned frame = frames.size(); frame-- > 1;) {
    // One whose tail all runs further down has nothing of its own to give.
    if (mustHoist[frame] &&
        llvm::any_of(*frames[frame].body, [&](Operation &op) {
          return getUnit(round, frame, &op).isTail();
        }))
      found.push_back(frame);
  }
  return found;
}

/// What moves, and the numbers and constants that it needs and something else
/// needs too: they are made again.
MoveSet HoistTail::addRemade(const Round &round, unsigned frame,
                             const MoveSet &moved) {
  Block &body = *round.trace.getFrames()[frame].body;
  MoveSet needed(moved.begin(), moved.end());
  for (Operation &op : llvm::reverse(body)) {
    if (!needed.contains(&op))
      continue;
    for (Value input : getInputs(&op)) {
      Operation *definition = input.getDefiningOp();
      if (definition && definition->getBlock() == &body &&
          !moved.contains(definition) && !isa<ListOp, DictOp>(definition) &&
          isFeederKind(round, frame, definition))
        needed.insert(definition);
    }
  }
  return needed;
}

void HoistTail::recordMoves(const MoveSet &moved) {
  ChangeLog &log = getAnalysis<ChangeLog>();
  for (Operation *op : moved)
    log.add(Change::Move, op->getLoc(), getInstanceOf(op),
            describeOp(op) + " goes behind the last out_nop");
}

void HoistTail::eraseMoved(Block &body, const MoveSet &moved,
                           const MoveSet &needed) {
  recordMoves(moved);
  for (Operation *op : llvm::reverse(moved.getArrayRef()))
    op->erase();
  // Numbers that only the tail needed are of no use here any more.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (needed.contains(&op) && op.use_empty())
      op.erase();
  changed = true;
  numHoisted += moved.size();
}

LogicalResult HoistTail::hoistAll(Hierarchy &hierarchy, const Round &round,
                                  ArrayRef<unsigned> frames) {
  // The trace tells of a body only while that is as it was. What has got the
  // tail of a callee or an arm waits for the next round.
  DenseSet<Block *> changedBodies;
  for (unsigned index : frames) {
    const Frame &frame = round.trace.getFrames()[index];
    if (changedBodies.contains(frame.body))
      continue;
    Operation *op = frame.op;
    unsigned parent = frame.parent;
    for (unsigned inner : round.trace.getInnerFrames(parent, op))
      changedBodies.insert(round.trace.getFrames()[inner].body);
    changedBodies.insert(op->getBlock());
    if (failed(hoist(hierarchy, round, index)))
      return failure();
    if (isStale)
      break;
  }
  return success();
}

LogicalResult HoistTail::hoist(Hierarchy &hierarchy, const Round &round,
                               unsigned frame) {
  const Frame &run = round.trace.getFrames()[frame];
  if (isa<CallOp>(run.op))
    return hoistFromCallee(hierarchy, round, frame);
  if (auto branch = dyn_cast<IfOp>(run.op))
    return hoistFromArms(hierarchy, round, run.parent, branch);
  InFlightDiagnostic diag =
      run.op->emitError() << "this holds ops of the tail and of the quantised "
                             "region, and an out_nop runs after it; take the "
                             "tail out of it by hand [R3]";
  for (unsigned i = run.begin; i != run.end; ++i)
    if (round.regions.isTail(i)) {
      diag.attachNote(round.trace.getEvents()[i].op->getLoc())
          << "the tail begins here";
      break;
    }
  return diag;
}

LogicalResult HoistTail::hoistFromCallee(Hierarchy &hierarchy,
                                         const Round &round, unsigned frame) {
  MethodOp method = round.trace.getFrames()[frame].method;
  CallOp call = round.trace.getFrames()[frame].getCall();
  Block &body = method.getBody().front();
  if (round.trace.getFramesOf(&body).size() != 1 ||
      hierarchy.separateCalls(method).size() != 1)
    return call.emitError()
           << "'" << displayPath(method.getInstance())
           << "' is called from several places, so that its tail cannot move "
              "into its caller; clone shared modules first [R3]";
  FailureOr<MoveSet> moved = collect(round, frame, body.end());
  if (isStale)
    return success();
  if (failed(moved) || failed(checkOrder(round, frame, *moved, body.end())))
    return failure();
  if (isStale)
    return success();
  MoveSet needed = addRemade(round, frame, *moved);

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
    for (Value input : getInputs(&op)) {
      Operation *definition = input.getDefiningOp();
      if (!definition || needed.contains(definition) ||
          resultOf.contains(input))
        continue;
      resultOf[input] = returned.size();
      returned.push_back(input);
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
      hierarchy.replaceCallsIn(&op, builder.clone(op, mapping));
  SmallVector<Value> replacements;
  for (Value operand : ret.getOperands())
    replacements.push_back(mapping.lookup(operand));
  call.replaceAllUsesWith(replacements);
  rebuilt->setLoc(stripNames(call.getLoc()));
  hierarchy.replaceCall(call, rebuilt);
  call.erase();

  ret->setOperands(returned);
  method.setFunctionTypeAttr(
      TypeAttr::get(builder.getFunctionType(method.getArgumentTypes(), types)));
  method.removeResAttrsAttr();
  eraseMoved(body, *moved, needed);
  hierarchy.pruneSignature(method);
  return success();
}

/// Splits an `fqat.if` in two: the tail of its arms goes to a second one behind
/// it, with the same condition.
///
///   %r = fqat.if %c { %a = ..; %t = sigmoid(%a); yield %t } else { yield %x }
///
///   %a1 = fqat.if %c { %a = ..; yield %a } else { yield uninitialized }
///   %r = fqat.if %c { %t = sigmoid(%a1); yield %t } else { yield %x }
LogicalResult HoistTail::hoistFromArms(Hierarchy &hierarchy, const Round &round,
                                       unsigned frame, IfOp op) {
  if (round.trace.getFramesOf(op->getBlock()).size() != 1)
    return op.emitError() << "the tail in this if cannot leave it, because the "
                             "code around it runs several times [R3]";
  SmallVector<MoveSet, 2> moved(2), needed(2);
  for (unsigned arm : round.trace.getInnerFrames(frame, op)) {
    Block *body = round.trace.getFrames()[arm].body;
    unsigned i = body->getParent()->getRegionNumber();
    FailureOr<MoveSet> found = collect(round, arm, body->end());
    if (isStale)
      return success();
    if (failed(found) || failed(checkOrder(round, arm, *found, body->end())))
      return failure();
    if (isStale)
      return success();
    moved[i] = std::move(*found);
    needed[i] = addRemade(round, arm, moved[i]);
  }

  // Which results the second if makes, and which values of each arm it reads.
  SmallVector<bool> isLate(op->getNumResults(), false);
  SmallVector<llvm::SetVector<Value>, 2> threaded(2);
  for (auto [i, region] : llvm::enumerate(op->getRegions()))
    for (auto [k, operand] :
         llvm::enumerate(region.front().getTerminator()->getOperands()))
      isLate[k] = isLate[k] || moved[i].contains(operand.getDefiningOp());
  for (auto [i, region] : llvm::enumerate(op->getRegions())) {
    auto thread = [&](Value value) {
      if (value.getParentRegion() == &region &&
          !needed[i].contains(value.getDefiningOp()))
        threaded[i].insert(value);
    };
    for (Operation *inner : needed[i])
      llvm::for_each(getInputs(inner), thread);
    for (auto [k, operand] :
         llvm::enumerate(region.front().getTerminator()->getOperands()))
      if (isLate[k])
        thread(operand);
  }

  // The second if.
  OpBuilder builder(op);
  SmallVector<Type> earlyTypes, lateTypes;
  for (auto [k, type] : llvm::enumerate(op->getResultTypes()))
    (isLate[k] ? lateTypes : earlyTypes).push_back(type);
  unsigned numKept = earlyTypes.size();
  for (auto &values : threaded)
    llvm::append_range(earlyTypes, ValueRange(values.getArrayRef()).getTypes());
  auto first =
      IfOp::create(builder, op.getLoc(), earlyTypes, op.getCondition());
  auto second =
      IfOp::create(builder, op.getLoc(), lateTypes, op.getCondition());
  first->setLoc(stripNames(op.getLoc()));
  second->setLoc(stripNames(op.getLoc()));
  unsigned nextThread = numKept;
  SmallVector<IRMapping, 2> mappings(2);
  for (auto [values, mapping] : llvm::zip(threaded, mappings))
    for (Value value : values)
      mapping.map(value, first.getResult(nextThread++));
  for (auto [i, region] : llvm::enumerate(op->getRegions())) {
    Operation *yield = region.front().getTerminator();
    builder.createBlock(&second->getRegion(i));
    for (Operation &inner : region.front())
      if (needed[i].contains(&inner))
        hierarchy.replaceCallsIn(&inner, builder.clone(inner, mappings[i]));
    SmallVector<Value> late, early;
    for (auto [k, operand] : llvm::enumerate(yield->getOperands()))
      if (isLate[k])
        late.push_back(mappings[i].lookupOrDefault(operand));
      else
        early.push_back(operand);
    YieldOp::create(builder, yield->getLoc(), late);
    // The first if yields what the second one reads of this arm.
    builder.setInsertionPoint(yield);
    for (auto [j, values] : llvm::enumerate(threaded))
      for (Value value : values) {
        if (i == j) {
          early.push_back(value);
          continue;
        }
        early.push_back(OperatorOp::create(builder, op.getLoc(),
                                           "prim::Uninitialized", "",
                                           ValueRange(), value.getType())
                            .getResult(0));
      }
    yield->setOperands(early);
    eraseMoved(region.front(), moved[i], needed[i]);
    first->getRegion(i).takeBody(region);
  }
  unsigned nextEarly = 0, nextLate = 0;
  for (auto [k, result] : llvm::enumerate(op->getResults()))
    result.replaceAllUsesWith(isLate[k] ? second.getResult(nextLate++)
                                        : first.getResult(nextEarly++));
  op.erase();
  return success();
}

//===----------------------------------------------------------------------===//
// Within a body
//===----------------------------------------------------------------------===//

LogicalResult HoistTail::reorder(const Round &round, unsigned frame) {
  Block &body = *round.trace.getFrames()[frame].body;
  Operation *pivot = nullptr;
  for (Operation &op : body) {
    auto [begin, end] = round.trace.getSpan(frame, &op);
    if (!round.getNops(begin, end).empty())
      pivot = &op;
  }
  if (!pivot)
    return success();
  FailureOr<MoveSet> moved = collect(round, frame, pivot->getIterator());
  if (failed(moved))
    return failure();
  if (isStale || moved->empty())
    return success();
  if (failed(checkOrder(round, frame, *moved, std::next(pivot->getIterator()))))
    return failure();
  if (isStale)
    return success();
  for (Value input : getInputs(pivot))
    if (Operation *definition = input.getDefiningOp();
        definition && moved->contains(definition))
      return pivot->emitError() << "the last out_nop depends on the tail [R3]";
  Operation *last = pivot;
  for (Operation *op : *moved) {
    op->moveAfter(last);
    last = op;
  }
  changed = true;
  numMoved += moved->size();
  recordMoves(*moved);
  return success();
}

void HoistTail::runOnOperation() {
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  Hierarchy hierarchy(getOperation());
  changed = false;
  while (true) {
    FailureOr<Trace> trace =
        Trace::compute(getOperation(), hierarchy.getSymbols(), *anchorSet);
    if (failed(trace))
      return signalPassFailure();
    Regions regions(*trace);
    Round round{*trace, regions, {}};
    for (auto [i, event] : llvm::enumerate(trace->getEvents()))
      if (event.kind == Event::Nop)
        round.nops.push_back(i);
    if (round.nops.empty())
      return markAllAnalysesPreserved();

    isStale = false;
    hierarchy.forgetCalls();
    SmallVector<unsigned> frames = findFramesToHoist(hierarchy, round);
    if (!frames.empty()) {
      if (failed(hoistAll(hierarchy, round, frames)))
        return signalPassFailure();
      continue;
    }
    // What a frame's body moves, the frames of the same body move alike.
    DenseSet<Block *> seen;
    for (auto [i, frame] : llvm::enumerate(trace->getFrames()))
      if (!isStale && seen.insert(frame.body).second &&
          failed(reorder(round, i)))
        return signalPassFailure();
    if (isStale)
      continue;
    if (changed)
      eraseDeadOps(getOperation());
    return;
  }
}

} // namespace fqat
