//===- Archive.h - TorchScript's zip archives -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TORCHSCRIPT_ARCHIVE_H
#define FQAT_LIB_TORCHSCRIPT_ARCHIVE_H

#include "fqat/TorchScript/Zip.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"
#include <torch/csrc/jit/api/module.h>

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

/// A TorchScript archive in memory. Tensors borrow the mapped file.
class Archive {
public:
  /// Maps and loads a file. Runs no code of the model but `__setstate__`.
  static llvm::Expected<Archive> read(llvm::StringRef path);

  const torch::jit::Module &getModule() const { return module; }
  llvm::ArrayRef<ExtraRecord> getExtraRecords() const { return extraRecords; }
  /// Keeps the map, and so every borrowed tensor and record, alive.
  std::shared_ptr<const void> getOwner() const { return owner; }

  /// Writes a module and the records beside it to `os`.
  static llvm::Error write(const torch::jit::Module &module,
                           llvm::ArrayRef<ExtraRecord> extraRecords,
                           llvm::raw_ostream &os);

private:
  Archive() = default;

  std::shared_ptr<const void> owner;
  torch::jit::Module module;
  std::vector<ExtraRecord> extraRecords;
};

/// The message of an exception of libtorch, without its C++ stack and on one
/// line.
std::string cleanMessage(const std::exception &error);

} // namespace fqat

#endif // FQAT_LIB_TORCHSCRIPT_ARCHIVE_H
