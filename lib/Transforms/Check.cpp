//===- Check.cpp - All rules, as diagnostics only -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   error: out_nop @out_nop does not follow its producer directly [R1]
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Regions.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Transforms/Passes.h"

#include "llvm/ADT/DenseSet.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_CHECKPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct Check : public impl::CheckPassBase<Check> {
  using Base::Base;
  void runOnOperation() final;

private:
  void checkLists();
  void checkCalls(SymbolTable &symbols, const Trace &trace);
  void checkNops(SymbolTable &symbols, const Trace &trace);
  void checkOrder(const Trace &trace, const Regions &regions);

  InFlightDiagnostic report(Location loc) {
    ++numFindings;
    foundAny = true;
    return emitError(loc);
  }

  bool foundAny = false;
};
} // namespace

/// What an event is, in the words of its author's model.
static std::string describe(const Trace &trace, unsigned index) {
  const Event &event = trace.getEvents()[index];
  StringRef name;
  if (auto op = dyn_cast<OperatorOp>(event.op))
    name = op.getShortName();
  else
    name = "out_nop";
  MethodOp method = trace.getFrames()[event.frame].method;
  return ("'" + name + "' of '" + displayPath(method.getInstance()) + "'")
      .str();
}

// R2
void Check::checkLists() {
  getOperation().walk([&](OperatorOp op) {
    if (op.getName() == "aten::list")
      report(op.getLoc()) << "list() cannot be trained; append the elements "
                             "one by one instead [R2]";
  });
}

/// Whether an instance is called several times only because the one instance
/// that calls it is: that one is the finding.
static bool isCalledThroughShared(const Trace &trace,
                                  ArrayRef<unsigned> sites) {
  ArrayRef<Frame> frames = trace.getFrames();
  DenseSet<unsigned> parents;
  DenseSet<StringAttr> callers;
  for (unsigned site : sites) {
    unsigned caller = trace.getCaller(site);
    parents.insert(caller);
    callers.insert(frames[caller].getInstance());
  }
  return parents.size() == sites.size() && callers.size() == 1;
}

/// As many of the frames as run in one execution, by their order.
static SmallVector<unsigned> getFramesOfOneRun(const Trace &trace,
                                               ArrayRef<unsigned> sites) {
  SmallVector<unsigned> best;
  for (unsigned first : sites) {
    SmallVector<unsigned> together;
    for (unsigned site : sites)
      if (site == first || (!trace.areExclusive(site, first) &&
                            llvm::none_of(together, [&](unsigned other) {
                              return trace.areExclusive(site, other);
                            })))
        together.push_back(site);
    if (together.size() > best.size())
      best = together;
  }
  return best;
}

// R4, R5
void Check::checkCalls(SymbolTable &symbols, const Trace &trace) {
  ArrayRef<Frame> frames = trace.getFrames();
  for (auto &[symbol, sites] : collectCalls(trace)) {
    SmallVector<unsigned> calls = getFramesOfOneRun(trace, sites);
    ModuleOp instance = lookupInstance(symbols, symbol);
    CallOp first = frames[calls.front()].getCall();
    MethodOp method = frames[calls.front()].method;
    std::string what =
        ("'" + displayPath(symbol) + "' (" + instance.getOriginalName() + ")")
            .str();
    if (isOutNop(instance, nopName)) {
      report(first.getLoc()) << what
                             << " is named as an out_nop, but is not "
                                "known to return its argument as it is "
                                "[R1]";
      continue;
    }
    if (isHusk(symbols, method)) {
      report(first.getLoc()) << what << " does nothing but is called [R5]";
      continue;
    }
    if (calls.size() > 1 && isCalledThroughShared(trace, calls))
      continue;
    if (calls.size() > 1) {
      InFlightDiagnostic diag = report(first.getLoc())
                                << what << " is called " << calls.size()
                                << " times; each module must be called once "
                                   "only [R4]";
      constexpr size_t maxNotes = 3;
      for (unsigned site : ArrayRef(calls).drop_front().take_front(maxNotes))
        diag.attachNote(frames[site].getCall().getLoc())
            << "it is called again here";
      if (calls.size() - 1 > maxNotes)
        diag.attachNote(first.getLoc())
            << "and " << calls.size() - 1 - maxNotes << " times more";
    } else if (method.getMethodName() != "forward") {
      report(first.getLoc())
          << what << " is run by its method '" << method.getMethodName()
          << "' instead of forward [R5]";
    }
  }
}

// R1
void Check::checkNops(SymbolTable &symbols, const Trace &trace) {
  Regions regions(trace);
  ArrayRef<Event> events = trace.getEvents();
  for (const CrossingValue &crossing : findCrossingValues(trace, regions)) {
    Operation *producer = events[crossing.producer].op;
    InFlightDiagnostic diag =
        report(producer->getLoc())
        << "the value of " << describe(trace, crossing.producer)
        << " leaves the quantised region without an out_nop [R1]";
    if (!crossing.readers.empty())
      diag.attachNote(events[crossing.readers.front().first].op->getLoc())
          << describe(trace, crossing.readers.front().first)
          << " reads it here";
    else
      diag.attachNote(trace.getReturn().getLoc()) << "the model returns it";
  }

  DenseMap<std::pair<unsigned, unsigned>, unsigned> nopOf;
  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind != Event::Nop)
      continue;
    auto nop = cast<OutNopOp>(event.op);
    auto reportNop = [&]() {
      return std::move(report(nop.getLoc())
                       << "out_nop '" << displayPath(nop.getInstance())
                       << "' ");
    };
    const Read *read = event.reads.empty() ? nullptr : &event.reads.front();
    unsigned producer = read ? read->getProducer() : Leaf::None;
    if (producer == Leaf::None || !regions.isQuantised(producer)) {
      reportNop() << "stands on a value outside the quantised region [R1]";
      continue;
    }
    for (unsigned k = producer + 1; k != i; ++k) {
      const Event &between = events[k];
      if (!standsBetween(trace, k, producer, i))
        continue;
      InFlightDiagnostic diag = reportNop();
      diag << "does not follow " << describe(trace, producer)
           << " directly [R1]";
      diag.attachNote(between.op->getLoc())
          << describe(trace, k) << " stands in between";
      break;
    }
    if (regions.hasAnchorDownstream(i))
      reportNop() << "feeds the quantised region [R1]";
    if (regions.getUsers(i).empty() && !regions.isReturned(i))
      reportNop() << "is read by nothing [R1]";
    auto [it, isNew] =
        nopOf.try_emplace({read->leaf.event, read->leaf.index}, i);
    if (!isNew)
      reportNop() << "stands on a value that has an out_nop already [R1]";
    auto method =
        symbols.lookup<MethodOp>(joinPath(nop.getInstance(), "forward"));
    if (!method || !mayBeIdentity(symbols, method))
      reportNop() << "does not return its argument as it is [R1]";
  }
  checkOrder(trace, regions);
}

// R3
void Check::checkOrder(const Trace &trace, const Regions &regions) {
  ArrayRef<Event> events = trace.getEvents();
  SmallVector<unsigned> nops;
  for (auto [i, event] : llvm::enumerate(events))
    if (event.kind == Event::Nop)
      nops.push_back(i);
  for (unsigned i = 0; i != events.size(); ++i) {
    if (!regions.isTail(i))
      continue;
    auto last = llvm::find_if(llvm::reverse(nops), [&](unsigned nop) {
      return nop < i || !trace.areExclusiveEvents(nop, i);
    });
    if (last == nops.rend() || *last < i)
      continue;
    InFlightDiagnostic diag =
        report(events[i].op->getLoc())
        << describe(trace, i)
        << " belongs to the tail but runs before the last out_nop [R3]";
    diag.attachNote(events[*last].op->getLoc()) << "the last out_nop is here";
  }
}

void Check::runOnOperation() {
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  SymbolTable symbols(getOperation());
  foundAny = false;
  checkLists();
  FailureOr<Trace> trace = Trace::compute(getOperation(), symbols, *anchorSet);
  if (failed(trace))
    return signalPassFailure();
  checkCalls(symbols, *trace);
  checkNops(symbols, *trace);
  if (foundAny)
    return signalPassFailure();
  markAllAnalysesPreserved();
}

} // namespace fqat
