//===- SARIF.cpp - Reports as SARIF 2.1.0 -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The Static Analysis Results Interchange Format, an OASIS standard: what
// code-review tools read to show a finding on its line.
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Report.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"

using namespace llvm;

namespace fqat {
namespace {

class Writer {
public:
  Writer(const Report &report, StringRef folder, raw_ostream &os)
      : report(report), folder(folder), json(os, /*IndentSize=*/2) {}

  void write();

private:
  void writeText(StringRef name, StringRef text) {
    json.attributeObject(name,
                         [&] { json.attribute("text", json::fixUTF8(text)); });
  }
  void writeRules();
  void writeInvocation();
  void writeLocation(const ModelReport &model, const Place &place,
                     std::optional<unsigned> id);
  void writeFinding(const ModelReport &model, const ReportedFinding &finding);
  void writeChange(const ModelReport &model, const ReportedChange &change);
  std::string makeURI(const ModelReport &model, StringRef file);

  const Report &report;
  StringRef folder;
  json::OStream json;
};

} // namespace

/// A path as a URI: relative below the folder, else absolute.
std::string Writer::makeURI(const ModelReport &model, StringRef file) {
  SmallString<128> path(file.empty() ? StringRef(model.input) : file);
  // A line of the code in the file stands in the file.
  if (StringRef(path).starts_with("code/"))
    path = SmallString<128>(model.input + ("/" + file).str());
  sys::path::remove_dots(path, /*remove_dot_dot=*/true);
  StringRef shown = path;
  bool isAbsolute = sys::path::is_absolute(path);
  if (isAbsolute && shown.starts_with(folder) &&
      shown.drop_front(folder.size()).starts_with("/")) {
    shown = shown.drop_front(folder.size() + 1);
    isAbsolute = false;
  }
  std::string uri = isAbsolute ? "file://" : "";
  for (char c : shown) {
    if (isAlnum(c) || StringRef("-._~/").contains(c))
      uri += c;
    else
      uri += "%" + utohexstr(static_cast<unsigned char>(c),
                             /*LowerCase=*/false, /*Width=*/2);
  }
  return uri;
}

void Writer::writeRules() {
  json.attributeArray("rules", [&] {
    for (const RuleInfo &info : getRules())
      json.object([&] {
        json.attribute("id", info.getTag());
        json.attribute("name", info.name);
        writeText("shortDescription", info.wants);
        writeText("fullDescription", info.why);
        writeText("help", explain(info));
        json.attributeObject("defaultConfiguration",
                             [&] { json.attribute("level", "error"); });
      });
    for (unsigned i = 0; i != Change::kNumKinds; ++i)
      json.object([&] {
        auto kind = static_cast<Change::Kind>(i);
        json.attribute("id", "fqat-change-" + getName(kind).str());
        json.attribute("name", getName(kind));
        writeText("shortDescription", getDescription(kind));
        json.attributeObject("defaultConfiguration",
                             [&] { json.attribute("level", "note"); });
      });
  });
}

void Writer::writeLocation(const ModelReport &model, const Place &place,
                           std::optional<unsigned> id) {
  json.object([&] {
    if (id)
      json.attribute("id", *id);
    json.attributeObject("physicalLocation", [&] {
      json.attributeObject("artifactLocation", [&] {
        json.attribute("uri", makeURI(model, place.file));
      });
      if (!place.file.empty() && place.line != 0)
        json.attributeObject("region", [&] {
          json.attribute("startLine", place.line);
          if (place.column != 0)
            json.attribute("startColumn", place.column);
        });
    });
    if (!place.instance.empty())
      json.attributeArray("logicalLocations", [&] {
        json.object([&] {
          json.attribute("fullyQualifiedName", place.instance);
          json.attribute("kind", "object");
        });
      });
    if (id)
      writeText("message", place.message);
  });
}

void Writer::writeFinding(const ModelReport &model,
                          const ReportedFinding &finding) {
  json.object([&] {
    const RuleInfo &info = getInfo(finding.rule);
    json.attribute("ruleId", info.getTag());
    json.attribute("ruleIndex", static_cast<unsigned>(finding.rule));
    json.attribute("level", getName(finding.severity));
    writeText("message",
              finding.main.message + ". To mend it: " + finding.remedy + ".");
    json.attributeArray(
        "locations", [&] { writeLocation(model, finding.main, std::nullopt); });
    if (!finding.others.empty())
      json.attributeArray("relatedLocations", [&] {
        for (auto [i, place] : enumerate(finding.others))
          writeLocation(model, place, i + 1);
      });
    json.attributeObject("partialFingerprints", [&] {
      json.attribute("fqat/v1", finding.fingerprint);
    });
    if (finding.suppression != ReportedFinding::None)
      json.attributeArray("suppressions", [&] {
        json.object([&] {
          json.attribute("kind", "external");
          json.attribute("justification",
                         finding.suppression == ReportedFinding::Ignored
                             ? "--ignore"
                             : "--baseline");
        });
      });
  });
}

void Writer::writeChange(const ModelReport &model,
                         const ReportedChange &change) {
  json.object([&] {
    json.attribute("ruleId", "fqat-change-" + getName(change.kind).str());
    json.attribute("ruleIndex", getRules().size() + change.kind);
    json.attribute("level", "note");
    writeText("message", change.place.message);
    json.attributeArray(
        "locations", [&] { writeLocation(model, change.place, std::nullopt); });
  });
}

void Writer::writeInvocation() {
  int exitCode = report.getExitCode();
  json.attributeArray("invocations", [&] {
    json.object([&] {
      // 0 and 1 are what a check that ran to its end gives.
      json.attribute("executionSuccessful", exitCode <= 1);
      json.attribute("exitCode", exitCode);
      json.attributeArray("toolExecutionNotifications", [&] {
        for (const ModelReport &model : report.models)
          for (const Place &place : model.errors)
            json.object([&] {
              json.attribute("level", "error");
              writeText("message", place.message);
              json.attributeArray("locations", [&] {
                writeLocation(model, place, std::nullopt);
              });
            });
      });
    });
  });
}

void Writer::write() {
  json.object([&] {
    json.attribute("$schema", "https://docs.oasis-open.org/sarif/sarif/v2.1.0/"
                              "errata01/os/schemas/sarif-schema-2.1.0.json");
    json.attribute("version", "2.1.0");
    json.attributeArray("runs", [&] {
      json.object([&] {
        json.attributeObject("tool", [&] {
          json.attributeObject("driver", [&] {
            json.attribute("name", "fqat-opt");
            json.attribute("version", report.version);
            writeRules();
          });
        });
        writeInvocation();
        json.attribute("columnKind", "unicodeCodePoints");
        json.attributeArray("results", [&] {
          for (const ModelReport &model : report.models) {
            for (const ReportedFinding &finding : model.findings)
              writeFinding(model, finding);
            for (const ReportedChange &change : model.changes)
              writeChange(model, change);
          }
        });
      });
    });
  });
}

void writeSARIF(const Report &report, StringRef folder, raw_ostream &os) {
  Writer(report, folder, os).write();
  os << '\n';
}

} // namespace fqat
