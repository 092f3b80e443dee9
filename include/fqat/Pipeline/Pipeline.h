//===- Pipeline.h - Fix and check as ordered passes -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_PIPELINE_PIPELINE_H
#define FQAT_PIPELINE_PIPELINE_H

#include "fqat/Transforms/ChangeLog.h"

#include "mlir/Pass/PassManager.h"

#include <string>
#include <vector>

namespace fqat {

/// How a model is fixed or checked. The words are those of the command line.
struct PipelineOptions {
  /// Op families that are layers: `conv`, `linear`; none means both.
  std::vector<std::string> anchors;
  /// Globs of instances whose ops, and those below, are no layers.
  std::vector<std::string> exclude;
  std::string nopName = "out_nop";
  /// `copy` or `share`.
  std::string cloneParams = "copy";
  std::string nopInstances = "each";
  /// Whether writes that autograd refuses become out of place.
  bool functionalize = false;
  /// A file of bit widths; empty for none.
  std::string bits;
};

/// Adds the passes that make a model obey the rules. They end with the check.
void buildFixPipeline(mlir::OpPassManager &manager,
                      const PipelineOptions &options);

/// Adds the pass that gives layers their bit widths, if there is a file of
/// them.
void addAssignBits(mlir::OpPassManager &manager,
                   const PipelineOptions &options);

/// Adds the passes that report what breaks the rules.
void buildCheckPipeline(mlir::OpPassManager &manager,
                        const PipelineOptions &options);

/// Adds a pass that changes nothing and copies what was logged so far to
/// `log`, which must outlive the run.
void addChangeReader(mlir::OpPassManager &manager, ChangeLog &log);

/// Registers the passes, and `fqat-fix` for the whole of them.
void registerPipelines();

} // namespace fqat

#endif // FQAT_PIPELINE_PIPELINE_H
