//===- Print.cpp - What fqat-dump prints -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Print.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <numeric>

using namespace llvm;

namespace fqat::dump {

/// Enough digits to tell any two float32 from each other, and no more than it
/// takes.
static std::string spell(double value) {
  for (int digits = 6; digits <= 9; ++digits) {
    std::string text;
    raw_string_ostream(text) << llvm::format("%.*g", digits, value);
    double read;
    if (std::isnan(value) ||
        (to_float(text, read) &&
         static_cast<float>(read) == static_cast<float>(value)) ||
        digits == 9)
      return text;
  }
  return "";
}

static void printDifference(raw_ostream &os, StringRef title,
                            const Difference &d) {
  os << formatv("  {0}  n={1} c={2} h={3} w={4}  kit[{5}] = {6}  board at byte "
                "{7}",
                title, d.index.n, d.index.c, d.index.h, d.index.w, d.kitIndex,
                spell(d.kit), d.boardByte);
  if (d.boardNibble)
    os << (*d.boardNibble == 0 ? ", low nibble" : ", high nibble");
  os << " = " << spell(d.board) << '\n';
}

/// The channels or rows with the most errors.
static void printErrors(raw_ostream &os, StringRef title, StringRef letter,
                        ArrayRef<Errors> all) {
  constexpr size_t most = 6;
  SmallVector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  size_t numWrong =
      count_if(all, [](const Errors &errors) { return errors.different != 0; });
  stable_sort(order, [&](size_t a, size_t b) {
    return all[a].different > all[b].different;
  });
  os << formatv("  {0}: {1} of {2} have differences:", title, numWrong,
                all.size());
  for (size_t i : ArrayRef(order).take_front(std::min(most, numWrong)))
    os << formatv(" {0}={1}: {2} (up to {3}){4}", letter, i, all[i].different,
                  spell(all[i].maxAbs),
                  i == order[std::min(most, numWrong) - 1] ? "" : ",");
  os << (numWrong > most ? ", ...\n" : "\n");
}

void printComparison(raw_ostream &os, const Comparison &result) {
  if (result.different == 0) {
    os << result.count << " elements, equal";
    if (result.maxAbs != 0)
      os << " within the tolerance: largest |kit - board| "
         << spell(result.maxAbs);
    os << '\n';
    return;
  }
  os << formatv("{0} of {1} elements differ ({2:f2} %), largest |kit - board| "
                "{3}\n",
                result.different, result.count,
                100.0 * result.different / result.count, spell(result.maxAbs));
  printDifference(os, "first", *result.first);
  printDifference(os, "worst", *result.worst);
  printErrors(os, "channels", "c", result.channels);
  printErrors(os, "rows", "h", result.rows);
  if (!result.verdict.empty())
    os << "verdict: " << result.verdict << ": " << result.explanation << '\n';
}

void printLayers(raw_ostream &os, ArrayRef<Layer> layers,
                 ArrayRef<LayerResult> results) {
  auto isWrong = [](const LayerResult &result) {
    return result.comparison && result.comparison->different != 0;
  };
  const auto *first = find_if(results, isWrong);
  size_t numUnusable =
      count_if(results, [](const LayerResult &r) { return !r.error.empty(); });
  if (first != results.end()) {
    os << formatv("the first layer that differs is {0} ({1} of {2}):\n",
                  layers[first - results.begin()].name,
                  first - results.begin() + 1, layers.size());
    printComparison(os, *first->comparison);
    os << '\n';
  } else if (numUnusable == 0) {
    os << "all layers are equal\n";
  }
  size_t width = 5;
  for (const Layer &layer : layers)
    width = std::max(width, layer.name.size());
  os << left_justify("layer", width)
     << formatv(" {0,12} {1,12} {2,12}  verdict\n", "elements", "different",
                "max abs");
  for (auto [layer, result] : zip(layers, results)) {
    os << left_justify(layer.name, width);
    if (!result.comparison) {
      os << " error: " << result.error << '\n';
      continue;
    }
    const Comparison &c = *result.comparison;
    os << formatv(" {0,12} {1,12} {2,12}", c.count, c.different,
                  spell(c.maxAbs));
    os << (c.verdict.empty() ? "" : "  ") << c.verdict << '\n';
  }
}

void printInfo(raw_ostream &os, StringRef path, const Info &info) {
  os << formatv("{0}: {1} bytes\n", path, info.numBytes);
  for (const Info::Fit &fit : info.fits) {
    os << formatv("  as {0}: {1} elements", getName(fit.type), fit.count);
    if (!fit.shapes.empty())
      os << ", such as "
         << join(map_range(fit.shapes,
                           [](const Shape &shape) { return shape.str(); }),
                 "  ");
    os << '\n';
  }
  auto show = [](const std::optional<double> &value) {
    return value ? spell(*value) : std::string("none");
  };
  os << formatv("read as {0}: min {1}, max {2}, mean {3}, {4} zeros, {5} NaN, "
                "{6} infinite\n",
                getName(info.type), show(info.min), show(info.max),
                show(info.mean), info.numZero, info.numNaN, info.numInfinite);
  for (const std::string &warning : info.warnings)
    os << "warning: " << warning << '\n';
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

static json::Value toNumber(double value) {
  if (std::isnan(value))
    return "NaN";
  if (std::isinf(value))
    return value < 0 ? "-Infinity" : "Infinity";
  return value;
}

static json::Value toJSON(const Shape &shape) {
  return json::Array{shape.n, shape.c, shape.h, shape.w};
}

static json::Value toJSON(const std::optional<Difference> &difference) {
  if (!difference)
    return nullptr;
  const Index &index = difference->index;
  json::Value nibble = nullptr;
  if (difference->boardNibble)
    nibble = *difference->boardNibble;
  return json::Object{{"nchw", json::Array{index.n, index.c, index.h, index.w}},
                      {"kit_index", difference->kitIndex},
                      {"board_byte", difference->boardByte},
                      {"board_nibble", std::move(nibble)},
                      {"kit", toNumber(difference->kit)},
                      {"board", toNumber(difference->board)},
                      {"abs", toNumber(difference->magnitude)}};
}

static json::Array toJSON(StringRef name, ArrayRef<Errors> all) {
  json::Array array;
  for (auto [i, errors] : enumerate(all))
    if (errors.different != 0)
      array.push_back(json::Object{{name, i},
                                   {"different", errors.different},
                                   {"max_abs", toNumber(errors.maxAbs)}});
  return array;
}

json::Object toJSON(const Comparison &result) {
  json::Value verdict = nullptr, explanation = nullptr;
  if (!result.verdict.empty())
    verdict = result.verdict;
  if (!result.explanation.empty())
    explanation = result.explanation;
  return json::Object{{"shape", toJSON(result.shape)},
                      {"count", result.count},
                      {"different", result.different},
                      {"max_abs", toNumber(result.maxAbs)},
                      {"verdict", std::move(verdict)},
                      {"explanation", std::move(explanation)},
                      {"first", toJSON(result.first)},
                      {"worst", toJSON(result.worst)},
                      {"channels", toJSON("c", result.channels)},
                      {"rows", toJSON("h", result.rows)}};
}

json::Value toJSON(ArrayRef<Layer> layers, ArrayRef<LayerResult> results) {
  json::Value first = nullptr;
  json::Array all;
  size_t numDifferent = 0;
  for (auto [layer, result] : zip(layers, results)) {
    json::Object object;
    if (result.comparison)
      object = toJSON(*result.comparison);
    else
      object["error"] = json::fixUTF8(result.error);
    object["name"] = json::fixUTF8(layer.name);
    object["kit"] = json::fixUTF8(layer.kit);
    object["board"] = json::fixUTF8(layer.board);
    if (result.comparison && result.comparison->different != 0 &&
        numDifferent++ == 0)
      first = json::fixUTF8(layer.name);
    all.push_back(std::move(object));
  }
  return json::Object{{"first_different", std::move(first)},
                      {"different", numDifferent},
                      {"layers", std::move(all)}};
}

json::Value toJSON(StringRef path, const Info &info) {
  json::Array fits, warnings;
  for (const Info::Fit &fit : info.fits) {
    json::Array shapes;
    for (const Shape &shape : fit.shapes)
      shapes.push_back(toJSON(shape));
    fits.push_back(json::Object{{"type", getName(fit.type)},
                                {"count", fit.count},
                                {"shapes", std::move(shapes)}});
  }
  for (const std::string &warning : info.warnings)
    warnings.push_back(warning);
  auto show = [](const std::optional<double> &value) -> json::Value {
    if (!value)
      return nullptr;
    return toNumber(*value);
  };
  return json::Object{
      {"file", json::fixUTF8(path)}, {"size", info.numBytes},
      {"type", getName(info.type)},  {"count", info.count},
      {"min", show(info.min)},       {"max", show(info.max)},
      {"mean", show(info.mean)},     {"zeros", info.numZero},
      {"nan", info.numNaN},          {"infinite", info.numInfinite},
      {"fits", std::move(fits)},     {"warnings", std::move(warnings)}};
}

} // namespace fqat::dump
