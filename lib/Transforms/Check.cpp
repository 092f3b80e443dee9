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

#include "fqat/Analysis/CallTree.h"
#include "fqat/Analysis/Trace.h"
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
  LogicalResult checkCalls(SymbolTable &symbols);
  LogicalResult checkNops(SymbolTable &symbols, const AnchorSet &anchorSet);

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
static bool isCalledThroughShared(const CallTree &tree,
                                  ArrayRef<unsigned> calls) {
  ArrayRef<CallTree::Node> nodes = tree.getNodes();
  DenseSet<unsigned> parents;
  DenseSet<StringAttr> callers;
  for (unsigned call : calls) {
    parents.insert(nodes[call].parent);
    MethodOp caller = nodes[nodes[call].parent].method;
    callers.insert(caller.getInstanceAttr().getAttr());
  }
  return parents.size() == calls.size() && callers.size() == 1;
}

// R4, R5
LogicalResult Check::checkCalls(SymbolTable &symbols) {
  FailureOr<CallTree> tree = CallTree::compute(getOperation(), symbols);
  if (failed(tree))
    return failure();
  ArrayRef<CallTree::Node> nodes = tree->getNodes();
  for (auto &[symbol, calls] : tree->getCalls()) {
    ModuleOp instance = lookupInstance(symbols, symbol);
    CallOp first = nodes[calls.front()].call;
    MethodOp method = nodes[calls.front()].method;
    std::string what =
        ("'" + displayPath(symbol) + "' (" + instance.getOriginalName() + ")")
            .str();
    if (isHusk(symbols, method)) {
      report(first.getLoc()) << what << " does nothing but is called [R5]";
      continue;
    }
    if (calls.size() > 1 && isCalledThroughShared(*tree, calls))
      continue;
    if (calls.size() > 1) {
      InFlightDiagnostic diag = report(first.getLoc())
                                << what << " is called " << calls.size()
                                << " times; each module must be called once "
                                   "only [R4]";
      constexpr size_t maxNotes = 3;
      for (unsigned node : ArrayRef(calls).drop_front().take_front(maxNotes)) {
        CallOp call = nodes[node].call;
        diag.attachNote(call.getLoc()) << "it is called again here";
      }
      if (calls.size() - 1 > maxNotes)
        diag.attachNote(first.getLoc())
            << "and " << calls.size() - 1 - maxNotes << " times more";
    } else if (method.getMethodName() != "forward") {
      report(first.getLoc())
          << what << " is run by its method '" << method.getMethodName()
          << "' instead of forward [R5]";
    }
  }
  return success();
}

// R1, R3
LogicalResult Check::checkNops(SymbolTable &symbols,
                               const AnchorSet &anchorSet) {
  FailureOr<Trace> trace = Trace::compute(getOperation(), symbols, anchorSet);
  if (failed(trace))
    return failure();
  Regions regions(*trace);
  ArrayRef<Event> events = trace->getEvents();
  for (const CrossingValue &crossing : findCrossingValues(*trace, regions)) {
    Operation *producer = events[crossing.producer].op;
    InFlightDiagnostic diag =
        report(producer->getLoc())
        << "the value of " << describe(*trace, crossing.producer)
        << " leaves the quantised region without an out_nop [R1]";
    if (!crossing.readers.empty())
      diag.attachNote(events[crossing.readers.front().first].op->getLoc())
          << describe(*trace, crossing.readers.front().first)
          << " reads it here";
    else
      diag.attachNote(trace->getReturn().getLoc()) << "the model returns it";
  }

  std::optional<unsigned> lastNop;
  DenseMap<std::pair<unsigned, unsigned>, unsigned> nopOf;
  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind != Event::Nop)
      continue;
    lastNop = i;
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
      bool isOwnNop = between.kind == Event::Nop &&
                      between.reads.front().getProducer() == producer;
      if (between.isNumber || isOwnNop)
        continue;
      InFlightDiagnostic diag = reportNop();
      diag << "does not follow " << describe(*trace, producer)
           << " directly [R1]";
      diag.attachNote(between.op->getLoc())
          << describe(*trace, k) << " stands in between";
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
    if (!method || !isIdentity(symbols, method))
      reportNop() << "does not return its argument as it is [R1]";
  }
  for (unsigned i = 0; lastNop && i != *lastNop; ++i) {
    if (!regions.isTail(i))
      continue;
    InFlightDiagnostic diag =
        report(events[i].op->getLoc())
        << describe(*trace, i)
        << " belongs to the tail but runs before the last out_nop [R3]";
    diag.attachNote(events[*lastNop].op->getLoc())
        << "the last out_nop is here";
  }
  return success();
}

void Check::runOnOperation() {
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  SymbolTable symbols(getOperation());
  foundAny = false;
  checkLists();
  if (failed(checkCalls(symbols)) || failed(checkNops(symbols, *anchorSet)))
    return signalPassFailure();
  if (foundAny)
    return signalPassFailure();
  markAllAnalysesPreserved();
}

} // namespace fqat
