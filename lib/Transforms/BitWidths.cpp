//===- BitWidths.cpp - Bit widths by instance pattern -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Transforms/BitWidths.h"
#include "fqat/IR/FQATOps.h"

#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/YAMLParser.h"

using namespace llvm;
using mlir::failure;
using mlir::FailureOr;

namespace fqat {
namespace {

constexpr StringLiteral kQuoteStar = "quote a glob that starts with *";

using OnError = function_ref<void(unsigned, unsigned, const Twine &)>;

class Reader {
public:
  explicit Reader(OnError onError) : onError(onError) {
    sources.setDiagHandler(
        [](const SMDiagnostic &diagnostic, void *reader) {
          // To YAML it is an alias.
          bool isStar = diagnostic.getLineContents().ltrim().starts_with("*");
          static_cast<Reader *>(reader)->report(
              diagnostic.getLineNo(), diagnostic.getColumnNo() + 1,
              isStar ? StringRef(kQuoteStar) : diagnostic.getMessage());
        },
        this);
  }

  FailureOr<std::vector<BitPattern>> run(MemoryBufferRef buffer);

private:
  void readPattern(yaml::KeyValueNode &entry);
  void readWidth(yaml::KeyValueNode &entry, BitPattern &pattern);

  void report(unsigned line, unsigned column, const Twine &message) {
    // One mistake can make a parser see many.
    if (!std::exchange(hasFailed, true))
      onError(line, column, message);
  }
  void report(const yaml::Node *node, const Twine &message) {
    auto [line, column] = getPosition(node);
    report(line, column, message);
  }
  std::pair<unsigned, unsigned> getPosition(const yaml::Node *node) {
    return sources.getLineAndColumn(node->getSourceRange().Start);
  }
  /// The text of a plain or quoted scalar, or nothing.
  std::optional<StringRef> getText(yaml::Node *node,
                                   SmallVectorImpl<char> &storage) {
    auto *scalar = dyn_cast_or_null<yaml::ScalarNode>(node);
    if (!scalar)
      return std::nullopt;
    return scalar->getValue(storage);
  }

  OnError onError;
  SourceMgr sources;
  std::vector<BitPattern> patterns;
  bool hasFailed = false;
};

} // namespace

void Reader::readWidth(yaml::KeyValueNode &entry, BitPattern &pattern) {
  SmallString<16> keyStorage, valueStorage;
  yaml::Node *keyNode = entry.getKey(), *valueNode = entry.getValue();
  std::optional<StringRef> key = getText(keyNode, keyStorage);
  bool isFeature = key == "feature";
  if (!isFeature && key != "weight")
    return report(keyNode, "there are feature and weight bits");
  std::optional<StringRef> value = getText(valueNode, valueStorage);
  unsigned bits = 0;
  bool isWidth = value && !value->getAsInteger(10, bits) &&
                 (isFeature ? BitsAttr::isFeatureWidth(bits)
                            : BitsAttr::isWeightWidth(bits));
  if (!isWidth)
    return report(valueNode, (isFeature ? "feature bits are 4, 8, 10 or 12"
                                        : "weight bits are 4 or 8") +
                                 (value ? ", not " + *value : Twine()));
  unsigned &slot = isFeature ? pattern.feature : pattern.weight;
  if (slot != 0)
    return report(keyNode, *key + " is given twice");
  slot = bits;
}

void Reader::readPattern(yaml::KeyValueNode &entry) {
  SmallString<64> storage;
  yaml::Node *keyNode = entry.getKey();
  std::optional<StringRef> text = getText(keyNode, storage);
  if (!text || text->empty()) {
    bool isAlias = isa_and_nonnull<yaml::AliasNode>(keyNode);
    return report(keyNode,
                  isAlias ? kQuoteStar
                          : StringLiteral("a glob of instances was expected"));
  }
  Expected<InstanceGlob> glob = InstanceGlob::create(*text);
  if (!glob)
    return report(keyNode, toString(glob.takeError()));
  auto [line, column] = getPosition(keyNode);
  BitPattern pattern{std::move(*glob), 0, 0, line, column};
  auto *widths = dyn_cast_or_null<yaml::MappingNode>(entry.getValue());
  if (!widths)
    return report(keyNode, "this needs {feature: BITS, weight: BITS}, or one "
                           "of the two");
  for (yaml::KeyValueNode &width : *widths) {
    readWidth(width, pattern);
    if (hasFailed)
      return;
  }
  if (pattern.feature == 0 && pattern.weight == 0)
    return report(keyNode, "this gives neither feature nor weight bits");
  patterns.push_back(std::move(pattern));
}

FailureOr<std::vector<BitPattern>> Reader::run(MemoryBufferRef buffer) {
  yaml::Stream stream(buffer, sources, /*ShowColors=*/false);
  for (yaml::Document &document : stream) {
    yaml::Node *root = document.getRoot();
    if (!root || hasFailed)
      break;
    // An empty file gives nothing.
    if (isa<yaml::NullNode>(root))
      continue;
    auto *mapping = dyn_cast<yaml::MappingNode>(root);
    if (!mapping) {
      report(root, "a mapping of globs to bit widths was expected");
      break;
    }
    for (yaml::KeyValueNode &entry : *mapping) {
      if (!hasFailed)
        readPattern(entry);
      if (hasFailed)
        break;
    }
    if (hasFailed)
      break;
  }
  if (stream.failed() && !hasFailed)
    report(0, 0, "no YAML");
  if (hasFailed)
    return failure();
  return std::move(patterns);
}

FailureOr<std::vector<BitPattern>> readBitPatterns(StringRef path,
                                                   OnError onError) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer) {
    onError(0, 0, buffer.getError().message());
    return failure();
  }
  return Reader(onError).run(**buffer);
}

} // namespace fqat
