//===- Rules.h - The rules of the training kit, in words -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_ANALYSIS_RULES_H
#define FQAT_ANALYSIS_RULES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace fqat {

/// A rule of the kit that a model can break.
enum class Rule {
  NopAdjacency,
  NoList,
  NopsBeforeTail,
  CalledOnce,
  RealForward
};

/// What is known of a rule, in words.
struct RuleInfo {
  Rule rule;
  /// `R4`.
  llvm::StringLiteral id;
  /// `called once`.
  llvm::StringLiteral name;
  /// What the kit wants, in one line.
  llvm::StringLiteral wants;
  /// Why, and what happens else.
  llvm::StringLiteral why;
  /// Python that breaks the rule, and Python that does not.
  llvm::StringLiteral broken, mended;
  /// What fqat-opt does about it.
  llvm::StringLiteral fix;

  /// The short name in brackets behind a finding: `fqat-r4`.
  std::string getTag() const { return "fqat-" + id.lower(); }
};

/// All rules, by their numbers.
llvm::ArrayRef<RuleInfo> getRules();

const RuleInfo &getInfo(Rule rule);

/// The rule that a user means by `R4`, `r4` or `fqat-r4`.
std::optional<Rule> parseRule(llvm::StringRef text);

/// The whole of what `--explain` prints.
std::string explain(const RuleInfo &info);

} // namespace fqat

#endif // FQAT_ANALYSIS_RULES_H
