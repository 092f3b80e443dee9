//===- Pipeline.cpp - Fix and check as ordered passes -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Pipeline/Pipeline.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/Pass/PassRegistry.h"

using namespace mlir;

namespace fqat {

template <typename OptionsT>
static void setAnchors(OptionsT &result, const PipelineOptions &options) {
  result.anchors.assign(options.anchors.begin(), options.anchors.end());
  result.exclude.assign(options.exclude.begin(), options.exclude.end());
}

template <typename OptionsT>
static OptionsT makeAnchorOptions(const PipelineOptions &options) {
  OptionsT result;
  setAnchors(result, options);
  result.nopName = options.nopName;
  return result;
}

void addAssignBits(OpPassManager &manager, const PipelineOptions &options) {
  if (options.bits.empty())
    return;
  AssignBitsPassOptions bitsOptions;
  setAnchors(bitsOptions, options);
  bitsOptions.file = options.bits;
  manager.addPass(createAssignBitsPass(bitsOptions));
}

void buildFixPipeline(OpPassManager &manager, const PipelineOptions &options) {
  // Husks first: their calls are no calls. Then what makes one piece of code
  // run several times, so that every value has one place; then the nops, and
  // what must stand behind them.
  manager.addPass(createCanonicalizeEntryPass());
  manager.addPass(createLowerListPass());
  InlineFunctionsPassOptions inlineOptions;
  setAnchors(inlineOptions, options);
  manager.addPass(createInlineFunctionsPass(inlineOptions));
  manager.addPass(createUnrollLoopsPass());
  manager.addPass(createCloneSharedModulesPass(
      CloneSharedModulesPassOptions{options.cloneParams}));
  auto nopOptions = makeAnchorOptions<InsertOutNopPassOptions>(options);
  nopOptions.nopInstances = options.nopInstances;
  manager.addPass(createInsertOutNopPass(nopOptions));
  manager.addPass(
      createHoistTailPass(makeAnchorOptions<HoistTailPassOptions>(options)));
  // Behind what moves ops: a write that stays in place was in its way already.
  if (options.functionalize)
    manager.addPass(createFunctionalizePass());
  addAssignBits(manager, options);
  buildCheckPipeline(manager, options);
}

void buildCheckPipeline(OpPassManager &manager,
                        const PipelineOptions &options) {
  manager.addPass(
      createCheckPass(makeAnchorOptions<CheckPassOptions>(options)));
}

namespace {
struct ChangeReader : public PassWrapper<ChangeReader, OperationPass<>> {
  explicit ChangeReader(ChangeLog &log) : log(&log) {}
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ChangeReader)
  StringRef getName() const override { return "ChangeReader"; }

  void runOnOperation() override {
    *log = getAnalysis<ChangeLog>();
    markAllAnalysesPreserved();
  }

  ChangeLog *log;
};

/// The same options on the command line of fqat-mlir-opt.
struct FixOptions : public PassPipelineOptions<FixOptions> {
  ListOption<std::string> anchors{*this, "anchors",
                                  llvm::cl::desc("conv, linear")};
  ListOption<std::string> exclude{*this, "exclude",
                                  llvm::cl::desc("Globs of instances")};
  Option<std::string> nopName{*this, "nop-name",
                              llvm::cl::desc("Attribute name of an out_nop"),
                              llvm::cl::init("out_nop")};
  Option<std::string> cloneParams{*this, "clone-params",
                                  llvm::cl::desc("copy or share"),
                                  llvm::cl::init("copy")};
  Option<std::string> nopInstances{*this, "nop-instances",
                                   llvm::cl::desc("each or owner"),
                                   llvm::cl::init("each")};
  Option<bool> functionalize{
      *this, "functionalize",
      llvm::cl::desc("Writes that autograd refuses become out of place"),
      llvm::cl::init(false)};
  Option<std::string> bits{*this, "bits",
                           llvm::cl::desc("A file of bit widths")};
};
} // namespace

void addChangeReader(OpPassManager &manager, ChangeLog &log) {
  manager.addPass(std::make_unique<ChangeReader>(log));
}

void registerPipelines() {
  registerFQATPasses();
  PassPipelineRegistration<FixOptions>(
      "fqat-fix", "Make a model obey the rules",
      [](OpPassManager &manager, const FixOptions &options) {
        PipelineOptions result;
        result.anchors.assign(options.anchors.begin(), options.anchors.end());
        result.exclude.assign(options.exclude.begin(), options.exclude.end());
        result.nopName = options.nopName;
        result.cloneParams = options.cloneParams;
        result.nopInstances = options.nopInstances;
        result.functionalize = options.functionalize;
        result.bits = options.bits;
        buildFixPipeline(manager, result);
      });
}

} // namespace fqat
