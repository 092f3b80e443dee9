//===- Layers.cpp - The dumps of a network's layers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Layers.h"
#include "Walk.h"

#include "llvm/Support/Path.h"
#include "llvm/Support/YAMLTraits.h"

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
  Tolerance tolerance{atol, rtol, ulp};
  // Products of float32 are a little off.
  constexpr double slack = 1e-3;
  if (lsb)
    tolerance.atol = (*lsb + slack) * std::abs(scale);
  return tolerance;
}

Expected<Pair> makePair(const DumpFile &kit, const DumpFile &board,
                        const PairSettings &settings) {
  if (std::string fault = settings.findFault(); !fault.empty())
    return createStringError(fault);
  Pair pair{&kit, &board, {}, {}, {}};
  pair.kitFormat.order = settings.kitOrder;
  pair.boardFormat.order = settings.boardOrder;
  pair.boardFormat.scale = settings.scale;
  pair.boardFormat.zero = settings.zero;
  std::optional<Shape> shape = settings.shape;
  struct Side {
    const DumpFile &file;
    Format &format;
    const std::optional<ElementType> &type;
  };
  for (auto [file, format, type] :
       {Side{kit, pair.kitFormat, settings.kitType},
        Side{board, pair.boardFormat, settings.boardType}}) {
    auto own = file.getOwnType();
    if (!own)
      return own.takeError();
    // Bytes may be packed, or signed.
    if (type && *own && *type != **own &&
        (**own == ElementType::F32 || *type == ElementType::F32))
      return createStringError(file.getPath() + ": the array is " +
                               getName(**own) + ", not " + getName(*type));
    format.type = type.value_or(own->value_or(ElementType::F32));
    format.isPadded = settings.isPadded;
    auto ownShape = file.getOwnShape(format);
    if (!ownShape)
      return ownShape.takeError();
    if (*ownShape && shape && **ownShape != *shape)
      return createStringError(
          file.getPath() + ": the array is " + (*ownShape)->str() + " (as " +
          getName(format.order) + "), not " + shape->str());
    if (*ownShape)
      shape = **ownShape;
  }
  if (!shape)
    return createStringError("raw files do not tell their shape: say --shape "
                             "N,C,H,W");
  pair.shape = *shape;
  if (Error error = kit.check(pair.kitFormat, *shape))
    return std::move(error);
  if (Error error = board.check(pair.boardFormat, *shape))
    return std::move(error);
  return pair;
}

//===----------------------------------------------------------------------===//
// The list of layers
//===----------------------------------------------------------------------===//

namespace {
/// A layer as it is written.
struct Entry {
  std::string name, kit, board, shape, kitType, boardType, kitLayout,
      boardLayout;
  std::optional<float> scale;
  std::optional<int32_t> zero;
  std::optional<bool> pad;
  std::optional<double> atol, rtol, lsb;
  std::optional<uint32_t> ulp;
};
} // namespace

} // namespace fqat::dump

LLVM_YAML_IS_SEQUENCE_VECTOR(fqat::dump::Entry)

template <>
struct llvm::yaml::MappingTraits<fqat::dump::Entry> {
  static void mapping(IO &io, fqat::dump::Entry &entry) {
    io.mapRequired("name", entry.name);
    io.mapOptional("kit", entry.kit);
    io.mapOptional("board", entry.board);
    io.mapOptional("shape", entry.shape);
    io.mapOptional("kit-type", entry.kitType);
    io.mapOptional("board-type", entry.boardType);
    io.mapOptional("kit-layout", entry.kitLayout);
    io.mapOptional("board-layout", entry.boardLayout);
    io.mapOptional("scale", entry.scale);
    io.mapOptional("zero", entry.zero);
    io.mapOptional("pad", entry.pad);
    io.mapOptional("atol", entry.atol);
    io.mapOptional("rtol", entry.rtol);
    io.mapOptional("lsb", entry.lsb);
    io.mapOptional("ulp", entry.ulp);
  }
};

namespace fqat::dump {

static Expected<Layer> makeLayer(const Entry &entry, StringRef kitFolder,
                                 StringRef boardFolder,
                                 const PairSettings &defaults) {
  Layer layer{entry.name, "", "", defaults};
  auto fail = [&](const Twine &message) {
    return createStringError("the layer '" + entry.name + "': " + message);
  };
  auto join = [&](StringRef folder, const std::string &path) {
    SmallString<128> joined(folder);
    sys::path::append(joined, path.empty() ? entry.name + ".bin" : path);
    return joined.str().str();
  };
  layer.kit = join(kitFolder, entry.kit);
  layer.board = join(boardFolder, entry.board);
  PairSettings &settings = layer.settings;
  if (!entry.shape.empty()) {
    Expected<Shape> shape = parseShape(entry.shape);
    if (!shape)
      return fail(toString(shape.takeError()));
    settings.shape = *shape;
  }
  for (auto [text, type] : {std::pair(&entry.kitType, &settings.kitType),
                            std::pair(&entry.boardType, &settings.boardType)}) {
    if (text->empty())
      continue;
    *type = parseType(*text);
    if (!*type)
      return fail("'" + *text + "' is no type; f32, u8, i8, u4 and i4 are");
  }
  for (auto [text, order] :
       {std::pair(&entry.kitLayout, &settings.kitOrder),
        std::pair(&entry.boardLayout, &settings.boardOrder)}) {
    if (text->empty())
      continue;
    std::optional<Order> parsed = parseOrder(*text);
    if (!parsed)
      return fail("'" + *text + "' is no layout; nchw and nhwc are");
    *order = *parsed;
  }
  settings.scale = entry.scale.value_or(settings.scale);
  settings.zero = entry.zero.value_or(settings.zero);
  settings.isPadded = entry.pad.value_or(settings.isPadded);
  // A layer that has a tolerance has that one alone.
  if (entry.atol || entry.rtol || entry.lsb || entry.ulp) {
    settings.atol = entry.atol.value_or(0);
    settings.rtol = entry.rtol.value_or(0);
    settings.lsb = entry.lsb;
    settings.ulp = entry.ulp;
  }
  return layer;
}

Expected<std::vector<Layer>> readLayers(StringRef path, StringRef kitFolder,
                                        StringRef boardFolder,
                                        const PairSettings &defaults) {
  auto buffer = MemoryBuffer::getFile(path);
  if (!buffer)
    return createStringError(buffer.getError(),
                             path + ": " + buffer.getError().message());
  std::string message;
  auto keep = [](const SMDiagnostic &diagnostic, void *context) {
    auto &text = *static_cast<std::string *>(context);
    if (text.empty())
      text = (diagnostic.getFilename() + ":" + Twine(diagnostic.getLineNo()) +
              ": " + diagnostic.getMessage())
                 .str();
  };
  yaml::Input input(MemoryBufferRef((*buffer)->getBuffer(), path), nullptr,
                    keep, &message);
  std::vector<Entry> entries;
  input >> entries;
  if (input.error())
    return createStringError(message.empty() ? path + ": is no list of layers"
                                             : Twine(message));
  if (entries.empty())
    return createStringError(path + ": there is no layer in it");
  std::vector<Layer> layers;
  for (const Entry &entry : entries) {
    Expected<Layer> layer = makeLayer(entry, kitFolder, boardFolder, defaults);
    if (!layer)
      return createStringError(path + ": " + toString(layer.takeError()));
    layers.push_back(std::move(*layer));
  }
  return layers;
}

static LayerResult compareLayer(const Layer &layer) {
  auto run = [&]() -> Expected<Comparison> {
    Expected<DumpFile> kit = DumpFile::open(layer.kit);
    if (!kit)
      return kit.takeError();
    Expected<DumpFile> board = DumpFile::open(layer.board);
    if (!board)
      return board.takeError();
    Expected<Pair> pair = makePair(*kit, *board, layer.settings);
    if (!pair)
      return pair.takeError();
    CompareOptions options;
    options.tolerance = layer.settings.getTolerance();
    options.numThreads = 1;
    return compare(*pair, options);
  };
  LayerResult result;
  Expected<Comparison> comparison = run();
  if (comparison)
    result.comparison = std::move(*comparison);
  else
    result.error = toString(comparison.takeError());
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
