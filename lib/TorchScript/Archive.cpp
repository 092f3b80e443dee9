//===- Archive.cpp - TorchScript's zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The zip's directory and the pickles are read without libtorch, which parses
// the code only, and so they are written.
//
//===----------------------------------------------------------------------===//

#include "Archive.h"

#include "fqat/Support/Nesting.h"
#include "fqat/Support/Workers.h"
#include "fqat/TorchScript/Export.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Threading.h"
#include <ATen/EmptyTensor.h>
#include <caffe2/serialize/versions.h>
#include <torch/csrc/jit/serialization/unpickler.h>
#include <torch/custom_class.h>

#include <atomic>
#include <cstring>

namespace jit = torch::jit;

namespace fqat {

std::string cleanMessage(const std::exception &error) {
  auto *torchError = dynamic_cast<const c10::Error *>(&error);
  std::string text =
      torchError ? torchError->what_without_backtrace() : error.what();
  for (llvm::StringRef kind : {"Unknown builtin op: ", "Unknown type name '"}) {
    llvm::StringRef rest = llvm::StringRef(text);
    size_t begin = rest.find(kind);
    if (begin == llvm::StringRef::npos)
      continue;
    rest = rest.drop_front(begin + kind.size());
    rest = rest.take_until([](char c) { return c == '\'' || c == '\n'; });
    rest.consume_back(".");
    bool isOperator = kind.contains(" op");
    if (isOperator || rest.starts_with("__torch__.torch.classes."))
      return ((isOperator ? "the operator '" : "the class '") + rest +
              "' is unknown; load the library that defines it with "
              "--load-op-library LIB.so")
          .str();
  }
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
  // An address is another one in each run.
  llvm::StringRef address = " (of Python compilation unit at: 0x";
  for (size_t at; (at = result.find(address)) != std::string::npos;)
    result.erase(at, result.find(')', at) - at + 1);
  return result;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

llvm::Error Archive::findPrefix() {
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
  auto has = [&](llvm::StringRef ending) {
    return llvm::any_of(zip->entries(), [&](const ZipEntry &entry) {
      return llvm::StringRef(entry.name).ends_with(ending);
    });
  };
  if (has("/archive_format") || has("/serialized_exported_program.json"))
    return llvm::createStringError(
        "this is an archive of torch.export.save, not a TorchScript file; " +
        kHowToMake);
  if (!find("data.pkl")) {
    if (has("/model.json"))
      return llvm::createStringError(
          "the file was written by a torch before 1.1, whose format is not "
          "read; load and save it with a newer torch");
    return llvm::createStringError(
        "the zip archive holds no data.pkl, so it is no TorchScript file");
  }
  if (!find("constants.pkl"))
    return llvm::createStringError(
        "the archive has no constants.pkl: it is a file of torch.save (a "
        "state_dict, or a module), not a TorchScript file; " +
        kHowToMake);
  return llvm::Error::success();
}

llvm::Expected<llvm::StringRef> Archive::getBytes(llvm::StringRef name) {
  const ZipEntry *entry = find(name);
  if (!entry)
    return llvm::createStringError("the record '" + name + "' is missing");
  if (zip->isMapped(*entry)) {
    // Weights are many, and libtorch does not look at theirs either.
    bool isWeight = name.starts_with("data/") || name.starts_with("constants/");
    if (!isWeight && !zip->hasItsChecksum(*entry))
      return llvm::createStringError("the record '" + name +
                                     "' does not have its checksum");
    llvm::ArrayRef<char> bytes = zip->data(*entry);
    return llvm::StringRef(bytes.data(), bytes.size());
  }
  auto [it, isNew] = decoded->try_emplace(entry->name);
  if (isNew) {
    auto bytes = zip->read(*entry);
    if (!bytes)
      return bytes.takeError();
    it->second = std::move(*bytes);
  }
  return llvm::StringRef(it->second);
}

llvm::Error Archive::readVersion() {
  // Newer files keep the version in a folder that is hidden from users.
  auto text = getBytes(find(".data/version") ? ".data/version" : "version");
  if (!text)
    return text.takeError();
  if (text->trim().getAsInteger(10, version))
    return llvm::createStringError("the record 'version' holds no number");
  if (version > caffe2::serialize::kMaxSupportedFileFormatVersion)
    return llvm::createStringError(
        "the file has format version %llu, but this libtorch reads at most "
        "%llu; use a newer torch",
        static_cast<unsigned long long>(version),
        static_cast<unsigned long long>(
            caffe2::serialize::kMaxSupportedFileFormatVersion));
  if (find("byteorder")) {
    auto order = getBytes("byteorder");
    if (!order)
      return order.takeError();
    if (*order == "big")
      return llvm::createStringError("the file was written on a big-endian "
                                     "machine; load and save it on another");
    if (*order != "little")
      return llvm::createStringError(
          "the record 'byteorder' names no order of bytes");
  }
  return llvm::Error::success();
}

/// The value that a pickle holds, if it is made of strings and numbers.
static std::optional<c10::IValue> makeValue(const PickleValue &value) {
  auto makeItems = [](const PickleValue &from) {
    std::optional<std::vector<c10::IValue>> items;
    items.emplace();
    for (const PickleValue *item : from.items) {
      std::optional<c10::IValue> made = makeValue(*item);
      if (!made)
        return std::optional<std::vector<c10::IValue>>();
      items->push_back(std::move(*made));
    }
    return items;
  };
  switch (value.kind) {
  case PickleValue::None:
    return c10::IValue();
  case PickleValue::Bool:
    return c10::IValue(value.integer != 0);
  case PickleValue::Int:
    return c10::IValue(value.integer);
  case PickleValue::Float:
    return c10::IValue(value.real);
  case PickleValue::String:
    return c10::IValue(value.text);
  case PickleValue::Tuple: {
    auto items = makeItems(value);
    if (!items)
      return std::nullopt;
    return c10::IValue(c10::ivalue::Tuple::create(std::move(*items)));
  }
  case PickleValue::Reduce: {
    if (!value.isCallOf("torch.jit._pickle.restore_type_tag") ||
        value.arguments().size() != 2 || !value.arguments()[1]->isString())
      return std::nullopt;
    llvm::StringRef tag = value.arguments()[1]->text;
    if (llvm::Error error = checkCodeNesting(tag)) {
      llvm::consumeError(std::move(error));
      return std::nullopt;
    }
    c10::TypePtr type = jit::Unpickler::defaultTypeParser(tag.str());
    auto items = makeItems(*value.arguments()[0]);
    if (!items)
      return std::nullopt;
    if (auto listType = type->cast<c10::ListType>()) {
      c10::impl::GenericList list(listType->getElementType());
      for (const c10::IValue &item : *items)
        list.push_back(item);
      return c10::IValue(list);
    }
    auto dictType = type->cast<c10::DictType>();
    if (!dictType)
      return std::nullopt;
    c10::impl::GenericDict dict(dictType->getKeyType(),
                                dictType->getValueType());
    for (size_t i = 0; i + 1 < items->size(); i += 2)
      dict.insert((*items)[i], (*items)[i + 1]);
    return c10::IValue(dict);
  }
  default:
    return std::nullopt;
  }
}

c10::IValue makeTensorPlaceholder(int64_t number) {
  // No operator is run for it.
  at::Tensor tensor(
      at::detail::empty_cpu({1}, at::kLong, /*pin_memory=*/false));
  *tensor.mutable_data_ptr<int64_t>() = number;
  return tensor;
}

llvm::Expected<c10::IValue>
Archive::makePlaceholder(const PickleValue &constant) {
  // A constant of a custom class: packed weights.
  if (constant.kind == PickleValue::Object) {
    auto type = loadType(constant.items[0]->text);
    if (!type || !type->cast<c10::ClassType>())
      return llvm::createStringError("the class '" + constant.items[0]->text +
                                     "' of a constant is unknown; load the "
                                     "library that defines it with "
                                     "--load-op-library LIB.so");
    return c10::IValue(
        c10::ivalue::Object::create(c10::WeakOrStrongTypePtr(c10::WeakTypePtr(
                                        unit, type->cast<c10::ClassType>())),
                                    /*numSlots=*/1));
  }
  // What holds a string that is not ASCII.
  if (std::optional<c10::IValue> value = makeValue(constant))
    return *value;
  if (constant.kind != PickleValue::Reduce ||
      !llvm::StringRef(constant.items[0]->text)
           .starts_with("torch._utils._rebuild_"))
    return llvm::createStringError("a constant of the code has a kind that is "
                                   "not supported");
  return makeTensorPlaceholder(placeholders.size());
}

llvm::Error Archive::readPickles() {
  auto loadSource =
      [this](const std::string &qualifier) -> std::shared_ptr<jit::Source> {
    std::string name = getCodeRecord(qualifier);
    if (!find(name))
      return nullptr;
    auto getText = [&](const std::string &record) {
      auto bytes = getBytes(record);
      if (!bytes)
        throw std::runtime_error(llvm::toString(bytes.takeError()));
      return *bytes;
    };
    std::shared_ptr<jit::SourceRangeUnpickler> debug;
    if (find(name + ".debug_pkl"))
      debug = readDebugRecord(getText(name + ".debug_pkl").str());
    llvm::StringRef code = getText(name);
    if (llvm::Error error = checkCodeNesting(code))
      throw std::runtime_error(name + ": " + llvm::toString(std::move(error)));
    return std::make_shared<jit::Source>(
        std::string_view(code.data(), code.size()), name, 1, debug);
  };
  importer.emplace(unit, &placeholders, loadSource, version);
  for (auto [name, pickle] :
       {std::pair("constants.pkl", &constants), std::pair("data.pkl", &data)}) {
    auto bytes = getBytes(name);
    if (!bytes)
      return bytes.takeError();
    auto parsed = Pickle::parse(*bytes);
    if (!parsed)
      return llvm::createStringError(llvm::Twine(name) + ": " +
                                     llvm::toString(parsed.takeError()));
    pickle->emplace(std::move(*parsed));
  }
  for (const PickleValue *constant : constants->getRoot().items) {
    auto placeholder = makePlaceholder(*constant);
    if (!placeholder)
      return placeholder.takeError();
    if (placeholder->isTensor() || placeholder->isObject())
      constantValues[placeholder->internalToPointer()] = constant;
    placeholders.push_back(std::move(*placeholder));
  }
  return llvm::Error::success();
}

llvm::Error
Archive::readExtraRecords(llvm::function_ref<void(const llvm::Twine &)> warn) {
  bool hasMobile = false;
  for (const ZipEntry &entry : zip->entries()) {
    llvm::StringRef name = entry.name;
    if (!name.consume_front(prefix))
      continue;
    hasMobile |= name == "bytecode.pkl";
    if (!name.starts_with("extra/") && !name.starts_with("traced_inputs"))
      continue;
    auto bytes = getBytes(name);
    if (!bytes)
      return bytes.takeError();
    extraRecords.push_back({name.str(), *bytes});
  }
  if (hasMobile)
    warn("the bytecode for the lite interpreter is not kept; save the result "
         "with _save_for_lite_interpreter again");
  return llvm::Error::success();
}

c10::TypePtr Archive::loadType(llvm::StringRef name) {
  if (name.starts_with("__torch__.torch.classes."))
    return torch::getCustomClass(name.str());
  if (findType)
    return findType(name);
  return importer->loadType(c10::QualifiedName(name.str()));
}

const PickleValue *Archive::getConstant(const c10::IValue &value) const {
  if (!value.isTensor() && !value.isObject())
    return nullptr;
  return constantValues.lookup(value.internalToPointer());
}

llvm::Expected<llvm::ArrayRef<char>> Archive::getStorage(Section section,
                                                         llvm::StringRef key) {
  if (!zip) {
    size_t number = 0;
    if (key.getAsInteger(10, number) || number >= storages[section].size())
      return llvm::createStringError("there is no storage '" + key + "'");
    return storages[section][number];
  }
  llvm::StringRef folder = section == Data ? "data/" : "constants/";
  auto bytes = getBytes((folder + key).str());
  if (!bytes)
    return bytes.takeError();
  return llvm::ArrayRef<char>(bytes->data(), bytes->size());
}

std::vector<llvm::StringRef> Archive::getMappedWeights() const {
  std::vector<llvm::StringRef> weights;
  while (const ZipEntry *entry =
             find("data/" + std::to_string(weights.size()))) {
    if (!zip->isMapped(*entry))
      break;
    llvm::ArrayRef<char> bytes = zip->data(*entry);
    weights.emplace_back(bytes.data(), bytes.size());
  }
  return weights;
}

std::shared_ptr<const void> Archive::getOwner() const {
  using Owner = std::pair<std::shared_ptr<ZipReader>,
                          std::shared_ptr<llvm::StringMap<std::string>>>;
  return std::make_shared<Owner>(zip, decoded);
}

llvm::Expected<std::unique_ptr<Archive>>
Archive::read(llvm::StringRef path,
              llvm::function_ref<void(const llvm::Twine &)> warn) {
  auto zip = ZipReader::open(path);
  if (!zip)
    return zip.takeError();
  std::unique_ptr<Archive> archive(new Archive(std::move(*zip)));
  if (llvm::Error error = archive->findPrefix())
    return error;
  if (llvm::Error error = archive->readVersion())
    return error;
  if (llvm::Error error = archive->readPickles())
    return error;
  if (llvm::Error error = archive->readExtraRecords(warn))
    return error;
  return archive;
}

/// Notes which parts of a constant of the code are tensors or objects, and what
/// the pickle has for them.
static void
noteConstant(const c10::IValue &value, const PickleValue &pickled,
             llvm::DenseMap<const void *, const PickleValue *> &found) {
  if (value.isTensor() || value.isObject())
    found[value.internalToPointer()] = &pickled;
  else if (value.isTuple() && pickled.isTuple())
    for (auto [part, pickledPart] :
         llvm::zip(value.toTupleRef().elements(), pickled.items))
      noteConstant(part, *pickledPart, found);
}

llvm::Expected<std::unique_ptr<Archive>>
Archive::view(const ArchiveContents &contents,
              std::function<c10::TypePtr(llvm::StringRef)> findType,
              llvm::ArrayRef<c10::IValue> constants) {
  std::unique_ptr<Archive> archive(new Archive());
  archive->findType = std::move(findType);
  for (auto [section, pickle, number] :
       {std::tuple(&contents.data, &archive->data, Data),
        std::tuple(&contents.constants, &archive->constants, Constants)}) {
    auto parsed = Pickle::parse(section->pickle);
    if (!parsed)
      return parsed.takeError();
    pickle->emplace(std::move(*parsed));
    archive->storages[number] = section->storages;
  }
  for (auto [value, pickled] :
       llvm::zip(constants, archive->constants->getRoot().items))
    noteConstant(value, *pickled, archive->constantValues);
  archive->extraRecords = contents.extraRecords;
  return archive;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

ArchiveWriter::ArchiveWriter(llvm::raw_ostream &os)
    : own(std::in_place, os, kArchiveFolder), zip(*own) {}

void ArchiveWriter::start(llvm::ArrayRef<llvm::ArrayRef<char>> storages) {
  for (llvm::ArrayRef<char> bytes : storages)
    weights.emplace_back(bytes.data(), bytes.size());
  if (scratch)
    scratch->weights.write(weights);
}

static void addStorages(ZipWriter &zip, llvm::StringRef section,
                        llvm::ArrayRef<llvm::StringRef> storages) {
  for (auto [i, bytes] : llvm::enumerate(storages))
    zip.add((section + "/" + llvm::Twine(i)).str(), bytes);
}

namespace {
/// A record of code, or of its lines.
struct CodeRecord {
  std::string name;
  llvm::StringRef text;
  /// Nothing where the text is to be stored as it is.
  std::optional<DeflatedText> deflated = std::nullopt;
};
} // namespace

/// Deflates the code, each file beside its record of lines.
static std::vector<CodeRecord> deflateCode(llvm::ArrayRef<CodeFile> code) {
  // As libtorch has it: what is short is not worth deflating.
  constexpr size_t minToDeflate = 200;
  std::vector<CodeRecord> records;
  for (const CodeFile &file : code) {
    std::string name = getCodeRecord(file.qualifier);
    records.push_back({name, file.text});
    if (!file.debug.empty())
      records.push_back({name + ".debug_pkl", file.debug});
  }
  std::atomic<size_t> next = 0;
  auto deflate = [&] {
    for (size_t i; (i = next++) < records.size();)
      if (records[i].text.size() > minToDeflate)
        records[i].deflated = deflateText(records[i].text);
  };
  size_t numCores = llvm::hardware_concurrency().compute_thread_count();
  runWorkers(std::min(numCores, records.size()), deflate);
  return records;
}

/// Writes all of an archive but the storages of the section `data`.
static void writeRest(const ArchiveContents &contents,
                      llvm::ArrayRef<CodeRecord> code, ZipWriter &zip) {
  zip.add("data.pkl", contents.data.pickle);
  for (const CodeRecord &record : code) {
    if (record.deflated)
      zip.addDeflated(record.name, *record.deflated);
    else
      zip.add(record.name, record.text);
  }
  std::vector<llvm::StringRef> constants;
  for (llvm::ArrayRef<char> bytes : contents.constants.storages)
    constants.emplace_back(bytes.data(), bytes.size());
  addStorages(zip, "constants", constants);
  zip.add("constants.pkl", contents.constants.pickle);
  for (const ExtraRecord &record : contents.extraRecords)
    zip.add(record.name, record.bytes);

  // Readers look for the version of newer formats elsewhere.
  constexpr uint64_t lastPublicVersion = 6;
  uint64_t version = std::max<uint64_t>(
      contents.version, caffe2::serialize::kMinProducedFileFormatVersion);
  zip.add(version > lastPublicVersion ? ".data/version" : "version",
          std::to_string(version) + "\n");
  zip.add("byteorder", "little");
  // libtorch's own ids are made of names and checksums as well.
  std::string id;
  llvm::raw_string_ostream(id) << llvm::format(
      "%040llu", static_cast<unsigned long long>(zip.getFingerprint()));
  zip.add(".data/serialization_id", id);
  zip.finish();
}

void ArchiveWriter::startRest(const ArchiveContents &contents) {
  if (!scratch) {
    rest = contents;
    return;
  }
  scratch->startRest([contents, scratch = scratch] {
    std::vector<CodeRecord> code = deflateCode(contents.code);
    scratch->weights.wait();
    writeRest(contents, code, scratch->zip);
  });
}

void ArchiveWriter::finish() {
  if (scratch)
    return scratch->wait();
  addStorages(zip, "data", weights);
  writeRest(rest, deflateCode(rest.code), zip);
}

void ArchiveWriter::cancel() {
  if (scratch)
    scratch->cancel();
}

} // namespace fqat
