//===- ClassKeys.cpp - Instances that can share a class -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A key spells all that a class holds. Attributes and types are unique in their
// context, so their addresses stand for them; symbols are spelled from the
// instance on.
//
//===----------------------------------------------------------------------===//

#include "ClassKeys.h"

#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"

using namespace mlir;

namespace fqat {

static void addPointer(const void *pointer, std::string &key) {
  key.append(reinterpret_cast<const char *>(&pointer), sizeof(pointer));
}

static void addNumber(uint64_t number, std::string &key) {
  key.append(reinterpret_cast<const char *>(&number), sizeof(number));
}

static void addText(StringRef text, std::string &key) {
  addNumber(text.size(), key);
  key += text;
}

ClassKeys::ClassKeys(SymbolTable &symbols)
    : symbols(symbols), aliases(cast<mlir::ModuleOp>(symbols.getOp())) {
  auto model = cast<mlir::ModuleOp>(symbols.getOp());
  for (auto method : model.getOps<MethodOp>())
    methods[method.getInstanceAttr().getAttr()].push_back(method);
}

ArrayRef<MethodOp> ClassKeys::getMethods(ModuleOp instance) {
  auto it = methods.find(instance.getSymNameAttr());
  return it == methods.end() ? ArrayRef<MethodOp>() : it->second;
}

void ClassKeys::addAttribute(Attribute attr, StringRef instance,
                             std::string &key) {
  auto symbol = dyn_cast_or_null<FlatSymbolRefAttr>(attr);
  if (!symbol)
    return addPointer(attr.getAsOpaquePointer(), key);
  StringRef path = aliases.findBelow(instance, symbol.getAttr());
  bool isOwn = isAtOrBelow(path, instance) && !path.starts_with("$");
  addText(isOwn ? path.drop_front(instance.size()) : path, key);
}

void ClassKeys::addOp(Operation &op, StringRef instance, Numbers &numbers,
                      std::string &key) {
  addPointer(op.getName().getAsOpaquePointer(), key);
  for (Value operand : op.getOperands())
    addNumber(numbers.lookup(operand), key);
  // Bit widths are no code: they stand in a record of their own.
  SmallVector<NamedAttribute> attrs(op.getAttrDictionary().getValue());
  llvm::erase_if(attrs, [](NamedAttribute attr) {
    return attr.getName() == FQATDialect::kBitsAttr;
  });
  addNumber(attrs.size(), key);
  for (NamedAttribute attr : attrs) {
    addPointer(attr.getName().getAsOpaquePointer(), key);
    addAttribute(attr.getValue(), instance, key);
  }
  addNumber(op.getNumResults(), key);
  for (OpResult result : op.getResults()) {
    numbers.try_emplace(result, numbers.size() + 1);
    addPointer(result.getType().getAsOpaquePointer(), key);
  }
  // Names and lines are written too.
  addText(getNames(op.getLoc()), key);
  addPointer(getDebugRecord(op.getLoc()).getAsOpaquePointer(), key);
  for (Region &region : op.getRegions())
    addRegion(region, instance, numbers, key);
}

void ClassKeys::addRegion(Region &region, StringRef instance, Numbers &numbers,
                          std::string &key) {
  for (Block &block : region) {
    for (BlockArgument argument : block.getArguments()) {
      numbers.try_emplace(argument, numbers.size() + 1);
      addPointer(argument.getType().getAsOpaquePointer(), key);
      addText(getNames(argument.getLoc()), key);
    }
    for (Operation &op : block)
      addOp(op, instance, numbers, key);
    addText("end", key);
  }
}

std::string ClassKeys::makeKey(ModuleOp instance) {
  std::string key;
  for (Attribute attr :
       {Attribute(instance.getClassNameAttr()), Attribute(instance.getSlots()),
        Attribute(instance.getConstantsAttr()),
        Attribute(instance.getHooksAttr()),
        Attribute(instance.getPreHooksAttr())})
    addPointer(attr.getAsOpaquePointer(), key);
  addNumber(instance.getStateAttr() != nullptr, key);
  for (auto slot : instance.getSlots().getAsRange<StringAttr>()) {
    std::string symbol = instance.getMemberSymbol(slot.getValue());
    if (ModuleOp child = lookupInstance(symbols, symbol)) {
      addNumber(get(child), key);
      addPointer(child.getInterfaceAttr().getAsOpaquePointer(), key);
      continue;
    }
    Operation *op = symbols.lookup(symbol);
    addPointer(op->getName().getAsOpaquePointer(), key);
    addPointer(op->getAttr("type").getAsOpaquePointer(), key);
  }
  for (MethodOp method : getMethods(instance)) {
    Numbers numbers;
    addText(method.getMethodName(), key);
    addPointer(method.getFunctionType().getAsOpaquePointer(), key);
    addPointer(method.getArgAttrsAttr().getAsOpaquePointer(), key);
    addPointer(method.getSelfNameAttr().getAsOpaquePointer(), key);
    addRegion(method.getBody(), method.getInstance(), numbers, key);
  }
  return key;
}

unsigned ClassKeys::get(ModuleOp instance) {
  auto it = classes.find(instance);
  if (it != classes.end())
    return it->second;
  // The number of a new class is the number of classes before it.
  std::string key = makeKey(instance);
  unsigned number = keys.try_emplace(key, keys.size()).first->second;
  classes[instance] = number;
  return number;
}

} // namespace fqat
