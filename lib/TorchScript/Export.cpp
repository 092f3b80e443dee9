//===- Export.cpp - From the fqat dialect to a TorchScript file -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Instances become classes of a new compilation unit; those that came from one
// class and are still alike become one class again. What a method needs of the
// model it reads through attributes of `self`; what lies elsewhere its callers
// hand it (it is threaded):
//
//   fqat.method @a.forward(%x) { fqat.call @b.act.forward(%x) }
//
//   def forward(self, act: SiLU, x): return (act).forward(x)
//
// libtorch prints the code. Values are pickled without it.
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Export.h"

#include "Archive.h"
#include "ClassKeys.h"
#include "Code.h"
#include "Types.h"
#include "ValueWriter.h"

#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Nesting.h"
#include "fqat/Support/Threading.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include <ATen/core/enum_type.h>
#include <ATen/core/function_schema.h>
#include <caffe2/serialize/versions.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/script_type_parser.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/import_source.h>
#include <torch/custom_class.h>
#include <torch/version.h>

using namespace mlir;
namespace jit = torch::jit;

namespace fqat {
namespace {

/// A model as an archive will have it. The bytes of weights and records stay
/// where they are.
struct PrintedModel {
  struct Section {
    std::string pickle;
    std::vector<ArrayRef<char>> storages;
  };
  Section data, constants;
  std::vector<CodeFile> code;
  std::vector<ExtraRecord> records;
  /// The lowest version of the file format that can hold the code.
  uint64_t version = 0;
  /// What a reader of the archive will see, if anyone wants to know.
  OwningOpRef<mlir::ModuleOp> seen;

  ArchiveContents getContents() const {
    return {{data.pickle, data.storages},
            {constants.pickle, constants.storages},
            code,
            records,
            version};
  }
};

class Exporter {
public:
  Exporter(mlir::ModuleOp model, StringRef nopName, bool importsAgain,
           Phases *phases)
      : model(model), symbols(model), aliases(model), nopName(nopName),
        importsAgain(importsAgain), phases(phases), keys(symbols) {}

  LogicalResult run(PrintedModel &printed, ArchiveWriter &writer);

private:
  // Types.
  LogicalResult readTypedefs();
  /// A type by its qualified name, or null.
  c10::TypePtr findType(StringRef name);
  /// A type as TorchScript spells it, or null. Throws where it cannot be
  /// parsed.
  c10::TypePtr parseType(StringRef spelling);
  FailureOr<c10::TypePtr> makeType(Type type, Operation *op);
  LogicalResult makeClasses();
  LogicalResult declareMembers(ModuleOp instance, c10::ClassType &type);
  c10::ClassTypePtr getClass(ModuleOp instance) {
    return classes[keys.get(instance)].type;
  }
  /// Whether the class of an instance is made after it.
  bool isModelOfClass(ModuleOp instance) {
    return classes[keys.get(instance)].instance == instance;
  }

  // Values in code.
  FailureOr<c10::IValue> makeValue(Attribute value, Operation *op);
  FailureOr<std::vector<c10::IValue>> makeValues(ArrayAttr values,
                                                 Operation *op);
  FailureOr<c10::IValue> makePlaceholder(Attribute value, Operation *op);

  // Methods.
  LogicalResult findNeeds() {
    FailureOr<Threading> found = Threading::compute(model, symbols, aliases);
    if (succeeded(found))
      threading = std::move(*found);
    return found;
  }
  LogicalResult makeFunctions();
  LogicalResult makeFunction(FunctionOp function);
  LogicalResult makeMethods();
  c10::TypePtr getSymbolType(StringAttr symbol);
  bool isHook(MethodOp method) {
    ModuleOp instance = lookupInstance(symbols, method.getInstance());
    auto name = StringAttr::get(model.getContext(),
                                unescapeName(method.getMethodName()));
    return (instance.getHooksAttr() &&
            llvm::is_contained(instance.getHooksAttr(), name)) ||
           (instance.getPreHooksAttr() &&
            llvm::is_contained(instance.getPreHooksAttr(), name));
  }
  LogicalResult print(PrintedModel &printed, ArchiveWriter &writer);
  void endPhase(llvm::StringLiteral name) {
    if (phases)
      phases->end(name);
  }
  /// What a reader of the contents will see.
  OwningOpRef<mlir::ModuleOp> importAgain(const ArchiveContents &contents,
                                          CodePrinter &printer);

  mlir::ModuleOp model;
  SymbolTable symbols;
  AliasIndex aliases;
  StringRef nopName;
  bool importsAgain;
  Phases *phases;
  std::shared_ptr<jit::CompilationUnit> unit =
      std::make_shared<jit::CompilationUnit>();

  // Types. Instances of one class share the type made after the first.
  struct Class {
    ModuleOp instance;
    c10::ClassTypePtr type;
  };
  ClassKeys keys;
  std::vector<Class> classes;
  llvm::StringMap<c10::TypePtr> typesByName;
  llvm::StringMap<std::vector<TypedefOp>> typedefs;
  std::vector<c10::IValue> typedefConstants;
  std::optional<jit::SourceImporter> importer;
  jit::ResolverPtr resolver;

  // What stands for the constants in code: libtorch sees none of their bytes.
  DenseMap<Attribute, c10::IValue> placeholders;
  DenseMap<const void *, Attribute> constants;

  // Methods, by class, name; functions by symbol.
  DenseMap<MethodOp, jit::Function *> methods;
  llvm::StringMap<jit::Function *> functions;
  llvm::StringSet<> openFunctions;
  Threading threading;
  /// The sources that debug records name, shared as the records share them.
  DenseMap<Attribute, std::shared_ptr<jit::Source>> sources;

  friend class BodyExporter;
  friend class ModelTypes;
};

/// Lets libtorch's parser of types find the model's own.
class ModelTypes : public jit::Resolver {
public:
  explicit ModelTypes(Exporter &exporter) : exporter(exporter) {}
  c10::TypePtr resolveType(const std::string &name,
                           const jit::SourceRange &) override {
    return exporter.findType(name);
  }

private:
  Exporter &exporter;
};

/// Builds the graph of one method or function.
class BodyExporter {
public:
  BodyExporter(Exporter &exporter, FunctionOpInterface function)
      : exporter(exporter), function(function),
        method(dyn_cast<MethodOp>(function.getOperation())),
        graph(std::make_shared<jit::Graph>()) {}

  FailureOr<std::shared_ptr<jit::Graph>> run();
  const std::vector<c10::Argument> &getArguments() const { return arguments; }
  const c10::TypePtr &getReturnType() const { return returnType; }

private:
  LogicalResult makeSignature();
  LogicalResult makeArgument(unsigned index);
  jit::Value *addInput(const std::string &name, const c10::TypePtr &type);
  std::string makeArgumentName(StringRef wish);
  void reachAtTop();
  LogicalResult exportBlock(Block &block);
  LogicalResult exportOp(Operation *op);
  void exportGet(GetOp get);
  LogicalResult exportCall(Operation *op, MethodOp callee, ValueRange operands);
  LogicalResult exportNop(OutNopOp op);
  LogicalResult exportFunctionCall(CallFunctionOp call);
  LogicalResult bindCall(Operation *op, jit::Node *node);
  LogicalResult exportConstruct(Operation *op);
  LogicalResult exportConstant(ConstantOp op);
  LogicalResult exportOperator(OperatorOp op);
  LogicalResult exportIf(IfOp op);
  LogicalResult exportLoop(LoopOp op);
  LogicalResult exportFork(ForkOp op);
  LogicalResult exportArm(Block &block, jit::Block *arm);
  LogicalResult setTypes(Operation *op, at::ArrayRef<jit::Value *> outputs);
  jit::Value *makeFunctionValue(jit::Function *callee);
  /// The value of an instance or a slot: an argument, or read from `self`.
  jit::Value *reach(StringAttr symbol);
  jit::Value *readAttribute(StringAttr symbol);
  bool isInReach(StringAttr symbol);
  /// What a call needs besides its arguments: the instance, and what is
  /// threaded.
  std::vector<jit::Value *> reachCallee(MethodOp callee);
  jit::Node *append(jit::Node *node, Operation *op);
  std::optional<jit::SourceRange> makeSourceRange(Location loc);
  void bind(Operation *op, at::ArrayRef<jit::Value *> outputs);
  static void setName(jit::Value *value, StringRef name);
  std::vector<jit::Value *> lookup(ValueRange operands);

  Exporter &exporter;
  FunctionOpInterface function;
  /// Null for a function.
  MethodOp method;
  std::shared_ptr<jit::Graph> graph;
  std::vector<c10::Argument> arguments;
  c10::TypePtr returnType;
  llvm::StringSet<> argumentNames;
  DenseMap<Value, jit::Value *> values;
  /// What was read so far, where it can be used again.
  DenseMap<StringAttr, jit::Value *> reached;
  DenseMap<Attribute, jit::Value *> pool;
  /// Slots that are read before all else, once.
  DenseSet<StringAttr> readAtTop;
};

} // namespace

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

LogicalResult Exporter::readTypedefs() {
  resolver = std::make_shared<ModelTypes>(*this);
  // The definitions of one qualifier make one source, as in a file. All have
  // the same constants.
  for (auto op : model.getOps<TypedefOp>()) {
    typedefs[getQualifier(op.getName())].push_back(op);
    if (!op.getConstantsAttr() || !typedefConstants.empty())
      continue;
    for (Attribute value : op.getConstantsAttr()) {
      FailureOr<c10::IValue> constant = makePlaceholder(value, op);
      if (failed(constant))
        return failure();
      typedefConstants.push_back(*constant);
    }
  }
  auto loadSource =
      [this](const std::string &qualifier) -> std::shared_ptr<jit::Source> {
    auto it = typedefs.find(qualifier);
    if (it == typedefs.end())
      return nullptr;
    std::string text;
    std::vector<std::pair<size_t, std::string>> debug;
    for (TypedefOp op : it->second) {
      debug.emplace_back(text.size(), op.getDebug().value_or("").str());
      text += op.getSource();
    }
    return std::make_shared<jit::Source>(text, getCodeRecord(qualifier), 1,
                                         joinDebugRecords(std::move(debug)));
  };
  importer.emplace(unit, &typedefConstants, loadSource,
                   caffe2::serialize::kMaxSupportedFileFormatVersion);
  return success();
}

c10::TypePtr Exporter::findType(StringRef name) {
  auto it = typesByName.find(name);
  if (it != typesByName.end())
    return it->second;
  c10::TypePtr type;
  if (name.starts_with("__torch__.torch.classes."))
    type = torch::getCustomClass(name.str());
  else if (llvm::any_of(typedefs[getQualifier(name)],
                        [&](TypedefOp op) { return op.getName() == name; }))
    type = importer->loadType(c10::QualifiedName(name.str()));
  if (type)
    typesByName[name] = type;
  return type;
}

c10::TypePtr Exporter::parseType(StringRef spelling) {
  if (c10::TypePtr type = findType(spelling))
    return type;
  if (llvm::Error error = checkCodeNesting(spelling))
    throw std::runtime_error("a type: " + llvm::toString(std::move(error)));
  return jit::ScriptTypeParser(resolver).parseType(spelling.str());
}

FailureOr<c10::TypePtr> Exporter::makeType(Type type, Operation *op) {
  c10::TypePtr made = convertType(
      type, [this](StringRef spelling) { return parseType(spelling); });
  if (!made)
    return op->emitError() << "the type " << type << " cannot be written";
  return made;
}

LogicalResult Exporter::makeClasses() {
  // First come the names that the instances have; one that another class has
  // already is mangled only then, so that it takes no one's name.
  SmallVector<unsigned> mangled;
  for (auto instance : model.getOps<ModuleOp>()) {
    StringRef name = instance.getClassName();
    if (!name.contains('.'))
      return instance.emitError()
             << "class name '" << name << "' is not qualified";
    unsigned key = keys.get(instance);
    if (key >= classes.size())
      classes.resize(key + 1);
    if (classes[key].instance)
      continue;
    classes[key].instance = instance;
    if (typesByName.contains(name)) {
      mangled.push_back(key);
      continue;
    }
    classes[key].type = c10::ClassType::create(c10::QualifiedName(name.str()),
                                               unit, /*is_module=*/true);
    unit->register_type(classes[key].type);
    typesByName[name] = classes[key].type;
  }
  for (unsigned key : mangled) {
    StringRef name = classes[key].instance.getClassName();
    classes[key].type = c10::ClassType::create(
        unit->mangle(c10::QualifiedName(name.str())), unit, /*is_module=*/true);
    unit->register_type(classes[key].type);
  }
  for (Class &made : classes)
    if (failed(declareMembers(made.instance, *made.type)))
      return failure();
  return success();
}

LogicalResult Exporter::declareMembers(ModuleOp instance,
                                       c10::ClassType &type) {
  for (auto slot : instance.getSlots().getAsRange<StringAttr>()) {
    std::string symbol = instance.getMemberSymbol(slot.getValue());
    if (lookupInstance(symbols, symbol)) {
      if (instance.getStateAttr())
        return instance.emitError()
               << "'" << displayPath(instance.getSymName())
               << "' restores itself with __setstate__, so that no module '"
               << slot.getValue() << "' can be put into it";
      type.addAttribute(slot.str(), getSymbolType(StringAttr::get(
                                        model.getContext(), symbol)));
      continue;
    }
    Operation *op = symbols.lookup(symbol);
    FailureOr<c10::TypePtr> slotType =
        makeType(cast<TypeAttr>(op->getAttr("type")).getValue(), op);
    if (failed(slotType))
      return failure();
    type.addAttribute(slot.str(), *slotType, isa<ParameterOp>(op),
                      isa<BufferOp>(op));
  }
  if (ArrayAttr values = instance.getConstantsAttr()) {
    if (values.size() % 2 != 0)
      return instance.emitError() << "a constant has no value";
    for (size_t i = 0; i != values.size(); i += 2) {
      auto name = dyn_cast<StringAttr>(values[i]);
      if (!name)
        return instance.emitError() << "a constant has no name";
      FailureOr<c10::IValue> value = makeValue(values[i + 1], instance);
      if (failed(value))
        return failure();
      type.addConstant(name.str(), *value);
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Values in code
//===----------------------------------------------------------------------===//

FailureOr<c10::IValue> Exporter::makePlaceholder(Attribute value,
                                                 Operation *op) {
  auto it = placeholders.find(value);
  if (it != placeholders.end())
    return it->second;
  c10::IValue made;
  if (auto object = dyn_cast<ObjectAttr>(value)) {
    c10::TypePtr type = findType(object.getClassName());
    if (!type || !type->cast<c10::ClassType>())
      return op->emitError() << "the class '" << object.getClassName()
                             << "' is unknown; load the library that defines "
                                "it with --load-op-library LIB.so";
    made =
        c10::ivalue::Object::create(c10::WeakOrStrongTypePtr(c10::WeakTypePtr(
                                        unit, type->cast<c10::ClassType>())),
                                    /*numSlots=*/1);
  } else {
    made = makeTensorPlaceholder(placeholders.size());
  }
  placeholders.try_emplace(value, made);
  constants[made.internalToPointer()] = value;
  return made;
}

FailureOr<std::vector<c10::IValue>> Exporter::makeValues(ArrayAttr values,
                                                         Operation *op) {
  std::vector<c10::IValue> result;
  for (Attribute value : values) {
    FailureOr<c10::IValue> made = makeValue(value, op);
    if (failed(made))
      return failure();
    result.push_back(*made);
  }
  return result;
}

FailureOr<c10::IValue> Exporter::makeValue(Attribute value, Operation *op) {
  using Result = FailureOr<c10::IValue>;
  return llvm::TypeSwitch<Attribute, Result>(value)
      .Case<TensorAttr, BuildAttr, ObjectAttr>(
          [&](auto) { return makePlaceholder(value, op); })
      .Case([](UnitAttr) -> Result { return c10::IValue(); })
      .Case(
          [](BoolAttr attr) -> Result { return c10::IValue(attr.getValue()); })
      .Case(
          [](IntegerAttr attr) -> Result { return c10::IValue(attr.getInt()); })
      .Case([](FloatAttr attr) -> Result {
        return c10::IValue(attr.getValue().convertToDouble());
      })
      .Case([](ComplexAttr attr) -> Result {
        return c10::IValue(
            c10::complex<double>(attr.getRealValue(), attr.getImagValue()));
      })
      .Case([](StringAttr attr) -> Result { return c10::IValue(attr.str()); })
      .Case([](DeviceAttr attr) -> Result {
        return c10::IValue(c10::Device(attr.getSpelling().str()));
      })
      .Case([&](EnumAttr attr) -> Result {
        c10::TypePtr type = findType(attr.getEnumName());
        auto enumType = type ? type->cast<c10::EnumType>() : nullptr;
        if (enumType)
          for (const auto &[name, memberValue] : enumType->enumNamesValues())
            if (name == attr.getMember())
              return c10::IValue(c10::make_intrusive<c10::ivalue::EnumHolder>(
                  enumType, name, memberValue));
        return op->emitError() << "no enum has the member " << attr;
      })
      .Case([&](ArrayAttr attr) -> Result {
        auto elements = makeValues(attr, op);
        if (failed(elements))
          return failure();
        return c10::IValue(c10::ivalue::Tuple::create(std::move(*elements)));
      })
      .Case([&](ListAttr attr) -> Result {
        c10::TypePtr type = parseType(attr.getTypeTag());
        auto listType = type ? type->cast<c10::ListType>() : nullptr;
        auto elements = makeValues(attr.getElements(), op);
        if (failed(elements))
          return failure();
        if (!listType)
          return op->emitError() << "the list " << attr << " has no type";
        c10::impl::GenericList list(listType->getElementType());
        for (const c10::IValue &element : *elements)
          list.push_back(element);
        return c10::IValue(list);
      })
      .Case([&](DictAttr attr) -> Result {
        c10::TypePtr type = parseType(attr.getTypeTag());
        auto dictType = type ? type->cast<c10::DictType>() : nullptr;
        auto items = makeValues(attr.getItems(), op);
        if (failed(items))
          return failure();
        if (!dictType || items->size() % 2 != 0)
          return op->emitError() << "the dict " << attr << " has no type";
        c10::impl::GenericDict dict(dictType->getKeyType(),
                                    dictType->getValueType());
        for (size_t i = 0; i != items->size(); i += 2)
          dict.insert((*items)[i], (*items)[i + 1]);
        return c10::IValue(dict);
      })
      .Default([&](Attribute other) -> Result {
        return op->emitError() << "the value " << other << " cannot be written";
      });
}

//===----------------------------------------------------------------------===//
// Methods
//===----------------------------------------------------------------------===//

c10::TypePtr Exporter::getSymbolType(StringAttr symbol) {
  if (ModuleOp instance = lookupInstance(symbols, symbol)) {
    // The attribute may have an interface as its type.
    if (TypeAttr interface = instance.getInterfaceAttr())
      if (auto type = makeType(interface.getValue(), instance); succeeded(type))
        return *type;
    return getClass(instance);
  }
  Operation *slot = symbols.lookup(symbol);
  auto type = makeType(cast<TypeAttr>(slot->getAttr("type")).getValue(), slot);
  return succeeded(type) ? *type : c10::AnyType::get();
}

LogicalResult Exporter::makeFunction(FunctionOp function) {
  if (functions.contains(function.getSymName()))
    return success();
  if (!openFunctions.insert(function.getSymName()).second)
    return function.emitError()
           << "'" << function.getQualifiedName() << "' calls itself";
  // Callees first.
  WalkResult walked =
      function.getBody().walk([&](CallFunctionOp call) -> WalkResult {
        return makeFunction(symbols.lookup<FunctionOp>(call.getCallee()));
      });
  if (walked.wasInterrupted())
    return failure();
  std::string name = function.getQualifiedName().str();
  // A definition in text may have called it.
  jit::Function *made = unit->find_function(c10::QualifiedName(name));
  if (!made) {
    BodyExporter body(*this, function);
    FailureOr<std::shared_ptr<jit::Graph>> graph = body.run();
    if (failed(graph))
      return failure();
    made = unit->create_function(c10::QualifiedName(name), *graph);
    made->setSchema(c10::FunctionSchema(
        made->name(), /*overload_name=*/"", body.getArguments(),
        {c10::Argument("", body.getReturnType())}));
  }
  functions[function.getSymName()] = made;
  return success();
}

LogicalResult Exporter::makeFunctions() {
  for (auto function : model.getOps<FunctionOp>())
    if (failed(makeFunction(function)))
      return failure();
  return success();
}

LogicalResult Exporter::makeMethods() {
  // The methods of a class appear in the order in which the model lists them,
  // but a callee must be declared before its callers.
  for (MethodOp method : threading.getPostOrder()) {
    ModuleOp instance = lookupInstance(symbols, method.getInstance());
    if (!isModelOfClass(instance))
      continue;
    BodyExporter body(*this, method);
    FailureOr<std::shared_ptr<jit::Graph>> graph = body.run();
    if (failed(graph))
      return failure();
    std::string name = unescapeName(method.getMethodName());
    jit::Function *function = unit->create_function(
        c10::QualifiedName(*getClass(instance)->name(), name), *graph);
    function->setSchema(
        c10::FunctionSchema(name, /*overload_name=*/"", body.getArguments(),
                            {c10::Argument("", body.getReturnType())}));
    methods[method] = function;
  }
  for (Class &made : classes) {
    for (MethodOp method : keys.getMethods(made.instance))
      if (!isHook(method))
        made.type->addMethod(methods[method]);
    auto addHooks = [&](ArrayAttr names, auto add) -> LogicalResult {
      for (auto name : names ? names.getAsRange<StringAttr>()
                             : ArrayAttr::get(model.getContext(), {})
                                   .getAsRange<StringAttr>()) {
        auto method = symbols.lookup<MethodOp>(
            made.instance.getMemberSymbol(name.getValue()));
        if (!method)
          return made.instance.emitError() << "has no hook " << name;
        add(methods[method]);
      }
      return success();
    };
    if (failed(addHooks(
            made.instance.getHooksAttr(),
            [&](jit::Function *hook) { made.type->addForwardHook(hook); })) ||
        failed(
            addHooks(made.instance.getPreHooksAttr(), [&](jit::Function *hook) {
              made.type->addForwardPreHook(hook);
            })))
      return failure();
  }
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

jit::Value *BodyExporter::addInput(const std::string &name,
                                   const c10::TypePtr &type) {
  jit::Value *input = graph->addInput(name);
  input->setType(type);
  return input;
}

LogicalResult BodyExporter::makeArgument(unsigned index) {
  auto getAttr = [&](StringRef name) {
    return function.getArgAttr(index, name);
  };
  auto nameAttr =
      dyn_cast_or_null<StringAttr>(getAttr(FQATDialect::kArgNameAttr));
  std::string name =
      nameAttr && !nameAttr.empty() ? nameAttr.str() : makeArgumentName("");
  FailureOr<c10::TypePtr> type =
      exporter.makeType(function.getArgumentTypes()[index], function);
  if (failed(type))
    return failure();
  std::optional<c10::IValue> defaultValue;
  if (Attribute value = getAttr(FQATDialect::kArgDefaultAttr)) {
    FailureOr<c10::IValue> made = exporter.makeValue(value, function);
    if (failed(made))
      return failure();
    defaultValue = *made;
  }
  bool isKeywordOnly = getAttr(FQATDialect::kArgKeywordOnlyAttr) != nullptr;
  values[function.getArgument(index)] = addInput(name, *type);
  arguments.emplace_back(name, *type, /*N=*/std::nullopt, defaultValue,
                         isKeywordOnly);
  return success();
}

LogicalResult BodyExporter::makeSignature() {
  // Names that the model has come first: what is threaded adapts.
  std::string self =
      method ? method.getSelfName().value_or("self").str() : "self";
  argumentNames.insert(self);
  for (unsigned i = 0; i != function.getNumArguments(); ++i)
    if (auto name =
            function.getArgAttrOfType<StringAttr>(i, FQATDialect::kArgNameAttr))
      argumentNames.insert(name.getValue());
  if (method) {
    auto add = [&](StringAttr symbol, const std::string &name,
                   const c10::TypePtr &type) {
      reached[symbol] = addInput(name, type);
      arguments.emplace_back(name, type);
    };
    ModuleOp instance = lookupInstance(exporter.symbols, method.getInstance());
    add(method.getInstanceAttr().getAttr(), self, exporter.getClass(instance));
    for (StringAttr symbol : exporter.threading.getNeeds(method))
      add(symbol, makeArgumentName(unescapeName(splitPath(symbol).second)),
          exporter.getSymbolType(symbol));
  }
  for (unsigned i = 0; i != function.getNumArguments(); ++i)
    if (failed(makeArgument(i)))
      return failure();
  std::vector<c10::TypePtr> results;
  for (Type type : function.getResultTypes()) {
    FailureOr<c10::TypePtr> made = exporter.makeType(type, function);
    if (failed(made))
      return failure();
    results.push_back(*made);
  }
  if (results.empty())
    returnType = c10::NoneType::get();
  else if (results.size() == 1)
    returnType = results.front();
  else
    returnType = c10::TupleType::create(results);
  return success();
}

jit::Value *BodyExporter::readAttribute(StringAttr symbol) {
  symbol = exporter.aliases.findBelow(method.getInstance(), symbol);
  auto [owner, name] = splitPath(symbol);
  jit::Value *from = reach(StringAttr::get(symbol.getContext(), owner));
  jit::Value *value =
      graph->insertNode(graph->createGetAttr(from, unescapeName(name)))
          ->output();
  value->setType(exporter.getSymbolType(symbol));
  return value;
}

jit::Value *BodyExporter::reach(StringAttr symbol) {
  if (jit::Value *value = reached.lookup(symbol))
    return value;
  return reached[symbol] = readAttribute(symbol);
}

bool BodyExporter::isInReach(StringAttr symbol) {
  return isAtOrBelow(exporter.aliases.findBelow(method.getInstance(), symbol),
                     method.getInstance()) ||
         llvm::any_of(
             exporter.threading.getNeeds(method),
             [&](StringAttr needed) { return isAtOrBelow(symbol, needed); });
}

void BodyExporter::reachAtTop() {
  // Code that reads an instance at a place of its own calls it after that.
  DenseSet<ModuleOp> read;
  auto getInstance = [&](FlatSymbolRefAttr symbol) {
    return lookupInstance(exporter.symbols, symbol.getValue());
  };
  method.getBody().walk([&](GetOp get) {
    if (ModuleOp instance = getInstance(get.getSlotAttr()))
      read.insert(instance);
  });
  llvm::SetVector<StringAttr> wanted;
  auto want = [&](FlatSymbolRefAttr symbol) {
    if (!read.contains(getInstance(symbol)))
      wanted.insert(symbol.getAttr());
  };
  method.getBody().walk([&](Operation *op) {
    if (auto nop = dyn_cast<OutNopOp>(op)) {
      want(nop.getInstanceAttr());
    } else if (auto call = dyn_cast<CallOp>(op)) {
      auto callee = exporter.symbols.lookup<MethodOp>(call.getCallee());
      want(callee.getInstanceAttr());
      for (StringAttr symbol : exporter.threading.getNeeds(callee))
        want(FlatSymbolRefAttr::get(symbol));
    }
  });
  // First what the method was imported with, in the order that it had.
  if (auto order =
          dyn_cast_or_null<ArrayAttr>(getDebugRecord(function->getLoc()))) {
    DenseSet<StringAttr> slots;
    for (auto get : method.getBody().front().getOps<GetOp>())
      slots.insert(get.getSlotAttr().getAttr());
    for (auto symbol : order.getAsRange<FlatSymbolRefAttr>()) {
      ModuleOp instance = getInstance(symbol);
      bool isWanted = instance ? wanted.contains(instance.getSymNameAttr())
                               : slots.contains(symbol.getAttr());
      if (!isWanted || !isInReach(symbol.getAttr()))
        continue;
      jit::Value *value = reach(symbol.getAttr());
      if (instance)
        reached[instance.getSymNameAttr()] = value;
      else
        readAtTop.insert(symbol.getAttr());
    }
  }
  for (StringAttr symbol : wanted)
    reach(symbol);
}

std::vector<jit::Value *> BodyExporter::lookup(ValueRange operands) {
  std::vector<jit::Value *> result;
  for (Value operand : operands)
    result.push_back(values.lookup(operand));
  return result;
}

std::optional<jit::SourceRange> BodyExporter::makeSourceRange(Location loc) {
  auto record = dyn_cast_or_null<ArrayAttr>(getDebugRecord(loc));
  if (!record || record.size() != 5)
    return std::nullopt;
  auto text = dyn_cast<StringAttr>(record[0]);
  auto file = dyn_cast<StringAttr>(record[1]);
  auto line = dyn_cast<IntegerAttr>(record[2]);
  auto begin = dyn_cast<IntegerAttr>(record[3]);
  auto end = dyn_cast<IntegerAttr>(record[4]);
  if (!text || !file || !line || !begin || !end || begin.getInt() < 0 ||
      begin.getInt() > end.getInt() || begin.getInt() > int64_t(text.size()))
    return std::nullopt;
  Attribute key =
      ArrayAttr::get(loc.getContext(), record.getValue().take_front(3));
  std::shared_ptr<jit::Source> &source = exporter.sources[key];
  if (!source)
    source = std::make_shared<jit::Source>(
        text.str(), file.empty() ? std::nullopt : std::optional(file.str()),
        line.getInt());
  return jit::SourceRange(source, begin.getInt(), end.getInt());
}

jit::Node *BodyExporter::append(jit::Node *node, Operation *op) {
  if (auto range = makeSourceRange(op->getLoc()))
    node->setSourceRange(*range);
  return graph->insertNode(node);
}

void BodyExporter::setName(jit::Value *value, StringRef name) {
  // libtorch numbers values itself; one called torch would hide torch's
  // operators.
  if (!name.empty() && name != "torch" && !llvm::all_of(name, llvm::isDigit))
    value->setDebugName(name.str());
}

void BodyExporter::bind(Operation *op, at::ArrayRef<jit::Value *> outputs) {
  SmallVector<StringRef> names;
  getNames(op->getLoc()).split(names, ',');
  for (auto [i, result] : llvm::enumerate(op->getResults())) {
    values[result] = outputs[i];
    if (names.size() == op->getNumResults())
      setName(outputs[i], names[i]);
  }
}

LogicalResult BodyExporter::setTypes(Operation *op,
                                     at::ArrayRef<jit::Value *> outputs) {
  for (auto [output, type] : llvm::zip(outputs, op->getResultTypes())) {
    FailureOr<c10::TypePtr> made = exporter.makeType(type, op);
    if (failed(made))
      return failure();
    output->setType(*made);
  }
  return success();
}

std::vector<jit::Value *> BodyExporter::reachCallee(MethodOp callee) {
  std::vector<jit::Value *> inputs = {
      reach(callee.getInstanceAttr().getAttr())};
  for (StringAttr symbol : exporter.threading.getNeeds(callee))
    inputs.push_back(reach(symbol));
  return inputs;
}

void BodyExporter::exportGet(GetOp get) {
  StringAttr symbol = get.getSlotAttr().getAttr();
  ModuleOp instance = lookupInstance(exporter.symbols, symbol);
  // A pass may have left the read of what is no longer used here.
  if (instance && get.use_empty() && !isInReach(symbol))
    return;
  // An argument, `self` included, or what was read at the top.
  bool isKnown = symbol == method.getInstance() ||
                 exporter.threading.getNeeds(method).contains(symbol) ||
                 readAtTop.contains(symbol);
  jit::Value *value = isKnown ? reach(symbol) : readAttribute(symbol);
  if (instance) {
    reached[symbol] = value;
    reached[instance.getSymNameAttr()] = value;
  }
  values[get.getResult()] = value;
  bind(get, {value});
}

LogicalResult BodyExporter::bindCall(Operation *op, jit::Node *node) {
  append(node, op);
  if (op->getNumResults() == 0) {
    node->output()->setType(c10::NoneType::get());
    return success();
  }
  std::vector<c10::TypePtr> types;
  for (Type type : op->getResultTypes()) {
    FailureOr<c10::TypePtr> made = exporter.makeType(type, op);
    if (failed(made))
      return failure();
    types.push_back(*made);
  }
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

jit::Value *BodyExporter::makeFunctionValue(jit::Function *callee) {
  jit::Node *node = graph->insertNode(graph->create(c10::prim::Constant, 1));
  node->s_(c10::attr::name, callee->name());
  node->output()->setType(c10::FunctionType::create(callee));
  return node->output();
}

LogicalResult BodyExporter::exportCall(Operation *op, MethodOp callee,
                                       ValueRange operands) {
  std::vector<jit::Value *> inputs = reachCallee(callee);
  llvm::append_range(inputs, lookup(operands));
  // A hook is called as a function.
  if (exporter.isHook(callee)) {
    ModuleOp instance = lookupInstance(exporter.symbols, callee.getInstance());
    // The class is made after one of its instances.
    ModuleOp first = exporter.classes[exporter.keys.get(instance)].instance;
    auto hook = exporter.symbols.lookup<MethodOp>(
        first.getMemberSymbol(unescapeName(callee.getMethodName())));
    inputs.insert(inputs.begin(),
                  makeFunctionValue(exporter.methods.lookup(hook)));
    return bindCall(op, graph->create(c10::prim::CallFunction, inputs));
  }
  jit::Node *node = graph->create(c10::prim::CallMethod, inputs);
  node->s_(c10::attr::name, unescapeName(callee.getMethodName()));
  return bindCall(op, node);
}

LogicalResult BodyExporter::exportNop(OutNopOp op) {
  jit::Node *node = graph->create(
      c10::prim::CallMethod,
      {reach(op.getInstanceAttr().getAttr()), values.lookup(op.getInput())});
  node->s_(c10::attr::name, "forward");
  return bindCall(op, node);
}

LogicalResult BodyExporter::exportFunctionCall(CallFunctionOp call) {
  jit::Function *callee = exporter.functions.lookup(call.getCallee());
  std::vector<jit::Value *> inputs = {makeFunctionValue(callee)};
  llvm::append_range(inputs, lookup(call.getArguments()));
  return bindCall(call, graph->create(c10::prim::CallFunction, inputs));
}

LogicalResult BodyExporter::exportConstruct(Operation *op) {
  FailureOr<c10::TypePtr> type =
      exporter.makeType(op->getResult(0).getType(), op);
  if (failed(type))
    return failure();
  std::vector<jit::Value *> elements = lookup(op->getOperands());
  jit::Node *node;
  if (isa<TupleOp>(op)) {
    node = graph->create(c10::prim::TupleConstruct, elements);
  } else if (isa<ListOp>(op)) {
    node = graph->create(c10::prim::ListConstruct, elements);
  } else {
    node = graph->create(c10::prim::DictConstruct, elements);
  }
  node->output()->setType(*type);
  bind(op, append(node, op)->outputs());
  return success();
}

/// Whether libtorch makes one of two such constants when it loads a file.
static bool isPooled(Attribute value) {
  auto number = dyn_cast<FloatAttr>(value);
  return !isa<EnumAttr, ObjectAttr>(value) &&
         !(number && number.getValue().isNaN());
}

LogicalResult BodyExporter::exportConstant(ConstantOp constant) {
  // The first of equal constants gives its line to all: a file must not change
  // when it is loaded and written again.
  jit::Value *&pooled = pool[constant.getValue()];
  if (pooled && isPooled(constant.getValue())) {
    values[constant.getResult()] = pooled;
    return success();
  }
  FailureOr<c10::IValue> value =
      exporter.makeValue(constant.getValue(), constant);
  if (failed(value))
    return failure();
  // At the top, where all blocks see it.
  jit::WithInsertPoint guard(*graph->nodes().begin());
  pooled = graph->insertConstant(*value);
  if (auto range = makeSourceRange(constant.getLoc()))
    pooled->node()->setSourceRange(*range);
  bind(constant, {pooled});
  return success();
}

LogicalResult BodyExporter::exportOperator(OperatorOp op) {
  jit::Node *node =
      graph->create(c10::Symbol::fromQualString(op.getName().str()),
                    lookup(op.getOperands()), op.getNumResults());
  if (failed(setTypes(op, node->outputs())))
    return failure();
  for (NamedAttribute attr : op.getExtraAttr() ? op.getExtraAttr().getValue()
                                               : ArrayRef<NamedAttribute>()) {
    auto name = c10::Symbol::attr(attr.getName().str());
    auto makeTypes =
        [&](ArrayRef<Attribute> types) -> FailureOr<std::vector<c10::TypePtr>> {
      std::vector<c10::TypePtr> result;
      for (Attribute type : types) {
        auto typeAttr = dyn_cast<TypeAttr>(type);
        if (!typeAttr)
          return op.emitError() << "an attribute is no type: " << type;
        FailureOr<c10::TypePtr> made =
            exporter.makeType(typeAttr.getValue(), op);
        if (failed(made))
          return failure();
        result.push_back(*made);
      }
      return result;
    };
    if (auto text = dyn_cast<StringAttr>(attr.getValue())) {
      node->s_(name, text.str());
    } else if (auto integer = dyn_cast<IntegerAttr>(attr.getValue())) {
      node->i_(name, integer.getInt());
    } else if (auto types = dyn_cast<ArrayAttr>(attr.getValue())) {
      auto made = makeTypes(types.getValue());
      if (failed(made))
        return failure();
      node->tys_(name, *made);
    } else {
      auto made = makeTypes(attr.getValue());
      if (failed(made))
        return failure();
      node->ty_(name, made->front());
    }
  }
  bind(op, append(node, op)->outputs());
  return success();
}

LogicalResult BodyExporter::exportArm(Block &block, jit::Block *arm) {
  // What an arm reads is not seen behind it.
  DenseMap<StringAttr, jit::Value *> outer = reached;
  jit::WithInsertPoint guard(arm);
  if (failed(exportBlock(block)))
    return failure();
  for (jit::Value *output : lookup(block.getTerminator()->getOperands()))
    arm->registerOutput(output);
  reached = std::move(outer);
  return success();
}

LogicalResult BodyExporter::exportIf(IfOp op) {
  jit::Node *node =
      append(graph->create(c10::prim::If, lookup({op.getCondition()}),
                           op.getNumResults()),
             op);
  if (failed(setTypes(op, node->outputs())) ||
      failed(exportArm(op.getThenRegion().front(), node->addBlock())) ||
      failed(exportArm(op.getElseRegion().front(), node->addBlock())))
    return failure();
  bind(op, node->outputs());
  return success();
}

LogicalResult BodyExporter::exportLoop(LoopOp op) {
  jit::Node *node =
      append(graph->create(c10::prim::Loop, lookup(op->getOperands()),
                           op.getNumResults()),
             op);
  if (failed(setTypes(op, node->outputs())))
    return failure();
  jit::Block *body = node->addBlock();
  for (BlockArgument argument : op.getBody().getArguments()) {
    FailureOr<c10::TypePtr> type = exporter.makeType(argument.getType(), op);
    if (failed(type))
      return failure();
    jit::Value *input = body->addInput();
    input->setType(*type);
    setName(input, getNames(argument.getLoc()));
    values[argument] = input;
  }
  if (failed(exportArm(op.getBody().front(), body)))
    return failure();
  bind(op, node->outputs());
  return success();
}

LogicalResult BodyExporter::exportFork(ForkOp op) {
  jit::Node *node = append(graph->create(c10::prim::fork, 1), op);
  jit::Block *block = node->addBlock();
  if (failed(setTypes(op, node->outputs())) ||
      failed(exportArm(op.getBody().front(), block)))
    return failure();
  // TorchScript keeps the body as a graph, which is handed what it captures.
  auto body = std::make_shared<jit::Graph>();
  DenseMap<jit::Value *, jit::Value *> captured;
  body->block()->cloneFrom(block, [&](jit::Value *outer) {
    jit::Value *&inner = captured[outer];
    if (!inner) {
      inner = body->addInput()->copyMetadata(outer);
      node->addInput(outer);
    }
    return inner;
  });
  node->g_(c10::attr::Subgraph, body);
  node->eraseBlock(0);
  bind(op, node->outputs());
  return success();
}

LogicalResult BodyExporter::exportOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](GetOp get) {
        exportGet(get);
        return success();
      })
      .Case([&](SetOp set) {
        auto [owner, name] = splitPath(set.getSlot());
        jit::Value *object = reach(StringAttr::get(op->getContext(), owner));
        append(graph->createSetAttr(object, unescapeName(name),
                                    values.lookup(set.getValue())),
               op);
        return success();
      })
      .Case([&](ConstantOp constant) { return exportConstant(constant); })
      .Case([&](CallOp call) {
        auto callee = exporter.symbols.lookup<MethodOp>(call.getCallee());
        return exportCall(op, callee, call.getArguments());
      })
      .Case([&](OutNopOp nop) { return exportNop(nop); })
      .Case([&](CallFunctionOp call) { return exportFunctionCall(call); })
      .Case<TupleOp, ListOp, DictOp>(
          [&](Operation *construct) { return exportConstruct(construct); })
      .Case([&](UnpackOp unpack) {
        jit::Value *aggregate = values.lookup(unpack.getAggregate());
        jit::Node *node =
            isa<ListType>(unpack.getAggregate().getType())
                ? graph->createListUnpack(aggregate, unpack.getNumResults())
                : graph->createTupleUnpack(aggregate);
        bind(op, append(node, op)->outputs());
        return success();
      })
      .Case([&](OperatorOp oper) { return exportOperator(oper); })
      .Case([&](IfOp branch) { return exportIf(branch); })
      .Case([&](LoopOp loop) { return exportLoop(loop); })
      .Case([&](ForkOp fork) { return exportFork(fork); })
      .Case([&](ReturnOp ret) {
        std::vector<jit::Value *> results = lookup(ret.getOperands());
        jit::Value *result;
        if (results.empty()) {
          result = graph->insertConstant(c10::IValue());
          if (auto range = makeSourceRange(op->getLoc()))
            result->node()->setSourceRange(*range);
        } else if (results.size() == 1)
          result = results.front();
        else
          result = append(graph->createTuple(results), op)->output();
        graph->registerOutput(result);
        return success();
      })
      .Case([&](YieldOp) { return success(); })
      .Default([](Operation *other) {
        return other->emitError()
               << "'" << other->getName() << "' cannot be written";
      });
}

LogicalResult BodyExporter::exportBlock(Block &block) {
  for (Operation &op : block)
    if (failed(exportOp(&op)))
      return failure();
  return success();
}

FailureOr<std::shared_ptr<jit::Graph>> BodyExporter::run() {
  if (failed(makeSignature()))
    return failure();
  if (method)
    reachAtTop();
  if (failed(exportBlock(function.getFunctionBody().front())))
    return failure();
  // libtorch's own check; it throws.
  graph->lint();
  return graph;
}

//===----------------------------------------------------------------------===//
// The archive
//===----------------------------------------------------------------------===//

OwningOpRef<mlir::ModuleOp>
Exporter::importAgain(const ArchiveContents &contents, CodePrinter &printer) {
  llvm::StringMap<c10::TypePtr> printed;
  for (auto instance : model.getOps<ModuleOp>())
    printed[printer.getName(getClass(instance))] = getClass(instance);
  auto archive = Archive::view(
      contents,
      [&](StringRef name) {
        auto it = printed.find(name);
        return it == printed.end() ? findType(name) : it->second;
      },
      printer.getConstants());
  if (!archive) {
    model.emitError() << llvm::toString(archive.takeError());
    return nullptr;
  }
  return importArchive(**archive, model.getContext(), "", nopName);
}

LogicalResult Exporter::print(PrintedModel &printed, ArchiveWriter &writer) {
  ModuleOp root = lookupInstance(symbols, FQATDialect::kRootName);
  std::vector<c10::ClassTypePtr> types;
  types.reserve(classes.size());
  for (const Class &made : classes)
    types.push_back(made.type);
  CodePrinter printer(types);
  ValueWriter data(symbols), constantWriter(symbols);
  if (failed(data.numberStorages()) ||
      failed(data.writeInstance(root, [&](ModuleOp instance) {
        return printer.getName(getClass(instance));
      })))
    return failure();
  printed.data.storages = data.getStorages().vec();
  writer.start(printed.data.storages);
  printer.print(getClass(root));
  // The code may not know the classes of what an attribute holds whose type is
  // an interface or Any.
  for (auto instance : model.getOps<ModuleOp>())
    printer.print(getClass(instance));
  for (StringRef name : data.getGlobals())
    if (c10::TypePtr type = findType(name))
      printer.print(getNamedType(type));
  SmallVector<Attribute> constantValues;
  for (const c10::IValue &constant : printer.getConstants())
    constantValues.push_back(convertValue(
        constant, model.getContext(), [&](const c10::IValue &part) {
          return part.isTensor() || part.isObject()
                     ? constants.lookup(part.internalToPointer())
                     : Attribute();
        }));
  if (llvm::is_contained(constantValues, nullptr))
    return root.emitError() << "a constant of the code has no value";
  if (failed(constantWriter.writeTuple(constantValues, root)))
    return failure();

  for (auto record : model.getOps<RecordOp>()) {
    FailureOr<ArrayRef<char>> bytes = getBlobBytes(record.getBytes(), record);
    if (failed(bytes))
      return failure();
    printed.records.push_back(
        {record.getName().str(), StringRef(bytes->data(), bytes->size())});
  }
  printed.data.pickle = data.finish();
  printed.constants = {constantWriter.finish(),
                       constantWriter.getStorages().vec()};
  printed.code = printer.takeFiles();
  printed.version = printer.getVersion();
  endPhase("print");
  ArchiveContents contents = printed.getContents();
  writer.startRest(contents);
  if (importsAgain)
    printed.seen = importAgain(contents, printer);
  return success(!importsAgain || printed.seen);
}

LogicalResult Exporter::run(PrintedModel &printed, ArchiveWriter &writer) {
  if (failed(checkModel(model)) || failed(readTypedefs()) ||
      failed(makeClasses()) || failed(findNeeds()) || failed(makeFunctions()) ||
      failed(makeMethods()))
    return failure();
  endPhase("make graphs");
  return print(printed, writer);
}

static LogicalResult exportModel(mlir::ModuleOp model, ArchiveWriter &writer,
                                 StringRef nopName, ExportCheck check,
                                 Phases *phases) {
  try {
    PrintedModel printed;
    // Before what it borrows is gone, whatever happens.
    llvm::scope_exit stop([&] { writer.cancel(); });
    if (failed(Exporter(model, nopName,
                        /*importsAgain=*/static_cast<bool>(check), phases)
                   .run(printed, writer)))
      return failure();
    // libtorch's graphs are gone: the check can have their memory.
    if (check) {
      if (phases)
        phases->end("import again");
      if (failed(check(*printed.seen)))
        return failure();
      printed.seen = nullptr;
    }
    writer.finish();
    return success();
  } catch (const std::exception &error) {
    return model.emitError()
           << "libtorch cannot write the model: " << cleanMessage(error);
  }
}

LogicalResult exportTorchScript(mlir::ModuleOp model, raw_ostream &os,
                                StringRef nopName, ExportCheck check,
                                Phases *phases) {
  ArchiveWriter writer(os);
  return exportModel(model, writer, nopName, check, phases);
}

LogicalResult exportTorchScript(mlir::ModuleOp model, ScratchArchive &scratch,
                                StringRef nopName, ExportCheck check,
                                Phases *phases) {
  ArchiveWriter writer(scratch);
  return exportModel(model, writer, nopName, check, phases);
}

StringRef getTorchVersion() { return TORCH_VERSION; }

} // namespace fqat
