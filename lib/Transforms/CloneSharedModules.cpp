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

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/DeadOps.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeLog.h"
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
  /// With `followsDeadArms`, arms count that do not run as the attributes
  /// stand.
  LogicalResult runRound(Hierarchy &hierarchy, bool followsDeadArms,
                         bool &changed);
  LogicalResult checkState(const Trace &trace, StringAttr instance,
                           ArrayRef<unsigned> sites);
  bool splitOwnMethods(Hierarchy &hierarchy, const Trace &trace);
  LogicalResult checkNothingShared(const Trace &trace);
  void apply(Hierarchy &hierarchy, Redirection redirection);
  void cloneBodies(Hierarchy &hierarchy, CallOp call, ModuleOp from,
                   ModuleOp to);
  void eraseDeadMethods(Hierarchy &hierarchy);

  /// The methods that something called at the start, and the copies.
  DenseSet<StringAttr> madeForCalls;
  /// Whether constant conditions left arms out of the model as it came; nothing
  /// before the first round.
  std::optional<bool> hasDeadArms;
};

/// Finds the idle twins that callers own.
class TwinFinder {
public:
  explicit TwinFinder(Hierarchy &hierarchy);

  /// The instances below `caller`, in the order of their slots, that are the
  /// callee itself or an idle copy of it.
  SmallVector<ModuleOp> find(ModuleOp caller, ModuleOp callee);
  void markUsed(ModuleOp twin) {
    for (ModuleOp instance : hierarchy.getSubtree(twin))
      markBusy(instance);
  }

private:
  bool isCopy(ModuleOp a, ModuleOp b);
  void markBusy(ModuleOp instance);
  /// Whether no instance at or below has a method.
  bool isIdle(ModuleOp instance) const { return !busy.contains(instance); }

  Hierarchy &hierarchy;
  /// The instances that have a method, and all above them.
  DenseSet<Operation *> busy;
  /// The idle instances of each class, by their symbols: those below one
  /// instance stand together.
  llvm::StringMap<std::vector<ModuleOp>> idle;
};

} // namespace

static bool comesFirst(ModuleOp a, ModuleOp b) {
  return a.getSymName() < b.getSymName();
}

TwinFinder::TwinFinder(Hierarchy &hierarchy) : hierarchy(hierarchy) {
  for (auto method : hierarchy.getModel().getOps<MethodOp>())
    markBusy(lookupInstance(hierarchy.getSymbols(), method.getInstance()));
  for (auto instance : hierarchy.getModel().getOps<ModuleOp>())
    if (isIdle(instance))
      idle[instance.getOriginalName()].push_back(instance);
  for (auto &[name, instances] : idle)
    llvm::sort(instances, comesFirst);
}

void TwinFinder::markBusy(ModuleOp instance) {
  while (busy.insert(instance).second &&
         instance.getSymName() != FQATDialect::kRootName)
    instance = lookupInstance(hierarchy.getSymbols(),
                              splitPath(instance.getSymName()).first);
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
  // Copies of the callee below the caller.
  StringRef path = caller.getSymName();
  SmallVector<ModuleOp> found;
  if (callee != caller && isAtOrBelow(callee.getSymName(), path))
    found.push_back(callee);
  if (auto it = idle.find(callee.getOriginalName()); it != idle.end()) {
    auto begin = it->second.begin(), end = it->second.end();
    if (path != FQATDialect::kRootName) {
      std::string first = (path + ".").str(), last = (path + "/").str();
      auto isBefore = [](ModuleOp instance, StringRef symbol) {
        return instance.getSymName() < symbol;
      };
      begin = std::lower_bound(begin, end, first, isBefore);
      end = std::lower_bound(begin, end, last, isBefore);
    }
    for (ModuleOp instance : llvm::make_range(begin, end))
      if (instance != callee && isIdle(instance) && isCopy(instance, callee))
        found.push_back(instance);
  }
  // Upper levels first, each in the model's order; what is below a twin is part
  // of it.
  auto getDepth = [](ModuleOp instance) {
    return instance.getSymName().count('.');
  };
  llvm::sort(found, [&](ModuleOp a, ModuleOp b) {
    size_t depthA = getDepth(a), depthB = getDepth(b);
    return depthA != depthB ? depthA < depthB : a->isBeforeInBlock(b);
  });
  SmallVector<ModuleOp> outermost;
  for (ModuleOp instance : found)
    if (llvm::none_of(outermost, [&](ModuleOp other) {
          return isAtOrBelow(instance.getSymName(), other.getSymName());
        }))
      outermost.push_back(instance);
  for (ModuleOp instance : outermost)
    (splitPath(instance.getSymName()).first == path ? direct : deeper)
        .push_back(instance);
  // A child under the same attribute name is the surest twin.
  StringRef name = splitPath(callee.getSymName()).second;
  llvm::stable_sort(direct, [&](ModuleOp a, ModuleOp b) {
    return splitPath(a.getSymName()).second == name &&
           splitPath(b.getSymName()).second != name;
  });
  llvm::append_range(direct, deeper);
  return direct;
}

LogicalResult CloneSharedModules::checkState(const Trace &trace,
                                             StringAttr instance,
                                             ArrayRef<unsigned> sites) {
  if (cloneParams == "share")
    return success();
  for (unsigned site : sites) {
    const Frame &frame = trace.getFrames()[site];
    for (unsigned i = frame.begin; i != frame.end; ++i) {
      const Event &event = trace.getEvents()[i];
      for (const MemoryRegion &region : event.writes) {
        StringAttr slot = trace.getSlot(region.allocation);
        if (slot && isAtOrBelow(slot, instance))
          return event.op->emitError()
                 << "'" << displayPath(instance) << "' is called "
                 << sites.size() << " times and writes its own state '"
                 << slot.getValue()
                 << "': a copy would get a part of the updates only; trace "
                    "the model in eval mode, or use --clone-params=share "
                    "[R4]";
      }
    }
  }
  return success();
}

/// A frozen or inlined file has no modules left: says so, once.
static void warnIfFrozen(const Trace &trace) {
  if (llvm::any_of(trace.getFrames(),
                   [](const Frame &frame) { return frame.getCall(); }))
    return;
  for (const Event &event : trace.getEvents()) {
    if (event.kind != Event::Anchor || event.op->getNumOperands() < 2)
      continue;
    auto weight = event.op->getOperand(1).getDefiningOp<ConstantOp>();
    if (!weight)
      continue;
    event.op->emitWarning()
        << "the weights of this layer are constants, and the model calls no "
           "module: it is frozen or inlined. Layers that were one module "
           "cannot be told from others, and their weights cannot be trained; "
           "fix the file that was there before torch.jit.freeze [R4]";
    return;
  }
}

/// Whether two of these frames run in one execution.
static bool runTogether(const Trace &trace, ArrayRef<unsigned> frames) {
  for (auto [i, a] : llvm::enumerate(frames))
    for (unsigned b : frames.drop_front(i + 1))
      if (!trace.areExclusive(a, b))
        return true;
  return false;
}

/// A method that an instance calls on itself, several times, is copied for each
/// call, so that what it calls in turn has one caller.
bool CloneSharedModules::splitOwnMethods(Hierarchy &hierarchy,
                                         const Trace &trace) {
  llvm::MapVector<Operation *, SmallVector<CallOp>> callsOf;
  for (const Frame &frame : trace.getFrames()) {
    CallOp call = frame.getCall();
    if (!call ||
        trace.getFrames()[frame.parent].getInstance() != frame.getInstance())
      continue;
    SmallVector<CallOp> &calls = callsOf[MethodOp(frame.method)];
    if (!llvm::is_contained(calls, call))
      calls.push_back(call);
  }
  SmallVector<std::pair<CallOp, MethodOp>> work;
  for (auto &[op, calls] : callsOf) {
    auto method = cast<MethodOp>(op);
    if (callsMethods(method))
      for (CallOp call : ArrayRef(calls).drop_front())
        work.push_back({call, method});
  }
  for (auto [call, method] : work) {
    StringRef instance = method.getInstance();
    std::string name = hierarchy.getFreshName(
        lookupInstance(hierarchy.getSymbols(), instance),
        unescapeName(method.getMethodName()), /*numbered=*/true);
    MethodOp copy = hierarchy.cloneMethod(method, instance, instance, name);
    madeForCalls.insert(copy.getSymNameAttr());
    call.setCallee(copy.getSymName());
  }
  return !work.empty();
}

LogicalResult CloneSharedModules::checkNothingShared(const Trace &trace) {
  for (auto &[symbol, sites] : collectCalls(trace)) {
    if (!runTogether(trace, sites))
      continue;
    // The first op that makes one call run again.
    const Frame *frame = &trace.getFrames()[sites.back()];
    while (frame->op && !isa<LoopOp>(frame->op))
      frame = &trace.getFrames()[frame->parent];
    CallOp call = trace.getFrames()[sites.back()].getCall();
    InFlightDiagnostic diag = call.emitError() << "'" << displayPath(symbol)
                                               << "' is called again and again";
    if (frame->op) {
      diag
          << " by a loop of which the number of rounds is not known; make it a "
             "constant, or trace the model [R4]";
      diag.attachNote(frame->op->getLoc()) << "the loop is here";
      return diag;
    }
    diag << " in a way that cannot be taken apart; trace the model [R4]";
    return diag;
  }
  return success();
}

LogicalResult CloneSharedModules::runRound(Hierarchy &hierarchy,
                                           bool followsDeadArms,
                                           bool &changed) {
  SymbolTable &symbols = hierarchy.getSymbols();
  FailureOr<Trace> trace = Trace::compute(hierarchy.getModel(), symbols,
                                          AnchorSet(), followsDeadArms);
  if (failed(trace))
    return failure();
  if (!hasDeadArms) {
    hasDeadArms = trace->hasDeadArms();
    warnIfFrozen(*trace);
  }
  if (splitOwnMethods(hierarchy, *trace)) {
    changed = true;
    return success();
  }
  ArrayRef<Frame> frames = trace->getFrames();
  auto getCaller = [&](unsigned site) {
    return lookupInstance(symbols, frames[frames[site].parent].getInstance());
  };
  auto allCalls = collectCalls(*trace);
  // The calls that run keep their instances.
  for (auto &[symbol, sites] : allCalls)
    llvm::stable_sort(sites, [&](unsigned a, unsigned b) {
      return frames[a].isDead < frames[b].isDead;
    });
  // Whether a frame runs once: all instances on the way to it are called once.
  std::vector<char> runsOnce(frames.size(), true);
  for (auto &[symbol, sites] : allCalls)
    if (runTogether(*trace, sites))
      for (unsigned site : sites)
        runsOnce[site] = false;
  for (unsigned frame = 1; frame != frames.size(); ++frame)
    runsOnce[frame] =
        runsOnce[frame] && runsOnce[frames[frame].parent] &&
        (!isa<LoopOp>(frames[frame].op) ||
         trace->getInnerFrames(frames[frame].parent, frames[frame].op).size() ==
             1);

  TwinFinder twins(hierarchy);
  SmallVector<Redirection> redirections;
  LogicalResult result = success();
  for (auto &[symbol, sites] : allCalls) {
    ModuleOp callee = lookupInstance(symbols, symbol);
    auto isForeign = [&](unsigned site) {
      return !isAtOrBelow(symbol, getCaller(site).getSymName());
    };
    bool isShared = runTogether(*trace, sites);
    if (!isShared && llvm::none_of(sites, isForeign))
      continue;
    if (llvm::any_of(sites, [&](unsigned site) {
          return !runsOnce[frames[site].parent];
        }))
      continue;
    // First the twins, caller by caller.
    llvm::MapVector<Operation *, SmallVector<unsigned>> byCaller;
    for (unsigned site : sites)
      byCaller[getCaller(site)].push_back(site);
    // The callee itself goes to the nearest of its owners.
    StringRef home;
    for (auto &[caller, ownSites] : byCaller) {
      StringRef path = cast<ModuleOp>(caller).getSymName();
      if (isAtOrBelow(symbol, path) &&
          (home.empty() || isAtOrBelow(path, home)))
        home = path;
    }
    DenseMap<unsigned, ModuleOp> chosen;
    for (auto &[caller, ownSites] : byCaller) {
      SmallVector<ModuleOp> candidates =
          twins.find(cast<ModuleOp>(caller), callee);
      if (cast<ModuleOp>(caller).getSymName() != home)
        llvm::erase(candidates, callee);
      for (auto [site, candidate] : llvm::zip(ownSites, candidates)) {
        chosen[site] = candidate;
        if (candidate != callee)
          twins.markUsed(candidate);
      }
    }
    // Then the keeper: the call that the owner makes, or else the first.
    std::optional<unsigned> keeper;
    for (unsigned site : sites)
      if (chosen.lookup(site) == callee && !keeper)
        keeper = site;
    for (unsigned site : sites)
      if (!chosen.contains(site) && !isForeign(site) && !keeper)
        keeper = site;
    for (unsigned site : sites)
      if (!chosen.contains(site) && !keeper)
        keeper = site;
    // Calls that no execution makes beside those that stay may stay too.
    SmallVector<unsigned> staying;
    // One call may run in several arms: what becomes of it is one decision.
    DenseSet<Operation *> decided;
    for (unsigned site : sites)
      if (site == keeper || chosen.lookup(site) == callee)
        decided.insert(frames[site].op);
    for (unsigned site : sites)
      if (decided.contains(frames[site].op))
        staying.push_back(site);
    bool redirects = false;
    for (unsigned site : sites) {
      if (!decided.insert(frames[site].op).second)
        continue;
      if (!chosen.contains(site) && llvm::all_of(staying, [&](unsigned other) {
            return trace->areExclusive(site, other);
          })) {
        staying.push_back(site);
        continue;
      }
      redirects = true;
      redirections.push_back({frames[site].getCall(), callee, getCaller(site),
                              chosen.lookup(site)});
    }
    if (redirects && failed(checkState(*trace, symbol, sites)))
      result = failure();
  }
  if (failed(result))
    return failure();
  for (Redirection redirection : redirections)
    apply(hierarchy, redirection);
  hierarchy.commit();
  changed = !redirections.empty();
  return changed ? success() : checkNothingShared(*trace);
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
    getAnalysis<ChangeLog>().add(
        Change::Twin, redirection.call.getLoc(), target.getSymName(),
        displayPath(redirection.caller.getSymName()) + " calls its own " +
            displayPath(target.getSymName()) + " instead of the shared " +
            displayPath(redirection.callee.getSymName()));
  } else {
    StringRef name = splitPath(redirection.callee.getSymName()).second;
    ModuleOp caller = redirection.caller;
    target = hierarchy.cloneSubtree(
        redirection.callee, caller,
        hierarchy.getFreshName(caller, unescapeName(name), /*numbered=*/true),
        copyTensors);
    ++numCloned;
    getAnalysis<ChangeLog>().add(
        Change::Clone, redirection.call.getLoc(), target.getSymName(),
        displayPath(redirection.callee.getSymName()) + " is cloned to " +
            displayPath(target.getSymName()) + ", for this call alone");
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
  SymbolTable &symbols = hierarchy.getSymbols();
  DenseMap<StringAttr, unsigned> numCalls;
  hierarchy.getModel().walk(
      [&](CallOp call) { ++numCalls[call.getCalleeAttr().getAttr()]; });
  auto isDead = [&](MethodOp method) {
    StringAttr symbol = method.getSymNameAttr();
    return !method.isExported() && numCalls.lookup(symbol) == 0 &&
           madeForCalls.contains(symbol);
  };
  SmallVector<MethodOp> dead;
  for (auto method : hierarchy.getModel().getOps<MethodOp>())
    if (isDead(method))
      dead.push_back(method);
  while (!dead.empty()) {
    MethodOp method = dead.pop_back_val();
    SmallVector<MethodOp> callees;
    method.getBody().walk([&](CallOp call) {
      StringAttr symbol = call.getCalleeAttr().getAttr();
      if (--numCalls[symbol] == 0)
        callees.push_back(symbols.lookup<MethodOp>(symbol));
    });
    hierarchy.eraseMethod(method);
    llvm::copy_if(callees, std::back_inserter(dead), isDead);
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
  hasDeadArms.reset();
  bool changed = true, changedAny = false;
  while (changed) {
    if (failed(runRound(hierarchy, /*followsDeadArms=*/false, changed)))
      return signalPassFailure();
    changedAny |= changed;
  }
  if (*hasDeadArms) {
    // An arm that does not run now may run in training. What cannot be taken
    // apart there is no error.
    ScopedDiagnosticHandler silence(&getContext(),
                                    [](Diagnostic &) { return success(); });
    changed = true;
    while (changed &&
           succeeded(runRound(hierarchy, /*followsDeadArms=*/true, changed)))
      changedAny |= changed;
  }
  if (!changedAny)
    return markAllAnalysesPreserved();
  eraseDeadMethods(hierarchy);
  eraseDeadOps(getOperation());
  FailureOr<Trace> trace =
      Trace::compute(getOperation(), hierarchy.getSymbols(), AnchorSet());
  if (failed(trace))
    return signalPassFailure();
  for (auto &[instance, sites] : collectCalls(*trace))
    if (sites.size() == 1)
      hierarchy.makeForward(MethodOp(trace->getFrames()[sites.front()].method));
}

} // namespace fqat
