//===- Print.h - What fqat-dump prints -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TOOLS_FQAT_DUMP_PRINT_H
#define FQAT_TOOLS_FQAT_DUMP_PRINT_H

#include "fqat/Dump/Info.h"
#include "fqat/Dump/Layers.h"

#include "llvm/Support/raw_ostream.h"

namespace fqat::dump {

/// For people.
void printInfo(llvm::raw_ostream &os, llvm::StringRef path, const Info &info);
void printComparison(llvm::raw_ostream &os, const Comparison &result);
void printLayers(llvm::raw_ostream &os, llvm::ArrayRef<Layer> layers,
                 llvm::ArrayRef<LayerResult> results);

/// For programs, as JSON. What is not finite is a string: NaN, Infinity,
/// -Infinity.
void writeJSON(llvm::raw_ostream &os, llvm::StringRef path, const Info &info);
void writeJSON(llvm::raw_ostream &os, const Comparison &result);
void writeJSON(llvm::raw_ostream &os, llvm::ArrayRef<Layer> layers,
               llvm::ArrayRef<LayerResult> results);

} // namespace fqat::dump

#endif // FQAT_TOOLS_FQAT_DUMP_PRINT_H
