//===- FQATOps.cpp - The ops of the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fqat {

//===----------------------------------------------------------------------===//
// Helpers
//===----------------------------------------------------------------------===//

/// Names the results of an op after the names that its location carries: those
/// that the values had in TorchScript.
static void setNamesFromLocation(Operation *op, OpAsmSetValueNameFn setNameFn) {
  if (op->getNumResults() == 0)
    return;
  if (auto name = dyn_cast<NameLoc>(op->getLoc())) {
    SmallVector<StringRef> names;
    name.getName().getValue().split(names, ',');
    if (names.size() == op->getNumResults())
      for (auto [result, n] : llvm::zip(op->getResults(), names))
        if (!n.empty())
          setNameFn(result, n);
  }
}

/// The op that a symbol of the model names, or null.
template <typename OpTy = Operation *>
static OpTy lookup(SymbolTableCollection &symbolTable, Operation *from,
                   FlatSymbolRefAttr symbol) {
  return symbolTable.lookupNearestSymbolFrom<OpTy>(from, symbol);
}

//===----------------------------------------------------------------------===//
// The object graph
//===----------------------------------------------------------------------===//

void ModuleOp::build(OpBuilder &builder, OperationState &state,
                     StringRef symName, StringRef className, ArrayAttr slots) {
  build(builder, state, builder.getStringAttr(symName),
        builder.getStringAttr(className), slots, /*constants=*/nullptr,
        /*hooks=*/nullptr, /*pre_hooks=*/nullptr, /*state=*/nullptr,
        /*interface=*/nullptr);
}

std::string ModuleOp::getMemberSymbol(StringRef name) {
  return joinPath(getSymName(), name);
}

LogicalResult ModuleOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (!isRoot()) {
    StringRef parent = splitPath(getSymName()).first;
    if (!lookup<ModuleOp>(symbolTable, *this,
                          FlatSymbolRefAttr::get(getContext(), parent)))
      return emitOpError("lies below '") << parent << "', which is no instance";
  }
  for (auto slot : getSlots().getAsRange<StringAttr>()) {
    auto symbol =
        FlatSymbolRefAttr::get(getContext(), getMemberSymbol(slot.getValue()));
    Operation *member = lookup(symbolTable, *this, symbol);
    if (!isa_and_nonnull<ModuleOp, AliasOp, ParameterOp, BufferOp, AttributeOp>(
            member))
      return emitOpError("declares the slot ")
             << slot << ", but '" << symbol.getValue() << "' is not defined";
  }
  return success();
}

LogicalResult AliasOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (!lookup<ModuleOp>(symbolTable, *this, getTargetAttr()))
    return emitOpError("refers to '")
           << getTarget() << "', which is no instance";
  return success();
}

LogicalResult StorageOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getBytes().getShapedType());
  if (!type || type.getRank() != 1 || !type.getElementType().isInteger(8))
    return emitOpError("holds ")
           << getBytes().getShapedType() << " instead of a vector of bytes";
  return success();
}

template <typename SlotOpTy>
static LogicalResult verifySlot(SlotOpTy op,
                                SymbolTableCollection &symbolTable) {
  auto tensor = dyn_cast_or_null<TensorAttr>(op.getValueAttr());
  if (tensor) {
    auto storage = lookup<StorageOp>(symbolTable, op, tensor.getStorage());
    if (!storage)
      return op.emitOpError("views '")
             << tensor.getStorage().getValue() << "', which is no storage";
  }
  StringRef parent = splitPath(op.getSymName()).first;
  if (!lookup<ModuleOp>(symbolTable, op,
                        FlatSymbolRefAttr::get(op.getContext(), parent)))
    return op.emitOpError("lies below '")
           << parent << "', which is no instance";
  return success();
}

LogicalResult
ParameterOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return verifySlot(*this, symbolTable);
}
LogicalResult BufferOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return verifySlot(*this, symbolTable);
}
LogicalResult
AttributeOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return verifySlot(*this, symbolTable);
}

//===----------------------------------------------------------------------===//
// Methods and calls
//===----------------------------------------------------------------------===//

StringRef MethodOp::getMethodName() { return splitPath(getSymName()).second; }

StringRef MethodOp::getArgName(unsigned index) {
  auto name = getArgAttrOfType<StringAttr>(index, FQATDialect::kArgNameAttr);
  return name ? name.getValue() : StringRef();
}

void MethodOp::getAsmBlockArgumentNames(Region &region,
                                        OpAsmSetValueNameFn setNameFn) {
  for (BlockArgument arg : region.getArguments())
    if (StringRef name = getArgName(arg.getArgNumber()); !name.empty())
      setNameFn(arg, name);
}

template <typename OpTy>
static ParseResult parseFunctionLike(OpAsmParser &parser,
                                     OperationState &result) {
  auto buildFunctionType =
      [](Builder &builder, ArrayRef<Type> inputs, ArrayRef<Type> results,
         function_interface_impl::VariadicFlag,
         std::string &) { return builder.getFunctionType(inputs, results); };
  return function_interface_impl::parseFunctionOp(
      parser, result, /*allowVariadic=*/false,
      OpTy::getFunctionTypeAttrName(result.name), buildFunctionType,
      OpTy::getArgAttrsAttrName(result.name),
      OpTy::getResAttrsAttrName(result.name));
}

template <typename OpTy>
static void printFunctionLike(OpTy op, OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(
      printer, op, /*isVariadic=*/false, op.getFunctionTypeAttrName(),
      op.getArgAttrsAttrName(), op.getResAttrsAttrName());
}

ParseResult MethodOp::parse(OpAsmParser &parser, OperationState &result) {
  return parseFunctionLike<MethodOp>(parser, result);
}

void MethodOp::print(OpAsmPrinter &printer) {
  printFunctionLike(*this, printer);
}

LogicalResult MethodOp::verify() {
  if (getBody().empty())
    return emitOpError("has no body");
  if (splitPath(getSymName()).first != getInstance())
    return emitOpError("is no member of its instance '")
           << getInstance() << "'";
  return success();
}

LogicalResult MethodOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (!lookup<ModuleOp>(symbolTable, *this, getInstanceAttr()))
    return emitOpError("belongs to '")
           << getInstance() << "', which is no instance";
  return success();
}

/// Whether values of the types `from` can stand where `to` is declared.
static bool areSubtypes(TypeRange from, TypeRange to) {
  return from.size() == to.size() &&
         llvm::all_of(llvm::zip(from, to), [](auto pair) {
           return isSubtype(std::get<0>(pair), std::get<1>(pair));
         });
}

ParseResult FunctionOp::parse(OpAsmParser &parser, OperationState &result) {
  return parseFunctionLike<FunctionOp>(parser, result);
}

void FunctionOp::print(OpAsmPrinter &printer) {
  printFunctionLike(*this, printer);
}

LogicalResult FunctionOp::verify() {
  if (getBody().empty())
    return emitOpError("has no body");
  if (!getSymName().starts_with("$"))
    return emitOpError("has a symbol without a dollar sign");
  return success();
}

void FunctionOp::getAsmBlockArgumentNames(Region &region,
                                          OpAsmSetValueNameFn setNameFn) {
  for (BlockArgument arg : region.getArguments())
    if (auto name = getArgAttrOfType<StringAttr>(arg.getArgNumber(),
                                                 FQATDialect::kArgNameAttr))
      setNameFn(arg, name.getValue());
}

LogicalResult ReturnOp::verify() {
  auto function = cast<FunctionOpInterface>((*this)->getParentOp());
  if (!areSubtypes(getOperandTypes(), function.getResultTypes()))
    return emitOpError("returns other types than its method declares");
  return success();
}

void CallOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

CallInterfaceCallable CallOp::getCallableForCallee() { return getCalleeAttr(); }

void CallOp::setCalleeFromCallable(CallInterfaceCallable callee) {
  setCalleeAttr(cast<FlatSymbolRefAttr>(cast<SymbolRefAttr>(callee)));
}

Operation::operand_range CallOp::getArgOperands() { return getArguments(); }

MutableOperandRange CallOp::getArgOperandsMutable() {
  return getArgumentsMutable();
}

/// What names parts of the model belongs to a method: a function has no `self`
/// to reach them.
static LogicalResult verifyInMethod(Operation *op) {
  if (!op->getParentOfType<MethodOp>())
    return op->emitOpError("must be in a method");
  return success();
}

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (failed(verifyInMethod(*this)))
    return failure();
  auto method = lookup<MethodOp>(symbolTable, *this, getCalleeAttr());
  if (!method)
    return emitOpError("calls '") << getCallee() << "', which is no method";
  if (!areSubtypes(getArguments().getTypes(), method.getArgumentTypes()) ||
      TypeRange(method.getResultTypes()) != getResultTypes()) {
    InFlightDiagnostic diag = emitOpError("does not match the signature of '")
                              << getCallee() << "'";
    diag.attachNote(method.getLoc()) << "the method is here";
    return diag;
  }
  return success();
}

void CallFunctionOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

LogicalResult
CallFunctionOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  auto function = lookup<FunctionOp>(symbolTable, *this, getCalleeAttr());
  if (!function)
    return emitOpError("calls '") << getCallee() << "', which is no function";
  if (!areSubtypes(getArguments().getTypes(), function.getArgumentTypes()) ||
      TypeRange(function.getResultTypes()) != getResultTypes())
    return emitOpError("does not match the signature of '")
           << getCallee() << "'";
  return success();
}

void OutNopOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

LogicalResult OutNopOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (failed(verifyInMethod(*this)))
    return failure();
  if (!lookup<ModuleOp>(symbolTable, *this, getInstanceAttr()))
    return emitOpError("calls '") << getInstance() << "', which is no instance";
  return success();
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

void GetOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNameFn(getResult(), splitPath(getSlot()).second);
}

/// The declared type of a slot, or null if the op is none.
static Type getSlotType(Operation *slot) {
  return TypeSwitch<Operation *, Type>(slot)
      .Case<ParameterOp, BufferOp, AttributeOp>(
          [](auto op) { return op.getType(); })
      .Default([](Operation *) { return Type(); });
}

LogicalResult GetOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (failed(verifyInMethod(*this)))
    return failure();
  Operation *slot = lookup(symbolTable, *this, getSlotAttr());
  if (isa_and_nonnull<ModuleOp, AliasOp>(slot)) {
    if (!isa<ObjectType>(getResult().getType()))
      return emitOpError("reads an instance as ") << getResult().getType();
    return success();
  }
  Type type = slot ? getSlotType(slot) : Type();
  if (!type)
    return emitOpError("reads '") << getSlot() << "', which is no slot";
  if (type != getResult().getType())
    return emitOpError("reads a slot of type ") << type;
  return success();
}

LogicalResult SetOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  if (failed(verifyInMethod(*this)))
    return failure();
  Operation *slot = lookup(symbolTable, *this, getSlotAttr());
  Type type = slot ? getSlotType(slot) : Type();
  if (!type)
    return emitOpError("writes '") << getSlot() << "', which is no slot";
  if (!isSubtype(getValue().getType(), type))
    return emitOpError("writes a slot of type ") << type;
  return success();
}

void ConstantOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  Attribute value = getValue();
  if (isa<UnitAttr>(value))
    return setNameFn(getResult(), "none");
  if (auto b = dyn_cast<BoolAttr>(value))
    return setNameFn(getResult(), b.getValue() ? "true" : "false");
  if (auto i = dyn_cast<IntegerAttr>(value); i && !i.getValue().isNegative())
    return setNameFn(getResult(), "int" + std::to_string(i.getInt()));
  if (isa<IntegerAttr>(value))
    return setNameFn(getResult(), "int");
  if (isa<FloatAttr>(value))
    return setNameFn(getResult(), "float");
  if (isa<StringAttr>(value))
    return setNameFn(getResult(), "str");
  setNameFn(getResult(), "cst");
}

Type ConstantOp::getValueType(Attribute value) {
  MLIRContext *context = value.getContext();
  if (isa<UnitAttr>(value))
    return NoneType::get(context);
  if (isa<BoolAttr>(value))
    return BoolType::get(context);
  if (auto i = dyn_cast<IntegerAttr>(value); i && i.getType().isInteger(64))
    return IntType::get(context);
  if (auto f = dyn_cast<FloatAttr>(value); f && f.getType().isF64())
    return FloatType::get(context);
  if (isa<StringAttr>(value))
    return StrType::get(context);
  if (isa<DeviceAttr>(value))
    return DeviceType::get(context);
  if (isa<ComplexAttr>(value))
    return ComplexType::get(context);
  if (auto member = dyn_cast<EnumAttr>(value))
    return ObjectType::get(context, member.getEnumName());
  if (auto object = dyn_cast<ObjectAttr>(value))
    return ObjectType::get(context, object.getClassName());
  if (auto tuple = dyn_cast<ArrayAttr>(value)) {
    SmallVector<Type> types;
    for (Attribute element : tuple) {
      types.push_back(getValueType(element));
      if (!types.back())
        return {};
    }
    return TupleType::get(context, types);
  }
  if (auto list = dyn_cast<ListAttr>(value)) {
    // The file says what it is a list of.
    Type element = llvm::StringSwitch<Type>(list.getTypeTag())
                       .Case("List[int]", IntType::get(context))
                       .Case("List[float]", FloatType::get(context))
                       .Case("List[bool]", BoolType::get(context))
                       .Case("List[str]", StrType::get(context))
                       .Case("List[Tensor]", TensorType::get(context))
                       .Default(Type());
    return element ? ListType::get(element) : Type();
  }
  // Quantised and sparse tensors.
  if (auto build = dyn_cast<BuildAttr>(value);
      build && build.getFunction().starts_with("torch._utils._rebuild_"))
    return TensorType::get(context);
  if (isa<TensorAttr>(value))
    return TensorType::get(context);
  return {};
}

LogicalResult
ConstantOp::inferReturnTypes(MLIRContext *context,
                             std::optional<Location> location, Adaptor adaptor,
                             SmallVectorImpl<Type> &inferredReturnTypes) {
  Type type = getValueType(adaptor.getValue());
  if (!type)
    return emitOptionalError(location, "no constant has the value ",
                             adaptor.getValue());
  inferredReturnTypes.push_back(type);
  return success();
}

LogicalResult ConstantOp::verify() {
  if (getResult().getType() != getValueType(getValue()))
    return emitOpError("has a type that does not fit its value");
  return success();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

template <typename OpTy>
static void
getAllocationEffects(OpTy op,
                     SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  // Each run makes a new, mutable object: two of them must not become one.
  effects.emplace_back(MemoryEffects::Allocate::get(),
                       cast<OpResult>(op.getResult()));
}

void TupleOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}
void TupleOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {}
LogicalResult TupleOp::verify() {
  if (!isa<TupleType, ObjectType>(getResult().getType()))
    return emitOpError("makes no tuple");
  return success();
}

void ListOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}
void ListOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  getAllocationEffects(*this, effects);
}
LogicalResult ListOp::verify() {
  if (!isa<ListType>(getResult().getType()))
    return emitOpError("makes no list");
  return success();
}

void DictOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}
void DictOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  getAllocationEffects(*this, effects);
}
LogicalResult DictOp::verify() {
  if (!isa<DictType>(getResult().getType()))
    return emitOpError("makes no dict");
  if (getElements().size() % 2 != 0)
    return emitOpError("has a key without a value");
  return success();
}

void UnpackOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}
LogicalResult UnpackOp::verify() {
  Type type = getAggregate().getType();
  if (auto tuple = dyn_cast<TupleType>(type)) {
    if (TypeRange(tuple.getElementTypes()) != getResultTypes())
      return emitOpError("has other results than the tuple has elements");
    return success();
  }
  if (!isa<ListType, ObjectType>(type))
    return emitOpError("takes apart what is neither tuple nor list");
  return success();
}

void OperatorOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

void OperatorOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  for (OpOperand &operand : getOperation()->getOpOperands()) {
    if (!isa<TensorType, ListType, DictType>(operand.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
    if (isWritten(operand.getOperandNumber()))
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
  }
  for (OpResult result : getOperation()->getResults())
    if (isa<TensorType, ListType, DictType>(result.getType()))
      effects.emplace_back(MemoryEffects::Allocate::get(), result);
  // The state of the random generator, and the world outside, are written.
  if (getRandom() || getEffects()) {
    effects.emplace_back(MemoryEffects::Read::get());
    effects.emplace_back(MemoryEffects::Write::get());
  }
}

void OperatorOp::build(OpBuilder &builder, OperationState &state,
                       StringRef name, StringRef overload, ValueRange operands,
                       TypeRange results) {
  StringAttr overloadAttr;
  if (!overload.empty())
    overloadAttr = builder.getStringAttr(overload);
  build(builder, state, results, builder.getStringAttr(name), overloadAttr,
        operands, /*extra=*/nullptr, /*writes=*/nullptr, /*aliases=*/nullptr,
        /*random=*/false, /*effects=*/false);
}

LogicalResult OperatorOp::verify() {
  if (!getName().contains("::"))
    return emitOpError("name '") << getName() << "' has no namespace";
  if (auto writes = getWrites())
    for (int64_t index : *writes)
      if (index < 0 || index >= int64_t(getNumOperands()))
        return emitOpError("writes operand ")
               << index << ", which is not there";
  if (auto aliases = getAliases()) {
    if (aliases->size() != getNumResults())
      return emitOpError("has ") << getNumResults() << " results but "
                                 << aliases->size() << " aliases";
    for (int64_t index : *aliases)
      if (index < -1 || index >= int64_t(getNumOperands()))
        return emitOpError("aliases operand ")
               << index << ", which is not there";
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void IfOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

LogicalResult IfOp::verify() {
  for (Region *arm : {&getThenRegion(), &getElseRegion()})
    if (!areSubtypes(arm->front().getTerminator()->getOperandTypes(),
                     getResultTypes()))
      return emitOpError("has an arm that yields other types than its results");
  return success();
}

void ForkOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

void LoopOp::getAsmResultNames(OpAsmSetValueNameFn setNameFn) {
  setNamesFromLocation(*this, setNameFn);
}

void LoopOp::getAsmBlockArgumentNames(Region &region,
                                      OpAsmSetValueNameFn setNameFn) {
  for (BlockArgument arg : region.getArguments())
    if (auto name = dyn_cast<NameLoc>(arg.getLoc());
        name && !name.getName().getValue().starts_with("@"))
      setNameFn(arg, name.getName().getValue());
}

LogicalResult LoopOp::verify() {
  Block &body = getBody().front();
  if (body.getNumArguments() != getInits().size() + 1 ||
      !isa<IntType>(body.getArgument(0).getType()) ||
      !areSubtypes(getInits().getTypes(),
                   TypeRange(body.getArgumentTypes()).drop_front()))
    return emitOpError("has a body whose arguments do not fit its inits");
  TypeRange yielded = body.getTerminator()->getOperandTypes();
  if (yielded.empty() || !isa<BoolType>(yielded.front()) ||
      !areSubtypes(yielded.drop_front(), getResultTypes()) ||
      getNumResults() != getInits().size())
    return emitOpError("has a body that yields other types than its results");
  return success();
}

} // namespace fqat

#define GET_OP_CLASSES
#include "fqat/IR/FQATOps.cpp.inc"
