//===- Rerouter.h - Hands a value on to some of its readers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TRANSFORMS_REROUTER_H
#define FQAT_LIB_TRANSFORMS_REROUTER_H

#include "fqat/Analysis/Trace.h"
#include "fqat/Support/Hierarchy.h"
#include "llvm/ADT/DenseSet.h"

namespace fqat {

/// An operand by its op and number.
using Use = std::pair<mlir::Operation *, unsigned>;

/// Hands the result of a nop to the uses that want it, through lists, calls,
/// returns and control flow.
class Rerouter {
public:
  /// `wanted` are the uses that are to read the nop's result, `reading` all
  /// that read the tensor in one way or another.
  Rerouter(Hierarchy &hierarchy, const Trace &trace,
           const llvm::DenseSet<Use> &wanted,
           const llvm::DenseSet<Use> &reading)
      : hierarchy(hierarchy), symbols(hierarchy.getSymbols()),
        model(hierarchy.getModel()), trace(trace), wanted(wanted),
        reading(reading) {}

  /// Makes the wanted uses that `from` reaches read `to`, which is defined
  /// after it in the same body. Uses that are not wanted keep `from`. Emits an
  /// error where that cannot be done.
  llvm::LogicalResult reroute(mlir::Value from, mlir::Value to);

  /// Whether a method, an if or a loop got other arguments or results.
  bool changedSignature() const { return signatureChanged; }
  const llvm::DenseSet<Use> &getDone() const { return done; }

private:
  /// Flags.
  enum Reach { Nothing = 0, Wanted = 1, Unwanted = 2, Unreached = 4 };
  /// A value that holds the tensor: itself, or as an element. `path` says which
  /// element, outermost list last; -1 where it is not known which.
  struct Flow {
    mlir::Value value;
    llvm::SmallVector<int64_t, 1> path;
  };

  /// What reads a value through one of its uses; the uses that want the nop's
  /// result are appended to `found`.
  unsigned getReach(mlir::OpOperand &use, llvm::SmallVectorImpl<Use> &found);
  Reach getLeafReach(mlir::OpOperand &use, llvm::SmallVectorImpl<Use> &found);
  /// Whether a use hands on what it reads, as it is or as an element.
  bool isCarrier(mlir::OpOperand &use);
  /// What a use that only hands the value on makes of it.
  llvm::SmallVector<Flow> getFlow(mlir::OpOperand &use,
                                  llvm::ArrayRef<int64_t> path);
  /// The values in which a list or dict that a value holds may be known first.
  llvm::SmallVector<mlir::Value> getRoots(mlir::Value container);
  /// Makes the carrier of a use carry `value` beside what it carries, and
  /// returns both as they come out.
  mlir::FailureOr<std::pair<mlir::Value, mlir::Value>>
  split(mlir::OpOperand &use, mlir::Value value);

  Hierarchy &hierarchy;
  mlir::SymbolTable &symbols;
  mlir::ModuleOp model;
  const Trace &trace;
  const llvm::DenseSet<Use> &wanted, &reading;
  llvm::DenseSet<Use> done;
  bool signatureChanged = false;
};

/// Whether `a` comes before `b` in the text of the bodies that both lie in.
bool isBeforeInText(mlir::Operation *a, mlir::Operation *b);

/// Gives an if one more result, which its arms yield already.
IfOp addResult(IfOp op, mlir::Type type);

} // namespace fqat

#endif // FQAT_LIB_TRANSFORMS_REROUTER_H
