//===- Regions.h - The quantised region and the tail -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Which tensor events of a trace the training kit quantises, which belong to
// the tail, and the values that cross from the one into the other.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_ANALYSIS_REGIONS_H
#define FQAT_ANALYSIS_REGIONS_H

#include "fqat/Analysis/Trace.h"

namespace fqat {

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
  /// The epilogue of an anchor: its batch norm and its activation, as far as it
  /// has them, in this order.
  llvm::ArrayRef<unsigned> getEpilogue(unsigned anchor) const {
    auto it = epilogues.find(anchor);
    return it == epilogues.end() ? llvm::ArrayRef<unsigned>()
                                 : llvm::ArrayRef<unsigned>(it->second);
  }

private:
  llvm::DenseMap<unsigned, llvm::SmallVector<unsigned, 2>> epilogues;
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

/// Whether event `between` keeps an out_nop, event `nop`, from standing right
/// behind its producer: it is a tensor event, runs in the same execution, and
/// is no nop of another result of the producer.
bool standsBetween(const Trace &trace, unsigned between, unsigned producer,
                   unsigned nop);

} // namespace fqat

#endif // FQAT_ANALYSIS_REGIONS_H
