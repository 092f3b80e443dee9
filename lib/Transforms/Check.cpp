//===- Check.cpp - All rules, as diagnostics only -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   error: R1 nop adjacency: out_nop (OutNop) does not follow
//     'conv2d' in <root> (Net) directly [fqat-r1]
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Findings.h"
#include "fqat/Transforms/Passes.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_CHECKPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct Check : public impl::CheckPassBase<Check> {
  using Base::Base;
  void runOnOperation() final;
};
} // namespace

static void emit(const Finding &finding) {
  const RuleInfo &info = getInfo(finding.rule);
  InFlightDiagnostic diag = finding.severity == Severity::Error
                                ? emitError(finding.main.loc)
                                : emitRemark(finding.main.loc);
  diag << info.id << ' ' << info.name << ": " << finding.main.message << " ["
       << info.getTag() << ']';
  unsigned numShown = finding.getNumShown();
  for (const Party &party : ArrayRef(finding.others).take_front(numShown))
    diag.attachNote(party.loc) << party.message;
  if (finding.others.size() > numShown)
    diag.attachNote(finding.main.loc)
        << "and " << finding.others.size() - numShown << " more";
}

void Check::runOnOperation() {
  FailureOr<AnchorSet> anchorSet =
      AnchorSet::create(getOperation(), anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  FailureOr<std::vector<Finding>> findings =
      findBrokenRules(getOperation(), *anchorSet, nopName);
  if (failed(findings))
    return signalPassFailure();
  for (const Finding &finding : *findings) {
    emit(finding);
    ++numFindings;
    if (finding.severity == Severity::Error)
      signalPassFailure();
  }
  markAllAnalysesPreserved();
}

} // namespace fqat
