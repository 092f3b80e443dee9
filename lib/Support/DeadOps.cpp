//===- DeadOps.cpp - What a change left without a reader -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/DeadOps.h"
#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fqat {

/// Erases the reads of instances, in scripted code, that no call or read of
/// something below follows. Returns whether there was any.
static bool eraseIdleMarkers(MethodOp method) {
  // The last read of each instance, in the order of the text.
  llvm::StringMap<GetOp> last;
  DenseSet<Operation *> needed;
  SmallVector<GetOp> markers;
  auto reach = [&](StringRef path) {
    // The read of `a.b` that is used came from the `a` of its own time.
    for (; !path.empty(); path = splitPath(path).first)
      if (auto it = last.find(path); it != last.end()) {
        needed.insert(it->second);
        return;
      }
  };
  method.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (auto call = dyn_cast<CallOp>(op))
      reach(splitPath(call.getCallee()).first);
    else if (auto nop = dyn_cast<OutNopOp>(op))
      reach(nop.getInstance());
    auto get = dyn_cast<GetOp>(op);
    if (!get)
      return;
    reach(splitPath(get.getSlot()).first);
    if (isa<ObjectType>(get.getResult().getType()) && get.use_empty()) {
      markers.push_back(get);
      last[get.getSlot()] = get;
    }
  });
  bool erased = false;
  for (GetOp marker : markers)
    if (!needed.contains(marker)) {
      marker.erase();
      erased = true;
    }
  return erased;
}

/// The op that made the memory which an op writes, if that is in the same body;
/// else null.
static Operation *getMaker(OperatorOp write) {
  Value written = write.getOperand(write.getWritesAttr().asArrayRef().front());
  Operation *maker = getAliasBase(written).getDefiningOp();
  bool isHere = isa_and_nonnull<ListOp, DictOp, OperatorOp>(maker) &&
                maker->getBlock() == write->getBlock();
  return isHere ? maker : nullptr;
}

/// Erases a tensor, a list or a dict that ops write, but nobody reads in the
/// end. Returns whether that is so.
static bool eraseUnread(Operation *maker) {
  llvm::SetVector<Operation *> ops;
  ops.insert(maker);
  for (unsigned i = 0; i != ops.size(); ++i) {
    auto op = dyn_cast<OperatorOp>(ops[i]);
    bool isMade = ops[i] == maker && isa<ListOp, DictOp>(maker);
    if (!isMade && (!op || op.getRandom() || op.getEffects()))
      return false;
    if (op) {
      for (int64_t written : op.getWrites().value_or(ArrayRef<int64_t>())) {
        Operation *definition = op.getOperand(written).getDefiningOp();
        if (!definition || !ops.contains(definition))
          return false;
      }
    }
    for (Operation *user : ops[i]->getUsers()) {
      if (user->getBlock() != maker->getBlock())
        return false;
      ops.insert(user);
    }
  }
  SmallVector<Operation *> inOrder = ops.takeVector();
  llvm::sort(inOrder,
             [](Operation *a, Operation *b) { return b->isBeforeInBlock(a); });
  for (Operation *op : inOrder)
    op->erase();
  return true;
}

static bool eraseUnreadWrites(MethodOp method) {
  SmallVector<Operation *> makers;
  method.getBody().walk([&](OperatorOp op) {
    if (op.hasWrites())
      if (Operation *maker = getMaker(op))
        makers.push_back(maker);
  });
  for (Operation *maker : makers)
    if (eraseUnread(maker))
      return true;
  return false;
}

/// Whether a value is None (1), is not (0), or may be either (nothing).
static std::optional<bool> isNone(Value value) {
  if (isa<NoneType>(value.getType()))
    return true;
  if (isa<OptionalType, AnyValueType, ObjectType>(value.getType()))
    return std::nullopt;
  return false;
}

/// The condition that an op computes, if TorchScript's loader knows it.
static std::optional<bool> getStaticCondition(Value condition) {
  if (auto constant = condition.getDefiningOp<ConstantOp>())
    if (auto flag = dyn_cast<BoolAttr>(constant.getValue()))
      return flag.getValue();
  auto op = condition.getDefiningOp<OperatorOp>();
  if (op && op.getName() == "aten::__not__") {
    std::optional<bool> operand = getStaticCondition(op.getOperand(0));
    return operand ? std::optional<bool>(!*operand) : std::nullopt;
  }
  if (!op || op.getNumOperands() != 2)
    return std::nullopt;
  bool negated = op.getName() == "aten::__isnot__";
  if (!negated && op.getName() != "aten::__is__")
    return std::nullopt;
  std::optional<bool> a = isNone(op.getOperand(0)),
                      b = isNone(op.getOperand(1));
  if (!a || !b || (!*a && !*b))
    return std::nullopt;
  return (*a == *b) != negated;
}

/// Puts the one arm that can run in the place of an if.
static bool foldStaticIf(IfOp op) {
  std::optional<bool> condition = getStaticCondition(op.getCondition());
  if (!condition)
    return false;
  Block &arm = (*condition ? op.getThenRegion() : op.getElseRegion()).front();
  op->replaceAllUsesWith(arm.getTerminator()->getOperands());
  for (Operation &inner : llvm::make_early_inc_range(arm.without_terminator()))
    inner.moveBefore(op);
  op.erase();
  return true;
}

/// A result that is None in both arms is None.
static void foldNoneResults(IfOp op) {
  for (OpResult result : op->getResults()) {
    auto isNoneIn = [&](Region &arm) {
      Value yielded =
          arm.front().getTerminator()->getOperand(result.getResultNumber());
      return isa<NoneType>(yielded.getType());
    };
    if (result.use_empty() || !llvm::all_of(op->getRegions(), isNoneIn))
      continue;
    OpBuilder builder(op);
    result.replaceAllUsesWith(
        ConstantOp::create(builder, op.getLoc(), builder.getUnitAttr()));
  }
}

/// Hands on the elements of a tuple that is made only to be taken apart.
static void foldUnpack(UnpackOp op) {
  if (auto tuple = op.getAggregate().getDefiningOp<TupleOp>()) {
    op->replaceAllUsesWith(tuple.getElements());
    op.erase();
    return;
  }
  auto constant = op.getAggregate().getDefiningOp<ConstantOp>();
  auto elements =
      constant ? dyn_cast<ArrayAttr>(constant.getValue()) : ArrayAttr();
  if (!elements)
    return;
  OpBuilder builder(op);
  for (auto [result, element] : llvm::zip(op.getResults(), elements))
    result.replaceAllUsesWith(
        ConstantOp::create(builder, constant.getLoc(), element));
  op.erase();
}

/// Hands on an element of a tuple that was made here.
static void foldTupleIndex(OperatorOp op) {
  if (op.getName() != "prim::TupleIndex" || op.getNumOperands() != 2)
    return;
  auto tuple = op.getOperand(0).getDefiningOp<TupleOp>();
  auto constant = op.getOperand(1).getDefiningOp<ConstantOp>();
  if (!tuple || !constant)
    return;
  std::optional<size_t> place =
      getPlace(constant.getValue(), tuple.getElements().size());
  if (!place)
    return;
  op.getResult(0).replaceAllUsesWith(tuple.getElements()[*place]);
  op.erase();
}

/// Drops the results of an if that nobody reads, and puts the rest into the
/// order in which they are read first. `positions` numbers the ops. Returns
/// whether any is dropped: its arms may hold dead ops then.
static bool orderResults(IfOp op,
                         const DenseMap<Operation *, unsigned> &positions) {
  SmallVector<std::pair<std::pair<unsigned, unsigned>, unsigned>> reads;
  for (OpResult result : op->getResults()) {
    if (result.use_empty())
      continue;
    std::pair<unsigned, unsigned> first(~0u, 0);
    for (OpOperand &use : result.getUses())
      first = std::min(
          first, {positions.lookup(use.getOwner()), use.getOperandNumber()});
    reads.push_back({first, result.getResultNumber()});
  }
  llvm::sort(reads);
  SmallVector<unsigned> order;
  for (auto &[first, index] : reads)
    order.push_back(index);
  bool drops = order.size() != op->getNumResults();
  if (!drops && llvm::is_sorted(order))
    return false;
  OpBuilder builder(op);
  SmallVector<Type> types;
  for (unsigned index : order)
    types.push_back(op->getResult(index).getType());
  auto ordered = IfOp::create(builder, op.getLoc(), types, op.getCondition());
  ordered->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  for (auto [from, to] : llvm::zip(op->getRegions(), ordered->getRegions())) {
    to.takeBody(from);
    Operation *yield = to.front().getTerminator();
    SmallVector<Value> operands;
    for (unsigned index : order)
      operands.push_back(yield->getOperand(index));
    yield->setOperands(operands);
  }
  for (auto [index, result] : llvm::zip(order, ordered->getResults()))
    op->getResult(index).replaceAllUsesWith(result);
  op->erase();
  return drops;
}

/// Does what TorchScript's loader does when it compiles the code again.
static void foldAsLoaded(MethodOp method) {
  // After the order of the text: what an op reads is folded by then.
  method.getBody().walk([](Operation *op) {
    if (auto unpack = dyn_cast<UnpackOp>(op))
      foldUnpack(unpack);
    else if (auto oper = dyn_cast<OperatorOp>(op))
      foldTupleIndex(oper);
    else if (auto branch = dyn_cast<IfOp>(op))
      if (!foldStaticIf(branch))
        foldNoneResults(branch);
  });
}

/// Orders the results of all ifs, outer ones first: an inner one's are read by
/// the outer one's arms. Returns whether any result is dropped.
static bool orderResults(MethodOp method) {
  DenseMap<Operation *, unsigned> positions;
  SmallVector<IfOp> branches;
  method.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) {
    unsigned position = positions.size();
    positions[op] = position;
    if (auto branch = dyn_cast<IfOp>(op))
      branches.push_back(branch);
  });
  bool drops = false;
  for (IfOp branch : branches)
    drops |= orderResults(branch, positions);
  return drops;
}

void eraseDeadOps(mlir::ModuleOp model) {
  for (auto method : model.getOps<MethodOp>()) {
    foldAsLoaded(method);
    do {
      do {
        // Readers before what they read: one walk backwards is enough.
        SmallVector<Operation *> ops;
        method.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) {
          auto get = dyn_cast<GetOp>(op);
          if (!get || !isa<ObjectType>(get.getResult().getType()))
            ops.push_back(op);
        });
        for (Operation *op : llvm::reverse(ops))
          if (isOpTriviallyDead(op))
            op->erase();
      } while (eraseUnreadWrites(method));
      // A read of `a.b` keeps one of `a`.
      while (eraseIdleMarkers(method)) {
      }
    } while (orderResults(method));
  }
}

} // namespace fqat
