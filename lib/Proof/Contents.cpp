//===- Contents.cpp - What storages hold -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Contents.h"

#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/xxhash.h"

#include <map>
#include <tuple>

using namespace mlir;

namespace fqat {

/// The bytes of a storage, or nothing for the short form of equal bytes.
static std::optional<ArrayRef<char>> getBytes(ElementsAttr bytes) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(bytes)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    return blob ? blob->getData() : ArrayRef<char>();
  }
  auto dense = dyn_cast<DenseElementsAttr>(bytes);
  if (!dense || (dense.isSplat() && dense.getNumElements() != 1))
    return std::nullopt;
  return dense.getRawData();
}

bool haveEqualBytes(ElementsAttr a, ElementsAttr b) {
  std::optional<ArrayRef<char>> bytesA = getBytes(a), bytesB = getBytes(b);
  return a == b || (bytesA && bytesB && *bytesA == *bytesB);
}

Contents::Contents(mlir::ModuleOp original, mlir::ModuleOp fixed,
                   bool byBytes) {
  using Place = std::tuple<const void *, const void *, const void *, size_t>;
  llvm::DenseMap<Place, unsigned> byPlace;
  size_t numStorages = 0;
  for (mlir::ModuleOp model : {original, fixed})
    numStorages += llvm::range_size(model.getOps<StorageOp>());
  byPlace.reserve(numStorages);
  numbers.reserve(numStorages);
  using Content = std::tuple<const void *, const void *, uint64_t, size_t>;
  std::map<Content, SmallVector<std::pair<ArrayRef<char>, unsigned>, 1>> known;
  unsigned next = 1;
  for (mlir::ModuleOp model : {original, fixed}) {
    for (auto storage : model.getOps<StorageOp>()) {
      const void *dtype = storage.getDtypeAttr().getAsOpaquePointer();
      const void *device = storage.getDeviceAttr().getAsOpaquePointer();
      ElementsAttr attr = storage.getBytes();
      std::optional<ArrayRef<char>> bytes = getBytes(attr);
      // Short data is kept in the attribute.
      bool isOutside = isa<DenseResourceElementsAttr>(attr);
      const void *data = isOutside ? static_cast<const void *>(bytes->data())
                                   : attr.getAsOpaquePointer();
      size_t size = isOutside ? bytes->size() : ~size_t(0);
      unsigned &number = byPlace[{dtype, device, data, size}];
      if (number == 0 && byBytes && bytes) {
        uint64_t hash = llvm::xxh3_64bits(ArrayRef(
            reinterpret_cast<const uint8_t *>(bytes->data()), bytes->size()));
        auto &same = known[{dtype, device, hash, bytes->size()}];
        for (auto &[otherBytes, otherNumber] : same)
          if (*bytes == otherBytes)
            number = otherNumber;
        if (number == 0)
          same.emplace_back(*bytes, next);
      }
      if (number == 0)
        number = next++;
      numbers[{model.getOperation(), storage.getSymNameAttr()}] = number;
    }
  }
}

bool Contents::areEqual(mlir::ModuleOp modelA, Attribute a,
                        mlir::ModuleOp modelB, Attribute b) const {
  // What nearly all slots hold: made normal, each would be a new attribute.
  if (auto tensor = dyn_cast<TensorAttr>(a); tensor && a == b) {
    StringAttr storage = tensor.getStorage().getAttr();
    return lookup(modelA, storage) == lookup(modelB, storage);
  }
  return normalize(modelA, a) == normalize(modelB, b);
}

Attribute Contents::normalize(mlir::ModuleOp model, Attribute value) const {
  Builder builder(model.getContext());
  auto normalizeTensor = [&](TensorAttr tensor) -> Attribute {
    unsigned number = lookup(model, tensor.getStorage().getAttr());
    return TensorAttr::get(
        model.getContext(),
        FlatSymbolRefAttr::get(builder.getStringAttr("$c" + Twine(number))),
        tensor.getDtype(), tensor.getSizes(), tensor.getStrides(),
        tensor.getOffset(), tensor.getRequiresGrad(), /*identity=*/0);
  };
  // What nearly all slots hold.
  if (auto tensor = dyn_cast<TensorAttr>(value))
    return normalizeTensor(tensor);
  if (isa<IntegerAttr, FloatAttr, StringAttr, UnitAttr>(value))
    return value;
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](FlatSymbolRefAttr symbol) -> Attribute {
    unsigned number = lookup(model, symbol.getAttr());
    return number == 0 ? Attribute(symbol)
                       : FlatSymbolRefAttr::get(
                             builder.getStringAttr("$c" + Twine(number)));
  });
  replacer.addReplacement(
      [&](TensorAttr tensor)
          -> std::optional<std::pair<Attribute, WalkResult>> {
        return std::make_pair(normalizeTensor(tensor), WalkResult::skip());
      });
  auto drop = [](auto attr, auto remake) {
    return attr.getIdentity() == 0 ? Attribute(attr) : remake(attr);
  };
  replacer.addReplacement([&](ListAttr list) -> Attribute {
    return drop(list, [](ListAttr l) -> Attribute {
      return ListAttr::get(l.getContext(), l.getElements(), l.getTypeTag(), 0);
    });
  });
  replacer.addReplacement([&](DictAttr dict) -> Attribute {
    return drop(dict, [](DictAttr d) -> Attribute {
      return DictAttr::get(d.getContext(), d.getItems(), d.getTypeTag(), 0);
    });
  });
  replacer.addReplacement([&](ObjectAttr object) -> Attribute {
    return drop(object, [](ObjectAttr o) -> Attribute {
      return ObjectAttr::get(o.getContext(), o.getClassName(), o.getState(), 0);
    });
  });
  replacer.addReplacement([&](BuildAttr build) -> Attribute {
    return drop(build, [](BuildAttr b) -> Attribute {
      return BuildAttr::get(b.getContext(), b.getFunction(), b.getArguments(),
                            0);
    });
  });
  return replacer.replace(value);
}

} // namespace fqat
