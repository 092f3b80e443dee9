//===- Operators.cpp - TorchScript's operators in Python -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An operator is what Python has for it: a sign, a word or an indexing, a
// function of torch.nn.functional, a method of the tensor, a function of torch.
// What is none of these is called by its own name, through torch.ops.
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Operators.h"
#include "BodyWriter.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Dtypes.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace fqat {

//===----------------------------------------------------------------------===//
// Numbers made of sizes
//
// Tracing makes tensors of sizes, computes with them and makes numbers of them
// again. Python's numbers do the same, can be read, and torch.fx can follow
// them. The largest float32 up to which all integers are exact, 2^24, is beyond
// any size that is divided.
//===----------------------------------------------------------------------===//

/// Whether an operand is a number that Python can take for a tensor.
static std::optional<int64_t> getIntegerOperand(Emitter &emitter, Value value) {
  Attribute constant = getConstant(value);
  if (auto tensor = dyn_cast_or_null<TensorAttr>(constant))
    return emitter.getInteger(tensor);
  if (auto number = dyn_cast_or_null<IntegerAttr>(constant);
      number && !isa<BoolAttr>(number))
    return number.getInt();
  return std::nullopt;
}

static bool isOne(Emitter &emitter, OperatorOp op, unsigned index) {
  return op.getNumOperands() <= index ||
         getIntegerOperand(emitter, op.getOperand(index)) == 1;
}

/// The operands of an operator that are numbers if its result is one; nothing
/// if it is no arithmetic.
static std::optional<unsigned> getNumNumbers(Emitter &emitter, OperatorOp op) {
  StringRef name = op.getName();
  if (op->getNumResults() != 1 || !name.consume_front("aten::") ||
      op.hasWrites())
    return std::nullopt;
  if ((name == "add" || name == "sub") && isOne(emitter, op, 2))
    return 2;
  if ((name == "mul" || name == "floor_divide") && op.getNumOperands() == 2)
    return 2;
  // Its result is only looked at by what rounds it.
  if (name == "div" && op.getNumOperands() == 2 &&
      !op.getResult(0).use_empty() &&
      llvm::all_of(op.getResult(0).getUsers(), [](Operation *user) {
        auto rounding = dyn_cast<OperatorOp>(user);
        return rounding && (rounding.getName() == "aten::ceil" ||
                            rounding.getName() == "aten::floor");
      }))
    return 2;
  if (name == "ceil" || name == "floor") {
    auto division = op.getOperand(0).getDefiningOp<OperatorOp>();
    if (division && division.getName() == "aten::div")
      return 1;
  }
  if (name == "clamp" && op.getNumOperands() == 3 &&
      isa_and_nonnull<UnitAttr>(getConstant(op.getOperand(2))) &&
      getIntegerOperand(emitter, op.getOperand(1)))
    return 1;
  return std::nullopt;
}

static bool readsNumber(OperatorOp op) {
  StringRef name = op.getName();
  return (name == "aten::Int" || name == "aten::ScalarImplicit" ||
          name == "aten::IntImplicit" || name == "aten::item") &&
         op.getNumOperands() == 1;
}

void BodyWriter::findNumbers() {
  SmallVector<OperatorOp> candidates;
  function.getFunctionBody().walk([&](OperatorOp op) {
    bool isNumber = op.getName() == "prim::NumToTensor" &&
                    isa<IntType>(op.getOperand(0).getType());
    if (isNumber || getNumNumbers(emitter, op)) {
      candidates.push_back(op);
      numbers.insert(op.getResult(0));
    }
  });
  // Whoever is none takes those that it reads, and those that read it, along.
  for (bool changed = true; changed;) {
    changed = false;
    for (OperatorOp op : candidates) {
      Value value = op.getResult(0);
      if (!numbers.contains(value))
        continue;
      bool isMade = true, hasNumber = op.getName() == "prim::NumToTensor";
      if (!hasNumber)
        for (unsigned i = 0; i != *getNumNumbers(emitter, op); ++i) {
          bool isNumber = numbers.contains(op.getOperand(i));
          hasNumber |= isNumber;
          isMade &= isNumber || getIntegerOperand(emitter, op.getOperand(i));
        }
      bool isRead = llvm::all_of(value.getUsers(), [&](Operation *user) {
        auto reader = dyn_cast<OperatorOp>(user);
        return reader &&
               (readsNumber(reader) || (reader->getNumResults() == 1 &&
                                        numbers.contains(reader.getResult(0))));
      });
      if (isMade && hasNumber && isRead)
        continue;
      numbers.erase(value);
      changed = true;
    }
  }
}

std::optional<Code> BodyWriter::spellNumber(OperatorOp op) {
  if (readsNumber(op) && numbers.contains(op.getOperand(0)))
    return use(op.getOperand(0));
  if (op->getNumResults() != 1 || !numbers.contains(op.getResult(0)))
    return std::nullopt;
  auto spell = [&](OperatorOp reader, unsigned index) {
    Value value = reader.getOperand(index);
    if (numbers.contains(value))
      return use(value).atom();
    return std::to_string(*getIntegerOperand(emitter, value));
  };
  StringRef name = op.getName();
  if (name == "prim::NumToTensor")
    return use(op.getOperand(0));
  if (name == "aten::clamp") {
    emitter.use(Helper::AtLeast);
    return Code("at_least", '(', {spell(op, 0), spell(op, 1)});
  }
  // Written where it is rounded.
  if (name == "aten::div")
    return Code("");
  if (name == "aten::ceil" || name == "aten::floor") {
    auto division = op.getOperand(0).getDefiningOp<OperatorOp>();
    std::string above = spell(division, 0), below = spell(division, 1);
    return makeCompound(name == "aten::ceil"
                            ? "-(-" + above + " // " + below + ")"
                            : above + " // " + below);
  }
  StringRef sign = llvm::StringSwitch<StringRef>(name)
                       .Case("aten::add", " + ")
                       .Case("aten::sub", " - ")
                       .Case("aten::mul", " * ")
                       .Default(" // ");
  std::string left = spell(op, 0);
  return makeCompound(left + sign.str() + spell(op, 1));
}

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

/// The device on which a body works: that of a tensor that it is given, or that
/// its module holds. Nothing where there is none.
std::optional<Code> BodyWriter::spellOwnDevice() {
  for (Value argument : function.getArguments())
    if (isa<TensorType>(argument.getType()))
      return Code(values.lookup(argument).head + ".device");
  if (method)
    for (Operation *member :
         emitter.getMembers(emitter.getInstance(method.getInstance())))
      if (isa<ParameterOp, BufferOp>(member) &&
          isa_and_nonnull<TensorAttr>(getSlotValue(member)))
        return Code(reach(SymbolTable::getSymbolName(member)) + ".device");
  // A list may be empty, but for one that is taken apart.
  for (Value argument : function.getArguments())
    for (Operation *user : argument.getUsers())
      if (isa<UnpackOp>(user) && user->getNumResults() != 0 &&
          isa<TensorType>(user->getResult(0).getType()))
        return Code(values.lookup(argument).head + "[0].device");
  return std::nullopt;
}

FailureOr<Code> BodyWriter::spellValue(Attribute value, Operation *op) {
  std::optional<Code> spelled =
      spellConstant(value, [&](Attribute other) -> std::optional<Code> {
        auto device = dyn_cast<DeviceAttr>(other);
        if (device && emitter.isOwnDevice(device))
          if (std::optional<Code> code = spellOwnDevice())
            return code;
        if (device)
          return Code("torch.device", '(', {quote(device.getSpelling())});
        if (auto number = dyn_cast<ComplexAttr>(other))
          return Code("complex", '(',
                      {spellFloat(number.getRealValue()),
                       spellFloat(number.getImagValue())});
        auto tensor = dyn_cast<TensorAttr>(other);
        if (!tensor)
          return std::nullopt;
        if (tensor.getSizes().empty())
          if (std::optional<Code> code = emitter.spellTensor(tensor, 1))
            return code;
        if (!method)
          return emitter.spellTensor(tensor, 64);
        ModuleOp instance = emitter.getInstance(method.getInstance());
        return Code("self." + emitter.addConstant(instance, tensor));
      });
  if (spelled)
    return *spelled;
  return op->emitError() << "the constant " << value
                         << " cannot be written as Python; write the file as "
                            "TorchScript";
}

/// The operand that says whether an operator trains.
static std::optional<unsigned> getModeOperand(OperatorOp op) {
  if (std::optional<unsigned> operand = getTrainingOperand(op))
    return operand;
  StringRef name = op.getName();
  if (name == "aten::rrelu" || name == "aten::rrelu_")
    return 3;
  // Behind the dropout between the layers; a packed sequence has its sizes.
  if (name == "aten::lstm" || name == "aten::gru" || name == "aten::rnn_tanh" ||
      name == "aten::rnn_relu")
    return op.getOverload() == "data" ? 7 : 6;
  return std::nullopt;
}

Code BodyWriter::spellTraining(OperatorOp op, unsigned index) {
  // What was traced in one mode follows the mode from now on.
  auto flag = dyn_cast_or_null<BoolAttr>(getConstant(op.getOperand(index)));
  // A norm that tracks nothing takes the statistics of each batch in any mode.
  constexpr unsigned runningMean = 3;
  bool isUntracked =
      op.getName().ends_with("_norm") && op.getNumOperands() > runningMean &&
      isa_and_nonnull<UnitAttr>(getConstant(op.getOperand(runningMean)));
  if (method && flag && !isUntracked) {
    ModuleOp instance = emitter.getInstance(method.getInstance());
    if (emitter.getMode(instance) == flag.getValue())
      return "self.training";
  }
  return use(op.getOperand(index));
}

Code BodyWriter::spellOperand(OperatorOp op, unsigned index,
                              const ArgumentSchema *schema) {
  Value value = op.getOperand(index);
  if (getModeOperand(op) == index)
    return spellTraining(op, index);
  auto number = dyn_cast_or_null<IntegerAttr>(getConstant(value));
  if (schema && number && !isa<BoolAttr>(number)) {
    if (schema->kind == ArgumentSchema::Dtype)
      if (StringRef name = getDtypeName(number.getInt()); !name.empty())
        return ("torch." + name).str();
    if (schema->kind == ArgumentSchema::Layout && number.getInt() == 0)
      return "torch.strided";
    if (schema->kind == ArgumentSchema::MemoryFormat) {
      static constexpr StringLiteral formats[] = {
          "contiguous_format", "preserve_format", "channels_last",
          "channels_last_3d"};
      if (number.getInt() >= 0 && number.getInt() < int64_t(std::size(formats)))
        return ("torch." + formats[number.getInt()]).str();
    }
  }
  return use(value);
}

/// The arguments from `first` on, without those at the end that are what they
/// are anyway.
std::vector<Code> BodyWriter::spellArguments(OperatorOp op, unsigned first) {
  const std::vector<ArgumentSchema> *schema =
      emitter.getSchemaLookup()(op.getName(), op.getOverload().value_or(""));
  if (schema && schema->size() != op.getNumOperands())
    schema = nullptr;
  std::vector<Code> arguments;
  std::vector<Code> named;
  size_t numNeeded = 0;
  for (unsigned i = first; i != op.getNumOperands(); ++i) {
    const ArgumentSchema *argument = schema ? &(*schema)[i] : nullptr;
    Code code = spellOperand(op, i, argument);
    bool isDefault = argument && !argument->defaultValue.empty() &&
                     code.flat() == argument->defaultValue;
    if (argument && argument->isKeywordOnly) {
      // Tracing says False where nobody asked for it.
      if (!isDefault && argument->name != "pin_memory")
        named.push_back(makeKeyword(argument->name, code));
      continue;
    }
    arguments.push_back(code);
    if (!isDefault)
      numNeeded = arguments.size();
  }
  arguments.resize(numNeeded);
  llvm::append_range(arguments, named);
  return arguments;
}

/// What Python has signs and words for.
std::optional<Code> BodyWriter::spellSyntax(OperatorOp op) {
  StringRef name = op.getName();
  unsigned count = op.getNumOperands();
  if (handsOn(name) || name == "aten::lift_fresh" || name == "aten::lift" ||
      name == "prim::data")
    return use(op.getOperand(0));
  if (!name.consume_front("aten::")) {
    if (name == "prim::device" || name == "prim::dtype" ||
        name == "prim::is_cuda" || name == "prim::requires_grad" ||
        name == "prim::layout")
      return Code(useObject(op.getOperand(0)) + "." + name.drop_front(6).str());
    if (name == "prim::TupleIndex")
      return Code(useObject(op.getOperand(0)), '[', {use(op.getOperand(1))});
    if (name == "prim::min" || name == "prim::max" || name == "prim::abs") {
      std::vector<Code> arguments;
      for (Value operand : op.getOperands())
        arguments.push_back(use(operand));
      return Code(name.drop_front(6).str(), '(', std::move(arguments));
    }
    if (name == "prim::NumToTensor") {
      emitter.use(Helper::ToTensor);
      return Code("to_tensor", '(', {use(op.getOperand(0))});
    }
    return std::nullopt;
  }
  StringRef sign = llvm::StringSwitch<StringRef>(name)
                       .Cases({"add", "concat"}, " + ")
                       .Case("sub", " - ")
                       .Case("mul", " * ")
                       .Case("div", " / ")
                       .Cases({"floordiv", "floor_divide"}, " // ")
                       .Case("remainder", " % ")
                       .Case("pow", " ** ")
                       .Case("matmul", " @ ")
                       .Cases({"eq"}, " == ")
                       .Case("ne", " != ")
                       .Case("lt", " < ")
                       .Case("le", " <= ")
                       .Case("gt", " > ")
                       .Case("ge", " >= ")
                       .Cases({"__and__", "bitwise_and"}, " & ")
                       .Cases({"__or__", "bitwise_or"}, " | ")
                       .Cases({"__xor__", "bitwise_xor"}, " ^ ")
                       .Case("__is__", " is ")
                       .Case("__isnot__", " is not ")
                       .Default("");
  bool isPlain =
      count == 2 ||
      (count == 3 && (name == "add" || name == "sub") && isOne(emitter, op, 2));
  bool isScalar =
      count != 0 && llvm::all_of(op.getOperandTypes(), [](Type type) {
        return isa<IntType, FloatType, NumberType>(type);
      });
  // TorchScript's power of two ints is a float, Python's an int.
  bool isFloatPower = name == "pow" && isScalar && op->getNumResults() == 1 &&
                      isa<FloatType>(op.getResult(0).getType());
  if (!sign.empty() && isPlain && !op.hasWrites() && !isFloatPower) {
    // Of bools these are words.
    if (isa<BoolType>(op.getOperand(0).getType())) {
      if (name == "__and__")
        sign = " and ";
      else if (name == "__or__")
        sign = " or ";
    }
    std::string first = useObject(op.getOperand(0));
    if (name == "pow") {
      // The sign of a number binds less tightly than a power.
      if (StringRef(first).starts_with("-"))
        first = "(" + first + ")";
      std::string second = useObject(op.getOperand(1));
      auto isSimple = [](StringRef text) {
        text.consume_front("-");
        return llvm::all_of(text, [](char c) {
          return llvm::isAlnum(c) || c == '_' || c == '.';
        });
      };
      bool isTight = isSimple(first) && isSimple(second);
      return makeCompound(first + (isTight ? "**" : " ** ") + second);
    }
    return makeCompound(first + sign + useObject(op.getOperand(1)));
  }
  if (name == "rsub" && count == 3 && isOne(emitter, op, 2)) {
    std::string second = useObject(op.getOperand(1));
    return makeCompound(second + " - " + useObject(op.getOperand(0)));
  }
  if (name == "neg" && count == 1)
    return makeCompound("-" + useObject(op.getOperand(0)));
  if (name == "bitwise_not" && count == 1)
    return makeCompound("~" + useObject(op.getOperand(0)));
  if (name == "__not__")
    return makeCompound("not " + useObject(op.getOperand(0)));
  if (name == "__contains__") {
    std::string container = useObject(op.getOperand(0));
    return makeCompound(useObject(op.getOperand(1)) + " in " + container);
  }
  if (name == "__getitem__" && count == 2) {
    std::string object = useObject(op.getOperand(0));
    return Code(object, '[', {use(op.getOperand(1))});
  }
  if (name == "__range_length" && count == 3) {
    emitter.use(Helper::RangeLength);
    return Code(
        "range_length", '(',
        {use(op.getOperand(0)), use(op.getOperand(1)), use(op.getOperand(2))});
  }
  if (name == "__derive_index" && count == 3) {
    std::string index = useObject(op.getOperand(0)),
                low = useObject(op.getOperand(1));
    return makeCompound(low + " + " + index + " * " +
                        useObject(op.getOperand(2)));
  }
  static const llvm::StringSet<> mathFunctions = makeSet(
      "acos asin atan atan2 ceil cos cosh exp erf floor gamma log log10 "
      "log1p log2 pow sin sinh sqrt tan tanh");
  // So is what it rounds.
  if (name == "round" && isScalar && count == 1)
    return Code("float", '(', {Code("round", '(', {use(op.getOperand(0))})});
  if (isScalar && mathFunctions.contains(name)) {
    emitter.use(Helper::Math);
    std::vector<Code> arguments;
    for (Value operand : op.getOperands())
      arguments.push_back(use(operand));
    return Code("math." + name.str(), '(', std::move(arguments));
  }
  if (name == "warn" && count == 2) {
    emitter.use(Helper::Warnings);
    return Code("warnings.warn", '(', {use(op.getOperand(0))});
  }
  if (name == "len" || name == "ord" || name == "chr" || name == "str")
    return Code(name.str(), '(', {use(op.getOperand(0))});
  bool isTensor = count > 0 && isa<TensorType>(op.getOperand(0).getType());
  if (count == 1 &&
      (name == "Int" || name == "IntImplicit" || name == "Float" ||
       name == "FloatImplicit" || name == "Bool")) {
    StringRef type = name.starts_with("Int") ? "int"
                     : name == "Bool"        ? "bool"
                                             : "float";
    if (!isTensor || type == "bool")
      return Code(type.str(), '(', {use(op.getOperand(0))});
    emitter.use(type == "int" ? Helper::ToInt : Helper::ToFloat);
    return Code("to_" + type.str(), '(', {use(op.getOperand(0))});
  }
  if (name == "ScalarImplicit")
    return Code(useObject(op.getOperand(0)) + ".item", '(', {});
  if (name == "format") {
    emitter.use(Helper::Format);
    std::vector<Code> arguments;
    for (Value operand : op.getOperands().drop_front())
      arguments.push_back(use(operand));
    return Code(useObject(op.getOperand(0)) + ".format", '(',
                std::move(arguments));
  }
  return std::nullopt;
}

/// `x[:, 1:3]`
std::optional<Code> BodyWriter::spellIndexing(OperatorOp op) {
  StringRef name = op.getName();
  auto dim = op.getNumOperands() > 1
                 ? dyn_cast_or_null<IntegerAttr>(getConstant(op.getOperand(1)))
                 : IntegerAttr();
  bool isSlice = name == "aten::slice" && op.getNumOperands() == 5;
  bool isSelect = name == "aten::select" && op.getNumOperands() == 3;
  if (name == "aten::index" && op.getNumOperands() == 2) {
    // Masks and lists of places, with None for all.
    std::string object = useObject(op.getOperand(0));
    Code list = use(op.getOperand(1));
    if (list.open != '[')
      return Code("torch.ops.aten.index", '(', {object, list});
    for (Code &item : list.items)
      if (item.head == "None" && !item.open)
        item = ":";
    return Code(object, '[', std::move(list.items));
  }
  if (name == "aten::slice" && op.getNumOperands() == 4 &&
      isa<ListType>(op.getOperand(0).getType())) {
    std::string list = useObject(op.getOperand(0));
    std::string place;
    for (unsigned i : {1u, 2u, 3u}) {
      Attribute bound = getConstant(op.getOperand(i));
      place += i == 1 ? "" : ":";
      if (!isa_and_nonnull<UnitAttr>(bound))
        place += useObject(op.getOperand(i));
    }
    return Code(list, '[', {place});
  }
  constexpr int64_t mostColons = 4;
  if ((!isSlice && !isSelect) || !dim ||
      !isa<TensorType>(op.getOperand(0).getType()) ||
      std::abs(dim.getInt()) > mostColons)
    return std::nullopt;
  std::string object = useObject(op.getOperand(0));
  std::string place;
  if (isSelect) {
    place = use(op.getOperand(2)).flat();
  } else {
    auto bound = [&](unsigned index, int64_t usual) {
      Attribute constant = getConstant(op.getOperand(index));
      auto number = dyn_cast_or_null<IntegerAttr>(constant);
      if (isa_and_nonnull<UnitAttr>(constant) ||
          (number && number.getInt() == usual))
        return std::string();
      return use(op.getOperand(index)).flat();
    };
    std::string begin = bound(2, 0);
    std::string end = bound(3, INT64_MAX), step = bound(4, 1);
    auto isSimple = [](StringRef text) {
      if (text.consume_front("-"))
        return llvm::all_of(text, llvm::isDigit);
      return llvm::all_of(text,
                          [](char c) { return llvm::isAlnum(c) || c == '_'; });
    };
    // Spaces around the colons where a bound is an expression.
    StringRef space =
        isSimple(begin) && isSimple(end) && isSimple(step) ? "" : " ";
    auto join = [&](const std::string &bound) {
      place += ":";
      if (!bound.empty())
        place += space.str() + bound;
    };
    place = begin + (begin.empty() ? "" : space).str();
    join(end);
    if (!step.empty()) {
      place += (end.empty() ? "" : space).str();
      join(step);
    }
  }
  std::vector<Code> items;
  if (dim.getInt() >= 0) {
    items.assign(dim.getInt(), ":");
    items.emplace_back(place);
  } else {
    items = {"...", place};
    items.insert(items.end(), -dim.getInt() - 1, ":");
  }
  return Code(object, '[', std::move(items));
}

/// What torch.nn.functional has, with arguments of its own order.
std::optional<Code> BodyWriter::spellFunctional(OperatorOp op) {
  StringRef name = op.getName();
  if (!name.consume_front("aten::"))
    return std::nullopt;
  unsigned count = op.getNumOperands();
  auto get = [&](unsigned index) { return getConstant(op.getOperand(index)); };
  auto isNone = [&](unsigned index) {
    return isa_and_nonnull<UnitAttr>(get(index));
  };
  // In the order of the operator; `names` are those that Python names.
  auto call = [&](StringRef function, ArrayRef<unsigned> order,
                  ArrayRef<StringRef> keywords = {}) {
    std::vector<Code> arguments;
    size_t numPlain = order.size() - keywords.size();
    for (auto [i, index] : llvm::enumerate(order)) {
      Code code = spellOperand(op, index, nullptr);
      arguments.push_back(
          i < numPlain ? code : makeKeyword(keywords[i - numPlain], code));
    }
    emitter.use(Helper::Functional);
    return Code(("F." + function).str(), '(', std::move(arguments));
  };
  bool isInPlace = op.hasWrites() && name.ends_with("_");
  StringRef base = isInPlace ? name.drop_back() : name;
  static const llvm::StringSet<> activations =
      makeSet("silu hardswish hardsigmoid mish relu6");
  auto withInPlace = [&](Code code) {
    if (isInPlace)
      code.items.push_back(makeKeyword("inplace", "True"));
    return code;
  };
  if (activations.contains(base) && count == 1)
    return withInPlace(call(base, {0}));
  if (base == "leaky_relu" && count == 2)
    return withInPlace(call("leaky_relu", {0, 1}));
  if (base == "hardtanh" && count == 3) {
    // TorchScript takes no ints for floats.
    Code code = call("hardtanh", {0, 1, 2});
    for (unsigned i : {1u, 2u})
      if (auto number = dyn_cast_or_null<IntegerAttr>(get(i)))
        code.items[i] = spellFloat(number.getInt());
    return withInPlace(std::move(code));
  }
  if (base == "elu" && count == 4 && isOne(emitter, op, 2) &&
      isOne(emitter, op, 3))
    return withInPlace(call("elu", {0, 1}));
  if (base == "dropout" && count == 3)
    return withInPlace(call("dropout", {0, 1, 2}));
  if (isInPlace)
    return std::nullopt;
  if (name == "gelu") {
    auto approximate =
        count > 1 ? dyn_cast_or_null<StringAttr>(get(1)) : StringAttr();
    if (count == 1 || (approximate && approximate.getValue() == "none"))
      return call("gelu", {0});
    return call("gelu", {0, 1}, {"approximate"});
  }
  if (name == "softplus" && count == 3)
    return call("softplus", {0, 1, 2});
  if (name == "glu" && count == 2)
    return call("glu", {0, 1});
  if (name == "linear" && count == 3)
    return isNone(2) ? call("linear", {0, 1}) : call("linear", {0, 1, 2});
  if (name == "batch_norm" && count == 9)
    return call("batch_norm", {0, 3, 4, 1, 2, 5, 6, 7});
  if (name == "instance_norm" && count == 9)
    return call("instance_norm", {0, 3, 4, 1, 2, 5, 6, 7});
  if (name == "layer_norm" && count == 6)
    return call("layer_norm", {0, 1, 2, 3, 4});
  if (name == "group_norm" && count == 6)
    return call("group_norm", {0, 1, 2, 3, 4});
  if (name == "pad" && count == 4) {
    if (isNone(3))
      return call("pad", {0, 1, 2});
    return call("pad", {0, 1, 2, 3});
  }
  if (name == "avg_pool2d" && count == 7)
    return call("avg_pool2d", {0, 1, 2, 3, 4, 5, 6});
  if (name == "adaptive_avg_pool2d" && count == 2)
    return call("adaptive_avg_pool2d", {0, 1});
  if (name == "one_hot" && count == 2)
    return call("one_hot", {0, 1});
  if (name == "scaled_dot_product_attention" && count >= 6) {
    emitter.use(Helper::Functional);
    return Code("F.scaled_dot_product_attention", '(', spellArguments(op, 0));
  }
  if (name == "upsample_nearest2d" && op.getOverload() == "vec") {
    if (isNone(1))
      return call("interpolate", {0, 2}, {"scale_factor"});
    if (isNone(2))
      return call("interpolate", {0, 1}, {"size"});
    return std::nullopt;
  }
  if (name == "upsample_nearest2d" && count == 4 && isNone(2) && isNone(3))
    return call("interpolate", {0, 1}, {"size"});
  bool isVec = op.getOverload() == "vec";
  if (name == "upsample_bilinear2d" &&
      (isVec ? count == 4 && isNone(1) != isNone(3)
             : count == 5 && isNone(3) && isNone(4))) {
    Code code = isNone(1) ? call("interpolate", {0, 3}, {"scale_factor"})
                          : call("interpolate", {0, 1}, {"size"});
    code.items.push_back(makeKeyword("mode", quote("bilinear")));
    code.items.push_back(makeKeyword("align_corners", use(op.getOperand(2))));
    return code;
  }
  // Convolutions; the sizes of a window say how many dimensions there are.
  auto getRank = [&](unsigned index) {
    auto window = dyn_cast_or_null<ArrayAttr>(get(index));
    return window ? window.size() : 0;
  };
  auto convolve = [&](StringRef function, size_t rank,
                      ArrayRef<unsigned> order) -> std::optional<Code> {
    if (rank < 1 || rank > 3)
      return std::nullopt;
    return call((function + Twine(rank) + "d").str(), order);
  };
  if ((name == "_convolution" && count == 13) ||
      (name == "convolution" && count == 9)) {
    auto transposed = dyn_cast_or_null<BoolAttr>(get(6));
    if (!transposed)
      return std::nullopt;
    if (transposed.getValue())
      return convolve("conv_transpose", getRank(3), {0, 1, 2, 3, 4, 7, 8, 5});
    return convolve("conv", getRank(3), {0, 1, 2, 3, 4, 5, 8});
  }
  if (name == "_convolution_mode" && count == 7)
    return convolve("conv", getRank(3), {0, 1, 2, 3, 4, 5, 6});
  return std::nullopt;
}

/// A call of a method, of a function of torch, or of the operator itself.
Code BodyWriter::spellCall(OperatorOp op) {
  static const llvm::StringSet<> methods = makeSet(
      "view reshape permute transpose contiguous expand expand_as repeat "
      "chunk split size dim numel unsqueeze squeeze clone detach type_as "
      "view_as t unbind split_with_sizes unfold new_zeros new_ones "
      "new_full new_empty masked_fill item narrow index_select reshape_as "
      "is_contiguous stride append extend insert pop clear reverse keys "
      "values items update startswith endswith upper lower strip join "
      "replace");
  // What has the operator's own signature in `torch`.
  static const llvm::StringSet<> functions = makeSet(
      "abs acos adaptive_avg_pool1d add addcdiv addcmul addmm all amax "
      "amin any arange argmax argmin argsort asin atan atan2 avg_pool1d "
      "baddbmm bernoulli bmm bucketize cat ceil celu clamp clamp_max "
      "clamp_min constant_pad_nd conv1d conv2d conv3d conv_transpose1d "
      "conv_transpose2d conv_transpose3d cos cosh cross cumprod cumsum "
      "diag diagonal div dot dropout einsum embedding empty empty_like eq "
      "erf erfc exp expm1 eye feature_dropout flatten flip floor "
      "floor_divide fmod frac full full_like gather ge grid_sampler gt "
      "index_add index_copy index_fill isfinite isinf isnan le lerp "
      "lgamma linspace log log10 log1p log2 log_softmax logical_and "
      "logical_not logical_or logical_xor logsumexp lt masked_scatter "
      "masked_select matmul max max_pool1d max_pool2d max_pool3d maximum "
      "mean median meshgrid min minimum mm mode mul multinomial mv "
      "nan_to_num ne neg nonzero norm normal ones ones_like outer "
      "pixel_shuffle pixel_unshuffle pow prelu prod rand rand_like "
      "randint randn randn_like randperm reciprocal relu remainder "
      "repeat_interleave roll round rsqrt rsub scatter scatter_add "
      "searchsorted selu sigmoid sign sin sinh softmax sort sqrt square "
      "stack std sub sum tan tanh tensor threshold tile topk tril triu trunc "
      "unsafe_chunk var vdot where zeros zeros_like _weight_norm "
      "dequantize quantize_per_tensor");
  StringRef name = op.getName();
  // A dtype that a module holds is a number, which only the operators take.
  const std::vector<ArgumentSchema> *schema =
      emitter.getSchemaLookup()(op.getName(), op.getOverload().value_or(""));
  bool takesNumber =
      schema && llvm::any_of(llvm::zip(*schema, op.getOperands()),
                             [](const auto &argument) {
                               auto [expected, given] = argument;
                               return expected.kind == ArgumentSchema::Dtype &&
                                      given.template getDefiningOp<GetOp>();
                             });
  bool isTorch = name.consume_front("aten::") && !takesNumber;
  if (isTorch && name == "to") {
    // Python has other arguments than the schemas.
    StringRef overload = op.getOverload().value_or("");
    std::string object = useObject(op.getOperand(0));
    std::vector<Code> arguments;
    if (schema && schema->size() == op.getNumOperands())
      for (unsigned i = 1; i != op.getNumOperands(); ++i) {
        const ArgumentSchema &argument = (*schema)[i];
        Code code = spellOperand(op, i, &argument);
        std::string flat = code.flat();
        bool isUsual = flat == argument.defaultValue || flat == "None" ||
                       argument.name == "pin_memory" ||
                       argument.name == "layout";
        if (isUsual)
          continue;
        bool isFirst =
            arguments.empty() && i == 1 && overload != "dtype_layout";
        arguments.push_back(isFirst ? code : makeKeyword(argument.name, code));
      }
    return Code(object + ".to", '(', std::move(arguments));
  }
  // Operators in place that are no methods of a tensor.
  static const llvm::StringSet<> inPlaceFunctions = makeSet(
      "alpha_dropout_ celu_ dropout_ embedding_renorm_ feature_dropout_ "
      "feature_alpha_dropout_ rrelu_ selu_ threshold_");
  static const llvm::StringSet<> inPlaceOperators =
      makeSet("elu_ hardtanh_ leaky_relu_ gelu_ hardsigmoid_ hardswish_ mish_ "
              "relu6_ silu_ rrelu_with_noise_ index_put_");
  bool isInPlace =
      op.hasWrites() && name.ends_with("_") && !name.starts_with("_") &&
      isa<TensorType>(op.getOperand(0).getType()) && op.isWritten(0) &&
      !inPlaceFunctions.contains(name) && !inPlaceOperators.contains(name);
  bool isMethod = isTorch && (methods.contains(name) || isInPlace);
  if (isMethod) {
    std::string object = useObject(op.getOperand(0));
    // TorchScript makes lists of them.
    if (isa<DictType>(op.getOperand(0).getType()) &&
        (name == "keys" || name == "values" || name == "items"))
      return "[entry for entry in " + object + "." + name.str() + "()]";
    return Code(object + "." + name.str(), '(', spellArguments(op, 1));
  }
  if (isTorch && (functions.contains(name) || inPlaceFunctions.contains(name)))
    return Code("torch." + name.str(), '(', spellArguments(op, 0));
  auto [space, plain] = op.getName().split("::");
  return Code(("torch.ops." + space + "." + plain).str(), '(',
              spellArguments(op, 0));
}

/// Whether an op reads nothing that may change before its result is read.
static bool isLight(OperatorOp op) {
  if (op.hasWrites() || op.getEffects() || op.getRandom() ||
      op->getNumResults() != 1 || isa<TensorType>(op.getResult(0).getType()))
    return false;
  if (readsMetadataOnly(op.getName()))
    return true;
  return llvm::all_of(op.getOperandTypes(), [](Type type) {
    return isa<IntType, FloatType, BoolType, StrType, NoneType, NumberType,
               DeviceType>(type);
  });
}

/// Some value of a type. Nobody looks at it, but TorchScript looks at its type.
FailureOr<Code> BodyWriter::spellAnything(Type type, Operation *op) {
  if (isa<TensorType>(type))
    return Code("torch.empty(0)");
  if (isa<BoolType>(type))
    return Code("False");
  if (isa<IntType>(type))
    return Code("0");
  if (isa<FloatType>(type))
    return Code("0.0");
  if (isa<StrType>(type))
    return Code(quote(""));
  if (auto tuple = dyn_cast<TupleType>(type)) {
    Code code("", '(', {});
    for (Type element : tuple.getElementTypes()) {
      FailureOr<Code> item = spellAnything(element, op);
      if (failed(item))
        return failure();
      code.items.push_back(std::move(*item));
    }
    return code;
  }
  if (isa<ListType, DictType>(type)) {
    FailureOr<std::string> name = emitter.spellType(type, op);
    if (failed(name))
      return failure();
    return Code("torch.jit.annotate", '(',
                {*name, isa<ListType>(type) ? "[]" : "{}"});
  }
  return Code("None");
}

LogicalResult BodyWriter::writeOperator(OperatorOp op) {
  StringRef name = op.getName();
  if (name == "prim::RaiseException") {
    Code message = use(op.getOperand(0));
    beginStatement(op);
    line("raise ", Code("RuntimeError", '(', {message}));
    return success();
  }
  if (name == "prim::Uninitialized") {
    FailureOr<Code> code = spellAnything(op.getResult(0).getType(), op);
    if (failed(code))
      return failure();
    values[op.getResult(0)] = std::move(*code);
    return success();
  }
  if (name == "aten::add_" && isa<ListType>(op.getOperand(0).getType())) {
    std::string object = useObject(op.getOperand(0));
    Code added = use(op.getOperand(1));
    beginStatement(op);
    line("", Code(object + ".extend", '(', {added}));
    values[op.getResult(0)] = object;
    return success();
  }
  if (name == "prim::Print") {
    std::vector<Code> arguments;
    for (Value operand : op.getOperands())
      arguments.push_back(use(operand));
    beginStatement(op);
    line("", Code("print", '(', std::move(arguments)));
    return success();
  }
  if (name == "aten::_set_item" || name == "aten::Delete") {
    std::string object = useObject(op.getOperand(0));
    std::string place = use(op.getOperand(1)).flat();
    bool isDelete = name == "aten::Delete";
    Code value = isDelete ? Code() : use(op.getOperand(2));
    beginStatement(op);
    if (isDelete)
      line("del ", Code(object + "[" + place + "]"));
    else
      line(object + "[" + place + "] = ", value);
    return success();
  }
  if (StringAttr slot = getSlotOfValue(op)) {
    define(op, reach(slot), /*isLight=*/false);
    return success();
  }
  std::optional<Code> code = spellNumber(op);
  bool isNumber = code.has_value();
  if (!code)
    code = spellSyntax(op);
  // What is left of TorchScript's own has no form in Python.
  if (op.getExtra() || (!code && name.starts_with("prim::")))
    return op.emitError() << "'" << name
                          << "' cannot be written as Python; write the file "
                             "as TorchScript";
  if (!code)
    code = spellIndexing(op);
  if (!code)
    code = spellFunctional(op);
  if (!code)
    code = spellCall(op);
  define(op, std::move(*code), isNumber || isLight(op));
  return success();
}

} // namespace fqat
