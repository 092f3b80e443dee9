//===- StateDict.cpp - Tensors in a file of torch.save -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/StateDict.h"

#include "ValueWriter.h"
#include "fqat/TorchScript/Export.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace fqat {

LogicalResult
writeStateDict(mlir::ModuleOp model,
               ArrayRef<std::pair<std::string, Attribute>> tensors,
               OutputFile &file) {
  SymbolTable symbols(model);
  ValueWriter values(symbols);
  if (failed(values.writeOrderedDict(tensors, model)))
    return failure();
  ZipWriter zip(file, kArchiveFolder, &file);
  zip.add("data.pkl", values.finish());
  zip.add("byteorder", "little");
  for (auto [i, bytes] : llvm::enumerate(values.getStorages()))
    zip.add("data/" + std::to_string(i), {bytes.data(), bytes.size()});
  zip.add("version", "3\n");
  zip.finish();
  return success();
}

} // namespace fqat
