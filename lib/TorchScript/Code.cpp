//===- Code.cpp - TorchScript's source code -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A record of lines is a pickle:
//
//   ("FORMAT_WITH_STRING_TABLE", (texts...),
//    ((position in the code, ((lines of the source, file, first line),
//                             begin, end), tag), ...))
//
// in which texts, and so lines and files, are indices of the table. Files from
// before torch 1.11 hold only the last tuple, with the texts in place.
//
//===----------------------------------------------------------------------===//

#include "Code.h"

#include "Types.h"

#include "fqat/TorchScript/Pickle.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include <torch/csrc/jit/serialization/source_range_serialization.h>

namespace jit = torch::jit;

namespace fqat {

llvm::StringRef getQualifier(llvm::StringRef name) {
  auto [qualifier, leaf] = name.rsplit('.');
  return leaf.empty() ? llvm::StringRef() : qualifier;
}

std::string getCodeRecord(llvm::StringRef qualifier) {
  std::string path = qualifier.str();
  llvm::replace(path, '.', '/');
  return "code/" + path + ".py";
}

//===----------------------------------------------------------------------===//
// Records of lines
//===----------------------------------------------------------------------===//

namespace {

/// The pairs of a position in the code and the source range of the model's
/// author, sorted by position.
///
/// libtorch does not export its own reader of these records.
class DebugRecord : public jit::SourceRangeUnpickler {
public:
  explicit DebugRecord(std::string bytes) : bytes(std::move(bytes)) {}

  std::optional<jit::SourceRange>
  findSourceRangeThatGenerated(const jit::SourceRange &range) override {
    if (!parsed) {
      parsed = true;
      if (!parse())
        ranges.clear();
      llvm::stable_sort(ranges, llvm::less_first());
    }
    auto it = llvm::upper_bound(ranges, range.start(),
                                [](size_t position, const auto &entry) {
                                  return position < entry.first;
                                });
    if (it == ranges.begin())
      return std::nullopt;
    return std::prev(it)->second;
  }

private:
  /// Returns false where the record is not what it should be.
  bool parse();
  bool parseEntry(const PickleValue &entry);
  std::shared_ptr<jit::Source> parseSource(const PickleValue &source);
  /// A text in place or by its index in the table; null if it is neither.
  const std::string *getText(const PickleValue &value) const {
    if (value.isString())
      return &value.text;
    bool isIndex = value.kind == PickleValue::Int && value.integer >= 0 &&
                   static_cast<size_t>(value.integer) < texts.size();
    return isIndex ? texts[value.integer] : nullptr;
  }

  std::string bytes;
  bool parsed = false;
  std::vector<const std::string *> texts;
  /// Many ranges share a source; the pickle keeps them shared.
  llvm::DenseMap<const PickleValue *, std::shared_ptr<jit::Source>> sources;
  std::vector<std::pair<size_t, jit::SourceRange>> ranges;
};

} // namespace

static bool isTupleOf(const PickleValue &value, size_t size) {
  return value.isTuple() && value.items.size() == size;
}

std::shared_ptr<jit::Source>
DebugRecord::parseSource(const PickleValue &value) {
  std::shared_ptr<jit::Source> &source = sources[&value];
  if (source || !isTupleOf(value, 3))
    return source;
  const PickleValue &lines = *value.items[0];
  std::string text;
  // A list of ints is wrapped in a call that gives it its type.
  const PickleValue &list =
      lines.kind == PickleValue::Reduce && !lines.arguments().empty()
          ? *lines.arguments().front()
          : lines;
  if (list.kind == PickleValue::List) {
    for (const PickleValue *line : list.items) {
      const std::string *part = getText(*line);
      if (!part)
        return nullptr;
      text += *part;
    }
  } else if (list.isString()) {
    text = list.text;
  } else {
    return nullptr;
  }
  std::optional<std::string> file;
  if (value.items[1]->kind != PickleValue::None) {
    const std::string *name = getText(*value.items[1]);
    if (!name)
      return nullptr;
    file = *name;
  }
  if (value.items[2]->kind != PickleValue::Int)
    return nullptr;
  source = std::make_shared<jit::Source>(text, file, value.items[2]->integer);
  return source;
}

bool DebugRecord::parseEntry(const PickleValue &entry) {
  if (!entry.isTuple() || entry.items.size() < 2 ||
      entry.items[0]->kind != PickleValue::Int ||
      !isTupleOf(*entry.items[1], 3))
    return false;
  const PickleValue &range = *entry.items[1];
  std::shared_ptr<jit::Source> source = parseSource(*range.items[0]);
  auto begin = static_cast<size_t>(range.items[1]->integer);
  auto end = static_cast<size_t>(range.items[2]->integer);
  // A node that never had a source has a range beyond an empty one.
  if (!source || begin > end || begin > source->size())
    return false;
  ranges.emplace_back(entry.items[0]->integer,
                      jit::SourceRange(source, begin, end));
  return true;
}

bool DebugRecord::parse() {
  if (bytes.empty())
    return true;
  auto pickle = Pickle::parse(bytes);
  if (!pickle) {
    llvm::consumeError(pickle.takeError());
    return false;
  }
  const PickleValue *lines = &pickle->getRoot();
  if (isTupleOf(*lines, 3) && lines->items[0]->isString() &&
      lines->items[0]->text == jit::kFormatWithStringTable) {
    for (const PickleValue *text : lines->items[1]->items)
      texts.push_back(&text->text);
    lines = lines->items[2];
  }
  return lines->isTuple() && llvm::all_of(lines->items, [&](auto *entry) {
           return parseEntry(*entry);
         });
}

std::shared_ptr<jit::SourceRangeUnpickler> readDebugRecord(std::string bytes) {
  return std::make_shared<DebugRecord>(std::move(bytes));
}

namespace {
/// Records of the parts of a text.
class JoinedDebugRecord : public jit::SourceRangeUnpickler {
public:
  explicit JoinedDebugRecord(
      std::vector<std::pair<size_t, std::string>> records) {
    for (auto &[begin, bytes] : records)
      parts.emplace_back(begin, readDebugRecord(std::move(bytes)));
  }

  std::optional<jit::SourceRange>
  findSourceRangeThatGenerated(const jit::SourceRange &range) override {
    auto it = llvm::upper_bound(parts, range.start(),
                                [](size_t position, const auto &part) {
                                  return position < part.first;
                                });
    if (it == parts.begin())
      return std::nullopt;
    auto &[begin, record] = *std::prev(it);
    return record->findSourceRangeThatGenerated(jit::SourceRange(
        range.source(), range.start() - begin, range.end() - begin));
  }

private:
  std::vector<std::pair<size_t, std::shared_ptr<jit::SourceRangeUnpickler>>>
      parts;
};
} // namespace

std::shared_ptr<jit::SourceRangeUnpickler>
joinDebugRecords(std::vector<std::pair<size_t, std::string>> records) {
  return std::make_shared<JoinedDebugRecord>(std::move(records));
}

std::string DebugRecordWriter::write(const jit::SourceRangeRecords &ranges) {
  // The table first: lines and files in the order of their use.
  std::vector<std::string> texts;
  llvm::StringMap<int64_t> indices;
  auto addText = [&](llvm::StringRef text) {
    auto [it, isNew] = indices.try_emplace(text, texts.size());
    if (isNew)
      texts.push_back(text.str());
    return it->second;
  };
  struct Range {
    int64_t position;
    size_t source;
    int64_t begin, end, tag;
  };
  struct Source {
    std::vector<int64_t> lines;
    int64_t file, firstLine;
  };
  std::vector<Source> sources;
  std::map<std::tuple<std::string, std::string, size_t, bool>, size_t>
      sourceIndices;
  std::vector<Range> entries;
  for (const jit::TaggedRange &tagged : ranges) {
    const jit::SourceRange &range = tagged.range;
    std::string text, file;
    // What was read from an empty range is written as one.
    bool hasSource = range.source() && range.end() != 0;
    size_t firstLine = 0;
    if (hasSource) {
      text = range.source()->text_str().str();
      file = range.source()->filename().value_or("");
      firstLine = range.source()->starting_line_no();
    }
    auto [it, isNew] = sourceIndices.try_emplace(
        {text, file, firstLine, hasSource}, sources.size());
    if (isNew) {
      Source source;
      llvm::StringRef rest = text;
      for (size_t end; (end = rest.find('\n')) != llvm::StringRef::npos;) {
        source.lines.push_back(addText(rest.take_front(end + 1)));
        rest = rest.drop_front(end + 1);
      }
      if (hasSource)
        source.lines.push_back(addText(rest));
      source.file = addText(file);
      source.firstLine = firstLine;
      sources.push_back(std::move(source));
    }
    int64_t tag = 0;
    if (hasSource)
      tag =
          tags.try_emplace({text, file, firstLine, range.start(), range.end()},
                           tags.size() + 1)
              .first->second;
    entries.push_back({static_cast<int64_t>(tagged.bytes), it->second,
                       static_cast<int64_t>(range.start()),
                       static_cast<int64_t>(range.end()), tag});
  }

  PickleWriter writer;
  writer.beginTuple(3);
  writer.string(llvm::StringRef(jit::kFormatWithStringTable.data(),
                                jit::kFormatWithStringTable.size()));
  writer.beginTuple(texts.size());
  for (const std::string &text : texts)
    writer.string(text);
  writer.endTuple(texts.size());
  std::vector<std::optional<unsigned>> written(sources.size());
  auto writeSource = [&](size_t index) {
    if (written[index])
      return writer.get(*written[index]);
    const Source &source = sources[index];
    writer.beginTuple(3);
    writer.global("torch.jit._pickle.build_intlist");
    writer.mark();
    writer.beginList(/*isEmpty=*/false);
    for (int64_t line : source.lines)
      writer.integer(line);
    writer.endList(/*isEmpty=*/false);
    writer.tupleFromMark();
    writer.reduce();
    writer.integer(source.file);
    writer.integer(source.firstLine);
    writer.endTuple(3);
    written[index] = writer.remember();
  };
  writer.beginTuple(entries.size());
  for (const Range &entry : entries) {
    writer.beginTuple(3);
    writer.integer(entry.position);
    writer.beginTuple(3);
    writeSource(entry.source);
    writer.integer(entry.begin);
    writer.integer(entry.end);
    writer.endTuple(3);
    writer.integer(entry.tag);
    writer.endTuple(3);
  }
  writer.endTuple(entries.size());
  writer.endTuple(3);
  return writer.finish();
}

//===----------------------------------------------------------------------===//
// Printing
//===----------------------------------------------------------------------===//

static void addAttributes(c10::ClassType &type,
                          llvm::ArrayRef<c10::ClassAttribute> attributes) {
  for (const c10::ClassAttribute &attribute : attributes)
    type.addAttribute(attribute.getName(), attribute.getType(),
                      attribute.getKind() == c10::AttributeKind::PARAMETER,
                      attribute.getKind() == c10::AttributeKind::BUFFER);
}

static void removeAttributes(c10::ClassType &type) {
  while (size_t count = type.numAttributes())
    type.unsafeRemoveAttribute(type.getAttributeName(count - 1));
}

CodePrinter::CodePrinter(llvm::ArrayRef<c10::ClassTypePtr> classes) {
  for (const c10::ClassTypePtr &type : classes) {
    attributes[type.get()] = type->getAttributes();
    removeAttributes(*type);
  }
}

void CodePrinter::require(const c10::TypePtr &root) {
  // Depth first, with a stack of our own: the user decides how deep.
  llvm::SmallVector<c10::TypePtr> stack = {root};
  while (!stack.empty()) {
    c10::TypePtr type = stack.pop_back_val();
    c10::NamedTypePtr named = getNamedType(type);
    if (named &&
        !requiredNames.insert(names.getUniqueName(named).qualifiedName())
             .second)
      continue;
    if (named)
      required.push_back(named);
    auto classType = type->cast<c10::ClassType>();
    auto it = attributes.find(classType.get());
    if (it == attributes.end()) {
      auto contained = type->containedTypes();
      stack.append(contained.rbegin(), contained.rend());
    } else {
      for (const c10::ClassAttribute &attribute : llvm::reverse(it->second))
        stack.push_back(attribute.getType());
    }
  }
}

void CodePrinter::printOne(const c10::NamedTypePtr &type) {
  std::string qualifier = names.getUniqueName(type).prefix();
  auto [it, isNew] = fileIndices.try_emplace(qualifier, files.size());
  if (isNew)
    files.emplace_back(
        qualifier, constants,
        [this](const c10::Type &t) -> std::optional<std::string> {
          auto named = t.cast<c10::NamedType>();
          if (!named || !named->name())
            return std::nullopt;
          return names.getUniqueName(named).qualifiedName();
        });
  File &file = files[it->second];
  auto classType = type->cast<c10::ClassType>();
  auto own = attributes.find(classType.get());
  if (own != attributes.end())
    addAttributes(*classType, own->second);
  size_t numKnown = file.dependencies.size();
  file.printer.printNamedType(type);
  if (own != attributes.end())
    removeAttributes(*classType);
  for (size_t i = numKnown; i != file.dependencies.size(); ++i)
    require(file.dependencies[i]);
}

void CodePrinter::print(const c10::NamedTypePtr &type) {
  if (requiredNames.insert(names.getUniqueName(type).qualifiedName()).second)
    required.push_back(type);
  for (; numPrinted < required.size(); ++numPrinted) {
    c10::NamedTypePtr next = required[numPrinted];
    printOne(next);
  }
}

std::vector<CodeFile> CodePrinter::takeFiles() {
  for (auto &[type, held] : attributes)
    addAttributes(*type, held);
  attributes.clear();
  std::vector<CodeFile> result;
  DebugRecordWriter debug;
  // A model that came without lines goes without.
  bool hasLines = llvm::any_of(files, [](const File &file) {
    return llvm::any_of(file.printer.ranges(),
                        [](const jit::TaggedRange &tagged) {
                          return tagged.range.source() != nullptr;
                        });
  });
  for (File &file : files) {
    version = std::max(version, file.printer.minVersion());
    result.push_back({file.qualifier, file.printer.str(),
                      hasLines ? debug.write(file.printer.ranges()) : ""});
  }
  return result;
}

CodeFile printType(const c10::NamedTypePtr &type,
                   std::vector<c10::IValue> &constants,
                   std::vector<c10::NamedTypePtr> &dependencies) {
  jit::PrintDepsTable table;
  auto printName = [](const c10::Type &t) -> std::optional<std::string> {
    auto named = t.cast<c10::NamedType>();
    if (!named || !named->name())
      return std::nullopt;
    return named->name()->qualifiedName();
  };
  jit::PythonPrint printer(constants, table, printName,
                           /*enforce_importable=*/true);
  printer.printNamedType(type);
  for (size_t i = 0; i != table.size(); ++i)
    dependencies.push_back(table[i]);
  CodeFile file;
  file.qualifier = getQualifier(type->name()->qualifiedName()).str();
  file.text = printer.str();
  file.debug = DebugRecordWriter().write(printer.ranges());
  return file;
}

} // namespace fqat
