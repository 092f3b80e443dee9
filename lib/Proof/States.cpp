//===- States.cpp - Two models hold the same -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "States.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

#include <set>

using namespace mlir;

namespace fqat {

namespace {

/// The instances that something calls. Few models have a tie for which that
/// matters: nobody looks before.
class CalledInstances {
public:
  explicit CalledInstances(mlir::ModuleOp model) : model(model) {}

  bool contains(StringRef path) {
    if (!paths) {
      paths.emplace();
      model.walk([&](CallOp call) {
        paths->insert(splitPath(call.getCallee()).first);
      });
    }
    return paths->contains(path);
  }

private:
  mlir::ModuleOp model;
  std::optional<llvm::StringSet<>> paths;
};

class Comparison {
public:
  Comparison(mlir::ModuleOp original, SymbolTable &originalSymbols,
             mlir::ModuleOp fixed, SymbolTable &fixedSymbols,
             const Contents &contents, bool tiesClones)
      : original(original), originalSymbols(originalSymbols), fixed(fixed),
        fixedSymbols(fixedSymbols), contents(contents), tiesClones(tiesClones),
        called(original), calledNow(fixed) {}

  std::optional<Difference> run();

private:
  bool differ(const Twine &what, Operation *a, Operation *b) {
    difference.emplace();
    difference->what = what.str();
    difference->original = a;
    difference->fixed = b;
    return false;
  }

  bool compareInstance(ModuleOp a);
  bool compareSlot(Operation *a);
  /// Whether two slots that hold one tensor may part: their owners are two
  /// paths of one object, as far as the file tells, and only one of them is
  /// called.
  bool mayPart(Operation *a, Operation *b);
  bool compareTies();
  bool compareInterface();
  bool checkNewInstance(ModuleOp instance);
  bool checkNewTies();
  /// What an instance is, its children and its name apart.
  Attribute describe(mlir::ModuleOp model, SymbolTable &symbols,
                     ModuleOp instance);
  Attribute describeSlot(mlir::ModuleOp model, Operation *slot);
  bool isOriginal(Operation *slot) {
    return originalSymbols.lookup(SymbolTable::getSymbolName(slot)) != nullptr;
  }

  mlir::ModuleOp original;
  SymbolTable &originalSymbols;
  mlir::ModuleOp fixed;
  SymbolTable &fixedSymbols;
  const Contents &contents;
  bool tiesClones;
  DenseSet<Attribute> descriptions;
  CalledInstances called, calledNow;
  std::optional<Difference> difference;
};

} // namespace

static std::string show(Operation *op) {
  return "'" + displayPath(SymbolTable::getSymbolName(op).getValue()) + "'";
}

bool Comparison::compareInstance(ModuleOp a) {
  auto b = fixedSymbols.lookup<ModuleOp>(a.getSymName());
  if (!b)
    return differ("the instance " + show(a) + " is gone", a, nullptr);
  if (a.getOriginalName() != b.getOriginalName() ||
      a.getConstantsAttr() != b.getConstantsAttr() ||
      a.getHooksAttr() != b.getHooksAttr() ||
      a.getPreHooksAttr() != b.getPreHooksAttr() ||
      a.getInterfaceAttr() != b.getInterfaceAttr())
    return differ("the class of " + show(a) + " is another", a, b);
  if ((a.getStateAttr() || b.getStateAttr()) &&
      (!a.getStateAttr() || !b.getStateAttr() ||
       contents.normalize(original, a.getStateAttr()) !=
           contents.normalize(fixed, b.getStateAttr())))
    return differ("the state of " + show(a) + " is another", a, b);
  // Its own slots in their order, and perhaps new instances.
  ArrayRef<Attribute> slots = a.getSlots().getValue();
  ArrayRef<Attribute> fixedSlots = b.getSlots().getValue();
  if (slots.size() > fixedSlots.size() ||
      slots != fixedSlots.take_front(slots.size()))
    return differ("the attributes of " + show(a) + " are others", a, b);
  for (Attribute added : fixedSlots.drop_front(slots.size()))
    if (!isa_and_nonnull<ModuleOp>(fixedSymbols.lookup(
            b.getMemberSymbol(cast<StringAttr>(added).getValue()))))
      return differ(show(a) + " has a new attribute '" +
                        cast<StringAttr>(added).getValue() + "'",
                    a, b);
  return true;
}

Attribute Comparison::describeSlot(mlir::ModuleOp model, Operation *slot) {
  Attribute value = getSlotValue(slot);
  Builder builder(model.getContext());
  return builder.getArrayAttr(
      {slot->getName().getIdentifier(), slot->getAttr("type"),
       value ? contents.normalize(model, value) : builder.getUnitAttr()});
}

bool Comparison::compareSlot(Operation *a) {
  Operation *b = fixedSymbols.lookup(SymbolTable::getSymbolName(a));
  if (!b)
    return differ(show(a) + " is gone", a, nullptr);
  if (a->getName() != b->getName())
    return differ(show(a) + " was a " + a->getName().stripDialect() +
                      " and is a " + b->getName().stripDialect(),
                  a, b);
  Attribute valueA = getSlotValue(a), valueB = getSlotValue(b);
  if (a->getAttr("type") != b->getAttr("type") || !valueA != !valueB ||
      (valueA && !contents.areEqual(original, valueA, fixed, valueB)))
    return differ(show(a) + " holds another value", a, b);
  return true;
}

bool Comparison::mayPart(Operation *a, Operation *b) {
  if (tiesClones)
    return false;
  auto [pathA, leafA] = splitPath(SymbolTable::getSymbolName(a).getValue());
  auto [pathB, leafB] = splitPath(SymbolTable::getSymbolName(b).getValue());
  if (leafA != leafB || (called.contains(pathA) && called.contains(pathB)))
    return false;
  auto ownerA = originalSymbols.lookup<ModuleOp>(pathA);
  auto ownerB = originalSymbols.lookup<ModuleOp>(pathB);
  if (!ownerA || !ownerB || ownerA.getSlots() != ownerB.getSlots() ||
      ownerA.getOriginalName() != ownerB.getOriginalName())
    return false;
  for (auto name : ownerA.getSlots().getAsRange<StringAttr>()) {
    Operation *slotA =
        originalSymbols.lookup(ownerA.getMemberSymbol(name.getValue()));
    Operation *slotB =
        originalSymbols.lookup(ownerB.getMemberSymbol(name.getValue()));
    auto tensorA = dyn_cast_or_null<TensorAttr>(getSlotValue(slotA));
    auto tensorB = dyn_cast_or_null<TensorAttr>(getSlotValue(slotB));
    if (tensorA != tensorB || (tensorA && tensorA.getIdentity() == 0))
      return false;
  }
  return true;
}

/// The storages that several slots share.
static DenseSet<Attribute> findSharedStorages(mlir::ModuleOp model) {
  DenseSet<Attribute> seen, shared;
  for (Operation &slot : *model.getBody())
    if (auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(&slot)))
      if (StringAttr storage = tensor.getStorage().getAttr();
          !seen.insert(storage).second)
        shared.insert(storage);
  return shared;
}

bool Comparison::compareTies() {
  // Slots that share memory, or are one tensor, and what they share now.
  struct Slot {
    Operation *op, *other;
    Attribute storage;
    int64_t identity;
  };
  llvm::MapVector<Attribute, SmallVector<Slot>> groups;
  llvm::MapVector<int64_t, SmallVector<Slot>> objects;
  DenseMap<Attribute, Attribute> storagesBack;
  DenseMap<int64_t, int64_t> identitiesBack;
  DenseSet<Attribute> shared = findSharedStorages(original);
  int64_t alone = -1;
  for (Operation &op : *original.getBody()) {
    auto a = dyn_cast_or_null<TensorAttr>(getSlotValue(&op));
    if (!a)
      continue;
    Operation *other = fixedSymbols.lookup(SymbolTable::getSymbolName(&op));
    auto b = cast<TensorAttr>(getSlotValue(other));
    // One that is alone gets a number of its own.
    int64_t from = a.getIdentity() != 0 ? a.getIdentity() : alone--;
    int64_t to = b.getIdentity() != 0 ? b.getIdentity() : alone--;
    Slot slot = {&op, other, b.getStorage(), to};
    if (shared.contains(a.getStorage().getAttr()))
      groups[a.getStorage()].push_back(slot);
    if (a.getIdentity() != 0)
      objects[from].push_back(slot);
    if (storagesBack.try_emplace(b.getStorage(), a.getStorage())
                .first->second != a.getStorage() ||
        (b.getIdentity() != 0 &&
         identitiesBack.try_emplace(to, from).first->second != from))
      return differ(show(&op) +
                        " shares its tensor with a slot that it did not "
                        "share it with",
                    &op, other);
  }
  auto isCalledNow = [&](Operation *slot) {
    return calledNow.contains(
        splitPath(SymbolTable::getSymbolName(slot).getValue()).first);
  };
  auto check = [&](ArrayRef<Slot> slots, auto isSame) {
    for (auto [i, a] : llvm::enumerate(slots))
      for (const Slot &b : slots.drop_front(i + 1)) {
        if (!isSame(a, b) && !mayPart(a.op, b.op))
          return differ(show(b.op) + " and " + show(a.op) +
                            " were one tensor and are two",
                        a.op, b.other);
        if (isSame(a, b) && isCalledNow(a.op) && isCalledNow(b.op) &&
            mayPart(a.op, b.op))
          return differ(show(b.op) + " and " + show(a.op) +
                            " are one tensor, and each is called now",
                        a.op, b.other);
      }
    return true;
  };
  for (auto &[storage, slots] : groups)
    if (!check(slots, [](const Slot &a, const Slot &b) {
          return a.storage == b.storage;
        }))
      return false;
  for (auto &[identity, slots] : objects)
    if (!check(slots, [](const Slot &a, const Slot &b) {
          return a.identity == b.identity;
        }))
      return false;
  return true;
}

bool Comparison::compareInterface() {
  for (auto method : original.getOps<MethodOp>()) {
    if (!method.isExported())
      continue;
    auto other = fixedSymbols.lookup<MethodOp>(method.getSymName());
    if (!other)
      return differ("the method " + show(method) + " is gone", method, nullptr);
    if (method.getFunctionType() != other.getFunctionType() ||
        method.getArgAttrsAttr() != other.getArgAttrsAttr())
      return differ("the signature of the method " + show(method) +
                        " is another",
                    method, other);
  }
  DenseMap<Attribute, TypedefOp> definitions;
  for (auto definition : fixed.getOps<TypedefOp>())
    definitions[definition.getNameAttr()] = definition;
  for (auto definition : original.getOps<TypedefOp>()) {
    TypedefOp other = definitions.lookup(definition.getNameAttr());
    if (!other || definition.getSource() != other.getSource())
      return differ("the definition of '" + definition.getName() +
                        "' is another",
                    definition, other);
  }
  // Bit widths are what the user wants, not what the model computes.
  auto isCompared = [](RecordOp record) {
    return record.getName() != FQATDialect::kBitsRecord;
  };
  auto records = llvm::to_vector(
      llvm::make_filter_range(original.getOps<RecordOp>(), isCompared));
  auto others = llvm::to_vector(
      llvm::make_filter_range(fixed.getOps<RecordOp>(), isCompared));
  if (records.size() != others.size() ||
      !llvm::all_of(llvm::zip(records, others), [](auto pair) {
        auto [a, b] = pair;
        return a.getNameAttr() == b.getNameAttr() &&
               haveEqualBytes(a.getBytes(), b.getBytes());
      }))
    return differ("the extra records of the file are others", nullptr, nullptr);
  return true;
}

Attribute Comparison::describe(mlir::ModuleOp model, SymbolTable &symbols,
                               ModuleOp instance) {
  Builder builder(model.getContext());
  auto orUnit = [&](Attribute attr) {
    return attr ? attr : Attribute(builder.getUnitAttr());
  };
  SmallVector<Attribute> parts = {
      builder.getStringAttr(instance.getOriginalName()),
      orUnit(instance.getConstantsAttr()),
      orUnit(instance.getHooksAttr()),
      orUnit(instance.getPreHooksAttr()),
      orUnit(instance.getInterfaceAttr()),
      instance.getStateAttr()
          ? contents.normalize(model, instance.getStateAttr())
          : Attribute(builder.getUnitAttr())};
  // Which of its tensors are one, or share memory.
  DenseMap<Attribute, int64_t> storages;
  DenseMap<int64_t, int64_t> identities;
  for (auto name : instance.getSlots().getAsRange<StringAttr>()) {
    Operation *slot = symbols.lookup(instance.getMemberSymbol(name.getValue()));
    if (isa<ModuleOp, AliasOp>(slot))
      continue;
    parts.push_back(name);
    parts.push_back(describeSlot(model, slot));
    auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(slot));
    if (!tensor)
      continue;
    int64_t storage =
        storages.try_emplace(tensor.getStorage().getAttr(), storages.size())
            .first->second;
    int64_t identity = tensor.getIdentity() == 0
                           ? -1 - static_cast<int64_t>(parts.size())
                           : tensor.getIdentity();
    parts.push_back(builder.getI64ArrayAttr(
        {storage,
         identities.try_emplace(identity, identities.size()).first->second}));
  }
  return builder.getArrayAttr(parts);
}

bool Comparison::checkNewInstance(ModuleOp instance) {
  auto forward =
      fixedSymbols.lookup<MethodOp>(instance.getMemberSymbol("forward"));
  bool holdsNothing = llvm::none_of(
      instance.getSlots().getAsRange<StringAttr>(), [&](StringAttr name) {
        return !isa<AttributeOp>(
            fixedSymbols.lookup(instance.getMemberSymbol(name.getValue())));
      });
  if (holdsNothing && forward && returnsArgument(forward))
    return true;
  if (descriptions.empty())
    for (auto known : original.getOps<ModuleOp>())
      descriptions.insert(describe(original, originalSymbols, known));
  if (!descriptions.contains(describe(fixed, fixedSymbols, instance)))
    return differ("the new instance " + show(instance) +
                      " is neither an out_nop nor equal to an original one",
                  nullptr, instance);
  return true;
}

bool Comparison::checkNewTies() {
  struct Holder {
    Operation *slot;
    StringRef leaf;
    Attribute value;
  };
  auto collect = [&](mlir::ModuleOp model) {
    llvm::MapVector<Attribute, SmallVector<Holder>> groups;
    DenseSet<Attribute> shared = findSharedStorages(model);
    for (Operation &slot : *model.getBody()) {
      auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(&slot));
      if (!tensor || !shared.contains(tensor.getStorage().getAttr()))
        continue;
      StringAttr symbol = SymbolTable::getSymbolName(&slot);
      groups[tensor.getStorage().getAttr()].push_back(
          {&slot, splitPath(symbol).second, contents.normalize(model, tensor)});
    }
    return groups;
  };
  auto groups = collect(fixed);
  std::set<std::pair<const void *, std::pair<StringRef, StringRef>>> known;
  bool isKnown = false;
  for (auto &[storage, holders] : groups) {
    auto isNew = [&](const Holder &holder) { return !isOriginal(holder.slot); };
    if (llvm::none_of(holders, isNew))
      continue;
    if (!isKnown) {
      isKnown = true;
      for (auto &[otherStorage, others] : collect(original))
        for (const Holder &a : others)
          for (const Holder &b : others)
            if (a.slot != b.slot)
              known.insert({a.value.getAsOpaquePointer(), {a.leaf, b.leaf}});
    }
    for (const Holder &a : holders)
      for (const Holder &b : holders) {
        if (a.slot == b.slot || !isNew(b))
          continue;
        bool isTieOfSources =
            known.contains({a.value.getAsOpaquePointer(), {a.leaf, b.leaf}});
        bool isTieToSource =
            tiesClones && a.leaf == b.leaf && a.value == b.value;
        // In copies, what was tied stays tied among the copies.
        if (!isTieToSource && !(isTieOfSources && (isNew(a) || tiesClones)))
          return differ(show(b.slot) + " shares memory with " + show(a.slot),
                        isNew(a) ? nullptr : a.slot, b.slot);
      }
  }
  return true;
}

std::optional<Difference> Comparison::run() {
  for (Operation &op : *original.getBody()) {
    bool isEqual = true;
    if (auto instance = dyn_cast<ModuleOp>(op)) {
      isEqual = compareInstance(instance);
    } else if (auto alias = dyn_cast<AliasOp>(op)) {
      auto other = fixedSymbols.lookup<AliasOp>(alias.getSymName());
      isEqual = (other && other.getTarget() == alias.getTarget()) ||
                differ(show(alias) + " is another instance", alias, other);
    } else if (isa<ParameterOp, BufferOp, AttributeOp>(op)) {
      isEqual = compareSlot(&op);
    }
    if (!isEqual)
      return difference;
  }
  if (!compareTies() || !compareInterface())
    return difference;
  for (auto instance : fixed.getOps<ModuleOp>())
    if (!originalSymbols.lookup(instance.getSymName()) &&
        !checkNewInstance(instance))
      return difference;
  if (!checkNewTies())
    return difference;
  return std::nullopt;
}

std::optional<Difference>
compareStates(mlir::ModuleOp original, SymbolTable &originalSymbols,
              mlir::ModuleOp fixed, SymbolTable &fixedSymbols,
              const Contents &contents, bool tiesClones) {
  return Comparison(original, originalSymbols, fixed, fixedSymbols, contents,
                    tiesClones)
      .run();
}

} // namespace fqat
