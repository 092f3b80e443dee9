//===- Regions.cpp - The quantised region and the tail -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Regions.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

#include <map>

using namespace mlir;

namespace fqat {

static bool isBatchNorm(StringRef name) {
  static const llvm::StringSet<> names = {
      "aten::batch_norm", "aten::_batch_norm_impl_index",
      "aten::native_batch_norm", "aten::cudnn_batch_norm",
      "aten::miopen_batch_norm"};
  return names.contains(name);
}

static bool isFusibleActivation(StringRef name) {
  static const llvm::StringSet<> names = {
      "relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu",
      "celu", "selu",  "silu",     "mish",       "gelu",  "hardswish"};
  if (!name.consume_front("aten::"))
    return false;
  name.consume_back("_");
  return names.contains(name);
}

static StringRef getOperatorName(const Event &event) {
  auto op = dyn_cast_or_null<OperatorOp>(event.op);
  return op ? op.getName() : StringRef();
}

Regions::Regions(const Trace &trace) {
  ArrayRef<Event> events = trace.getEvents();
  size_t size = events.size();
  users.resize(size);
  quantised.assign(size, false);
  tail.assign(size, false);
  upstream.assign(size, false);
  downstream.assign(size, false);
  returned.assign(size, false);

  for (auto [i, event] : llvm::enumerate(events)) {
    bool isAnchor = event.kind == Event::Anchor;
    numAnchors += isAnchor;
    upstream[i] = isAnchor;
    if (event.kind == Event::Effect)
      continue;
    auto addSource = [&](unsigned source) {
      upstream[i] |= upstream[source];
      if (users[source].empty() || users[source].back() != i)
        users[source].push_back(i);
    };
    for (const Read &read : event.reads)
      for (unsigned source : read.getEvents())
        addSource(source);
    for (unsigned decider : trace.getFrames()[event.frame].deciders)
      addSource(decider);
  }
  for (size_t i = size; i-- != 0;)
    for (unsigned user : users[i])
      downstream[i] |= events[user].kind == Event::Anchor || downstream[user];
  for (const Read &read : trace.getReturned())
    for (unsigned source : read.getEvents())
      returned[source] = true;

  // What stands behind a nop is what stands before it.
  auto lookThroughNops = [&](unsigned event) {
    while (events[event].kind == Event::Nop && !events[event].reads.empty() &&
           events[event].reads.front().getProducer() != Leaf::None)
      event = events[event].reads.front().getProducer();
    return event;
  };
  auto isOnlyUser = [&](unsigned user, unsigned event) {
    SmallVector<unsigned> worklist = {event};
    while (!worklist.empty()) {
      unsigned producer = worklist.pop_back_val();
      if (returned[producer])
        return false;
      for (unsigned other : users[producer]) {
        if (events[other].kind == Event::Nop)
          worklist.push_back(other);
        else if (other != user)
          return false;
      }
    }
    return true;
  };

  // The anchor of each event in a group; a group grows from its anchor.
  std::vector<unsigned> anchorOf(size, Leaf::None);
  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind == Event::Anchor) {
      anchorOf[i] = i;
      continue;
    }
    StringRef name = getOperatorName(event);
    bool isNorm = isBatchNorm(name), isActivation = isFusibleActivation(name);
    if (!isNorm && !isActivation)
      continue;
    // Where an arm decides which value comes, each must be of a group.
    bool continues = false;
    unsigned anchor = Leaf::None;
    for (const Read &read : event.reads) {
      if (read.operand != 0)
        break;
      continues = read.leaf.event != Leaf::None;
      if (!continues)
        break;
      unsigned source = lookThroughNops(read.leaf.event);
      bool afterAnchor = events[source].kind == Event::Anchor;
      bool afterNorm = isBatchNorm(getOperatorName(events[source]));
      continues = anchorOf[source] != Leaf::None &&
                  (isNorm ? afterAnchor : afterAnchor || afterNorm) &&
                  isOnlyUser(i, source);
      if (!continues)
        break;
      anchor = anchorOf[source];
    }
    if (!continues)
      continue;
    anchorOf[i] = anchor;
    epilogues[anchor].push_back(i);
  }

  for (auto [i, event] : llvm::enumerate(events)) {
    if (event.kind == Event::Nop || event.kind == Event::Effect || !upstream[i])
      continue;
    quantised[i] = anchorOf[i] != Leaf::None || downstream[i];
    tail[i] = !quantised[i];
  }
}

SmallVector<CrossingValue> findCrossingValues(const Trace &trace,
                                              const Regions &regions) {
  ArrayRef<Event> events = trace.getEvents();
  // A value is a tensor under its latest name, and its latest quantised writer.
  using Key = std::tuple<unsigned, unsigned, unsigned>;
  std::map<Key, unsigned> numbers;
  SmallVector<CrossingValue> values;
  auto add = [&](const Read &read) -> CrossingValue * {
    if (!read.leaf.isTensor)
      return nullptr;
    std::optional<unsigned> producer;
    for (unsigned event : read.getEvents())
      if (regions.isQuantised(event))
        producer = event;
    if (!producer)
      return nullptr;
    auto [it, isNew] = numbers.try_emplace(
        {*producer, read.leaf.event, read.leaf.index}, values.size());
    if (isNew)
      values.push_back({read.leaf, *producer, {}, false});
    return &values[it->second];
  };
  for (auto [i, event] : llvm::enumerate(events)) {
    if (!regions.isTail(i))
      continue;
    for (const Read &read : event.reads)
      if (CrossingValue *value = add(read))
        value->readers.push_back({i, read.operand});
  }
  for (const Read &read : trace.getReturned())
    if (CrossingValue *value = add(read))
      value->isReturned = true;
  llvm::stable_sort(values, [](const CrossingValue &a, const CrossingValue &b) {
    return std::tie(a.producer, a.leaf.event, a.leaf.index) <
           std::tie(b.producer, b.leaf.event, b.leaf.index);
  });
  return values;
}

bool standsBetween(const Trace &trace, unsigned between, unsigned producer,
                   unsigned nop) {
  const Event &event = trace.getEvents()[between];
  bool isOwnNop = event.kind == Event::Nop && !event.reads.empty() &&
                  event.reads.front().getProducer() == producer;
  return event.isTensorEvent() && !isOwnNop &&
         !trace.areExclusiveEvents(between, producer) &&
         !trace.areExclusiveEvents(between, nop);
}

} // namespace fqat
