//===- Locations.h - What a location says of a TorchScript node -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_LOCATIONS_H
#define FQAT_SUPPORT_LOCATIONS_H

#include "mlir/IR/Location.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace fqat {

/// One frame of a recorded Python stack.
struct StackFrame {
  llvm::StringRef file;
  unsigned line;
  llvm::StringRef function;
};

/// The frames of a stack as the tracer records it, innermost first:
/// `FILE(LINE): FUNCTION` on a line each. Lines of another form are skipped.
llvm::SmallVector<StackFrame> parseStack(llvm::StringRef text);

/// Whether a file belongs to torch's own Python package.
bool isInTorchPackage(llvm::StringRef file);

/// The innermost frame that is the model author's, not torch's; else the
/// innermost; null if there is none.
const StackFrame *findUserFrame(llvm::ArrayRef<StackFrame> frames);

/// Makes the location of a node: the Python position (may be null), the
/// instance that it belongs to, and `record`, the text and position of its
/// debug record, so that export can write the record again (may be null).
mlir::Location makeNodeLoc(mlir::MLIRContext *context,
                           mlir::FileLineColLoc position,
                           llvm::StringRef instance, mlir::Attribute record);

/// The names of the results that a location carries, comma separated; empty if
/// it carries none.
llvm::StringRef getNames(mlir::Location loc);

/// The same location without the names of the results that it carries.
mlir::Location stripNames(mlir::Location loc);

/// The same location with other names of the results, comma separated; empty
/// for none.
mlir::Location withNames(mlir::Location loc, llvm::StringRef names);

/// The debug record that a location carries, or null. That of a method has the
/// attributes that it reads first instead, in their order.
mlir::Attribute getDebugRecord(mlir::Location loc);

/// The first position in a file that a location names, or null.
mlir::FileLineColLoc getPosition(mlir::Location loc);

/// The path of the instance that a location names; empty if none.
llvm::StringRef getInstancePath(mlir::Location loc);

} // namespace fqat

#endif // FQAT_SUPPORT_LOCATIONS_H
