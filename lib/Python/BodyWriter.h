//===- BodyWriter.h - Writes one body in Python -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PYTHON_BODYWRITER_H
#define FQAT_LIB_PYTHON_BODYWRITER_H

#include "Emitter.h"

namespace fqat {

/// Writes the body of a method or a free function.
class BodyWriter {
public:
  BodyWriter(Emitter &emitter, mlir::FunctionOpInterface function,
             unsigned indent)
      : emitter(emitter), function(function),
        method(llvm::dyn_cast<MethodOp>(function.getOperation())),
        indent(indent) {}

  llvm::LogicalResult run(llvm::StringRef name);

  std::string text, key;

private:
  llvm::LogicalResult writeSignature(llvm::StringRef name);
  void forgetNames();
  void findNumbers();
  llvm::LogicalResult writeBlock(mlir::Block &block);
  llvm::LogicalResult writeOp(mlir::Operation *op);
  llvm::LogicalResult writeIf(IfOp op);
  llvm::LogicalResult writeLoop(LoopOp op);
  llvm::LogicalResult writeArm(mlir::Block &arm,
                               llvm::ArrayRef<std::string> names);
  llvm::LogicalResult writeReturn(ReturnOp op);
  llvm::LogicalResult writeCall(mlir::Operation *op, MethodOp callee,
                                mlir::OperandRange operands);
  llvm::LogicalResult writeOperator(OperatorOp op);
  llvm::LogicalResult writeConstant(ConstantOp op);

  // Expressions.
  mlir::FailureOr<Code> spellValue(mlir::Attribute value, mlir::Operation *op);
  mlir::FailureOr<Code> spellAnything(mlir::Type type, mlir::Operation *op);
  std::optional<Code> spellOwnDevice();
  std::optional<Code> spellNumber(OperatorOp op);
  std::optional<Code> spellSyntax(OperatorOp op);
  std::optional<Code> spellFunctional(OperatorOp op);
  std::optional<Code> spellIndexing(OperatorOp op);
  Code spellCall(OperatorOp op);
  std::vector<Code> spellArguments(OperatorOp op, unsigned first);
  Code spellOperand(OperatorOp op, unsigned index,
                    const ArgumentSchema *schema);
  Code spellTraining(OperatorOp op, unsigned index);

  // Values.
  Code use(mlir::Value value);
  /// The same for what stands before a dot or beside an operator: long
  /// expressions there are hard to read, and get a line of their own.
  std::string useObject(mlir::Value value);
  void define(mlir::Operation *op, Code code, bool isLight);
  void flush();
  void beginStatement(mlir::Operation *op);
  void assign(mlir::ValueRange results, const Code &code);
  std::string makeName(llvm::StringRef wish);
  std::string getWish(mlir::Value value);
  std::string reach(mlir::StringAttr symbol);

  // Lines.
  void line(llvm::StringRef prefix, const Code &code,
            llvm::StringRef suffix = "");
  void comment(mlir::Operation *op);

  Emitter &emitter;
  mlir::FunctionOpInterface function;
  /// Null for a free function.
  MethodOp method;
  unsigned indent;
  llvm::DenseMap<mlir::Value, Code> values;
  llvm::StringSet<> names;
  /// What is threaded: the arguments that hold it.
  llvm::MapVector<mlir::StringAttr, std::string> threaded;
  /// Tensors that are numbers made of sizes: Python's own numbers do.
  llvm::DenseSet<mlir::Value> numbers;
  /// The value that was computed last, if its only reader may take its
  /// expression.
  mlir::Value pending;
  Code pendingCode;
  /// Whether the op that is being written has taken it.
  bool tookPending = false;
  std::string lastComment;
};

} // namespace fqat

#endif // FQAT_LIB_PYTHON_BODYWRITER_H
