//===- ChangeLog.h - What the passes did -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TRANSFORMS_CHANGELOG_H
#define FQAT_TRANSFORMS_CHANGELOG_H

#include "mlir/IR/Location.h"
#include "mlir/Pass/AnalysisManager.h"

#include <string>
#include <vector>

namespace fqat {

/// One change that a pass made to a model.
struct Change {
  enum Kind {
    /// An out_nop was put in.
    Nop,
    /// An instance got a copy of its own of a shared one.
    Clone,
    /// A call went to the twin that tracing had left.
    Twin,
    /// An op of the tail moved behind the last out_nop.
    Move,
    /// The call of a husk was dropped.
    Husk,
    /// A method became `forward`.
    Rename,
    /// A list() was replaced.
    List,
    /// A loop was unrolled.
    Loop,
    /// A call of a function was inlined.
    Function,
    /// A write became out of place, so that autograd takes it.
    Write,
  };
  static constexpr unsigned kNumKinds = Write + 1;

  Kind kind;
  mlir::Location loc;
  /// The symbol of the instance that changed: the one put in, or the one in
  /// whose code it happened.
  std::string instance;
  std::string message;
};

/// What the passes of one run saw and did so far. An analysis that no pass
/// invalidates: pass statistics count the same, but LLVM's packages are built
/// without them.
class ChangeLog {
public:
  explicit ChangeLog(mlir::Operation *) {}
  bool isInvalidated(const mlir::AnalysisManager::PreservedAnalyses &) {
    return false;
  }

  void add(Change::Kind kind, mlir::Location loc, llvm::StringRef instance,
           const llvm::Twine &message) {
    changes.push_back({kind, loc, instance.str(), message.str()});
    ++counts[kind];
  }

  llvm::ArrayRef<Change> getChanges() const { return changes; }
  unsigned count(Change::Kind kind) const { return counts[kind]; }

  unsigned anchors = 0;
  unsigned crossingValues = 0;

private:
  std::vector<Change> changes;
  unsigned counts[Change::kNumKinds] = {};
};

} // namespace fqat

#endif // FQAT_TRANSFORMS_CHANGELOG_H
