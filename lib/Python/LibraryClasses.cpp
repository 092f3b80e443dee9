//===- LibraryClasses.cpp - Instances that torch.nn has a class for -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A traced body has lost which class it came from, but not what it does:
//
//   fqat.method @conv.forward(%x) {
//     %w = fqat.get @conv.weight
//     %y = fqat.op "aten::_convolution"(%x, %w, %none, %strides, ...)
//     fqat.return %y
//   }
//
//   nn.Conv2d(3, 16, kernel_size=3, stride=2, padding=1, bias=False)
//
// The constants of the operator and the sizes of the slots give the arguments.
//
//===----------------------------------------------------------------------===//

#include "Emitter.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Operators.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

using namespace mlir;

namespace fqat {

namespace {

/// What an instance is, for the search for its class.
class Matcher {
public:
  Matcher(Emitter &emitter, ModuleOp instance, StringRef layers);

  std::optional<Code> match();

private:
  bool findOperator(MethodOp method);
  std::optional<Code> matchUncalled();
  std::optional<Code> matchScripted();
  std::optional<Code> matchActivation();
  std::optional<Code> matchConvolution();
  std::optional<Code> matchNorm();
  std::optional<Code> matchPooling();
  std::optional<Code> matchUpsample();
  std::optional<Code> matchPadding();
  std::optional<Code> matchOther();

  Code make(const Twine &name, std::vector<Code> arguments = {}) {
    return Code((layers + "." + name).str(), '(', std::move(arguments));
  }
  /// The constant operand `index`, or null.
  Attribute get(unsigned index) {
    return index < op.getNumOperands() ? getConstant(op.getOperand(index))
                                       : Attribute();
  }
  bool isNone(unsigned index) { return isa_and_nonnull<UnitAttr>(get(index)); }
  bool isBool(unsigned index, bool value) {
    auto flag = dyn_cast_or_null<BoolAttr>(get(index));
    return flag && flag.getValue() == value;
  }
  std::optional<int64_t> getInt(unsigned index) {
    auto number = dyn_cast_or_null<IntegerAttr>(get(index));
    return number && !isa<BoolAttr>(number)
               ? std::optional<int64_t>(number.getInt())
               : std::nullopt;
  }
  std::optional<double> getFloat(unsigned index) {
    if (auto number = dyn_cast_or_null<FloatAttr>(get(index)))
      return number.getValueAsDouble();
    return std::nullopt;
  }
  /// An int or a float.
  std::optional<double> getNumber(unsigned index) {
    if (std::optional<int64_t> number = getInt(index))
      return *number;
    return getFloat(index);
  }
  std::optional<SmallVector<int64_t>> getInts(unsigned index) {
    return fqat::getInts(get(index));
  }
  /// Whether operand `index` is the method's one argument.
  bool isInput(unsigned index) {
    return index < op.getNumOperands() && op.getOperand(index) == input;
  }
  /// Whether operand `index` is the slot `name`, or None where the instance has
  /// no such slot.
  bool isSlot(unsigned index, StringRef name);
  /// The tensor in a slot of the instance, or null.
  TensorAttr getTensor(StringRef name) {
    return dyn_cast_or_null<TensorAttr>(tensors.lookup(name));
  }
  /// Whether the instance has these tensors and no other, and no child.
  bool hasOnly(ArrayRef<StringRef> names) {
    return !hasOthers && llvm::all_of(tensors.keys(), [&](StringRef name) {
      return llvm::is_contained(names, name);
    });
  }
  /// Whether an operator's flag for training is what the instance's is.
  bool followsTraining(unsigned index) { return isBool(index, training); }

  /// One number for all if they are equal, else a tuple.
  static Code spell(ArrayRef<int64_t> numbers);
  static Code spellTuple(ArrayRef<int64_t> numbers);
  /// Adds `name=value` unless all numbers are `usual`.
  static void add(std::vector<Code> &arguments, StringRef name, int64_t number,
                  int64_t usual) {
    add(arguments, name, ArrayRef<int64_t>(number), usual);
  }
  static void add(std::vector<Code> &arguments, StringRef name,
                  ArrayRef<int64_t> numbers, int64_t usual) {
    if (llvm::any_of(numbers, [&](int64_t n) { return n != usual; }))
      arguments.push_back(makeKeyword(name, spell(numbers)));
  }
  static void add(std::vector<Code> &arguments, StringRef name, double value,
                  double usual) {
    if (value != usual)
      arguments.push_back(makeKeyword(name, spellFloat(value)));
  }
  static void add(std::vector<Code> &arguments, StringRef name, bool value,
                  bool usual) {
    if (value != usual)
      arguments.push_back(makeKeyword(name, value ? "True" : "False"));
  }

  Emitter &emitter;
  ModuleOp instance;
  StringRef layers;
  StringRef className;
  llvm::StringMap<Attribute> tensors;
  /// Whether there are children, or attributes that code reads.
  bool hasOthers = false;
  bool training = false;
  OperatorOp op;
  Value input;
  /// What pads the input before the operator, or null.
  OperatorOp pad;
  /// Whether the body counts batches before its operator, as a batch norm in
  /// training does.
  bool countsBatches = false;
};

} // namespace

Matcher::Matcher(Emitter &emitter, ModuleOp instance, StringRef layers)
    : emitter(emitter), instance(instance), layers(layers),
      className(instance.getOriginalName()) {
  for (Operation *member : emitter.getMembers(instance)) {
    if (isa<ParameterOp, BufferOp>(member)) {
      StringRef name = splitPath(SymbolTable::getSymbolName(member)).second;
      // A scripted class says so where it has none.
      if (!isa_and_nonnull<UnitAttr>(getSlotValue(member)))
        tensors[name] = getSlotValue(member);
      continue;
    }
    auto attribute = dyn_cast<AttributeOp>(member);
    if (!attribute) {
      hasOthers = true;
      continue;
    }
    StringRef name = splitPath(attribute.getSymName()).second;
    auto flag = dyn_cast_or_null<BoolAttr>(getSlotValue(attribute));
    if (name == "training" && flag)
      training = flag.getValue();
    else if (name != "_is_full_backward_hook")
      hasOthers |= holdsTensor(attribute.getType());
  }
}

bool Matcher::isSlot(unsigned index, StringRef name) {
  if (!tensors.contains(name))
    return isNone(index);
  auto slot = index < op.getNumOperands()
                  ? op.getOperand(index).getDefiningOp<GetOp>()
                  : GetOp();
  return slot && slot.getSlot() == instance.getMemberSymbol(name);
}

Code Matcher::spell(ArrayRef<int64_t> numbers) {
  if (!numbers.empty() && llvm::all_equal(numbers))
    return std::to_string(numbers.front());
  return spellTuple(numbers);
}

Code Matcher::spellTuple(ArrayRef<int64_t> numbers) {
  Code tuple("", '(', {});
  for (int64_t number : numbers)
    tuple.items.emplace_back(std::to_string(number));
  return tuple;
}

/// Finds the one operator that a method is.
bool Matcher::findOperator(MethodOp method) {
  Block &body = method.getBody().front();
  auto ret = dyn_cast<ReturnOp>(body.getTerminator());
  if (!ret || ret.getNumOperands() != 1 || method.getNumArguments() != 1 ||
      !emitter.getNeeds(method).empty())
    return false;
  OperatorOp found;
  for (Operation &inner : body.without_terminator()) {
    if (auto get = dyn_cast<GetOp>(inner)) {
      if (splitPath(get.getSlot()).first != instance.getSymName())
        return false;
      continue;
    }
    if (isa<ConstantOp, ListOp, TupleOp>(inner))
      continue;
    auto oper = dyn_cast<OperatorOp>(inner);
    if (!oper)
      return false;
    if (oper.getName() == "aten::add_" && !found) {
      auto counter = oper.getOperand(0).getDefiningOp<GetOp>();
      auto step = dyn_cast_or_null<IntegerAttr>(
          oper.getNumOperands() > 1 ? getConstant(oper.getOperand(1))
                                    : Attribute());
      auto tensorStep = dyn_cast_or_null<TensorAttr>(
          oper.getNumOperands() > 1 ? getConstant(oper.getOperand(1))
                                    : Attribute());
      bool isOne = (step && step.getInt() == 1) ||
                   (tensorStep && emitter.getInteger(tensorStep) == 1);
      if (counter && isOne && oper.use_empty() &&
          counter.getSlot().ends_with("num_batches_tracked")) {
        countsBatches = true;
        continue;
      }
    }
    if (oper.getName() == "aten::pad" && !found && !pad &&
        oper.getOperand(0) == method.getArgument(0) &&
        oper.getResult(0).hasOneUse()) {
      pad = oper;
      continue;
    }
    if (found)
      return false;
    found = oper;
  }
  // Nothing behind the padding: it is the operator.
  if (!found)
    found = std::exchange(pad, nullptr);
  if (!found || found->getNumResults() != 1 ||
      ret.getOperand(0) != found.getResult(0))
    return false;
  op = found;
  input = pad ? pad.getResult(0) : Value(method.getArgument(0));
  return true;
}

namespace {
/// A class of torch.nn and the arguments of its constructor.
struct LibraryClass {
  StringLiteral name;
  struct Argument {
    StringLiteral name, usual;
  };
  /// Those whose usual value is empty are required, and come without a name.
  std::vector<Argument> arguments;
};
} // namespace

static ArrayRef<LibraryClass> getLibraryClasses() {
  static const std::vector<LibraryClass> classes = [] {
    std::vector<LibraryClass> result = {
        {"Linear", {{"in_features", ""}, {"out_features", ""}}},
        {"Identity", {}},
        {"Sigmoid", {}},
        {"Tanh", {}},
        {"ReLU6", {{"inplace", "False"}}},
        {"LeakyReLU", {{"negative_slope", "0.01"}, {"inplace", "False"}}},
        {"GELU", {{"approximate", "\"none\""}}},
        {"Flatten", {{"start_dim", "1"}, {"end_dim", "-1"}}},
        {"LayerNorm",
         {{"normalized_shape", ""},
          {"eps", "1e-05"},
          {"elementwise_affine", "True"}}},
        {"GroupNorm",
         {{"num_groups", ""},
          {"num_channels", ""},
          {"eps", "1e-05"},
          {"affine", "True"}}},
    };
    for (StringLiteral name :
         {StringLiteral("ReLU"), StringLiteral("SiLU"), StringLiteral("Mish"),
          StringLiteral("SELU"), StringLiteral("Hardswish"),
          StringLiteral("Hardsigmoid")})
      result.push_back({name, {{"inplace", "False"}}});
    for (StringLiteral name :
         {StringLiteral("Dropout"), StringLiteral("Dropout1d"),
          StringLiteral("Dropout2d"), StringLiteral("Dropout3d")})
      result.push_back({name, {{"p", ""}, {"inplace", "False"}}});
    for (StringLiteral name : {StringLiteral("Conv1d"), StringLiteral("Conv2d"),
                               StringLiteral("Conv3d")})
      result.push_back({name,
                        {{"in_channels", ""},
                         {"out_channels", ""},
                         {"kernel_size", "-"},
                         {"stride", "1"},
                         {"padding", "0"},
                         {"dilation", "1"},
                         {"groups", "1"},
                         {"padding_mode", "\"zeros\""}}});
    for (StringLiteral name :
         {StringLiteral("BatchNorm1d"), StringLiteral("BatchNorm2d"),
          StringLiteral("BatchNorm3d")})
      result.push_back({name,
                        {{"num_features", ""},
                         {"eps", "1e-05"},
                         {"momentum", "0.1"},
                         {"affine", "True"},
                         {"track_running_stats", "True"}}});
    for (StringLiteral name :
         {StringLiteral("MaxPool1d"), StringLiteral("MaxPool2d"),
          StringLiteral("MaxPool3d")})
      result.push_back({name,
                        {{"kernel_size", ""},
                         {"stride", "-"},
                         {"padding", "0"},
                         {"dilation", "1"},
                         {"return_indices", "False"},
                         {"ceil_mode", "False"}}});
    for (StringLiteral name : {StringLiteral("AdaptiveAvgPool1d"),
                               StringLiteral("AdaptiveAvgPool2d"),
                               StringLiteral("AdaptiveAvgPool3d")})
      result.push_back({name, {{"output_size", ""}}});
    return result;
  }();
  return classes;
}

/// A scripted instance of a class of torch's: the class has its arguments as
/// constants, and its code is that of the class.
std::optional<Code> Matcher::matchScripted() {
  ArrayAttr constants = instance.getConstantsAttr();
  // A trace has none: its code tells more.
  if (!instance.getClassName().starts_with("__torch__.torch.nn.modules.") ||
      !constants)
    return std::nullopt;
  const auto *known =
      llvm::find_if(getLibraryClasses(), [&](const LibraryClass &type) {
        return type.name == className;
      });
  if (known == getLibraryClasses().end())
    return std::nullopt;
  for (MethodOp method : emitter.getMethods(instance))
    if (method.getBody()
            .walk([](OutNopOp) { return WalkResult::interrupt(); })
            .wasInterrupted())
      return std::nullopt;
  llvm::StringMap<Attribute> values;
  for (size_t i = 0; i + 1 < constants.size(); i += 2)
    if (auto name = dyn_cast<StringAttr>(constants[i]))
      values[name.getValue()] = constants[i + 1];
  // Equal numbers for all dimensions are one.
  auto spellArgument = [](Attribute value) -> std::string {
    if (auto numbers = fqat::getInts(value))
      return numbers->empty() ? "" : spell(*numbers).flat();
    if (isa<ArrayAttr, DictAttr>(value) || getListElements(value))
      return "";
    std::optional<Code> code = spellConstant(value);
    return code ? code->flat() : "";
  };
  std::vector<Code> arguments;
  for (const LibraryClass::Argument &argument : known->arguments) {
    Attribute value = values.lookup(argument.name);
    std::string text = value ? spellArgument(value) : "";
    if (text.empty())
      return std::nullopt;
    if (argument.usual.empty())
      arguments.emplace_back(text);
    else if (text != argument.usual)
      arguments.push_back(makeKeyword(argument.name, text));
  }
  bool isLayer = className.starts_with("Conv") || className == "Linear";
  if (isLayer)
    add(arguments, "bias", tensors.contains("bias"), true);
  return make(className, std::move(arguments));
}

/// An instance that nothing calls: it only has to be there.
std::optional<Code> Matcher::matchUncalled() {
  static const llvm::StringSet<> names = {
      "Identity", "ReLU", "ReLU6",     "SiLU",        "Sigmoid",
      "Tanh",     "GELU", "Hardswish", "Hardsigmoid", "Mish",
      "Softplus", "CELU", "SELU",      "LogSigmoid",  "Flatten"};
  if (!tensors.empty() || !names.contains(className) ||
      !instance.getClassName().starts_with("__torch__.torch.nn.modules."))
    return std::nullopt;
  return make(className);
}

std::optional<Code> Matcher::matchActivation() {
  StringRef name = op.getShortName();
  if (!op.getName().starts_with("aten::") || !isInput(0))
    return std::nullopt;
  bool isInPlace = name.consume_back("_");
  std::vector<Code> arguments;
  auto finish = [&](StringRef type) -> std::optional<Code> {
    if (!hasOnly({}))
      return std::nullopt;
    add(arguments, "inplace", isInPlace, false);
    return make(type, std::move(arguments));
  };
  StringRef simple = llvm::StringSwitch<StringRef>(name)
                         .Case("relu", "ReLU")
                         .Case("relu6", "ReLU6")
                         .Case("silu", "SiLU")
                         .Case("selu", "SELU")
                         .Case("mish", "Mish")
                         .Case("hardswish", "Hardswish")
                         .Case("hardsigmoid", "Hardsigmoid")
                         .Default("");
  if (!simple.empty() && op.getNumOperands() == 1)
    return finish(simple);
  if (name == "hardtanh") {
    std::optional<double> low = getNumber(1), high = getNumber(2);
    if (!low || !high)
      return std::nullopt;
    if (*low == 0 && *high == 6 && !std::signbit(*low))
      return finish("ReLU6");
    add(arguments, "min_val", *low, -1.0);
    add(arguments, "max_val", *high, 1.0);
    return finish("Hardtanh");
  }
  if (name == "leaky_relu") {
    std::optional<double> slope = getNumber(1);
    if (!slope)
      return std::nullopt;
    add(arguments, "negative_slope", *slope, 0.01);
    return finish("LeakyReLU");
  }
  if (name == "elu" || name == "celu") {
    std::optional<double> alpha = getNumber(1);
    if (!alpha || (name == "elu" && (getNumber(2) != 1 || getNumber(3) != 1)))
      return std::nullopt;
    add(arguments, "alpha", *alpha, 1.0);
    return finish(name == "elu" ? "ELU" : "CELU");
  }
  if (isInPlace)
    return std::nullopt;
  // The rest has no in-place form.
  if ((name == "sigmoid" || name == "tanh") && op.getNumOperands() == 1 &&
      hasOnly({}))
    return make(name == "sigmoid" ? "Sigmoid" : "Tanh");
  if (name == "gelu" && hasOnly({})) {
    auto approximate = dyn_cast_or_null<StringAttr>(get(1));
    if (op.getNumOperands() == 2 && !approximate)
      return std::nullopt;
    if (approximate && approximate.getValue() != "none")
      arguments.push_back(
          makeKeyword("approximate", quote(approximate.getValue())));
    return make("GELU", std::move(arguments));
  }
  if (name == "softplus" && hasOnly({})) {
    std::optional<double> beta = getNumber(1), threshold = getNumber(2);
    if (!beta || !threshold)
      return std::nullopt;
    add(arguments, "beta", *beta, 1.0);
    add(arguments, "threshold", *threshold, 20.0);
    return make("Softplus", std::move(arguments));
  }
  if ((name == "softmax" || name == "log_softmax") && getInt(1) && isNone(2) &&
      hasOnly({}))
    return make(name == "softmax" ? "Softmax" : "LogSoftmax",
                {makeKeyword("dim", std::to_string(*getInt(1)))});
  if (name == "prelu" && hasOnly({"weight"}) && isSlot(1, "weight")) {
    TensorAttr weight = getTensor("weight");
    if (!weight || weight.getSizes().size() != 1)
      return std::nullopt;
    if (weight.getSizes()[0] != 1)
      arguments.emplace_back(std::to_string(weight.getSizes()[0]));
    return make("PReLU", std::move(arguments));
  }
  return std::nullopt;
}

/// Operands: input, weight, bias, stride, padding, dilation, and of
/// `_convolution` transposed, output padding and groups; of `conv2d` groups; of
/// `conv_transpose2d` output padding, groups, dilation.
std::optional<Code> Matcher::matchConvolution() {
  StringRef name = op.getName();
  if (!name.consume_front("aten::") || !hasOnly({"weight", "bias"}))
    return std::nullopt;
  TensorAttr weight = getTensor("weight");
  if (!weight || !isInput(0) || !isSlot(1, "weight") || !isSlot(2, "bias"))
    return std::nullopt;
  std::vector<Code> arguments;
  ArrayRef<int64_t> sizes = weight.getSizes();
  bool hasBias = tensors.contains("bias");
  if (name == "linear") {
    if (sizes.size() != 2 || pad)
      return std::nullopt;
    arguments = {std::to_string(sizes[1]), std::to_string(sizes[0])};
    add(arguments, "bias", hasBias, true);
    return make("Linear", std::move(arguments));
  }
  bool isGeneral = name == "_convolution" || name == "convolution";
  bool isMode = name == "_convolution_mode" ||
                (name.starts_with("conv") && op.getOverload() == "padding");
  bool isTransposed = name.starts_with("conv_transpose");
  if (!isGeneral && !isMode && !isTransposed && name != "conv1d" &&
      name != "conv2d" && name != "conv3d")
    return std::nullopt;
  unsigned rank = sizes.size() - 2;
  if (sizes.size() < 3 || rank > 3)
    return std::nullopt;
  std::optional<SmallVector<int64_t>> stride = getInts(3), padding, dilation,
                                      outputPadding;
  std::optional<int64_t> groups;
  std::string mode;
  if (isGeneral) {
    padding = getInts(4);
    dilation = getInts(5);
    auto transposed = dyn_cast_or_null<BoolAttr>(get(6));
    outputPadding = getInts(7);
    groups = getInt(8);
    if (!transposed)
      return std::nullopt;
    isTransposed = transposed.getValue();
  } else if (isTransposed) {
    padding = getInts(4);
    outputPadding = getInts(5);
    groups = getInt(6);
    dilation = getInts(7);
  } else {
    padding = getInts(4);
    dilation = getInts(5);
    groups = getInt(6);
    if (isMode) {
      auto text = dyn_cast_or_null<StringAttr>(get(4));
      if (!text)
        return std::nullopt;
      mode = quote(text.getValue());
      padding = SmallVector<int64_t>(rank, 0);
    }
  }
  if (!outputPadding && !isTransposed)
    outputPadding = SmallVector<int64_t>(rank, 0);
  for (auto *numbers : {&stride, &padding, &dilation, &outputPadding})
    if (!*numbers || (*numbers)->size() != rank)
      return std::nullopt;
  if (!groups || *groups < 1 ||
      (!isTransposed &&
       llvm::any_of(*outputPadding, [](int64_t n) { return n != 0; })))
    return std::nullopt;
  std::string paddingMode;
  if (pad) {
    // The last dimension comes first, and each has its two sides.
    auto kind = dyn_cast_or_null<StringAttr>(getConstant(pad.getOperand(2)));
    auto sides = dyn_cast_or_null<ArrayAttr>(getConstant(pad.getOperand(1)));
    if (isTransposed || !mode.empty() || !kind || !sides ||
        sides.size() / 2 != rank || sides.size() % 2 != 0 ||
        llvm::any_of(*padding, [](int64_t n) { return n != 0; }) ||
        (kind.getValue() != "circular" && kind.getValue() != "reflect" &&
         kind.getValue() != "replicate"))
      return std::nullopt;
    for (unsigned i = 0; i != rank; ++i) {
      auto before = dyn_cast<IntegerAttr>(sides[2 * i]);
      if (!before || sides[2 * i + 1] != before)
        return std::nullopt;
      (*padding)[rank - 1 - i] = before.getInt();
    }
    paddingMode = quote(kind.getValue());
  }
  int64_t in = sizes[isTransposed ? 0 : 1], out = sizes[isTransposed ? 1 : 0];
  (isTransposed ? out : in) *= *groups;
  arguments = {std::to_string(in), std::to_string(out),
               makeKeyword("kernel_size", spell(sizes.drop_front(2)))};
  add(arguments, "stride", *stride, 1);
  if (mode.empty())
    add(arguments, "padding", *padding, 0);
  else
    arguments.push_back(makeKeyword("padding", mode));
  if (isTransposed)
    add(arguments, "output_padding", *outputPadding, 0);
  add(arguments, "dilation", *dilation, 1);
  add(arguments, "groups", *groups, 1);
  add(arguments, "bias", hasBias, true);
  if (pad)
    arguments.push_back(makeKeyword("padding_mode", paddingMode));
  return make((isTransposed ? "ConvTranspose" : "Conv") + std::to_string(rank) +
                  "d",
              std::move(arguments));
}

std::optional<Code> Matcher::matchNorm() {
  StringRef name = op.getName();
  if (!name.consume_front("aten::") || !isInput(0))
    return std::nullopt;
  std::vector<Code> arguments;
  TensorAttr weight = getTensor("weight");
  if (name == "batch_norm" || name == "instance_norm") {
    // Which sizes it takes, only the name of the class tells.
    bool isBatch = name == "batch_norm";
    StringRef rank = className;
    if (!rank.consume_front(isBatch ? "BatchNorm" : "InstanceNorm") ||
        (rank != "1d" && rank != "2d" && rank != "3d") ||
        !hasOnly({"weight", "bias", "running_mean", "running_var",
                  "num_batches_tracked"}))
      return std::nullopt;
    bool isTracked = tensors.contains("running_mean");
    bool hasAll = isTracked == tensors.contains("running_var") &&
                  isTracked == tensors.contains("num_batches_tracked") &&
                  bool(weight) == tensors.contains("bias");
    TensorAttr any = weight ? weight : getTensor("running_mean");
    auto momentum = getNumber(6), eps = getNumber(7);
    // A norm that tracks nothing takes the statistics of each batch.
    bool followsMode = isTracked ? followsTraining(5) : isBool(5, true);
    if (!hasAll || !any || any.getSizes().size() != 1 || !momentum || !eps ||
        !isSlot(1, "weight") || !isSlot(2, "bias") ||
        !isSlot(3, "running_mean") || !isSlot(4, "running_var") ||
        !followsMode || (isBatch && isTracked && training && !countsBatches))
      return std::nullopt;
    arguments.emplace_back(std::to_string(any.getSizes()[0]));
    add(arguments, "eps", *eps, 1e-5);
    // None, the mean of all batches, is traced as 0 where there is no batch.
    if (isTracked && !training && *momentum == 0)
      arguments.push_back(makeKeyword("momentum", "None"));
    else
      add(arguments, "momentum", *momentum, 0.1);
    add(arguments, "affine", bool(weight), isBatch);
    add(arguments, "track_running_stats", isTracked, isBatch);
    return make(className, std::move(arguments));
  }
  if (!hasOnly({"weight", "bias"}) || bool(weight) != tensors.contains("bias"))
    return std::nullopt;
  if (name == "layer_norm") {
    auto shape = getInts(1);
    auto eps = getNumber(4);
    if (!shape || !eps || !isSlot(2, "weight") || !isSlot(3, "bias"))
      return std::nullopt;
    arguments.push_back(spell(*shape));
    if (shape->size() != 1)
      arguments[0] = spellTuple(*shape);
    add(arguments, "eps", *eps, 1e-5);
    add(arguments, "elementwise_affine", bool(weight), true);
    return make("LayerNorm", std::move(arguments));
  }
  if (name == "group_norm") {
    auto groups = getInt(1);
    auto eps = getNumber(4);
    // How many channels there are, only the weight tells.
    if (!groups || !eps || !weight || weight.getSizes().size() != 1 ||
        !isSlot(2, "weight") || !isSlot(3, "bias"))
      return std::nullopt;
    arguments = {std::to_string(*groups), std::to_string(weight.getSizes()[0])};
    add(arguments, "eps", *eps, 1e-5);
    return make("GroupNorm", std::move(arguments));
  }
  return std::nullopt;
}

std::optional<Code> Matcher::matchPooling() {
  StringRef name = op.getName();
  if (!name.consume_front("aten::") || !isInput(0) || !hasOnly({}))
    return std::nullopt;
  std::vector<Code> arguments;
  StringRef kind = name;
  unsigned rank = 0;
  if (kind.size() > 2 && kind.ends_with("d"))
    rank = kind[kind.size() - 2] - '0';
  if (rank < 1 || rank > 3)
    return std::nullopt;
  kind = kind.drop_back(2);
  std::string suffix = std::to_string(rank) + "d";
  if (kind == "max_pool") {
    auto kernel = getInts(1), stride = getInts(2), padding = getInts(3),
         dilation = getInts(4);
    auto ceil = dyn_cast_or_null<BoolAttr>(get(5));
    if (!kernel || !stride || !padding || !dilation || !ceil)
      return std::nullopt;
    arguments.push_back(spell(*kernel));
    if (!stride->empty() && *stride != *kernel)
      arguments.push_back(makeKeyword("stride", spell(*stride)));
    add(arguments, "padding", *padding, 0);
    add(arguments, "dilation", *dilation, 1);
    add(arguments, "ceil_mode", ceil.getValue(), false);
    return make("MaxPool" + suffix, std::move(arguments));
  }
  if (kind == "avg_pool") {
    auto kernel = getInts(1), stride = getInts(2), padding = getInts(3);
    auto ceil = dyn_cast_or_null<BoolAttr>(get(4)),
         countsPadding = dyn_cast_or_null<BoolAttr>(get(5));
    if (!kernel || !stride || !padding || !ceil || !countsPadding ||
        (rank != 1 && !isNone(6)))
      return std::nullopt;
    arguments.push_back(spell(*kernel));
    if (!stride->empty() && *stride != *kernel)
      arguments.push_back(makeKeyword("stride", spell(*stride)));
    add(arguments, "padding", *padding, 0);
    add(arguments, "ceil_mode", ceil.getValue(), false);
    add(arguments, "count_include_pad", countsPadding.getValue(), true);
    return make("AvgPool" + suffix, std::move(arguments));
  }
  if (kind == "adaptive_avg_pool") {
    auto size = getInts(1);
    if (!size || size->size() != rank)
      return std::nullopt;
    return make("AdaptiveAvgPool" + suffix, {spell(*size)});
  }
  return std::nullopt;
}

/// Operands: input, size, align_corners where the mode has it, scale factors
/// (one list of them, or in older forms one operand for each dimension).
std::optional<Code> Matcher::matchUpsample() {
  StringRef name = op.getName();
  if (!name.consume_front("aten::upsample_") || !isInput(0) || !hasOnly({}) ||
      name.size() < 3)
    return std::nullopt;
  unsigned rank = name[name.size() - 2] - '0';
  StringRef mode = name.drop_back(2);
  bool isNearest = mode == "nearest";
  if (rank < 1 || rank > 3 ||
      (!isNearest && mode != "linear" && mode != "bilinear" &&
       mode != "trilinear" && mode != "bicubic"))
    return std::nullopt;
  unsigned scale = isNearest ? 2 : 3;
  bool hasScale = op.getOverload() == "vec" && !isNone(scale);
  if (hasScale != isNone(1))
    return std::nullopt;
  for (unsigned i = scale;
       op.getOverload() != "vec" && i != op.getNumOperands(); ++i)
    if (!isNone(i))
      return std::nullopt;
  std::vector<Code> arguments;
  if (hasScale) {
    auto scales = dyn_cast_or_null<ArrayAttr>(get(scale));
    if (!scales || scales.size() != rank)
      return std::nullopt;
    Code tuple("", '(', {});
    for (Attribute factor : scales) {
      auto number = dyn_cast<FloatAttr>(factor);
      if (!number)
        return std::nullopt;
      tuple.items.emplace_back(spellFloat(number.getValueAsDouble()));
    }
    if (llvm::all_equal(scales))
      tuple = Code(tuple.items.front());
    arguments.push_back(makeKeyword("scale_factor", tuple));
  } else {
    auto size = getInts(1);
    if (!size || size->size() != rank)
      return std::nullopt;
    arguments.push_back(makeKeyword("size", spell(*size)));
  }
  arguments.push_back(makeKeyword("mode", quote(mode)));
  if (!isNearest) {
    auto aligns = dyn_cast_or_null<BoolAttr>(get(2));
    if (!aligns)
      return std::nullopt;
    add(arguments, "align_corners", aligns.getValue(), false);
  }
  return make("Upsample", std::move(arguments));
}

std::optional<Code> Matcher::matchPadding() {
  auto sides = getInts(1);
  auto mode = dyn_cast_or_null<StringAttr>(get(2));
  if (op.getName() != "aten::pad" || !isInput(0) || !hasOnly({}) || !sides ||
      !mode || sides->empty() || sides->size() % 2 != 0 || sides->size() > 6)
    return std::nullopt;
  std::string rank = std::to_string(sides->size() / 2) + "d";
  std::vector<Code> arguments = {spell(*sides)};
  if (mode.getValue() == "reflect" && isNone(3))
    return make("ReflectionPad" + rank, std::move(arguments));
  if (mode.getValue() == "replicate" && isNone(3))
    return make("ReplicationPad" + rank, std::move(arguments));
  std::optional<double> value = isNone(3) ? 0.0 : getNumber(3);
  if (mode.getValue() != "constant" || !value)
    return std::nullopt;
  if (*value == 0 && !std::signbit(*value) && rank == "2d")
    return make("ZeroPad2d", std::move(arguments));
  arguments.emplace_back(spellFloat(*value));
  return make("ConstantPad" + rank, std::move(arguments));
}

std::optional<Code> Matcher::matchOther() {
  StringRef name = op.getName();
  if (!name.consume_front("aten::"))
    return std::nullopt;
  bool isInPlace = name == "dropout_" || name == "feature_dropout_";
  name.consume_back("_");
  if ((name == "dropout" || name == "feature_dropout") && isInput(0) &&
      hasOnly({}) && followsTraining(2)) {
    auto p = getNumber(1);
    if (!p)
      return std::nullopt;
    std::vector<Code> arguments = {spellFloat(*p)};
    add(arguments, "inplace", isInPlace, false);
    StringRef type = name == "dropout"          ? "Dropout"
                     : className == "Dropout1d" ? "Dropout1d"
                     : className == "Dropout3d" ? "Dropout3d"
                                                : "Dropout2d";
    return make(type, std::move(arguments));
  }
  if (name == "flatten" && isInput(0) && hasOnly({}) && getInt(1) &&
      getInt(2)) {
    std::vector<Code> arguments;
    add(arguments, "start_dim", *getInt(1), 1);
    add(arguments, "end_dim", *getInt(2), -1);
    return make("Flatten", std::move(arguments));
  }
  if (name == "pixel_shuffle" && isInput(0) && hasOnly({}) && getInt(1))
    return make("PixelShuffle", {std::to_string(*getInt(1))});
  if (name == "embedding" && hasOnly({"weight"}) && isSlot(0, "weight") &&
      isInput(1) && isBool(3, false) && isBool(4, false)) {
    TensorAttr weight = getTensor("weight");
    auto padding = getInt(2);
    if (!weight || weight.getSizes().size() != 2 || !padding)
      return std::nullopt;
    std::vector<Code> arguments = {std::to_string(weight.getSizes()[0]),
                                   std::to_string(weight.getSizes()[1])};
    add(arguments, "padding_idx", *padding, -1);
    return make("Embedding", std::move(arguments));
  }
  return std::nullopt;
}

std::optional<Code> Matcher::match() {
  ArrayRef<MethodOp> methods = emitter.getMethods(instance);
  if (hasOthers)
    return std::nullopt;
  if (std::optional<Code> scripted = matchScripted())
    return scripted;
  if (methods.empty())
    return matchUncalled();
  std::optional<Code> first;
  for (MethodOp method : methods) {
    countsBatches = false;
    pad = nullptr;
    if (!findOperator(method))
      return std::nullopt;
    std::optional<Code> found = matchConvolution();
    if (pad && !found)
      return std::nullopt;
    if (!found)
      found = matchNorm();
    if (countsBatches && (!found || !training))
      return std::nullopt;
    if (!found)
      found = matchActivation();
    if (!found)
      found = matchPooling();
    if (!found)
      found = matchUpsample();
    if (!found)
      found = matchPadding();
    if (!found)
      found = matchOther();
    if (!found || (first && first->flat() != found->flat()))
      return std::nullopt;
    first = found;
  }
  return first;
}

std::optional<Code> matchLibraryClass(Emitter &emitter, ModuleOp instance,
                                      StringRef layers) {
  return Matcher(emitter, instance, layers).match();
}

} // namespace fqat
