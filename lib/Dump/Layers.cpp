//===- Layers.cpp - The dumps of a network's layers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Layers.h"
#include "Walk.h"

#include <atomic>
#include <cmath>
#include <mutex>

using namespace llvm;

namespace fqat::dump {

//===----------------------------------------------------------------------===//
// Pairs
//===----------------------------------------------------------------------===//

std::string PairSettings::findFault() const {
  // 4-bit values are compared as they are.
  if (!(std::isfinite(scale) && scale != 0))
    return "the scale must be a finite number other than 0";
  auto isTolerance = [](double value) {
    return value >= 0 && std::isfinite(value);
  };
  if (!isTolerance(atol) || !isTolerance(rtol) || !isTolerance(lsb.value_or(0)))
    return "a tolerance must be a finite number, 0 or more";
  if ((atol != 0 || rtol != 0) + ulp.has_value() + lsb.has_value() > 1)
    return "--atol with --rtol, --ulp and --lsb exclude each other";
  return "";
}

Tolerance PairSettings::getTolerance() const {
  Tolerance tolerance{atol, rtol, lsb.has_value(), ulp};
  // Products of float32 are a little off.
  constexpr double slack = 1e-3;
  if (lsb && *lsb != 0)
    tolerance.atol = (*lsb + slack) * std::abs(scale);
  return tolerance;
}

Expected<Pair> openPair(StringRef kit, StringRef board,
                        const PairSettings &settings) {
  if (std::string fault = settings.findFault(); !fault.empty())
    return createStringError(fault);
  Pair pair;
  pair.kitFormat.order = settings.kitOrder;
  pair.boardFormat.order = settings.boardOrder;
  pair.boardFormat.scale = settings.scale;
  pair.boardFormat.zero = settings.zero;
  std::optional<Shape> shape = settings.shape;
  struct Side {
    StringRef path;
    std::shared_ptr<const DumpFile> &file;
    Format &format;
    const std::optional<ElementType> &type;
  };
  Side sides[] = {{kit, pair.kit, pair.kitFormat, settings.kitType},
                  {board, pair.board, pair.boardFormat, settings.boardType}};
  for (Side &side : sides) {
    Expected<DumpFile> file = DumpFile::open(side.path);
    if (!file)
      return file.takeError();
    side.file = std::make_shared<DumpFile>(std::move(*file));
  }
  for (auto &[path, file, format, type] : sides) {
    Expected<ElementType> resolved = file->resolveType(type);
    if (!resolved)
      return resolved.takeError();
    format.type = *resolved;
    format.isPadded = settings.isPadded;
    auto either = file->resolveShape(format, shape);
    if (!either)
      return either.takeError();
    shape = *either;
  }
  if (!shape)
    return createStringError("raw files do not tell their shape: say --shape "
                             "N,C,H,W");
  pair.shape = *shape;
  for (const Side &side : sides)
    if (Error error = side.file->check(side.format, *shape))
      return std::move(error);
  return pair;
}

//===----------------------------------------------------------------------===//
// Comparing
//===----------------------------------------------------------------------===//

static LayerResult compareLayer(const Layer &layer) {
  LayerResult result;
  Expected<Pair> pair = openPair(layer.kit, layer.board, layer.settings);
  if (!pair) {
    result.error = toString(pair.takeError());
    return result;
  }
  CompareOptions options;
  options.tolerance = layer.settings.getTolerance();
  options.numThreads = 1;
  result.comparison = compare(*pair, options);
  return result;
}

std::vector<LayerResult> compareLayers(ArrayRef<Layer> layers, unsigned numJobs,
                                       function_ref<void(size_t)> progress) {
  std::vector<LayerResult> results(layers.size());
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  size_t numDone = 0;
  numJobs = std::min<size_t>(getNumThreads(numJobs), layers.size());
  // Each takes the next: layers differ in size.
  forEachPart(numJobs, numJobs, [&](uint64_t, uint64_t, unsigned) {
    for (size_t i; (i = next++) < layers.size();) {
      results[i] = compareLayer(layers[i]);
      std::scoped_lock<std::mutex> lock(mutex);
      progress(++numDone);
    }
  });
  return results;
}

} // namespace fqat::dump
