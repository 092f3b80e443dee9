//===- Archive.h - TorchScript's zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TORCHSCRIPT_ARCHIVE_H
#define FQAT_LIB_TORCHSCRIPT_ARCHIVE_H

#include "Code.h"
#include "fqat/Support/Phases.h"
#include "fqat/TorchScript/Pickle.h"
#include "fqat/TorchScript/Zip.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/serialization/import_source.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fqat {

/// A record that lies beside the model in the archive and is carried as it is:
/// `traced_inputs` and `extra/`.
struct ExtraRecord {
  std::string name;
  llvm::StringRef bytes;
};

struct ArchiveContents;

/// A TorchScript archive that was read. libtorch parses the code; values stay
/// what the pickles hold, and storages stay in the mapped file.
class Archive {
public:
  /// Maps a file and reads its pickles. No code of the model is run. `warn` is
  /// told of what the file holds beside the model and what is not kept.
  static llvm::Expected<std::unique_ptr<Archive>>
  read(llvm::StringRef path,
       llvm::function_ref<void(const llvm::Twine &)> warn);

  /// What an archive of these contents holds, before it is written. The code is
  /// not parsed: `findType` gives its types by the names that the pickles have
  /// for them, and `constants` are its values `CONSTANTS.c0`, ... The storages
  /// and records stay where they are.
  static llvm::Expected<std::unique_ptr<Archive>>
  view(const ArchiveContents &contents,
       std::function<c10::TypePtr(llvm::StringRef)> findType,
       llvm::ArrayRef<c10::IValue> constants);

  /// The pickles of an archive. Each has storages of its own.
  enum Section { Data, Constants };

  /// The model's root object.
  const PickleValue &getRoot() const { return data->getRoot(); }
  /// A type, or null if neither the code nor libtorch has one of that name.
  /// Throws what libtorch's parser throws.
  c10::TypePtr loadType(llvm::StringRef name);
  /// The value of a constant of the code, which stands for it only by its
  /// number; null if `value` is no such constant.
  const PickleValue *getConstant(const c10::IValue &value) const;
  /// The bytes of a storage.
  llvm::Expected<llvm::ArrayRef<char>> getStorage(Section section,
                                                  llvm::StringRef key);
  /// The storages of the section `data`, by the numbers that are their keys,
  /// as far as they are mapped.
  std::vector<llvm::StringRef> getMappedWeights() const;
  llvm::ArrayRef<ExtraRecord> getExtraRecords() const { return extraRecords; }
  /// Keeps the map, and so every borrowed storage and record, alive.
  std::shared_ptr<const void> getOwner() const;

private:
  explicit Archive(std::shared_ptr<ZipReader> zip) : zip(std::move(zip)) {}
  Archive() = default;
  llvm::Error findPrefix();
  llvm::Error readVersion();
  llvm::Error readPickles();
  llvm::Error
  readExtraRecords(llvm::function_ref<void(const llvm::Twine &)> warn);
  llvm::Expected<c10::IValue> makePlaceholder(const PickleValue &constant);
  const ZipEntry *find(llvm::StringRef name) const {
    return zip->find(prefix + name.str());
  }
  /// The bytes of a record: in the map if they are stored there, else decoded
  /// once and kept.
  llvm::Expected<llvm::StringRef> getBytes(llvm::StringRef name);

  std::shared_ptr<ZipReader> zip;
  /// The folder that all records lie in, with a slash.
  std::string prefix;
  uint64_t version = 0;
  std::optional<Pickle> data, constants;
  /// What stands for the constants in code. The objects stay alive here.
  std::vector<c10::IValue> placeholders;
  llvm::DenseMap<const void *, const PickleValue *> constantValues;
  std::shared_ptr<torch::jit::CompilationUnit> unit =
      std::make_shared<torch::jit::CompilationUnit>();
  std::optional<torch::jit::SourceImporter> importer;
  /// Decoded records. Their addresses are handed out: each stays where it is.
  std::shared_ptr<llvm::StringMap<std::string>> decoded =
      std::make_shared<llvm::StringMap<std::string>>();
  std::vector<ExtraRecord> extraRecords;
  /// Of contents that are not written yet.
  std::function<c10::TypePtr(llvm::StringRef)> findType;
  std::array<std::vector<llvm::ArrayRef<char>>, 2> storages;
};

/// What an archive is written from. Everything is borrowed.
struct ArchiveContents {
  /// A pickle and the storages that it names by their number.
  struct Section {
    llvm::StringRef pickle;
    llvm::ArrayRef<llvm::ArrayRef<char>> storages;
  };
  Section data, constants;
  llvm::ArrayRef<CodeFile> code;
  llvm::ArrayRef<ExtraRecord> extraRecords;
  /// The lowest version of the file format that can hold the code.
  uint64_t version = 0;
};

/// A tensor that stands for the constant of a number. libtorch merges constants
/// that are equal: each number makes another one.
c10::IValue makeTensorPlaceholder(int64_t number);

/// Makes a model of an archive. Emits an error and returns null where it
/// cannot; throws what libtorch throws.
mlir::OwningOpRef<mlir::ModuleOp> importArchive(Archive &archive,
                                                mlir::MLIRContext *context,
                                                llvm::StringRef path,
                                                llvm::StringRef nopName,
                                                Phases *phases = nullptr);

/// Writes an archive. The bytes depend on the contents alone.
class ArchiveWriter {
public:
  /// Nothing is written before `finish`.
  explicit ArchiveWriter(llvm::raw_ostream &os);
  explicit ArchiveWriter(ScratchArchive &scratch)
      : zip(scratch.zip), scratch(&scratch) {}

  /// Tells the storages of the section `data` as soon as they are known: the
  /// most of the archive by far. They are written to a scratch archive from now
  /// on.
  void start(llvm::ArrayRef<llvm::ArrayRef<char>> storages);
  /// Tells everything else, which must stay until `finish` or `cancel` returns.
  /// A scratch archive gets it, and is brought to the disk, from now on.
  void startRest(const ArchiveContents &contents);
  /// Returns when all is written.
  void finish();
  /// Returns when nothing is written any more, be it whole or not.
  void cancel();

private:
  std::optional<ZipWriter> own;
  ZipWriter &zip;
  ScratchArchive *scratch = nullptr;
  std::vector<llvm::StringRef> weights;
  /// What a stream is still to get.
  ArchiveContents rest;
};

/// The message of an exception of libtorch, without its C++ stack and on one
/// line. Says what to do where an operator is unknown.
std::string cleanMessage(const std::exception &error);

} // namespace fqat

#endif // FQAT_LIB_TORCHSCRIPT_ARCHIVE_H
