//===- passes.cpp - How long passes take -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each pass by itself, and the proof, on models of two kinds: residual blocks
// in a row, and blocks that share one activation and end in a head each.
//
//===----------------------------------------------------------------------===//

#include "fqat/Transforms/Passes.h"
#include "fqat/Analysis/Trace.h"
#include "fqat/IR/FQATDialect.h"
#include "fqat/Pipeline/Pipeline.h"
#include "fqat/Proof/Proof.h"

#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FormatVariadic.h"
#include <benchmark/benchmark.h>

using namespace mlir;
using namespace fqat;

namespace {
enum Kind { Row, Heads };
} // namespace

/// A model of `numBlocks` blocks, four operators each.
static std::string makeModel(Kind kind, unsigned numBlocks) {
  constexpr const char *block = R"mlir(
fqat.module @b{0} class "__torch__.Block" slots ["conv", "act"]
fqat.module @b{0}.conv class "__torch__.torch.nn.modules.conv.Conv2d" slots []
fqat.module @b{0}.act class "__torch__.torch.nn.modules.activation.SiLU" slots []
fqat.method @b{0}.forward(%x: !fqat.tensor) -> !fqat.tensor
    attributes {{instance = @b{0}} {{
  %0 = fqat.call @b{0}.conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @b{1}.act.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.op "{2}"(%x, %1) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %2 : !fqat.tensor
}
fqat.method @b{0}.conv.forward(%x: !fqat.tensor) -> !fqat.tensor
    attributes {{instance = @b{0}.conv} {{
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::batch_norm"(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}
)mlir";
  constexpr const char *activation = R"mlir(
fqat.method @b{0}.act.forward(%x: !fqat.tensor) -> !fqat.tensor
    attributes {{instance = @b{0}.act} {{
  %0 = fqat.op "aten::silu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}
)mlir";
  std::string names, calls, text;
  for (unsigned i = 0; i != numBlocks; ++i) {
    bool isRow = kind == Row;
    names += llvm::formatv("{0}\"b{1}\"", i == 0 ? "" : ", ", i);
    text += llvm::formatv(block, i, isRow ? i : 0,
                          isRow ? "aten::add" : "aten::cat")
                .str();
    if (isRow || i == 0)
      text += llvm::formatv(activation, i).str();
    calls += llvm::formatv("  %x{0} = fqat.call @b{1}.forward(%x{2}) : "
                           "(!fqat.tensor) -> !fqat.tensor\n",
                           i + 1, i, isRow ? i : 0);
  }
  text += "fqat.module @\"$\" class \"__torch__.Big\" slots [" + names + "]\n";
  // The last block's value, or those of all.
  std::string values, types;
  for (unsigned i = kind == Row ? numBlocks - 1 : 0; i != numBlocks; ++i) {
    values += llvm::formatv("{0}%x{1}", values.empty() ? "" : ", ", i + 1);
    types += types.empty() ? "!fqat.tensor" : ", !fqat.tensor";
  }
  text += "fqat.method @forward(%x0: !fqat.tensor) -> (" + types +
          ") attributes {instance = @\"$\"} {\n" + calls + "  fqat.return " +
          values + " : " + types + "\n}\n";
  return text;
}

namespace {

/// A context with a model that all passes before the one in question have seen.
struct Fixture {
  Fixture(Kind kind, unsigned numOps)
      : context(MLIRContext::Threading::DISABLED) {
    context.loadDialect<FQATDialect>();
    model = parseSourceString<mlir::ModuleOp>(makeModel(kind, numOps / 4),
                                              ParserConfig(&context));
  }
  bool run(llvm::function_ref<void(OpPassManager &)> addPasses) {
    PassManager manager(&context);
    manager.enableVerifier(false);
    addPasses(manager);
    return succeeded(manager.run(*model));
  }

  MLIRContext context;
  OwningOpRef<mlir::ModuleOp> model;
};

using MakePass = std::unique_ptr<Pass> (*)();
struct NamedPass {
  const char *name;
  MakePass make;
};
// The order of the fix.
constexpr NamedPass passes[] = {
    {"canonicalize-entry", createCanonicalizeEntryPass},
    {"clone-shared-modules", [] { return createCloneSharedModulesPass(); }},
    {"insert-out-nop", [] { return createInsertOutNopPass(); }},
    {"hoist-tail", [] { return createHoistTailPass(); }},
    {"check", [] { return createCheckPass(); }},
};

} // namespace

static void measurePass(benchmark::State &state, Kind kind, size_t index) {
  for (auto _ : state) {
    state.PauseTiming();
    auto fixture = std::make_unique<Fixture>(kind, state.range(0));
    bool isRight = fixture->model && fixture->run([&](OpPassManager &manager) {
      for (const NamedPass &pass : llvm::ArrayRef(passes).take_front(index))
        manager.addPass(pass.make());
    });
    state.ResumeTiming();
    isRight = isRight && fixture->run([&](OpPassManager &manager) {
      manager.addPass(passes[index].make());
    });
    state.PauseTiming();
    if (!isRight) {
      state.SkipWithError("the model cannot be fixed");
      return;
    }
    fixture.reset();
    state.ResumeTiming();
  }
  state.SetComplexityN(state.range(0));
}

static void measureTrace(benchmark::State &state, Kind kind) {
  Fixture fixture(kind, state.range(0));
  SymbolTable symbols(*fixture.model);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        Trace::compute(*fixture.model, symbols, AnchorSet()));
  state.SetComplexityN(state.range(0));
}

static void measureProof(benchmark::State &state, Kind kind) {
  Fixture fixture(kind, state.range(0));
  OwningOpRef<mlir::ModuleOp> original = fixture.model->clone();
  bool isRight = fixture.run([](OpPassManager &manager) {
    buildFixPipeline(manager, PipelineOptions());
  });
  for (auto _ : state)
    isRight = isRight && succeeded(proveEqual(*original, *fixture.model,
                                              /*tiesClones=*/false));
  if (!isRight)
    state.SkipWithError("the fix is not proved");
  state.SetComplexityN(state.range(0));
}

int main(int argc, char **argv) {
  constexpr int64_t fewest = 1 << 10, most = 1 << 16;
  auto add = [&](const std::string &name, auto measure) {
    benchmark::RegisterBenchmark(name.c_str(), measure)
        ->RangeMultiplier(8)
        ->Range(fewest, most)
        ->Unit(benchmark::kMillisecond)
        ->Complexity();
  };
  for (auto [kind, kindName] :
       {std::pair(Row, "row"), std::pair(Heads, "heads")}) {
    std::string prefix = std::string(kindName) + "/";
    add(prefix + "trace",
        [kind = kind](benchmark::State &state) { measureTrace(state, kind); });
    for (size_t i = 0; i != std::size(passes); ++i)
      add(prefix + passes[i].name, [kind = kind, i](benchmark::State &state) {
        measurePass(state, kind, i);
      });
    add(prefix + "proof",
        [kind = kind](benchmark::State &state) { measureProof(state, kind); });
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
