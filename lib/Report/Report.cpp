//===- Report.cpp - What a run found and did, as data -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Report.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace fqat {

Place makePlace(Location loc, StringRef instance, StringRef message) {
  Place place;
  if (!instance.empty())
    place.instance = displayPath(instance);
  place.message = message.str();
  if (FileLineColLoc position = getPosition(loc)) {
    place.file = position.getFilename().str();
    place.line = position.getLine();
    place.column = position.getColumn();
  }
  return place;
}

static Place makePlace(const Party &party) {
  Place place = makePlace(party.loc, party.instance, party.message);
  place.words = party.words;
  return place;
}

void ModelReport::setFindings(ArrayRef<Finding> found) {
  llvm::StringMap<unsigned> seen;
  for (const Finding &finding : found) {
    ReportedFinding reported{finding.rule,          finding.severity,
                             finding.kind.str(),    makePlace(finding.main),
                             finding.remedy,        {},
                             finding.getNumShown(), {}};
    for (const Party &party : finding.others)
      reported.others.push_back(makePlace(party));
    std::string name = getInfo(finding.rule).id.str() + "/" +
                       reported.main.instance + "/" + reported.kind;
    if (!finding.detail.empty())
      name += "/" + finding.detail;
    unsigned number = seen[name]++;
    reported.fingerprint =
        number == 0 ? name : name + "#" + llvm::utostr(number);
    findings.push_back(std::move(reported));
  }
}

void ModelReport::setChanges(const ChangeLog &log) {
  anchors = log.anchors;
  crossingValues = log.crossingValues;
  for (const Change &change : log.getChanges())
    changes.push_back(
        {change.kind, makePlace(change.loc, change.instance, change.message)});
}

void ModelReport::setLayers(mlir::ModuleOp model) {
  // A method that is called from several places can be there several times.
  llvm::StringSet<> seen;
  model.walk([&](OperatorOp op) {
    auto bits = op->getAttrOfType<BitsAttr>(FQATDialect::kBitsAttr);
    if (!bits || !seen.insert(getInstanceOf(op)).second)
      return;
    std::string message;
    llvm::raw_string_ostream os(message);
    os << describeOp(op) << " has";
    if (bits.getFeature() != 0)
      os << ' ' << bits.getFeature() << " feature bits";
    if (bits.getWeight() != 0)
      os << (bits.getFeature() != 0 ? " and " : " ") << bits.getWeight()
         << " weight bits";
    layers.push_back({makePlace(op.getLoc(), getInstanceOf(op), message),
                      bits.getFeature(), bits.getWeight()});
  });
}

unsigned ModelReport::count(Severity severity, std::optional<Rule> rule) const {
  return llvm::count_if(findings, [&](const ReportedFinding &finding) {
    return finding.suppression == ReportedFinding::None &&
           finding.severity == severity && (!rule || finding.rule == *rule);
  });
}

unsigned ModelReport::countSuppressed() const {
  return llvm::count_if(findings, [](const ReportedFinding &finding) {
    return finding.suppression != ReportedFinding::None;
  });
}

int Report::getExitCode() const {
  int worst = 0;
  for (const ModelReport &model : models)
    worst = std::max(worst, model.exitCode);
  return worst;
}

StringRef getName(Change::Kind kind) {
  switch (kind) {
  case Change::Nop:
    return "nop";
  case Change::Clone:
    return "clone";
  case Change::Twin:
    return "twin";
  case Change::Move:
    return "move";
  case Change::Husk:
    return "husk";
  case Change::Rename:
    return "rename";
  case Change::List:
    return "list";
  case Change::Loop:
    return "loop";
  case Change::Function:
    return "function";
  case Change::Write:
    return "write";
  }
  llvm_unreachable("all kinds are named");
}

StringRef getDescription(Change::Kind kind) {
  switch (kind) {
  case Change::Nop:
    return "An out_nop was put in.";
  case Change::Clone:
    return "A call got an instance of its own.";
  case Change::Twin:
    return "A call went to the copy of the shared module that its caller "
           "holds.";
  case Change::Move:
    return "An op of the tail went behind the last out_nop.";
  case Change::Husk:
    return "A call that does nothing was dropped.";
  case Change::Rename:
    return "A method became forward.";
  case Change::List:
    return "A list() was replaced.";
  case Change::Loop:
    return "A loop was written out.";
  case Change::Function:
    return "A called function was written in place.";
  case Change::Write:
    return "A write became out of place, so that the model can be trained.";
  }
  llvm_unreachable("all kinds are described");
}

StringRef getName(Severity severity) {
  return severity == Severity::Error ? "error" : "note";
}

} // namespace fqat
