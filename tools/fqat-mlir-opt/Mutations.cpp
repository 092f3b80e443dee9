//===- Mutations.cpp - Bugs that a pass could have -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Mutations.h"
#include "fqat/IR/FQATOps.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Hierarchy.h"
#include "fqat/Support/Model.h"
#include "fqat/Support/Operators.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fqat {

using Places = std::vector<std::function<void()>>;

//===----------------------------------------------------------------------===//
// Where things are
//===----------------------------------------------------------------------===//

/// The methods that `forward` comes to.
static SmallVector<MethodOp> getRun(mlir::ModuleOp model) {
  SymbolTable symbols(model);
  llvm::SetVector<Operation *> found;
  found.insert(getEntry(symbols));
  for (unsigned i = 0; i != found.size(); ++i)
    found[i]->walk(
        [&](CallOp call) { found.insert(symbols.lookup(call.getCallee())); });
  SmallVector<MethodOp> methods;
  for (Operation *op : found)
    methods.push_back(cast<MethodOp>(op));
  return methods;
}

/// The ops of one kind that `forward` comes to and that are not in an arm or a
/// loop, in order.
template <typename OpT>
static SmallVector<OpT> getOps(mlir::ModuleOp model) {
  SmallVector<OpT> ops;
  for (MethodOp method : getRun(model))
    llvm::append_range(ops, method.getBody().front().getOps<OpT>());
  return ops;
}

static bool isTensor(Value value) { return isa<TensorType>(value.getType()); }

/// The operator that has a tensor as its first operand and as its one result.
static SmallVector<OperatorOp> getTensorOps(mlir::ModuleOp model) {
  SmallVector<OperatorOp> ops;
  for (OperatorOp op : getOps<OperatorOp>(model))
    if (op->getNumResults() == 1 && isTensor(op.getResult(0)) &&
        op.getNumOperands() != 0 && isTensor(op.getOperand(0)) &&
        !op.getResult(0).use_empty())
      ops.push_back(op);
  return ops;
}

/// The slots that hold a tensor, by their storages.
static llvm::MapVector<Attribute, SmallVector<Operation *>>
getTensorSlots(mlir::ModuleOp model) {
  llvm::MapVector<Attribute, SmallVector<Operation *>> slots;
  for (Operation &op : *model.getBody())
    if (auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(&op)))
      slots[tensor.getStorage()].push_back(&op);
  return slots;
}

static ArrayRef<char> getBytes(mlir::ModuleOp model, TensorAttr tensor) {
  auto storage =
      cast<StorageOp>(SymbolTable::lookupSymbolIn(model, tensor.getStorage()));
  auto bytes = dyn_cast<DenseResourceElementsAttr>(storage.getBytes());
  AsmResourceBlob *blob = bytes ? bytes.getRawHandle().getBlob() : nullptr;
  return blob ? blob->getData() : ArrayRef<char>();
}

/// Pairs of slots with one leaf name whose tensors differ in nothing but their
/// storages, which are equal or not.
static SmallVector<std::pair<Operation *, Operation *>>
getSlotPairs(mlir::ModuleOp model, bool areEqual) {
  llvm::MapVector<std::pair<StringRef, Attribute>, SmallVector<Operation *>>
      alike;
  FlatSymbolRefAttr none =
      FlatSymbolRefAttr::get(StringAttr::get(model.getContext(), "$"));
  for (auto &[storage, slots] : getTensorSlots(model))
    for (Operation *slot : slots) {
      auto tensor = cast<TensorAttr>(getSlotValue(slot));
      alike[{splitPath(SymbolTable::getSymbolName(slot).getValue()).second,
             tensor.cloneWithStorage(none)}]
          .push_back(slot);
    }
  SmallVector<std::pair<Operation *, Operation *>> pairs;
  for (auto &[key, slots] : alike)
    for (unsigned i = 0; i + 1 < slots.size(); ++i) {
      auto a = cast<TensorAttr>(getSlotValue(slots[i]));
      auto b = cast<TensorAttr>(getSlotValue(slots[i + 1]));
      ArrayRef<char> bytesA = getBytes(model, a), bytesB = getBytes(model, b);
      if (a.getStorage() != b.getStorage() && !bytesA.empty() &&
          (bytesA == bytesB) == areEqual)
        pairs.push_back({slots[i], slots[i + 1]});
    }
  return pairs;
}

static void setValue(Operation *slot, Attribute value) {
  slot->setAttr("value", value);
}

//===----------------------------------------------------------------------===//
// State
//===----------------------------------------------------------------------===//

static Places swapWeights(mlir::ModuleOp model) {
  Places places;
  for (auto [a, b] : getSlotPairs(model, /*areEqual=*/false))
    places.emplace_back([a = a, b = b] {
      Attribute value = getSlotValue(a);
      setValue(a, getSlotValue(b));
      setValue(b, value);
    });
  return places;
}

static Places makeTie(mlir::ModuleOp model) {
  Places places;
  for (auto [a, b] : getSlotPairs(model, /*areEqual=*/true))
    places.emplace_back([a = a, b = b] { setValue(b, getSlotValue(a)); });
  return places;
}

static Places loseTie(mlir::ModuleOp model) {
  Places places;
  for (auto &[storage, slots] : getTensorSlots(model)) {
    auto getOwner = [](Operation *slot) {
      return splitPath(SymbolTable::getSymbolName(slot).getValue()).first;
    };
    StringRef owner = getOwner(slots.back());
    if (owner == getOwner(slots.front()))
      continue;
    places.emplace_back([model, owner] {
      Hierarchy hierarchy(model);
      DenseMap<Attribute, Attribute> copies;
      hierarchy.untie(lookupInstance(hierarchy.getSymbols(), owner), copies);
    });
  }
  return places;
}

static Places flipRequiresGrad(mlir::ModuleOp model) {
  Places places;
  for (auto parameter : model.getOps<ParameterOp>())
    if (auto tensor = dyn_cast_or_null<TensorAttr>(parameter.getValueAttr()))
      places.emplace_back([parameter, tensor] {
        setValue(parameter,
                 TensorAttr::get(tensor.getContext(), tensor.getStorage(),
                                 tensor.getDtype(), tensor.getSizes(),
                                 tensor.getStrides(), tensor.getOffset(),
                                 !tensor.getRequiresGrad(),
                                 tensor.getIdentity()));
      });
  return places;
}

static Places flipTraining(mlir::ModuleOp model) {
  Places places;
  SymbolTable symbols(model);
  for (auto attribute : model.getOps<AttributeOp>()) {
    auto [path, leaf] = splitPath(attribute.getSymName());
    auto flag = dyn_cast_or_null<BoolAttr>(attribute.getValueAttr());
    auto owner = lookupInstance(symbols, path);
    // An out_nop is the same in training and out of it.
    if (leaf != "training" || !flag || !owner || isOutNop(owner, "out_nop"))
      continue;
    places.emplace_back([attribute, flag] {
      setValue(attribute, BoolAttr::get(flag.getContext(), !flag.getValue()));
    });
  }
  return places;
}

static Places bufferToParameter(mlir::ModuleOp model) {
  Places places;
  for (auto buffer : model.getOps<BufferOp>())
    places.emplace_back([buffer]() mutable {
      OpBuilder builder(buffer);
      ParameterOp::create(builder, buffer.getLoc(), buffer.getSymNameAttr(),
                          buffer.getValueAttr(), buffer.getTypeAttr());
      buffer.erase();
    });
  return places;
}

static Places loseMethod(mlir::ModuleOp model) {
  Places places;
  for (auto method : model.getOps<MethodOp>())
    if (method.isExported() && method.getMethodName() != "forward" &&
        SymbolTable::symbolKnownUseEmpty(method, model))
      places.emplace_back([method]() mutable { method.erase(); });
  return places;
}

//===----------------------------------------------------------------------===//
// out_nops, clones, calls
//===----------------------------------------------------------------------===//

static Places dropNop(mlir::ModuleOp model) {
  Places places;
  for (OutNopOp nop : getOps<OutNopOp>(model))
    places.emplace_back([nop]() mutable {
      nop.getResult().replaceAllUsesWith(nop.getInput());
      nop.erase();
    });
  return places;
}

static Places nopInGroup(mlir::ModuleOp model) {
  Places places;
  SymbolTable symbols(model);
  for (OutNopOp nop : getOps<OutNopOp>(model)) {
    // The op that ends the group, in the callee that returns its result.
    Value value = nop.getInput();
    while (auto call = value.getDefiningOp<CallOp>()) {
      auto callee = symbols.lookup<MethodOp>(call.getCallee());
      value = callee.getBody().front().getTerminator()->getOperand(
          cast<OpResult>(value).getResultNumber());
    }
    auto last = value.getDefiningOp<OperatorOp>();
    if (!last || last.getNumOperands() == 0 || !isTensor(last.getOperand(0)))
      continue;
    places.emplace_back([nop, last]() mutable {
      nop.getResult().replaceAllUsesWith(nop.getInput());
      nop->moveBefore(last);
      nop->setOperand(0, last.getOperand(0));
      last->setOperand(0, nop.getResult());
    });
  }
  return places;
}

static Places nopWithBody(mlir::ModuleOp model) {
  Places places;
  SymbolTable symbols(model);
  for (OutNopOp nop : getOps<OutNopOp>(model)) {
    auto forward =
        symbols.lookup<MethodOp>(joinPath(nop.getInstance(), "forward"));
    if (!forward || !returnsArgument(forward))
      continue;
    places.emplace_back([forward]() mutable {
      Operation *end = forward.getBody().front().getTerminator();
      OpBuilder builder(end);
      Value x = end->getOperand(0);
      auto made = OperatorOp::create(builder, end->getLoc(), "aten::relu", "",
                                     ValueRange{x}, TypeRange{x.getType()});
      end->setOperand(0, made.getResult(0));
    });
  }
  return places;
}

static Places callTwice(mlir::ModuleOp model) {
  // A clone is not used: its source is called again.
  Places places;
  SmallVector<CallOp> calls = getOps<CallOp>(model);
  for (auto [i, a] : llvm::enumerate(calls))
    for (CallOp b : ArrayRef(calls).drop_front(i + 1))
      if (a.getCallee() != b.getCallee() &&
          a->getResultTypes() == b->getResultTypes() &&
          a.getArguments().getTypes() == b.getArguments().getTypes() &&
          a->getNumResults() != 0) {
        places.emplace_back(
            [a = a, b]() mutable { b.setCallee(a.getCallee()); });
        break;
      }
  return places;
}

static Places swapCallees(mlir::ModuleOp model) {
  Places places;
  SymbolTable symbols(model);
  auto getClass = [&](CallOp call) {
    auto method = symbols.lookup<MethodOp>(call.getCallee());
    return lookupInstance(symbols, method.getInstance()).getOriginalName();
  };
  SmallVector<CallOp> calls = getOps<CallOp>(model);
  for (auto [i, a] : llvm::enumerate(calls))
    for (CallOp b : ArrayRef(calls).drop_front(i + 1))
      if (getClass(a) != getClass(b) && a->getBlock() == b->getBlock() &&
          a->getResultTypes() == b->getResultTypes() &&
          a.getArguments().getTypes() == b.getArguments().getTypes() &&
          a->getNumResults() != 0) {
        places.emplace_back([a = a, b]() mutable {
          std::string callee = a.getCallee().str();
          a.setCallee(b.getCallee());
          b.setCallee(callee);
        });
        break;
      }
  return places;
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

static Places swapOutputs(mlir::ModuleOp model) {
  Places places;
  for (ReturnOp end : getOps<ReturnOp>(model)) {
    SmallVector<Operation *> ends = {end};
    // The root returns several values as one tuple.
    for (Value operand : end->getOperands())
      if (auto tuple = operand.getDefiningOp<TupleOp>())
        ends.push_back(tuple);
    for (Operation *op : ends)
      for (unsigned i = 0; i + 1 < op->getNumOperands(); ++i) {
        Value a = op->getOperand(i), b = op->getOperand(i + 1);
        if (a == b || a.getType() != b.getType())
          continue;
        places.emplace_back([op, i, a, b] {
          op->setOperand(i, b);
          op->setOperand(i + 1, a);
        });
      }
  }
  return places;
}

static Places swapOperands(mlir::ModuleOp model) {
  Places places;
  for (ListOp list : getOps<ListOp>(model)) {
    if (list->getNumOperands() < 2 || list.getResult().use_empty())
      continue;
    Value a = list->getOperand(0), b = list->getOperand(1);
    // Two that are made of constants may be equal.
    auto isVariable = [](Value value) {
      Operation *made = value.getDefiningOp();
      return !made || llvm::any_of(made->getOperands(), isTensor);
    };
    if (a == b || !isTensor(a) || !isTensor(b) || !isVariable(a) ||
        !isVariable(b))
      continue;
    places.emplace_back([list, a, b]() mutable {
      list->setOperand(0, b);
      list->setOperand(1, a);
    });
  }
  return places;
}

static Places skipOp(mlir::ModuleOp model) {
  Places places;
  for (OperatorOp op : getTensorOps(model))
    if (StringRef(op.getName()).contains("relu") ||
        StringRef(op.getName()).contains("silu") ||
        StringRef(op.getName()).contains("hardtanh") ||
        op.getName() == "aten::sigmoid" || op.getName() == "aten::batch_norm")
      places.emplace_back([op]() mutable {
        op.getResult(0).replaceAllUsesWith(op.getOperand(0));
        op.erase();
      });
  return places;
}

/// Whether an operand is the dimension of a slice of all: any other that is
/// sliced too will do.
static bool isFreeDimension(OpOperand &operand) {
  auto slice = cast<OperatorOp>(operand.getOwner());
  if (slice.getName() != "aten::slice" || operand.getOperandNumber() != 1 ||
      slice.getNumOperands() != 5)
    return false;
  auto isNumber = [&](unsigned i, int64_t number) {
    auto constant = slice.getOperand(i).getDefiningOp<ConstantOp>();
    if (!constant)
      return false;
    auto value = dyn_cast<IntegerAttr>(constant.getValue());
    return value ? value.getInt() == number
                 : isa<UnitAttr>(constant.getValue());
  };
  return isNumber(2, 0) && isNumber(3, INT64_MAX);
}

static Places changeConstant(mlir::ModuleOp model) {
  Places places;
  for (OperatorOp op : getTensorOps(model))
    for (OpOperand &operand : op->getOpOperands()) {
      auto constant = operand.get().getDefiningOp<ConstantOp>();
      if (!constant || isFreeDimension(operand))
        continue;
      Attribute changed;
      Builder builder(op.getContext());
      if (auto number = dyn_cast<IntegerAttr>(constant.getValue());
          number && !isa<BoolAttr>(constant.getValue()))
        changed = builder.getI64IntegerAttr(number.getInt() + 1);
      else if (auto real = dyn_cast<FloatAttr>(constant.getValue()))
        changed = builder.getF64FloatAttr(real.getValueAsDouble() * 2 + 1);
      if (!changed)
        continue;
      places.emplace_back([op, &operand, constant, changed]() mutable {
        OpBuilder inner(op);
        auto made = ConstantOp::create(inner, constant.getLoc(), changed);
        operand.set(made.getResult());
      });
    }
  return places;
}

static Places flipZero(mlir::ModuleOp model) {
  Places places;
  for (ConstantOp constant : getOps<ConstantOp>(model))
    if (auto real = dyn_cast<FloatAttr>(constant.getValue());
        real && real.getValue().isZero() && !constant.getResult().use_empty())
      places.emplace_back([constant, real]() mutable {
        constant.setValueAttr(Builder(real.getContext())
                                  .getF64FloatAttr(-real.getValueAsDouble()));
      });
  return places;
}

static Places readOtherSlot(mlir::ModuleOp model) {
  Places places;
  SymbolTable symbols(model);
  for (MethodOp method : getRun(model)) {
    SmallVector<GetOp> gets(method.getBody().front().getOps<GetOp>());
    for (auto [i, a] : llvm::enumerate(gets))
      for (GetOp b : ArrayRef(gets).drop_front(i + 1)) {
        if (a.getResult().use_empty() || !isTensor(a.getResult()) ||
            a.getResult().getType() != b.getResult().getType() ||
            a.getSlot() == b.getSlot())
          continue;
        auto tensorA = dyn_cast_or_null<TensorAttr>(
            getSlotValue(symbols.lookup(a.getSlot())));
        auto tensorB = dyn_cast_or_null<TensorAttr>(
            getSlotValue(symbols.lookup(b.getSlot())));
        if (!tensorA || !tensorB ||
            getBytes(model, tensorA) == getBytes(model, tensorB))
          continue;
        places.emplace_back(
            [a = a, b]() mutable { a.setSlotAttr(b.getSlotAttr()); });
        break;
      }
  }
  return places;
}

/// A write and a read (an operator or a call) of the same memory, the one moved
/// behind the other, where nothing between them needs the first.
static Places reorderWithWrite(mlir::ModuleOp model, bool readFirst) {
  Places places;
  for (OperatorOp write : getOps<OperatorOp>(model)) {
    if (!write.hasWrites())
      continue;
    Value written = write.getOperand(write.getWritesAttr().asArrayRef()[0]);
    if (!isTensor(written))
      continue;
    Value base = getAliasBase(written);
    for (Operation &read : *write->getBlock()) {
      auto oper = dyn_cast<OperatorOp>(read);
      bool isRead =
          isa<CallOp>(read) ||
          (oper && !oper.hasWrites() && oper->getNumResults() == 1 &&
           isTensor(oper.getResult(0)) && oper.getAliasedOperand(0) < 0);
      if (!isRead || read.use_empty() ||
          read.isBeforeInBlock(write) != readFirst ||
          llvm::none_of(read.getOperands(), [&](Value operand) {
            return isTensor(operand) && getAliasBase(operand) == base;
          }))
        continue;
      Operation *first = readFirst ? &read : write.getOperation();
      Operation *second = readFirst ? write.getOperation() : &read;
      bool isFree = llvm::none_of(first->getUsers(), [&](Operation *other) {
        Operation *inBlock = first->getBlock()->findAncestorOpInBlock(*other);
        return inBlock == second || inBlock->isBeforeInBlock(second);
      });
      if (isFree)
        places.emplace_back([first, second] { first->moveAfter(second); });
    }
  }
  return places;
}

static Places readAfterWrite(mlir::ModuleOp model) {
  return reorderWithWrite(model, /*readFirst=*/true);
}

static Places writeAfterRead(mlir::ModuleOp model) {
  return reorderWithWrite(model, /*readFirst=*/false);
}

static Places loseWrite(mlir::ModuleOp model) {
  Places places;
  for (OperatorOp write : getOps<OperatorOp>(model))
    if (write.hasWrites() && write->getNumResults() == 1 &&
        isTensor(write.getResult(0)) && write.getAliasedOperand(0) == 0)
      places.emplace_back([write]() mutable {
        write.getResult(0).replaceAllUsesWith(write.getOperand(0));
        write.erase();
      });
  for (SetOp set : getOps<SetOp>(model))
    places.emplace_back([set]() mutable { set.erase(); });
  return places;
}

static Places reorderRandom(mlir::ModuleOp model) {
  Places places;
  for (MethodOp method : getRun(model)) {
    SmallVector<OperatorOp> random;
    for (auto op : method.getBody().front().getOps<OperatorOp>())
      if (op.getRandom())
        random.push_back(op);
    for (unsigned i = 0; i + 1 < random.size(); ++i) {
      OperatorOp a = random[i], b = random[i + 1];
      if (a->getResultTypes() != b->getResultTypes())
        continue;
      bool isFree = llvm::none_of(a->getUsers(), [&](Operation *other) {
        Operation *inBlock = a->getBlock()->findAncestorOpInBlock(*other);
        return inBlock == b || inBlock->isBeforeInBlock(b);
      });
      if (isFree)
        places.emplace_back([a, b]() mutable { a->moveAfter(b); });
    }
  }
  return places;
}

static Places loseRandom(mlir::ModuleOp model) {
  Places places;
  for (OperatorOp op : getTensorOps(model))
    if (op.getRandom())
      places.emplace_back([op]() mutable {
        op.getResult(0).replaceAllUsesWith(op.getOperand(0));
        op.erase();
      });
  return places;
}

static Places loseRaise(mlir::ModuleOp model) {
  Places places;
  for (MethodOp method : getRun(model))
    method.walk([&](OperatorOp op) {
      if (op.getName() == "prim::RaiseException")
        places.emplace_back([op]() mutable { op.erase(); });
    });
  return places;
}

static Places tailBeforeNop(mlir::ModuleOp model) {
  // Of two nops in one body, a tail op of the first comes before the second.
  Places places;
  for (MethodOp method : getRun(model)) {
    SmallVector<OutNopOp> nops(method.getBody().front().getOps<OutNopOp>());
    for (unsigned i = 0; i + 1 < nops.size(); ++i)
      for (Operation *user : nops[i].getResult().getUsers()) {
        auto op = dyn_cast<OperatorOp>(user);
        OutNopOp second = nops[i + 1];
        if (!op || op->getBlock() != second->getBlock() || op.hasWrites() ||
            op->getNumResults() != 1 || !isTensor(op.getResult(0)) ||
            !second->isBeforeInBlock(op))
          continue;
        bool isFree = llvm::all_of(op.getOperands(), [&](Value operand) {
          Operation *made = operand.getDefiningOp();
          return !made || made->getBlock() != op->getBlock() ||
                 made->isBeforeInBlock(second);
        });
        if (isFree)
          places.emplace_back(
              [op, second]() mutable { op->moveBefore(second); });
      }
  }
  return places;
}

/// The lists of parts that `cat` puts together again: some are slices.
static SmallVector<std::pair<OperatorOp, ListOp>>
getJoins(mlir::ModuleOp model) {
  SmallVector<std::pair<OperatorOp, ListOp>> joins;
  for (OperatorOp cat : getOps<OperatorOp>(model)) {
    if (cat.getName() != "aten::cat" || cat.getResult(0).use_empty())
      continue;
    auto list = cat.getOperand(0).getDefiningOp<ListOp>();
    if (list && list->getNumOperands() > 1 && list->hasOneUse() &&
        llvm::any_of(list->getOperands(), [](Value part) {
          auto slice = part.getDefiningOp<OperatorOp>();
          return slice && slice.getName() == "aten::slice";
        }))
      joins.push_back({cat, list});
  }
  return joins;
}

static Places swapParts(mlir::ModuleOp model) {
  Places places;
  for (auto [cat, list] : getJoins(model)) {
    Value a = list->getOperand(0), b = list->getOperand(1);
    if (a != b)
      places.emplace_back([list = list, a, b]() mutable {
        list->setOperand(0, b);
        list->setOperand(1, a);
      });
  }
  return places;
}

static Places wrongRange(mlir::ModuleOp model) {
  Places places;
  for (auto [cat, list] : getJoins(model))
    for (Value part : list->getOperands()) {
      auto slice = part.getDefiningOp<OperatorOp>();
      if (!slice || slice.getName() != "aten::slice" ||
          slice.getNumOperands() != 5)
        continue;
      // The end that is a number, else the begin.
      for (unsigned i : {3, 2}) {
        auto constant = slice.getOperand(i).getDefiningOp<ConstantOp>();
        auto number =
            constant ? dyn_cast<IntegerAttr>(constant.getValue()) : nullptr;
        if (!number || number.getInt() == INT64_MAX)
          continue;
        places.emplace_back([slice, i, number]() mutable {
          OpBuilder builder(slice);
          slice->setOperand(i, ConstantOp::create(builder, slice.getLoc(),
                                                  builder.getI64IntegerAttr(
                                                      number.getInt() + 1)));
        });
        break;
      }
    }
  return places;
}

static Places oldVersion(mlir::ModuleOp model) {
  Places places;
  for (auto [cat, list] : getJoins(model))
    for (Value part : list->getOperands()) {
      auto slice = part.getDefiningOp<OperatorOp>();
      if (!slice || slice.getName() != "aten::slice")
        continue;
      for (OpOperand &use : cat.getResult(0).getUses()) {
        auto reader = dyn_cast<OperatorOp>(use.getOwner());
        if (!reader || !readsMetadataOnly(reader.getName()))
          places.emplace_back(
              [&use, slice]() mutable { use.set(slice.getOperand(0)); });
      }
      break;
    }
  return places;
}

ArrayRef<Mutation> getMutations() {
  static const Mutation mutations[] = {
      {"swap-weights", swapWeights},
      {"make-tie", makeTie},
      {"lose-tie", loseTie},
      {"flip-requires-grad", flipRequiresGrad},
      {"flip-training", flipTraining},
      {"buffer-to-parameter", bufferToParameter},
      {"lose-method", loseMethod},
      {"drop-nop", dropNop},
      {"nop-in-group", nopInGroup},
      {"nop-with-body", nopWithBody},
      {"tail-before-nop", tailBeforeNop},
      {"call-twice", callTwice},
      {"swap-callees", swapCallees},
      {"swap-outputs", swapOutputs},
      {"swap-operands", swapOperands},
      {"skip-op", skipOp},
      {"change-constant", changeConstant},
      {"flip-zero", flipZero},
      {"read-other-slot", readOtherSlot},
      {"read-after-write", readAfterWrite},
      {"write-after-read", writeAfterRead},
      {"lose-write", loseWrite},
      {"reorder-random", reorderRandom},
      {"lose-random", loseRandom},
      {"lose-raise", loseRaise},
      {"swap-parts", swapParts},
      {"wrong-range", wrongRange},
      {"old-version", oldVersion},
  };
  return mutations;
}

} // namespace fqat
