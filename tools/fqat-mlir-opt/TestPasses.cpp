//===- TestPasses.cpp - The proof, and what it catches -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Mutations.h"
#include "fqat/IR/FQATOps.h"
#include "fqat/Pipeline/Pipeline.h"
#include "fqat/Proof/Proof.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace fqat {

namespace {

/// Proves a model equal to another one.
struct ProvePass
    : public PassWrapper<ProvePass, OperationPass<mlir::ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ProvePass)
  ProvePass() = default;
  ProvePass(const ProvePass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "fqat-prove"; }
  StringRef getDescription() const final {
    return "Show that the model computes what another one does";
  }

  void runOnOperation() final {
    auto model = parseSourceFile<mlir::ModuleOp>(original, &getContext());
    if (!model || failed(proveEqual(*model, getOperation(), tiesClones)))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }

  Option<std::string> original{*this, "original",
                               llvm::cl::desc("File of the other model")};
  Option<bool> tiesClones{*this, "ties-clones",
                          llvm::cl::desc("Clones hold their sources' tensors"),
                          llvm::cl::init(false)};
};

/// Fixes the model, puts in one bug after the other, and prints a line for each
/// kind: how many places were tried, how many bugs the proof caught, how many
/// of the rest the check caught, how many nothing did.
struct TestMutationsPass
    : public PassWrapper<TestMutationsPass, OperationPass<mlir::ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TestMutationsPass)
  TestMutationsPass() = default;
  TestMutationsPass(const TestMutationsPass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "fqat-test-mutations"; }
  StringRef getDescription() const final {
    return "Print which bugs of passes the proof and the check catch";
  }

  enum Outcome { ByProof, ByCheck, Missed };

  Outcome judge(mlir::ModuleOp mutant) {
    mlir::ModuleOp model = getOperation();
    bool isSilent = !verbose;
    ScopedDiagnosticHandler handler(
        &getContext(), [&](Diagnostic &diag) { return success(isSilent); });
    if (failed(proveEqual(model, mutant, /*tiesClones=*/false)))
      return ByProof;
    PassManager manager(&getContext());
    buildCheckPipeline(manager, {});
    return failed(manager.run(mutant)) ? ByCheck : Missed;
  }

  void runOnOperation() final {
    OwningOpRef<mlir::ModuleOp> fixed(getOperation().clone());
    PassManager manager(&getContext());
    PipelineOptions options;
    options.functionalize = true;
    buildFixPipeline(manager, options);
    if (failed(manager.run(*fixed)) ||
        failed(proveEqual(getOperation(), *fixed, /*tiesClones=*/false)))
      return signalPassFailure();
    for (const Mutation &mutation : getMutations()) {
      if (!kind.empty() && mutation.name != kind)
        continue;
      size_t count = mutation.find(*fixed).size();
      // The first, the last, and what lies between.
      SmallVector<size_t> chosen;
      for (size_t i = 0; i != std::min<size_t>(count, places); ++i)
        chosen.push_back(
            places < 2
                ? 0
                : i * (count - 1) /
                      std::max<size_t>(1, std::min<size_t>(count, places) - 1));
      unsigned outcomes[3] = {0, 0, 0};
      for (size_t place : chosen) {
        OwningOpRef<mlir::ModuleOp> mutant(fixed->clone());
        mutation.find(*mutant)[place]();
        if (failed(verify(*mutant))) {
          mutant->emitError() << "the bug '" << mutation.name
                              << "' made IR that does not verify";
          return signalPassFailure();
        }
        Outcome outcome = judge(*mutant);
        ++outcomes[outcome];
        if (outcome == Missed && verbose)
          llvm::errs() << mutation.name << ": place " << place << " missed\n";
      }
      if (!chosen.empty())
        llvm::outs() << mutation.name << ": places " << chosen.size()
                     << ", proof " << outcomes[ByProof] << ", check "
                     << outcomes[ByCheck] << ", missed " << outcomes[Missed]
                     << '\n';
    }
    markAllAnalysesPreserved();
  }

  Option<std::string> kind{*this, "kind",
                           llvm::cl::desc("One kind of bug (default: all)")};
  Option<unsigned> places{*this, "places",
                          llvm::cl::desc("How many places of each kind"),
                          llvm::cl::init(3)};
  Option<bool> verbose{*this, "verbose", llvm::cl::desc("Print what is found"),
                       llvm::cl::init(false)};
};

} // namespace

void registerTestPasses() {
  PassRegistration<ProvePass>();
  PassRegistration<TestMutationsPass>();
}

} // namespace fqat
