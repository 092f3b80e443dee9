//===- Report.h - What a run found and did, as data -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A report outlives the models that it tells of: it holds no IR.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_REPORT_REPORT_H
#define FQAT_REPORT_REPORT_H

#include "fqat/Analysis/Findings.h"
#include "fqat/Report/RunGraph.h"
#include "fqat/Transforms/ChangeLog.h"

#include <optional>
#include <string>
#include <vector>

namespace fqat {

/// A place in Python, or in the code of a file that has no record of it, and
/// what is to be said of it.
struct Place {
  /// The path of an instance, as `named_modules()` spells it.
  std::string instance = {};
  /// Empty where it is not known.
  std::string file = {};
  /// From 1; 0 is not known.
  unsigned line = 0, column = 0;
  std::string message = {};
  /// What to point at in the line where the column is not known: names, the
  /// best first.
  llvm::SmallVector<std::string, 2> words = {};
};

Place makePlace(mlir::Location loc, llvm::StringRef instance,
                llvm::StringRef message);

/// A finding, as it is shown and written.
struct ReportedFinding {
  Rule rule;
  Severity severity;
  std::string kind;
  Place main;
  std::string remedy;
  std::vector<Place> others;
  unsigned numShown = 0;
  /// Names the finding, and stays while lines change: it has none in it.
  std::string fingerprint;
  enum Suppression { None, Ignored, InBaseline } suppression = None;
};

/// The bit widths of a layer; 0 is not given.
struct ReportedLayer {
  Place place;
  unsigned feature, weight;
};

struct ReportedChange {
  Change::Kind kind;
  Place place;
};

/// What was found in one model, and what was done to it.
struct ModelReport {
  std::string input;
  /// What was written; empty if nothing was.
  std::string output;
  /// The exit code that the model alone would give.
  int exitCode = 0;
  unsigned anchors = 0, crossingValues = 0;
  std::vector<ReportedFinding> findings;
  std::vector<ReportedChange> changes;
  /// The layers that have bit widths.
  std::vector<ReportedLayer> layers;
  /// Why nothing was written.
  std::vector<Place> errors;
  /// Whether the fixed model is shown to compute the same; nothing if that was
  /// not tried.
  std::optional<bool> proved;
  /// The run of the model as it was read, and as it was written; only for a
  /// report that draws them.
  std::optional<RunGraph> before, after;

  void setFindings(llvm::ArrayRef<Finding> found);
  void setChanges(const ChangeLog &log);
  void setLayers(mlir::ModuleOp model);
  /// The findings of a severity that nothing suppresses.
  unsigned count(Severity severity,
                 std::optional<Rule> rule = std::nullopt) const;
  unsigned countSuppressed() const;
};

/// What one run of the program found and did.
struct Report {
  /// Of the program.
  std::string version;
  std::vector<ModelReport> models;

  /// The worst of what the models gave.
  int getExitCode() const;
};

/// `clone`, `nop`, ...
llvm::StringRef getName(Change::Kind kind);
/// What a kind of change is, in a line.
llvm::StringRef getDescription(Change::Kind kind);
/// `error` or `note`.
llvm::StringRef getName(Severity severity);

/// Writes a report as JSON; docs/report.schema.json describes it.
void writeJSON(const Report &report, llvm::raw_ostream &os);

/// Writes a report as SARIF 2.1.0. Files below `folder`, an absolute path, are
/// named by their path from it, as code-review tools want them.
void writeSARIF(const Report &report, llvm::StringRef folder,
                llvm::raw_ostream &os);

/// Writes a report as a page that needs no other file: the module tree and the
/// run of each model, before and after.
void writeHTML(const Report &report, llvm::raw_ostream &os);

} // namespace fqat

#endif // FQAT_REPORT_REPORT_H
