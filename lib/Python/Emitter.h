//===- Emitter.h - What all parts of a Python module share -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PYTHON_EMITTER_H
#define FQAT_LIB_PYTHON_EMITTER_H

#include "Layout.h"
#include "fqat/Python/Emit.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Threading.h"

#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <optional>
#include <set>

namespace fqat {

/// How an instance becomes a Python object.
struct InstanceForm {
  enum Kind {
    /// A class of the emitted module, with a body of its own.
    Own,
    /// A class of torch.nn, all of whose calls run its `forward`.
    Library,
    /// One of torch.nn's containers.
    Sequential,
    List,
    Dict,
    /// An out_nop.
    Nop
  } kind = Own;
  /// Of a library class: the expression that makes it.
  Code maker;
};

/// The method that makes an instance of what the file holds of it.
inline constexpr llvm::StringLiteral kSetState = "__setstate__";

/// A part of `model.py` that only some models need.
enum class Helper {
  ToInt,
  ToFloat,
  ToTensor,
  AtLeast,
  RangeLength,
  Format,
  Functional,
  Math,
  Warnings
};

/// Makes the Python of one model.
class Emitter {
public:
  Emitter(mlir::ModuleOp model, const AnchorSet &anchors,
          llvm::StringRef nopName, SchemaLookup getSchema);

  mlir::FailureOr<PythonModel> run(llvm::StringRef input);

  mlir::SymbolTable &getSymbols() { return symbols; }
  const Threading::Needs &getNeeds(MethodOp method) const {
    return threading.getNeeds(method);
  }
  SchemaLookup getSchemaLookup() const { return getSchema; }

  ModuleOp getInstance(llvm::StringRef symbol) {
    return lookupInstance(symbols, symbol);
  }
  const InstanceForm &getForm(ModuleOp instance) {
    return forms.find(instance)->second;
  }
  /// The instances, slots and aliases directly below an instance, in order.
  llvm::SmallVector<mlir::Operation *> getMembers(ModuleOp instance);
  llvm::ArrayRef<MethodOp> getMethods(ModuleOp instance) {
    return methodsOf[instance];
  }
  /// Whether an instance is in training, as far as the model says so.
  std::optional<bool> getMode(ModuleOp instance);
  /// Whether an instance is made of a torch.nn.Sequential: its numbered
  /// children are reached by their index.
  bool isNumbered(ModuleOp instance);

  /// The Python that reaches `symbol`, at or below `base`, from an object that
  /// stands for `base`.
  std::string reach(llvm::StringRef object, llvm::StringRef base,
                    mlir::StringAttr symbol);
  /// The same thing by a path at or below `instance`, if there is one.
  mlir::StringAttr findBelow(llvm::StringRef instance,
                             mlir::StringAttr symbol) const {
    return aliases.findBelow(instance, symbol);
  }
  /// The name of a member of `instance` that holds a tensor constant of its
  /// code.
  std::string addConstant(ModuleOp instance, TensorAttr value);
  /// The name of a free function, for a body that calls it.
  llvm::StringRef useFunction(FunctionOp function);
  void use(Helper helper) { helpers.insert(helper); }
  bool isTaken(llvm::StringRef name) const { return taken.contains(name); }
  /// Whether the model was traced on a device: code that names it means where
  /// its tensors are.
  bool isOwnDevice(DeviceAttr device) const {
    return device.getSpelling() == ownDevice;
  }

  /// A tensor constant of few elements as an expression; nothing if it has too
  /// many, or bytes that are not known.
  std::optional<Code> spellTensor(TensorAttr value, unsigned maxElements);
  /// The one number of a tensor without dimensions that is an integer.
  std::optional<int64_t> getInteger(TensorAttr value);
  /// What the model says of a type in an annotation; empty for a tensor. Fails
  /// where Python has no name for it.
  mlir::FailureOr<std::string> spellType(mlir::Type type, mlir::Operation *op);

private:
  /// Finds what runs: methods, functions and the slots that they use.
  void findCode();
  mlir::LogicalResult checkParts();
  void findForms();
  std::optional<InstanceForm::Kind> findContainer(ModuleOp instance);
  bool isChain(ModuleOp instance);
  /// Writes the classes, and notes that of each instance.
  mlir::LogicalResult writeClasses(llvm::raw_ostream &os);
  void nameFunctions();
  mlir::LogicalResult writeFunctions(llvm::raw_ostream &os);
  mlir::FailureOr<Code> makeInstance(ModuleOp instance, bool atTarget = false);
  Code makeTensor(TensorAttr tensor);
  /// Puts a value into constants.pt; how `build` reads it.
  Code addRecord(llvm::StringRef symbol, mlir::Attribute value);
  mlir::FailureOr<Code> spellAttribute(mlir::Operation *slot);
  mlir::LogicalResult writeBuild(llvm::raw_ostream &os);
  mlir::LogicalResult findGroups();
  void
  collectState(ModuleOp instance, const std::string &prefix,
               std::vector<std::pair<std::string, mlir::Attribute>> &state);

  mlir::ModuleOp model;
  const AnchorSet &anchors;
  llvm::StringRef nopName;
  SchemaLookup getSchema;
  mlir::SymbolTable symbols;
  AliasIndex aliases;
  Threading threading;
  llvm::DenseMap<ModuleOp, llvm::SmallVector<MethodOp>> methodsOf;
  /// The methods and functions that can run.
  llvm::DenseSet<mlir::Operation *> code;
  llvm::DenseMap<ModuleOp, InstanceForm> forms;
  llvm::DenseSet<ModuleOp> aliasTargets;
  llvm::StringRef ownDevice;
  /// Slots that some code reads or writes.
  llvm::DenseSet<mlir::StringAttr> usedSlots;
  /// The constants that the code of an instance has, by their names.
  llvm::DenseMap<ModuleOp,
                 llvm::SmallVector<std::pair<std::string, TensorAttr>>>
      constants;
  llvm::DenseMap<ModuleOp, std::string> classNames;
  llvm::DenseMap<ModuleOp, std::string> targetNames;
  llvm::SetVector<FunctionOp> usedFunctions;
  llvm::DenseMap<mlir::Operation *, std::string> functionNames;
  /// The bit widths of the layers, by instance.
  llvm::DenseMap<ModuleOp, BitsAttr> bits;
  struct Group {
    std::string conv, norm, activation;
  };
  std::vector<Group> groups;
  std::vector<std::pair<std::string, mlir::Attribute>> constantRecords;
  std::set<Helper> helpers;
  std::set<std::string> typing;
  llvm::StringSet<> taken;
};

/// The slot that an op reads of a module that is a value; null if it reads
/// none.
mlir::StringAttr getSlotOfValue(mlir::Operation *op);

/// The torch.nn class whose `forward` is all that the methods of an instance
/// do, and the arguments that make it so; nothing if there is none. `layers` is
/// the expression that holds the classes.
std::optional<Code> matchLibraryClass(Emitter &emitter, ModuleOp instance,
                                      llvm::StringRef layers);

/// Writes the body of a method or a function. `text` has comments with the
/// lines of the original, `key` has none.
mlir::LogicalResult writeBody(Emitter &emitter,
                              mlir::FunctionOpInterface function,
                              llvm::StringRef name, unsigned indent,
                              std::string &text, std::string &key);

/// A number, a string, None, or a list, tuple or dict of them as an expression;
/// `spellOther` is asked for what is none of these. Nothing if neither knows.
std::optional<Code> spellConstant(
    mlir::Attribute value,
    llvm::function_ref<std::optional<Code>(mlir::Attribute)> spellOther =
        nullptr);

} // namespace fqat

#endif // FQAT_LIB_PYTHON_EMITTER_H
