//===- Findings.h - What in a model breaks the rules -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_ANALYSIS_FINDINGS_H
#define FQAT_ANALYSIS_FINDINGS_H

#include "fqat/Analysis/Rules.h"
#include "fqat/Analysis/Trace.h"

namespace fqat {

enum class Severity { Error, Note };

/// A place in the model that has to do with a finding.
struct Party {
  mlir::Location loc;
  /// The symbol of the instance whose code stands there.
  std::string instance;
  std::string message;
  /// What to point at in the line: names, the best first.
  llvm::SmallVector<std::string, 2> words;
};

/// One cause that breaks a rule, with all the places where it shows.
struct Finding {
  Rule rule;
  Severity severity = Severity::Error;
  /// What is wrong, in one word of its own: `shared-module`. Does not change
  /// with the model.
  llvm::StringRef kind;
  /// `instance` is the one that is to blame.
  Party main;
  std::string remedy;
  /// The other places, in the order in which they run.
  std::vector<Party> others;
  /// What tells it from other findings of its kind in its instance; may be
  /// empty.
  std::string detail;

  /// How many of the other places a message shows.
  unsigned getNumShown() const;
};

/// The findings of a model, by rule and then in the order in which they run.
/// Fails, with a diagnostic, where the model cannot be followed.
mlir::FailureOr<std::vector<Finding>> findBrokenRules(mlir::ModuleOp model,
                                                      const AnchorSet &anchors,
                                                      llvm::StringRef nopName);

} // namespace fqat

#endif // FQAT_ANALYSIS_FINDINGS_H
