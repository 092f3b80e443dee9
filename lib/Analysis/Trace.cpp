//===- Trace.cpp - A symbolic run of the model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Error.h"

#include <algorithm>

using namespace mlir;

namespace fqat {

//===----------------------------------------------------------------------===//
// Anchors
//===----------------------------------------------------------------------===//

llvm::Expected<AnchorSet> AnchorSet::create(ArrayRef<std::string> families,
                                            ArrayRef<std::string> excluded) {
  AnchorSet set;
  if (!families.empty()) {
    set.convs = set.linears = false;
    for (StringRef family : families) {
      if (family == "conv")
        set.convs = true;
      else if (family == "linear")
        set.linears = true;
      else
        return llvm::createStringError("unknown anchors '" + family +
                                       "': there are conv and linear");
    }
  }
  for (const std::string &glob : excluded) {
    auto pattern = InstanceGlob::create(glob);
    if (!pattern)
      return pattern.takeError();
    set.excluded.push_back(std::move(*pattern));
  }
  return set;
}

FailureOr<AnchorSet> AnchorSet::create(Operation *op,
                                       ArrayRef<std::string> families,
                                       ArrayRef<std::string> excluded) {
  auto set = create(families, excluded);
  if (!set)
    return op->emitError() << llvm::toString(set.takeError());
  return std::move(*set);
}

bool AnchorSet::contains(OperatorOp op, StringRef instance) const {
  static const llvm::StringSet<> convNames = {
      "aten::_convolution",     "aten::_convolution_mode",
      "aten::convolution",      "aten::conv1d",
      "aten::conv2d",           "aten::conv3d",
      "aten::conv_transpose1d", "aten::conv_transpose2d",
      "aten::conv_transpose3d"};
  bool isAnchor = (convs && convNames.contains(op.getName())) ||
                  (linears && op.getName() == "aten::linear");
  return isAnchor && llvm::none_of(excluded, [&](const InstanceGlob &glob) {
           return glob.matches(instance);
         });
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

bool MemoryRegion::mayOverlap(const MemoryRegion &other) const {
  if (allocation != other.allocation)
    return false;
  for (auto [a, b] : llvm::zip(parts, other.parts))
    if (a != b)
      return a.first != b.first;
  return true;
}

void AbstractValue::collectLeaves(SmallVectorImpl<Leaf> &result) const {
  llvm::append_range(result, leaves);
  if (!aggregate)
    return;
  // A list can hold itself.
  SmallPtrSet<const Aggregate *, 4> seen = {aggregate.get()};
  auto collect = [&](auto &self, const Aggregate &outer) -> void {
    for (const AbstractValue &element : outer.elements) {
      llvm::append_range(result, element.leaves);
      if (element.aggregate && seen.insert(element.aggregate.get()).second) {
        self(self, *element.aggregate);
        seen.erase(element.aggregate.get());
      }
    }
  };
  collect(collect, *aggregate);
}

SmallVector<unsigned, 2> Read::getEvents() const {
  SmallVector<unsigned, 2> result;
  if (leaf.event != Leaf::None)
    result.push_back(leaf.event);
  for (unsigned writer : writers)
    if (!llvm::is_contained(result, writer))
      result.push_back(writer);
  return result;
}

//===----------------------------------------------------------------------===//
// Asking a trace
//===----------------------------------------------------------------------===//

Trace::BodyIndex::BodyIndex(Block &body) : numValues(body.getNumArguments()) {
  for (Operation &op : body) {
    ops.try_emplace(&op, ops.size(), numValues);
    numValues += op.getNumResults();
  }
}

std::optional<unsigned> Trace::BodyIndex::getNumber(Value value) const {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argument.getArgNumber();
  auto result = cast<OpResult>(value);
  auto it = ops.find(result.getOwner());
  if (it == ops.end())
    return std::nullopt;
  return it->second.second + result.getResultNumber();
}

unsigned Trace::getFrameOf(unsigned frame, Value value) const {
  Block *body = value.getParentBlock();
  while (frames[frame].body != body && frame != 0 &&
         isa<IfOp, LoopOp, ForkOp>(frames[frame].op))
    frame = frames[frame].parent;
  return frame;
}

unsigned Trace::getCaller(unsigned frame) const {
  unsigned caller = frames[frame].parent;
  while (caller != 0 && !frames[caller].getCall())
    caller = frames[caller].parent;
  return caller;
}

const AbstractValue &Trace::getValue(unsigned frame, Value value) const {
  static const AbstractValue nothing;
  const FrameContents &held = contents[getFrameOf(frame, value)];
  std::optional<unsigned> number = held.index->getNumber(value);
  return number && *number < held.values.size() ? held.values[*number]
                                                : nothing;
}

Read Trace::read(const Leaf &leaf, unsigned operand, unsigned before,
                 unsigned frame) const {
  Read result;
  result.operand = operand;
  result.leaf = leaf;
  auto it = writes.find(leaf.region.allocation);
  if (it == writes.end() || !leaf.isTensor)
    return result;
  for (const Write &write : it->second) {
    if (write.event >= before ||
        (leaf.event != Leaf::None && write.event <= leaf.event) ||
        !write.region.mayOverlap(leaf.region))
      continue;
    unsigned writer = events[write.event].frame;
    if (areExclusive(writer, frame))
      continue;
    // An in-place op on this very tensor gives it another name.
    if (write.target && write.target->isSameTensor(result.leaf) &&
        isCertain(writer, frame)) {
      result.leaf.event = write.event;
      result.leaf.index = 0;
      result.writers.clear();
      continue;
    }
    if (result.leaf.event != write.event)
      result.writers.push_back(write.event);
  }
  return result;
}

Read Trace::readAfter(const Leaf &leaf, unsigned at) const {
  if (at >= events.size())
    return read(leaf, 0, at, 0);
  return read(leaf, 0, at + 1, events[at].frame);
}

ArrayRef<unsigned> Trace::getFramesOf(Block *body) const {
  auto it = bodyFrames.find(body);
  if (it == bodyFrames.end())
    return {};
  return it->second;
}

ArrayRef<unsigned> Trace::getInnerFrames(unsigned frame, Operation *op) const {
  auto it = innerFrames.find({frame, op});
  if (it == innerFrames.end())
    return {};
  return it->second;
}

std::pair<unsigned, unsigned> Trace::getSpan(unsigned frame,
                                             Operation *op) const {
  const FrameContents &held = contents[frame];
  auto it = held.index->ops.find(op);
  return it == held.index->ops.end() ? std::pair<unsigned, unsigned>()
                                     : held.spans[it->second.first];
}

bool Trace::areExclusive(unsigned a, unsigned b) const {
  if (frames[a].guard == Leaf::None && frames[b].guard == Leaf::None)
    return false;
  // A frame comes after those around it: climb to the one around both.
  unsigned lastA = a, lastB = b;
  while (a != b) {
    if (a > b) {
      lastA = a;
      a = frames[a].parent;
    } else {
      lastB = b;
      b = frames[b].parent;
    }
  }
  return lastA != a && lastB != b && frames[lastA].op == frames[lastB].op &&
         isa<IfOp>(frames[lastA].op);
}

bool Trace::isAtOrIn(unsigned inner, unsigned outer) const {
  while (inner > outer)
    inner = frames[inner].parent;
  return inner == outer;
}

bool Trace::isCertain(unsigned outer, unsigned inner) const {
  unsigned guard = frames[outer].guard;
  while (guard != Leaf::None) {
    if (!isAtOrIn(inner, guard))
      return false;
    guard = frames[frames[guard].parent].guard;
  }
  return true;
}

llvm::MapVector<StringAttr, SmallVector<unsigned, 1>>
collectCalls(const Trace &trace) {
  llvm::MapVector<StringAttr, SmallVector<unsigned, 1>> calls;
  for (auto [i, frame] : llvm::enumerate(trace.getFrames())) {
    if (!frame.getCall())
      continue;
    // What only tells a number (`len(self.blocks)`) runs no module.
    MethodOp method = frame.method;
    if (method.getNumArguments() == 0 && method.getNumResults() != 0 &&
        frame.begin == frame.end)
      continue;
    StringAttr callee = frame.getInstance();
    const Frame &caller = trace.getFrames()[frame.parent];
    if (callee != caller.getInstance())
      calls[callee].push_back(i);
  }
  return calls;
}

Location getUserLoc(const Trace &trace, unsigned frame, Operation *op) {
  ArrayRef<Frame> frames = trace.getFrames();
  for (Operation *at = op; at; frame = frames[frame].parent) {
    FileLineColLoc position = getPosition(at->getLoc());
    if (position && !isInTorchPackage(position.getFilename().getValue()))
      return at->getLoc();
    at = frames[frame].op;
  }
  return op->getLoc();
}

} // namespace fqat
