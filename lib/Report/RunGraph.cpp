//===- RunGraph.cpp - What one run of a model does, as data -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/RunGraph.h"
#include "fqat/Analysis/Regions.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/GraphWriter.h"

using namespace mlir;

namespace fqat {

static RunGraph::Region getRegion(const Regions &regions, const Event &event,
                                  unsigned index) {
  if (event.kind == Event::Nop)
    return RunGraph::Nop;
  if (event.kind == Event::Anchor)
    return RunGraph::Anchor;
  if (regions.isQuantised(index))
    return RunGraph::Quantised;
  return regions.isTail(index) ? RunGraph::Tail : RunGraph::Plain;
}

FailureOr<RunGraph> RunGraph::create(mlir::ModuleOp model,
                                     const AnchorSet &anchors) {
  SymbolTable symbols(model);
  FailureOr<Trace> trace = Trace::compute(model, symbols, anchors);
  if (failed(trace))
    return failure();
  Regions regions(*trace);
  RunGraph graph;

  auto calls = collectCalls(*trace);
  llvm::StringMap<unsigned> indexOf;
  for (auto instance : model.getOps<ModuleOp>())
    indexOf.try_emplace(instance.getSymName(), indexOf.size());
  for (auto instance : model.getOps<ModuleOp>()) {
    auto *found = calls.find(instance.getSymNameAttr());
    StringRef parent = instance.isRoot()
                           ? instance.getSymName()
                           : splitPath(instance.getSymName()).first;
    graph.instances.push_back(
        {displayPath(instance.getSymName()), instance.getOriginalName().str(),
         indexOf.lookup(parent),
         found == calls.end() ? 0 : unsigned(found->second.size())});
  }

  constexpr unsigned none = ~0u;
  ArrayRef<Event> events = trace->getEvents();
  std::vector<unsigned> nodeOf(events.size(), none);
  for (auto [i, event] : llvm::enumerate(events)) {
    if (!event.isTensorEvent())
      continue;
    nodeOf[i] = graph.nodes.size();
    StringRef instance = trace->getFrames()[event.frame].getInstance();
    if (auto nop = dyn_cast<OutNopOp>(event.op))
      instance = nop.getInstance();
    Node node{getShortName(event.op).str(),
              indexOf.lookup(instance),
              getRegion(regions, event, i),
              /*isCrossing=*/false,
              regions.isReturned(i),
              "",
              0,
              0,
              0,
              {}};
    if (auto bits = event.op->getAttrOfType<BitsAttr>(FQATDialect::kBitsAttr)) {
      node.featureBits = bits.getFeature();
      node.weightBits = bits.getWeight();
    }
    if (FileLineColLoc position =
            getPosition(getUserLoc(*trace, event.frame, event.op))) {
      node.file = position.getFilename().str();
      node.line = position.getLine();
    }
    for (const Read &read : event.reads)
      for (unsigned source : read.getEvents())
        if (nodeOf[source] != none)
          node.reads.push_back(nodeOf[source]);
    llvm::sort(node.reads);
    node.reads.erase(llvm::unique(node.reads), node.reads.end());
    graph.nodes.push_back(std::move(node));
  }
  for (const CrossingValue &crossing : findCrossingValues(*trace, regions))
    graph.nodes[nodeOf[crossing.producer]].isCrossing = true;
  return graph;
}

StringRef getName(RunGraph::Region region) {
  static constexpr StringLiteral names[] = {"plain", "anchor", "quantised",
                                            "out_nop", "tail"};
  return names[region];
}

StringRef getColor(RunGraph::Region region) {
  static constexpr StringLiteral colors[] = {"#c9ced6", "#3b6fd4", "#9dbcf2",
                                             "#2f9e62", "#eda64a"};
  return colors[region];
}

namespace {

class DotWriter {
public:
  DotWriter(const RunGraph &graph, raw_ostream &os) : graph(graph), os(os) {
    children.resize(graph.instances.size());
    members.resize(graph.instances.size());
    isShown.resize(graph.instances.size());
    for (auto [i, instance] : llvm::enumerate(graph.instances))
      if (instance.parent != i)
        children[instance.parent].push_back(i);
    for (auto [i, node] : llvm::enumerate(graph.nodes)) {
      members[node.instance].push_back(i);
      for (unsigned at = node.instance; !isShown[at];
           at = graph.instances[at].parent)
        isShown[at] = true;
    }
  }

  void write(StringRef title) {
    os << "digraph \"" << llvm::DOT::EscapeString(title.str())
       << "\" {\n  rankdir=TB\n  node [shape=box, style=filled, "
          "fontname=\"sans-serif\"]\n";
    for (auto [i, instance] : llvm::enumerate(graph.instances))
      if (instance.parent == i && isShown[i])
        writeInstance(i, 1);
    for (auto [i, node] : llvm::enumerate(graph.nodes))
      for (unsigned source : node.reads) {
        os << "  n" << source << " -> n" << i;
        if (graph.nodes[source].isCrossing && node.region == RunGraph::Tail)
          os << " [color=\"#d03b3b\", penwidth=2]";
        os << '\n';
      }
    os << "}\n";
  }

private:
  void writeInstance(unsigned index, unsigned depth) {
    const RunGraph::Instance &instance = graph.instances[index];
    os.indent(2 * depth) << "subgraph cluster_" << index << " {\n";
    os.indent(2 * depth + 2)
        << "label=\""
        << llvm::DOT::EscapeString(instance.path + " (" + instance.className +
                                   ")")
        << "\"\n";
    for (unsigned node : members[index])
      writeNode(node, depth + 1);
    for (unsigned child : children[index])
      if (isShown[child])
        writeInstance(child, depth + 1);
    os.indent(2 * depth) << "}\n";
  }

  void writeNode(unsigned index, unsigned depth) {
    const RunGraph::Node &node = graph.nodes[index];
    os.indent(2 * depth) << 'n' << index << " [label=\""
                         << llvm::DOT::EscapeString(node.op);
    if (node.featureBits != 0)
      os << "\\nfeature " << node.featureBits;
    if (node.weightBits != 0)
      os << "\\nweight " << node.weightBits;
    os << "\", fillcolor=\"" << getColor(node.region) << "\", tooltip=\""
       << getName(node.region);
    if (!node.file.empty())
      os << ", " << llvm::DOT::EscapeString(node.file) << ':' << node.line;
    os << '"';
    if (node.isCrossing)
      os << ", color=\"#d03b3b\", penwidth=2";
    os << "]\n";
  }

  const RunGraph &graph;
  raw_ostream &os;
  std::vector<SmallVector<unsigned, 4>> children, members;
  /// Whether a node lies in the instance or below.
  std::vector<char> isShown;
};

} // namespace

void writeDot(const RunGraph &graph, StringRef title, raw_ostream &os) {
  DotWriter(graph, os).write(title);
}

} // namespace fqat
