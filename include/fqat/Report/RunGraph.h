//===- RunGraph.h - What one run of a model does, as data -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_REPORT_RUNGRAPH_H
#define FQAT_REPORT_RUNGRAPH_H

#include "fqat/Analysis/Trace.h"

#include <string>
#include <vector>

namespace fqat {

/// The instances of a model and the tensor events of one run, for drawing. It
/// holds no IR.
struct RunGraph {
  enum Region {
    /// Reads no layer's value, and no layer reads its.
    Plain,
    Anchor,
    /// In the quantised region.
    Quantised,
    Nop,
    Tail,
  };
  static constexpr unsigned kNumRegions = Tail + 1;

  struct Instance {
    /// As `named_modules()` spells it; `<root>` for the model.
    std::string path;
    std::string className;
    /// Index of the instance that holds it; the root's own index for the root.
    unsigned parent;
    /// How often one run calls it, all arms counted.
    unsigned numCalls;
  };

  struct Node {
    std::string op;
    /// Index of the instance whose code does it.
    unsigned instance;
    Region region;
    /// Whether its value leaves the quantised region without an out_nop.
    bool isCrossing;
    /// Whether the model returns its value.
    bool isReturned;
    std::string file;
    unsigned line;
    /// Bit widths of a layer; 0 is not given.
    unsigned featureBits, weightBits;
    /// The nodes that it depends on, in their order.
    std::vector<unsigned> reads;
  };

  std::vector<Instance> instances;
  /// In the order in which they run.
  std::vector<Node> nodes;

  /// Fails, with a diagnostic, where the model cannot be followed.
  static mlir::FailureOr<RunGraph> create(mlir::ModuleOp model,
                                          const AnchorSet &anchors);
};

/// `anchor`, `tail`, ...
llvm::StringRef getName(RunGraph::Region region);

/// The colour of a region, `#rrggbb`: the same in every drawing.
llvm::StringRef getColor(RunGraph::Region region);

/// Writes a graph for Graphviz: instances are clusters, nodes have the colour
/// of their region.
void writeDot(const RunGraph &graph, llvm::StringRef title,
              llvm::raw_ostream &os);

} // namespace fqat

#endif // FQAT_REPORT_RUNGRAPH_H
