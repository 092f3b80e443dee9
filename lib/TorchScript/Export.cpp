//===- Export.cpp - From the fqat dialect to a TorchScript file -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every instance becomes a class of its own in a new compilation unit. What a
// method needs of the model it reads through attributes of `self`; what lies
// elsewhere its callers hand it (it is threaded):
//
//   fqat.method @a.forward(%x) { fqat.call @b.act.forward(%x) }
//
//   def forward(self, act: SiLU, x): return (act).forward(x)
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Export.h"

#include "Archive.h"
#include "Types.h"

#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include <ATen/core/function_schema.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/version.h>

using namespace mlir;
namespace jit = torch::jit;

namespace fqat {
namespace {

/// What a method must be handed: instances and slots out of `self`'s reach, by
/// symbol, in the order of their first need.
using Needs = llvm::SmallSetVector<StringAttr, 4>;

class Exporter {
public:
  explicit Exporter(mlir::ModuleOp model) : model(model), symbols(model) {}

  LogicalResult run(raw_ostream &os);

private:
  // The object graph.
  LogicalResult makeClasses();
  LogicalResult makeObjects();
  FailureOr<c10::IValue> makeConstant(Attribute value, Operation *op);
  FailureOr<at::Tensor> makeTensor(TensorAttr attr, Operation *op);
  FailureOr<c10::Storage> makeStorage(FlatSymbolRefAttr symbol, Operation *op);
  /// The instance that an attribute holds, aliases resolved; null for a slot.
  ModuleOp lookupInstance(StringRef symbol);

  // Methods.
  /// Computes what each method must be handed. Callees before callers.
  LogicalResult findNeeds();
  LogicalResult makeMethods();
  c10::TypePtr getSymbolType(StringAttr symbol);

  mlir::ModuleOp model;
  SymbolTable symbols;
  std::shared_ptr<jit::CompilationUnit> unit =
      std::make_shared<jit::CompilationUnit>();
  llvm::MapVector<ModuleOp, c10::ClassTypePtr> classes;
  DenseMap<ModuleOp, c10::intrusive_ptr<c10::ivalue::Object>> objects;
  DenseMap<StringAttr, c10::Storage> storages;
  DenseMap<int64_t, at::Tensor> sharedTensors;
  DenseMap<MethodOp, Needs> needs;
  /// Methods in an order in which callees come first.
  SmallVector<MethodOp> postOrder;

  friend class BodyExporter;
};

/// Builds the graph of one method.
class BodyExporter {
public:
  BodyExporter(Exporter &exporter, MethodOp method)
      : exporter(exporter), method(method),
        graph(std::make_shared<jit::Graph>()) {}

  FailureOr<std::shared_ptr<jit::Graph>> run();
  const std::vector<c10::Argument> &getArguments() const { return arguments; }
  const c10::TypePtr &getReturnType() const { return returnType; }

private:
  LogicalResult makeSignature();
  std::string makeArgumentName(StringRef wish);
  LogicalResult exportOp(Operation *op);
  LogicalResult exportCall(Operation *op, std::vector<jit::Value *> inputs,
                           StringRef methodName, ValueRange operands);
  /// The value of an instance or a slot: an argument, or read from `self`.
  jit::Value *reach(StringAttr symbol);
  /// What a call needs besides its arguments: the instance, and what is
  /// threaded.
  std::vector<jit::Value *> reachCallee(MethodOp callee);
  jit::Node *append(jit::Node *node, Operation *op);
  void bind(Operation *op, at::ArrayRef<jit::Value *> outputs);
  std::vector<jit::Value *> lookup(ValueRange operands);

  Exporter &exporter;
  MethodOp method;
  std::shared_ptr<jit::Graph> graph;
  std::vector<c10::Argument> arguments;
  c10::TypePtr returnType;
  llvm::StringSet<> argumentNames;
  DenseMap<Value, jit::Value *> values;
  DenseMap<StringAttr, jit::Value *> reached;
};

} // namespace

//===----------------------------------------------------------------------===//
// The object graph
//===----------------------------------------------------------------------===//

ModuleOp Exporter::lookupInstance(StringRef symbol) {
  Operation *op = symbols.lookup(symbol);
  if (auto alias = dyn_cast_or_null<AliasOp>(op))
    op = symbols.lookup(alias.getTarget());
  return dyn_cast_or_null<ModuleOp>(op);
}

LogicalResult Exporter::makeClasses() {
  // First come the names that the instances have; a clone's, which another
  // instance has, is mangled only then, so that it takes no one's name.
  auto makeClass = [&](ModuleOp instance, const c10::QualifiedName &name) {
    auto type = c10::ClassType::create(name, unit, /*is_module=*/true);
    unit->register_type(type);
    classes[instance] = type;
  };
  SmallVector<ModuleOp> mangled;
  llvm::StringSet<> taken;
  for (auto instance : model.getOps<ModuleOp>()) {
    StringRef name = instance.getClassName();
    if (!name.contains('.'))
      return instance.emitError()
             << "class name '" << name << "' is not qualified";
    classes[instance] = nullptr;
    if (taken.insert(name).second)
      makeClass(instance, c10::QualifiedName(name.str()));
    else
      mangled.push_back(instance);
  }
  for (ModuleOp instance : mangled)
    makeClass(instance,
              unit->mangle(c10::QualifiedName(instance.getClassName().str())));

  for (auto &[instance, type] : classes) {
    for (auto slot : instance.getSlots().getAsRange<StringAttr>()) {
      std::string symbol = instance.getMemberSymbol(slot.getValue());
      if (ModuleOp child = lookupInstance(symbol)) {
        type->addAttribute(slot.str(), classes[child]);
        continue;
      }
      Operation *op = symbols.lookup(symbol);
      Type slotType = cast<TypeAttr>(op->getAttr("type")).getValue();
      c10::TypePtr torchType = convertType(slotType);
      if (!torchType)
        return op->emitError()
               << "type " << slotType << " cannot be written yet";
      type->addAttribute(slot.str(), torchType, isa<ParameterOp>(op),
                         isa<BufferOp>(op));
    }
  }
  return success();
}

FailureOr<c10::Storage> Exporter::makeStorage(FlatSymbolRefAttr symbol,
                                              Operation *op) {
  auto it = storages.find(symbol.getAttr());
  if (it != storages.end())
    return it->second;
  auto storage = symbols.lookup<StorageOp>(symbol.getValue());
  if (!storage)
    return op->emitError() << "no storage '" << symbol.getValue() << "'";
  if (storage.getDevice() != "cpu")
    return storage.emitError() << "a storage on '" << storage.getDevice()
                               << "' cannot be written yet";
  ArrayRef<char> bytes;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(storage.getBytes())) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return storage.emitError() << "the bytes of the storage are missing; "
                                    "was the model printed without them?";
    bytes = blob->getData();
  } else if (auto dense = dyn_cast<DenseElementsAttr>(storage.getBytes())) {
    bytes = dense.getRawData();
    if (dense.isSplat() && dense.getNumElements() != 1)
      return storage.emitError()
             << "the bytes of a storage must not be a splat";
  } else {
    return storage.emitError() << "the bytes of the storage are not dense";
  }
  // Borrowed: the model outlives the writing of it.
  c10::Storage made(c10::Storage::use_byte_size_t(), bytes.size(),
                    at::DataPtr(const_cast<char *>(bytes.data()), at::kCPU),
                    /*allocator=*/nullptr, /*resizable=*/false);
  storages.try_emplace(symbol.getAttr(), made);
  return made;
}

FailureOr<at::Tensor> Exporter::makeTensor(TensorAttr attr, Operation *op) {
  if (attr.getIdentity() != 0) {
    auto it = sharedTensors.find(attr.getIdentity());
    if (it != sharedTensors.end())
      return it->second;
  }
  std::optional<c10::ScalarType> dtype = getDtype(attr.getDtype());
  if (!dtype)
    return op->emitError() << "unknown dtype '" << attr.getDtype() << "'";
  FailureOr<c10::Storage> storage = makeStorage(attr.getStorage(), op);
  if (failed(storage))
    return failure();
  // The last element must lie in the storage.
  uint64_t end = attr.getOffset();
  bool isEmpty = llvm::is_contained(attr.getSizes(), 0);
  for (auto [size, stride] : llvm::zip(attr.getSizes(), attr.getStrides())) {
    if (stride < 0)
      return op->emitError() << "a tensor has a negative stride";
    end += isEmpty ? 0 : uint64_t(size - 1) * uint64_t(stride);
  }
  if (!isEmpty && (end + 1) * c10::elementSize(*dtype) > storage->nbytes())
    return op->emitError() << "a tensor reaches beyond its storage '"
                           << attr.getStorage().getValue() << "'";
  c10::ScalarType scalarType = *dtype;
  at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(scalarType));
  tensor.set_(
      *storage, attr.getOffset(),
      at::IntArrayRef(attr.getSizes().data(), attr.getSizes().size()),
      at::IntArrayRef(attr.getStrides().data(), attr.getStrides().size()));
  if (attr.getRequiresGrad())
    tensor.set_requires_grad(true);
  if (attr.getIdentity() != 0)
    sharedTensors.try_emplace(attr.getIdentity(), tensor);
  return tensor;
}

FailureOr<c10::IValue> Exporter::makeConstant(Attribute value, Operation *op) {
  if (auto tensor = dyn_cast<TensorAttr>(value)) {
    FailureOr<at::Tensor> made = makeTensor(tensor, op);
    if (failed(made))
      return failure();
    return c10::IValue(*made);
  }
  if (isa<UnitAttr>(value))
    return c10::IValue();
  if (auto attr = dyn_cast<BoolAttr>(value))
    return c10::IValue(attr.getValue());
  if (auto attr = dyn_cast<IntegerAttr>(value))
    return c10::IValue(attr.getInt());
  if (auto attr = dyn_cast<FloatAttr>(value))
    return c10::IValue(attr.getValue().convertToDouble());
  if (auto attr = dyn_cast<StringAttr>(value))
    return c10::IValue(attr.str());
  if (auto attr = dyn_cast<DeviceAttr>(value))
    return c10::IValue(c10::Device(attr.getSpelling().str()));
  return op->emitError() << "the value " << value << " cannot be written yet";
}

LogicalResult Exporter::makeObjects() {
  for (auto &[instance, type] : classes)
    objects[instance] = c10::ivalue::Object::create(
        c10::StrongTypePtr(unit, type), type->numAttributes());
  for (auto &[instance, type] : classes) {
    for (auto [i, slot] :
         llvm::enumerate(instance.getSlots().getAsRange<StringAttr>())) {
      std::string symbol = instance.getMemberSymbol(slot.getValue());
      if (ModuleOp child = lookupInstance(symbol)) {
        objects[instance]->setSlot(i, objects[child]);
        continue;
      }
      Operation *op = symbols.lookup(symbol);
      FailureOr<c10::IValue> value = makeConstant(op->getAttr("value"), op);
      if (failed(value))
        return failure();
      objects[instance]->setSlot(i, *value);
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Methods
//===----------------------------------------------------------------------===//

LogicalResult Exporter::findNeeds() {
  // Depth first over the calls, with an explicit stack.
  enum State { New, Open, Done };
  DenseMap<MethodOp, State> states;
  auto getCallees = [&](MethodOp method) {
    SmallVector<MethodOp> callees;
    method.getBody().walk([&](CallOp call) {
      callees.push_back(symbols.lookup<MethodOp>(call.getCallee()));
    });
    return callees;
  };
  auto finish = [&](MethodOp method) {
    Needs &own = needs[method];
    auto need = [&](StringAttr symbol) {
      if (!isAtOrBelow(symbol, method.getInstance()))
        own.insert(symbol);
    };
    method.getBody().walk([&](Operation *op) {
      if (auto get = dyn_cast<GetOp>(op)) {
        need(get.getSlotAttr().getAttr());
      } else if (auto nop = dyn_cast<OutNopOp>(op)) {
        need(nop.getInstanceAttr().getAttr());
      } else if (auto call = dyn_cast<CallOp>(op)) {
        auto callee = symbols.lookup<MethodOp>(call.getCallee());
        need(callee.getInstanceAttr().getAttr());
        for (StringAttr symbol : needs[callee])
          need(symbol);
      }
    });
  };
  for (auto root : model.getOps<MethodOp>()) {
    SmallVector<MethodOp> stack = {root};
    while (!stack.empty()) {
      MethodOp method = stack.back();
      State &state = states[method];
      if (state == New) {
        state = Open;
        SmallVector<MethodOp> callees = getCallees(method);
        for (MethodOp callee : llvm::reverse(callees)) {
          State calleeState = states.lookup(callee);
          if (calleeState == Open)
            return method.emitError()
                   << "'" << method.getSymName() << "' calls itself through '"
                   << callee.getSymName() << "'";
          if (calleeState == New)
            stack.push_back(callee);
        }
        continue;
      }
      stack.pop_back();
      if (state == Done)
        continue;
      state = Done;
      finish(method);
      postOrder.push_back(method);
    }
  }
  return success();
}

c10::TypePtr Exporter::getSymbolType(StringAttr symbol) {
  if (ModuleOp instance = lookupInstance(symbol))
    return classes[instance];
  Operation *slot = symbols.lookup(symbol);
  return convertType(cast<TypeAttr>(slot->getAttr("type")).getValue());
}

LogicalResult Exporter::makeMethods() {
  // The methods of a class appear in the order in which the model lists them,
  // but a callee must be declared before its callers.
  DenseMap<MethodOp, jit::Function *> functions;
  for (MethodOp method : postOrder) {
    BodyExporter body(*this, method);
    FailureOr<std::shared_ptr<jit::Graph>> graph = body.run();
    if (failed(graph))
      return failure();
    ModuleOp instance = lookupInstance(method.getInstance());
    std::string name = unescapeName(method.getMethodName());
    auto *function = unit->create_function(
        c10::QualifiedName(*classes[instance]->name(), name), *graph);
    function->setSchema(
        c10::FunctionSchema(name, /*overload_name=*/"", body.getArguments(),
                            {c10::Argument("", body.getReturnType())}));
    functions[method] = function;
  }
  for (auto method : model.getOps<MethodOp>())
    classes[lookupInstance(method.getInstance())]->addMethod(functions[method]);
  return success();
}

std::string BodyExporter::makeArgumentName(StringRef wish) {
  std::string base = "argument";
  bool isName =
      !wish.empty() && (llvm::isAlpha(wish[0]) || wish[0] == '_') &&
      llvm::all_of(wish, [](char c) { return llvm::isAlnum(c) || c == '_'; });
  // A value of that name would hide torch's operators.
  if (isName && wish != "torch")
    base = wish.str();
  std::string name = base;
  for (unsigned i = 1; !argumentNames.insert(name).second; ++i)
    name = base + "_" + std::to_string(i);
  return name;
}

LogicalResult BodyExporter::makeSignature() {
  auto addInput = [&](const std::string &name, const c10::TypePtr &type) {
    jit::Value *input = graph->addInput(name);
    input->setType(type);
    arguments.emplace_back(name, type);
    return input;
  };
  ModuleOp instance = exporter.lookupInstance(method.getInstance());
  // Names that the model has come first: what is threaded adapts.
  argumentNames.insert("self");
  for (unsigned i = 0; i != method.getNumArguments(); ++i)
    argumentNames.insert(method.getArgName(i));
  StringAttr self = method.getInstanceAttr().getAttr();
  reached[self] = addInput("self", exporter.classes[instance]);
  for (StringAttr symbol : exporter.needs[method])
    reached[symbol] =
        addInput(makeArgumentName(unescapeName(splitPath(symbol).second)),
                 exporter.getSymbolType(symbol));
  for (unsigned i = 0; i != method.getNumArguments(); ++i) {
    std::string name = method.getArgName(i).str();
    if (name.empty())
      name = makeArgumentName("");
    c10::TypePtr type = convertType(method.getArgumentTypes()[i]);
    if (!type)
      return method.emitError() << "type " << method.getArgumentTypes()[i]
                                << " cannot be written yet";
    values[method.getArgument(i)] = addInput(name, type);
  }
  std::vector<c10::TypePtr> results;
  for (Type type : method.getResultTypes()) {
    results.push_back(convertType(type));
    if (!results.back())
      return method.emitError() << "type " << type << " cannot be written yet";
  }
  if (results.empty())
    returnType = c10::NoneType::get();
  else if (results.size() == 1)
    returnType = results.front();
  else
    returnType = c10::TupleType::create(results);
  return success();
}

jit::Value *BodyExporter::reach(StringAttr symbol) {
  auto it = reached.find(symbol);
  if (it != reached.end())
    return it->second;
  // Walk up to what is at hand already, then down again attribute by attribute.
  SmallVector<StringRef> missing;
  StringRef path = symbol;
  jit::Value *value = nullptr;
  while (!value) {
    missing.push_back(path);
    path = splitPath(path).first;
    assert(!path.empty() && "what self cannot reach is an argument");
    value = reached.lookup(StringAttr::get(symbol.getContext(), path));
  }
  for (StringRef step : llvm::reverse(missing)) {
    auto stepSymbol = StringAttr::get(symbol.getContext(), step);
    jit::Node *node = graph->insertNode(
        graph->createGetAttr(value, unescapeName(splitPath(step).second)));
    value = node->output();
    value->setType(exporter.getSymbolType(stepSymbol));
    reached[stepSymbol] = value;
  }
  return value;
}

std::vector<jit::Value *> BodyExporter::lookup(ValueRange operands) {
  std::vector<jit::Value *> result;
  for (Value operand : operands)
    result.push_back(values.lookup(operand));
  return result;
}

/// The source range that a debug record was read from.
static std::optional<jit::SourceRange> makeSourceRange(Location loc) {
  auto record = dyn_cast_or_null<ArrayAttr>(getDebugRecord(loc));
  if (!record || record.size() != 5)
    return std::nullopt;
  auto getInt = [&](unsigned i) {
    return cast<IntegerAttr>(record[i]).getInt();
  };
  StringRef file = cast<StringAttr>(record[1]).getValue();
  auto source = std::make_shared<jit::Source>(
      cast<StringAttr>(record[0]).str(),
      file.empty() ? std::nullopt : std::optional(file.str()), getInt(2));
  return jit::SourceRange(source, getInt(3), getInt(4));
}

jit::Node *BodyExporter::append(jit::Node *node, Operation *op) {
  if (auto range = makeSourceRange(op->getLoc()))
    node->setSourceRange(*range);
  return graph->insertNode(node);
}

void BodyExporter::bind(Operation *op, at::ArrayRef<jit::Value *> outputs) {
  SmallVector<StringRef> names;
  if (auto name = dyn_cast<NameLoc>(op->getLoc());
      name && stripNames(op->getLoc()) != op->getLoc())
    name.getName().getValue().split(names, ',');
  for (auto [i, result] : llvm::enumerate(op->getResults())) {
    jit::Value *output = outputs[i];
    values[result] = output;
    // A value called torch would hide torch's operators.
    // libtorch numbers values itself.
    if (names.size() == op->getNumResults() && names[i] != "torch" &&
        !llvm::all_of(names[i], [](char c) { return llvm::isDigit(c); }))
      output->setDebugName(names[i].str());
  }
}

std::vector<jit::Value *> BodyExporter::reachCallee(MethodOp callee) {
  std::vector<jit::Value *> inputs = {
      reach(callee.getInstanceAttr().getAttr())};
  for (StringAttr symbol : exporter.needs[callee])
    inputs.push_back(reach(symbol));
  return inputs;
}

LogicalResult BodyExporter::exportCall(Operation *op,
                                       std::vector<jit::Value *> inputs,
                                       StringRef methodName,
                                       ValueRange operands) {
  ResultRange results = op->getResults();
  llvm::append_range(inputs, lookup(operands));
  jit::Node *node = graph->create(c10::prim::CallMethod, inputs);
  node->s_(c10::attr::name, methodName.str());
  append(node, op);
  if (results.empty()) {
    node->output()->setType(c10::NoneType::get());
    return success();
  }
  std::vector<c10::TypePtr> types;
  for (Type type : results.getTypes())
    types.push_back(convertType(type));
  if (types.size() == 1) {
    node->output()->setType(types.front());
    bind(op, node->outputs());
    return success();
  }
  node->output()->setType(c10::TupleType::create(types));
  if (op->use_empty())
    return success();
  jit::Node *unpack = append(graph->createTupleUnpack(node->output()), op);
  bind(op, unpack->outputs());
  return success();
}

LogicalResult BodyExporter::exportOp(Operation *op) {
  auto convertResult = [&]() -> FailureOr<c10::TypePtr> {
    c10::TypePtr type = convertType(op->getResult(0).getType());
    if (!type)
      return op->emitError() << "type " << op->getResult(0).getType()
                             << " cannot be written yet";
    return type;
  };
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](GetOp get) {
        values[get.getResult()] = reach(get.getSlotAttr().getAttr());
        return success();
      })
      .Case([&](ConstantOp constant) -> LogicalResult {
        FailureOr<c10::IValue> value =
            exporter.makeConstant(constant.getValue(), op);
        if (failed(value))
          return failure();
        values[constant.getResult()] = graph->insertConstant(*value);
        return success();
      })
      .Case([&](CallOp call) {
        auto callee = exporter.symbols.lookup<MethodOp>(call.getCallee());
        return exportCall(op, reachCallee(callee),
                          unescapeName(callee.getMethodName()),
                          call.getArguments());
      })
      .Case([&](OutNopOp nop) {
        return exportCall(op, {reach(nop.getInstanceAttr().getAttr())},
                          "forward", nop->getOperands());
      })
      .Case([&](TupleOp tuple) {
        bind(op, append(graph->createTuple(lookup(tuple.getElements())), op)
                     ->outputs());
        return success();
      })
      .Case([&](ListOp list) -> LogicalResult {
        FailureOr<c10::TypePtr> type = convertResult();
        if (failed(type))
          return failure();
        auto element = (*type)->expectRef<c10::ListType>().getElementType();
        bind(op,
             append(graph->createList(element, lookup(list.getElements())), op)
                 ->outputs());
        return success();
      })
      .Case([&](DictOp dict) -> LogicalResult {
        FailureOr<c10::TypePtr> type = convertResult();
        if (failed(type))
          return failure();
        const auto &dictType = (*type)->expectRef<c10::DictType>();
        std::vector<jit::Value *> keys, dictValues;
        for (auto [i, element] : llvm::enumerate(dict.getElements()))
          (i % 2 ? dictValues : keys).push_back(values.lookup(element));
        bind(op, append(graph->createDict(dictType.getKeyType(),
                                          dictType.getValueType(), keys,
                                          dictValues),
                        op)
                     ->outputs());
        return success();
      })
      .Case([&](UnpackOp unpack) {
        jit::Value *aggregate = values.lookup(unpack.getAggregate());
        jit::Node *node =
            isa<ListType>(unpack.getAggregate().getType())
                ? graph->createListUnpack(aggregate, unpack.getNumResults())
                : graph->createTupleUnpack(aggregate);
        bind(op, append(node, op)->outputs());
        return success();
      })
      .Case([&](OperatorOp oper) -> LogicalResult {
        std::vector<c10::TypePtr> types;
        for (Type type : oper.getResultTypes()) {
          types.push_back(convertType(type));
          if (!types.back())
            return op->emitError()
                   << "type " << type << " cannot be written yet";
        }
        jit::Node *node =
            graph->create(c10::Symbol::fromQualString(oper.getName().str()),
                          lookup(oper.getOperands()), types.size());
        for (auto [output, type] : llvm::zip(node->outputs(), types))
          output->setType(type);
        bind(op, append(node, op)->outputs());
        return success();
      })
      .Case([&](ReturnOp ret) {
        std::vector<jit::Value *> results = lookup(ret.getOperands());
        jit::Value *result;
        if (results.empty())
          result = graph->insertConstant(c10::IValue());
        else if (results.size() == 1)
          result = results.front();
        else
          result = append(graph->createTuple(results), op)->output();
        graph->registerOutput(result);
        return success();
      })
      .Default([](Operation *other) {
        return other->emitError()
               << "'" << other->getName() << "' cannot be written yet";
      });
}

FailureOr<std::shared_ptr<jit::Graph>> BodyExporter::run() {
  if (failed(makeSignature()))
    return failure();
  // Attributes are read first, as tracing does: printed code then nests calls.
  for (Operation &op : method.getBody().front()) {
    if (auto get = dyn_cast<GetOp>(op))
      reach(get.getSlotAttr().getAttr());
    else if (auto nop = dyn_cast<OutNopOp>(op))
      reach(nop.getInstanceAttr().getAttr());
    else if (auto call = dyn_cast<CallOp>(op))
      reachCallee(exporter.symbols.lookup<MethodOp>(call.getCallee()));
  }
  for (Operation &op : method.getBody().front())
    if (failed(exportOp(&op)))
      return failure();
  // libtorch's own check; it throws.
  graph->lint();
  return graph;
}

LogicalResult Exporter::run(raw_ostream &os) {
  ModuleOp root = lookupInstance(FQATDialect::kRootName);
  if (!root)
    return model.emitError() << "the model has no root instance";
  if (failed(makeClasses()) || failed(makeObjects()) || failed(findNeeds()) ||
      failed(makeMethods()))
    return failure();
  std::vector<ExtraRecord> records;
  for (auto record : model.getOps<RecordOp>()) {
    auto bytes = dyn_cast<DenseResourceElementsAttr>(record.getBytes());
    AsmResourceBlob *blob = bytes ? bytes.getRawHandle().getBlob() : nullptr;
    if (!blob)
      return record.emitError() << "the bytes of the record are missing";
    records.push_back(
        {record.getName().str(),
         StringRef(blob->getData().data(), blob->getData().size())});
  }
  jit::Module module(objects[root]);
  // libtorch's pickler writes what has several owners in another way: a file
  // must not depend on ours.
  objects.clear();
  sharedTensors.clear();
  if (llvm::Error error = Archive::write(module, records, os))
    return root.emitError() << llvm::toString(std::move(error));
  return success();
}

LogicalResult exportTorchScript(mlir::ModuleOp model, raw_ostream &os) {
  try {
    return Exporter(model).run(os);
  } catch (const std::exception &error) {
    return model.emitError()
           << "libtorch cannot write the model: " << cleanMessage(error);
  }
}

StringRef getTorchVersion() { return TORCH_VERSION; }

} // namespace fqat
