//===- InlineFunctions.cpp - Free functions that compute layers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %y = fqat.call_function @"$head"(%x, %w)     // a conv and a sigmoid
//
//   %0 = fqat.op "aten::conv2d"(%x, %w, ...)
//   %y = fqat.op "aten::sigmoid"(%0)
//
// No module can be called in a free function, so no out_nop either. The root's
// own methods are the model's interface: what `forward` calls of them is
// inlined too, because their signatures must stay; so are other instances' own
// methods where tail may move out. Forked code is run in its place.
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Regions.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/DeadOps.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Operators.h"
#include "fqat/Transforms/ChangeLog.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_INLINEFUNCTIONSPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct InlineFunctions : public impl::InlineFunctionsPassBase<InlineFunctions> {
  using Base::Base;
  void runOnOperation() final;
};
} // namespace

/// Whether an event of a function happens in an arm or a round of the function
/// that may not run.
static bool isUncertainIn(const Trace &trace, unsigned event,
                          const Frame &function) {
  unsigned frame = trace.getEvents()[event].frame;
  return trace.getFrames()[frame].guard != function.guard;
}

/// Whether a method takes or gives tensors.
static bool passesTensors(MethodOp method) {
  return llvm::any_of(method.getArgumentTypes(), holdsTensor) ||
         llvm::any_of(method.getResultTypes(), holdsTensor);
}

/// The calls of functions, made by methods, that an out_nop may have to stand
/// in: they compute a layer, or both quantised and tail, or more after a value
/// that crosses, or a value that crosses in an arm. The root's calls of its own
/// methods likewise, and those that call modules. The calls of other instances'
/// own methods, where there is tail beside them: the tail may move out, and
/// there such a call would be another one of the instance.
static llvm::SetVector<Operation *> findCalls(const Trace &trace,
                                              const Regions &regions) {
  ArrayRef<Frame> frames = trace.getFrames();
  llvm::SetVector<Operation *> calls;
  std::vector<char> crosses(trace.getEvents().size(), false);
  for (const CrossingValue &crossing : findCrossingValues(trace, regions))
    crosses[crossing.producer] = true;
  // How many events of the tail come before each event.
  std::vector<unsigned> numTail = {0};
  for (unsigned i = 0; i != trace.getEvents().size(); ++i)
    numTail.push_back(numTail.back() + regions.isTail(i));
  for (auto [i, frame] : llvm::enumerate(frames)) {
    MethodOp method = frame.method;
    bool isOwnMethod = frame.getCall() && method.isExported();
    if (frame.getCall() && !isOwnMethod &&
        frames[frame.parent].getInstance() == frame.getInstance() &&
        passesTensors(method)) {
      const Frame &caller = frames[trace.getCaller(i)];
      if (numTail[caller.end] != numTail[caller.begin])
        calls.insert(frame.op);
      continue;
    }
    if (!(isa_and_nonnull<CallFunctionOp>(frame.op) || isOwnMethod) ||
        frames[frame.parent].isInFunction)
      continue;
    bool hasAnchor = false, hasTail = false, hasQuantised = false;
    bool hasCrossing = false, isBehindCrossing = false;
    for (unsigned e = frame.begin; e != frame.end; ++e) {
      const Event &event = trace.getEvents()[e];
      hasAnchor |= event.kind == Event::Anchor;
      hasTail |= regions.isTail(e);
      hasQuantised |= regions.isQuantised(e);
      isBehindCrossing |= hasCrossing && event.isTensorEvent();
      hasCrossing |= crosses[e];
      isBehindCrossing |= crosses[e] && isUncertainIn(trace, e, frame);
    }
    if ((isOwnMethod && callsMethods(method)) || hasAnchor ||
        (hasTail && hasQuantised) || isBehindCrossing)
      calls.insert(frame.op);
  }
  return calls;
}

static void inlineCall(Operation *call, SymbolTable &symbols) {
  auto callee = call->getAttrOfType<FlatSymbolRefAttr>("callee");
  Block &body = symbols.lookup(callee.getAttr())->getRegion(0).front();
  OpBuilder builder(call);
  IRMapping mapping;
  mapping.map(body.getArguments(), call->getOperands());
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  SmallVector<Value> results;
  for (Value operand : body.getTerminator()->getOperands())
    results.push_back(mapping.lookup(operand));
  call->replaceAllUsesWith(results);
  call->erase();
}

/// Runs forked code where it is forked, if nothing but waits reads its future:
/// what runs beside something else has no place in an order.
static bool inlineFork(ForkOp fork) {
  auto isWait = [](Operation *user) {
    auto op = dyn_cast<OperatorOp>(user);
    return op && op.getName() == "aten::wait";
  };
  Operation *yield = fork.getBody().front().getTerminator();
  if (!llvm::all_of(fork->getUsers(), isWait) || yield->getNumOperands() != 1)
    return false;
  for (Operation *wait : llvm::make_early_inc_range(fork->getUsers())) {
    wait->getResult(0).replaceAllUsesWith(yield->getOperand(0));
    wait->erase();
  }
  for (Operation &op :
       llvm::make_early_inc_range(fork.getBody().front().without_terminator()))
    op.moveBefore(fork);
  fork.erase();
  return true;
}

/// Whether anything is called that `findCalls` looks at: a function, or a
/// method that an instance calls on itself or on the root.
static bool callsOwnCode(mlir::ModuleOp model) {
  return model
      .walk([](Operation *op) {
        if (isa<CallFunctionOp>(op))
          return WalkResult::interrupt();
        auto call = dyn_cast<CallOp>(op);
        if (!call)
          return WalkResult::advance();
        StringRef callee = splitPath(call.getCallee()).first;
        return callee == FQATDialect::kRootName || callee == getInstanceOf(op)
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      })
      .wasInterrupted();
}

void InlineFunctions::runOnOperation() {
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  SymbolTable symbols(getOperation());
  bool changed = false;
  SmallVector<ForkOp> forks;
  getOperation().walk([&](ForkOp fork) { forks.push_back(fork); });
  for (ForkOp fork : forks) {
    Location loc = fork.getLoc();
    std::string instance = getInstanceOf(fork).str();
    if (!inlineFork(fork))
      continue;
    ++numInlined;
    getAnalysis<ChangeLog>().add(Change::Function, loc, instance,
                                 "forked code is written in place");
    changed = true;
  }
  while (callsOwnCode(getOperation())) {
    FailureOr<Trace> trace =
        Trace::compute(getOperation(), symbols, *anchorSet);
    if (failed(trace))
      return signalPassFailure();
    llvm::SetVector<Operation *> calls = findCalls(*trace, Regions(*trace));
    if (calls.empty())
      break;
    // What an inlined function calls is seen by the next round.
    for (Operation *op : calls) {
      getAnalysis<ChangeLog>().add(Change::Function, op->getLoc(),
                                   getInstanceOf(op),
                                   "the called code is written in place");
      inlineCall(op, symbols);
      ++numInlined;
    }
    changed = true;
  }
  if (!changed)
    return markAllAnalysesPreserved();
  eraseDeadOps(getOperation());
}

} // namespace fqat
