//===- Model.cpp - Looking things up in a model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Model.h"

#include "fqat/IR/Paths.h"
#include "fqat/Support/Dtypes.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cstring>

using namespace mlir;

namespace fqat {

LogicalResult checkModel(mlir::ModuleOp model) {
  for (Operation &op : *model.getBody())
    if (!isa<ModuleOp, AliasOp, StorageOp, ParameterOp, BufferOp, AttributeOp,
             MethodOp, FunctionOp, TypedefOp, RecordOp>(op))
      return op.emitError() << "'" << op.getName() << "' is no part of a model";
  for (Operation &op : *model.getBody())
    for (NamedAttribute attr : op.getAttrs())
      if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr.getValue()))
        if (AsmResourceBlob *blob = resource.getRawHandle().getBlob();
            blob && (!resource.getElementType().isInteger(8) ||
                     blob->getData().size() !=
                         static_cast<uint64_t>(resource.getNumElements())))
          return op.emitError() << "the file has " << blob->getData().size()
                                << " bytes for " << resource.getType();
  if (!model.lookupSymbol<ModuleOp>(FQATDialect::kRootName))
    return model.emitError() << "the model has no root instance";
  return success();
}

MethodOp getEntry(SymbolTable &symbols) {
  return symbols.lookup<MethodOp>("forward");
}

ModuleOp lookupInstance(SymbolTable &symbols, StringRef symbol) {
  Operation *op = symbols.lookup(symbol);
  if (auto alias = dyn_cast_or_null<AliasOp>(op))
    op = symbols.lookup(alias.getTarget());
  return dyn_cast_or_null<ModuleOp>(op);
}

AliasIndex::AliasIndex(mlir::ModuleOp model)
    : aliases(model.getOps<AliasOp>()) {}

StringAttr AliasIndex::findBelow(StringRef instance, StringAttr symbol) const {
  if (isAtOrBelow(symbol, instance))
    return symbol;
  for (AliasOp alias : aliases)
    if (isAtOrBelow(alias.getSymName(), instance) &&
        isAtOrBelow(symbol, alias.getTarget()))
      return StringAttr::get(
          symbol.getContext(),
          rebasePath(symbol, alias.getTarget(), alias.getSymName()));
  return symbol;
}

Attribute getSlotValue(Operation *slot) {
  return llvm::TypeSwitch<Operation *, Attribute>(slot)
      .Case<ParameterOp, BufferOp, AttributeOp>(
          [](auto op) { return op.getValueAttr(); })
      .Default([](Operation *) { return nullptr; });
}

StringRef getInstanceOf(Operation *op) {
  auto method = op->getParentOfType<MethodOp>();
  return method ? method.getInstance() : StringRef();
}

StringRef getShortName(Operation *op) {
  if (auto known = dyn_cast<OperatorOp>(op))
    return known.getShortName();
  return op->getName().stripDialect();
}

std::string describeOp(Operation *op) {
  if (auto call = dyn_cast<CallOp>(op))
    return displayPath(splitPath(call.getCallee()).first);
  if (auto nop = dyn_cast<OutNopOp>(op))
    return displayPath(nop.getInstance());
  std::string result = ("'" + getShortName(op) + "'").str();
  StringRef instance = getInstanceOf(op);
  return instance.empty() ? result : result + " in " + displayPath(instance);
}

int64_t getIdentity(Attribute value) {
  return llvm::TypeSwitch<Attribute, int64_t>(value)
      .Case<TensorAttr, ListAttr, DictAttr, ObjectAttr, BuildAttr>(
          [](auto attr) { return attr.getIdentity(); })
      .Default([](Attribute) { return 0; });
}

Attribute withIdentity(Attribute value, int64_t identity) {
  MLIRContext *context = value.getContext();
  return llvm::TypeSwitch<Attribute, Attribute>(value)
      .Case([&](TensorAttr tensor) {
        return TensorAttr::get(context, tensor.getStorage(), tensor.getDtype(),
                               tensor.getSizes(), tensor.getStrides(),
                               tensor.getOffset(), tensor.getRequiresGrad(),
                               identity);
      })
      .Case([&](ListAttr list) {
        return ListAttr::get(context, list.getElements(), list.getTypeTag(),
                             identity);
      })
      .Case([&](DictAttr dict) {
        return DictAttr::get(context, dict.getItems(), dict.getTypeTag(),
                             identity);
      })
      .Case([&](ObjectAttr object) {
        return ObjectAttr::get(context, object.getClassName(),
                               object.getState(), identity);
      })
      .Case([&](BuildAttr build) {
        return BuildAttr::get(context, build.getFunction(),
                              build.getArguments(), identity);
      })
      .Default(value);
}

std::optional<ArrayRef<char>> getBytes(ElementsAttr attr) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    return blob ? std::optional<ArrayRef<char>>(blob->getData()) : std::nullopt;
  }
  auto dense = dyn_cast<DenseElementsAttr>(attr);
  if (!dense || (dense.isSplat() && dense.getNumElements() != 1))
    return std::nullopt;
  return dense.getRawData();
}

bool fitsInto(TensorAttr tensor, uint64_t numBytes) {
  if (llvm::is_contained(tensor.getSizes(), 0))
    return true;
  uint64_t numElements = numBytes / getElementSize(tensor.getDtype());
  uint64_t last = tensor.getOffset();
  for (auto [size, stride] :
       llvm::zip(tensor.getSizes(), tensor.getStrides())) {
    uint64_t step = uint64_t(stride), count = uint64_t(size) - 1;
    if (stride < 0 || (step != 0 && count > numElements / step))
      return false;
    last += count * step;
    if (last >= numElements)
      return false;
  }
  return last < numElements;
}

ArrayAttr getListElements(Attribute value) {
  if (auto list = dyn_cast_or_null<ListAttr>(value))
    return list.getElements();
  // Lists of ints, floats, bools and tensors.
  auto build = dyn_cast_or_null<BuildAttr>(value);
  auto arguments =
      build && build.getFunction().starts_with("torch.jit._pickle.build_")
          ? dyn_cast<ArrayAttr>(build.getArguments())
          : ArrayAttr();
  auto list = arguments && arguments.size() == 1
                  ? dyn_cast<ListAttr>(arguments[0])
                  : ListAttr();
  return list ? list.getElements() : ArrayAttr();
}

bool isHusk(SymbolTable &symbols, MethodOp method) {
  SmallVector<MethodOp> worklist = {method};
  DenseSet<Operation *> seen;
  while (!worklist.empty()) {
    MethodOp current = worklist.pop_back_val();
    if (!seen.insert(current).second)
      continue;
    if (current.getNumResults() != 0)
      return false;
    for (Operation &op : current.getBody().front()) {
      if (auto call = dyn_cast<CallOp>(op)) {
        auto callee = symbols.lookup<MethodOp>(call.getCallee());
        if (callee == method || callee == current)
          return false; // It never returns.
        worklist.push_back(callee);
      } else if (!isa<ReturnOp, ConstantOp, GetOp>(op)) {
        return false;
      }
    }
  }
  return true;
}

/// Whether a constant is the number one, as a number or as a tensor without
/// dimensions.
static bool isOne(SymbolTable &symbols, Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  if (!constant)
    return false;
  if (auto number = dyn_cast<IntegerAttr>(constant.getValue()))
    return number.getInt() == 1;
  if (auto number = dyn_cast<FloatAttr>(constant.getValue()))
    return number.getValueAsDouble() == 1.0;
  auto tensor = dyn_cast<TensorAttr>(constant.getValue());
  if (!tensor || !tensor.getSizes().empty())
    return false;
  auto storage = symbols.lookup<StorageOp>(tensor.getStorage().getValue());
  auto bytes = dyn_cast<DenseResourceElementsAttr>(storage.getBytes());
  AsmResourceBlob *blob = bytes ? bytes.getRawHandle().getBlob() : nullptr;
  if (!blob)
    return false;
  auto holdsOne = [&](auto one) {
    decltype(one) value;
    size_t offset = tensor.getOffset() * sizeof(value);
    if (offset + sizeof(value) > blob->getData().size())
      return false;
    memcpy(&value, blob->getData().data() + offset, sizeof(value));
    return value == one;
  };
  return (tensor.getDtype() == "int64" && holdsOne(int64_t(1))) ||
         (tensor.getDtype() == "float32" && holdsOne(1.0f)) ||
         (tensor.getDtype() == "float64" && holdsOne(1.0));
}

bool returnsArgument(MethodOp method) {
  Block &body = method.getBody().front();
  return method.getNumArguments() == 1 && method.getNumResults() == 1 &&
         llvm::hasSingleElement(body) &&
         body.getTerminator()->getOperand(0) == body.getArgument(0);
}

/// The tensor whose size in dimension `index` a number is, or null.
static Value getSizedTensor(Value number, int64_t index) {
  // Tracing passes sizes through tensors without dimensions.
  auto op = number.getDefiningOp<OperatorOp>();
  while (op &&
         (op.getName() == "aten::Int" || op.getName() == "prim::NumToTensor" ||
          op.getName() == "aten::ScalarImplicit" ||
          op.getName() == "aten::IntImplicit"))
    op = op.getOperand(0).getDefiningOp<OperatorOp>();
  if (!op || op.getName() != "aten::size" || op.getNumOperands() != 2)
    return {};
  auto dimension = op.getOperand(1).getDefiningOp<ConstantOp>();
  auto value =
      dimension ? dyn_cast<IntegerAttr>(dimension.getValue()) : IntegerAttr();
  return value && value.getInt() == index ? op.getOperand(0) : Value();
}

/// Whether a list of sizes is a tensor's own; one of them may be -1.
static bool areOwnSizes(Value sizes, Value tensor) {
  if (auto op = sizes.getDefiningOp<OperatorOp>())
    return op.getName() == "aten::size" && op.getNumOperands() == 1 &&
           op.getOperand(0) == tensor;
  auto list = sizes.getDefiningOp<ListOp>();
  if (!list || list.getElements().empty())
    return false;
  bool hasInferred = false;
  for (auto [i, size] : llvm::enumerate(list.getElements())) {
    auto constant = size.getDefiningOp<ConstantOp>();
    auto number =
        constant ? dyn_cast<IntegerAttr>(constant.getValue()) : IntegerAttr();
    if (number && number.getInt() == -1 && !hasInferred)
      hasInferred = true;
    else if (getSizedTensor(size, i) != tensor)
      return false;
  }
  // With -1 alone, the number of dimensions may be another.
  return !hasInferred || list.getElements().size() > 1;
}

/// Whether an op, one of those that tracing leaves of a nop, hands its first
/// operand on as it is. `believes` is as in `mayBeIdentity`.
static bool keepsAll(SymbolTable &symbols, OperatorOp op, bool believes) {
  StringRef name = op.getName();
  if (name == "aten::alias" || name == "aten::detach" ||
      name == "aten::clone" || name == "aten::contiguous")
    return true;
  // In evaluation, dropout returns its argument: it draws nothing then.
  if (name == "aten::dropout")
    return true;
  if (op.getNumOperands() < 2)
    return false;
  Value input = op.getOperand(0), other = op.getOperand(1);
  if (name == "aten::view_as" || name == "aten::expand_as" ||
      name == "aten::type_as" || name == "aten::reshape_as")
    return input == other;
  if (name == "aten::view" || name == "aten::reshape")
    return believes || areOwnSizes(other, input);
  if (name == "aten::to")
    return believes || input == other;
  return name == "aten::mul" && isOne(symbols, other);
}

static bool isIdentity(SymbolTable &symbols, MethodOp method, bool believes) {
  if (method.getNumArguments() != 1 || method.getNumResults() != 1 ||
      !isa<TensorType>(method.getArgumentTypes().front()) ||
      !isa<TensorType>(method.getResultTypes().front()))
    return false;
  Block &body = method.getBody().front();
  for (Operation &op : body) {
    auto oper = dyn_cast<OperatorOp>(op);
    if (!isa<ConstantOp, ListOp, GetOp, ReturnOp, OperatorOp>(op) ||
        (oper && (oper.hasWrites() || oper.getRandom() || oper.getEffects())))
      return false;
  }
  // The tensor that each op hands on, from the return backwards.
  Value value = body.getTerminator()->getOperand(0);
  while (auto op = value.getDefiningOp<OperatorOp>()) {
    if (op.getNumOperands() == 0 || !keepsAll(symbols, op, believes))
      return false;
    value = op.getOperand(0);
  }
  return value == body.getArgument(0);
}

bool isIdentity(SymbolTable &symbols, MethodOp method) {
  return isIdentity(symbols, method, /*believes=*/false);
}

bool mayBeIdentity(SymbolTable &symbols, MethodOp method) {
  return isIdentity(symbols, method, /*believes=*/true);
}

bool isViewBySizes(MethodOp method) {
  auto op = method.getBody()
                .front()
                .getTerminator()
                ->getOperand(0)
                .getDefiningOp<OperatorOp>();
  return op &&
         (op.getName() == "aten::view" || op.getName() == "aten::reshape") &&
         op.getOperand(0) == method.getArgument(0) &&
         areOwnSizes(op.getOperand(1), op.getOperand(0));
}

bool isOutNop(ModuleOp instance, StringRef name) {
  if (instance.getOriginalName() == "OutNop")
    return true;
  // A list of nops is none itself.
  if (instance.getClassName().starts_with(
          "__torch__.torch.nn.modules.container."))
    return false;
  StringRef leaf = splitPath(instance.getSymName()).second;
  if (!leaf.consume_front(name))
    return false;
  leaf.consume_front("_");
  return llvm::all_of(leaf, llvm::isDigit);
}

} // namespace fqat
