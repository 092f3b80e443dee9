//===- Functionalize.cpp - Writes that autograd refuses -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %v = slice(%x, dim, 0, c)
//   %y = conv2d(%v)                  // keeps %v for its backward
//   %z = copy_(%v, %y)               // writes it
//   return %x
//
//   %v = slice(%x, dim, 0, c)
//   %y = conv2d(%v)
//   %r = slice(%x, dim, c, end)
//   %n = cat([%y, %r], dim)
//   return %n
//
// A write is taken by itself: what it makes is a new version of the tensor that
// it writes, or of one that this is a view of, and every later reader by an old
// name is given the new one, in the body of the write and, where the memory
// came from there, in its callers. The trace tells who reads the memory; where
// one of them cannot be given the new version, the write stays.
//
//===----------------------------------------------------------------------===//

#include "OutOfPlace.h"
#include "Rerouter.h"
#include "fqat/Analysis/Trace.h"
#include "fqat/Support/DeadOps.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Operators.h"
#include "fqat/Transforms/ChangeLog.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSet.h"

#include <map>

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_FUNCTIONALIZEPASS
#include "fqat/Transforms/Passes.h.inc"

//===----------------------------------------------------------------------===//
// What autograd refuses
//===----------------------------------------------------------------------===//

namespace {

/// A write that autograd refuses, and why.
struct Refusal {
  unsigned event;
  StringRef why;
  /// The event that keeps what is written, if that is why.
  unsigned keeper = Leaf::None;
};

/// What has a gradient in a trace, and what is kept for it.
class Gradients {
public:
  Gradients(const Trace &trace, SymbolTable &symbols);

  /// The writes that autograd refuses, in order.
  SmallVector<Refusal> getRefusals() const {
    return llvm::map_to_vector(
        refusals, [](const auto &refusal) { return refusal.second; });
  }

private:
  bool hasGradient(const Read &read) const;
  bool haveOneCounter(const MemoryRegion &a, const MemoryRegion &b) const;
  bool makesViews(unsigned split) const;
  void refuse(const Refusal &refusal);
  void keep(const Leaf &leaf, unsigned event);
  void keepOperands(unsigned event);
  void keepResults(unsigned event);
  void checkRead(const Read &read, unsigned at);
  void checkWrite(unsigned event);

  const Trace &trace;
  SymbolTable &symbols;
  std::vector<char> gradient;
  /// The events that keep a tensor in an allocation, and where.
  DenseMap<unsigned, SmallVector<std::pair<unsigned, MemoryRegion>, 1>> keepers;
  /// The events that write an allocation.
  DenseMap<unsigned, SmallVector<unsigned, 1>> writes;
  std::map<unsigned, Refusal> refusals;
};

} // namespace

Gradients::Gradients(const Trace &trace, SymbolTable &symbols)
    : trace(trace), symbols(symbols), gradient(trace.getEvents().size()) {
  for (auto [i, event] : llvm::enumerate(trace.getEvents())) {
    auto op = dyn_cast<OperatorOp>(event.op);
    if (!event.isTensorEvent() || (op && stopsGradient(op.getName())))
      continue;
    gradient[i] = llvm::any_of(
        event.reads, [&](const Read &read) { return hasGradient(read); });
    for (const Read &read : event.reads)
      checkRead(read, i);
    // What an op reads it keeps before it writes: `x.mul_(x)` is refused.
    if (op && gradient[i])
      keepOperands(i);
    if (!event.writes.empty())
      checkWrite(i);
    if (op && gradient[i])
      keepResults(i);
  }
  for (const Read &read : trace.getReturned())
    checkRead(read, trace.getEvents().size());
}

void Gradients::refuse(const Refusal &refusal) {
  refusals.insert({refusal.event, refusal});
}

bool Gradients::hasGradient(const Read &read) const {
  if (!read.leaf.isTensor)
    return false;
  if (llvm::any_of(read.getEvents(),
                   [&](unsigned event) { return gradient[event]; }))
    return true;
  if (read.leaf.event != Leaf::None)
    return false;
  // A parameter may be frozen in the file and trained all the same.
  StringAttr slot = trace.getSlot(read.leaf.region.allocation);
  Operation *op = slot ? symbols.lookup(slot) : nullptr;
  auto tensor = dyn_cast_or_null<TensorAttr>(op ? getSlotValue(op) : nullptr);
  return isa_and_nonnull<ParameterOp>(op) ||
         (tensor && tensor.getRequiresGrad());
}

void Gradients::keep(const Leaf &leaf, unsigned event) {
  if (leaf.isTensor)
    keepers[leaf.region.allocation].push_back({event, leaf.region});
}

void Gradients::keepOperands(unsigned index) {
  const Event &event = trace.getEvents()[index];
  auto op = cast<OperatorOp>(event.op);
  Saved saved = getSaved(op.getName());
  if (saved == Saved::Nothing || saved == Saved::Result)
    return;
  for (const Read &read : event.reads) {
    if (op.isWritten(read.operand))
      continue;
    bool isKept = saved != Saved::Factors;
    for (const Read &other : event.reads)
      isKept |= other.operand != read.operand && hasGradient(other);
    if (isKept)
      keep(read.leaf, index);
  }
}

void Gradients::keepResults(unsigned index) {
  const Event &event = trace.getEvents()[index];
  Saved saved = getSaved(cast<OperatorOp>(event.op).getName());
  if (saved != Saved::Result && saved != Saved::All)
    return;
  for (Value result : event.op->getResults()) {
    SmallVector<Leaf> leaves;
    trace.getValue(event.frame, result).collectLeaves(leaves);
    for (const Leaf &leaf : leaves)
      keep(leaf, index);
  }
}

/// One of several views that one op made is good for nothing once anything else
/// of that tensor is written.
void Gradients::checkRead(const Read &read, unsigned at) {
  if (!read.leaf.isTensor || read.leaf.region.parts.empty() ||
      !hasGradient(read))
    return;
  unsigned split = read.leaf.region.parts.front().first;
  auto it = writes.find(read.leaf.region.allocation);
  if (it == writes.end() || !makesViews(split))
    return;
  for (unsigned write : it->second)
    if (write > split && (at == trace.getEvents().size() ||
                          !trace.areExclusiveEvents(write, at)))
      refuse({write,
              "writes what several views that one op made look at, and "
              "one of these is read later",
              split});
}

/// Whether autograd counts the writes to two regions of one allocation
/// together. It does for all views of one tensor, be they disjoint.
bool Gradients::haveOneCounter(const MemoryRegion &a,
                               const MemoryRegion &b) const {
  for (auto [partA, partB] : llvm::zip(a.parts, b.parts))
    if (partA != partB)
      return partA.first != partB.first || makesViews(partA.first);
  return true;
}

/// Whether what an op splits a tensor into are views for autograd too.
bool Gradients::makesViews(unsigned split) const {
  auto op = cast<OperatorOp>(trace.getEvents()[split].op);
  return !op.getShortName().starts_with("unsafe_");
}

void Gradients::checkWrite(unsigned index) {
  const Event &event = trace.getEvents()[index];
  for (const MemoryRegion &region : event.writes)
    writes[region.allocation].push_back(index);
  for (const MemoryRegion &region : event.writes) {
    StringAttr slot = trace.getSlot(region.allocation);
    if (slot && isa_and_nonnull<ParameterOp>(symbols.lookup(slot))) {
      return refuse({index, "writes a parameter"});
    }
    auto it = keepers.find(region.allocation);
    if (it != keepers.end())
      for (auto &[keeper, kept] : llvm::reverse(it->second))
        if (haveOneCounter(kept, region) &&
            !trace.areExclusiveEvents(keeper, index)) {
          refuse({index, "changes what an op keeps for its backward", keeper});
          return;
        }
    if (!gradient[index])
      continue;
    for (auto [split, part] : region.parts)
      if (makesViews(split)) {
        refuse({index, "writes one of several views that one op made", split});
        return;
      }
  }
}

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

/// Whether an in-place op changes the sizes of the one name that it is given.
static bool changesSizes(OperatorOp op) {
  static const llvm::StringSet<> names = {
      "aten::transpose_", "aten::squeeze_",   "aten::unsqueeze_",
      "aten::t_",         "aten::swapaxes_",  "aten::swapdims_",
      "aten::resize_",    "aten::resize_as_", "aten::set_",
      "aten::set_data",   "aten::as_strided_"};
  return names.contains(op.getName());
}

/// Whether a value is a view of the first operand of the op that makes it,
/// whatever that operand's strides are.
static OperatorOp getView(Value value) {
  static const llvm::StringSet<> names = {
      "aten::view",      "aten::select",   "aten::slice",
      "aten::narrow",    "aten::squeeze",  "aten::transpose",
      "aten::permute",   "aten::t",        "aten::unsqueeze",
      "aten::expand",    "aten::detach",   "aten::alias",
      "aten::diagonal",  "aten::movedim",  "aten::swapaxes",
      "aten::swapdims",  "aten::numpy_T",  "aten::unflatten",
      "aten::real",      "aten::imag",     "aten::view_as_real",
      "aten::expand_as", "aten::unflatten"};
  auto op = value.getDefiningOp<OperatorOp>();
  if (!op || op->getNumResults() != 1 || op.hasWrites() ||
      op.getAliasedOperand(0) != 0 || !names.contains(op.getName()))
    return {};
  return op;
}

/// The op that splits a tensor into a list, if a value is a view that was taken
/// out of that.
static OperatorOp getSplit(Value value) {
  Operation *taken = value.getDefiningOp();
  auto getItem = dyn_cast_or_null<OperatorOp>(taken);
  if (!isa_and_nonnull<UnpackOp>(taken) &&
      !(getItem && getItem.getName() == "aten::__getitem__"))
    return {};
  auto split = taken->getOperand(0).getDefiningOp<OperatorOp>();
  if (!split || !splitsTensor(split.getName()) ||
      split.getAliasedOperand(0) != 0)
    return {};
  return split;
}

namespace {

/// A view of a range of one dimension, all known: [begin, end), to the end of
/// the dimension without `end`.
struct Range {
  Value tensor;
  Attribute dim;
  int64_t begin = 0;
  std::optional<int64_t> end;
  bool isSelect = false;

  bool isWhole() const { return begin == 0 && !end && !isSelect; }
  /// Whether what is before, in and behind it can be put together again,
  /// whatever the size is: places counted from the end and from the start may
  /// lie either way.
  bool isOrdered() const {
    return begin == 0 || !end || ((begin < 0) == (*end < 0) && begin <= *end);
  }
};

} // namespace

static Attribute getConstant(const Trace &trace, unsigned frame, Value value) {
  if (auto constant = value.getDefiningOp<ConstantOp>())
    return constant.getValue();
  return trace.getValue(frame, value).constant;
}

/// The range that a view takes; nothing if it is of another kind.
static std::optional<Range> getRange(const Trace &trace, unsigned frame,
                                     OperatorOp view) {
  StringRef name = view.getName();
  unsigned count = name == "aten::select" ? 3 : name == "aten::narrow" ? 4 : 5;
  if ((count == 5 && name != "aten::slice") || view.getNumOperands() != count)
    return std::nullopt;
  std::optional<int64_t> numbers[5];
  for (unsigned i = 1; i != count; ++i) {
    Attribute constant = getConstant(trace, frame, view.getOperand(i));
    if (auto number = dyn_cast_or_null<IntegerAttr>(constant))
      numbers[i] = number.getInt();
    else if (!isa_and_nonnull<UnitAttr>(constant) || count != 5)
      return std::nullopt;
  }
  if (!numbers[1])
    return std::nullopt;
  Range range;
  range.tensor = view.getOperand(0);
  range.dim =
      IntegerAttr::get(IntegerType::get(view.getContext(), 64), *numbers[1]);
  range.begin = numbers[2].value_or(0);
  if (count == 3) {
    range.isSelect = true;
    if (range.begin != -1)
      range.end = range.begin + 1;
    return range;
  }
  if (count == 4) {
    if (range.begin < 0)
      return std::nullopt;
    range.end = range.begin + *numbers[3];
    return range;
  }
  if (numbers[4].value_or(1) != 1)
    return std::nullopt;
  if (numbers[3] != INT64_MAX)
    range.end = numbers[3];
  return range;
}

//===----------------------------------------------------------------------===//
// Sizes and dtypes
//===----------------------------------------------------------------------===//

/// Whether a convolution's result has the sizes of its input.
static bool keepsSizes(OperatorOp op, SymbolTable &symbols) {
  bool isGeneral = op.getName() == "aten::_convolution" ||
                   op.getName() == "aten::convolution";
  bool isPlain = op.getName() == "aten::conv1d" ||
                 op.getName() == "aten::conv2d" ||
                 op.getName() == "aten::conv3d";
  unsigned groupsOperand = isGeneral ? 8 : 6;
  if ((!isGeneral && !isPlain) || op.getNumOperands() <= groupsOperand)
    return false;
  auto get = op.getOperand(1).getDefiningOp<GetOp>();
  auto slot = get ? symbols.lookup<ParameterOp>(get.getSlot()) : ParameterOp();
  auto weight =
      dyn_cast_or_null<TensorAttr>(slot ? slot.getValueAttr() : nullptr);
  if (!weight || weight.getSizes().size() < 3)
    return false;
  ArrayRef<int64_t> sizes = weight.getSizes();
  size_t rank = sizes.size() - 2;
  auto getAll = [&](unsigned operand) {
    std::optional<SmallVector<int64_t>> numbers =
        getInts(getConstant(op.getOperand(operand)));
    if (numbers && numbers->size() == 1)
      numbers->resize(rank, numbers->front());
    return numbers && numbers->size() == rank ? *numbers
                                              : SmallVector<int64_t>();
  };
  SmallVector<int64_t> stride = getAll(3), padding = getAll(4),
                       dilation = getAll(5);
  if (isGeneral) {
    auto transposed = op.getOperand(6).getDefiningOp<ConstantOp>();
    auto flag =
        transposed ? dyn_cast<BoolAttr>(transposed.getValue()) : BoolAttr();
    if (!flag || flag.getValue())
      return false;
  }
  auto constant = op.getOperand(groupsOperand).getDefiningOp<ConstantOp>();
  auto groups =
      constant ? dyn_cast<IntegerAttr>(constant.getValue()) : IntegerAttr();
  if (stride.empty() || padding.empty() || dilation.empty() || !groups ||
      sizes[0] != sizes[1] * groups.getInt())
    return false;
  for (size_t i = 0; i != rank; ++i)
    if (stride[i] != 1 || 2 * padding[i] != dilation[i] * (sizes[i + 2] - 1))
      return false;
  return true;
}

/// Whether an op's result has the sizes and the dtype of its first operand.
static bool keepsKind(OperatorOp op, SymbolTable &symbols) {
  static const llvm::StringSet<> names = {
      "aten::relu",       "aten::relu6",       "aten::hardtanh",
      "aten::hardswish",  "aten::hardsigmoid", "aten::leaky_relu",
      "aten::elu",        "aten::celu",        "aten::selu",
      "aten::silu",       "aten::mish",        "aten::gelu",
      "aten::clone",      "aten::batch_norm",  "aten::dropout",
      "aten::contiguous", "aten::detach",      "aten::alias"};
  StringRef name = op.getName();
  bool isActivation = name.ends_with("_") && names.contains(name.drop_back());
  return isActivation || names.contains(name) || name == "aten::copy_" ||
         keepsSizes(op, symbols);
}

/// What decides the sizes and the dtype of a tensor: the tensor that it comes
/// from, and the ranges that were taken of it on the way, last first. Two
/// tensors with equal answers have equal sizes and dtypes.
static SmallVector<int64_t> getKind(const Trace &trace, SymbolTable &symbols,
                                    Leaf leaf) {
  SmallVector<int64_t> kind;
  while (leaf.event != Leaf::None) {
    const Event &event = trace.getEvents()[leaf.event];
    auto op = dyn_cast<OperatorOp>(event.op);
    // Of several that it may be, nobody knows which.
    auto isFirst = [](const Read &read) { return read.operand == 0; };
    const Read *first = llvm::find_if(event.reads, isFirst);
    if (llvm::count_if(event.reads, isFirst) != 1)
      first = nullptr;
    bool keeps = event.kind == Event::Nop || (op && keepsKind(op, symbols));
    if (!first || leaf.index != 0)
      break;
    if (!keeps) {
      std::optional<Range> range =
          op ? getRange(trace, event.frame, op) : std::nullopt;
      if (!range)
        break;
      if (!range->isWhole())
        kind.append({cast<IntegerAttr>(range->dim).getInt(), range->begin,
                     range->end.value_or(INT64_MAX), range->isSelect});
    }
    leaf = first->leaf;
  }
  kind.append({leaf.event, leaf.index});
  return kind;
}

//===----------------------------------------------------------------------===//
// One write
//===----------------------------------------------------------------------===//

namespace {

/// What changes in one frame: `root` gets a new version, which `uses` read from
/// then on, as it is or by a view of it.
struct Level {
  unsigned frame;
  /// The write, or the call or the if that it happens in.
  Operation *op;
  Value root;
  /// The views from the root to what `op` makes a new version of, the root's
  /// first.
  SmallVector<OperatorOp> steps;
  SmallVector<OpOperand *> uses;
  /// Whether the write goes to a copy of the root, because the parts that the
  /// steps leave out cannot be put together with what it makes.
  bool copiesRoot = false;
  /// The result of `op` that is that new version; nothing if it has none yet.
  std::optional<unsigned> result;
};

/// A tensor value of one frame.
using FrameValue = std::pair<unsigned, Value>;

/// Changes writes of one trace, each of another allocation.
class Writes {
public:
  Writes(const Trace &trace, Hierarchy &hierarchy);
  ~Writes() {
    for (OperatorOp op : dead) {
      // Who still reads it asks for its sizes only.
      op.getResult(0).replaceAllUsesWith(op.getOperand(0));
      op.erase();
    }
  }

  /// Makes a write out of place. If it cannot be, `whyNot` tells the reason and
  /// nothing is changed.
  bool change(unsigned event, StringRef &whyNot);

  /// Whether calls or ifs were replaced, so that the trace is not true any
  /// more.
  bool isStale() const { return stale; }

private:
  bool plan(unsigned event, SmallVectorImpl<Level> &levels, StringRef &whyNot);
  bool collectUses(ArrayRef<Level> path, const MemoryRegion &region,
                   std::vector<SmallVector<OpOperand *>> &uses,
                   StringRef &whyNot) const;
  bool isSame(unsigned frame, Value a, Value b) const;
  Value getSource(Value value) const;
  bool isSeenElsewhere(ArrayRef<Level> path, const MemoryRegion &region);
  bool derives(unsigned frame, Value value, Value root) const;
  bool canSplice(unsigned frame, ArrayRef<OperatorOp> steps) const;
  std::optional<unsigned> findResult(unsigned inner, Operation *op,
                                     Value root) const;
  Value writeNew(const Level &level);
  Value writeCopy(const Level &level);
  Value splice(OpBuilder &builder, Location loc, const Level &level,
               Value written);
  void rename(const Level &level, Value made);
  Value makeVersion(const Level &inner, const Level &outer, Value made);

  const Trace &trace;
  Hierarchy &hierarchy;
  SymbolTable &symbols;
  /// The write at hand, its event, and the value that it writes.
  OperatorOp write;
  unsigned event = 0;
  Value target;
  DenseMap<unsigned, SmallVector<FrameValue>> valuesOf;
  /// The memory of what is put into a slot.
  DenseSet<unsigned> stored;
  /// How many calls a free function has.
  DenseMap<Attribute, unsigned> numCalls;
  SmallVector<OperatorOp> dead;
  bool stale = false;
};

} // namespace

Writes::Writes(const Trace &trace, Hierarchy &hierarchy)
    : trace(trace), hierarchy(hierarchy), symbols(hierarchy.getSymbols()) {
  hierarchy.getModel().walk(
      [&](CallFunctionOp call) { ++numCalls[call.getCalleeAttr().getAttr()]; });
  for (auto [index, frame] : llvm::enumerate(trace.getFrames())) {
    auto add = [&](Value value) {
      SmallVector<Leaf> leaves;
      trace.getValue(index, value).collectLeaves(leaves);
      for (const Leaf &leaf : leaves) {
        if (!leaf.isTensor)
          continue;
        auto &values = valuesOf[leaf.region.allocation];
        if (values.empty() || values.back() != FrameValue(index, value))
          values.push_back({index, value});
      }
    };
    for (BlockArgument argument : frame.body->getArguments())
      add(argument);
    for (Operation &op : *frame.body) {
      for (Value result : op.getResults())
        add(result);
      if (auto set = dyn_cast<SetOp>(op)) {
        SmallVector<Leaf> leaves;
        trace.getValue(index, set.getValue()).collectLeaves(leaves);
        for (const Leaf &leaf : leaves)
          stored.insert(leaf.region.allocation);
      }
    }
  }
}

/// Whether two values of a frame hold the same tensor right before the write.
bool Writes::isSame(unsigned frame, Value a, Value b) const {
  if (a == b)
    return true;
  auto getLeaf = [&](Value value) -> std::optional<Leaf> {
    const AbstractValue &held = trace.getValue(frame, value);
    if (held.aggregate || held.leaves.size() != 1 || event == 0)
      return std::nullopt;
    // The result of the write is what it writes.
    Leaf leaf = held.leaves.front();
    if (leaf.event != Leaf::None && leaf.event >= event)
      return std::nullopt;
    return trace.readAfter(leaf, event - 1).leaf;
  };
  std::optional<Leaf> leafA = getLeaf(a), leafB = getLeaf(b);
  return leafA && leafB && leafA->isSameTensor(*leafB);
}

/// What a value is a view of, or one tensor with; null if it is neither.
Value Writes::getSource(Value value) const {
  if (OperatorOp split = getSplit(value))
    return split.getOperand(0);
  auto op = value.getDefiningOp<OperatorOp>();
  if (!op)
    return {};
  if (op == write)
    return target;
  if (getView(value) || (writesFirstOperand(op) && !changesSizes(op)))
    return op.getOperand(0);
  return {};
}

/// Whether a value is the root, or a view of it that can be taken again.
bool Writes::derives(unsigned frame, Value value, Value root) const {
  while (value && !isSame(frame, value, root))
    value = getSource(value);
  return value != nullptr;
}

/// Whether code that the trace does not follow may see the write: a method that
/// is handed the memory has other callers.
bool Writes::isSeenElsewhere(ArrayRef<Level> path, const MemoryRegion &region) {
  return llvm::any_of(path, [&](const Level &level) {
    const Frame &frame = trace.getFrames()[level.frame];
    bool isHandedIn =
        isa_and_nonnull<CallOp, CallFunctionOp>(frame.op) &&
        llvm::any_of(frame.body->getArguments(), [&](Value argument) {
          SmallVector<Leaf> leaves;
          trace.getValue(level.frame, argument).collectLeaves(leaves);
          return llvm::any_of(leaves, [&](const Leaf &leaf) {
            return leaf.isTensor && leaf.region.mayOverlap(region);
          });
        });
    if (!isHandedIn)
      return false;
    if (auto call = dyn_cast<CallFunctionOp>(frame.op))
      return numCalls.lookup(call.getCalleeAttr().getAttr()) != 1;
    auto method = symbols.lookup<MethodOp>(cast<CallOp>(frame.op).getCallee());
    return method.isExported() || hierarchy.getCalls(method).size() != 1;
  });
}

/// Finds the later readers of a region by the frames of a path, innermost
/// first.
bool Writes::collectUses(ArrayRef<Level> path, const MemoryRegion &region,
                         std::vector<SmallVector<OpOperand *>> &uses,
                         StringRef &whyNot) const {
  uses.resize(path.size());
  DenseMap<unsigned, unsigned> levelOf;
  for (auto [i, level] : llvm::enumerate(path))
    levelOf[level.frame] = i;
  for (auto [frame, value] : valuesOf.lookup(region.allocation)) {
    auto it = levelOf.find(frame);
    if (it == levelOf.end())
      continue;
    // What comes out of the op that the write happens in has passed it.
    const Level &home = path[it->second];
    if (it->second != 0 && value.getDefiningOp() == home.op)
      continue;
    if (Operation *made = value.getDefiningOp();
        made && home.op->isBeforeInBlock(made))
      continue;
    const AbstractValue &held = trace.getValue(frame, value);
    SmallVector<Leaf> leaves;
    held.collectLeaves(leaves);
    if (llvm::none_of(leaves, [&](const Leaf &leaf) {
          return leaf.isTensor && leaf.region.mayOverlap(region);
        }))
      continue;
    for (OpOperand &use : value.getUses()) {
      // The innermost body of the path that the reader stands in.
      std::optional<unsigned> level;
      for (unsigned i = 0; i <= it->second && !level; ++i) {
        Operation *outer =
            trace.getFrames()[path[i].frame].body->findAncestorOpInBlock(
                *use.getOwner());
        if (!outer)
          continue;
        if (!path[i].op->isBeforeInBlock(outer))
          break;
        level = i;
      }
      auto reader = dyn_cast<OperatorOp>(use.getOwner());
      if (!level || (reader && readsMetadataOnly(reader.getName())))
        continue;
      if (held.aggregate || !isa<TensorType>(value.getType())) {
        whyNot = "a list or a tuple holds what it writes";
        return false;
      }
      if (leaves.size() != 1) {
        whyNot = "it is not known which tensor a later reader reads";
        return false;
      }
      if (reader && (reader.getName() == "aten::as_strided" ||
                     reader.getName() == "aten::set_")) {
        whyNot = "a later reader reads the memory itself";
        return false;
      }
      uses[*level].push_back(&use);
    }
  }
  // In program order, so that what is added has one order.
  for (auto &found : uses)
    llvm::sort(found, [](OpOperand *a, OpOperand *b) {
      if (a->getOwner() != b->getOwner())
        return isBeforeInText(a->getOwner(), b->getOwner());
      return a->getOperandNumber() < b->getOperandNumber();
    });
  return true;
}

bool Writes::canSplice(unsigned frame, ArrayRef<OperatorOp> steps) const {
  return llvm::all_of(steps, [&](OperatorOp step) {
    std::optional<Range> range = getRange(trace, frame, step);
    return range && range->isOrdered();
  });
}

/// The result of a call or an if that is the root, handed on from inside.
std::optional<unsigned> Writes::findResult(unsigned inner, Operation *op,
                                           Value root) const {
  Block *body = trace.getFrames()[inner].body;
  auto isRoot = [&](Block *from, unsigned index) {
    Value handed = from->getTerminator()->getOperand(index);
    if (from != body)
      return handed == root;
    if (handed.getDefiningOp() == write)
      handed = target;
    return isSame(inner, handed, root);
  };
  for (unsigned i = 0; i != op->getNumResults(); ++i) {
    bool isAlways = isRoot(body, i);
    if (auto branch = dyn_cast<IfOp>(op))
      for (Region &arm : branch->getRegions())
        isAlways = isAlways && isRoot(&arm.front(), i);
    if (isAlways)
      return i;
  }
  return std::nullopt;
}

bool Writes::plan(unsigned index, SmallVectorImpl<Level> &levels,
                  StringRef &whyNot) {
  event = index;
  unsigned home = trace.getEvents()[index].frame;
  write = dyn_cast<OperatorOp>(trace.getEvents()[index].op);
  if (!writesFirstOperand(write) || changesSizes(write)) {
    whyNot = "it is no plain in-place op";
    return false;
  }
  for (unsigned frame = home; frame != 0;
       frame = trace.getFrames()[frame].parent)
    if (trace.getFrames()[frame].isDead) {
      whyNot = "a flag that nobody writes leaves it out, so that the proof "
               "would not see the change";
      return false;
    }
  target = write.getOperand(0);
  const AbstractValue &held = trace.getValue(home, target);
  if (held.aggregate || held.leaves.size() != 1) {
    whyNot = "it is not known which tensor it writes";
    return false;
  }
  MemoryRegion region = held.leaves.front().region;
  if (trace.isExternal(region.allocation)) {
    whyNot = "it writes an input, a slot or a constant, which the model's "
             "caller sees";
    return false;
  }
  if (stored.contains(region.allocation)) {
    whyNot = "a slot holds what it writes";
    return false;
  }

  // From the write to the model's entry.
  Operation *at = write;
  for (unsigned frame = home;; frame = trace.getFrames()[frame].parent) {
    Level level;
    level.frame = frame;
    level.op = at;
    levels.push_back(std::move(level));
    at = trace.getFrames()[frame].op;
    if (frame == 0)
      break;
  }
  if (isSeenElsewhere(levels, region)) {
    whyNot = "other callers of the method that writes may see it";
    return false;
  }
  std::vector<SmallVector<OpOperand *>> uses;
  if (!collectUses(levels, region, uses, whyNot))
    return false;
  unsigned last = 0;
  for (auto [i, found] : llvm::enumerate(uses)) {
    levels[i].uses = found;
    if (!found.empty())
      last = i;
  }

  Value renamed = target;
  for (unsigned i = 0;; ++i) {
    Level &level = levels[i];
    const Frame &frame = trace.getFrames()[level.frame];
    if (trace.getFramesOf(frame.body).size() != 1) {
      whyNot = "the code around it runs several times";
      return false;
    }
    // The smallest tensor that all readers here read a part of, and that the
    // frame outside, if there are readers, has handed in.
    level.root = renamed;
    auto isHandedIn = [&](Value root) {
      if (isa<IfOp>(frame.op))
        return root.getParentBlock() != frame.body;
      return isa<CallOp, CallFunctionOp>(frame.op) &&
             root.getParentBlock() == frame.body && isa<BlockArgument>(root);
    };
    auto isEnough = [&] {
      return (i >= last || isHandedIn(level.root)) &&
             llvm::all_of(level.uses, [&](OpOperand *use) {
               return derives(level.frame, use->get(), level.root);
             });
    };
    while (!isEnough()) {
      if (OperatorOp view = getView(level.root))
        level.steps.insert(level.steps.begin(), view);
      if (getSplit(level.root)) {
        whyNot = "it writes through a view that cannot be put together again";
        return false;
      }
      if (Value source = getSource(level.root)) {
        level.root = source;
      } else {
        whyNot = "it is seen by a name that cannot be given the new value";
        return false;
      }
    }
    level.copiesRoot = i == 0 && !canSplice(level.frame, level.steps);
    if (i != 0 && !canSplice(level.frame, level.steps)) {
      whyNot = "it writes through a view that cannot be put together again";
      return false;
    }
    if (i >= last)
      break;
    Level &outer = levels[i + 1];
    outer.result = findResult(level.frame, outer.op, level.root);
    auto call = dyn_cast<CallOp>(outer.op);
    if (!outer.result && !isa<IfOp>(outer.op)) {
      auto method =
          call ? symbols.lookup<MethodOp>(call.getCallee()) : MethodOp();
      if (!method) {
        whyNot = "a function that returns nothing of it writes it";
        return false;
      }
    }
    renamed = call || isa<CallFunctionOp>(outer.op)
                  ? outer.op->getOperand(
                        cast<BlockArgument>(level.root).getArgNumber())
                  : level.root;
  }
  levels.truncate(last + 1);
  return true;
}

/// What a write makes, out of place. A `copy_` of what has the sizes and the
/// dtype already is that itself, where it becomes a part of something.
Value Writes::writeNew(const Level &level) {
  if (!level.steps.empty() && write.getName() == "aten::copy_") {
    auto getLeaf = [&](unsigned operand) -> std::optional<Leaf> {
      const AbstractValue &held =
          trace.getValue(level.frame, write.getOperand(operand));
      if (held.aggregate || held.leaves.size() != 1)
        return std::nullopt;
      return held.leaves.front();
    };
    std::optional<Leaf> to = getLeaf(0), from = getLeaf(1);
    if (to && from &&
        getKind(trace, symbols, *to) == getKind(trace, symbols, *from)) {
      dead.push_back(write);
      return write.getOperand(1);
    }
  }
  makeOutOfPlace(write);
  return write.getResult(0);
}

/// Lets the write write a copy of the root, by the same views of that. Returns
/// the copy.
Value Writes::writeCopy(const Level &level) {
  OpBuilder builder(write);
  Location loc = stripNames(write.getLoc());
  Value none = ConstantOp::create(builder, loc, builder.getUnitAttr());
  Value copy = OperatorOp::create(builder, loc, "aten::clone", "",
                                  {level.root, none}, level.root.getType())
                   .getResult(0);
  Value part = copy;
  for (OperatorOp step : level.steps) {
    Operation *again = builder.clone(*step);
    again->setOperand(0, part);
    part = again->getResult(0);
  }
  write->setOperand(0, part);
  return copy;
}

/// The root with `written` in the place of the part that the steps lead to.
Value Writes::splice(OpBuilder &builder, Location loc, const Level &level,
                     Value written) {
  auto makeConstant = [&](Attribute value) -> Value {
    return ConstantOp::create(builder, loc, value);
  };
  auto makeNumber = [&](int64_t number) {
    return makeConstant(builder.getI64IntegerAttr(number));
  };
  for (OperatorOp step : llvm::reverse(level.steps)) {
    Range range = *getRange(trace, level.frame, step);
    if (range.isWhole())
      continue;
    // A slice of all makes no part of it.
    auto base = range.tensor.getDefiningOp<OperatorOp>();
    while (base && llvm::is_contained(level.steps, base) &&
           getRange(trace, level.frame, base)->isWhole()) {
      range.tensor = base.getOperand(0);
      base = range.tensor.getDefiningOp<OperatorOp>();
    }
    Type type = range.tensor.getType();
    Value dim = makeConstant(range.dim);
    auto takeSlice = [&](int64_t begin, int64_t end) {
      auto slice = OperatorOp::create(builder, loc, "aten::slice", "Tensor",
                                      {range.tensor, dim, makeNumber(begin),
                                       makeNumber(end), makeNumber(1)},
                                      type);
      slice.setAliasesAttr(builder.getDenseI64ArrayAttr({0}));
      return slice.getResult(0);
    };
    SmallVector<Value> parts;
    if (range.begin != 0)
      parts.push_back(takeSlice(0, range.begin));
    if (range.isSelect) {
      auto unsqueeze = OperatorOp::create(builder, loc, "aten::unsqueeze", "",
                                          {written, dim}, type);
      unsqueeze.setAliasesAttr(builder.getDenseI64ArrayAttr({0}));
      written = unsqueeze.getResult(0);
    }
    parts.push_back(written);
    if (range.end)
      parts.push_back(takeSlice(*range.end, INT64_MAX));
    // The code of a list has no record of its lines.
    Location listLoc = makeNodeLoc(builder.getContext(), getPosition(loc),
                                   getInstancePath(loc), {});
    auto list = ListOp::create(builder, listLoc, ListType::get(type), parts);
    written = OperatorOp::create(builder, loc, "aten::cat", "",
                                 {list.getResult(), dim}, type)
                  .getResult(0);
  }
  return written;
}

/// Gives the readers of a level what they read, of the new version of its root.
void Writes::rename(const Level &level, Value made) {
  OpBuilder builder(level.op);
  if (Operation *definition = made.getDefiningOp();
      definition && definition->getBlock() == level.op->getBlock() &&
      level.op->isBeforeInBlock(definition))
    builder.setInsertionPointAfter(definition);
  else
    builder.setInsertionPointAfter(level.op);
  DenseMap<Value, Value> versions;
  auto getVersion = [&](Value value) {
    SmallVector<Value> chain;
    Value version;
    while (!version) {
      if (Value known = versions.lookup(value)) {
        version = known;
      } else if (isSame(level.frame, value, level.root)) {
        version = made;
      } else {
        chain.push_back(value);
        value = getSource(value);
      }
    }
    for (Value link : llvm::reverse(chain)) {
      // What an in-place op returns is what it writes.
      if (OperatorOp split = getSplit(link)) {
        Value &list = versions[split.getResult(0)];
        if (!list) {
          Operation *again = builder.clone(*split);
          again->setOperand(0, version);
          list = again->getResult(0);
        }
        Operation *taken = builder.clone(*link.getDefiningOp());
        taken->setOperand(0, list);
        version = taken->getResult(cast<OpResult>(link).getResultNumber());
      } else if (OperatorOp view = getView(link); view && view != write) {
        Operation *again = builder.clone(*view);
        again->setOperand(0, version);
        version = again->getResult(0);
      }
      versions[link] = version;
    }
    return version;
  };
  for (OpOperand *use : level.uses)
    use->set(getVersion(use->get()));
}

/// Has the op of the outer level hand the new version of the inner root out.
Value Writes::makeVersion(const Level &inner, const Level &outer, Value made) {
  if (outer.result)
    return outer.op->getResult(*outer.result);
  stale = true;
  if (auto call = dyn_cast<CallOp>(outer.op)) {
    auto method = symbols.lookup<MethodOp>(call.getCallee());
    Operation *ret = method.getBody().front().getTerminator();
    SmallVector<std::optional<unsigned>> kept;
    for (unsigned i = 0; i != call.getNumResults(); ++i)
      kept.push_back(i);
    ret->insertOperands(ret->getNumOperands(), made);
    (void)method.insertResult(method.getNumResults(), made.getType(), {});
    return hierarchy
        .rebuildCall(call, call.getArguments(), method.getResultTypes(), kept)
        .getResults()
        .back();
  }
  // The other arm hands on the root as it is.
  auto branch = cast<IfOp>(outer.op);
  Block *body = trace.getFrames()[inner.frame].body;
  for (Region &arm : branch->getRegions()) {
    Operation *yield = arm.front().getTerminator();
    yield->insertOperands(yield->getNumOperands(),
                          &arm.front() == body ? made : inner.root);
  }
  return addResult(branch, made.getType()).getResults().back();
}

bool Writes::change(unsigned index, StringRef &whyNot) {
  SmallVector<Level> levels;
  if (!plan(index, levels, whyNot))
    return false;
  Location loc = stripNames(write.getLoc());
  Value made = levels.front().copiesRoot ? writeCopy(levels.front())
                                         : writeNew(levels.front());
  for (auto [i, level] : llvm::enumerate(levels)) {
    if (i != 0) {
      made = makeVersion(levels[i - 1], level, made);
      if (!level.result)
        level.op = made.getDefiningOp();
    }
    OpBuilder builder(level.op->getContext());
    builder.setInsertionPointAfter(level.op);
    if (!level.copiesRoot)
      made = splice(builder, loc, level, made);
    rename(level, made);
  }
  return true;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct Functionalize : public impl::FunctionalizePassBase<Functionalize> {
  void runOnOperation() final;

private:
  bool changeAll(const Trace &trace, Hierarchy &hierarchy,
                 ArrayRef<Refusal> refusals);
};
} // namespace

/// Changes what can be changed while the trace is true. Returns whether
/// anything was.
bool Functionalize::changeAll(const Trace &trace, Hierarchy &hierarchy,
                              ArrayRef<Refusal> refusals) {
  ChangeLog &log = getAnalysis<ChangeLog>();
  Writes writes(trace, hierarchy);
  // What the trace tells of other memory stays true.
  DenseSet<unsigned> changed;
  SmallVector<std::pair<const Refusal *, StringRef>> left;
  for (const Refusal &refusal : refusals) {
    const Event &event = trace.getEvents()[refusal.event];
    bool isKnown = llvm::none_of(event.writes, [&](const MemoryRegion &region) {
      return changed.contains(region.allocation);
    });
    if (writes.isStale())
      break;
    if (!isKnown)
      continue;
    std::string what = describeOp(event.op);
    StringRef whyNot;
    if (!writes.change(refusal.event, whyNot)) {
      left.push_back({&refusal, whyNot});
      continue;
    }
    for (const MemoryRegion &region : event.writes)
      changed.insert(region.allocation);
    log.add(Change::Write, event.op->getLoc(), getInstanceOf(event.op),
            what + " becomes out of place: in place, it " + refusal.why);
    ++numWrites;
  }
  if (!changed.empty())
    return true;
  // Code that runs several times is told of once.
  DenseSet<Operation *> told;
  for (auto [refusal, whyNot] : left) {
    const Event &event = trace.getEvents()[refusal->event];
    if (!told.insert(event.op).second)
      continue;
    InFlightDiagnostic diag =
        emitWarning(getUserLoc(trace, event.frame, event.op))
        << "training cannot pass this write, which " << refusal->why
        << "; it stays in place, because " << whyNot;
    if (refusal->keeper == Leaf::None)
      continue;
    const Event &keeper = trace.getEvents()[refusal->keeper];
    diag.attachNote(getUserLoc(trace, keeper.frame, keeper.op))
        << "the op is here: " << describeOp(keeper.op);
  }
  return false;
}

void Functionalize::runOnOperation() {
  FailureOr<AnchorSet> anchors = AnchorSet::create(getOperation(), {}, {});
  if (failed(anchors))
    return signalPassFailure();
  Hierarchy hierarchy(getOperation());
  bool changed = false;
  while (true) {
    FailureOr<Trace> trace =
        Trace::compute(getOperation(), hierarchy.getSymbols(), *anchors,
                       /*followsDeadArms=*/true);
    if (failed(trace))
      return signalPassFailure();
    Gradients gradients(*trace, hierarchy.getSymbols());
    hierarchy.forgetCalls();
    if (!changeAll(*trace, hierarchy, gradients.getRefusals()))
      break;
    changed = true;
  }
  if (!changed)
    return markAllAnalysesPreserved();
  eraseDeadOps(getOperation());
}

} // namespace fqat
