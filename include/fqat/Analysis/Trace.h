//===- Trace.h - A symbolic run of the model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The model's `forward` with every call followed: the frames in which methods
// run and, in the order of their execution, the tensor events, each with what
// it reads. Data, memory and views are followed, so that a write through a view
// reaches later readers of the base.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_ANALYSIS_TRACE_H
#define FQAT_ANALYSIS_TRACE_H

#include "fqat/IR/FQATOps.h"
#include "fqat/Support/Globs.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fqat {

/// Which ops are anchors.
class AnchorSet {
public:
  /// `families` are `conv` and `linear`; none means both. `excluded` are globs
  /// of instances, in which `*` crosses dots; what lies below a match belongs
  /// to it.
  static llvm::Expected<AnchorSet> create(llvm::ArrayRef<std::string> families,
                                          llvm::ArrayRef<std::string> excluded);

  /// The same for a pass: what is wrong with its options is an error at `op`.
  static mlir::FailureOr<AnchorSet>
  create(mlir::Operation *op, llvm::ArrayRef<std::string> families,
         llvm::ArrayRef<std::string> excluded);

  bool contains(OperatorOp op, llvm::StringRef instance) const;

private:
  bool convs = true, linears = true;
  std::vector<InstanceGlob> excluded;
};

/// The memory that a tensor may lie in: an allocation, and the parts taken of
/// it. Two results of one `chunk` share no element.
struct MemoryRegion {
  unsigned allocation;
  /// (event, result) of each split on the way down.
  llvm::SmallVector<std::pair<unsigned, unsigned>, 1> parts;

  bool mayOverlap(const MemoryRegion &other) const;
};

/// One tensor or number, as an event or nothing (inputs, slots, constants) made
/// it.
struct Leaf {
  static constexpr unsigned None = ~0u;

  /// The event that made it, or None.
  unsigned event = None;
  /// Which of the event's tensors it is; without an event, a number of its own
  /// for each input, slot and constant.
  unsigned index = 0;
  bool isTensor = false;
  /// Made of sizes and constants only.
  bool isNumber = false;
  MemoryRegion region;

  bool isSameTensor(const Leaf &other) const {
    return event == other.event && index == other.index;
  }
};

struct Aggregate;

/// What a value holds: leaves (several only where it is not known which), or a
/// list, tuple or dict.
struct AbstractValue {
  llvm::SmallVector<Leaf, 1> leaves;
  /// A list or dict is an object: who changes it changes it for all.
  std::shared_ptr<Aggregate> aggregate;
  /// A number, string or None that is known.
  mlir::Attribute constant;
  /// Whether it is known not to be None.
  bool isNotNone = false;
  /// What TorchScript makes up where no value is ever used.
  bool isUninitialized = false;

  /// All leaves, those of elements included, in order.
  void collectLeaves(llvm::SmallVectorImpl<Leaf> &result) const;
};

/// A list, tuple or dict, and what it holds at the present point of the run.
struct Aggregate {
  std::vector<AbstractValue> elements;
  /// Of a dict: the key of each element, null where it is not known.
  llvm::SmallVector<mlir::Attribute> keys;
  /// Whether these are the elements, in their order. If not, how many there are
  /// is not known, and the one element stands for all.
  bool isExact = true;
  /// The allocation of the object itself, not of what it holds.
  unsigned allocation = 0;
  /// The innermost uncertain frame in which it was made, or None.
  unsigned guard = Leaf::None;
};

/// One run of a body: of a method, a free function, an arm of an `fqat.if`, a
/// round of an `fqat.loop`, a fork.
struct Frame {
  mlir::Block *body = nullptr;
  /// The method that runs; in a free function, the one that called it.
  MethodOp method;
  /// The op that the body runs for; null for the model's entry.
  mlir::Operation *op = nullptr;
  unsigned parent = 0;
  /// The events that happen in it and below it: [begin, end).
  unsigned begin = 0, end = 0;
  /// The innermost frame at or above that does not run each time: an arm, a
  /// round of a loop that may not come to it; or None.
  unsigned guard = Leaf::None;
  /// The events that decide, directly, whether it runs.
  llvm::SmallVector<unsigned, 1> deciders;
  /// Whether sizes, kinds and constants alone decide it.
  bool isDecidedBySizes = true;
  /// Whether it is in an arm that a constant condition leaves out.
  bool isDead = false;
  /// Whether it runs in a free function, where no module can be.
  bool isInFunction = false;

  /// The symbol of the instance whose code runs.
  mlir::StringAttr getInstance() const {
    return MethodOp(method).getInstanceAttr().getAttr();
  }
  /// The call of an instance that it runs for, or null.
  CallOp getCall() const { return llvm::dyn_cast_or_null<CallOp>(op); }
};

/// A read of one tensor: the tensor under its latest name, and the events that
/// wrote its memory since. The last of them is the value's producer.
struct Read {
  unsigned operand;
  Leaf leaf;
  llvm::SmallVector<unsigned, 1> writers;

  /// The event that the value depends on last, or Leaf::None.
  unsigned getProducer() const {
    return writers.empty() ? leaf.event : writers.back();
  }
  /// All events that the value depends on, oldest first.
  llvm::SmallVector<unsigned, 2> getEvents() const;
};

/// An op that makes or writes a tensor, in one frame; or one whose place
/// matters for another reason.
struct Event {
  enum Kind {
    Anchor,
    Nop,
    Other,
    /// Changes or reads a list or a slot, raises, prints: no tensor event, but
    /// not to be moved freely.
    Effect
  } kind = Other;
  mlir::Operation *op = nullptr;
  unsigned frame = 0;
  /// Made of sizes and constants only: no tensor event in the rules' sense.
  bool isNumber = false;
  bool isRandom = false;
  /// Raises, prints, or does what is not known.
  bool hasEffects = false;
  /// Of an effect: raises because of sizes, kinds and constants alone.
  bool isShapeCheck = false;
  /// What it reads, known numbers left out.
  llvm::SmallVector<Read, 2> reads;
  /// What it writes.
  llvm::SmallVector<MemoryRegion, 1> writes;
  /// The objects (lists, slots) that it reads besides tensors.
  llvm::SmallVector<MemoryRegion, 0> touches;

  Event() = default;
  Event(const Event &) = default;
  /// A vector that grows moves its elements only where that cannot throw.
  Event(Event &&) noexcept = default;
  Event &operator=(const Event &) = default;
  Event &operator=(Event &&) noexcept = default;

  /// Whether the rules speak of it.
  bool isTensorEvent() const { return kind != Effect && !isNumber; }
};

/// A symbolic run of the model's entry.
class Trace {
public:
  /// Fails, with a diagnostic, where the model calls itself, has no entry, or
  /// calls what is known at run time only. With `followsDeadArms`, the arm that
  /// a constant condition leaves out is followed too.
  static mlir::FailureOr<Trace> compute(mlir::ModuleOp model,
                                        mlir::SymbolTable &symbols,
                                        const AnchorSet &anchors,
                                        bool followsDeadArms = false);

  /// Whether a constant condition left an arm out.
  bool hasDeadArms() const { return deadArms; }

  llvm::ArrayRef<Frame> getFrames() const { return frames; }
  llvm::ArrayRef<Event> getEvents() const { return events; }
  /// What the model returns, at the end of the run.
  llvm::ArrayRef<Read> getReturned() const { return returned; }
  /// The entry's terminator.
  ReturnOp getReturn() const { return entryReturn; }

  /// What a value holds in a frame: one of the frame's own body, or of a body
  /// around it.
  const AbstractValue &getValue(unsigned frame, mlir::Value value) const;
  /// The read of a leaf as it stands right after event `at`.
  Read readAfter(const Leaf &leaf, unsigned at) const;
  /// The frame of the method that a frame's call stands in: bodies within a
  /// method are the method's.
  unsigned getCaller(unsigned frame) const;
  /// The frames that run a body, in order.
  llvm::ArrayRef<unsigned> getFramesOf(mlir::Block *body) const;
  /// The frames that an op of a frame's body opens, in order: the callee's, the
  /// arms that may run, the rounds.
  llvm::ArrayRef<unsigned> getInnerFrames(unsigned frame,
                                          mlir::Operation *op) const;
  /// The events of one op of a body in one frame: [begin, end).
  std::pair<unsigned, unsigned> getSpan(unsigned frame,
                                        mlir::Operation *op) const;

  /// The slot, or the first of the slots, whose memory an allocation is; null
  /// if it is none's.
  mlir::StringAttr getSlot(unsigned allocation) const {
    return slotsOf.lookup(allocation);
  }

  /// Whether memory is an input's, a slot's or a constant's: what is written to
  /// it is seen after the run.
  bool isExternal(unsigned allocation) const {
    return externalAllocations.contains(allocation);
  }

  /// Whether two frames lie in different arms of one run of an `fqat.if`: no
  /// execution comes to both.
  bool areExclusive(unsigned a, unsigned b) const;
  /// The same for events.
  bool areExclusiveEvents(unsigned a, unsigned b) const {
    return areExclusive(events[a].frame, events[b].frame);
  }
  /// Whether each run that comes to frame `inner` has come through, or will
  /// come to, frame `outer`.
  bool isCertain(unsigned outer, unsigned inner) const;
  /// Whether `inner` is `outer` or lies in it.
  bool isAtOrIn(unsigned inner, unsigned outer) const;

private:
  friend class TraceBuilder;
  bool deadArms = false;

  struct Write {
    unsigned event;
    MemoryRegion region;
    /// The tensor that was written, if it was one tensor.
    std::optional<Leaf> target;
  };

  /// The ops and values of a body, numbered in the order of the text.
  struct BodyIndex {
    explicit BodyIndex(mlir::Block &body);
    /// The number of a value that the body defines; nothing for one that was
    /// not there when the body ran.
    std::optional<unsigned> getNumber(mlir::Value value) const;

    /// Each op's number, and that of its first result.
    llvm::DenseMap<mlir::Operation *, std::pair<unsigned, unsigned>> ops;
    unsigned numValues = 0;
  };
  /// What the values of one frame hold, and the events of its ops, by number.
  struct FrameContents {
    const BodyIndex *index;
    std::vector<AbstractValue> values;
    std::vector<std::pair<unsigned, unsigned>> spans;
  };

  Read read(const Leaf &leaf, unsigned operand, unsigned before,
            unsigned frame) const;
  /// The frame, at or above `frame`, in whose body a value is defined.
  unsigned getFrameOf(unsigned frame, mlir::Value value) const;

  std::vector<Frame> frames;
  std::vector<Event> events;
  llvm::SmallVector<Read> returned;
  ReturnOp entryReturn;
  /// By frame.
  std::vector<FrameContents> contents;
  llvm::DenseMap<mlir::Block *, std::unique_ptr<const BodyIndex>> indices;
  llvm::DenseMap<unsigned, std::vector<Write>> writes;
  llvm::DenseMap<unsigned, mlir::StringAttr> slotsOf;
  llvm::DenseSet<unsigned> externalAllocations;
  llvm::DenseMap<mlir::Block *, llvm::SmallVector<unsigned, 1>> bodyFrames;
  llvm::DenseMap<std::pair<unsigned, mlir::Operation *>,
                 llvm::SmallVector<unsigned, 1>>
      innerFrames;
};

/// The line where an op of a frame stands, or, if that is torch's own, the call
/// in the author's code that comes to it.
mlir::Location getUserLoc(const Trace &trace, unsigned frame,
                          mlir::Operation *op);

/// The frames that calls of each instance open, by its symbol, in the order of
/// the instances' first calls. Calls that an instance makes of its own methods
/// are none.
llvm::MapVector<mlir::StringAttr, llvm::SmallVector<unsigned, 1>>
collectCalls(const Trace &trace);

} // namespace fqat

#endif // FQAT_ANALYSIS_TRACE_H
