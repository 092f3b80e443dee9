//===- ValueWriter.cpp - Pickling values of the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The forms are those that libtorch's own pickler writes. What several places
// hold is written once and remembered.
//
//===----------------------------------------------------------------------===//

#include "ValueWriter.h"

#include "fqat/IR/Paths.h"
#include "fqat/Support/Dtypes.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fqat {

void ValueWriter::countUses(Attribute value) {
  int64_t identity = getIdentity(value);
  if (identity != 0 && ++useCounts[identity] > 1)
    return;
  if (auto symbol = dyn_cast<FlatSymbolRefAttr>(value))
    usedSymbols.insert(symbol.getAttr());
  value.walkImmediateSubElements([&](Attribute inner) { countUses(inner); },
                                 [](Type) {});
}

ValueWriter::ValueWriter(SymbolTable &symbols) : symbols(symbols) {
  auto model = cast<mlir::ModuleOp>(symbols.getOp());
  for (Operation &op : *model.getBody()) {
    if (auto alias = dyn_cast<AliasOp>(op))
      sharedInstances.insert(symbols.lookup<ModuleOp>(alias.getTarget()));
    else if (Attribute value = getSlotValue(&op))
      countUses(value);
    else if (auto instance = dyn_cast<ModuleOp>(op);
             instance && instance.getStateAttr())
      countUses(instance.getStateAttr());
  }
}

FailureOr<ArrayRef<char>> getBlobBytes(ElementsAttr blob, Operation *op) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(blob)) {
    AsmResourceBlob *bytes = resource.getRawHandle().getBlob();
    if (!bytes)
      return op->emitError() << "the bytes are missing; was the model printed "
                                "without them?";
    return bytes->getData();
  }
  auto dense = dyn_cast<DenseElementsAttr>(blob);
  if (!dense)
    return op->emitError() << "the bytes are not dense";
  if (dense.isSplat() && dense.getNumElements() != 1)
    return op->emitError() << "the bytes must not be a splat";
  return dense.getRawData();
}

LogicalResult ValueWriter::numberStorages() {
  auto model = cast<mlir::ModuleOp>(symbols.getOp());
  SmallVector<StorageOp> copies;
  DenseSet<Attribute> blobs;
  for (auto storage : model.getOps<StorageOp>()) {
    if (!usedSymbols.contains(storage.getSymNameAttr()))
      continue;
    if (auto blob = dyn_cast<DenseResourceElementsAttr>(storage.getBytes());
        blob && !blobs.insert(blob).second)
      copies.push_back(storage);
    else if (failed(getNumber(storage)))
      return failure();
  }
  return success(llvm::all_of(copies, [&](StorageOp storage) {
    return succeeded(getNumber(storage));
  }));
}

FailureOr<unsigned> ValueWriter::getNumber(StorageOp storage) {
  auto [it, isNew] = storageNumbers.try_emplace(storage, storages.size());
  if (!isNew)
    return it->second;
  FailureOr<ArrayRef<char>> bytes = getBlobBytes(storage.getBytes(), storage);
  if (failed(bytes))
    return failure();
  storages.push_back(*bytes);
  return it->second;
}

LogicalResult ValueWriter::writeStorage(FlatSymbolRefAttr symbol,
                                        StringRef dtype, Operation *op) {
  auto storage = symbols.lookup<StorageOp>(symbol.getValue());
  if (!storage)
    return op->emitError() << "no storage '" << symbol.getValue() << "'";
  if (dtype.empty())
    dtype = storage.getDtype();
  auto it = rememberedStorages.find({symbol, dtype});
  if (it != rememberedStorages.end()) {
    pickle.get(it->second);
    return success();
  }
  StringRef name = getStorageName(dtype);
  if (name.empty())
    return op->emitError() << "unknown dtype '" << dtype << "'";
  FailureOr<unsigned> number = getNumber(storage);
  if (failed(number))
    return failure();
  pickle.mark();
  pickle.string("storage");
  pickle.global(("torch." + name + "Storage").str());
  pickle.string(std::to_string(*number));
  pickle.string(storage.getDevice());
  pickle.integer(storages[*number].size() / getElementSize(dtype));
  pickle.tupleFromMark();
  pickle.persistent();
  rememberedStorages[{symbol, dtype}] = pickle.remember();
  return success();
}

LogicalResult ValueWriter::writeTensor(TensorAttr tensor, Operation *op) {
  auto storage = symbols.lookup<StorageOp>(tensor.getStorage().getValue());
  if (!storage)
    return op->emitError() << "no storage '" << tensor.getStorage().getValue()
                           << "'";
  FailureOr<ArrayRef<char>> bytes = getBlobBytes(storage.getBytes(), storage);
  if (failed(bytes))
    return failure();
  if (!fitsInto(tensor, bytes->size()))
    return op->emitError() << "a tensor reaches beyond its storage '"
                           << tensor.getStorage().getValue() << "'";
  pickle.global("torch._utils._rebuild_tensor_v2");
  pickle.mark();
  if (failed(writeStorage(tensor.getStorage(), tensor.getDtype(), op)))
    return failure();
  pickle.integer(tensor.getOffset());
  for (ArrayRef<int64_t> numbers : {tensor.getSizes(), tensor.getStrides()}) {
    pickle.mark();
    for (int64_t number : numbers)
      pickle.integer(number);
    pickle.tupleFromMark();
  }
  pickle.boolean(tensor.getRequiresGrad());
  pickle.global("collections.OrderedDict");
  pickle.endTuple(0);
  pickle.reduce();
  pickle.tupleFromMark();
  pickle.reduce();
  return success();
}

LogicalResult ValueWriter::writeItems(ArrayAttr items, Operation *op) {
  for (Attribute item : items)
    if (failed(write(item, op)))
      return failure();
  return success();
}

LogicalResult ValueWriter::writeTuple(ArrayRef<Attribute> values,
                                      Operation *op) {
  pickle.beginTuple(values.size());
  for (Attribute value : values)
    if (failed(write(value, op)))
      return failure();
  pickle.endTuple(values.size());
  return success();
}

LogicalResult ValueWriter::writeContainer(bool isList, ArrayAttr items,
                                          StringRef typeTag, Operation *op) {
  if (!typeTag.empty())
    pickle.global("torch.jit._pickle.restore_type_tag");
  if (isList)
    pickle.beginList(items.empty());
  else
    pickle.beginDict(items.empty());
  if (failed(writeItems(items, op)))
    return failure();
  if (isList)
    pickle.endList(items.empty());
  else
    pickle.endDict(items.empty());
  if (typeTag.empty())
    return success();
  pickle.string(typeTag);
  pickle.endTuple(2);
  pickle.reduce();
  return success();
}

LogicalResult ValueWriter::writeValue(Attribute value, Operation *op) {
  return llvm::TypeSwitch<Attribute, LogicalResult>(value)
      .Case([&](UnitAttr) {
        pickle.none();
        return success();
      })
      .Case([&](BoolAttr attr) {
        pickle.boolean(attr.getValue());
        return success();
      })
      .Case([&](IntegerAttr attr) {
        pickle.integer(attr.getInt());
        return success();
      })
      .Case([&](FloatAttr attr) {
        pickle.real(attr.getValue().convertToDouble());
        return success();
      })
      .Case([&](StringAttr attr) {
        pickle.string(attr.getValue());
        return success();
      })
      .Case([&](ArrayAttr attr) { return writeTuple(attr.getValue(), op); })
      .Case([&](TensorAttr attr) { return writeTensor(attr, op); })
      .Case([&](FlatSymbolRefAttr attr) { return writeStorage(attr, "", op); })
      .Case([&](DeviceAttr attr) {
        pickle.global("torch.device");
        pickle.string(attr.getSpelling());
        pickle.endTuple(1);
        pickle.reduce();
        return success();
      })
      .Case([&](GlobalAttr attr) {
        pickle.global(attr.getName());
        return success();
      })
      .Case([&](ComplexAttr attr) {
        pickle.global("builtins.complex");
        pickle.real(attr.getRealValue());
        pickle.real(attr.getImagValue());
        pickle.endTuple(2);
        pickle.reduce();
        return success();
      })
      .Case([&](ListAttr attr) {
        return writeContainer(/*isList=*/true, attr.getElements(),
                              attr.getTypeTag(), op);
      })
      .Case([&](DictAttr attr) {
        if (attr.getItems().size() % 2 != 0)
          return LogicalResult(op->emitError()
                               << "a dict has a key without a value");
        return writeContainer(/*isList=*/false, attr.getItems(),
                              attr.getTypeTag(), op);
      })
      .Case([&](ObjectAttr attr) {
        globals.insert(attr.getClassName());
        pickle.global(attr.getClassName());
        pickle.newObject();
        if (failed(write(attr.getState(), op)))
          return LogicalResult(failure());
        pickle.build();
        return success();
      })
      .Case([&](BuildAttr attr) {
        globals.insert(attr.getFunction());
        pickle.global(attr.getFunction());
        if (failed(write(attr.getArguments(), op)))
          return LogicalResult(failure());
        pickle.reduce();
        return success();
      })
      .Default([&](Attribute other) {
        return op->emitError() << "the value " << other << " cannot be written";
      });
}

LogicalResult ValueWriter::write(Attribute value, Operation *op) {
  int64_t identity = getIdentity(value);
  if (useCounts.lookup(identity) < 2)
    return writeValue(value, op);
  auto it = rememberedValues.find(identity);
  if (it != rememberedValues.end()) {
    pickle.get(it->second);
    return success();
  }
  if (failed(writeValue(value, op)))
    return failure();
  rememberedValues[identity] = pickle.remember();
  return success();
}

LogicalResult ValueWriter::writeInstance(ModuleOp instance,
                                         GetClassName getClassName) {
  auto it = rememberedInstances.find(instance);
  if (it != rememberedInstances.end()) {
    pickle.get(it->second);
    return success();
  }
  pickle.global(getClassName(instance));
  pickle.newObject();
  if (Attribute state = instance.getStateAttr()) {
    if (failed(write(state, instance)))
      return failure();
  } else {
    pickle.beginDict(instance.getSlots().empty());
    for (auto slot : instance.getSlots().getAsRange<StringAttr>()) {
      std::string symbol = instance.getMemberSymbol(slot.getValue());
      pickle.string(slot.getValue());
      if (ModuleOp child = lookupInstance(symbols, symbol)) {
        if (failed(writeInstance(child, getClassName)))
          return failure();
        continue;
      }
      Operation *op = symbols.lookup(symbol);
      Attribute value = getSlotValue(op);
      if (!value)
        return op->emitError() << "the slot has no value";
      if (failed(write(value, op)))
        return failure();
    }
    pickle.endDict(instance.getSlots().empty());
  }
  pickle.build();
  if (sharedInstances.contains(instance))
    rememberedInstances[instance] = pickle.remember();
  return success();
}

LogicalResult
ValueWriter::writeOrderedDict(ArrayRef<std::pair<std::string, Attribute>> items,
                              Operation *op) {
  pickle.global("collections.OrderedDict");
  pickle.endTuple(0);
  pickle.reduce();
  pickle.mark();
  for (auto &[name, value] : items) {
    pickle.string(name);
    if (failed(write(value, op)))
      return failure();
  }
  pickle.setItems();
  return success();
}

} // namespace fqat
