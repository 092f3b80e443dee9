//===- Archive.cpp - TorchScript's zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reading goes past torch's file reader: the zip's directory is ours, tensors
// borrow the mapped file, and libtorch's unpickler and source importer see only
// bytes. Writing is libtorch's serializer over a stream.
//
//===----------------------------------------------------------------------===//

#include "Archive.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import_source.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/csrc/jit/serialization/source_range_serialization.h>
#include <torch/csrc/jit/serialization/storage_context.h>
#include <torch/csrc/jit/serialization/unpickler.h>

#include <algorithm>
#include <cstring>

namespace jit = torch::jit;

namespace fqat {

std::string cleanMessage(const std::exception &error) {
  auto *torchError = dynamic_cast<const c10::Error *>(&error);
  std::string text =
      torchError ? torchError->what_without_backtrace() : error.what();
  // Lines about torch's own C++ help no user.
  llvm::SmallVector<llvm::StringRef> lines;
  llvm::StringRef(text).split(lines, '\n', /*MaxSplit=*/-1,
                              /*KeepEmpty=*/false);
  std::string result;
  for (llvm::StringRef line : lines) {
    line = line.trim();
    if (line.empty() || line.starts_with("Exception raised from") ||
        line.starts_with("frame #"))
      break;
    if (!result.empty())
      result += ' ';
    result += line;
    if (result.size() > 400)
      break;
  }
  while (!result.empty() && (result.back() == '.' || result.back() == ' '))
    result.pop_back();
  return result;
}

/// The record that holds the code of a qualified name: `a.b` is in
/// `code/a/b.py`. libtorch does not export its own version of this.
static std::string getCodeRecord(std::string qualifier) {
  llvm::replace(qualifier, '.', '/');
  return "code/" + qualifier + ".py";
}

namespace {

/// Where the code of one file was generated from: the pairs of a position in
/// the code and the source range of the model's author, sorted by position.
///
/// libtorch does not export its own reader of these records.
class DebugRecord : public jit::SourceRangeUnpickler {
public:
  explicit DebugRecord(std::string bytes) : bytes(std::move(bytes)) {}

  std::optional<jit::SourceRange>
  findSourceRangeThatGenerated(const jit::SourceRange &range) override {
    parse();
    auto it = llvm::upper_bound(ranges, range.start(),
                                [](size_t position, const auto &entry) {
                                  return position < entry.first;
                                });
    if (it == ranges.begin())
      return std::nullopt;
    return std::prev(it)->second;
  }

private:
  /// Unpickles the record at its first use. A record that is not understood
  /// gives no lines: it is no part of what the model computes.
  void parse() {
    if (parsed)
      return;
    parsed = true;
    try {
      parseRecord();
    } catch (const std::exception &) {
      ranges.clear();
    }
    llvm::stable_sort(ranges, llvm::less_first());
  }

  void parseRecord() {
    if (bytes.empty())
      return;
    c10::IValue value =
        jit::unpickle(bytes.data(), bytes.size(), jit::TypeResolver());
    auto tuple = value.toTuple();
    const auto &elements = tuple->elements();
    std::vector<std::string> texts;
    c10::IValue lines = value;
    if (elements.size() == 3 && elements[0].isString() &&
        elements[0].toStringRef() == jit::kFormatWithStringTable) {
      for (const c10::IValue &text : elements[1].toTuple()->elements())
        texts.push_back(text.toStringRef());
      lines = elements[2];
    }
    // Sources are shared by many ranges; the pickle keeps them shared.
    std::unordered_map<const void *, std::shared_ptr<jit::Source>> sources;
    for (const c10::IValue &line : lines.toTuple()->elements()) {
      auto entry = line.toTuple();
      auto range = entry->elements()[jit::kSourceRangeIndex].toTuple();
      auto source = range->elements()[0].toTuple();
      std::shared_ptr<jit::Source> &shared = sources[source.get()];
      if (!shared)
        shared = parseSource(*source, texts);
      ranges.emplace_back(entry->elements()[jit::kByteOffsetIndex].toInt(),
                          jit::SourceRange(shared, range->elements()[1].toInt(),
                                           range->elements()[2].toInt()));
    }
  }

  static std::shared_ptr<jit::Source>
  parseSource(const c10::ivalue::Tuple &source,
              const std::vector<std::string> &texts) {
    const auto &elements = source.elements();
    std::string text;
    std::optional<std::string> file;
    if (elements[0].isString()) {
      text = elements[0].toStringRef();
      file = elements[1].toOptional<std::string>();
    } else {
      for (int64_t index : elements[0].toIntVector())
        text += texts.at(index);
      if (!elements[1].isNone())
        file = texts.at(elements[1].toInt());
    }
    return std::make_shared<jit::Source>(text, file, elements[2].toInt());
  }

  std::string bytes;
  bool parsed = false;
  std::vector<std::pair<size_t, jit::SourceRange>> ranges;
};

/// Reads the parts of one archive.
class Reader {
public:
  explicit Reader(std::shared_ptr<ZipReader> zip) : zip(std::move(zip)) {}

  /// Throws what libtorch throws.
  llvm::Expected<jit::Module> readModule();
  std::vector<ExtraRecord> readExtraRecords();

private:
  const ZipEntry *find(llvm::StringRef name) const {
    return zip->find(prefix + name.str());
  }
  /// The bytes of a record: in the map if they are stored there, else decoded
  /// once and kept. Throws if there is no such record.
  llvm::StringRef getBytes(llvm::StringRef name);
  llvm::Error findPrefix();
  c10::IValue readPickle(const std::string &name, const std::string &folder);

  std::shared_ptr<ZipReader> zip;
  /// The folder that all records lie in, with a slash.
  std::string prefix;
  uint64_t version = 0;
  std::shared_ptr<jit::CompilationUnit> unit =
      std::make_shared<jit::CompilationUnit>();
  std::vector<c10::IValue> constants;
  std::optional<jit::SourceImporter> importer;
  /// Decoded records. Their addresses are handed out: each stays where it is.
  std::shared_ptr<llvm::StringMap<std::string>> decoded =
      std::make_shared<llvm::StringMap<std::string>>();

public:
  /// What borrowed bytes live in.
  std::shared_ptr<const void> getOwner() const {
    using Owner = std::pair<std::shared_ptr<ZipReader>,
                            std::shared_ptr<llvm::StringMap<std::string>>>;
    return std::make_shared<Owner>(zip, decoded);
  }
};

} // namespace

llvm::Error Reader::findPrefix() {
  // Torch names the folder after the file at the time of saving; some tools
  // write no folder at all.
  for (const ZipEntry &entry : zip->entries()) {
    llvm::StringRef name = entry.name;
    if (name == "data.pkl" || name == "constants.pkl")
      return llvm::Error::success();
    if (name.ends_with("/data.pkl")) {
      prefix = name.drop_back(strlen("data.pkl")).str();
      break;
    }
  }
  if (!find("data.pkl")) {
    if (llvm::any_of(zip->entries(), [](const ZipEntry &entry) {
          return llvm::StringRef(entry.name).ends_with("model.json");
        }))
      return llvm::createStringError(
          "the file was written by a torch before 1.1, whose format is not "
          "read; load and save it with a newer torch");
    return llvm::createStringError(
        "the zip archive holds no data.pkl, so it is no TorchScript file");
  }
  if (!find("constants.pkl"))
    return llvm::createStringError(
        "the archive has no constants.pkl: it is a state_dict or another "
        "pickle of torch.save, not a TorchScript file of torch.jit.save");
  return llvm::Error::success();
}

llvm::StringRef Reader::getBytes(llvm::StringRef name) {
  const ZipEntry *entry = find(name);
  if (!entry)
    throw std::runtime_error(("the record '" + name + "' is missing").str());
  if (zip->isMapped(*entry)) {
    llvm::ArrayRef<char> bytes = zip->data(*entry);
    return llvm::StringRef(bytes.data(), bytes.size());
  }
  auto [it, isNew] = decoded->try_emplace(entry->name);
  if (isNew) {
    auto bytes = zip->read(*entry);
    if (!bytes)
      throw std::runtime_error(llvm::toString(bytes.takeError()));
    it->second = std::move(*bytes);
  }
  return it->second;
}

c10::IValue Reader::readPickle(const std::string &name,
                               const std::string &folder) {
  llvm::StringRef bytes = getBytes(name);
  size_t position = 0;
  auto read = [&](char *buffer, size_t size) -> size_t {
    size = std::min(size, bytes.size() - position);
    memcpy(buffer, bytes.data() + position, size);
    position += size;
    return size;
  };
  auto resolveType = [&](const c10::QualifiedName &type) {
    return c10::StrongTypePtr(unit, importer->loadType(type));
  };
  auto loadObject =
      [&](const c10::StrongTypePtr &type,
          const c10::IValue &input) -> c10::intrusive_ptr<c10::ivalue::Object> {
    auto classType = type.type_->expect<c10::ClassType>();
    size_t numSlots = classType->numAttributes();
    auto object = c10::ivalue::Object::create(type, numSlots);
    if (classType->findMethod("__getstate__") &&
        classType->findMethod("__setstate__")) {
      classType->getMethod("__setstate__")({object, input});
      return object;
    }
    auto slots = input.toGenericDict();
    for (size_t i = 0; i != numSlots; ++i)
      object->setSlot(i, slots.at(classType->getAttributeName(i)));
    return object;
  };
  auto readRecord = [&](const std::string &record) {
    llvm::StringRef data = getBytes(folder + record);
    auto *owner = new std::shared_ptr<const void>(getOwner());
    return at::DataPtr(
        const_cast<char *>(data.data()), owner,
        [](void *p) { delete static_cast<std::shared_ptr<const void> *>(p); },
        at::kCPU);
  };
  jit::Unpickler unpickler(
      read, resolveType, loadObject, readRecord, /*device=*/std::nullopt,
      /*use_storage_device=*/false, jit::Unpickler::defaultTypeParser,
      std::make_shared<jit::DeserializationStorageContext>());
  unpickler.set_version(version);
  return unpickler.parse_ivalue();
}

llvm::Expected<jit::Module> Reader::readModule() {
  if (llvm::Error error = findPrefix())
    return error;
  // Newer files keep the version in a folder that is hidden from users.
  llvm::StringRef text =
      getBytes(find(".data/version") ? ".data/version" : "version").trim();
  if (text.getAsInteger(10, version))
    return llvm::createStringError("the record 'version' holds no number");
  if (version > caffe2::serialize::kMaxSupportedFileFormatVersion)
    return llvm::createStringError(
        "the file has format version %llu, but this libtorch reads at most "
        "%llu; use a newer torch",
        static_cast<unsigned long long>(version),
        static_cast<unsigned long long>(
            caffe2::serialize::kMaxSupportedFileFormatVersion));

  auto loadSource =
      [&](const std::string &qualifier) -> std::shared_ptr<jit::Source> {
    std::string name = getCodeRecord(qualifier);
    if (!find(name))
      return nullptr;
    std::shared_ptr<DebugRecord> debug;
    if (find(name + ".debug_pkl"))
      debug =
          std::make_shared<DebugRecord>(getBytes(name + ".debug_pkl").str());
    llvm::StringRef code = getBytes(name);
    return std::make_shared<jit::Source>(
        std::string_view(code.data(), code.size()), name, 1, debug);
  };
  importer.emplace(unit, &constants, loadSource, version);
  auto constantTuple = readPickle("constants.pkl", "constants/").toTuple();
  constants.assign(constantTuple->elements().begin(),
                   constantTuple->elements().end());
  c10::IValue root = readPickle("data.pkl", "data/");
  if (!root.isObject() || !root.type()->expect<c10::ClassType>()->is_module())
    return llvm::createStringError("the archive's data.pkl holds no module");
  return jit::Module(root.toObject());
}

std::vector<ExtraRecord> Reader::readExtraRecords() {
  std::vector<ExtraRecord> records;
  for (const ZipEntry &entry : zip->entries()) {
    llvm::StringRef name = entry.name;
    if (!name.consume_front(prefix))
      continue;
    if (name.starts_with("extra/") || name.starts_with("traced_inputs"))
      records.push_back({name.str(), getBytes(name)});
  }
  return records;
}

llvm::Expected<Archive> Archive::read(llvm::StringRef path) {
  auto zip = ZipReader::open(path);
  if (!zip)
    return zip.takeError();
  try {
    Reader reader(std::move(*zip));
    auto module = reader.readModule();
    if (!module)
      return module.takeError();
    Archive archive;
    archive.module = *module;
    archive.extraRecords = reader.readExtraRecords();
    archive.owner = reader.getOwner();
    return archive;
  } catch (const std::exception &error) {
    return llvm::createStringError("libtorch cannot read the file: " +
                                   cleanMessage(error));
  }
}

llvm::Error Archive::write(const jit::Module &module,
                           llvm::ArrayRef<ExtraRecord> extraRecords,
                           llvm::raw_ostream &os) {
  try {
    // Writing through a function gives every archive the same folder name.
    caffe2::serialize::PyTorchStreamWriter writer(
        [&](const void *data, size_t size) -> size_t {
          os.write(static_cast<const char *>(data), size);
          return size;
        });
    jit::ScriptModuleSerializer serializer(writer);
    serializer.serialize(module, /*extra_files=*/{}, /*bytecode_format=*/false,
                         /*save_mobile_debug_info=*/false);
    for (const ExtraRecord &record : extraRecords)
      writer.writeRecord(record.name, record.bytes.data(), record.bytes.size());
    writer.writeEndOfFile();
  } catch (const std::exception &error) {
    return llvm::createStringError("libtorch cannot write the model: " +
                                   cleanMessage(error));
  }
  return llvm::Error::success();
}

} // namespace fqat
