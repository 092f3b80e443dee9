//===- Import.cpp - From a TorchScript file to the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two steps. First the tree of objects becomes instances, slots and storages.
// Then methods are imported from a worklist that the root's methods start.
// Import erases `self` and every argument that hands a callee a module or a
// slot: a callee is specialised to what it is handed,
//
//   def forward(self, act: SiLU, x): return (act).forward3(x)
//
//   fqat.method @model.0.forward(%x) { fqat.call @model.9.act.forward3(%x) }
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Import.h"

#include "Archive.h"
#include "Code.h"
#include "Types.h"

#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Dtypes.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/TorchScript/Kernels.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SmallVectorExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/DynamicLibrary.h"
#include "llvm/Support/FileSystem.h"
#include <ATen/core/function_schema.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <deque>

using namespace mlir;
namespace jit = torch::jit;

namespace fqat {
namespace {

/// What a value of a graph stands for while it has no value in the IR: an
/// instance or a slot, by its symbol.
struct Ref {
  enum Kind { Instance, Slot } kind;
  StringAttr symbol;
};

/// A value of a graph: a value of the IR, several (a tuple that is kept apart),
/// a reference, or a constant that is made where it is used first. A reference
/// that the code reads at a place of its own has a value too.
struct Binding {
  SmallVector<Value, 1> values;
  bool isSplitTuple = false;
  std::optional<Ref> ref;
  const jit::Node *constant = nullptr;
};

/// A method or a function that is called but not yet imported.
struct Job {
  /// Null for a function.
  StringAttr instance;
  std::string symbol;
  jit::GraphFunction *function;
  /// What the arguments behind `self` are bound to; those that are not bound
  /// are arguments of the imported method.
  SmallVector<std::optional<Ref>> bindings;
};

/// A module object of the file.
struct Instance {
  const PickleValue *object = nullptr;
  c10::ClassTypePtr type;
  /// The class restores itself from a state of its own; what its attributes
  /// hold then is not known.
  bool isOpaque = false;
  llvm::StringMap<const PickleValue *> values;

  /// What an attribute holds, or null.
  const PickleValue *getValue(StringRef name) const {
    return values.lookup(name);
  }
};

using EmitError = function_ref<InFlightDiagnostic()>;

class Importer {
public:
  Importer(MLIRContext *context, Archive &archive, StringRef path,
           StringRef nopName, Phases *phases)
      : context(context), archive(archive), builder(context), nopName(nopName),
        phases(phases), fileLoc(FileLineColLoc::get(context, path, 0, 0)) {}

  OwningOpRef<mlir::ModuleOp> run();

private:
  // Values.
  void countUses(const PickleValue &root);
  FailureOr<Attribute> convertValue(const PickleValue &value,
                                    Archive::Section section, EmitError error);
  FailureOr<Attribute> makeValue(const PickleValue &value,
                                 Archive::Section section, EmitError error);
  FailureOr<ArrayAttr> convertItems(ArrayRef<const PickleValue *> items,
                                    Archive::Section section, EmitError error);
  FailureOr<Attribute> convertCall(const PickleValue &value,
                                   Archive::Section section, int64_t identity,
                                   EmitError error);
  /// A tensor of the common kind; null if it is of another.
  FailureOr<TensorAttr> convertTensor(const PickleValue &value,
                                      Archive::Section section,
                                      int64_t identity, EmitError error);
  FailureOr<FlatSymbolRefAttr> convertStorage(const PickleValue &value,
                                              Archive::Section section,
                                              StringRef &dtype,
                                              EmitError error);
  /// A value that code or a class holds.
  FailureOr<Attribute> convertConstant(const c10::IValue &value,
                                       EmitError error);
  DenseResourceElementsAttr makeBlob(StringRef name, ArrayRef<char> bytes);

  // The object graph.
  LogicalResult importObjects();
  LogicalResult importInstance(const Instance &instance, StringAttr path);
  LogicalResult importSlot(const Instance &instance, size_t index,
                           StringAttr path);
  /// The class of a module, or null if the value is no module.
  c10::ClassTypePtr getModuleClass(const PickleValue &value);
  const Instance &getInstance(StringAttr path) { return instances[path]; }
  /// Finds what of the code decides how it is imported.
  void scanCode();
  void scanBlock(const jit::Block &block);

  // Methods.
  /// The symbol of a method specialised to `bindings`, which is imported later
  /// if it is new.
  StringAttr requestMethod(StringAttr instance, StringRef name,
                           jit::Function &function,
                           ArrayRef<std::optional<Ref>> bindings);
  StringAttr requestFunction(jit::Function &function);
  LogicalResult drainJobs();
  /// The tuple that a graph returns if it makes it itself, last, and nothing
  /// else uses it: such a method returns the elements instead.
  const jit::Node *getSplitTuple(jit::Function &function);
  /// The results of an imported method: none for None, the elements of a tuple
  /// that is split.
  SmallVector<Type> getResultTypes(const c10::FunctionSchema &schema,
                                   bool isSplit);
  LogicalResult importBody(const Job &job);
  LogicalResult importNode(const jit::Node *node);
  LogicalResult importGetAttr(const jit::Node *node);
  LogicalResult importSetAttr(const jit::Node *node);
  LogicalResult importCallMethod(const jit::Node *node);
  LogicalResult importCallFunction(const jit::Node *node);
  LogicalResult importCall(const jit::Node *node, StringAttr instance,
                           StringRef name, jit::Function &function,
                           ArrayRef<const jit::Value *> inputs);
  LogicalResult importUnpack(const jit::Node *node);
  LogicalResult importIf(const jit::Node *node);
  LogicalResult importLoop(const jit::Node *node);
  LogicalResult importFork(const jit::Node *node);
  LogicalResult importArm(Region &region, const jit::Block &block,
                          Location loc);
  LogicalResult importOperator(const jit::Node *node);
  FailureOr<DictionaryAttr> convertAttributes(const jit::Node *node);
  void setSchemaEffects(const jit::Node *node, OperatorOp op);
  FailureOr<Value> use(const jit::Value *value, Location loc);
  /// The slot of the current instance, or of a child, that holds the same
  /// tensor as a slot elsewhere, or else that slot: tracing hands a shared or
  /// tied parameter to a callee that has it too.
  StringAttr findOwnSlot(StringAttr slot);
  LogicalResult useAll(at::ArrayRef<const jit::Value *> inputs, Location loc,
                       SmallVectorImpl<Value> &values);
  void bind(const jit::Node *node, ValueRange values);
  void locateCalls();
  /// Makes the calls of out_nops what they are.
  void markOutNops();
  /// Puts methods in the order of their instances and, within one, of their
  /// class.
  void sortMethods();
  void sortStorages();
  LogicalResult importTypedefs();

  Location getLoc(const jit::Node *node);
  InFlightDiagnostic emitNodeError(const jit::Node *node) {
    return emitError(getLoc(node))
           << "in '" << displayPath(currentInstance) << "': ";
  }
  StringAttr getString(const Twine &text) {
    return StringAttr::get(context, text);
  }
  Type convert(const c10::TypePtr &type);
  SmallVector<Type> convertResultTypes(const jit::Node *node) {
    return llvm::map_to_vector(node->outputs(), [&](const jit::Value *output) {
      return convert(output->type());
    });
  }

  MLIRContext *context;
  Archive &archive;
  OpBuilder builder;
  StringRef nopName;
  Phases *phases;
  Location fileLoc;
  mlir::ModuleOp model;

  // Values: how often the file refers to each, what they became, the numbers
  // of those that are shared, and the storages.
  DenseMap<const PickleValue *, unsigned> useCounts;
  DenseMap<const PickleValue *, Attribute> converted;
  int64_t numIdentities = 0;
  llvm::StringMap<FlatSymbolRefAttr> storages;
  /// Where storages go.
  OpBuilder storageBuilder{context};
  /// Those of `data.pkl` by their numbers in the file.
  std::vector<std::pair<uint64_t, StorageOp>> storageOrder;

  // The object graph.
  DenseMap<const PickleValue *, StringAttr> paths;
  DenseMap<StringAttr, Instance> instances;
  DenseMap<const c10::ClassType *, unsigned> numInstances;
  llvm::StringMap<c10::ClassTypePtr> moduleClasses;
  DenseMap<StringAttr, Type> slotTypes;

  // The code: attributes that some method writes, by name, and the callees
  // whose results some caller does not take apart at once.
  llvm::StringSet<> writtenAttributes;
  llvm::DenseSet<const jit::Function *> unsplittable;
  llvm::StringSet<> unsplittableNames;
  /// Types other than modules, in the order in which they were met.
  std::vector<c10::NamedTypePtr> keptTypes;
  llvm::DenseSet<const c10::NamedType *> namedTypes;

  // Methods.
  std::deque<Job> jobs;
  llvm::StringMap<StringAttr> requested;
  llvm::StringSet<> methodSymbols;

  // The method that is being imported.
  StringAttr currentInstance;
  MethodOp currentMethod;
  /// Whether all attributes are read first, as tracing does. Else each is read
  /// where the code reads it.
  bool isTracedForm = false;
  /// What it reads first, in order.
  SmallVector<Attribute> readsAtTop;
  DenseMap<const jit::Value *, Binding> bindings;
  /// Constants and reads of slots, by block, the innermost last.
  SmallVector<DenseMap<const void *, Value>> scopes;
  Operation *lastRead = nullptr;
};

} // namespace

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

DenseResourceElementsAttr Importer::makeBlob(StringRef name,
                                             ArrayRef<char> bytes) {
  auto type = RankedTensorType::get({static_cast<int64_t>(bytes.size())},
                                    IntegerType::get(context, 8));
  // Records of torch's own writer are aligned to 64 bytes, those of other zip
  // tools to nothing: only the address tells.
  uintptr_t address = reinterpret_cast<uintptr_t>(bytes.data());
  size_t alignment = address ? size_t(1) << llvm::countr_zero(address) : 64;
  AsmResourceBlob blob(
      bytes, std::min<size_t>(alignment, 64),
      [owner = archive.getOwner()](void *, size_t, size_t) {},
      /*dataIsMutable=*/false);
  return DenseResourceElementsAttr::get(type, name, std::move(blob));
}

Type Importer::convert(const c10::TypePtr &type) {
  // Definitions of what is named come along.
  SmallVector<c10::TypePtr> worklist = {type};
  while (!worklist.empty()) {
    c10::TypePtr current = worklist.pop_back_val();
    llvm::append_range(worklist, current->containedTypes());
    c10::NamedTypePtr named = getNamedType(current);
    auto classType = current->cast<c10::ClassType>();
    bool isModule = classType && classType->is_module();
    if (named && !isModule && named->kind() != c10::TypeKind::FunctionType &&
        namedTypes.insert(named.get()).second)
      keptTypes.push_back(named);
  }
  return convertType(type, context);
}

FailureOr<FlatSymbolRefAttr> Importer::convertStorage(const PickleValue &value,
                                                      Archive::Section section,
                                                      StringRef &dtype,
                                                      EmitError error) {
  // ("storage", type, key, device, number of elements)
  const PickleValue &id = *value.items[0];
  if (!id.isTuple() || id.items.size() < 5 || !id.items[0]->isString() ||
      id.items[0]->text != "storage" ||
      id.items[1]->kind != PickleValue::Global || !id.items[2]->isString() ||
      !id.items[3]->isString()) {
    error() << "the file names a storage in a way that is not understood";
    return failure();
  }
  StringRef type = id.items[1]->text, key = id.items[2]->text;
  type.consume_front("torch.");
  type.consume_back("Storage");
  dtype = getDtypeName(type);
  if (dtype.empty()) {
    error() << "a storage of unknown type '" << id.items[1]->text << "'";
    return failure();
  }
  FlatSymbolRefAttr &symbol =
      storages[(section == Archive::Data ? "d" : "c") + key.str()];
  if (symbol)
    return symbol;
  auto bytes = archive.getStorage(section, key);
  if (!bytes) {
    error() << llvm::toString(bytes.takeError());
    return failure();
  }
  std::string name = "s" + std::to_string(storages.size() - 1);
  symbol = FlatSymbolRefAttr::get(context, "$" + name);
  auto storage = StorageOp::create(
      storageBuilder, fileLoc, symbol.getAttr(), getString(dtype),
      getString(id.items[3]->text), makeBlob(name, *bytes));
  uint64_t number;
  if (section == Archive::Data && !StringRef(key).getAsInteger(10, number))
    storageOrder.emplace_back(number, storage);
  return symbol;
}

/// The integers of a tuple, or nothing if it holds something else.
static std::optional<SmallVector<int64_t>> getInts(const PickleValue &tuple) {
  SmallVector<int64_t> result;
  if (!tuple.isTuple())
    return std::nullopt;
  for (const PickleValue *item : tuple.items) {
    if (item->kind != PickleValue::Int)
      return std::nullopt;
    result.push_back(item->integer);
  }
  return result;
}

FailureOr<TensorAttr> Importer::convertTensor(const PickleValue &value,
                                              Archive::Section section,
                                              int64_t identity,
                                              EmitError error) {
  // (storage, offset, sizes, strides, requires_grad, backward hooks)
  ArrayRef<const PickleValue *> arguments = value.arguments();
  if (arguments.size() != 6 || arguments[0]->kind != PickleValue::Persistent ||
      arguments[1]->kind != PickleValue::Int ||
      arguments[4]->kind != PickleValue::Bool ||
      !arguments[5]->isCallOf("collections.OrderedDict") ||
      !arguments[5]->arguments().empty())
    return TensorAttr();
  auto sizes = getInts(*arguments[2]), strides = getInts(*arguments[3]);
  if (!sizes || !strides)
    return TensorAttr();
  StringRef dtype;
  FailureOr<FlatSymbolRefAttr> storage =
      convertStorage(*arguments[0], section, dtype, error);
  if (failed(storage))
    return failure();
  auto tensor = TensorAttr::getChecked(
      error, context, *storage, dtype, ArrayRef<int64_t>(*sizes),
      ArrayRef<int64_t>(*strides), arguments[1]->integer,
      arguments[4]->integer != 0, identity);
  if (!tensor)
    return failure();
  auto bytes =
      archive.getStorage(section, arguments[0]->items[0]->items[2]->text);
  if (!bytes || !fitsInto(tensor, bytes->size())) {
    llvm::consumeError(bytes.takeError());
    error() << "the tensor reaches beyond its storage";
    return failure();
  }
  return tensor;
}

FailureOr<ArrayAttr> Importer::convertItems(ArrayRef<const PickleValue *> items,
                                            Archive::Section section,
                                            EmitError error) {
  SmallVector<Attribute> result;
  for (const PickleValue *item : items) {
    FailureOr<Attribute> converted = convertValue(*item, section, error);
    if (failed(converted))
      return failure();
    result.push_back(*converted);
  }
  return builder.getArrayAttr(result);
}

FailureOr<Attribute> Importer::convertCall(const PickleValue &value,
                                           Archive::Section section,
                                           int64_t identity, EmitError error) {
  StringRef function = value.items[0]->text;
  // An enum's member: its value is no tuple of arguments.
  if (!value.items[1]->isTuple()) {
    FailureOr<Attribute> argument =
        convertValue(*value.items[1], section, error);
    if (failed(argument))
      return failure();
    if (c10::TypePtr type = archive.loadType(function))
      convert(type);
    return Attribute(BuildAttr::get(context, function, *argument, identity));
  }
  ArrayRef<const PickleValue *> arguments = value.arguments();
  if (function == "torch._utils._rebuild_tensor_v2") {
    FailureOr<TensorAttr> tensor =
        convertTensor(value, section, identity, error);
    if (failed(tensor))
      return failure();
    if (*tensor)
      return Attribute(*tensor);
  }
  if (function == "torch.device" && arguments.size() == 1 &&
      arguments[0]->isString())
    return Attribute(DeviceAttr::get(context, arguments[0]->text));
  if ((function == "builtins.complex" || function == "__builtin__.complex") &&
      arguments.size() == 2 && arguments[0]->kind == PickleValue::Float &&
      arguments[1]->kind == PickleValue::Float)
    return Attribute(
        ComplexAttr::get(context, builder.getF64FloatAttr(arguments[0]->real),
                         builder.getF64FloatAttr(arguments[1]->real)));
  if (function == "torch.jit._pickle.restore_type_tag" &&
      arguments.size() == 2 && arguments[1]->isString() &&
      (arguments[0]->kind == PickleValue::List ||
       arguments[0]->kind == PickleValue::Dict)) {
    FailureOr<ArrayAttr> items =
        convertItems(arguments[0]->items, section, error);
    if (failed(items))
      return failure();
    if (arguments[0]->kind == PickleValue::List)
      return Attribute(
          ListAttr::get(context, *items, arguments[1]->text, identity));
    return Attribute(
        DictAttr::get(context, *items, arguments[1]->text, identity));
  }
  FailureOr<ArrayAttr> converted = convertItems(arguments, section, error);
  if (failed(converted))
    return failure();
  return Attribute(BuildAttr::get(context, function, *converted, identity));
}

FailureOr<Attribute> Importer::makeValue(const PickleValue &value,
                                         Archive::Section section,
                                         EmitError error) {
  int64_t identity = 0;
  bool hasIdentity =
      value.kind == PickleValue::List || value.kind == PickleValue::Dict ||
      value.kind == PickleValue::Object || value.kind == PickleValue::Reduce;
  if (hasIdentity && useCounts.lookup(&value) > 1)
    identity = ++numIdentities;
  switch (value.kind) {
  case PickleValue::None:
    return Attribute(builder.getUnitAttr());
  case PickleValue::Bool:
    return Attribute(builder.getBoolAttr(value.integer != 0));
  case PickleValue::Int:
    return Attribute(builder.getI64IntegerAttr(value.integer));
  case PickleValue::Float:
    return Attribute(builder.getF64FloatAttr(value.real));
  case PickleValue::String:
    return Attribute(builder.getStringAttr(value.text));
  case PickleValue::Tuple: {
    FailureOr<ArrayAttr> items = convertItems(value.items, section, error);
    if (failed(items))
      return failure();
    return Attribute(*items);
  }
  case PickleValue::List:
  case PickleValue::Dict: {
    FailureOr<ArrayAttr> items = convertItems(value.items, section, error);
    if (failed(items))
      return failure();
    if (value.kind == PickleValue::List)
      return Attribute(ListAttr::get(context, *items, "", identity));
    return Attribute(DictAttr::get(context, *items, "", identity));
  }
  case PickleValue::Global:
    return Attribute(GlobalAttr::get(context, value.text));
  case PickleValue::Reduce:
    return convertCall(value, section, identity, error);
  case PickleValue::Object: {
    StringRef name = value.items[0]->text;
    if (getModuleClass(value)) {
      error() << "a module inside another value is not supported";
      return failure();
    }
    // The definition comes along.
    if (c10::TypePtr type = archive.loadType(name))
      convert(type);
    FailureOr<Attribute> state = convertValue(*value.items[1], section, error);
    if (failed(state))
      return failure();
    return Attribute(ObjectAttr::get(context, name, *state, identity));
  }
  case PickleValue::Persistent: {
    StringRef dtype;
    FailureOr<FlatSymbolRefAttr> storage =
        convertStorage(value, section, dtype, error);
    if (failed(storage))
      return failure();
    return Attribute(*storage);
  }
  }
  llvm_unreachable("all kinds are handled");
}

FailureOr<Attribute> Importer::convertValue(const PickleValue &value,
                                            Archive::Section section,
                                            EmitError error) {
  auto it = converted.find(&value);
  if (it != converted.end())
    return it->second;
  FailureOr<Attribute> made = makeValue(value, section, error);
  if (succeeded(made))
    converted[&value] = *made;
  return made;
}

FailureOr<Attribute> Importer::convertConstant(const c10::IValue &value,
                                               EmitError error) {
  bool isReported = false;
  auto lookup = [&](const c10::IValue &part) -> Attribute {
    if (part.isEnum())
      convert(part.type());
    const PickleValue *constant = archive.getConstant(part);
    if (!constant)
      return {};
    FailureOr<Attribute> converted =
        convertValue(*constant, Archive::Constants, error);
    isReported = failed(converted);
    return succeeded(converted) ? *converted : Attribute();
  };
  Attribute converted = fqat::convertValue(value, context, lookup);
  if (converted)
    return converted;
  if (!isReported)
    error() << "a value of type '" << value.type()->annotation_str()
            << "' is not supported";
  return failure();
}

//===----------------------------------------------------------------------===//
// The object graph
//===----------------------------------------------------------------------===//

c10::ClassTypePtr Importer::getModuleClass(const PickleValue &value) {
  if (value.kind != PickleValue::Object)
    return nullptr;
  StringRef name = value.items[0]->text;
  auto it = moduleClasses.find(name);
  if (it != moduleClasses.end())
    return it->second;
  c10::TypePtr type = archive.loadType(name);
  auto classType = type ? type->cast<c10::ClassType>() : nullptr;
  if (classType && !classType->is_module())
    classType = nullptr;
  moduleClasses[name] = classType;
  return classType;
}

/// Whether a slot of a type can have a value, as far as its kind goes.
static bool mayHold(const c10::Type &type, const PickleValue &value) {
  using Kind = PickleValue;
  bool isMade = value.kind == Kind::Reduce &&
                StringRef(value.items[0]->text).starts_with("torch.");
  switch (type.kind()) {
  case c10::TypeKind::TensorType:
    // None is an undefined tensor.
    return isMade || value.kind == Kind::None;
  case c10::TypeKind::IntType:
    return value.kind == Kind::Int;
  case c10::TypeKind::FloatType:
    return value.kind == Kind::Float || value.kind == Kind::Int;
  case c10::TypeKind::BoolType:
    return value.kind == Kind::Bool;
  case c10::TypeKind::StringType:
    return value.kind == Kind::String;
  case c10::TypeKind::ListType:
    return isMade || value.kind == Kind::List;
  case c10::TypeKind::DictType:
    return isMade || value.kind == Kind::Dict;
  default:
    return true;
  }
}

LogicalResult Importer::importSlot(const Instance &instance, size_t index,
                                   StringAttr path) {
  const c10::ClassType &type = *instance.type;
  const std::string &name = type.getAttributeName(index);
  auto error = [&] {
    return emitError(fileLoc) << "in '" << displayPath(splitPath(path).first)
                              << "': attribute '" << name << "': ";
  };
  Attribute attr;
  if (!instance.isOpaque) {
    const PickleValue *value = instance.getValue(name);
    if (!value) {
      error() << "the file holds no value";
      return failure();
    }
    if (!mayHold(*type.getAttribute(index), *value)) {
      error() << "the value is no "
              << type.getAttribute(index)->annotation_str();
      return failure();
    }
    FailureOr<Attribute> converted = convertValue(*value, Archive::Data, error);
    if (failed(converted))
      return failure();
    attr = *converted;
  } else if (type.getAttribute(index)->is_module()) {
    error() << "a module that __setstate__ makes is not supported";
    return failure();
  }
  Type slotType = convert(type.getAttribute(index));
  slotTypes[path] = slotType;
  Location loc = makeNodeLoc(context, {}, splitPath(path).first, {});
  if (type.is_parameter(index))
    ParameterOp::create(builder, loc, path, attr, slotType);
  else if (type.is_buffer(index))
    BufferOp::create(builder, loc, path, attr, slotType);
  else
    AttributeOp::create(builder, loc, path, attr, slotType);
  return success();
}

LogicalResult Importer::importInstance(const Instance &instance,
                                       StringAttr path) {
  const c10::ClassType &type = *instance.type;
  auto error = [&] {
    return emitError(fileLoc) << "in '" << displayPath(path) << "': ";
  };
  SmallVector<Attribute> slots, constants;
  for (size_t i = 0; i != type.numAttributes(); ++i)
    slots.push_back(getString(type.getAttributeName(i)));
  for (size_t i = 0; i != type.numConstants(); ++i) {
    constants.push_back(getString(type.getConstantName(i)));
    FailureOr<Attribute> value = convertConstant(type.getConstant(i), error);
    if (failed(value))
      return failure();
    constants.push_back(*value);
  }
  auto getNames = [&](const std::vector<jit::Function *> &functions) {
    SmallVector<Attribute> names;
    for (const jit::Function *function : functions)
      names.push_back(getString(function->name()));
    return names.empty() ? ArrayAttr() : builder.getArrayAttr(names);
  };
  auto op = ModuleOp::create(builder, makeNodeLoc(context, {}, path, {}), path,
                             type.name()->qualifiedName(),
                             builder.getArrayAttr(slots));
  if (!constants.empty())
    op.setConstantsAttr(builder.getArrayAttr(constants));
  op.setHooksAttr(getNames(type.getForwardHooks()));
  op.setPreHooksAttr(getNames(type.getForwardPreHooks()));
  if (instance.isOpaque) {
    FailureOr<Attribute> state =
        convertValue(*instance.object->items[1], Archive::Data, error);
    if (failed(state))
      return failure();
    op.setStateAttr(*state);
  }
  // The attribute that holds the instance may have an interface as its type.
  auto [parent, name] = splitPath(path);
  auto it = instances.find(getString(parent));
  if (it != instances.end()) {
    c10::TypePtr declared = it->second.type->getAttribute(unescapeName(name));
    if (declared->kind() == c10::TypeKind::InterfaceType)
      op.setInterfaceAttr(TypeAttr::get(convert(declared)));
  }
  return success();
}

void Importer::countUses(const PickleValue &root) {
  SmallVector<const PickleValue *> worklist = {&root};
  while (!worklist.empty()) {
    const PickleValue *value = worklist.pop_back_val();
    if (useCounts[value]++ == 0)
      llvm::append_range(worklist, value->items);
  }
}

LogicalResult Importer::importObjects() {
  const PickleValue &root = archive.getRoot();
  if (!getModuleClass(root))
    return emitError(fileLoc) << "the archive's data.pkl holds no module";
  countUses(root);
  // Depth first, in the order of the attributes; an explicit stack, for the
  // user decides how deep the tree is.
  struct Item {
    const PickleValue *object;
    StringAttr path;
  };
  SmallVector<Item> stack, order;
  stack.push_back({&root, getString(FQATDialect::kRootName)});
  while (!stack.empty()) {
    Item item = stack.pop_back_val();
    order.push_back(item);
    if (!paths.try_emplace(item.object, item.path).second)
      continue;
    Instance instance;
    instance.object = item.object;
    instance.type = getModuleClass(*item.object);
    ++numInstances[instance.type.get()];
    const PickleValue &state = *item.object->items[1];
    instance.isOpaque = instance.type->findMethod("__setstate__") &&
                        instance.type->findMethod("__getstate__");
    if (!instance.isOpaque) {
      if (state.kind != PickleValue::Dict)
        return emitError(fileLoc) << "in '" << displayPath(item.path)
                                  << "': the file holds no attributes";
      for (size_t i = 0; i != state.items.size(); i += 2)
        instance.values[state.items[i]->text] = state.items[i + 1];
      for (size_t i = instance.type->numAttributes(); i-- != 0;) {
        const std::string &name = instance.type->getAttributeName(i);
        const PickleValue *value = instance.getValue(name);
        if (value && getModuleClass(*value))
          stack.push_back({value, getString(joinPath(item.path, name))});
      }
    }
    instances[item.path] = std::move(instance);
  }
  for (const Item &item : order) {
    StringAttr canonical = paths[item.object];
    if (canonical != item.path) {
      AliasOp::create(builder, makeNodeLoc(context, {}, item.path, {}),
                      item.path, FlatSymbolRefAttr::get(canonical));
      continue;
    }
    const Instance &instance = getInstance(item.path);
    if (failed(importInstance(instance, item.path)))
      return failure();
    for (size_t i = 0; i != instance.type->numAttributes(); ++i) {
      const std::string &name = instance.type->getAttributeName(i);
      const PickleValue *value = instance.getValue(name);
      if ((!value || !getModuleClass(*value)) &&
          failed(importSlot(instance, i, getString(joinPath(item.path, name)))))
        return failure();
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Looking over the code
//===----------------------------------------------------------------------===//

void Importer::scanBlock(const jit::Block &block) {
  for (const jit::Node *node : block.nodes()) {
    for (const jit::Block *inner : node->blocks())
      scanBlock(*inner);
    if (node->hasAttribute(c10::attr::Subgraph))
      scanBlock(*node->g(c10::attr::Subgraph)->block());
    if (node->kind() == c10::prim::SetAttr)
      writtenAttributes.insert(node->s(c10::attr::name));
    if (node->kind() != c10::prim::CallMethod ||
        node->output()->type()->kind() != c10::TypeKind::TupleType)
      continue;
    // Export takes the tuple apart right behind the call.
    const auto &uses = node->output()->uses();
    if (uses.size() == 1 && uses[0].user == node->next() &&
        uses[0].user->kind() == c10::prim::TupleUnpack)
      continue;
    const std::string &name = node->s(c10::attr::name);
    if (auto type = node->inputs()[0]->type()->cast<c10::ClassType>())
      unsplittable.insert(type->findMethod(name));
    else
      unsplittableNames.insert(name);
  }
}

void Importer::scanCode() {
  llvm::DenseSet<const c10::ClassType *> seen;
  for (auto &[name, type] : moduleClasses) {
    if (!type || !seen.insert(type.get()).second)
      continue;
    for (jit::Function *method : type->methods()) {
      method->ensure_defined();
      scanBlock(*jit::toGraphFunction(*method).graph()->block());
    }
  }
}

/// Whether a graph reads all attributes first, as tracing does.
static bool hasTracedForm(const jit::Graph &graph) {
  bool isAtTop = true;
  for (const jit::Node *node : graph.nodes()) {
    if (!node->blocks().empty() || node->hasAttribute(c10::attr::Subgraph))
      return false;
    bool isRead = node->kind() == c10::prim::GetAttr;
    if (isRead && !isAtTop)
      return false;
    isAtTop &= isRead || node->kind() == c10::prim::Constant;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Methods
//===----------------------------------------------------------------------===//

Location Importer::getLoc(const jit::Node *node) {
  StringRef instance = currentInstance;
  const jit::SourceRange range = node->sourceRange();
  if (!range.source())
    return makeNodeLoc(context, {}, instance, {});
  auto generated = range.source()->findSourceRangeThatGenerated(range);
  // Where there is no source of the author's, the line of the code in the file
  // has to do.
  FileLineColLoc position;
  if (auto inCode = range.file_line_col())
    position =
        FileLineColLoc::get(context, std::get<0>(*inCode), std::get<1>(*inCode),
                            std::get<2>(*inCode) + 1);
  // A node that had no source when it was saved has an empty range.
  if (!generated || !generated->source() || generated->end() == 0)
    return makeNodeLoc(context, position, instance, {});
  const jit::Source &source = *generated->source();
  std::string text = source.text_str().str();
  std::string file;
  if (auto name = generated->source()->filename())
    file = *name;
  Attribute record = builder.getArrayAttr(
      {getString(text), getString(file),
       builder.getI64IntegerAttr(source.starting_line_no()),
       builder.getI64IntegerAttr(generated->start()),
       builder.getI64IntegerAttr(generated->end())});
  SmallVector<StackFrame> frames = parseStack(text);
  if (text.empty())
    return makeNodeLoc(context, position, instance, record);
  if (const StackFrame *frame = findUserFrame(frames))
    position = FileLineColLoc::get(context, frame->file, frame->line, 0);
  else if (auto exact = generated->file_line_col())
    position =
        FileLineColLoc::get(context, std::get<0>(*exact), std::get<1>(*exact),
                            std::get<2>(*exact) + 1);
  return makeNodeLoc(context, position, instance, record);
}

/// Whether TorchScript made a value's name up (`_3`): such a name says nothing,
/// and printing makes it anew.
static bool isTemporaryName(StringRef name) {
  return name.consume_front("_") &&
         llvm::all_of(name, [](char c) { return llvm::isDigit(c); });
}

/// The names of a node's results, comma separated; empty if none has one.
static std::string getResultNames(at::ArrayRef<const jit::Value *> results) {
  SmallVector<std::string> names;
  bool any = false;
  for (const jit::Value *result : results) {
    std::string name = result->hasDebugName() ? result->debugNameBase() : "";
    if (isTemporaryName(name))
      name.clear();
    any |= !name.empty();
    names.push_back(name);
  }
  return any ? llvm::join(names, ",") : "";
}

static Location withResultNames(Location loc, const jit::Node *node) {
  return withNames(loc, getResultNames(node->outputs()));
}

const jit::Node *Importer::getSplitTuple(jit::Function &function) {
  const jit::Graph &graph = *jit::toGraphFunction(function).graph();
  const c10::FunctionSchema &schema = function.getSchema();
  const jit::Value *result = graph.outputs()[0];
  const jit::Node *node = result->node();
  if (node->kind() != c10::prim::TupleConstruct || result->uses().size() != 1 ||
      node->inputs().size() < 2 || node->next() != graph.return_node())
    return nullptr;
  auto type = schema.returns()[0].type()->cast<c10::TupleType>();
  if (!type || type->name() || unsplittable.contains(&function) ||
      unsplittableNames.contains(function.name()))
    return nullptr;
  return node;
}

SmallVector<Type> Importer::getResultTypes(const c10::FunctionSchema &schema,
                                           bool isSplit) {
  const c10::TypePtr &returned = schema.returns()[0].type();
  SmallVector<Type> types;
  if (isSplit)
    for (const c10::TypePtr &type :
         returned->expectRef<c10::TupleType>().elements())
      types.push_back(convert(type));
  else if (returned->kind() != c10::TypeKind::NoneType)
    types.push_back(convert(returned));
  return types;
}

StringAttr Importer::requestMethod(StringAttr instance, StringRef name,
                                   jit::Function &function,
                                   ArrayRef<std::optional<Ref>> bindings) {
  std::string symbol = joinPath(instance, name);
  std::string key = symbol;
  for (const std::optional<Ref> &binding : bindings)
    key += binding ? "\n" + binding->symbol.str() : "\n";
  auto [it, isNew] = requested.try_emplace(key);
  if (!isNew)
    return it->second;
  // A second specialisation of one method is a method of its own.
  std::string base = symbol;
  for (unsigned i = 1; !methodSymbols.insert(symbol).second ||
                       instances.contains(getString(symbol)) ||
                       slotTypes.contains(getString(symbol));
       ++i)
    symbol = base + "$24" + std::to_string(i);
  it->second = getString(symbol);
  jobs.push_back({instance, symbol, &jit::toGraphFunction(function),
                  llvm::to_vector(bindings)});
  return it->second;
}

StringAttr Importer::requestFunction(jit::Function &function) {
  std::string symbol = "$" + function.qualname().qualifiedName();
  auto [it, isNew] = requested.try_emplace(symbol);
  if (isNew) {
    it->second = getString(symbol);
    function.ensure_defined();
    SmallVector<std::optional<Ref>> unbound(
        function.getSchema().arguments().size());
    jobs.push_back(
        {StringAttr(), symbol, &jit::toGraphFunction(function), unbound});
  }
  return it->second;
}

StringAttr Importer::findOwnSlot(StringAttr slot) {
  if (isAtOrBelow(slot, currentInstance))
    return slot;
  auto [owner, name] = splitPath(slot);
  const PickleValue *value =
      getInstance(getString(owner)).getValue(unescapeName(name));
  if (!value || value->kind != PickleValue::Reduce)
    return slot;
  const Instance &self = getInstance(currentInstance);
  StringAttr found;
  for (size_t i = 0; i != self.type->numAttributes(); ++i) {
    const std::string &ownName = self.type->getAttributeName(i);
    if (self.getValue(ownName) != value)
      continue;
    StringAttr symbol = getString(joinPath(currentInstance, ownName));
    // The same name says most; else the first.
    if (!found || splitPath(symbol).second == name)
      found = symbol;
  }
  if (found)
    return found;
  // A hook of a child runs in its parent: the child's slot of the same name.
  for (size_t i = 0; i != self.type->numAttributes(); ++i) {
    const std::string &childName = self.type->getAttributeName(i);
    StringAttr child = getString(joinPath(currentInstance, childName));
    auto it = instances.find(child);
    if (it != instances.end() &&
        it->second.getValue(unescapeName(name)) == value)
      return getString(joinPath(child, unescapeName(name)));
  }
  return slot;
}

FailureOr<Value> Importer::use(const jit::Value *value, Location loc) {
  auto it = bindings.find(value);
  assert(it != bindings.end() && "a graph defines a value before its use");
  Binding &binding = it->second;
  auto findMade = [&](const void *key) {
    for (const DenseMap<const void *, Value> &scope : llvm::reverse(scopes))
      if (Value made = scope.lookup(key))
        return made;
    return Value();
  };
  if (binding.isSplitTuple) {
    // Right behind the call, where it is seen by all uses.
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointAfterValue(binding.values.front());
    Value tuple = TupleOp::create(builder, loc, convert(value->type()),
                                  ValueRange(binding.values));
    binding.values.assign({tuple});
    binding.isSplitTuple = false;
    return tuple;
  }
  if (!binding.values.empty())
    return binding.values.front();
  if (binding.ref) {
    bool isSlot = binding.ref->kind == Ref::Slot;
    StringAttr symbol =
        isSlot ? findOwnSlot(binding.ref->symbol) : binding.ref->symbol;
    auto slot = FlatSymbolRefAttr::get(symbol);
    const void *key = slot.getAsOpaquePointer();
    if (Value made = findMade(key))
      return made;
    // At the top, behind the other reads.
    OpBuilder::InsertionGuard guard(builder);
    if (lastRead)
      builder.setInsertionPointAfter(lastRead);
    else
      builder.setInsertionPointToStart(&currentMethod.getBody().front());
    Value made = GetOp::create(
        builder, stripNames(loc),
        isSlot ? slotTypes[symbol] : convert(value->type()), slot);
    lastRead = made.getDefiningOp();
    scopes.front()[key] = made;
    return made;
  }
  auto error = [&] {
    return emitError(loc) << "in '" << displayPath(currentInstance)
                          << "': a constant: ";
  };
  const jit::Node *node = binding.constant;
  if (Value made = findMade(node))
    return made;
  Attribute attr = builder.getUnitAttr();
  if (node->hasAttribute(c10::attr::value) || !node->mustBeNone()) {
    auto constant = jit::toIValue(node->output());
    if (!constant) {
      error() << "one of type '" << node->output()->type()->annotation_str()
              << "' is not supported";
      return failure();
    }
    FailureOr<Attribute> imported = convertConstant(*constant, error);
    if (failed(imported))
      return failure();
    attr = *imported;
  }
  if (!ConstantOp::getValueType(attr)) {
    error() << "one of type '" << node->output()->type()->annotation_str()
            << "' is not supported";
    return failure();
  }
  // A constant without a line of its own stands where it is used.
  Location own = withResultNames(getLoc(node), node);
  if (!getDebugRecord(own))
    own = withNames(makeNodeLoc(context, getPosition(loc), currentInstance, {}),
                    getNames(own));
  Value made = ConstantOp::create(builder, own, attr);
  scopes.back()[node] = made;
  return made;
}

LogicalResult Importer::useAll(at::ArrayRef<const jit::Value *> inputs,
                               Location loc, SmallVectorImpl<Value> &values) {
  for (const jit::Value *input : inputs) {
    FailureOr<Value> value = use(input, loc);
    if (failed(value))
      return failure();
    values.push_back(*value);
  }
  return success();
}

void Importer::bind(const jit::Node *node, ValueRange values) {
  for (auto [output, value] : llvm::zip(node->outputs(), values))
    bindings[output].values.assign({value});
}

LogicalResult Importer::importBody(const Job &job) {
  currentInstance = job.instance
                        ? job.instance
                        : getString(StringRef(job.symbol).drop_front());
  currentMethod = nullptr;
  lastRead = nullptr;
  bindings.clear();
  readsAtTop.clear();
  scopes.clear();
  scopes.emplace_back();
  job.function->ensure_defined();
  const jit::Graph &graph = *job.function->graph();
  const c10::FunctionSchema &schema = job.function->getSchema();
  auto graphInputs = graph.inputs();
  isTracedForm = hasTracedForm(graph);

  // The signature: what is not bound, and the elements of a tuple that the
  // method makes to return it.
  SmallVector<Type> argTypes;
  SmallVector<DictionaryAttr> argAttrs;
  SmallVector<const jit::Value *> arguments;
  size_t first = job.instance ? 1 : 0;
  if (job.instance)
    bindings[graphInputs[0]].ref = Ref{Ref::Instance, job.instance};
  for (auto [i, bound] : llvm::enumerate(job.bindings)) {
    const jit::Value *input = graphInputs[i + first];
    if (bound) {
      bindings[input].ref = bound;
      continue;
    }
    const c10::Argument &argument = schema.arguments()[i + first];
    arguments.push_back(input);
    argTypes.push_back(convert(argument.type()));
    NamedAttrList attrs;
    attrs.append(FQATDialect::kArgNameAttr, getString(argument.name()));
    if (argument.kwarg_only())
      attrs.append(FQATDialect::kArgKeywordOnlyAttr, builder.getUnitAttr());
    if (argument.default_value()) {
      FailureOr<Attribute> value =
          convertConstant(*argument.default_value(), [&] {
            return emitError(fileLoc)
                   << "in '" << displayPath(currentInstance)
                   << "': the default of argument '" << argument.name()
                   << "' of '" << job.function->name() << "': ";
          });
      if (failed(value))
        return failure();
      attrs.append(FQATDialect::kArgDefaultAttr, *value);
    }
    argAttrs.push_back(attrs.getDictionary(context));
  }
  const jit::Node *split =
      job.instance ? getSplitTuple(*job.function) : nullptr;
  SmallVector<Type> resultTypes = getResultTypes(schema, split);

  Location loc = makeNodeLoc(context, {}, currentInstance, {});
  OpBuilder::InsertionGuard guard(builder);
  auto type = TypeAttr::get(builder.getFunctionType(argTypes, resultTypes));
  FunctionOpInterface function;
  if (job.instance) {
    currentMethod =
        MethodOp::create(builder, loc, getString(job.symbol),
                         FlatSymbolRefAttr::get(job.instance), type);
    const std::string &self = schema.arguments()[0].name();
    if (self != "self")
      currentMethod.setSelfName(self);
    function = currentMethod;
  } else {
    function = FunctionOp::create(builder, loc, getString(job.symbol), type,
                                  ArrayAttr(), ArrayAttr());
  }
  function.setAllArgAttrs(argAttrs);
  Block *body = builder.createBlock(&function.getFunctionBody());
  for (auto [input, type] : llvm::zip(arguments, argTypes))
    bindings[input].values.push_back(body->addArgument(type, loc));

  for (const jit::Node *node : graph.nodes())
    if (node != split && failed(importNode(node)))
      return failure();

  SmallVector<Value> results;
  if (split) {
    if (failed(useAll(split->inputs(), getLoc(split), results)))
      return failure();
  } else if (!resultTypes.empty()) {
    if (failed(useAll(graph.outputs(), loc, results)))
      return failure();
  }
  const jit::Node *last = split ? split : graph.outputs()[0]->node();
  bool isReturned = split || last->kind() == c10::prim::Constant;
  ReturnOp::create(builder, isReturned ? getLoc(last) : loc, results);
  if (!readsAtTop.empty())
    function->setLoc(makeNodeLoc(context, {}, currentInstance,
                                 builder.getArrayAttr(readsAtTop)));
  return success();
}

LogicalResult Importer::importNode(const jit::Node *node) {
  switch (node->kind()) {
  case c10::prim::Constant:
    bindings[node->output()].constant = node;
    return success();
  case c10::prim::GetAttr:
    return importGetAttr(node);
  case c10::prim::SetAttr:
    return importSetAttr(node);
  case c10::prim::CallMethod:
    return importCallMethod(node);
  case c10::prim::CallFunction:
    return importCallFunction(node);
  case c10::prim::TupleUnpack:
  case c10::prim::ListUnpack:
    return importUnpack(node);
  case c10::prim::If:
    return importIf(node);
  case c10::prim::Loop:
    return importLoop(node);
  case c10::prim::fork:
    return importFork(node);
  default:
    break;
  }
  if (!node->blocks().empty())
    return emitNodeError(node)
           << "'" << node->kind().toQualString() << "' is not supported";
  Location loc = withResultNames(getLoc(node), node);
  bool isTuple = node->kind() == c10::prim::TupleConstruct;
  bool isList = node->kind() == c10::prim::ListConstruct;
  bool isDict = node->kind() == c10::prim::DictConstruct;
  Type type =
      node->outputs().size() == 1 ? convert(node->output()->type()) : Type();
  if (isTuple || (isList && isa<ListType>(type)) ||
      (isDict && isa<DictType>(type))) {
    SmallVector<Value> elements;
    if (failed(useAll(node->inputs(), loc, elements)))
      return failure();
    Value made;
    if (isTuple)
      made = TupleOp::create(builder, loc, type, elements);
    else if (isList)
      made = ListOp::create(builder, loc, type, elements);
    else
      made = DictOp::create(builder, loc, type, elements);
    bind(node, made);
    return success();
  }
  return importOperator(node);
}

LogicalResult Importer::importGetAttr(const jit::Node *node) {
  const Binding receiver = bindings[node->input()];
  const std::string &name = node->s(c10::attr::name);
  if (!receiver.ref || receiver.ref->kind != Ref::Instance)
    return importOperator(node);
  const Instance &instance = getInstance(receiver.ref->symbol);
  StringAttr path = getString(joinPath(receiver.ref->symbol, name));
  const PickleValue *value = instance.getValue(name);
  bool isWritten = writtenAttributes.contains(name);
  Binding &binding = bindings[node->output()];
  bool isInstance = value && getModuleClass(*value);
  if (!isInstance)
    binding.ref = Ref{Ref::Slot, path};
  else if (!isWritten)
    binding.ref = Ref{Ref::Instance, paths[value]};
  if (isTracedForm && !isWritten) {
    readsAtTop.push_back(FlatSymbolRefAttr::get(path));
    return success();
  }
  Location loc = withResultNames(getLoc(node), node);
  Value read = GetOp::create(builder, loc,
                             isInstance ? convert(node->output()->type())
                                        : slotTypes[path],
                             FlatSymbolRefAttr::get(path));
  bind(node, read);
  return success();
}

LogicalResult Importer::importSetAttr(const jit::Node *node) {
  const Binding receiver = bindings[node->inputs()[0]];
  const std::string &name = node->s(c10::attr::name);
  if (!receiver.ref || receiver.ref->kind != Ref::Instance)
    return importOperator(node);
  StringAttr path = getString(joinPath(receiver.ref->symbol, name));
  if (!slotTypes.contains(path))
    return importOperator(node);
  Location loc = getLoc(node);
  FailureOr<Value> value = use(node->inputs()[1], loc);
  if (failed(value))
    return failure();
  SetOp::create(builder, loc, FlatSymbolRefAttr::get(path), *value);
  return success();
}

LogicalResult Importer::importCallMethod(const jit::Node *node) {
  const std::string &name = node->s(c10::attr::name);
  const Binding receiver = bindings[node->inputs()[0]];
  // An object that is no module, or one of several modules.
  if (!receiver.ref || receiver.ref->kind != Ref::Instance)
    return importOperator(node);
  StringAttr instance = receiver.ref->symbol;
  jit::Function *method = getInstance(instance).type->findMethod(name);
  if (!method)
    return emitNodeError(node) << "'" << displayPath(instance)
                               << "' has no method '" << name << "'";
  return importCall(node, instance, name, *method, node->inputs().slice(1));
}

LogicalResult Importer::importCallFunction(const jit::Node *node) {
  auto type = node->inputs()[0]->type()->cast<c10::FunctionType>();
  if (!type)
    return emitNodeError(node) << "the function that is called cannot be told";
  jit::Function &function = *type->function();
  auto inputs = node->inputs().slice(1);
  // A hook belongs to the class of the instance that it is handed.
  if (!inputs.empty()) {
    const Binding receiver = bindings[inputs[0]];
    if (receiver.ref && receiver.ref->kind == Ref::Instance) {
      const c10::ClassType &owner = *getInstance(receiver.ref->symbol).type;
      if (owner.findHook(function.name()) == &function)
        return importCall(node, receiver.ref->symbol, function.name(), function,
                          inputs.slice(1));
    }
  }
  Location loc = withResultNames(getLoc(node), node);
  SmallVector<Value> arguments;
  if (failed(useAll(inputs, loc, arguments)))
    return failure();
  StringAttr callee = requestFunction(function);
  SmallVector<Type> types =
      getResultTypes(function.getSchema(), /*isSplit=*/false);
  auto call = CallFunctionOp::create(builder, loc, types,
                                     FlatSymbolRefAttr::get(callee), arguments);
  if (!types.empty())
    bind(node, call.getResults());
  else if (!node->output()->uses().empty())
    bindings[node->output()].values.push_back(
        ConstantOp::create(builder, loc, builder.getUnitAttr()));
  return success();
}

LogicalResult Importer::importCall(const jit::Node *node, StringAttr instance,
                                   StringRef name, jit::Function &function,
                                   ArrayRef<const jit::Value *> inputs) {
  function.ensure_defined();
  const c10::FunctionSchema &schema = function.getSchema();
  Location loc = withResultNames(getLoc(node), node);
  SmallVector<std::optional<Ref>> handed;
  SmallVector<Value> arguments;
  for (auto [i, input] : llvm::enumerate(inputs)) {
    const Binding &binding = bindings[input];
    const c10::TypePtr &declared = schema.arguments()[i + 1].type();
    // A module that a callee is handed, and a slot that tracing threads to
    // another instance: the callee is specialised to it.
    bool isModule = binding.ref && binding.ref->kind == Ref::Instance &&
                    declared->kind() == c10::TypeKind::ClassType;
    bool isThreaded =
        binding.ref && binding.ref->kind == Ref::Slot &&
        binding.values.empty() && instance != currentInstance &&
        hasTracedForm(*jit::toGraphFunction(function).graph()) &&
        numInstances.lookup(getInstance(instance).type.get()) == 1;
    if (isModule || isThreaded) {
      handed.push_back(binding.ref);
      continue;
    }
    handed.push_back(std::nullopt);
    FailureOr<Value> argument = use(input, loc);
    if (failed(argument))
      return failure();
    arguments.push_back(*argument);
  }
  const jit::Node *split = getSplitTuple(function);
  SmallVector<Type> resultTypes = getResultTypes(schema, split);
  StringAttr callee = requestMethod(instance, name, function, handed);
  auto call = CallOp::create(builder, loc, FlatSymbolRefAttr::get(callee),
                             resultTypes, arguments);
  Binding &binding = bindings[node->output()];
  if (resultTypes.empty()) {
    // What returns None is None.
    if (node->output()->hasUses())
      binding.values.push_back(
          ConstantOp::create(builder, loc, builder.getUnitAttr()));
  } else {
    binding.values.assign(call.getResults().begin(), call.getResults().end());
    binding.isSplitTuple = split != nullptr;
  }
  return success();
}

LogicalResult Importer::importArm(Region &region, const jit::Block &block,
                                  Location loc) {
  OpBuilder::InsertionGuard guard(builder);
  Block *body = region.empty() ? builder.createBlock(&region) : &region.front();
  builder.setInsertionPointToEnd(body);
  scopes.emplace_back();
  for (const jit::Node *node : block.nodes())
    if (failed(importNode(node)))
      return failure();
  SmallVector<Value> yielded;
  if (failed(useAll(block.outputs(), loc, yielded)))
    return failure();
  YieldOp::create(builder, stripNames(loc), yielded);
  scopes.pop_back();
  return success();
}

LogicalResult Importer::importIf(const jit::Node *node) {
  Location loc = withResultNames(getLoc(node), node);
  FailureOr<Value> condition = use(node->input(), loc);
  if (failed(condition))
    return failure();
  SmallVector<Type> types = convertResultTypes(node);
  auto op = IfOp::create(builder, loc, types, *condition);
  if (failed(importArm(op.getThenRegion(), *node->blocks()[0], loc)) ||
      failed(importArm(op.getElseRegion(), *node->blocks()[1], loc)))
    return failure();
  bind(node, op.getResults());
  return success();
}

LogicalResult Importer::importLoop(const jit::Node *node) {
  Location loc = withResultNames(getLoc(node), node);
  SmallVector<Value> inputs;
  if (failed(useAll(node->inputs(), loc, inputs)))
    return failure();
  SmallVector<Type> types = convertResultTypes(node);
  auto op = LoopOp::create(builder, loc, types, inputs[0], inputs[1],
                           ArrayRef(inputs).drop_front(2));
  const jit::Block &block = *node->blocks()[0];
  {
    OpBuilder::InsertionGuard guard(builder);
    Block *body = builder.createBlock(&op.getBody());
    for (const jit::Value *input : block.inputs())
      bindings[input].values.push_back(
          body->addArgument(convert(input->type()),
                            withNames(stripNames(loc), getResultNames(input))));
  }
  if (failed(importArm(op.getBody(), block, loc)))
    return failure();
  bind(node, op.getResults());
  return success();
}

LogicalResult Importer::importUnpack(const jit::Node *node) {
  Binding &aggregate = bindings[node->input()];
  if (aggregate.isSplitTuple) {
    // The results of a call: the names that they get here are theirs.
    if (auto call = aggregate.values.front().getDefiningOp<CallOp>())
      call->setLoc(withNames(call.getLoc(), getResultNames(node->outputs())));
    SmallVector<Value> values(aggregate.values.begin(), aggregate.values.end());
    for (auto [output, value] : llvm::zip(node->outputs(), values))
      bindings[output].values.push_back(value);
    return success();
  }
  Location loc = withResultNames(getLoc(node), node);
  FailureOr<Value> input = use(node->input(), loc);
  if (failed(input))
    return failure();
  SmallVector<Type> types = convertResultTypes(node);
  bind(node, UnpackOp::create(builder, loc, types, *input).getElements());
  return success();
}

/// The alias sets that a schema gives an argument or a result, those of a
/// list's elements included.
static void collectAliasSets(const c10::AliasInfo *info,
                             SmallVectorImpl<c10::Symbol> &sets) {
  if (!info)
    return;
  llvm::append_range(sets, info->beforeSets());
  for (const c10::AliasInfo &contained : info->containedTypes())
    collectAliasSets(&contained, sets);
}

/// The operand whose memory the results of an operator may share although its
/// schema does not say so, or -1.
static int64_t getHiddenAlias(StringRef name) {
  return llvm::StringSwitch<int64_t>(name)
      .Cases({"aten::dropout", "aten::feature_dropout", "aten::alpha_dropout",
              "aten::feature_alpha_dropout", "aten::rrelu"},
             0)
      .Cases({"aten::type_as", "aten::broadcast_tensors", "aten::meshgrid",
              "aten::sum_to_size", "aten::atleast_1d", "aten::atleast_2d",
              "aten::atleast_3d", "aten::align_tensors", "aten::align_to",
              "aten::_autocast_to_reduced_precision",
              "aten::_autocast_to_full_precision"},
             0)
      .Default(-1);
}

/// The operands that an operator writes although its schema does not say so:
/// the running statistics of a normalisation in training mode.
static SmallVector<int64_t> getHiddenWrites(const jit::Node *node) {
  StringRef name = node->kind().toQualString();
  auto flag =
      llvm::StringSwitch<int64_t>(name)
          .Cases({"aten::batch_norm", "aten::instance_norm",
                  "aten::_batch_norm_impl_index", "aten::native_batch_norm",
                  "aten::cudnn_batch_norm", "aten::miopen_batch_norm"},
                 5)
          .Default(-1);
  if (flag < 0)
    return {};
  auto isTraining =
      jit::constant_as<bool>(const_cast<jit::Value *>(node->inputs()[flag]));
  if (isTraining && !*isTraining)
    return {};
  return {3, 4};
}

void Importer::setSchemaEffects(const jit::Node *node, OperatorOp op) {
  const c10::FunctionSchema &schema = node->schema();
  SmallVector<int64_t> writes = getHiddenWrites(node);
  SmallVector<SmallVector<c10::Symbol>> argumentSets;
  for (auto [i, argument] : llvm::enumerate(schema.arguments())) {
    collectAliasSets(argument.alias_info(), argumentSets.emplace_back());
    if (argument.alias_info() && argument.alias_info()->isWrite() &&
        i < op.getNumOperands())
      writes.push_back(i);
  }
  SmallVector<int64_t> aliases(op.getNumResults(), -1);
  for (size_t i = 0; i != op.getNumResults(); ++i) {
    aliases[i] = getHiddenAlias(op.getName());
    if (i >= schema.returns().size())
      continue;
    SmallVector<c10::Symbol> sets;
    collectAliasSets(schema.returns()[i].alias_info(), sets);
    for (size_t k = 0; k != argumentSets.size() && aliases[i] < 0; ++k)
      if (k < op.getNumOperands() &&
          llvm::any_of(
              sets,
              [&](c10::Symbol set) {
                return llvm::is_contained(argumentSets[k], set);
              }))
        aliases[i] = k;
    // A wildcard (an element of a list) shares with the first operand.
    if (aliases[i] < 0 && !sets.empty() && op.getNumOperands() != 0)
      aliases[i] = 0;
  }
  if (!writes.empty())
    op.setWrites(writes);
  if (llvm::any_of(aliases, [](int64_t index) { return index >= 0; }))
    op.setAliases(aliases);
  op.setRandom(node->isNondeterministic());
  op.setEffects(node->hasSideEffects());
}

LogicalResult Importer::importFork(const jit::Node *node) {
  Location loc = withResultNames(getLoc(node), node);
  const std::shared_ptr<jit::Graph> &body = node->g(c10::attr::Subgraph);
  // What is captured is seen as it is.
  for (auto [outer, inner] : llvm::zip(node->inputs(), body->inputs())) {
    Binding captured = bindings[outer];
    bindings[inner] = std::move(captured);
  }
  auto op = ForkOp::create(builder, loc, convert(node->output()->type()));
  if (failed(importArm(op.getBody(), *body->block(), loc)))
    return failure();
  bind(node, op->getResults());
  return success();
}

/// Operators that TorchScript gives no schema and that do nothing but make
/// their result.
static bool isPureWithoutSchema(c10::Symbol kind) {
  switch (kind) {
  case c10::prim::Uninitialized:
  case c10::prim::unchecked_cast:
  case c10::prim::unchecked_unwrap_optional:
  case c10::prim::TupleIndex:
  case c10::prim::TupleSlice:
  case c10::prim::isinstance:
  case c10::prim::EnumName:
  case c10::prim::EnumValue:
  case c10::prim::ListConstruct:
  case c10::prim::DictConstruct:
    return true;
  default:
    return false;
  }
}

FailureOr<DictionaryAttr> Importer::convertAttributes(const jit::Node *node) {
  NamedAttrList attrs;
  for (c10::Symbol name : node->attributeNames()) {
    Attribute attr;
    switch (node->kindOf(name)) {
    case jit::AttributeKind::s:
      attr = getString(node->s(name));
      break;
    case jit::AttributeKind::i:
      attr = builder.getI64IntegerAttr(node->i(name));
      break;
    case jit::AttributeKind::ty:
      attr = TypeAttr::get(convert(node->ty(name)));
      break;
    case jit::AttributeKind::tys: {
      SmallVector<Attribute> types;
      for (const c10::TypePtr &type : node->tys(name))
        types.push_back(TypeAttr::get(convert(type)));
      attr = builder.getArrayAttr(types);
      break;
    }
    default:
      emitNodeError(node) << "'" << node->kind().toQualString()
                          << "' with the attribute '" << name.toUnqualString()
                          << "' is not supported";
      return failure();
    }
    attrs.append(name.toUnqualString(), attr);
  }
  return attrs.empty() ? DictionaryAttr() : attrs.getDictionary(context);
}

LogicalResult Importer::importOperator(const jit::Node *node) {
  Location loc = withResultNames(getLoc(node), node);
  FailureOr<DictionaryAttr> attributes = convertAttributes(node);
  if (failed(attributes))
    return failure();
  SmallVector<Value> operands;
  if (failed(useAll(node->inputs(), loc, operands)))
    return failure();
  SmallVector<Type> types = convertResultTypes(node);
  const c10::FunctionSchema *schema = node->maybeSchema();
  StringAttr overload;
  if (schema && !schema->overload_name().empty())
    overload = getString(schema->overload_name());
  auto op = OperatorOp::create(
      builder, loc, types, getString(node->kind().toQualString()), overload,
      operands, *attributes, /*writes=*/nullptr,
      /*aliases=*/nullptr, /*random=*/false, /*effects=*/false);
  if (schema) {
    setSchemaEffects(node, op);
  } else {
    op.setEffects(!isPureWithoutSchema(node->kind()));
    if (!operands.empty() && !types.empty())
      op.setAliases(SmallVector<int64_t>(types.size(), 0));
  }
  bind(node, op.getResults());
  return success();
}

//===----------------------------------------------------------------------===//
// Lines of calls
//===----------------------------------------------------------------------===//

/// Drops the frames of the innermost module call: the tracer records no line
/// for a call, but what runs in the callee has the caller further out.
static SmallVector<StackFrame> dropModuleCall(ArrayRef<StackFrame> frames) {
  auto isCallMachinery = [](const StackFrame &frame) {
    return frame.function == "_slow_forward" ||
           frame.function == "_call_impl" ||
           frame.function == "_wrapped_call_impl" ||
           frame.function == "__call__";
  };
  while (!frames.empty() && !isCallMachinery(frames.front()))
    frames = frames.drop_front();
  while (!frames.empty() && isCallMachinery(frames.front()))
    frames = frames.drop_front();
  return SmallVector<StackFrame>(frames);
}

void Importer::locateCalls() {
  // For each method, the stack of its first op that has one, as seen from the
  // method. Callees are requested by their callers, and so come later.
  SymbolTable symbols(model);
  DenseMap<Operation *, SmallVector<StackFrame>> stacks;
  SmallVector<MethodOp> methods(model.getOps<MethodOp>());
  for (MethodOp method : llvm::reverse(methods)) {
    SmallVector<StackFrame> first;
    for (Operation &op : method.getBody().front()) {
      SmallVector<StackFrame> frames;
      auto call = dyn_cast<CallOp>(op);
      if (call)
        frames =
            dropModuleCall(stacks[symbols.lookup<MethodOp>(call.getCallee())]);
      else if (auto record =
                   dyn_cast_or_null<ArrayAttr>(getDebugRecord(op.getLoc())))
        frames = parseStack(cast<StringAttr>(record[0]).getValue());
      const StackFrame *frame = findUserFrame(frames);
      if (call && frame && !getDebugRecord(call.getLoc())) {
        auto name = dyn_cast<NameLoc>(call.getLoc());
        Location loc = makeNodeLoc(
            context, FileLineColLoc::get(context, frame->file, frame->line, 0),
            method.getInstance(), {});
        call->setLoc(name ? withNames(loc, name.getName()) : loc);
      }
      if (first.empty())
        first = std::move(frames);
    }
    stacks[method] = std::move(first);
  }
}

void Importer::markOutNops() {
  // The name or the class has to say so, and the body has to agree. Tracing
  // gives a nop that is used twice two methods: they are the same.
  SymbolTable symbols(model);
  SmallVector<CallOp> calls;
  model.walk([&](CallOp call) {
    auto method = symbols.lookup<MethodOp>(call.getCallee());
    auto instance = symbols.lookup<ModuleOp>(method.getInstance());
    auto forward =
        symbols.lookup<MethodOp>(joinPath(method.getInstance(), "forward"));
    if (isOutNop(instance, nopName) && mayBeIdentity(symbols, method) &&
        forward && mayBeIdentity(symbols, forward))
      calls.push_back(call);
  });
  for (CallOp call : calls) {
    OpBuilder at(call);
    auto method = symbols.lookup<MethodOp>(call.getCallee());
    auto nop =
        OutNopOp::create(at, call.getLoc(), call.getResultTypes().front(),
                         method.getInstanceAttr(), call.getArguments().front());
    call.replaceAllUsesWith(nop->getResults());
    call.erase();
  }
}

void Importer::sortMethods() {
  llvm::MapVector<StringAttr, SmallVector<MethodOp>> byInstance;
  for (auto instance : model.getOps<ModuleOp>())
    byInstance[instance.getSymNameAttr()];
  for (auto method : model.getOps<MethodOp>())
    byInstance[method.getInstanceAttr().getAttr()].push_back(method);
  for (auto &[path, methods] : byInstance) {
    llvm::StringMap<size_t> ranks;
    for (jit::Function *function : getInstance(path).type->methods())
      ranks.try_emplace(escapeName(function->name()), ranks.size());
    // A second specialisation has the first one's rank.
    auto getRank = [&](MethodOp method) {
      StringRef name = method.getMethodName();
      auto it = ranks.find(name);
      return it != ranks.end() ? it->second
                               : ranks.lookup(name.rsplit("$24").first);
    };
    llvm::stable_sort(methods, [&](MethodOp a, MethodOp b) {
      return getRank(a) < getRank(b);
    });
    for (MethodOp method : methods)
      method->moveBefore(model.getBody(), model.getBody()->end());
  }
}

void Importer::sortStorages() {
  // Export numbers them in their order: each keeps its place in the file. For
  // most files that is the order in which their slots come, and nothing moves.
  if (llvm::is_sorted(storageOrder, llvm::less_first()))
    return;
  llvm::stable_sort(storageOrder, llvm::less_first());
  for (auto [number, storage] : llvm::reverse(storageOrder))
    storage->moveBefore(model.getBody(), model.getBody()->begin());
}

LogicalResult Importer::importTypedefs() {
  // Definitions need others; those that are needed come first.
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(model.getBody());
  SmallVector<TypedefOp> definitions;
  std::vector<c10::IValue> constants;
  for (size_t i = 0; i != keptTypes.size(); ++i) {
    c10::NamedTypePtr type = keptTypes[i];
    auto classType = type->cast<c10::ClassType>();
    std::string name = type->name()->qualifiedName();
    // libtorch's own classes, and those of its libraries, define themselves.
    if (StringRef(name).starts_with("__torch__.torch.classes.") ||
        (classType && classType->is_module()))
      continue;
    std::vector<c10::NamedTypePtr> dependencies;
    CodeFile code = printType(type, constants, dependencies);
    for (const c10::NamedTypePtr &dependency : dependencies)
      if (namedTypes.insert(dependency.get()).second)
        keptTypes.push_back(dependency);
    definitions.push_back(TypedefOp::create(
        builder, fileLoc, getString(name), getString(code.text),
        /*constants=*/nullptr, getString(code.debug)));
  }
  // The numbers of constants run through all definitions.
  SmallVector<Attribute> values;
  for (const c10::IValue &constant : constants) {
    FailureOr<Attribute> value = convertConstant(constant, [&] {
      return emitError(fileLoc) << "a constant of a class: ";
    });
    if (failed(value))
      return failure();
    values.push_back(*value);
  }
  if (!values.empty())
    for (TypedefOp definition : definitions)
      definition.setConstantsAttr(builder.getArrayAttr(values));
  return success();
}

LogicalResult Importer::drainJobs() {
  while (!jobs.empty()) {
    Job job = std::move(jobs.front());
    jobs.pop_front();
    if (failed(importBody(job)))
      return failure();
  }
  return success();
}

OwningOpRef<mlir::ModuleOp> Importer::run() {
  model = mlir::ModuleOp::create(fileLoc);
  OwningOpRef<mlir::ModuleOp> owner(model);
  builder.setInsertionPointToEnd(model.getBody());
  storageBuilder.setInsertionPointToEnd(model.getBody());
  if (failed(importObjects()))
    return nullptr;
  scanCode();
  if (phases)
    phases->end("parse");

  // The root's methods are the model's interface, called or not; forward first.
  StringAttr root = getString(FQATDialect::kRootName);
  const std::vector<jit::Function *> &rootMethods =
      getInstance(root).type->methods();
  SmallVector<jit::Function *> methods(rootMethods.begin(), rootMethods.end());
  llvm::stable_sort(methods, [](jit::Function *a, jit::Function *b) {
    return a->name() == "forward" && b->name() != "forward";
  });
  if (methods.empty()) {
    emitError(fileLoc) << "the model has no method, so there is nothing to run";
    return nullptr;
  }
  auto requestUnbound = [&](StringAttr path, jit::Function *method) {
    SmallVector<std::optional<Ref>> unbound(
        method->getSchema().arguments().size() - 1);
    requestMethod(path, method->name(), *method, unbound);
  };
  for (jit::Function *method : methods)
    requestUnbound(root, method);
  if (failed(drainJobs()))
    return nullptr;
  // Methods that nothing calls stay as well, and so do hooks.
  SmallVector<StringAttr> paths;
  for (auto instance : model.getOps<ModuleOp>())
    paths.push_back(instance.getSymNameAttr());
  for (StringAttr path : paths) {
    const c10::ClassType &type = *getInstance(path).type;
    for (const auto *functions :
         {&type.methods(), &type.getForwardHooks(), &type.getForwardPreHooks()})
      for (jit::Function *method : *functions)
        if (!methodSymbols.contains(joinPath(path, method->name())))
          requestUnbound(path, method);
    if (failed(drainJobs()))
      return nullptr;
  }
  locateCalls();
  markOutNops();
  sortMethods();
  sortStorages();

  for (auto [i, record] : llvm::enumerate(archive.getExtraRecords()))
    RecordOp::create(
        builder, fileLoc, getString(record.name),
        makeBlob("r" + std::to_string(i),
                 ArrayRef(record.bytes.data(), record.bytes.size())));
  if (failed(importTypedefs()))
    return nullptr;
  return owner;
}

llvm::Error loadOperatorLibrary(StringRef path) {
  // It may run anything when it is loaded.
  requireKernels();
  // A bare name would be searched for among the system's libraries.
  SmallString<128> absolute(path);
  if (std::error_code error = llvm::sys::fs::make_absolute(absolute))
    return llvm::createStringError(error, "no absolute path");
  std::string message;
  if (llvm::sys::DynamicLibrary::LoadLibraryPermanently(absolute.c_str(),
                                                        &message))
    return llvm::createStringError(message);
  return llvm::Error::success();
}

OwningOpRef<mlir::ModuleOp> importArchive(Archive &archive,
                                          MLIRContext *context, StringRef path,
                                          StringRef nopName, Phases *phases) {
  return Importer(context, archive, path, nopName, phases).run();
}

OwningOpRef<mlir::ModuleOp> importTorchScript(StringRef path,
                                              MLIRContext *context,
                                              StringRef nopName, Phases *phases,
                                              WeightWriter *weights) {
  Location loc = FileLineColLoc::get(context, path, 0, 0);
  try {
    auto archive = Archive::read(
        path, [&](const Twine &message) { emitWarning(loc) << message; });
    if (!archive) {
      emitError(loc) << llvm::toString(archive.takeError());
      return nullptr;
    }
    if (weights)
      weights->expect((*archive)->getMappedWeights(), (*archive)->getOwner());
    if (phases)
      phases->end("map");
    return importArchive(**archive, context, path, nopName, phases);
  } catch (const std::exception &error) {
    emitError(loc) << "libtorch cannot read the model: " << cleanMessage(error);
    return nullptr;
  }
}

} // namespace fqat
