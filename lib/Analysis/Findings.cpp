//===- Findings.cpp - What in a model breaks the rules -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One cause is one finding: an activation that 57 blocks share is one, with the
// 57 calls as its places.
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Findings.h"
#include "fqat/Analysis/Regions.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Model.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace fqat {
namespace {

class Collector {
public:
  Collector(mlir::ModuleOp model, SymbolTable &symbols, const Trace &trace,
            StringRef nopName)
      : model(model), symbols(symbols), trace(trace), regions(trace),
        nopName(nopName) {}

  std::vector<Finding> run() {
    checkCalls();
    checkLists();
    checkCrossingValues();
    checkNops();
    checkOrder();
    llvm::stable_sort(findings, [](const Finding &a, const Finding &b) {
      return a.rule < b.rule;
    });
    return std::move(findings);
  }

private:
  void checkCalls();
  void checkLists();
  void checkCrossingValues();
  void checkNops();
  void checkNop(unsigned index,
                DenseMap<std::pair<unsigned, unsigned>, unsigned> &nopOf);
  void checkOrder();
  void reportShared(StringAttr symbol, ArrayRef<unsigned> calls);

  Finding &report(Rule rule, StringRef kind, Party main, std::string remedy) {
    findings.push_back({rule,
                        Severity::Error,
                        kind,
                        std::move(main),
                        std::move(remedy),
                        {},
                        {}});
    return findings.back();
  }

  std::string name(StringRef symbol) const;
  std::string getClass(StringRef symbol) const {
    ModuleOp instance = lookupInstance(symbols, symbol);
    return instance ? instance.getOriginalName().str() : std::string();
  }
  StringRef getAuthor(unsigned frame) const;
  std::string describe(unsigned event) const;
  Party makeCallParty(unsigned frame, const Twine &message) const;
  Party makeEventParty(unsigned event, const Twine &message) const;

  mlir::ModuleOp model;
  SymbolTable &symbols;
  const Trace &trace;
  Regions regions;
  StringRef nopName;
  std::vector<Finding> findings;
  /// By the classes of the caller and the callee, and the attribute.
  llvm::StringMap<size_t> repeatedCalls;
};

} // namespace

unsigned Finding::getNumShown() const {
  // "And 1 more" takes as much room as the one.
  constexpr unsigned maxShown = 2;
  return others.size() <= maxShown + 1 ? others.size() : maxShown;
}

/// The instance and its class: `model.0.act (SiLU)`.
std::string Collector::name(StringRef symbol) const {
  return displayPath(symbol) + " (" + getClass(symbol) + ")";
}

/// The names in a path that Python code spells, the last first.
static void addWords(StringRef path, SmallVectorImpl<std::string> &words) {
  while (!path.empty() && path != "$") {
    auto [parent, component] = splitPath(path);
    std::string word = unescapeName(component);
    if (!word.empty() && !llvm::isDigit(word.front()))
      words.push_back(std::move(word));
    path = parent;
  }
}

/// The instance whose code runs in a frame, as its author sees it: where one
/// object is shared, the block that calls it, not the one that holds it.
StringRef Collector::getAuthor(unsigned frame) const {
  ArrayRef<Frame> frames = trace.getFrames();
  while (frames[frame].op) {
    unsigned caller = trace.getCaller(frame);
    if (caller == frame ||
        isAtOrBelow(frames[frame].getInstance(), frames[caller].getInstance()))
      break;
    frame = caller;
  }
  return frames[frame].getInstance();
}

/// What an event is, in the words of its author's model.
std::string Collector::describe(unsigned index) const {
  const Event &event = trace.getEvents()[index];
  if (auto nop = dyn_cast<OutNopOp>(event.op))
    return name(nop.getInstance());
  return ("'" + getShortName(event.op) + "' in " + name(getAuthor(event.frame)))
      .str();
}

Party Collector::makeCallParty(unsigned frame, const Twine &message) const {
  const Frame &callee = trace.getFrames()[frame];
  Party party{getUserLoc(trace, callee.parent, callee.op),
              trace.getFrames()[trace.getCaller(frame)].getInstance().str(),
              message.str(),
              {}};
  addWords(callee.getInstance(), party.words);
  return party;
}

Party Collector::makeEventParty(unsigned index, const Twine &message) const {
  const Event &event = trace.getEvents()[index];
  StringRef instance = getAuthor(event.frame);
  Party party{getUserLoc(trace, event.frame, event.op),
              instance.str(),
              message.str(),
              {}};
  if (auto nop = dyn_cast<OutNopOp>(event.op)) {
    addWords(nop.getInstance(), party.words);
    return party;
  }
  if (auto op = dyn_cast<OperatorOp>(event.op)) {
    party.words.push_back(op.getShortName().str());
    // Of an in-place form Python may spell the other.
    party.words.push_back(op.getShortName().trim('_').str());
  }
  addWords(trace.getFrames()[event.frame].getInstance(), party.words);
  addWords(instance, party.words);
  return party;
}

// R2
void Collector::checkLists() {
  model.walk([&](OperatorOp op) {
    if (op.getName() != "aten::list")
      return;
    StringRef instance = getInstanceOf(op);
    report(Rule::NoList, "list",
           {op.getLoc(),
            instance.str(),
            (instance.empty() ? "a function" : name(instance)) +
                " copies a list by list()",
            {"list"}},
           "append the elements one by one: x = []; x.append(a); x.append(b)");
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

/// "57 Conv blocks", "2 Conv and 1 Head blocks".
static std::string countClasses(ArrayRef<std::string> classes) {
  llvm::MapVector<StringRef, unsigned> counts;
  for (const std::string &name : classes)
    ++counts[name];
  std::vector<std::string> parts;
  for (auto &[name, count] : counts)
    parts.push_back((Twine(count) + " " + name).str());
  std::string last = parts.back();
  parts.pop_back();
  return (parts.empty() ? last : llvm::join(parts, ", ") + " and " + last) +
         " blocks";
}

/// Adds a place, unless it says what one says already: a loop comes to a place
/// several times.
static void addParty(Finding &finding, Party party) {
  if (llvm::none_of(finding.others, [&](const Party &other) {
        return other.loc == party.loc && other.message == party.message;
      }))
    finding.others.push_back(std::move(party));
}

// R4: an instance that one run calls several times.
void Collector::reportShared(StringAttr symbol, ArrayRef<unsigned> calls) {
  ArrayRef<Frame> frames = trace.getFrames();
  ModuleOp instance = lookupInstance(symbols, symbol);
  StringRef className = instance.getOriginalName();
  // What the module is called as an attribute; a number says nothing.
  std::string attribute = unescapeName(splitPath(instance.getSymName()).second);

  llvm::SetVector<StringAttr> callers;
  for (unsigned site : calls)
    callers.insert(frames[trace.getCaller(site)].getInstance());
  SmallVector<std::string> classes;
  bool allHoldIt = true;
  for (StringAttr caller : callers) {
    classes.push_back(getClass(caller));
    // Tracing leaves a twin without methods where a block holds the object.
    ModuleOp held = lookupInstance(symbols, joinPath(caller, attribute));
    allHoldIt &= held && held.getOriginalName() == className;
  }

  std::string message =
      name(symbol) + " is called " + llvm::utostr(calls.size()) + " times";
  std::string remedy;
  StringRef kind;
  if (callers.size() == 1) {
    kind = "repeated-call";
    message += " by " + name(callers.front());
    remedy = "make a module for each call in __init__";
    if (!attribute.empty() && !llvm::isDigit(attribute.front()))
      remedy += ": self." + attribute + ", self." + attribute +
                (llvm::isDigit(attribute.back()) ? "_1" : "1") + ", ...";
  } else if (allHoldIt) {
    kind = "shared-module";
    message += ": one " + className.str() + " object is shared by " +
               countClasses(classes);
    if (llvm::all_equal(classes))
      message += " (a class attribute?)";
    remedy = "give each block its own in __init__: self." + attribute + " = " +
             (instance.getClassName().contains("torch.nn.") ? "nn." : "") +
             className.str() + "(...)";
  } else {
    kind = "threaded-module";
    message += ": one " + className.str() + " object is handed to " +
               countClasses(classes);
    remedy = "make one for each in __init__ instead of handing one " +
             className.str() + " around";
  }
  Party main = makeCallParty(calls.front(), message);
  main.instance = symbol.str();
  // Blocks of one class that do the same are one finding: one line of Python.
  if (kind == "repeated-call") {
    std::string key = classes.front() + "/" + className.str() + "/" + attribute;
    auto [it, isNew] = repeatedCalls.try_emplace(key, findings.size());
    if (!isNew) {
      main.message = "so is " + name(symbol);
      addParty(findings[it->second], std::move(main));
      return;
    }
  }
  Finding &finding =
      report(Rule::CalledOnce, kind, std::move(main), std::move(remedy));
  for (unsigned site : calls.drop_front()) {
    StringAttr caller = frames[trace.getCaller(site)].getInstance();
    addParty(finding,
             makeCallParty(site, callers.size() == 1
                                     ? "it is called again here"
                                     : "it is called by " + name(caller)));
  }
}

// R4, R5
void Collector::checkCalls() {
  ArrayRef<Frame> frames = trace.getFrames();
  // Instances of one class that break R5 in one way are one finding.
  llvm::StringMap<size_t> groups;
  auto addToGroup = [&](StringRef kind, StringRef method, StringAttr symbol,
                        unsigned site, const Twine &message, StringRef remedy) {
    std::string key = (kind + "/" + method + "/" + getClass(symbol)).str();
    auto [it, isNew] = groups.try_emplace(key, findings.size());
    Party party = makeCallParty(site, message);
    party.instance = symbol.str();
    if (isNew) {
      report(Rule::RealForward, kind, std::move(party), remedy.str());
      return;
    }
    party.message = "so is " + name(symbol);
    findings[it->second].others.push_back(std::move(party));
  };
  for (auto &[symbol, sites] : collectCalls(trace)) {
    SmallVector<unsigned> calls = getFramesOfOneRun(trace, sites);
    unsigned first = calls.front();
    ModuleOp instance = lookupInstance(symbols, symbol);
    MethodOp method = frames[first].method;
    if (isOutNop(instance, nopName)) {
      bool isLost = isHusk(symbols, method);
      Party main = makeCallParty(
          first, name(symbol) +
                     (isLost ? " is called, but tracing lost on which value: "
                               "it leaves nothing of a call that returns its "
                               "argument"
                             : " is named as an out_nop, but is not known to "
                               "return its argument as it is"));
      main.instance = symbol.str();
      report(Rule::NopAdjacency, isLost ? "lost-nop" : "no-identity",
             std::move(main),
             isLost ? "script it before the model is traced: self." +
                          splitPath(symbol).second.str() +
                          " = torch.jit.script(" + getClass(symbol) + "())"
                    : "its forward(self, x) must do nothing but return x");
      continue;
    }
    if (isHusk(symbols, method)) {
      addToGroup("husk", "", symbol, first,
                 name(symbol) + " is called, but does nothing",
                 "leave the module out of forward; fqat-opt drops the call");
      continue;
    }
    if (calls.size() > 1) {
      if (!isCalledThroughShared(trace, calls))
        reportShared(symbol, calls);
    } else if (method.getMethodName() != "forward") {
      addToGroup("other-method", method.getMethodName(), symbol, first,
                 name(symbol) + " is run by its method '" +
                     method.getMethodName() + "' instead of forward",
                 "define forward in the class, instead of setting "
                 "self.forward");
    }
  }
}

// R1
void Collector::checkCrossingValues() {
  for (const CrossingValue &crossing : findCrossingValues(trace, regions)) {
    Finding &finding =
        report(Rule::NopAdjacency, "no-nop",
               makeEventParty(crossing.producer,
                              "the value of " + describe(crossing.producer) +
                                  " leaves the quantised region without an "
                                  "out_nop"),
               "call an OutNop of its own on it before anything else: x = "
               "self." +
                   nopName.str() + "(x)");
    if (auto op = dyn_cast<OperatorOp>(trace.getEvents()[crossing.producer].op))
      finding.detail = op.getShortName().str();
    SmallVector<unsigned> readers;
    for (auto [event, operand] : crossing.readers)
      if (readers.empty() || readers.back() != event)
        readers.push_back(event);
    for (unsigned reader : readers)
      addParty(finding, makeEventParty(reader, describe(reader) + " reads it"));
    if (crossing.isReturned)
      finding.others.push_back({trace.getReturn().getLoc(),
                                FQATDialect::kRootName.str(),
                                "the model returns it",
                                {"return"}});
  }
}

// R1, and R4 of the nops
void Collector::checkNops() {
  DenseMap<std::pair<unsigned, unsigned>, unsigned> nopOf;
  llvm::MapVector<StringRef, SmallVector<unsigned, 1>> uses;
  for (auto [i, event] : llvm::enumerate(trace.getEvents())) {
    auto nop = dyn_cast<OutNopOp>(event.op);
    if (event.kind != Event::Nop || !nop)
      continue;
    checkNop(i, nopOf);
    SmallVector<unsigned, 1> &others = uses[nop.getInstance()];
    if (llvm::none_of(others, [&](unsigned other) {
          return trace.areExclusiveEvents(i, other);
        }))
      others.push_back(i);
  }
  for (auto &[symbol, events] : uses) {
    if (events.size() < 2)
      continue;
    Party main = makeEventParty(
        events.front(), name(symbol) + " is called " + Twine(events.size()) +
                            " times; the kit takes that of an out_nop");
    main.instance = symbol.str();
    Finding &finding =
        report(Rule::CalledOnce, "shared-nop", std::move(main),
               "nothing need change; --nop-instances=each gives each value an "
               "out_nop of its own");
    finding.severity = Severity::Note;
    for (unsigned event : ArrayRef(events).drop_front())
      addParty(finding, makeEventParty(event, "it is called again here"));
  }
}

void Collector::checkNop(
    unsigned index, DenseMap<std::pair<unsigned, unsigned>, unsigned> &nopOf) {
  const Event &event = trace.getEvents()[index];
  auto nop = cast<OutNopOp>(event.op);
  auto reportNop = [&](StringRef kind, const Twine &message,
                       StringRef remedy) -> Finding & {
    Party main = makeEventParty(index, name(nop.getInstance()) + " " + message);
    main.instance = nop.getInstance().str();
    return report(Rule::NopAdjacency, kind, std::move(main), remedy.str());
  };
  const Read *read = event.reads.empty() ? nullptr : &event.reads.front();
  unsigned producer = read ? read->getProducer() : Leaf::None;
  if (producer == Leaf::None || !regions.isQuantised(producer)) {
    reportNop("stray-nop", "stands on a value outside the quantised region",
              "call it on the value of the output conv, before the tail");
    return;
  }
  for (unsigned k = producer + 1; k != index; ++k) {
    if (!standsBetween(trace, k, producer, index))
      continue;
    Finding &finding = reportNop(
        "late-nop", "does not follow " + describe(producer) + " directly",
        "call it right after the conv: conv1, nop1, conv2, nop2");
    finding.others.push_back(
        makeEventParty(k, describe(k) + " stands in between"));
    break;
  }
  if (regions.hasAnchorDownstream(index))
    reportNop("inner-nop", "feeds the quantised region",
              "let the next layer read the conv's own value");
  if (regions.getUsers(index).empty() && !regions.isReturned(index))
    reportNop("unread-nop", "is read by nothing", "remove the call");
  if (!nopOf.try_emplace({read->leaf.event, read->leaf.index}, index).second)
    reportNop("second-nop", "stands on a value that has an out_nop already",
              "remove the call");
  auto method =
      symbols.lookup<MethodOp>(joinPath(nop.getInstance(), "forward"));
  if (!method || !mayBeIdentity(symbols, method))
    reportNop("no-identity", "does not return its argument as it is",
              "its forward(self, x) must do nothing but return x");
}

// R3
void Collector::checkOrder() {
  ArrayRef<Event> events = trace.getEvents();
  SmallVector<unsigned> nops;
  for (auto [i, event] : llvm::enumerate(events))
    if (event.kind == Event::Nop)
      nops.push_back(i);
  // The ops of one instance are one finding.
  DenseMap<StringAttr, size_t> findingOf;
  for (unsigned i = 0; i != events.size(); ++i) {
    if (!regions.isTail(i))
      continue;
    auto last = llvm::find_if(llvm::reverse(nops), [&](unsigned nop) {
      return nop < i || !trace.areExclusiveEvents(nop, i);
    });
    if (last == nops.rend() || *last < i)
      continue;
    StringAttr instance = trace.getFrames()[events[i].frame].getInstance();
    auto [it, isNew] = findingOf.try_emplace(instance, findings.size());
    if (!isNew) {
      findings[it->second].others.push_back(
          makeEventParty(i, "so does " + describe(i)));
      continue;
    }
    Finding &finding =
        report(Rule::NopsBeforeTail, "early-tail",
               makeEventParty(i, describe(i) + " belongs to the tail but runs "
                                               "before the last out_nop"),
               "call the out_nops of all outputs first, and what computes with "
               "them only then");
    finding.others.push_back(makeEventParty(*last, "the last out_nop is here"));
  }
}

FailureOr<std::vector<Finding>> findBrokenRules(mlir::ModuleOp model,
                                                const AnchorSet &anchors,
                                                StringRef nopName) {
  SymbolTable symbols(model);
  FailureOr<Trace> trace = Trace::compute(model, symbols, anchors);
  if (failed(trace))
    return failure();
  return Collector(model, symbols, *trace, nopName).run();
}

} // namespace fqat
