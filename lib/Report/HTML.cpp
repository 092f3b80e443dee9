//===- HTML.cpp - Reports as a page to look at -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The page is lib/Report/page.html; what it shows is put in as JSON. Nothing is
// loaded from anywhere else.
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Report.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/JSON.h"

using namespace llvm;

namespace fqat {

static constexpr StringLiteral kPage =
#include "page.html.inc"
    ;

namespace {

class DataWriter {
public:
  explicit DataWriter(raw_ostream &os) : json(os) {}

  void write(const Report &report);

private:
  void writeGraph(StringRef name, const RunGraph &graph);
  void writePlace(const Place &place);
  void writeModel(const ModelReport &model);

  json::OStream json;
};

} // namespace

/// Rows are arrays, strings that repeat are numbers: a page may have many.
void DataWriter::writeGraph(StringRef name, const RunGraph &graph) {
  StringMap<unsigned> numbers;
  std::vector<StringRef> strings;
  auto number = [&](StringRef text) {
    auto [it, isNew] = numbers.try_emplace(text, strings.size());
    if (isNew)
      strings.push_back(it->first());
    return it->second;
  };
  json.attributeObject(name, [&] {
    json.attributeArray("instances", [&] {
      for (const RunGraph::Instance &instance : graph.instances)
        json.array([&] {
          json.value(json::fixUTF8(instance.path));
          json.value(number(instance.className));
          json.value(instance.parent);
          json.value(instance.numCalls);
        });
    });
    json.attributeArray("nodes", [&] {
      for (const RunGraph::Node &node : graph.nodes)
        json.array([&] {
          json.value(number(node.op));
          json.value(node.instance);
          json.value(static_cast<unsigned>(node.region));
          json.value(unsigned(node.isCrossing) + 2 * node.isReturned);
          json.value(number(node.file));
          json.value(node.line);
          json.array([&] {
            for (unsigned read : node.reads)
              json.value(read);
          });
          json.value(node.featureBits);
          json.value(node.weightBits);
        });
    });
    json.attributeArray("strings", [&] {
      for (StringRef text : strings)
        json.value(json::fixUTF8(text));
    });
  });
}

void DataWriter::writePlace(const Place &place) {
  json.attribute("instance", json::fixUTF8(place.instance));
  json.attribute("file", json::fixUTF8(place.file));
  json.attribute("line", place.line);
  json.attribute("message", json::fixUTF8(place.message));
}

void DataWriter::writeModel(const ModelReport &model) {
  json.object([&] {
    json.attribute("input", json::fixUTF8(model.input));
    json.attribute("output", json::fixUTF8(model.output));
    json.attribute("exitCode", model.exitCode);
    if (model.proved)
      json.attribute("proved", *model.proved);
    json.attributeArray("findings", [&] {
      for (const ReportedFinding &finding : model.findings)
        json.object([&] {
          const RuleInfo &info = getInfo(finding.rule);
          json.attribute("rule", (info.id + " " + info.name).str());
          json.attribute("severity", getName(finding.severity));
          json.attribute("suppressed",
                         finding.suppression != ReportedFinding::None);
          writePlace(finding.main);
          json.attribute("remedy", json::fixUTF8(finding.remedy));
          json.attributeArray("related", [&] {
            for (const Place &place : finding.others)
              json.object([&] { writePlace(place); });
          });
        });
    });
    json.attributeArray("changes", [&] {
      for (const ReportedChange &change : model.changes)
        json.object([&] {
          json.attribute("kind", getName(change.kind));
          writePlace(change.place);
        });
    });
    json.attributeArray("errors", [&] {
      for (const Place &place : model.errors)
        json.object([&] { writePlace(place); });
    });
    if (model.before)
      writeGraph("before", *model.before);
    if (model.after)
      writeGraph("after", *model.after);
  });
}

void DataWriter::write(const Report &report) {
  json.object([&] {
    json.attribute("version", report.version);
    json.attributeArray("regions", [&] {
      for (unsigned i = 0; i != RunGraph::kNumRegions; ++i)
        json.array([&] {
          json.value(getName(static_cast<RunGraph::Region>(i)));
          json.value(getColor(static_cast<RunGraph::Region>(i)));
        });
    });
    json.attributeArray("models", [&] {
      for (const ModelReport &model : report.models)
        writeModel(model);
    });
  });
}

void writeHTML(const Report &report, raw_ostream &os) {
  constexpr StringLiteral mark = "/*DATA*/";
  auto [head, tail] = kPage.split(mark);
  std::string data;
  raw_string_ostream stream(data);
  DataWriter(stream).write(report);
  os << head;
  // A model may be called `</script>`.
  for (char c : data)
    if (c == '<')
      os << "\\u003c";
    else
      os << c;
  os << tail;
}

} // namespace fqat
