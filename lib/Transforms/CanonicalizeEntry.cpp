//===- CanonicalizeEntry.cpp - R5: entry methods and husks -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   fqat.call @act.forward() : () -> ()          // a husk: goes
//   %y = fqat.call @conv.forward2(%x)            // becomes @conv.forward
//   %n = fqat.call @blocks.__len__()             // becomes fqat.constant 3
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/DeadOps.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeLog.h"
#include "fqat/Transforms/Passes.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_CANONICALIZEENTRYPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct CanonicalizeEntry
    : public impl::CanonicalizeEntryPassBase<CanonicalizeEntry> {
  void runOnOperation() final;
};
} // namespace

/// Puts the number in the place of a call that only tells one, as
/// `len(self.blocks)` does: it would count as a run of the module.
static bool foldConstantCalls(SymbolTable &symbols, mlir::ModuleOp model) {
  SmallVector<std::pair<CallOp, ConstantOp>> found;
  model.walk([&](CallOp call) {
    auto method = symbols.lookup<MethodOp>(call.getCallee());
    if (method.getNumArguments() != 0 || method.getNumResults() != 1)
      return;
    Operation *result =
        method.getBody().front().getTerminator()->getOperand(0).getDefiningOp();
    if (auto constant = dyn_cast_or_null<ConstantOp>(result);
        constant && isa<IntegerAttr, StringAttr>(constant.getValue()) &&
        llvm::hasNItems(method.getBody().front(), 2))
      found.push_back({call, constant});
  });
  for (auto [call, constant] : found) {
    OpBuilder builder(call);
    Operation *copy = builder.clone(*constant);
    copy->setLoc(call.getLoc());
    call.replaceAllUsesWith(copy->getResults());
    call.erase();
  }
  return !found.empty();
}

void CanonicalizeEntry::runOnOperation() {
  Hierarchy hierarchy(getOperation());
  SymbolTable &symbols = hierarchy.getSymbols();

  ChangeLog &log = getAnalysis<ChangeLog>();
  unsigned husks = hierarchy.eraseHuskCalls([&](CallOp call, MethodOp husk) {
    log.add(Change::Husk, call.getLoc(), husk.getInstance(),
            "the call of " + displayPath(husk.getInstance()) +
                ", which does nothing, is dropped");
  });
  bool changed = foldConstantCalls(symbols, getOperation()) || husks != 0;
  if (changed)
    eraseDeadOps(getOperation());
  numHusks += husks;

  FailureOr<Trace> trace = Trace::compute(getOperation(), symbols, AnchorSet());
  if (failed(trace))
    return signalPassFailure();
  // An instance that is called more often has no one entry: R4 comes first.
  for (auto &[instance, sites] : collectCalls(*trace)) {
    MethodOp method = trace->getFrames()[sites.front()].method;
    if (sites.size() != 1 || method.getMethodName() == "forward")
      continue;
    log.add(Change::Rename, trace->getFrames()[sites.front()].op->getLoc(),
            method.getInstance(),
            "'" + method.getMethodName() + "' of " +
                displayPath(method.getInstance()) + " becomes its forward");
    hierarchy.makeForward(method);
    changed = true;
    ++numRenamed;
  }
  if (!changed)
    markAllAnalysesPreserved();
}

} // namespace fqat
