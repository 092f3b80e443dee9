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
#include "Types.h"

#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
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

  bool operator==(const Ref &other) const {
    return kind == other.kind && symbol == other.symbol;
  }
};

/// A value of a graph: a value of the IR, several (a tuple that is kept apart),
/// a reference, or a constant that is made where it is used first.
struct Binding {
  SmallVector<Value, 1> values;
  bool isSplitTuple = false;
  std::optional<Ref> ref;
  const jit::Node *constant = nullptr;
};

/// A method that is called but not yet imported.
struct Job {
  StringAttr instance;
  std::string symbol;
  jit::GraphFunction *function;
  /// What the arguments behind `self` are bound to; those that are not bound
  /// are arguments of the imported method.
  SmallVector<std::optional<Ref>> bindings;
};

class Importer {
public:
  Importer(MLIRContext *context, const Archive &archive, StringRef path,
           StringRef nopName)
      : context(context), archive(archive), builder(context), nopName(nopName),
        fileLoc(FileLineColLoc::get(context, path, 0, 0)) {}

  OwningOpRef<mlir::ModuleOp> run();

private:
  // The object graph.
  LogicalResult importObjects();
  LogicalResult importInstance(const c10::ivalue::Object &object,
                               StringAttr path);
  LogicalResult importSlot(const c10::ClassType &type, size_t index,
                           const c10::IValue &value, StringAttr path);
  FailureOr<Attribute> importConstant(const c10::IValue &value,
                                      function_ref<InFlightDiagnostic()> error);
  FailureOr<TensorAttr> importTensor(const at::Tensor &tensor, bool isSlot,
                                     function_ref<InFlightDiagnostic()> error);
  FlatSymbolRefAttr importStorage(const at::Tensor &tensor);
  DenseResourceElementsAttr makeBlob(StringRef name, const void *data,
                                     size_t size, std::shared_ptr<const void>);

  // Methods.
  /// The symbol of a method specialised to `bindings`, which is imported later
  /// if it is new.
  StringAttr requestMethod(StringAttr instance, StringRef name,
                           jit::GraphFunction *function,
                           ArrayRef<std::optional<Ref>> bindings);
  /// The results of an imported method: none for None, the elements of a tuple
  /// that is split.
  SmallVector<Type> getResultTypes(const c10::FunctionSchema &schema,
                                   bool isSplit);
  LogicalResult importMethod(const Job &job);
  LogicalResult importNode(const jit::Node *node);
  LogicalResult importGetAttr(const jit::Node *node);
  LogicalResult importCall(const jit::Node *node);
  LogicalResult importUnpack(const jit::Node *node);
  LogicalResult importOperator(const jit::Node *node);
  void setSchemaEffects(const jit::Node *node, OperatorOp op);
  FailureOr<Value> use(const jit::Value *value, Location loc);
  /// The slot of the current instance that holds the same tensor as a slot
  /// elsewhere, or else that slot: tracing hands a shared or tied parameter to
  /// a callee that has it too.
  StringAttr findOwnSlot(StringAttr slot);
  LogicalResult useAll(at::ArrayRef<const jit::Value *> inputs, Location loc,
                       SmallVectorImpl<Value> &values);
  void locateCalls();
  /// Makes the calls of out_nops what they are.
  void markOutNops();
  /// Puts methods in the order of their instances and, within one, of their
  /// class.
  void sortMethods();

  Location getLoc(const jit::Node *node);
  InFlightDiagnostic emitNodeError(const jit::Node *node) {
    return emitError(getLoc(node));
  }
  StringAttr getString(const Twine &text) {
    return StringAttr::get(context, text);
  }
  Type convert(const c10::TypePtr &type) { return convertType(type, context); }

  MLIRContext *context;
  const Archive &archive;
  OpBuilder builder;
  StringRef nopName;
  Location fileLoc;
  mlir::ModuleOp model;

  // The object graph: instances by object, the object of each instance, and
  // what was already seen of storages and tensors.
  DenseMap<const c10::ivalue::Object *, StringAttr> instances;
  DenseMap<StringAttr, const c10::ivalue::Object *> objects;
  DenseMap<const c10::StorageImpl *, FlatSymbolRefAttr> storages;
  DenseMap<const c10::TensorImpl *, int64_t> slotCounts, identities;
  DenseMap<StringAttr, Type> slotTypes;

  // Methods.
  std::deque<Job> jobs;
  llvm::StringMap<StringAttr> requested;
  llvm::StringSet<> methodSymbols;

  // The method that is being imported.
  StringAttr currentInstance;
  DenseMap<const jit::Value *, Binding> bindings;
  DenseMap<std::pair<Attribute, unsigned>, Value> reads;
};

} // namespace

//===----------------------------------------------------------------------===//
// The object graph
//===----------------------------------------------------------------------===//

DenseResourceElementsAttr
Importer::makeBlob(StringRef name, const void *data, size_t size,
                   std::shared_ptr<const void> owner) {
  auto type = RankedTensorType::get({static_cast<int64_t>(size)},
                                    IntegerType::get(context, 8));
  // Records of torch's own writer are aligned to 64 bytes, those of other zip
  // tools to nothing: only the address tells.
  uintptr_t address = reinterpret_cast<uintptr_t>(data);
  size_t alignment = address ? size_t(1) << llvm::countr_zero(address) : 64;
  AsmResourceBlob blob(
      ArrayRef(static_cast<const char *>(data), size),
      std::min<size_t>(alignment, 64),
      [owner = std::move(owner)](void *, size_t, size_t) {},
      /*dataIsMutable=*/false);
  return DenseResourceElementsAttr::get(type, name, std::move(blob));
}

FlatSymbolRefAttr Importer::importStorage(const at::Tensor &tensor) {
  const c10::Storage &storage = tensor.storage();
  FlatSymbolRefAttr &symbol = storages[storage.unsafeGetStorageImpl()];
  if (symbol)
    return symbol;
  std::string name = "s" + std::to_string(storages.size() - 1);
  symbol = FlatSymbolRefAttr::get(context, "$" + name);
  auto owner = std::make_shared<c10::Storage>(storage);
  StorageOp::create(
      builder, fileLoc, symbol.getAttr(),
      getString(getDtypeName(tensor.scalar_type())),
      getString(storage.device().str()),
      makeBlob(name, storage.data(), storage.nbytes(), std::move(owner)));
  return symbol;
}

FailureOr<TensorAttr>
Importer::importTensor(const at::Tensor &tensor, bool isSlot,
                       function_ref<InFlightDiagnostic()> error) {
  auto unsupported = [&](const Twine &what) -> FailureOr<TensorAttr> {
    error() << what << " is not supported yet";
    return failure();
  };
  if (!tensor.defined())
    return unsupported("an undefined tensor");
  if (tensor.is_quantized())
    return unsupported("a quantised tensor");
  if (tensor.layout() != c10::kStrided)
    return unsupported("a tensor that is not strided");
  if (!tensor.device().is_cpu())
    return unsupported("a tensor on " + Twine(tensor.device().str()));
  if (tensor.is_conj() || tensor.is_neg())
    return unsupported("a lazily conjugated or negated tensor");
  StringRef dtype = getDtypeName(tensor.scalar_type());
  if (dtype.empty())
    return unsupported("a tensor of " +
                       Twine(c10::toString(tensor.scalar_type())));
  int64_t identity = 0;
  if (isSlot && slotCounts.lookup(tensor.unsafeGetTensorImpl()) > 1)
    identity =
        identities
            .try_emplace(tensor.unsafeGetTensorImpl(), identities.size() + 1)
            .first->second;
  return TensorAttr::get(context, importStorage(tensor), dtype,
                         ArrayRef(tensor.sizes().data(), tensor.dim()),
                         ArrayRef(tensor.strides().data(), tensor.dim()),
                         tensor.storage_offset(), tensor.requires_grad(),
                         identity);
}

FailureOr<Attribute>
Importer::importConstant(const c10::IValue &value,
                         function_ref<InFlightDiagnostic()> error) {
  if (value.isNone())
    return Attribute(builder.getUnitAttr());
  if (value.isBool())
    return Attribute(builder.getBoolAttr(value.toBool()));
  if (value.isInt())
    return Attribute(builder.getI64IntegerAttr(value.toInt()));
  if (value.isDouble())
    return Attribute(builder.getF64FloatAttr(value.toDouble()));
  if (value.isString())
    return Attribute(builder.getStringAttr(value.toStringRef()));
  if (value.isDevice())
    return Attribute(DeviceAttr::get(context, value.toDevice().str()));
  error() << "a value of type '" << value.type()->annotation_str()
          << "' is not supported yet";
  return failure();
}

LogicalResult Importer::importSlot(const c10::ClassType &type, size_t index,
                                   const c10::IValue &value, StringAttr path) {
  auto error = [&] {
    return emitError(fileLoc)
           << "in '" << displayPath(splitPath(path).first) << "': attribute '"
           << type.getAttributeName(index) << "': ";
  };
  Attribute attr;
  if (value.isTensor()) {
    FailureOr<TensorAttr> tensor =
        importTensor(value.toTensor(), /*isSlot=*/true, error);
    if (failed(tensor))
      return failure();
    attr = *tensor;
  } else {
    FailureOr<Attribute> constant = importConstant(value, error);
    if (failed(constant))
      return failure();
    attr = *constant;
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

/// Whether an attribute holds an instance.
static bool isInstance(const c10::IValue &value) {
  if (!value.isObject())
    return false;
  auto type = value.type()->cast<c10::ClassType>();
  return type && type->is_module();
}

LogicalResult Importer::importInstance(const c10::ivalue::Object &object,
                                       StringAttr path) {
  auto type = object.type();
  SmallVector<Attribute> slots;
  for (size_t i = 0; i != type->numAttributes(); ++i)
    slots.push_back(getString(type->getAttributeName(i)));
  Location loc = makeNodeLoc(context, {}, path, {});
  auto unsupported = [&](const Twine &what) {
    return emitError(fileLoc)
           << "in '" << displayPath(path) << "': " << what << " of class '"
           << type->name()->qualifiedName() << "' are not supported yet";
  };
  if (type->numConstants() != 0)
    return unsupported("constants");
  if (!type->getForwardHooks().empty() || !type->getForwardPreHooks().empty())
    return unsupported("hooks");
  if (type->findMethod("__setstate__"))
    return unsupported("__getstate__ and __setstate__");
  ModuleOp::create(builder, loc, path, getString(type->name()->qualifiedName()),
                   builder.getArrayAttr(slots));
  return success();
}

LogicalResult Importer::importObjects() {
  // Depth first, in the order of the attributes; an explicit stack, for the
  // user decides how deep the tree is.
  struct Item {
    const c10::ivalue::Object *object;
    StringAttr path;
  };
  SmallVector<Item> stack, order;
  auto root = archive.getModule()._ivalue();
  stack.push_back({root.get(), getString(FQATDialect::kRootName)});
  while (!stack.empty()) {
    Item item = stack.pop_back_val();
    order.push_back(item);
    auto [it, isNew] = instances.try_emplace(item.object, item.path);
    if (!isNew) {
      if (isAtOrBelow(item.path, it->second))
        return emitError(fileLoc)
               << "the module '" << displayPath(it->second)
               << "' contains itself as '" << displayPath(item.path) << "'";
      continue;
    }
    objects[item.path] = item.object;
    auto type = item.object->type();
    for (size_t i = type->numAttributes(); i-- != 0;) {
      const c10::IValue &value = item.object->getSlot(i);
      if (isInstance(value))
        stack.push_back(
            {&value.toObjectRef(),
             getString(joinPath(item.path, type->getAttributeName(i)))});
      else if (value.isTensor() && value.toTensor().defined())
        ++slotCounts[value.toTensor().unsafeGetTensorImpl()];
    }
  }
  for (const Item &item : order) {
    StringAttr canonical = instances[item.object];
    if (canonical != item.path) {
      AliasOp::create(builder, makeNodeLoc(context, {}, item.path, {}),
                      item.path, FlatSymbolRefAttr::get(canonical));
      continue;
    }
    if (failed(importInstance(*item.object, item.path)))
      return failure();
    auto type = item.object->type();
    for (size_t i = 0; i != type->numAttributes(); ++i) {
      const c10::IValue &value = item.object->getSlot(i);
      if (!isInstance(value) &&
          failed(importSlot(
              *type, i, value,
              getString(joinPath(item.path, type->getAttributeName(i))))))
        return failure();
    }
  }
  return success();
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
  // A node that had no source when it was saved has an empty record.
  if (!generated || !generated->source() || generated->source()->size() == 0) {
    // Without a debug record, the line of the code in the file has to do.
    auto position = range.file_line_col();
    if (!position)
      return makeNodeLoc(context, {}, instance, {});
    auto [file, line, column] = *position;
    return makeNodeLoc(context, FileLineColLoc::get(context, file, line, 0),
                       instance, {});
  }
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
  FileLineColLoc position;
  SmallVector<StackFrame> frames = parseStack(text);
  if (const StackFrame *frame = findUserFrame(frames))
    position = FileLineColLoc::get(context, frame->file, frame->line, 0);
  else if (auto exact = generated->file_line_col())
    position = FileLineColLoc::get(context, std::get<0>(*exact),
                                   std::get<1>(*exact), std::get<2>(*exact));
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

/// The tuple that a graph returns if it makes it itself and nothing else uses
/// it: such a method returns the elements instead.
static const jit::Node *getSplitTuple(const jit::Graph &graph,
                                      const c10::FunctionSchema &schema) {
  const jit::Value *result = graph.outputs()[0];
  const jit::Node *node = result->node();
  if (node->kind() != c10::prim::TupleConstruct || result->uses().size() != 1 ||
      node->inputs().size() < 2)
    return nullptr;
  auto type = schema.returns()[0].type()->cast<c10::TupleType>();
  return type && !type->name() ? node : nullptr;
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
                                   jit::GraphFunction *function,
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
                       objects.contains(getString(symbol)) ||
                       slotTypes.contains(getString(symbol));
       ++i)
    symbol = base + "$24" + std::to_string(i);
  it->second = getString(symbol);
  jobs.push_back({instance, symbol, function, llvm::to_vector(bindings)});
  return it->second;
}

StringAttr Importer::findOwnSlot(StringAttr slot) {
  if (isAtOrBelow(slot, currentInstance))
    return slot;
  auto [owner, name] = splitPath(slot);
  const c10::IValue &value =
      objects[getString(owner)]->getAttr(unescapeName(name));
  if (!value.isTensor())
    return slot;
  const c10::ivalue::Object &self = *objects[currentInstance];
  StringAttr found;
  for (size_t i = 0; i != self.type()->numAttributes(); ++i) {
    const c10::IValue &own = self.getSlot(i);
    if (!own.isTensor() || !own.toTensor().is_same(value.toTensor()))
      continue;
    StringAttr symbol =
        getString(joinPath(currentInstance, self.type()->getAttributeName(i)));
    // The same name says most; else the first.
    if (!found || splitPath(symbol).second == name)
      found = symbol;
  }
  return found ? found : slot;
}

FailureOr<Value> Importer::use(const jit::Value *value, Location loc) {
  auto it = bindings.find(value);
  assert(it != bindings.end() && "a graph defines a value before its use");
  Binding &binding = it->second;
  if (binding.isSplitTuple) {
    Value tuple = TupleOp::create(builder, loc, convert(value->type()),
                                  ValueRange(binding.values));
    binding.values.assign({tuple});
    binding.isSplitTuple = false;
    return tuple;
  }
  if (!binding.values.empty())
    return binding.values.front();
  if (binding.ref) {
    if (binding.ref->kind == Ref::Instance) {
      emitError(loc) << "in '" << displayPath(currentInstance)
                     << "': the module '" << displayPath(binding.ref->symbol)
                     << "' is used as a value, which is not supported: only "
                        "calling it or reading its attributes is";
      return failure();
    }
    StringAttr slot = findOwnSlot(binding.ref->symbol);
    Value &read = reads[{slot, 0}];
    if (!read)
      read = GetOp::create(builder, stripNames(loc), slotTypes[slot],
                           FlatSymbolRefAttr::get(slot));
    return read;
  }
  const jit::Node *node = binding.constant;
  auto error = [&] {
    return emitError(loc) << "in '" << displayPath(currentInstance)
                          << "': a constant: ";
  };
  Attribute attr = builder.getUnitAttr();
  if (node->hasAttribute(c10::attr::value) || !node->mustBeNone()) {
    auto constant = jit::toIValue(value);
    if (!constant) {
      error() << "one of type '" << value->type()->annotation_str()
              << "' is not supported yet";
      return failure();
    }
    if (constant->isTensor()) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToEnd(model.getBody());
      FailureOr<TensorAttr> tensor =
          importTensor(constant->toTensor(), /*isSlot=*/false, error);
      if (failed(tensor))
        return failure();
      attr = *tensor;
    } else {
      FailureOr<Attribute> imported = importConstant(*constant, error);
      if (failed(imported))
        return failure();
      attr = *imported;
    }
  }
  Value &made = reads[{attr, 1}];
  if (!made)
    made = ConstantOp::create(builder, stripNames(loc), attr);
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

LogicalResult Importer::importMethod(const Job &job) {
  currentInstance = job.instance;
  bindings.clear();
  reads.clear();
  job.function->ensure_defined();
  const jit::Graph &graph = *job.function->graph();
  const c10::FunctionSchema &schema = job.function->getSchema();
  auto graphInputs = graph.inputs();

  // The signature: what is not bound, and the elements of a tuple that the
  // method makes to return it.
  SmallVector<Type> argTypes;
  SmallVector<DictionaryAttr> argAttrs;
  bindings[graphInputs[0]].ref = Ref{Ref::Instance, job.instance};
  SmallVector<const jit::Value *> arguments;
  for (auto [i, bound] : llvm::enumerate(job.bindings)) {
    const jit::Value *input = graphInputs[i + 1];
    if (bound) {
      bindings[input].ref = bound;
      continue;
    }
    const c10::Argument &argument = schema.arguments()[i + 1];
    if (argument.default_value() || argument.kwarg_only())
      return emitError(fileLoc)
             << "in '" << displayPath(job.instance) << "': argument '"
             << argument.name() << "' of '" << job.function->name()
             << "' has a default or is keyword only, which is not supported "
                "yet";
    arguments.push_back(input);
    argTypes.push_back(convert(argument.type()));
    argAttrs.push_back(builder.getDictionaryAttr(builder.getNamedAttr(
        FQATDialect::kArgNameAttr, getString(argument.name()))));
  }
  const jit::Node *split = getSplitTuple(graph, schema);
  SmallVector<Type> resultTypes = getResultTypes(schema, split);

  Location loc = makeNodeLoc(context, {}, job.instance, {});
  OpBuilder::InsertionGuard guard(builder);
  auto method = MethodOp::create(
      builder, loc, getString(job.symbol), FlatSymbolRefAttr::get(job.instance),
      TypeAttr::get(builder.getFunctionType(argTypes, resultTypes)),
      /*arg_attrs=*/ArrayAttr(), /*res_attrs=*/ArrayAttr());
  method.setAllArgAttrs(argAttrs);
  Block *body = builder.createBlock(&method.getBody());
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
  ReturnOp::create(builder, loc, results);
  if (TypeRange(resultTypes) != TypeRange(ValueRange(results)))
    return emitError(fileLoc)
           << "in '" << displayPath(job.instance) << "': '"
           << job.function->name()
           << "' returns another type than it declares, which is not "
              "supported yet";
  return success();
}

LogicalResult Importer::importNode(const jit::Node *node) {
  if (!node->blocks().empty())
    return emitNodeError(node)
           << "in '" << displayPath(currentInstance) << "': '"
           << node->kind().toQualString()
           << "' (control flow of a scripted module) is not supported yet";
  switch (node->kind()) {
  case c10::prim::Constant:
    bindings[node->output()].constant = node;
    return success();
  case c10::prim::GetAttr:
    return importGetAttr(node);
  case c10::prim::CallMethod:
    return importCall(node);
  case c10::prim::TupleUnpack:
  case c10::prim::ListUnpack:
    return importUnpack(node);
  default:
    break;
  }
  Location loc = withResultNames(getLoc(node), node);
  bool isTuple = node->kind() == c10::prim::TupleConstruct;
  bool isList = node->kind() == c10::prim::ListConstruct;
  bool isDict = node->kind() == c10::prim::DictConstruct;
  Type type =
      node->outputs().size() == 1 ? convert(node->output()->type()) : Type();
  if ((isTuple && isa<TupleType>(type)) || (isList && isa<ListType>(type)) ||
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
    bindings[node->output()].values.push_back(made);
    return success();
  }
  return importOperator(node);
}

LogicalResult Importer::importGetAttr(const jit::Node *node) {
  const Binding &receiver = bindings[node->input()];
  const std::string &name = node->s(c10::attr::name);
  if (!receiver.ref || receiver.ref->kind != Ref::Instance)
    return emitNodeError(node)
           << "in '" << displayPath(currentInstance)
           << "': reading the attribute '" << name
           << "' of an object that is no module is not supported yet";
  const c10::ivalue::Object *object = objects[receiver.ref->symbol];
  StringAttr path = getString(joinPath(receiver.ref->symbol, name));
  const c10::IValue &value = object->getAttr(name);
  if (isInstance(value))
    bindings[node->output()].ref =
        Ref{Ref::Instance, instances[&value.toObjectRef()]};
  else
    bindings[node->output()].ref = Ref{Ref::Slot, path};
  return success();
}

LogicalResult Importer::importCall(const jit::Node *node) {
  const std::string &name = node->s(c10::attr::name);
  const Binding &receiver = bindings[node->inputs()[0]];
  if (!receiver.ref || receiver.ref->kind != Ref::Instance)
    return emitNodeError(node)
           << "in '" << displayPath(currentInstance) << "': the module whose '"
           << name << "' is called cannot be told";
  StringAttr instance = receiver.ref->symbol;
  auto *method = objects[instance]->type()->findMethod(name);
  if (!method || !method->isGraphFunction())
    return emitNodeError(node) << "the module '" << displayPath(instance)
                               << "' has no method '" << name << "'";
  Location loc = withResultNames(getLoc(node), node);
  SmallVector<std::optional<Ref>> handed;
  SmallVector<Value> arguments;
  for (const jit::Value *input : node->inputs().slice(1)) {
    handed.push_back(bindings[input].ref);
    if (handed.back())
      continue;
    FailureOr<Value> argument = use(input, loc);
    if (failed(argument))
      return failure();
    arguments.push_back(*argument);
  }

  auto &function = jit::toGraphFunction(*method);
  function.ensure_defined();
  const c10::FunctionSchema &schema = function.getSchema();
  const jit::Node *split = getSplitTuple(*function.graph(), schema);
  SmallVector<Type> resultTypes = getResultTypes(schema, split);
  for (size_t i = 0; i != handed.size(); ++i)
    if (!handed[i] &&
        schema.arguments()[i + 1].type()->kind() == c10::TypeKind::OptionalType)
      return emitError(loc) << "in '" << displayPath(currentInstance)
                            << "': an optional argument of '" << name
                            << "' is not supported yet";

  StringAttr callee = requestMethod(instance, name, &function, handed);
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
  SmallVector<Type> types;
  for (const jit::Value *output : node->outputs())
    types.push_back(convert(output->type()));
  auto unpack = UnpackOp::create(builder, loc, types, *input);
  for (auto [output, value] : llvm::zip(node->outputs(), unpack.getElements()))
    bindings[output].values.push_back(value);
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

LogicalResult Importer::importOperator(const jit::Node *node) {
  Location loc = withResultNames(getLoc(node), node);
  const c10::FunctionSchema *schema = node->maybeSchema();
  if (!schema || node->hasAttributes())
    return emitError(loc) << "in '" << displayPath(currentInstance) << "': '"
                          << node->kind().toQualString()
                          << "' is not supported yet";
  SmallVector<Value> operands;
  if (failed(useAll(node->inputs(), loc, operands)))
    return failure();
  SmallVector<Type> types;
  for (const jit::Value *output : node->outputs())
    types.push_back(convert(output->type()));
  StringAttr overload;
  if (!schema->overload_name().empty())
    overload = getString(schema->overload_name());
  auto op = OperatorOp::create(builder, loc, types,
                               getString(node->kind().toQualString()), overload,
                               operands, /*writes=*/nullptr,
                               /*aliases=*/nullptr, /*random=*/false,
                               /*effects=*/false);
  setSchemaEffects(node, op);
  for (auto [output, value] : llvm::zip(node->outputs(), op.getResults()))
    bindings[output].values.push_back(value);
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
    if (isOutNop(instance, nopName) && isIdentity(symbols, method) && forward &&
        isIdentity(symbols, forward))
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
    for (jit::Function *function : objects[path]->type()->methods())
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

OwningOpRef<mlir::ModuleOp> Importer::run() {
  model = mlir::ModuleOp::create(fileLoc);
  OwningOpRef<mlir::ModuleOp> owner(model);
  builder.setInsertionPointToEnd(model.getBody());
  if (failed(importObjects()))
    return nullptr;

  // The root's methods are the model's interface, called or not; forward first.
  StringAttr root = getString(FQATDialect::kRootName);
  SmallVector<jit::Function *> methods(objects[root]->type()->methods().begin(),
                                       objects[root]->type()->methods().end());
  llvm::stable_sort(methods, [](jit::Function *a, jit::Function *b) {
    return a->name() == "forward" && b->name() != "forward";
  });
  for (jit::Function *method : methods) {
    SmallVector<std::optional<Ref>> unbound(
        method->getSchema().arguments().size() - 1);
    for (const c10::Argument &argument : method->getSchema().arguments())
      if (&argument != &method->getSchema().arguments()[0] &&
          argument.type()->is_module()) {
        emitError(fileLoc) << "the model's method '" << method->name()
                           << "' takes a module as its argument '"
                           << argument.name()
                           << "'; save the model that it belongs to instead";
        return nullptr;
      }
    requestMethod(root, method->name(), &jit::toGraphFunction(*method),
                  unbound);
  }
  if (methods.empty()) {
    emitError(fileLoc) << "the model has no method, so there is nothing to run";
    return nullptr;
  }
  auto drain = [&] {
    while (!jobs.empty()) {
      Job job = std::move(jobs.front());
      jobs.pop_front();
      if (failed(importMethod(job)))
        return failure();
    }
    return success();
  };
  if (failed(drain()))
    return nullptr;
  // Methods that nothing calls stay as well.
  SmallVector<StringAttr> paths;
  for (auto instance : model.getOps<ModuleOp>())
    paths.push_back(instance.getSymNameAttr());
  for (StringAttr path : paths) {
    for (jit::Function *method : objects[path]->type()->methods()) {
      if (methodSymbols.contains(joinPath(path, method->name())))
        continue;
      const auto &arguments = method->getSchema().arguments();
      // One that takes a module means nothing without its caller.
      if (llvm::any_of(arguments, [&](const c10::Argument &argument) {
            return &argument != &arguments[0] && argument.type()->is_module();
          }))
        continue;
      SmallVector<std::optional<Ref>> unbound(arguments.size() - 1);
      requestMethod(path, method->name(), &jit::toGraphFunction(*method),
                    unbound);
    }
    if (failed(drain()))
      return nullptr;
  }
  locateCalls();
  markOutNops();
  sortMethods();

  for (auto [i, record] : llvm::enumerate(archive.getExtraRecords()))
    RecordOp::create(builder, fileLoc, getString(record.name),
                     makeBlob("r" + std::to_string(i), record.bytes.data(),
                              record.bytes.size(), archive.getOwner()));
  return owner;
}

OwningOpRef<mlir::ModuleOp>
importTorchScript(StringRef path, MLIRContext *context, StringRef nopName) {
  Location loc = FileLineColLoc::get(context, path, 0, 0);
  auto archive = Archive::read(path);
  if (!archive) {
    emitError(loc) << llvm::toString(archive.takeError());
    return nullptr;
  }
  try {
    return Importer(context, *archive, path, nopName).run();
  } catch (const std::exception &error) {
    emitError(loc) << "libtorch cannot read the model: " << cleanMessage(error);
    return nullptr;
  }
}

} // namespace fqat
