//===- Outputs.h - Files that appear together or not at all -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_OUTPUTS_H
#define FQAT_SUPPORT_OUTPUTS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <memory>
#include <string>
#include <vector>

namespace fqat {

/// The outputs of one run: opened before anything is computed, in place only
/// once all of them are whole. Pipes and devices are written to as they are;
/// `-` is standard output.
class Outputs {
public:
  /// `inputs` are files that no output may be.
  explicit Outputs(llvm::ArrayRef<std::string> inputs = {});
  ~Outputs();

  /// Opens a text, or what else is written from its beginning to its end;
  /// leaves `stream` alone where there is no path.
  llvm::Error openStream(llvm::StringRef path, llvm::raw_ostream *&stream);
  /// Opens a file of known size, to be filled in any order.
  llvm::Expected<uint8_t *> openArray(llvm::StringRef path, uint64_t size);
  /// Brings all of them to their places. Discarded without it.
  llvm::Error commit();

private:
  struct Output;
  llvm::Expected<Output *> open(llvm::StringRef path);

  std::vector<std::string> inputs;
  std::vector<std::unique_ptr<Output>> outputs;
};

} // namespace fqat

#endif // FQAT_SUPPORT_OUTPUTS_H
