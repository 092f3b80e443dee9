//===- UnrollLoops.cpp - Loops that call modules -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %y = fqat.loop %two while %true init(%x) {       // %two is 2
//   ^bb0(%i, %x1):
//     %x2 = fqat.call @conv.forward(%x1)
//     fqat.yield %true, %x2
//   }
//
//   %0 = fqat.call @conv.forward(%x)
//   %y = fqat.call @conv.forward(%0)
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/Support/DeadOps.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/ChangeLog.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_UNROLLLOOPSPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct UnrollLoops : public impl::UnrollLoopsPassBase<UnrollLoops> {
  using Base::Base;
  void runOnOperation() final;
};
} // namespace

/// The loops, outermost first, in whose rounds a module is called or a layer
/// computed.
static llvm::SetVector<Operation *> findLoops(const Trace &trace) {
  ArrayRef<Frame> frames = trace.getFrames();
  std::vector<char> matters(frames.size(), false);
  auto mark = [&](unsigned frame) {
    for (; !matters[frame]; frame = frames[frame].parent) {
      matters[frame] = true;
      if (frame == 0)
        break;
    }
  };
  for (const Event &event : trace.getEvents())
    if (event.kind == Event::Anchor || event.kind == Event::Nop)
      mark(event.frame);
  for (const auto &[symbol, sites] : collectCalls(trace))
    for (unsigned site : sites)
      mark(frames[site].parent);
  llvm::SetVector<Operation *> loops;
  for (auto [i, frame] : llvm::enumerate(frames))
    if (matters[i] && isa_and_nonnull<LoopOp>(frame.op))
      loops.insert(frame.op);
  return loops;
}

/// How many rounds a loop runs each time; nothing where that is not known.
static std::optional<size_t> getNumRounds(const Trace &trace, Operation *loop) {
  std::optional<size_t> result;
  for (unsigned outer : trace.getFramesOf(loop->getBlock())) {
    ArrayRef<unsigned> rounds = trace.getInnerFrames(outer, loop);
    if (llvm::any_of(rounds, [&](unsigned round) {
          return trace.getFrames()[round].guard == round;
        }))
      return std::nullopt;
    if (result && *result != rounds.size())
      return std::nullopt;
    result = rounds.size();
  }
  return result;
}

static void unroll(LoopOp loop, size_t numRounds) {
  OpBuilder builder(loop);
  Block &body = loop.getBody().front();
  SmallVector<Value> carried(loop.getInits());
  for (size_t round = 0; round != numRounds; ++round) {
    IRMapping mapping;
    if (!body.getArgument(0).use_empty())
      mapping.map(body.getArgument(0),
                  ConstantOp::create(builder, stripNames(loop.getLoc()),
                                     builder.getI64IntegerAttr(round))
                      .getResult());
    mapping.map(body.getArguments().drop_front(), carried);
    for (Operation &op : body.without_terminator())
      builder.clone(op, mapping);
    for (auto [value, next] :
         llvm::zip(carried, body.getTerminator()->getOperands().drop_front()))
      value = mapping.lookupOrDefault(next);
  }
  loop->replaceAllUsesWith(carried);
  loop.erase();
}

void UnrollLoops::runOnOperation() {
  bool hasLoops = getOperation()
                      .walk([](LoopOp) { return WalkResult::interrupt(); })
                      .wasInterrupted();
  if (!hasLoops)
    return markAllAnalysesPreserved();
  SymbolTable symbols(getOperation());
  // One at a time: an outer loop multiplies the inner ones.
  bool changed = false;
  while (true) {
    FailureOr<Trace> trace =
        Trace::compute(getOperation(), symbols, AnchorSet());
    if (failed(trace))
      return signalPassFailure();
    bool found = false;
    for (Operation *loop : findLoops(*trace)) {
      std::optional<size_t> rounds = getNumRounds(*trace, loop);
      if (!rounds)
        continue;
      getAnalysis<ChangeLog>().add(
          Change::Loop, loop->getLoc(), getInstanceOf(loop),
          "the loop is written out in " + Twine(*rounds) + " rounds");
      unroll(cast<LoopOp>(loop), *rounds);
      ++numUnrolled;
      found = changed = true;
      break;
    }
    if (!found)
      break;
  }
  if (!changed)
    return markAllAnalysesPreserved();
  eraseDeadOps(getOperation());
}

} // namespace fqat
