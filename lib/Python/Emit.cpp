//===- Emit.cpp - From the fqat dialect to a Python module -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Classes hold the code, and are handed what they hold when they are made, so
// that instances of one structure share a class whatever their sizes are:
//
//   class Conv(nn.Module):                    def build(...):
//       def __init__(self, conv, act):            model = Model(
//           super().__init__()                        stem=Conv(
//           self.conv = conv                              conv=nn.Conv2d(...),
//           self.act = act                                act=nn.SiLU(),
//                                                     ),
//       def forward(self, x):                     )
//           return self.act(self.conv(x))         return model
//
//===----------------------------------------------------------------------===//

#include "Emitter.h"
#include "fqat/Analysis/Regions.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Dtypes.h"
#include "fqat/Support/Operators.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"

#include <cstring>

using namespace mlir;

namespace fqat {

Emitter::Emitter(mlir::ModuleOp model, const AnchorSet &anchors,
                 StringRef nopName, SchemaLookup getSchema)
    : model(model), anchors(anchors), nopName(nopName), getSchema(getSchema),
      symbols(model), aliases(model) {
  findCode();
  for (auto alias : model.getOps<AliasOp>())
    aliasTargets.insert(getInstance(alias.getTarget()));
  // Of a model on a GPU, the CPU is what its author asked for.
  llvm::StringSet<> devices;
  model.walk([&](ConstantOp op) {
    if (auto device = dyn_cast<DeviceAttr>(op.getValue()))
      if (devices.insert(device.getSpelling()).second &&
          (ownDevice.empty() || ownDevice == "cpu"))
        ownDevice = device.getSpelling();
  });
  if (devices.size() > (devices.contains("cpu") ? 2 : 1))
    ownDevice = "";
  // What `model.py` itself uses.
  for (StringRef name :
       {"OutNop",       "Layers",       "GROUPS",     "build",    "load",
        "read",         "model",        "ops",        "nop",      "weights",
        "device",       "layers",       "constants",  "math",     "warnings",
        "os",           "torch",        "nn",         "F",        "fx",
        "at_least",     "range_length", "to_int",     "to_float", "to_tensor",
        "Tensor",       "List",         "Dict",       "Optional", "Tuple",
        "int",          "float",        "bool",       "str",      "complex",
        "list",         "tuple",        "dict",       "len",      "max",
        "min",          "abs",          "range",      "print",    "slice",
        "super",        "getattr",      "isinstance", "KeyError", "ImportError",
        "RuntimeError", "self"})
    taken.insert(name);
}

void Emitter::findCode() {
  // What nobody calls is no part of the model, but for the root's methods:
  // tracing leaves methods of identities.
  SmallVector<Operation *> open;
  auto reach = [&](Operation *function) {
    if (code.insert(function).second)
      open.push_back(function);
  };
  for (auto method : model.getOps<MethodOp>()) {
    ModuleOp instance = getInstance(method.getInstance());
    if (instance.isRoot() || isOutNop(instance, nopName) ||
        (instance.getStateAttr() && method.getMethodName() == kSetState))
      reach(method);
  }
  while (!open.empty())
    open.pop_back_val()->walk([&](Operation *op) {
      if (auto call = dyn_cast<CallOp>(op))
        reach(symbols.lookup(call.getCallee()));
      else if (auto call = dyn_cast<CallFunctionOp>(op))
        reach(symbols.lookup(call.getCallee()));
      else if (auto get = dyn_cast<GetOp>(op))
        usedSlots.insert(get.getSlotAttr().getAttr());
      else if (auto set = dyn_cast<SetOp>(op))
        usedSlots.insert(set.getSlotAttr().getAttr());
      else if (StringAttr slot = getSlotOfValue(op))
        usedSlots.insert(slot);
    });
  for (auto method : model.getOps<MethodOp>())
    if (code.contains(method))
      methodsOf[getInstance(method.getInstance())].push_back(method);
}

SmallVector<Operation *> Emitter::getMembers(ModuleOp instance) {
  SmallVector<Operation *> members;
  for (auto slot : instance.getSlots().getAsRange<StringAttr>())
    members.push_back(
        symbols.lookup(instance.getMemberSymbol(slot.getValue())));
  return members;
}

StringAttr getSlotOfValue(Operation *op) {
  auto read = dyn_cast<OperatorOp>(op);
  if (!read || read.getName() != "prim::GetAttr")
    return StringAttr();
  auto base = read.getOperand(0).getDefiningOp<GetOp>();
  auto extra = dyn_cast_or_null<DictionaryAttr>(read.getExtraAttr());
  auto name = extra ? extra.getAs<StringAttr>("name") : StringAttr();
  if (!base || !name)
    return StringAttr();
  return StringAttr::get(op->getContext(),
                         joinPath(base.getSlot(), name.getValue()));
}

/// Whether Python gives a name another one within a class.
static bool isMangled(StringRef name) {
  return name.starts_with("__") && !name.ends_with("__");
}

/// Whether a member can be an argument of the constructor by its own name.
static bool isMemberName(StringRef name) {
  return isIdentifier(name) && name != "self" && !isMangled(name);
}

/// The name of the constructor's argument for a member.
static std::string getArgumentName(ModuleOp instance, StringRef name) {
  if (isMemberName(name))
    return name.str();
  // Any that is free will do: only `build` says it.
  ArrayRef<Attribute> slots = instance.getSlots().getValue();
  std::string argument =
      "member" +
      std::to_string(llvm::find_if(slots,
                                   [&](Attribute slot) {
                                     return cast<StringAttr>(slot).getValue() ==
                                            name;
                                   }) -
                     slots.begin());
  while (llvm::any_of(slots, [&](Attribute slot) {
    return cast<StringAttr>(slot).getValue() == argument;
  }))
    argument += '_';
  return argument;
}

static StringRef getLastName(StringRef symbol) {
  return splitPath(symbol).second;
}

/// Whether the children of an instance are called 0, 1, ..., n - 1 in order,
/// with `others` behind them at most.
static bool hasNumberedChildren(ArrayRef<Operation *> members, bool others) {
  unsigned next = 0;
  bool isOver = false;
  for (Operation *member : members) {
    if (!isa<ModuleOp, AliasOp>(member)) {
      if (isa<ParameterOp, BufferOp>(member) && !others)
        return false;
      continue;
    }
    StringRef name = getLastName(SymbolTable::getSymbolName(member));
    if (!isOver && name == std::to_string(next)) {
      ++next;
      continue;
    }
    isOver = true;
    if (!others || llvm::isDigit(name[0]))
      return false;
  }
  return next != 0 || !others;
}

std::optional<bool> Emitter::getMode(ModuleOp instance) {
  Operation *slot = symbols.lookup(instance.getMemberSymbol("training"));
  auto flag =
      slot ? dyn_cast_or_null<BoolAttr>(getSlotValue(slot)) : BoolAttr();
  return flag ? std::optional<bool>(flag.getValue()) : std::nullopt;
}

bool Emitter::isNumbered(ModuleOp instance) {
  InstanceForm::Kind kind = getForm(instance).kind;
  return kind == InstanceForm::Sequential || kind == InstanceForm::List ||
         (kind == InstanceForm::Own &&
          hasNumberedChildren(getMembers(instance), /*others=*/true));
}

std::string Emitter::reach(StringRef object, StringRef base,
                           StringAttr symbol) {
  std::string text = object.str();
  std::string path = base.str();
  StringRef rest = symbol.getValue();
  if (rest == base)
    return text;
  if (base != FQATDialect::kRootName)
    rest = rest.drop_front(base.size() + 1);
  SmallVector<StringRef> parts;
  rest.split(parts, '.');
  for (StringRef part : parts) {
    ModuleOp parent = getInstance(path);
    std::string name = unescapeName(part);
    bool isDict = parent && getForm(parent).kind == InstanceForm::Dict;
    bool isChild = getInstance(joinPath(path, name)) != nullptr;
    if (isDict)
      text += "[" + quote(name) + "]";
    else if (llvm::all_of(part, llvm::isDigit) && isChild && parent &&
             isNumbered(parent))
      text += "[" + name + "]";
    else if (isIdentifier(name) && !isMangled(name))
      text += "." + name;
    else
      text = ("getattr(" + Twine(text) + ", " + quote(name) + ")").str();
    path = joinPath(path, name);
  }
  return text;
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

/// One element of a tensor as a Python number; empty if it has no such form.
static std::string spellElement(StringRef dtype, const char *bytes) {
  auto read = [&](auto value) {
    std::memcpy(&value, bytes, sizeof(value));
    return value;
  };
  auto readFloat = [&](const llvm::fltSemantics &semantics, uint64_t bits,
                       unsigned width) {
    llvm::APFloat value(semantics, llvm::APInt(width, bits));
    bool lost;
    value.convert(llvm::APFloat::IEEEdouble(),
                  llvm::APFloat::rmNearestTiesToEven, &lost);
    return spellFloat(value.convertToDouble());
  };
  if (dtype == "float32") {
    // A float's shortest spelling is that of a double with the same value.
    return spellFloat(read(float()));
  }
  if (dtype == "float64")
    return spellFloat(read(double()));
  if (dtype == "float16")
    return readFloat(llvm::APFloat::IEEEhalf(), read(uint16_t()), 16);
  if (dtype == "bfloat16")
    return readFloat(llvm::APFloat::BFloat(), read(uint16_t()), 16);
  if (dtype == "int64")
    return std::to_string(read(int64_t()));
  if (dtype == "int32")
    return std::to_string(read(int32_t()));
  if (dtype == "int16")
    return std::to_string(read(int16_t()));
  if (dtype == "int8")
    return std::to_string(read(int8_t()));
  if (dtype == "uint8")
    return std::to_string(read(uint8_t()));
  if (dtype == "bool")
    return *bytes ? "True" : "False";
  return "";
}

std::optional<Code> Emitter::spellTensor(TensorAttr value,
                                         unsigned maxElements) {
  auto storage = symbols.lookup<StorageOp>(value.getStorage().getValue());
  std::optional<ArrayRef<char>> bytes =
      storage ? getBytes(storage.getBytes()) : std::nullopt;
  size_t width = getElementSize(value.getDtype());
  ArrayRef<int64_t> sizes = value.getSizes();
  if (!bytes || sizes.size() > 1 ||
      (!sizes.empty() && (sizes[0] > int64_t(maxElements) || sizes[0] == 0 ||
                          value.getStrides()[0] != 1)))
    return std::nullopt;
  size_t count = sizes.empty() ? 1 : sizes[0];
  uint64_t begin = uint64_t(value.getOffset()) * width;
  if (begin + count * width > bytes->size())
    return std::nullopt;
  Code list("", '[', {});
  for (size_t i = 0; i != count; ++i) {
    std::string element =
        spellElement(value.getDtype(), bytes->data() + begin + i * width);
    if (element.empty())
      return std::nullopt;
    list.items.emplace_back(element);
  }
  std::vector<Code> arguments = {sizes.empty() ? list.items[0] : list};
  // What torch would not take by itself.
  if (value.getDtype() != "float32" && value.getDtype() != "int64" &&
      value.getDtype() != "bool")
    arguments.push_back(
        makeKeyword("dtype", ("torch." + value.getDtype()).str()));
  StringRef device = storage.getDevice();
  if (device != "cpu")
    arguments.push_back(makeKeyword("device", quote(device)));
  return Code("torch.tensor", '(', std::move(arguments));
}

std::optional<int64_t> Emitter::getInteger(TensorAttr value) {
  StringRef dtype = value.getDtype();
  if (!value.getSizes().empty() || !dtype.contains("int"))
    return std::nullopt;
  std::optional<Code> code = spellTensor(value, 1);
  int64_t number;
  if (!code || StringRef(code->items[0].head).getAsInteger(10, number))
    return std::nullopt;
  return number;
}

std::string Emitter::addConstant(ModuleOp instance, TensorAttr value) {
  auto &own = constants[instance];
  for (auto &[name, known] : own)
    if (known == value)
      return name;
  std::string name;
  unsigned number = own.size();
  do
    name = "constant" + std::to_string(number++);
  while (symbols.lookup(instance.getMemberSymbol(name)));
  own.emplace_back(name, value);
  return name;
}

/// A tensor of the right size: the weights come later.
Code Emitter::makeTensor(TensorAttr tensor) {
  Code code("torch.empty", '(', {});
  if (tensor.getSizes().empty())
    code.items.emplace_back("()");
  for (int64_t size : tensor.getSizes())
    code.items.emplace_back(std::to_string(size));
  if (tensor.getDtype() != "float32")
    code.items.push_back(
        makeKeyword("dtype", ("torch." + tensor.getDtype()).str()));
  return code;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

FailureOr<std::string> Emitter::spellType(Type type, Operation *op) {
  if (isa<TensorType>(type))
    return std::string();
  auto inner = [&](Type part) -> FailureOr<std::string> {
    FailureOr<std::string> name = spellType(part, op);
    if (succeeded(name) && name->empty()) {
      name = std::string("Tensor");
      typing.insert("Tensor");
    }
    return name;
  };
  auto wrap = [&](StringRef name, ArrayRef<Type> parts) {
    std::string text;
    for (Type part : parts) {
      FailureOr<std::string> made = inner(part);
      if (failed(made))
        return made;
      text += (text.empty() ? "" : ", ") + *made;
    }
    typing.insert(name.str());
    return FailureOr<std::string>((name + "[" + text + "]").str());
  };
  if (isa<IntType>(type))
    return std::string("int");
  if (isa<FloatType, NumberType>(type))
    return std::string("float");
  if (isa<BoolType>(type))
    return std::string("bool");
  if (isa<StrType>(type))
    return std::string("str");
  if (isa<DeviceType>(type))
    return std::string("torch.device");
  if (auto list = dyn_cast<ListType>(type))
    return wrap("List", list.getElementType());
  if (auto optional = dyn_cast<OptionalType>(type))
    return wrap("Optional", optional.getElementType());
  if (auto dict = dyn_cast<DictType>(type))
    return wrap("Dict", {dict.getKeyType(), dict.getValueType()});
  if (auto tuple = dyn_cast<TupleType>(type);
      tuple && !tuple.getElementTypes().empty())
    return wrap("Tuple", tuple.getElementTypes());
  return op->emitError() << "the type " << type
                         << " cannot be written as Python; write the file as "
                            "TorchScript";
}

//===----------------------------------------------------------------------===//
// Forms
//===----------------------------------------------------------------------===//

LogicalResult Emitter::checkParts() {
  constexpr StringLiteral remedy = "; write the file as TorchScript";
  llvm::StringMap<TypedefOp> definitions;
  for (auto definition : model.getOps<TypedefOp>())
    definitions[definition.getName()] = definition;
  for (FunctionOpInterface function : model.getOps<FunctionOpInterface>()) {
    if (!code.contains(function))
      continue;
    TypedefOp used;
    auto check = [&](TypeRange types) {
      for (Type type : types)
        type.walk([&](ObjectType object) {
          if (TypedefOp definition = definitions.lookup(object.getSpelling()))
            used = definition;
        });
    };
    check(function.getArgumentTypes());
    function.walk([&](Operation *op) { check(op->getResultTypes()); });
    if (used)
      return used.emitError() << "the class '" << used.getName()
                              << "' cannot be written as Python" << remedy;
  }
  for (auto instance : model.getOps<ModuleOp>())
    if (instance.getHooksAttr() || instance.getPreHooksAttr())
      return instance.emitError()
             << "'" << displayPath(instance.getSymName())
             << "' has hooks, which cannot be written as Python" << remedy;
  return success();
}

/// Whether an instance runs its children one after the other and nothing else.
bool Emitter::isChain(ModuleOp instance) {
  for (MethodOp method : getMethods(instance)) {
    if (method.getNumArguments() != 1 || !getNeeds(method).empty())
      return false;
    Value value = method.getArgument(0);
    SmallVector<StringRef> called;
    for (Operation &op : method.getBody().front().without_terminator()) {
      auto call = dyn_cast<CallOp>(op);
      auto nop = dyn_cast<OutNopOp>(op);
      if ((!call && !nop) || op.getNumOperands() != 1 ||
          op.getNumResults() != 1 || op.getOperand(0) != value)
        return false;
      if (call && !getNeeds(symbols.lookup<MethodOp>(call.getCallee())).empty())
        return false;
      called.push_back(nop ? nop.getInstance()
                           : splitPath(call.getCallee()).first);
      value = op.getResult(0);
    }
    auto ret = cast<ReturnOp>(method.getBody().front().getTerminator());
    if (ret.getNumOperands() != 1 || ret.getOperand(0) != value)
      return false;
    // The children that are not called do nothing.
    size_t next = 0;
    for (Operation *member : getMembers(instance)) {
      auto child = dyn_cast<ModuleOp>(member);
      if (!child) {
        if (isa<AliasOp>(member))
          return false;
        continue;
      }
      if (next != called.size() && called[next] == child.getSymName()) {
        ++next;
        continue;
      }
      bool isIdentity = getMethods(child).empty() &&
                        child.getOriginalName() == "Identity" &&
                        getForm(child).kind == InstanceForm::Library;
      if (!isIdentity)
        return false;
    }
    if (next != called.size())
      return false;
    // A forward that hands its calls to other methods is no Sequential's.
    for (Operation &op : method.getBody().front().without_terminator())
      if (auto call = dyn_cast<CallOp>(op)) {
        auto callee = symbols.lookup<MethodOp>(call.getCallee());
        ModuleOp child = getInstance(callee.getInstance());
        if (callee.getMethodName() != "forward" &&
            getForm(child).kind == InstanceForm::Own)
          return false;
      }
  }
  return true;
}

std::optional<InstanceForm::Kind> Emitter::findContainer(ModuleOp instance) {
  StringRef name = instance.getOriginalName();
  SmallVector<Operation *> members = getMembers(instance);
  bool hasCode = !getMethods(instance).empty();
  for (Operation *member : members)
    if (auto attribute = dyn_cast<AttributeOp>(member))
      if (usedSlots.contains(attribute.getSymNameAttr()))
        return std::nullopt;
  bool isNumbered = hasNumberedChildren(members, /*others=*/false);
  if (isNumbered && hasCode && isChain(instance))
    return InstanceForm::Sequential;
  if (hasCode)
    return std::nullopt;
  // A Sequential that nobody runs as a whole, torch.jit.script could not.
  if (isNumbered && (name == "ModuleList" || name == "Sequential"))
    return InstanceForm::List;
  bool holdsModules = llvm::all_of(members, [](Operation *member) {
    return isa<ModuleOp, AttributeOp>(member);
  });
  if (name == "ModuleDict" && holdsModules)
    return InstanceForm::Dict;
  return std::nullopt;
}

/// All instances, those below others first.
static SmallVector<ModuleOp> getDeepestFirst(mlir::ModuleOp model) {
  SmallVector<ModuleOp> instances(model.getOps<ModuleOp>());
  llvm::stable_sort(instances, [](ModuleOp a, ModuleOp b) {
    auto getDepth = [](ModuleOp instance) {
      return instance.isRoot() ? 0 : 1 + instance.getSymName().count('.');
    };
    return getDepth(a) > getDepth(b);
  });
  return instances;
}

void Emitter::findForms() {
  for (ModuleOp instance : getDeepestFirst(model)) {
    InstanceForm form;
    ArrayRef<MethodOp> methods = getMethods(instance);
    if (instance.getStateAttr()) {
      // Made by code of its own.
    } else if (isOutNop(instance, nopName) && methods.size() == 1 &&
               isIdentity(symbols, methods.front())) {
      form.kind = InstanceForm::Nop;
      form.maker = Code("nop", '(', {});
    } else if (std::optional<Code> maker =
                   matchLibraryClass(*this, instance, "layers")) {
      form.kind = InstanceForm::Library;
      form.maker = std::move(*maker);
      if (BitsAttr width = bits.lookup(instance)) {
        if (width.getFeature() != 0)
          form.maker.items.push_back(
              makeKeyword("feature_bits", std::to_string(width.getFeature())));
        if (width.getWeight() != 0)
          form.maker.items.push_back(
              makeKeyword("weight_bits", std::to_string(width.getWeight())));
      }
    } else if (auto container = findContainer(instance)) {
      form.kind = *container;
    }
    forms.try_emplace(instance, std::move(form));
  }
}

//===----------------------------------------------------------------------===//
// Classes
//===----------------------------------------------------------------------===//

void Emitter::nameFunctions() {
  for (auto function : model.getOps<FunctionOp>()) {
    if (!code.contains(function))
      continue;
    std::string base = function.getQualifiedName().rsplit('.').second.str();
    if (!isIdentifier(base))
      base = "function";
    std::string name = base;
    for (unsigned i = 1; !taken.insert(name).second; ++i)
      name = base + "_" + std::to_string(i);
    functionNames[function] = name;
  }
}

StringRef Emitter::useFunction(FunctionOp function) {
  usedFunctions.insert(function);
  return functionNames.find(function)->second;
}

LogicalResult Emitter::writeFunctions(raw_ostream &os) {
  // What is written may call more of them.
  llvm::DenseMap<FunctionOp, std::string> texts;
  for (size_t i = 0; i != usedFunctions.size(); ++i) {
    FunctionOp function = usedFunctions[i];
    std::string text, key;
    if (failed(writeBody(*this, function, useFunction(function),
                         /*indent=*/0, text, key)))
      return failure();
    texts[function] = std::move(text);
  }
  // Callees need not come first: names are looked up when the code runs.
  for (auto function : model.getOps<FunctionOp>())
    if (auto it = texts.find(function); it != texts.end())
      os << "\n\n" << it->second;
  return success();
}

/// The class as its author knows it: without torch's prefix and numbers.
static std::string getQualifiedName(ModuleOp instance) {
  SmallVector<StringRef> parts;
  instance.getClassName().split(parts, '.');
  std::string name;
  for (StringRef part : parts)
    if (!part.starts_with("___torch_mangle_") && part != "__torch__")
      name += (name.empty() ? "" : ".") + part.str();
  return name;
}

LogicalResult Emitter::writeClasses(raw_ostream &os) {
  llvm::StringMap<std::string> known;
  // Children before their parents, in the order of the tree.
  SmallVector<std::pair<ModuleOp, bool>> stack = {
      {getInstance(FQATDialect::kRootName), false}};
  SmallVector<ModuleOp> order;
  while (!stack.empty()) {
    auto [instance, isOpen] = stack.pop_back_val();
    if (isOpen) {
      order.push_back(instance);
      continue;
    }
    stack.emplace_back(instance, true);
    SmallVector<Operation *> members = getMembers(instance);
    for (Operation *member : llvm::reverse(members))
      if (auto child = dyn_cast<ModuleOp>(member))
        stack.emplace_back(child, false);
  }
  for (ModuleOp instance : order) {
    if (getForm(instance).kind != InstanceForm::Own)
      continue;
    // The bodies tell which constants there are.
    std::string bodies, bodiesKey;
    for (MethodOp method : getMethods(instance)) {
      bodies += "\n";
      bodiesKey += "\n";
      // Not by its name: Python's copies would call it.
      std::string name = method.getMethodName() == kSetState
                             ? "set_state"
                             : unescapeName(method.getMethodName());
      if (failed(
              writeBody(*this, method, name, /*indent=*/4, bodies, bodiesKey)))
        return failure();
    }
    bool numbered = isNumbered(instance);
    Code signature("def __init__", '(', {"self"});
    std::string made;
    llvm::raw_string_ostream init(made);
    // Tensors that are no parameters and no buffers, but go where those go.
    SmallVector<std::string> moved;
    if (numbered) {
      signature.items.emplace_back("*layers");
      init << "        super().__init__(*layers)\n";
    } else {
      init << "        super().__init__()\n";
    }
    for (Operation *member : getMembers(instance)) {
      std::string name =
          unescapeName(getLastName(SymbolTable::getSymbolName(member)));
      bool isChild = isa<ModuleOp, AliasOp>(member);
      if (auto attribute = dyn_cast<AttributeOp>(member);
          attribute && (!usedSlots.contains(attribute.getSymNameAttr()) ||
                        name == "training"))
        continue;
      if (numbered && isChild && llvm::isDigit(name[0]))
        continue;
      if (instance.getStateAttr() && !isChild)
        continue;
      std::string argument = getArgumentName(instance, name);
      signature.items.emplace_back(argument);
      auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(member));
      if (isa<ParameterOp>(member) && tensor) {
        std::string value =
            StringRef(tensor.getDtype()).contains("float") ||
                    StringRef(tensor.getDtype()).contains("complex")
                ? "nn.Parameter(" + argument + ")"
                : "nn.Parameter(" + argument + ", requires_grad=False)";
        if (isMemberName(name))
          init << "        self." << name << " = " << value << '\n';
        else
          init << "        self.register_parameter(" << quote(name) << ", "
               << value << ")\n";
      } else if (isa<BufferOp>(member)) {
        init << "        self.register_buffer(" << quote(name) << ", "
             << argument << ")\n";
      } else if (isMemberName(name)) {
        if (isa<AttributeOp>(member) && tensor)
          moved.push_back(name);
        init << "        self." << name << " = " << argument << '\n';
      } else {
        init << "        self.add_module(" << quote(name) << ", " << argument
             << ")\n";
      }
    }
    for (auto &[name, value] : constants[instance]) {
      signature.items.emplace_back(name);
      init << "        self." << name << " = " << name << '\n';
      moved.push_back(name);
    }
    if (instance.getStateAttr()) {
      signature.items.emplace_back("state");
      init << "        self.set_state(state)\n";
    }
    // No buffers: those would be a part of the state_dict in TorchScript.
    if (!moved.empty()) {
      init << "\n    def _apply(self, fn, *args, **kwargs):\n"
              "        super()._apply(fn, *args, **kwargs)\n";
      for (const std::string &name : moved)
        init << "        self." << name << " = fn(self." << name << ")\n";
      init << "        return self\n";
    }
    std::string head;
    llvm::raw_string_ostream headStream(head);
    printCode(headStream, 4, "", signature, ":");
    std::string base = numbered ? "nn.Sequential" : "nn.Module";
    std::string original = getQualifiedName(instance);
    std::string identity =
        (Twine(base) + "\n" + original + "\n" + head + made + bodiesKey).str();
    std::string &name = known[identity];
    if (name.empty()) {
      std::string wish = instance.getOriginalName().str();
      if (!isIdentifier(wish))
        wish = "Module";
      name = wish;
      for (unsigned i = 1; !taken.insert(name).second; ++i)
        name = wish + "_" + std::to_string(i);
      os << "\n\nclass " << name << "(" << base << "):\n"
         << "    \"\"\"" << original << ".\"\"\"\n";
      // A constructor that only calls the base's is none.
      if (signature.items.size() > (numbered ? 2 : 1))
        os << '\n' << head << made;
      os << bodies;
    }
    classNames[instance] = name;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// build()
//===----------------------------------------------------------------------===//

std::optional<Code>
spellConstant(Attribute value,
              function_ref<std::optional<Code>(Attribute)> spellOther) {
  if (isa<UnitAttr>(value))
    return Code("None");
  if (auto flag = dyn_cast<BoolAttr>(value))
    return Code(flag.getValue() ? "True" : "False");
  if (auto number = dyn_cast<IntegerAttr>(value))
    return Code(std::to_string(number.getInt()));
  if (auto number = dyn_cast<FloatAttr>(value))
    return Code(spellFloat(number.getValueAsDouble()));
  if (auto string = dyn_cast<StringAttr>(value))
    return Code(quote(string.getValue()));
  if (auto dict = dyn_cast<DictAttr>(value)) {
    Code code("", '{', {});
    ArrayRef<Attribute> items = dict.getItems().getValue();
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      std::optional<Code> name = spellConstant(items[i], spellOther),
                          item = spellConstant(items[i + 1], spellOther);
      if (!name || !item)
        return std::nullopt;
      item->head = name->flat() + ": " + item->head;
      code.items.push_back(*item);
    }
    return code;
  }
  ArrayAttr elements = getListElements(value);
  bool isTuple = !elements;
  if (isTuple)
    elements = dyn_cast<ArrayAttr>(value);
  if (!elements)
    return spellOther ? spellOther(value) : std::nullopt;
  Code code("", isTuple ? '(' : '[', {});
  for (Attribute element : elements) {
    std::optional<Code> made = spellConstant(element, spellOther);
    if (!made)
      return std::nullopt;
    code.items.push_back(*made);
  }
  return code;
}

Code Emitter::addRecord(StringRef symbol, Attribute value) {
  std::string name = displayPath(symbol);
  constantRecords.emplace_back(name, value);
  return Code("constants[" + quote(name) + "]");
}

FailureOr<Code> Emitter::spellAttribute(Operation *slot) {
  Attribute value = getSlotValue(slot);
  if (auto tensor = dyn_cast_or_null<TensorAttr>(value))
    return addRecord(SymbolTable::getSymbolName(slot).getValue(), tensor);
  // Torch's packed weights of a layer, which are the layout of the processor
  // they run on: the file has weight and bias.
  if (auto object = dyn_cast_or_null<ObjectAttr>(value);
      object && StringRef(object.getClassName())
                    .ends_with("quantized.LinearPackedParamsBase")) {
    auto state = dyn_cast<ArrayAttr>(object.getState());
    bool isQuantized = state && !state.empty() && isa<BuildAttr>(state[0]);
    Code record = addRecord(SymbolTable::getSymbolName(slot).getValue(),
                            object.getState());
    record.head = "*" + record.head;
    return Code(isQuantized ? "torch.ops.quantized.linear_prepack"
                            : "torch.ops.quantized.linear_prepack_fp16",
                '(', {record});
  }
  if (value)
    if (std::optional<Code> code = spellConstant(value))
      return *code;
  return slot->emitError() << "the value of '"
                           << displayPath(
                                  SymbolTable::getSymbolName(slot).getValue())
                           << "' cannot be written as Python; write the file "
                              "as TorchScript";
}

FailureOr<Code> Emitter::makeInstance(ModuleOp instance, bool atTarget) {
  // What several attributes hold is made before.
  if (!atTarget && aliasTargets.contains(instance))
    return Code(targetNames.lookup(instance));
  const InstanceForm &form = getForm(instance);
  if (form.kind == InstanceForm::Nop || form.kind == InstanceForm::Library)
    return form.maker;
  Code code;
  code.open = '(';
  bool numbered = isNumbered(instance);
  switch (form.kind) {
  case InstanceForm::Sequential:
    code.head = "nn.Sequential";
    break;
  case InstanceForm::List:
    code.head = "nn.ModuleList";
    break;
  case InstanceForm::Dict:
    code.head = "nn.ModuleDict";
    break;
  default:
    code.head = classNames.lookup(instance);
  }
  std::vector<Code> &items = code.items;
  size_t numPlain = 0;
  for (Operation *member : getMembers(instance)) {
    std::string name =
        unescapeName(getLastName(SymbolTable::getSymbolName(member)));
    FailureOr<Code> made = failure();
    if (instance.getStateAttr() && !isa<ModuleOp, AliasOp>(member))
      continue;
    if (auto attribute = dyn_cast<AttributeOp>(member)) {
      if (form.kind != InstanceForm::Own ||
          !usedSlots.contains(attribute.getSymNameAttr()) || name == "training")
        continue;
      made = spellAttribute(attribute);
    } else if (isa<ParameterOp, BufferOp>(member)) {
      auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(member));
      if (tensor)
        made = makeTensor(tensor);
      else if (isa_and_nonnull<UnitAttr>(getSlotValue(member)))
        made = Code("None");
      else
        return member->emitError()
               << "the value of '"
               << displayPath(SymbolTable::getSymbolName(member).getValue())
               << "' cannot be written as Python; write the file as "
                  "TorchScript";
    } else {
      made = makeInstance(getInstance(SymbolTable::getSymbolName(member)));
    }
    if (failed(made))
      return failure();
    bool isPlain =
        form.kind == InstanceForm::Sequential ||
        form.kind == InstanceForm::List ||
        (numbered && isa<ModuleOp, AliasOp>(member) && llvm::isDigit(name[0]));
    if (form.kind == InstanceForm::Dict)
      made->head = quote(name) + ": " + made->head;
    else if (!isPlain)
      made = makeKeyword(getArgumentName(instance, name), *made);
    // Python takes those without names first.
    auto at = isPlain ? items.begin() + numPlain++ : items.end();
    items.insert(at, std::move(*made));
  }
  if (form.kind == InstanceForm::Own)
    for (auto &[name, value] : constants[instance]) {
      std::optional<Code> spelled = spellTensor(value, 16);
      if (!spelled)
        spelled = addRecord(joinPath(instance.getSymName(), name), value);
      items.push_back(makeKeyword(name, *spelled));
    }
  if (Attribute state = instance.getStateAttr())
    items.push_back(
        makeKeyword("state", addRecord(instance.getSymName(), state)));
  if (form.kind == InstanceForm::List || form.kind == InstanceForm::Dict) {
    if (items.empty())
      return code;
    // The bracket inside is the one to break at.
    Code inner("", form.kind == InstanceForm::List ? '[' : '{',
               std::move(items));
    inner.isBroken = true;
    Code outer(code.head, '(', {std::move(inner)});
    outer.isBroken = true;
    return outer;
  }
  code.isBroken = !items.empty();
  return code;
}

LogicalResult Emitter::findGroups() {
  for (auto method : model.getOps<MethodOp>())
    method.getBody().walk([&](OperatorOp op) {
      if (auto width = op->getAttrOfType<BitsAttr>(FQATDialect::kBitsAttr))
        bits[getInstance(method.getInstance())] = width;
    });
  FailureOr<Trace> trace = Trace::compute(model, symbols, anchors);
  if (failed(trace))
    return failure();
  Regions regions(*trace);
  auto getPath = [&](unsigned event) {
    const Event &e = trace->getEvents()[event];
    return trace->getFrames()[e.frame].getInstance().getValue();
  };
  auto show = [](StringRef path) {
    return path == FQATDialect::kRootName ? std::string() : path.str();
  };
  for (auto [i, event] : llvm::enumerate(trace->getEvents())) {
    if (event.kind != Event::Anchor)
      continue;
    Group group;
    group.conv = show(getPath(i));
    for (unsigned member : regions.getEpilogue(i)) {
      auto op = dyn_cast<OperatorOp>(trace->getEvents()[member].op);
      bool isNorm = op && op.getShortName().contains("batch_norm");
      (isNorm ? group.norm : group.activation) = show(getPath(member));
    }
    groups.push_back(std::move(group));
  }
  return success();
}

void Emitter::collectState(
    ModuleOp instance, const std::string &prefix,
    std::vector<std::pair<std::string, Attribute>> &state) {
  SmallVector<Operation *> members = getMembers(instance);
  auto add = [&](Operation *member) {
    Attribute value = getSlotValue(member);
    if (isa_and_nonnull<TensorAttr>(value))
      state.emplace_back(prefix + unescapeName(getLastName(
                                      SymbolTable::getSymbolName(member))),
                         value);
  };
  for (Operation *member : members)
    if (isa<ParameterOp>(member))
      add(member);
  for (Operation *member : members)
    if (isa<BufferOp>(member))
      add(member);
  for (Operation *member : members)
    if (isa<ModuleOp, AliasOp>(member)) {
      StringRef symbol = SymbolTable::getSymbolName(member);
      collectState(getInstance(symbol),
                   prefix + unescapeName(getLastName(symbol)) + ".", state);
    }
}

LogicalResult Emitter::writeBuild(raw_ostream &os) {
  ModuleOp root = getInstance(FQATDialect::kRootName);
  std::string body;
  llvm::raw_string_ostream lines(body);
  for (ModuleOp instance : getDeepestFirst(model)) {
    if (!aliasTargets.contains(instance))
      continue;
    FailureOr<Code> made = makeInstance(instance, /*atTarget=*/true);
    if (failed(made))
      return failure();
    std::string name = "shared" + std::to_string(targetNames.size());
    while (taken.contains(name))
      name += '_';
    printCode(lines, 4, name + " = ", *made);
    targetNames[instance] = name;
  }
  FailureOr<Code> made = makeInstance(root);
  if (failed(made))
    return failure();
  printCode(lines, 4, "model = ", *made);
  // One tensor under several names.
  llvm::DenseMap<int64_t, std::string> tied;
  auto getPlace = [&](Operation *slot) {
    return reach("model", FQATDialect::kRootName,
                 SymbolTable::getSymbolName(slot));
  };
  for (Operation &op : *model.getBody()) {
    if (!isa<ParameterOp, BufferOp>(op))
      continue;
    auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(&op));
    if (!tensor || tensor.getIdentity() == 0)
      continue;
    auto [it, isNew] = tied.try_emplace(tensor.getIdentity(), getPlace(&op));
    if (!isNew)
      lines << "    " << getPlace(&op) << " = " << it->second << '\n';
  }
  bool isTraining = getMode(root).value_or(false);
  lines << "    model.train(" << (isTraining ? "True" : "False") << ")\n";
  for (auto instance : model.getOps<ModuleOp>())
    if (getMode(instance).value_or(isTraining) != isTraining)
      lines << "    "
            << reach("model", FQATDialect::kRootName, instance.getSymNameAttr())
            << ".training = " << (isTraining ? "False" : "True") << '\n';

  os << "\n\ndef build(ops=None, nop=OutNop, weights=True, device=None):\n"
        "    \"\"\"Make the model.\n\n"
        "    Args:\n"
        "        ops: What stands in for classes of torch.nn, by their names:\n"
        "            {\"Conv2d\": kit.Conv2D}. It is called as the class would "
        "be, with\n"
        "            feature_bits and weight_bits besides where they are "
        "known.\n"
        "        nop: Makes an out_nop.\n"
        "        weights: Whether the weights are loaded.\n"
        "        device: Where the tensors go; None for where they were.\n"
        "    \"\"\"\n";
  if (StringRef(body).contains("layers."))
    os << "    layers = Layers(ops)\n";
  if (!constantRecords.empty())
    os << "    constants = read(\"constants.pt\", device)\n";
  os << body;
  os << "    model.fqat_groups = list(GROUPS)\n"
        "    if weights:\n"
        "        load(model, read(\"weights.pt\", device))\n"
        "    if device is not None:\n"
        "        model.to(device)\n"
        "    return model\n";
  return success();
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

namespace {
/// A function that the code may call.
struct HelperText {
  Helper helper;
  StringLiteral name, text;
};
} // namespace

static constexpr HelperText helperTexts[] = {
    {Helper::ToInt, "to_int", R"PY(

def to_int(value):
    # type: (torch.Tensor) -> int
    """Return the number that a tensor holds."""
    return int(value)
)PY"},
    {Helper::ToFloat, "to_float", R"PY(

def to_float(value):
    # type: (torch.Tensor) -> float
    """Return the number that a tensor holds."""
    return float(value)
)PY"},
    {Helper::ToTensor, "to_tensor", R"PY(

def to_tensor(value):
    # type: (int) -> torch.Tensor
    """Return a tensor without dimensions."""
    return torch.tensor(value)
)PY"},
    {Helper::RangeLength, "range_length", R"PY(

def range_length(low, high, step):
    # type: (int, int, int) -> int
    """Return how many numbers a range has."""
    if step > 0:
        return max(0, (high - low + step - 1) // step)
    return max(0, (low - high - step - 1) // -step)
)PY"},
    {Helper::AtLeast, "at_least", R"PY(

def at_least(value, least):
    # type: (int, int) -> int
    """Return the larger one."""
    return max(value, least)
)PY"},
};

static constexpr StringLiteral commonText = R"PY(

class OutNop(nn.Module):
    """Marks an output for the quantiser; does nothing."""

    def forward(self, x):
        """Return the argument."""
        return x


class Layers:
    """The classes of torch.nn, or what stands in for them."""

    def __init__(self, ops):
        self.ops = ops or {}

    def __getattr__(self, name):
        if name in self.ops:
            return self.ops[name]
        make = getattr(nn, name)

        def layer(*args, feature_bits=None, weight_bits=None, **kwargs):
            return make(*args, **kwargs)

        return layer


def read(name, device):
    """Read a file of tensors that lies beside this one."""
    folder = os.path.dirname(os.path.abspath(__file__))
    return torch.load(os.path.join(folder, name), map_location=device)


def load(model, state):
    """Give a model the tensors of a state_dict, as they are."""
    own = model.state_dict(keep_vars=True)
    missing = [name for name in state if name not in own]
    if missing:
        raise KeyError("the model has no " + ", ".join(missing))
    for name, tensor in state.items():
        own[name].data = tensor.detach()
        own[name].requires_grad_(tensor.requires_grad)
)PY";

FailureOr<PythonModel> Emitter::run(StringRef input) {
  FailureOr<Threading> threads = Threading::compute(model, symbols, aliases);
  if (failed(threads))
    return failure();
  threading = std::move(*threads);
  if (failed(checkParts()) || failed(findGroups()))
    return failure();
  findForms();
  std::string functionText, classes, build;
  llvm::raw_string_ostream functionStream(functionText), classStream(classes),
      buildStream(build);
  // Before any body has names of its own.
  nameFunctions();
  if (failed(writeClasses(classStream)) ||
      failed(writeFunctions(functionStream)) || failed(writeBuild(buildStream)))
    return failure();

  PythonModel result;
  llvm::raw_string_ostream os(result.source);
  std::string from;
  for (char c : input)
    from += c == '"' || c == '\\' ? std::string({'\\', c}) : std::string(1, c);
  os << "\"\"\"Written by fqat-opt from " << from << ".\"\"\"\n\n";
  std::set<std::string> names(typing);
  bool hasTensor = names.erase("Tensor") != 0;
  // What TorchScript of old, and what it was made of, spells in its own way.
  if (!names.empty() || helpers.count(Helper::Format) != 0)
    os << "# ruff: noqa: B006, RUF100, UP006, UP032, UP035, UP045\n";
  if (helpers.count(Helper::Math) != 0)
    os << "import math\n";
  os << "import os\n";
  if (helpers.count(Helper::Warnings) != 0)
    os << "import warnings\n";
  if (!names.empty())
    os << "from typing import " << llvm::join(names, ", ") << '\n';
  os << "\nimport torch\n";
  if (helpers.count(Helper::Functional) != 0)
    os << "import torch.nn.functional as F\n";
  if (hasTensor)
    os << "from torch import Tensor, nn\n";
  else
    os << "from torch import nn\n";
  bool hasHelpers = llvm::any_of(helperTexts, [&](const HelperText &helper) {
    return helpers.count(helper.helper) != 0;
  });
  if (hasHelpers)
    os << "\ntry:\n"
          "    from torch import fx\n"
          "except ImportError:  # torch before 1.8\n"
          "    fx = None\n";
  os << "\n# What the kit fuses: a layer, its batch norm and its "
        "activation.\n";
  Code table("", '[', {});
  for (const Group &group : groups) {
    Code row("", '(', {});
    row.items.emplace_back(quote(group.conv));
    for (const std::string *part : {&group.norm, &group.activation})
      row.items.emplace_back(part->empty() ? "None" : quote(*part));
    table.items.push_back(std::move(row));
  }
  table.isBroken = !groups.empty();
  printCode(os, 0, "GROUPS = ", table);
  os << commonText;
  std::string wraps;
  for (const HelperText &helper : helperTexts)
    if (helpers.count(helper.helper) != 0) {
      os << helper.text;
      wraps += "    fx.wrap(" + quote(helper.name) + ")\n";
    }
  if (hasHelpers)
    os << "\n\nif fx is not None:\n"
          "    # torch.fx must not look into these.\n"
       << wraps;
  os << functionText << classes << build;
  collectState(getInstance(FQATDialect::kRootName), "", result.state);
  result.constants = std::move(constantRecords);
  return result;
}

FailureOr<PythonModel> emitPython(mlir::ModuleOp model,
                                  const AnchorSet &anchors, StringRef nopName,
                                  StringRef input, SchemaLookup getSchema) {
  return Emitter(model, anchors, nopName, getSchema).run(input);
}

} // namespace fqat
