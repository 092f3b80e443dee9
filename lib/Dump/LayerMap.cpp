//===- LayerMap.cpp - The list of a network's layers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Dump/Layers.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/YAMLParser.h"

using namespace llvm;

namespace fqat::dump {

namespace {
/// Reads a map. Each read returns false after it has said what is wrong.
class MapReader {
public:
  MapReader(StringRef path, StringRef kitFolder, StringRef boardFolder,
            const PairSettings &defaults)
      : path(path), kitFolder(kitFolder), boardFolder(boardFolder),
        defaults(defaults) {
    sources.setDiagHandler(
        [](const SMDiagnostic &diagnostic, void *reader) {
          static_cast<MapReader *>(reader)->fail(diagnostic.getLineNo(),
                                                 diagnostic.getMessage());
        },
        this);
  }

  Expected<std::vector<Layer>> run(StringRef text);

private:
  bool fail(unsigned line, const Twine &what) {
    // One mistake can make a parser see many.
    if (message.empty())
      message = (path + ":" + Twine(line) + ": " + what).str();
    return false;
  }
  bool fail(const yaml::Node *node, const Twine &what) {
    return fail(sources.getLineAndColumn(node->getSourceRange().Start).first,
                what);
  }
  bool readLayers(yaml::Node *root);
  bool readLayer(yaml::MappingNode &mapping);
  bool readEntry(StringRef key, yaml::KeyValueNode &entry, Layer &layer);
  /// The text of a scalar, or of a list of scalars with commas between them.
  bool readText(yaml::Node *node, std::string &text);

  StringRef path, kitFolder, boardFolder;
  const PairSettings &defaults;
  SourceMgr sources;
  std::string message;
  std::vector<Layer> layers;
};
} // namespace

bool MapReader::readText(yaml::Node *node, std::string &text) {
  SmallString<64> storage;
  if (auto *scalar = dyn_cast_or_null<yaml::ScalarNode>(node)) {
    text = scalar->getValue(storage).str();
    return true;
  }
  auto *list = dyn_cast_or_null<yaml::SequenceNode>(node);
  if (!list)
    return false;
  SmallVector<std::string> parts;
  for (yaml::Node &item : *list) {
    auto *scalar = dyn_cast<yaml::ScalarNode>(&item);
    if (!scalar)
      return false;
    parts.push_back(scalar->getValue(storage).str());
  }
  text = join(parts, ",");
  return true;
}

/// Sets what `text` says; false if it does not.
static bool parse(StringRef text, double &number) {
  return to_float(text, number);
}
static bool parse(StringRef text, float &number) {
  return to_float(text, number);
}
template <typename Integer>
static bool parse(StringRef text, Integer &number) {
  return !text.getAsInteger(10, number);
}
static bool parse(StringRef text, bool &flag) {
  flag = text == "true";
  return flag || text == "false";
}
template <typename T>
static bool parse(StringRef text, std::optional<T> &value) {
  return parse(text, value.emplace());
}

bool MapReader::readEntry(StringRef key, yaml::KeyValueNode &entry,
                          Layer &layer) {
  PairSettings &settings = layer.settings;
  std::string text;
  yaml::Node *value = entry.getValue();
  if (!readText(value, text))
    return fail(entry.getKey(), key + " takes one value");
  auto say = [&](bool isGood, const Twine &expected) {
    return isGood || fail(entry.getKey(),
                          "'" + text + "' is no " + key + "; " + expected);
  };
  if (key == "name" || key == "kit" || key == "board") {
    std::string &place = key == "name"  ? layer.name
                         : key == "kit" ? layer.kit
                                        : layer.board;
    place = text;
    return say(!text.empty(), "write a name");
  }
  if (key == "shape") {
    Expected<Shape> shape = parseShape(text);
    if (!shape)
      return fail(entry.getKey(), toString(shape.takeError()));
    settings.shape = *shape;
    return true;
  }
  if (key == "kit-type" || key == "board-type") {
    auto &type = key == "kit-type" ? settings.kitType : settings.boardType;
    type = parseType(text);
    return say(type.has_value(), "f32, u8, i8, u4 and i4 are");
  }
  if (key == "kit-layout" || key == "board-layout") {
    std::optional<Order> order = parseOrder(text);
    if (order)
      (key == "kit-layout" ? settings.kitOrder : settings.boardOrder) = *order;
    return say(order.has_value(), "nchw and nhwc are");
  }
  if (key == "pad")
    return say(parse(text, settings.isPadded), "true and false are");
  bool isGood = key == "scale"  ? parse(text, settings.scale)
                : key == "zero" ? parse(text, settings.zero)
                : key == "atol" ? parse(text, settings.atol)
                : key == "rtol" ? parse(text, settings.rtol)
                : key == "lsb"  ? parse(text, settings.lsb)
                                : parse(text, settings.ulp);
  return say(isGood, "write a number");
}

bool MapReader::readLayer(yaml::MappingNode &mapping) {
  static const StringRef tolerances[] = {"atol", "rtol", "lsb", "ulp"};
  static const StringRef others[] = {
      "name",       "kit",          "board", "shape", "kit-type", "board-type",
      "kit-layout", "board-layout", "scale", "zero",  "pad"};
  Layer layer;
  layer.settings = defaults;
  bool hasTolerance = false;
  StringMap<bool> seen;
  for (yaml::KeyValueNode &entry : mapping) {
    std::string key;
    if (!isa_and_nonnull<yaml::ScalarNode>(entry.getKey()) ||
        !readText(entry.getKey(), key))
      return fail(&mapping, "a key is a name");
    bool isTolerance = is_contained(tolerances, key);
    unsigned number;
    if (!isTolerance && !is_contained(others, key))
      return fail(entry.getKey(),
                  "there is no key '" + Twine(key) + "'" +
                      (StringRef(key).getAsInteger(10, number)
                           ? ""
                           : "; within braces a shape is written [1,8,5,7]"));
    if (!seen.try_emplace(key, true).second)
      return fail(entry.getKey(), "'" + Twine(key) + "' is given twice");
    // A layer that has a tolerance has that one alone.
    if (isTolerance && !std::exchange(hasTolerance, true)) {
      layer.settings.atol = layer.settings.rtol = 0;
      layer.settings.lsb.reset();
      layer.settings.ulp.reset();
    }
    if (!readEntry(key, entry, layer))
      return false;
  }
  if (layer.name.empty())
    return fail(&mapping, "a layer needs a name");
  if (std::string fault = layer.settings.findFault(); !fault.empty())
    return fail(&mapping, fault);
  for (auto [file, folder] : {std::pair(&layer.kit, kitFolder),
                              std::pair(&layer.board, boardFolder)}) {
    if (file->empty())
      *file = layer.name + ".bin";
    if (sys::path::is_absolute(*file))
      continue;
    SmallString<128> joined(folder);
    sys::path::append(joined, *file);
    *file = joined.str().str();
  }
  layers.push_back(std::move(layer));
  return true;
}

bool MapReader::readLayers(yaml::Node *root) {
  auto *list = dyn_cast<yaml::SequenceNode>(root);
  if (!list)
    return fail(root, "a list of layers was expected: - {name: conv1, ...}");
  for (yaml::Node &item : *list) {
    auto *mapping = dyn_cast<yaml::MappingNode>(&item);
    if (!mapping)
      return fail(&item, "a layer was expected: - {name: conv1, ...}");
    if (!readLayer(*mapping))
      return false;
  }
  return true;
}

Expected<std::vector<Layer>> MapReader::run(StringRef text) {
  yaml::Stream stream(MemoryBufferRef(text, path), sources,
                      /*ShowColors=*/false);
  for (yaml::Document &document : stream) {
    yaml::Node *root = document.getRoot();
    if (!root || !message.empty())
      break;
    // Nothing at all, or a document of comments.
    if (isa<yaml::NullNode>(root))
      continue;
    if (!readLayers(root))
      break;
  }
  if (message.empty() && stream.failed())
    fail(1, "this is no YAML");
  if (message.empty() && layers.empty())
    fail(1, "there is no layer in it");
  if (!message.empty())
    return createStringError(message);
  return std::move(layers);
}

Expected<std::vector<Layer>> readLayers(StringRef path, StringRef kitFolder,
                                        StringRef boardFolder,
                                        const PairSettings &defaults) {
  auto buffer = MemoryBuffer::getFile(path);
  if (!buffer)
    return createStringError(buffer.getError(),
                             path + ": " + buffer.getError().message());
  return MapReader(path, kitFolder, boardFolder, defaults)
      .run((*buffer)->getBuffer());
}

} // namespace fqat::dump
