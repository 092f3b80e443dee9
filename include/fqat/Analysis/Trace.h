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
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fqat {

/// Whether an operator reads a tensor's size or kind, not its elements.
bool readsMetadataOnly(OperatorOp op);

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
  bool isExcluded(llvm::StringRef instance) const;

  bool convs = true, linears = true;
  std::vector<std::string> excluded;
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

/// What a value holds: leaves (several only where it is not known which), or
/// the elements of a list, tuple or dict.
struct AbstractValue {
  llvm::SmallVector<Leaf, 1> leaves;
  std::vector<AbstractValue> elements;
  bool isAggregate = false;

  /// All leaves, those of elements included, in order.
  void collectLeaves(llvm::SmallVectorImpl<Leaf> &result) const;
};

/// One run of a method.
struct Frame {
  MethodOp method;
  /// The call that it runs for; null for the model's entry.
  CallOp call;
  unsigned parent = 0;
  /// The events that happen in it and below it: [begin, end).
  unsigned begin = 0, end = 0;
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

/// An op that makes or writes a tensor, in one frame.
struct Event {
  enum Kind { Anchor, Nop, Other } kind = Other;
  mlir::Operation *op = nullptr;
  unsigned frame = 0;
  /// Made of sizes and constants only: no tensor event in the rules' sense.
  bool isNumber = false;
  llvm::SmallVector<Read, 2> reads;
  /// What it writes.
  llvm::SmallVector<MemoryRegion, 1> writes;
};

/// A symbolic run of the model's entry.
class Trace {
public:
  /// Fails, with a diagnostic, where the model calls itself or has no entry.
  static mlir::FailureOr<Trace> compute(mlir::ModuleOp model,
                                        mlir::SymbolTable &symbols,
                                        const AnchorSet &anchors);

  llvm::ArrayRef<Frame> getFrames() const { return frames; }
  llvm::ArrayRef<Event> getEvents() const { return events; }
  /// What the model returns, at the end of the run.
  llvm::ArrayRef<Read> getReturned() const { return returned; }
  /// The entry's terminator.
  ReturnOp getReturn() const { return entryReturn; }

  /// What a value holds in a frame.
  const AbstractValue &getValue(unsigned frame, mlir::Value value) const;
  /// The read of a leaf as it stands right after event `at`.
  Read readAfter(const Leaf &leaf, unsigned at) const;
  /// The frames of a method, in order.
  llvm::ArrayRef<unsigned> getFramesOf(MethodOp method) const;
  /// The frame that a call made in a frame opened, or None.
  std::optional<unsigned> getCallee(unsigned frame, CallOp call) const;
  /// The events of one op of a body in one frame: [begin, end).
  std::pair<unsigned, unsigned> getSpan(unsigned frame,
                                        mlir::Operation *op) const;

private:
  friend class TraceBuilder;

  struct Write {
    unsigned event;
    MemoryRegion region;
    /// The tensor that was written, if it was one tensor.
    std::optional<Leaf> target;
  };

  Read read(const Leaf &leaf, unsigned operand, unsigned before) const;

  std::vector<Frame> frames;
  std::vector<Event> events;
  llvm::SmallVector<Read> returned;
  ReturnOp entryReturn;
  llvm::DenseMap<std::pair<unsigned, mlir::Value>, AbstractValue> values;
  llvm::DenseMap<unsigned, std::vector<Write>> writes;
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<unsigned, 1>>
      methodFrames;
  llvm::DenseMap<std::pair<unsigned, mlir::Operation *>,
                 std::pair<unsigned, unsigned>>
      spans;
  llvm::DenseMap<std::pair<unsigned, mlir::Operation *>, unsigned> callees;
};

/// The quantised region, the tail and the groups of a trace.
class Regions {
public:
  explicit Regions(const Trace &trace);

  bool isQuantised(unsigned event) const { return quantised[event]; }
  bool isTail(unsigned event) const { return tail[event]; }
  /// An anchor lies upstream, or the event is one.
  bool hasAnchorUpstream(unsigned event) const { return upstream[event]; }
  bool hasAnchorDownstream(unsigned event) const { return downstream[event]; }
  /// The events that read what an event made.
  llvm::ArrayRef<unsigned> getUsers(unsigned event) const {
    return users[event];
  }
  bool isReturned(unsigned event) const { return returned[event]; }
  unsigned getNumAnchors() const { return numAnchors; }

private:
  std::vector<llvm::SmallVector<unsigned, 2>> users;
  std::vector<char> quantised, tail, upstream, downstream, returned;
  unsigned numAnchors = 0;
};

/// A tensor of the quantised region that the tail reads or the model returns,
/// without an out_nop in between.
struct CrossingValue {
  /// The tensor, under its latest name, and the event that wrote it last.
  Leaf leaf;
  unsigned producer;
  /// The reads of the tail: event and operand.
  llvm::SmallVector<std::pair<unsigned, unsigned>> readers;
  /// Whether the model returns it.
  bool isReturned = false;
};

/// The crossing values that have no out_nop, in the order of their producers.
llvm::SmallVector<CrossingValue> findCrossingValues(const Trace &trace,
                                                    const Regions &regions);

} // namespace fqat

#endif // FQAT_ANALYSIS_TRACE_H
