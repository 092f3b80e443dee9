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
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeCounts.h"
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

void CanonicalizeEntry::runOnOperation() {
  Hierarchy hierarchy(getOperation());
  SymbolTable &symbols = hierarchy.getSymbols();

  unsigned husks = hierarchy.eraseHuskCalls();
  if (husks != 0)
    eraseDeadOps(getOperation());
  ChangeCounts &counts = getAnalysis<ChangeCounts>();
  counts.husksRemoved += husks;
  numHusks += husks;

  FailureOr<Trace> trace = Trace::compute(getOperation(), symbols, AnchorSet());
  if (failed(trace))
    return signalPassFailure();
  bool changed = husks != 0;
  // An instance that is called more often has no one entry: R4 comes first.
  for (auto &[instance, sites] : collectCalls(*trace)) {
    MethodOp method = trace->getFrames()[sites.front()].method;
    if (sites.size() != 1 || method.getMethodName() == "forward")
      continue;
    hierarchy.makeForward(method);
    changed = true;
    ++numRenamed;
    ++counts.methodsRenamed;
  }
  if (!changed)
    markAllAnalysesPreserved();
}

} // namespace fqat
