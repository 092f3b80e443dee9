//===- CloneSharedModules.cpp - R4: each module called once -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %1 = fqat.call @conv.forward(%0)
//   %2 = fqat.call @conv.forward1(%1)            // becomes @conv1.forward
//
// Each round takes the instances that are called more than once from frames
// that run once: copying the outermost shared module makes the sharing inside
// it go away. What is left after a round is seen by the next.
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/CallTree.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeCounts.h"
#include "fqat/Transforms/Passes.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_CLONESHAREDMODULESPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {

/// A call that is to go to another instance.
struct Redirection {
  CallOp call;
  ModuleOp callee;
  ModuleOp caller;
  /// The idle twin to use; null to make a copy.
  ModuleOp twin;
};

struct CloneSharedModules
    : public impl::CloneSharedModulesPassBase<CloneSharedModules> {
  using Base::Base;
  void runOnOperation() final;

private:
  LogicalResult runRound(Hierarchy &hierarchy, bool &changed);
  LogicalResult checkState(Hierarchy &hierarchy, ModuleOp instance,
                           size_t numCalls);
  void apply(Hierarchy &hierarchy, Redirection redirection);
  void cloneBodies(Hierarchy &hierarchy, CallOp call, ModuleOp from,
                   ModuleOp to);
  void eraseDeadMethods(Hierarchy &hierarchy);

  /// The methods that something called at the start, and the copies.
  DenseSet<StringAttr> madeForCalls;
};

/// Finds the idle twins that callers own.
class TwinFinder {
public:
  TwinFinder(Hierarchy &hierarchy, const CallTree &tree);

  /// The instances below `caller`, in the order of their slots, that are the
  /// callee itself or an idle copy of it.
  SmallVector<ModuleOp> find(ModuleOp caller, ModuleOp callee);
  void markUsed(ModuleOp twin) {
    for (ModuleOp instance : hierarchy.getSubtree(twin))
      busy.insert(instance);
  }

private:
  bool isCopy(ModuleOp a, ModuleOp b);
  /// Whether no instance at or below has a method.
  bool isIdle(ModuleOp instance);

  Hierarchy &hierarchy;
  DenseSet<Operation *> busy;
};

} // namespace

TwinFinder::TwinFinder(Hierarchy &hierarchy, const CallTree &tree)
    : hierarchy(hierarchy) {
  for (auto method : hierarchy.getModel().getOps<MethodOp>())
    busy.insert(lookupInstance(hierarchy.getSymbols(), method.getInstance()));
}

bool TwinFinder::isIdle(ModuleOp instance) {
  return llvm::none_of(hierarchy.getSubtree(instance),
                       [&](ModuleOp member) { return busy.contains(member); });
}

bool TwinFinder::isCopy(ModuleOp a, ModuleOp b) {
  SmallVector<std::pair<ModuleOp, ModuleOp>> worklist = {{a, b}};
  while (!worklist.empty()) {
    auto [x, y] = worklist.pop_back_val();
    if (x.getOriginalName() != y.getOriginalName() ||
        x.getSlots() != y.getSlots())
      return false;
    for (auto [mx, my] :
         llvm::zip(hierarchy.getMembers(x), hierarchy.getMembers(y))) {
      if (mx->getName() != my->getName())
        return false;
      if (auto child = dyn_cast<ModuleOp>(mx))
        worklist.push_back({child, cast<ModuleOp>(my)});
      else if (getSlotValue(mx) != getSlotValue(my))
        return false;
    }
  }
  return true;
}

SmallVector<ModuleOp> TwinFinder::find(ModuleOp caller, ModuleOp callee) {
  SmallVector<ModuleOp> direct, deeper;
  // Parents come first, and what is below a twin is part of it.
  SmallVector<ModuleOp> found;
  SmallVector<ModuleOp> subtree = hierarchy.getSubtree(caller);
  for (ModuleOp instance : ArrayRef(subtree).drop_front()) {
    if (llvm::any_of(found, [&](ModuleOp other) {
          return isAtOrBelow(instance.getSymName(), other.getSymName());
        }))
      continue;
    if (instance != callee && (!isIdle(instance) || !isCopy(instance, callee)))
      continue;
    found.push_back(instance);
    bool isChild =
        splitPath(instance.getSymName()).first == caller.getSymName();
    (isChild ? direct : deeper).push_back(instance);
  }
  // A child under the same attribute name is the surest twin.
  StringRef name = splitPath(callee.getSymName()).second;
  llvm::stable_sort(direct, [&](ModuleOp a, ModuleOp b) {
    return splitPath(a.getSymName()).second == name &&
           splitPath(b.getSymName()).second != name;
  });
  llvm::append_range(direct, deeper);
  return direct;
}

/// The slot that an op writes through its operand `index`, views in the same
/// body looked through; null if there is none.
static GetOp getWrittenSlot(OperatorOp op, int64_t index) {
  Value value = op.getOperand(index);
  while (auto view = value.getDefiningOp<OperatorOp>()) {
    int64_t aliased =
        view.getAliasedOperand(cast<OpResult>(value).getResultNumber());
    if (aliased < 0)
      return {};
    value = view.getOperand(aliased);
  }
  return value.getDefiningOp<GetOp>();
}

LogicalResult CloneSharedModules::checkState(Hierarchy &hierarchy,
                                             ModuleOp instance,
                                             size_t numCalls) {
  if (cloneParams == "share")
    return success();
  LogicalResult result = success();
  for (ModuleOp member : hierarchy.getSubtree(instance)) {
    for (MethodOp method : hierarchy.getMethods(member)) {
      method.getBody().walk([&](OperatorOp op) {
        auto writes = op.getWrites();
        if (!writes || failed(result))
          return;
        for (int64_t index : *writes) {
          GetOp slot = getWrittenSlot(op, index);
          if (!slot || failed(result))
            continue;
          result = op.emitError()
                   << "'" << displayPath(instance.getSymName())
                   << "' is called " << numCalls << " times and writes its own "
                   << "state '" << slot.getSlot()
                   << "': a copy would get a part of the updates only; trace "
                      "the model in eval mode, or use --clone-params=share "
                      "[R4]";
        }
      });
    }
  }
  return result;
}

LogicalResult CloneSharedModules::runRound(Hierarchy &hierarchy,
                                           bool &changed) {
  SymbolTable &symbols = hierarchy.getSymbols();
  FailureOr<CallTree> tree = CallTree::compute(hierarchy.getModel(), symbols);
  if (failed(tree))
    return failure();
  ArrayRef<CallTree::Node> nodes = tree->getNodes();
  auto getInstance = [&](unsigned node) {
    return lookupInstance(symbols, MethodOp(nodes[node].method).getInstance());
  };
  // Whether a node runs once: all instances on the way to it are called once.
  std::vector<char> runsOnce(nodes.size(), true);
  for (unsigned node = 1; node != nodes.size(); ++node) {
    StringAttr symbol =
        MethodOp(nodes[node].method).getInstanceAttr().getAttr();
    runsOnce[node] = runsOnce[nodes[node].parent] &&
                     tree->getCalls().lookup(symbol).size() == 1;
  }

  TwinFinder twins(hierarchy, *tree);
  SmallVector<Redirection> redirections;
  LogicalResult result = success();
  for (auto &[symbol, sites] : tree->getCalls()) {
    ModuleOp callee = lookupInstance(symbols, symbol);
    auto isForeign = [&](unsigned site) {
      return !isAtOrBelow(symbol, getInstance(nodes[site].parent).getSymName());
    };
    bool isShared = sites.size() > 1;
    if (!isShared && !isForeign(sites.front()))
      continue;
    if (llvm::any_of(sites, [&](unsigned site) {
          return !runsOnce[nodes[site].parent];
        }))
      continue;
    // First the twins, caller by caller.
    llvm::MapVector<Operation *, SmallVector<unsigned>> byCaller;
    for (unsigned site : sites)
      byCaller[getInstance(nodes[site].parent)].push_back(site);
    DenseMap<unsigned, ModuleOp> chosen;
    for (auto &[caller, ownSites] : byCaller) {
      SmallVector<ModuleOp> candidates =
          twins.find(cast<ModuleOp>(caller), callee);
      for (auto [site, candidate] : llvm::zip(ownSites, candidates)) {
        chosen[site] = candidate;
        if (candidate != callee)
          twins.markUsed(candidate);
      }
    }
    // Then the keeper: the call that the owner makes, or else the first.
    std::optional<unsigned> keeper;
    for (unsigned site : sites) {
      bool isFree = !chosen.contains(site) || chosen[site] == callee;
      if (isFree && !isForeign(site) && !keeper)
        keeper = site;
    }
    for (unsigned site : sites)
      if (!chosen.contains(site) && !keeper)
        keeper = site;
    bool redirects = false;
    for (unsigned site : sites) {
      if (site == keeper || chosen.lookup(site) == callee)
        continue;
      redirects = true;
      redirections.push_back({nodes[site].call, callee,
                              getInstance(nodes[site].parent),
                              chosen.lookup(site)});
    }
    if (redirects && failed(checkState(hierarchy, callee, sites.size())))
      result = failure();
  }
  if (failed(result))
    return failure();
  for (Redirection redirection : redirections)
    apply(hierarchy, redirection);
  changed = !redirections.empty();
  return success();
}

void CloneSharedModules::apply(Hierarchy &hierarchy, Redirection redirection) {
  bool copyTensors = cloneParams == "copy";
  ModuleOp target = redirection.twin;
  if (target) {
    if (copyTensors) {
      DenseMap<Attribute, Attribute> copies;
      for (ModuleOp instance : hierarchy.getSubtree(target))
        hierarchy.untie(instance, copies);
    }
    ++numTwins;
    ++getAnalysis<ChangeCounts>().twinsUsed;
  } else {
    StringRef name = splitPath(redirection.callee.getSymName()).second;
    ModuleOp caller = redirection.caller;
    target = hierarchy.cloneSubtree(
        redirection.callee, caller,
        hierarchy.getFreshName(caller, unescapeName(name), /*numbered=*/true),
        copyTensors);
    ++numCloned;
    ++getAnalysis<ChangeCounts>().instancesCloned;
  }
  cloneBodies(hierarchy, redirection.call, redirection.callee, target);
}

void CloneSharedModules::cloneBodies(Hierarchy &hierarchy, CallOp call,
                                     ModuleOp from, ModuleOp to) {
  // The call's own method, and what it calls at or below `from`, are copied,
  // each once. The first method of an instance becomes its forward.
  SymbolTable &symbols = hierarchy.getSymbols();
  std::string fromPath = from.getSymName().str();
  std::string toPath = to.getSymName().str();
  DenseMap<StringAttr, MethodOp> copies;
  SmallVector<CallOp> worklist = {call};
  while (!worklist.empty()) {
    CallOp current = worklist.pop_back_val();
    // Inside a copy, the callee's symbol is already the copy's.
    std::string symbol = current.getCallee().str();
    if (current != call)
      symbol = rebasePath(symbol, toPath, fromPath);
    auto original = symbols.lookup<MethodOp>(symbol);
    MethodOp &copy = copies[original.getSymNameAttr()];
    if (!copy) {
      auto instance = lookupInstance(
          symbols, rebasePath(original.getInstance(), fromPath, toPath));
      std::string name = hierarchy.getFreshName(instance, "forward",
                                                /*numbered=*/false);
      copy = hierarchy.cloneMethod(original, fromPath, toPath, name);
      madeForCalls.insert(copy.getSymNameAttr());
      SmallVector<CallOp> inner;
      copy.getBody().walk([&](CallOp nested) {
        if (isAtOrBelow(nested.getCallee(), toPath))
          inner.push_back(nested);
      });
      for (CallOp nested : llvm::reverse(inner))
        worklist.push_back(nested);
    }
    current.setCallee(copy.getSymName());
  }
}

void CloneSharedModules::eraseDeadMethods(Hierarchy &hierarchy) {
  // A method that lost its last call lost its meaning: tracing made it for that
  // call. Those that nothing called in the first place stay.
  bool changed = true;
  while (changed) {
    changed = false;
    DenseSet<StringAttr> called;
    hierarchy.getModel().walk(
        [&](CallOp call) { called.insert(call.getCalleeAttr().getAttr()); });
    SmallVector<MethodOp> dead;
    for (auto method : hierarchy.getModel().getOps<MethodOp>())
      if (!method.isExported() && !called.contains(method.getSymNameAttr()) &&
          madeForCalls.contains(method.getSymNameAttr()))
        dead.push_back(method);
    for (MethodOp method : dead) {
      hierarchy.eraseMethod(method);
      changed = true;
    }
  }
}

void CloneSharedModules::runOnOperation() {
  if (cloneParams != "copy" && cloneParams != "share") {
    getOperation().emitError() << "clone-params must be copy or share";
    return signalPassFailure();
  }
  Hierarchy hierarchy(getOperation());
  madeForCalls.clear();
  getOperation().walk([&](CallOp call) {
    madeForCalls.insert(call.getCalleeAttr().getAttr());
  });
  bool changed = true, changedAny = false;
  while (changed) {
    if (failed(runRound(hierarchy, changed)))
      return signalPassFailure();
    changedAny |= changed;
  }
  if (!changedAny)
    return markAllAnalysesPreserved();
  eraseDeadMethods(hierarchy);
  FailureOr<CallTree> tree =
      CallTree::compute(getOperation(), hierarchy.getSymbols());
  if (failed(tree))
    return signalPassFailure();
  for (auto &[instance, calls] : tree->getCalls())
    if (calls.size() == 1)
      hierarchy.makeForward(tree->getNodes()[calls.front()].method);
}

} // namespace fqat
