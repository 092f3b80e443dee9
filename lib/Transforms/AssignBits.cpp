//===- AssignBits.cpp - Give layers their bit widths -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   "*": {feature: 8, weight: 8}
//   head: {feature: 12}
//
//   %0 = fqat.op "aten::conv2d"(%x, %w)           in @head.conv
//   %0 = fqat.op "aten::conv2d"(%x, %w)
//        {fqat.bits = #fqat.bits<feature = 12, weight = 8>}
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Trace.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Transforms/BitWidths.h"
#include "fqat/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/JSON.h"

using namespace mlir;

namespace fqat {

#define GEN_PASS_DEF_ASSIGNBITSPASS
#include "fqat/Transforms/Passes.h.inc"

namespace {
struct AssignBits : public impl::AssignBitsPassBase<AssignBits> {
  using Base::Base;
  void runOnOperation() final;
};
} // namespace

/// The widths of a layer in the instance `own` that stood in `origin` when the
/// model was read: a clone has those of what it was cloned from, unless a
/// pattern names the clone alone.
static BitsAttr getBits(MLIRContext *context, ArrayRef<BitPattern> patterns,
                        StringRef own, StringRef origin,
                        MutableArrayRef<bool> isUsed) {
  unsigned feature = 0, weight = 0;
  auto apply = [&](bool ofOrigin) {
    for (auto [i, pattern] : llvm::enumerate(patterns)) {
      bool matchesOrigin = pattern.glob.matches(origin);
      if (ofOrigin ? !matchesOrigin
                   : matchesOrigin || !pattern.glob.matches(own))
        continue;
      isUsed[i] = true;
      feature = pattern.feature != 0 ? pattern.feature : feature;
      weight = pattern.weight != 0 ? pattern.weight : weight;
    }
  };
  apply(/*ofOrigin=*/true);
  apply(/*ofOrigin=*/false);
  return feature == 0 && weight == 0 ? BitsAttr()
                                     : BitsAttr::get(context, feature, weight);
}

/// What a reader of the written file finds, by the path of each layer.
static std::string
describe(const llvm::MapVector<StringRef, BitsAttr> &layers) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::json::OStream json(os, /*IndentSize=*/1);
  json.object([&] {
    json.attribute("version", 1);
    json.attributeObject("layers", [&] {
      for (auto [path, bits] : layers)
        json.attributeObject(displayPath(path), [&, bits = bits] {
          if (bits.getFeature() != 0)
            json.attribute("feature", bits.getFeature());
          if (bits.getWeight() != 0)
            json.attribute("weight", bits.getWeight());
        });
    });
  });
  return text + "\n";
}

static void setRecord(mlir::ModuleOp model, StringRef text) {
  for (auto record : llvm::make_early_inc_range(model.getOps<RecordOp>()))
    if (record.getName() == FQATDialect::kBitsRecord)
      record.erase();
  auto builder = OpBuilder::atBlockEnd(model.getBody());
  auto type = RankedTensorType::get({static_cast<int64_t>(text.size())},
                                    builder.getI8Type());
  RecordOp::create(
      builder, model.getLoc(), FQATDialect::kBitsRecord,
      DenseElementsAttr::getFromRawBuffer(type, {text.data(), text.size()}));
}

void AssignBits::runOnOperation() {
  mlir::ModuleOp model = getOperation();
  FailureOr<AnchorSet> anchorSet = AnchorSet::create(model, anchors, exclude);
  if (failed(anchorSet))
    return signalPassFailure();
  auto getLoc = [&](unsigned line, unsigned column) {
    return FileLineColLoc::get(&getContext(), file, line, column);
  };
  FailureOr<std::vector<BitPattern>> patterns = readBitPatterns(
      file, [&](unsigned line, unsigned column, const Twine &message) {
        emitError(getLoc(line, column)) << message;
      });
  if (failed(patterns))
    return signalPassFailure();

  SmallVector<bool> isUsed(patterns->size());
  llvm::MapVector<StringRef, BitsAttr> layers;
  for (auto method : model.getOps<MethodOp>())
    method.walk([&](OperatorOp op) {
      if (!anchorSet->contains(op, method.getInstance()))
        return;
      StringRef origin = getInstancePath(op.getLoc());
      BitsAttr bits =
          getBits(&getContext(), *patterns, method.getInstance(),
                  origin.empty() ? method.getInstance() : origin, isUsed);
      if (!bits) {
        op->removeDiscardableAttr(FQATDialect::kBitsAttr);
        return;
      }
      op->setDiscardableAttr(FQATDialect::kBitsAttr, bits);
      layers[method.getInstance()] = bits;
      ++numLayers;
    });
  for (auto [pattern, used] : llvm::zip(*patterns, isUsed))
    if (!used)
      emitWarning(getLoc(pattern.line, pattern.column))
          << "'" << pattern.glob.getText() << "' matches no layer";
  setRecord(model, describe(layers));
}

} // namespace fqat
