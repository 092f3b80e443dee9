//===- Rerouter.cpp - Hands a value on to some of its readers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Rerouter.h"

#include "fqat/Support/Model.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

namespace fqat {

bool isBeforeInText(Operation *a, Operation *b) {
  for (Block *block = a->getBlock(); block;
       block = block->getParentOp() ? block->getParentOp()->getBlock()
                                    : nullptr) {
    Operation *outerB = block->findAncestorOpInBlock(*b);
    if (!outerB)
      continue;
    Operation *outerA = block->findAncestorOpInBlock(*a);
    if (outerA != outerB)
      return outerA->isBeforeInBlock(outerB);
    // One lies in the other, or they lie in two regions of one op.
    if (a == outerA || b == outerB)
      return a == outerA && b != outerB;
    for (Region &region : outerA->getRegions()) {
      if (region.isAncestor(a->getParentRegion()))
        return true;
      if (region.isAncestor(b->getParentRegion()))
        return false;
    }
  }
  return false;
}

/// Whether a use reads the size or the kind of a tensor only: the nop's result
/// has the same.
static bool isMetadataUse(OpOperand &use) {
  auto op = dyn_cast<OperatorOp>(use.getOwner());
  return op && readsMetadataOnly(op.getName());
}

static bool isContainer(Value value) {
  return isa<ListType, DictType>(value.getType());
}

/// Whether an op puts an operand into the list or dict that is its first.
static bool putsIntoContainer(OpOperand &use) {
  auto op = dyn_cast<OperatorOp>(use.getOwner());
  return op && use.getOperandNumber() != 0 && op.isWritten(0) &&
         isContainer(op.getOperand(0));
}

bool Rerouter::isCarrier(OpOperand &use) {
  Operation *user = use.getOwner();
  if (isa<CallOp, CallFunctionOp, YieldOp, LoopOp, ListOp, TupleOp, DictOp,
          UnpackOp>(user))
    return true;
  if (isa<ReturnOp>(user)) {
    auto method = dyn_cast<MethodOp>(user->getParentOp());
    return method != getEntry(symbols);
  }
  auto op = dyn_cast<OperatorOp>(user);
  if (!op)
    return false;
  return handsOn(op.getName()) || op.getName() == "prim::TupleIndex" ||
         putsIntoContainer(use) ||
         (isContainer(use.get()) && readsContainer(op));
}

SmallVector<Value> Rerouter::getRoots(Value container) {
  SmallVector<Value> roots, worklist = {container};
  DenseSet<Value> seen;
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      Operation *parent = argument.getOwner()->getParentOp();
      unsigned index = argument.getArgNumber();
      if (auto loop = dyn_cast<LoopOp>(parent)) {
        if (index != 0) {
          worklist.push_back(loop.getInits()[index - 1]);
          worklist.push_back(
              argument.getOwner()->getTerminator()->getOperand(index));
        }
        continue;
      }
      bool isCalled = false;
      model.walk([&](Operation *op) {
        auto call = dyn_cast<CallOp>(op);
        auto function = dyn_cast<CallFunctionOp>(op);
        if ((call && symbols.lookup(call.getCallee()) == parent) ||
            (function && symbols.lookup(function.getCallee()) == parent)) {
          worklist.push_back(op->getOperand(index));
          isCalled = true;
        }
      });
      if (!isCalled)
        roots.push_back(value);
      continue;
    }
    Operation *definition = value.getDefiningOp();
    unsigned index = cast<OpResult>(value).getResultNumber();
    if (auto op = dyn_cast<OperatorOp>(definition);
        op && (handsOn(op.getName()) || op.isWritten(0))) {
      worklist.push_back(op.getOperand(0));
    } else if (isa<IfOp>(definition)) {
      for (Region &region : definition->getRegions())
        worklist.push_back(region.front().getTerminator()->getOperand(index));
    } else if (auto loop = dyn_cast<LoopOp>(definition)) {
      worklist.push_back(loop.getInits()[index]);
      worklist.push_back(
          loop.getBody().front().getTerminator()->getOperand(index + 1));
    } else if (isa<CallOp, CallFunctionOp>(definition)) {
      StringRef callee =
          definition->getAttrOfType<FlatSymbolRefAttr>("callee").getValue();
      Block &body = symbols.lookup(callee)->getRegion(0).front();
      worklist.push_back(body.getTerminator()->getOperand(index));
    } else {
      roots.push_back(value);
    }
  }
  return roots;
}

SmallVector<Rerouter::Flow> Rerouter::getFlow(OpOperand &use,
                                              ArrayRef<int64_t> path) {
  Operation *user = use.getOwner();
  unsigned index = use.getOperandNumber();
  SmallVector<int64_t, 1> same(path), outer(path), inner(path);
  if (!inner.empty())
    inner.pop_back();
  SmallVector<Flow> flows;
  if (isa<CallOp, CallFunctionOp>(user)) {
    StringRef callee =
        user->getAttrOfType<FlatSymbolRefAttr>("callee").getValue();
    Block &body = symbols.lookup(callee)->getRegion(0).front();
    return {{body.getArgument(index), same}};
  }
  if (isa<ReturnOp>(user)) {
    if (auto method = dyn_cast<MethodOp>(user->getParentOp())) {
      for (CallOp call : hierarchy.getCalls(method))
        flows.push_back({call.getResult(index), same});
      return flows;
    }
    auto function = cast<FunctionOp>(user->getParentOp());
    model.walk([&](CallFunctionOp call) {
      if (call.getCallee() == function.getSymName())
        flows.push_back({call.getResult(index), same});
    });
    return flows;
  }
  if (isa<YieldOp>(user)) {
    Operation *parent = user->getParentOp();
    if (isa<IfOp>(parent))
      return {{parent->getResult(index), same}};
    if (isa<ForkOp>(parent))
      return {{parent->getResult(0), same}};
    if (index == 0)
      return {};
    return {{parent->getResult(index - 1), same},
            {parent->getRegion(0).getArgument(index), same}};
  }
  if (auto loop = dyn_cast<LoopOp>(user)) {
    if (index < 2)
      return {};
    return {{loop.getResult(index - 2), same},
            {loop.getBody().getArgument(index - 1), same}};
  }
  if (isa<ListOp, TupleOp>(user)) {
    outer.push_back(index);
    return {{user->getResult(0), outer}};
  }
  if (isa<DictOp>(user)) {
    outer.push_back(-1);
    return {{user->getResult(0), outer}};
  }
  if (isa<UnpackOp>(user)) {
    for (auto [i, result] : llvm::enumerate(user->getResults()))
      if (path.empty() || path.back() < 0 || path.back() == int64_t(i))
        flows.push_back({result, inner});
    return flows;
  }
  auto op = cast<OperatorOp>(user);
  if (putsIntoContainer(use)) {
    // What another list holds becomes an element, or its elements do.
    bool isElement = use.get().getType() != op.getOperand(0).getType();
    outer = inner;
    outer.push_back(-1);
    if (isElement) {
      outer = same;
      outer.push_back(-1);
    }
    for (Value root : getRoots(op.getOperand(0)))
      flows.push_back({root, outer});
    return flows;
  }
  if (op.getName() == "aten::items") {
    // Pairs of a key and an element.
    inner.append({1, -1});
    return {{op.getResult(0), inner}};
  }
  // Another list with some of the elements, or an element.
  bool givesContainer = use.get().getType() == op.getResult(0).getType();
  if (givesContainer && !path.empty() && !handsOn(op.getName()))
    same.back() = -1;
  bool keeps = handsOn(op.getName()) || givesContainer;
  flows.push_back({op.getResult(0), keeps ? same : inner});
  return flows;
}

Rerouter::Reach Rerouter::getLeafReach(OpOperand &use,
                                       SmallVectorImpl<Use> &found) {
  Use leaf{use.getOwner(), use.getOperandNumber()};
  if (wanted.contains(leaf)) {
    found.push_back(leaf);
    return Wanted;
  }
  if (reading.contains(leaf))
    return Unwanted;
  // A return that no execution comes to may as well return the nop's result.
  return isa<ReturnOp>(leaf.first) ? Unreached : Nothing;
}

unsigned Rerouter::getReach(OpOperand &first, SmallVectorImpl<Use> &found) {
  // A worklist: how far a value flows is the user's choice.
  unsigned reach = Nothing;
  using Item = std::pair<OpOperand *, SmallVector<int64_t, 1>>;
  SmallVector<Item> worklist;
  worklist.emplace_back(&first, SmallVector<int64_t, 1>());
  DenseSet<std::pair<OpOperand *, unsigned>> seen;
  while (!worklist.empty()) {
    auto [use, path] = worklist.pop_back_val();
    if (!seen.insert({use, unsigned(path.size())}).second)
      continue;
    if (!isCarrier(*use)) {
      reach |= getLeafReach(*use, found);
      continue;
    }
    for (Flow &flow : getFlow(*use, path))
      for (OpOperand &next : flow.value.getUses())
        worklist.emplace_back(&next, flow.path);
  }
  return reach;
}

/// Each result keeps its place.
static SmallVector<std::optional<unsigned>> getIdentityMap(unsigned size) {
  SmallVector<std::optional<unsigned>> map;
  for (unsigned i = 0; i != size; ++i)
    map.push_back(i);
  return map;
}

static LogicalResult emitSharedError(Operation *op, MethodOp method) {
  return op->emitError()
         << "'" << method.getSymName()
         << "' is called from several places, so that its signature cannot "
            "change; clone shared modules first [R1]";
}

/// Replaces an if or a loop by one with other operands and one more result, and
/// moves the bodies over.
template <typename OpT>
static OpT rebuildWithResult(OpT op, ValueRange operands, Type added) {
  OpBuilder builder(op);
  SmallVector<Type> types(op.getResultTypes());
  types.push_back(added);
  OperationState state(op.getLoc(), op->getName());
  state.addOperands(operands);
  state.addTypes(types);
  state.addAttributes(op->getAttrs());
  for (unsigned i = 0; i != op->getNumRegions(); ++i)
    state.addRegion()->takeBody(op->getRegion(i));
  auto rebuilt = cast<OpT>(builder.create(state));
  op->replaceAllUsesWith(rebuilt->getResults().drop_back());
  op->erase();
  return rebuilt;
}

IfOp addResult(IfOp op, Type type) {
  return rebuildWithResult(op, op->getOperands(), type);
}

FailureOr<std::pair<Value, Value>> Rerouter::split(OpOperand &use,
                                                   Value value) {
  Operation *user = use.getOwner();
  unsigned index = use.getOperandNumber();
  OpBuilder builder(user);
  // A copy of a list is another object: nobody may change it.
  bool isChanged =
      isa<ListOp, DictOp>(user) &&
      llvm::any_of(user->getUsers(), [](Operation *reader) {
        auto op = dyn_cast<OperatorOp>(reader);
        return isa<CallOp, CallFunctionOp, LoopOp, YieldOp>(reader) ||
               (op && op.hasWrites());
      });
  auto op = dyn_cast<OperatorOp>(user);
  if ((isa<ListOp, TupleOp, DictOp>(user) && !isChanged) ||
      (op && (handsOn(op.getName()) || op.getName() == "prim::TupleIndex"))) {
    builder.setInsertionPointAfter(user);
    Operation *copy = builder.clone(*user);
    copy->setOperand(index, value);
    return std::pair<Value, Value>(user->getResult(0), copy->getResult(0));
  }
  signatureChanged = true;
  if (auto call = dyn_cast<CallOp>(user)) {
    auto method = symbols.lookup<MethodOp>(call.getCallee());
    if (method.isExported() || hierarchy.separateCalls(method).size() != 1)
      return emitSharedError(call, method);
    unsigned added = method.getNumArguments();
    if (failed(method.insertArgument(added, value.getType(),
                                     method.getArgAttrDict(index),
                                     method.getLoc())))
      return failure();
    method.setArgAttr(added, FQATDialect::kArgNameAttr,
                      StringAttr::get(method.getContext(), ""));
    SmallVector<Value> arguments(call.getArguments());
    arguments.push_back(value);
    hierarchy.rebuildCall(call, arguments, call.getResultTypes(),
                          getIdentityMap(call.getNumResults()));
    return std::pair<Value, Value>(method.getArgument(index),
                                   method.getArgument(added));
  }
  if (isa<ReturnOp>(user) && isa<MethodOp>(user->getParentOp())) {
    auto method = cast<MethodOp>(user->getParentOp());
    SmallVector<CallOp> calls = hierarchy.separateCalls(method);
    if (calls.size() != 1 || method.isExported())
      return emitSharedError(user, method);
    unsigned added = method.getNumResults();
    if (failed(method.insertResult(added, value.getType(), {})))
      return failure();
    user->insertOperands(added, {value});
    CallOp rebuilt = hierarchy.rebuildCall(
        calls.front(), calls.front().getArguments(), method.getResultTypes(),
        getIdentityMap(calls.front().getNumResults()));
    return std::pair<Value, Value>(rebuilt.getResult(index),
                                   rebuilt.getResult(added));
  }
  if (auto branch = dyn_cast<IfOp>(user->getParentOp());
      branch && isa<YieldOp>(user)) {
    // The other arm hands on what it has, twice.
    for (Region &region : branch->getRegions()) {
      Operation *yield = region.front().getTerminator();
      Value added = yield == user ? value : yield->getOperand(index);
      yield->insertOperands(yield->getNumOperands(), {added});
    }
    IfOp rebuilt = addResult(branch, branch->getResult(index).getType());
    return std::pair<Value, Value>(rebuilt.getResult(index),
                                   rebuilt.getResults().back());
  }
  return user->emitError()
         << "the quantised region and the tail both read this value, by one "
            "list or loop, so that no out_nop can stand before the tail only "
            "[R1]";
}

LogicalResult Rerouter::reroute(Value from, Value to) {
  SmallVector<std::pair<Value, Value>> worklist = {{from, to}};
  while (!worklist.empty()) {
    auto [oldValue, newValue] = worklist.pop_back_val();
    // In program order, so that what is added has one order.
    SmallVector<OpOperand *> uses;
    for (OpOperand &use : oldValue.getUses())
      uses.push_back(&use);
    llvm::sort(uses, [](OpOperand *a, OpOperand *b) {
      if (a->getOwner() != b->getOwner())
        return isBeforeInText(a->getOwner(), b->getOwner());
      return a->getOperandNumber() < b->getOperandNumber();
    });
    Operation *definition = newValue.getDefiningOp();
    for (OpOperand *use : uses) {
      Operation *user = use->getOwner();
      if (user == definition)
        continue;
      bool isBehind = !definition || isBeforeInText(definition, user);
      if (definition && isBehind)
        isBehind =
            definition->getParentRegion()->isAncestor(user->getParentRegion());
      if (isMetadataUse(*use)) {
        if (isBehind)
          use->set(newValue);
        continue;
      }
      SmallVector<Use> found;
      unsigned reach = getReach(*use, found);
      if (reach == Unreached && isBehind)
        use->set(newValue);
      reach &= ~Unreached;
      if (!(reach & Wanted))
        continue;
      // Through an arm that never runs.
      if (!isBehind && trace.getFramesOf(user->getBlock()).empty())
        continue;
      if (!isBehind)
        return user->emitError()
               << "the value is collected before it is complete, so that no "
                  "out_nop can stand in between [R1]";
      if (reach == Wanted) {
        // All that it becomes is wanted: nothing to split.
        use->set(newValue);
        done.insert_range(found);
        continue;
      }
      // Some want the nop's result and some the value: hand on both.
      FailureOr<std::pair<Value, Value>> both = split(*use, newValue);
      if (failed(both))
        return failure();
      worklist.push_back(*both);
    }
  }
  return success();
}

} // namespace fqat
