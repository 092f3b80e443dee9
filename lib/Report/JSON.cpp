//===- JSON.cpp - Reports as JSON -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Report.h"

#include "llvm/Support/JSON.h"

using namespace llvm;

namespace fqat {

/// A value, or null where it is not known.
static void writeOrNull(json::OStream &json, StringRef name, bool isKnown,
                        const json::Value &value) {
  json.attribute(name, isKnown ? value : json::Value(nullptr));
}

static void writePlace(json::OStream &json, const Place &place) {
  json.attribute("instance", place.instance);
  writeOrNull(json, "file", !place.file.empty(), json::fixUTF8(place.file));
  writeOrNull(json, "line", place.line != 0, place.line);
  json.attribute("message", json::fixUTF8(place.message));
}

static void writeFinding(json::OStream &json, StringRef model,
                         const ReportedFinding &finding) {
  json.object([&] {
    json.attribute("model", model);
    json.attribute("rule", getInfo(finding.rule).id);
    json.attribute("severity", getName(finding.severity));
    json.attribute("kind", finding.kind);
    writePlace(json, finding.main);
    json.attribute("remedy", finding.remedy);
    json.attribute("fingerprint", finding.fingerprint);
    writeOrNull(json, "suppressed",
                finding.suppression != ReportedFinding::None,
                finding.suppression == ReportedFinding::Ignored ? "ignore"
                                                                : "baseline");
    json.attributeArray("related", [&] {
      for (const Place &place : finding.others)
        json.object([&] { writePlace(json, place); });
    });
  });
}

static void writeModel(json::OStream &json, const ModelReport &model) {
  json.object([&] {
    json.attribute("input", json::fixUTF8(model.input));
    writeOrNull(json, "output", !model.output.empty(),
                json::fixUTF8(model.output));
    json.attribute("exit_code", model.exitCode);
    json.attribute("anchors", model.anchors);
    json.attribute("crossing_values", model.crossingValues);
    writeOrNull(json, "proved", model.proved.has_value(),
                model.proved.value_or(false));
    json.attributeArray("errors", [&] {
      for (const Place &place : model.errors)
        json.object([&] { writePlace(json, place); });
    });
  });
}

/// Whether every model that was to be proved is; nothing if none was.
static std::optional<bool> areProved(const Report &report) {
  std::optional<bool> all;
  for (const ModelReport &model : report.models)
    if (model.proved)
      all = all.value_or(true) && *model.proved;
  return all;
}

void writeJSON(const Report &report, raw_ostream &os) {
  json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attribute("version", 1);
    json.attribute("tool", "fqat-opt " + report.version);
    json.attributeArray("models", [&] {
      for (const ModelReport &model : report.models)
        writeModel(json, model);
    });
    json.attributeArray("findings", [&] {
      for (const ModelReport &model : report.models)
        for (const ReportedFinding &finding : model.findings)
          writeFinding(json, json::fixUTF8(model.input), finding);
    });
    json.attributeArray("changes", [&] {
      for (const ModelReport &model : report.models)
        for (const ReportedChange &change : model.changes)
          json.object([&] {
            json.attribute("model", json::fixUTF8(model.input));
            json.attribute("kind", getName(change.kind));
            writePlace(json, change.place);
          });
    });
    json.attributeArray("layers", [&] {
      for (const ModelReport &model : report.models)
        for (const ReportedLayer &layer : model.layers)
          json.object([&] {
            json.attribute("model", json::fixUTF8(model.input));
            writePlace(json, layer.place);
            writeOrNull(json, "feature", layer.feature != 0, layer.feature);
            writeOrNull(json, "weight", layer.weight != 0, layer.weight);
          });
    });
    std::optional<bool> proved = areProved(report);
    writeOrNull(json, "proved", proved.has_value(), proved.value_or(false));
  });
  os << '\n';
}

} // namespace fqat
