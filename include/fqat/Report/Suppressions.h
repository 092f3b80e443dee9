//===- Suppressions.h - Findings that nobody wants to see -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_REPORT_SUPPRESSIONS_H
#define FQAT_REPORT_SUPPRESSIONS_H

#include "fqat/Report/Report.h"
#include "fqat/Support/Globs.h"

#include "llvm/ADT/StringMap.h"

#include <mutex>

namespace fqat {

/// What the command line says of findings that are known or not wanted.
/// Several threads may apply it at a time.
class Suppressions {
public:
  /// `text` is `RULE` or `RULE:GLOB`, with the glob of the findings' instances.
  llvm::Error addIgnored(llvm::StringRef text);

  /// Reads the findings of an earlier report, as `writeJSON` wrote it.
  llvm::Error readBaseline(llvm::StringRef path);

  /// Marks what is suppressed.
  void apply(ModelReport &model);

  /// The rules and globs that were given and matched nothing so far.
  std::vector<std::string> getUnused() const;
  /// The number of findings of the baseline that did not show so far.
  unsigned countGone() const;

private:
  struct Ignored {
    std::string text;
    Rule rule;
    std::optional<InstanceGlob> glob;
    bool isUsed = false;
  };

  std::mutex mutex;
  std::vector<Ignored> ignored;
  /// By the fingerprint: whether it showed.
  llvm::StringMap<bool> baseline;
};

} // namespace fqat

#endif // FQAT_REPORT_SUPPRESSIONS_H
