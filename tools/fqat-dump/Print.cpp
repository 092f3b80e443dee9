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
#include "llvm/Support/JSON.h"

#include <cmath>
#include <numeric>

using namespace llvm;

namespace fqat::dump {

static void printDifference(raw_ostream &os, StringRef title,
                            const Difference &d) {
  os << formatv("  {0}  n={1} c={2} h={3} w={4}  kit[{5}] = {6}  board at byte "
                "{7}",
                title, d.index.n, d.index.c, d.index.h, d.index.w, d.kitIndex,
                spellNumber(d.kit), d.boardByte);
  if (d.boardNibble)
    os << (*d.boardNibble == 0 ? ", low nibble" : ", high nibble");
  os << " = " << spellNumber(d.board) << '\n';
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
                  spellNumber(all[i].maxAbs),
                  i == order[std::min(most, numWrong) - 1] ? "" : ",");
  os << (numWrong > most ? ", ...\n" : "\n");
}

void printComparison(raw_ostream &os, const Comparison &result) {
  if (result.different == 0) {
    os << result.count << " elements, equal";
    if (result.maxAbs != 0)
      os << " within the tolerance: largest |kit - board| "
         << spellNumber(result.maxAbs);
    os << '\n';
    return;
  }
  double percent = 100.0 * result.different / result.count;
  constexpr double least = 0.01;
  std::string share =
      percent < least ? "less than 0.01"
      : percent > 100 - least && result.different != result.count
          ? "more than 99.99"
          : formatv("{0:f2}", percent).str();
  os << formatv("{0} of {1} elements differ ({2} %), largest |kit - board| "
                "{3}\n",
                result.different, result.count, share,
                spellNumber(result.maxAbs));
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
                  spellNumber(c.maxAbs));
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
    return value ? spellNumber(*value) : std::string("none");
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

namespace {
/// Writes as it goes: there can be very many channels.
class JSONWriter {
public:
  explicit JSONWriter(raw_ostream &os) : os(os), json(os, /*IndentSize=*/2) {}
  ~JSONWriter() {
    json.flush();
    os << '\n';
  }

  void write(const Comparison &result);
  void write(StringRef path, const Info &info);
  void write(ArrayRef<Layer> layers, ArrayRef<LayerResult> results);

private:
  void writeAttributes(const Comparison &result);
  void writeNumber(StringRef name, double value);
  void writeNumber(StringRef name, const std::optional<double> &value) {
    if (value)
      writeNumber(name, *value);
    else
      json.attribute(name, nullptr);
  }
  void writeText(StringRef name, StringRef value) {
    if (value.empty())
      json.attribute(name, nullptr);
    else
      json.attribute(name, json::fixUTF8(value));
  }
  void writeShape(const Shape &shape) {
    json.array([&] {
      for (uint64_t size : {shape.n, shape.c, shape.h, shape.w})
        json.value(size);
    });
  }
  void writeDifference(StringRef name,
                       const std::optional<Difference> &difference);
  void writeErrors(StringRef name, StringRef letter, ArrayRef<Errors> all);

  raw_ostream &os;
  json::OStream json;
};
} // namespace

void JSONWriter::writeNumber(StringRef name, double value) {
  if (std::isnan(value))
    json.attribute(name, "NaN");
  else if (std::isinf(value))
    json.attribute(name, value < 0 ? "-Infinity" : "Infinity");
  else
    json.attribute(name, value);
}

void JSONWriter::writeDifference(StringRef name,
                                 const std::optional<Difference> &difference) {
  if (!difference)
    return json.attribute(name, nullptr);
  const Difference &d = *difference;
  json.attributeObject(name, [&] {
    json.attributeArray("nchw", [&] {
      for (uint64_t i : {d.index.n, d.index.c, d.index.h, d.index.w})
        json.value(i);
    });
    json.attribute("kit_index", d.kitIndex);
    json.attribute("board_byte", d.boardByte);
    if (d.boardNibble)
      json.attribute("board_nibble", *d.boardNibble);
    else
      json.attribute("board_nibble", nullptr);
    writeNumber("kit", d.kit);
    writeNumber("board", d.board);
    writeNumber("abs", d.magnitude);
  });
}

void JSONWriter::writeErrors(StringRef name, StringRef letter,
                             ArrayRef<Errors> all) {
  json.attributeArray(name, [&] {
    for (auto [i, errors] : enumerate(all))
      if (errors.different != 0)
        json.object([&, i = i, &errors = errors] {
          json.attribute(letter, i);
          json.attribute("different", errors.different);
          writeNumber("max_abs", errors.maxAbs);
        });
  });
}

void JSONWriter::writeAttributes(const Comparison &result) {
  json.attributeBegin("shape");
  writeShape(result.shape);
  json.attributeEnd();
  json.attribute("count", result.count);
  json.attribute("different", result.different);
  writeNumber("max_abs", result.maxAbs);
  writeText("verdict", result.verdict);
  writeText("explanation", result.explanation);
  writeDifference("first", result.first);
  writeDifference("worst", result.worst);
  writeErrors("channels", "c", result.channels);
  writeErrors("rows", "h", result.rows);
}

void JSONWriter::write(const Comparison &result) {
  json.object([&] { writeAttributes(result); });
}

void JSONWriter::write(ArrayRef<Layer> layers, ArrayRef<LayerResult> results) {
  StringRef first;
  size_t numDifferent = 0;
  for (auto [layer, result] : zip(layers, results))
    if (result.comparison && result.comparison->different != 0 &&
        numDifferent++ == 0)
      first = layer.name;
  json.object([&] {
    writeText("first_different", first);
    json.attribute("different", numDifferent);
    json.attributeArray("layers", [&] {
      for (const auto &[layer, result] : zip(layers, results))
        json.object([&, &layer = layer, &result = result] {
          writeText("name", layer.name);
          writeText("kit", layer.kit);
          writeText("board", layer.board);
          if (result.comparison)
            writeAttributes(*result.comparison);
          else
            writeText("error", result.error);
        });
    });
  });
}

void JSONWriter::write(StringRef path, const Info &info) {
  json.object([&] {
    writeText("file", path);
    json.attribute("size", info.numBytes);
    json.attribute("type", getName(info.type));
    json.attribute("count", info.count);
    writeNumber("min", info.min);
    writeNumber("max", info.max);
    writeNumber("mean", info.mean);
    json.attribute("zeros", info.numZero);
    json.attribute("nan", info.numNaN);
    json.attribute("infinite", info.numInfinite);
    json.attributeArray("fits", [&] {
      for (const Info::Fit &fit : info.fits)
        json.object([&] {
          json.attribute("type", getName(fit.type));
          json.attribute("count", fit.count);
          json.attributeArray("shapes", [&] {
            for (const Shape &shape : fit.shapes)
              writeShape(shape);
          });
        });
    });
    json.attributeArray("warnings", [&] {
      for (const std::string &warning : info.warnings)
        json.value(warning);
    });
  });
}

void writeJSON(raw_ostream &os, StringRef path, const Info &info) {
  JSONWriter(os).write(path, info);
}

void writeJSON(raw_ostream &os, const Comparison &result) {
  JSONWriter(os).write(result);
}

void writeJSON(raw_ostream &os, ArrayRef<Layer> layers,
               ArrayRef<LayerResult> results) {
  JSONWriter(os).write(layers, results);
}

} // namespace fqat::dump
