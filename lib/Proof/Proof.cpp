//===- Proof.cpp - Two models compute the same bits -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Proof/Proof.h"
#include "Executor.h"
#include "States.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;

namespace fqat {

namespace {

/// One attempt at the proof.
class Prover {
public:
  Prover(mlir::ModuleOp original, mlir::ModuleOp fixed, bool tiesClones,
         bool byBytes)
      : original(original), fixed(fixed), originalSymbols(original),
        fixedSymbols(fixed), contents(original, fixed, byBytes),
        terms(original.getContext()), tiesClones(tiesClones) {}

  /// The first difference, or nothing.
  std::optional<Difference> run();

private:
  std::optional<Difference> compareMethod(MethodOp a, MethodOp b);
  std::optional<Difference> compareTerms(const Twine &what, Term a, Term b,
                                         const Executor &runA,
                                         const Executor &runB);
  std::optional<Difference> compareZeros(MethodOp method, const Executor &runA,
                                         const Executor &runB);

  mlir::ModuleOp original, fixed;
  SymbolTable originalSymbols, fixedSymbols;
  Contents contents;
  TermTable terms;
  bool tiesClones;
};

} // namespace

std::optional<Difference> Prover::compareTerms(const Twine &what, Term a,
                                               Term b, const Executor &runA,
                                               const Executor &runB) {
  if (a == b)
    return std::nullopt;
  Difference difference;
  difference.what = what.str();
  // Down to where the two are made differently.
  while (true) {
    if (Operation *op = runA.getMaker(a))
      difference.original = op;
    if (Operation *op = runB.getMaker(b))
      difference.fixed = op;
    ArrayRef<Term> operandsA = terms.getOperands(a);
    ArrayRef<Term> operandsB = terms.getOperands(b);
    if (terms.getName(a) != terms.getName(b) ||
        terms.getDetail(a) != terms.getDetail(b) ||
        operandsA.size() != operandsB.size())
      break;
    unsigned i = 0;
    while (operandsA[i] == operandsB[i])
      ++i;
    a = operandsA[i];
    b = operandsB[i];
  }
  difference.originalText = terms.print(a, 2);
  difference.fixedText = terms.print(b, 2);
  return difference;
}

/// Whether a body holds both 0.0 and -0.0: torch makes one of them on loading.
static bool mixesZeros(Operation *body) {
  bool positive = false, negative = false;
  body->walk([&](ConstantOp constant) {
    constant.getValue().walk([&](FloatAttr number) {
      if (number.getValue().isZero())
        (number.getValue().isNegative() ? negative : positive) = true;
    });
  });
  return positive && negative;
}

std::optional<Difference> Prover::compareZeros(MethodOp method,
                                               const Executor &runA,
                                               const Executor &runB) {
  if (!runA.hasBothZeros() && !runB.hasBothZeros())
    return std::nullopt;
  Difference difference;
  difference.original = method;
  difference.remedy =
      "write one of them in another way (`-1.0 * 0.0` computed at run time), "
      "or write the file without a proof with --no-prove if their sign does "
      "not matter";
  if (runA.getFirstZeroSign() != runB.getFirstZeroSign()) {
    difference.what =
        "0.0 and -0.0 are both constants of the model and come in another "
        "order now; torch takes the first for both";
    return difference;
  }
  for (Operation &op : *fixed.getBody()) {
    if (!isa<MethodOp, FunctionOp>(op) || !mixesZeros(&op))
      continue;
    Operation *before = originalSymbols.lookup(SymbolTable::getSymbolName(&op));
    if (before && mixesZeros(before))
      continue;
    difference.what = "0.0 and -0.0 are constants of one method now; torch "
                      "takes the first for both";
    difference.fixed = &op;
    return difference;
  }
  return std::nullopt;
}

/// The checks that another run does not make.
static SmallVector<Term> without(ArrayRef<Term> checks, const Executor &other) {
  SmallVector<Term> result;
  for (Term check : checks)
    if (!other.makesShapeCheck(check))
      result.push_back(check);
  return result;
}

std::optional<Difference> Prover::compareMethod(MethodOp a, MethodOp b) {
  terms.forgetInPlace();
  Executor runA(terms, contents, originalSymbols, original,
                /*isOriginal=*/true);
  Executor runB(terms, contents, fixedSymbols, fixed, /*isOriginal=*/false);
  std::string name = a.getMethodName().str();
  auto undecided = [&](const Executor &run, Operation *original,
                       Operation *fixed) {
    Difference difference;
    difference.what =
        "what '" + name + "' computes is not decided: " + run.getReason().str();
    difference.original = original;
    difference.fixed = fixed;
    return difference;
  };
  terms.rewind();
  if (failed(runA.run(a)))
    return undecided(runA, runA.getReasonOp(), nullptr);
  terms.rewind();
  if (failed(runB.run(b)))
    return undecided(runB, nullptr, runB.getReasonOp());
  std::optional<Difference> found;
  auto differ = [&](const Twine &what, Term termA, Term termB) {
    found = compareTerms(what, termA, termB, runA, runB);
    return found.has_value();
  };
  auto getPlace = [](unsigned i, size_t count) {
    return count == 1 ? std::string() : " " + std::to_string(i);
  };
  size_t count = runA.getResults().size();
  for (auto [i, termA, termB] :
       llvm::enumerate(runA.getResults(), runB.getResults()))
    if (differ("output" + getPlace(i, count) + " of '" + name + "' differs",
               termA, termB))
      return found;
  for (auto [i, termA, termB] :
       llvm::enumerate(runA.getArguments(), runB.getArguments()))
    if (differ("what '" + name + "' leaves in its argument " + Twine(i) +
                   " differs",
               termA, termB))
      return found;
  for (Operation &slot : *original.getBody()) {
    if (!isa<ParameterOp, BufferOp, AttributeOp>(slot))
      continue;
    StringAttr symbol = SymbolTable::getSymbolName(&slot);
    if (!runA.touches(symbol) && !runB.touches(symbol))
      continue;
    if (differ("what '" + name + "' leaves in '" +
                   displayPath(symbol.getValue()) + "' differs",
               runA.getSlotContent(symbol), runB.getSlotContent(symbol)))
      return found;
  }
  if (differ("the order of random draws in '" + name + "' differs",
             runA.getRandom(), runB.getRandom()) ||
      differ("what '" + name + "' raises or prints differs", runA.getEffects(),
             runB.getEffects()))
    return found;
  // The checks of sizes, in any order. That a slice asks for a dimension is no
  // check that must stay.
  SmallVector<Term> missing = without(runA.getShapeChecks(), runB),
                    added = without(runB.getShapeChecks(), runA);
  llvm::erase_if(missing,
                 [&](Term check) { return terms.isCalled(check, "has_dim"); });
  Term none = terms.get("no check", {});
  if (differ("what '" + name + "' checks differs",
             missing.empty() ? none : missing.front(),
             added.empty() ? none : added.front()))
    return found;
  return compareZeros(a, runA, runB);
}

std::optional<Difference> Prover::run() {
  if (std::optional<Difference> difference = compareStates(
          original, originalSymbols, fixed, fixedSymbols, contents, tiesClones))
    return difference;
  for (auto method : original.getOps<MethodOp>()) {
    if (!method.isExported())
      continue;
    auto other = fixedSymbols.lookup<MethodOp>(method.getSymName());
    if (std::optional<Difference> difference = compareMethod(method, other))
      return difference;
  }
  return std::nullopt;
}

LogicalResult proveEqual(mlir::ModuleOp original, mlir::ModuleOp fixed,
                         bool tiesClones) {
  // Bytes are read only where their places do not show that they are equal.
  std::optional<Difference> difference;
  for (bool byBytes : {false, true}) {
    difference = Prover(original, fixed, tiesClones, byBytes).run();
    if (!difference)
      return success();
  }
  Operation *place = difference->fixed      ? difference->fixed
                     : difference->original ? difference->original
                                            : fixed.getOperation();
  InFlightDiagnostic diag =
      place->emitError()
      << "the fixed model is not shown to compute what the original does: "
      << difference->what << "; nothing was written; " << difference->remedy;
  auto attach = [&](Operation *op, StringRef model, StringRef text) {
    if (!op)
      return;
    Diagnostic &note = diag.attachNote(op->getLoc());
    note << "in the " << model;
    StringRef instance = getInstancePath(op->getLoc());
    if (!instance.empty())
      note << ", '" << displayPath(instance) << "'";
    if (!text.empty())
      note << ": " << text;
  };
  attach(difference->original, "original", difference->originalText);
  attach(difference->fixed, "fixed model", difference->fixedText);
  return failure();
}

} // namespace fqat
