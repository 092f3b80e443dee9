//===- Hierarchy.cpp - Edits of the module tree -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Hierarchy.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Model.h"

#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fqat {

Hierarchy::Hierarchy(mlir::ModuleOp model) : model(model), symbols(model) {
  for (Operation &op : *model.getBody()) {
    numStorages += isa<StorageOp>(op);
    if (auto method = dyn_cast<MethodOp>(op))
      methodsOf[method.getInstanceAttr().getAttr()].push_back(method);
    Attribute value = getSlotValue(&op);
    if (auto instance = dyn_cast<ModuleOp>(op))
      value = instance.getStateAttr();
    if (value)
      value.walk([&](Attribute part) {
        lastIdentity = std::max(lastIdentity, getIdentity(part));
      });
  }
}

bool callsMethods(MethodOp method) {
  return method.getBody()
      .walk([](CallOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

void Hierarchy::commit() {
  for (auto &[op, names] : addedSlots) {
    auto instance = cast<ModuleOp>(op);
    SmallVector<Attribute> slots(instance.getSlots().begin(),
                                 instance.getSlots().end());
    llvm::append_range(slots, names);
    instance.setSlotsAttr(ArrayAttr::get(instance.getContext(), slots));
  }
  addedSlots.clear();
}

ArrayRef<CallOp> Hierarchy::getCalls(MethodOp method) {
  if (!callsOf) {
    callsOf.emplace();
    model.walk([&](CallOp call) {
      (*callsOf)[call.getCalleeAttr().getAttr()].push_back(call);
    });
  }
  auto it = callsOf->find(method.getSymNameAttr());
  return it == callsOf->end() ? ArrayRef<CallOp>() : ArrayRef(it->second);
}

void Hierarchy::replaceCall(CallOp from, CallOp to) {
  if (!callsOf)
    return;
  auto &calls = (*callsOf)[from.getCalleeAttr().getAttr()];
  *llvm::find(calls, from) = to;
}

void Hierarchy::replaceCallsIn(Operation *original, Operation *copy) {
  SmallVector<CallOp> from, to;
  original->walk([&](CallOp call) { from.push_back(call); });
  copy->walk([&](CallOp call) { to.push_back(call); });
  for (auto [a, b] : llvm::zip_equal(from, to))
    replaceCall(a, b);
}

SmallVector<Operation *> Hierarchy::getMembers(ModuleOp instance) {
  SmallVector<Operation *> members;
  auto add = [&](ArrayRef<Attribute> slots) {
    for (Attribute slot : slots)
      members.push_back(symbols.lookup(
          instance.getMemberSymbol(cast<StringAttr>(slot).getValue())));
  };
  add(instance.getSlots().getValue());
  if (auto it = addedSlots.find(instance); it != addedSlots.end())
    add(it->second);
  return members;
}

SmallVector<ModuleOp> Hierarchy::getSubtree(ModuleOp instance) {
  SmallVector<ModuleOp> result = {instance};
  for (size_t i = 0; i != result.size(); ++i)
    for (Operation *member : getMembers(result[i]))
      if (auto child = dyn_cast<ModuleOp>(member))
        result.push_back(child);
  return result;
}

/// Whether TorchScript's parser takes `name` as an attribute's name: it refuses
/// Python's keywords, and a value called torch hides torch's operators.
static bool isLoadableName(StringRef name) {
  static const llvm::StringSet<> reserved = {
      "False",  "None",   "True",    "and",      "as",       "assert", "async",
      "await",  "break",  "class",   "continue", "def",      "del",    "elif",
      "else",   "except", "finally", "for",      "from",     "global", "if",
      "import", "in",     "is",      "lambda",   "nonlocal", "not",    "or",
      "pass",   "raise",  "return",  "try",      "while",    "with",   "yield",
      "print",  "torch",  "inf",     "nan",      "self"};
  return !name.empty() && !reserved.contains(name);
}

/// The name with what TorchScript cannot load in any attribute's name replaced
/// by underscores.
static std::string makeLoadable(StringRef name) {
  std::string result = name.str();
  for (char &c : result)
    if (c < ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '\\')
      c = '_';
  return result;
}

std::string Hierarchy::getFreshName(ModuleOp parent, StringRef base,
                                    bool numbered) {
  auto isFree = [&](StringRef name) {
    return isLoadableName(name) &&
           !symbols.lookup(parent.getMemberSymbol(name));
  };
  if (!numbered && isFree(makeLoadable(base)))
    return makeLoadable(base);
  std::string stem = makeLoadable(base);
  if (!stem.empty() && llvm::isDigit(stem.back()))
    stem += '_';
  unsigned &number =
      freeNumbers.try_emplace(parent.getMemberSymbol(stem), 1).first->second;
  while (!isFree(stem + std::to_string(number)))
    ++number;
  return stem + std::to_string(number);
}

void Hierarchy::addSlotName(ModuleOp instance, StringRef name) {
  addedSlots[instance].push_back(StringAttr::get(instance.getContext(), name));
}

Operation *Hierarchy::getLastRelative(ModuleOp instance) {
  Operation *&last = lastRelatives[instance];
  if (last)
    return last;
  last = instance;
  for (Operation *op = instance; op; op = op->getNextNode()) {
    // Storages stand before the slots that view them.
    if (isa<StorageOp>(op))
      continue;
    auto symbol = dyn_cast<SymbolOpInterface>(op);
    if (!symbol || isa<MethodOp>(op) ||
        !isAtOrBelow(symbol.getName(), instance.getSymName()))
      break;
    last = op;
  }
  return last;
}

void Hierarchy::moveLastRelative(ModuleOp instance, Operation *before,
                                 Operation *last) {
  // The same place may end the runs of those above.
  for (StringRef path = instance.getSymName();;) {
    ModuleOp owner = lookupInstance(symbols, path);
    auto it = lastRelatives.find(owner);
    if (it != lastRelatives.end() && it->second == before)
      it->second = last;
    if (path == FQATDialect::kRootName)
      return;
    path = splitPath(path).first;
  }
}

ModuleOp Hierarchy::addChild(ModuleOp parent, StringRef name,
                             StringRef className, Location loc) {
  OpBuilder builder(parent->getContext());
  std::string path = parent.getMemberSymbol(name);
  Operation *before = getLastRelative(parent);
  builder.setInsertionPointAfter(before);
  auto child = ModuleOp::create(
      builder, loc, path, className,
      builder.getStrArrayAttr({"training", "_is_full_backward_hook"}));
  Type boolType = BoolType::get(parent.getContext());
  auto training = AttributeOp::create(builder, loc, joinPath(path, "training"),
                                      builder.getBoolAttr(false), boolType);
  auto hook = AttributeOp::create(
      builder, loc, joinPath(path, "_is_full_backward_hook"),
      builder.getUnitAttr(), OptionalType::get(boolType));
  for (Operation *op :
       {child.getOperation(), training.getOperation(), hook.getOperation()})
    symbols.insert(op);
  moveLastRelative(parent, before, hook);
  addSlotName(parent, name);
  return child;
}

/// The same location, marked as that of a copy.
static Location cloneLoc(Location loc, StringRef path) {
  return FusedLoc::get(loc.getContext(),
                       {loc, NameLoc::get(StringAttr::get(
                                 loc.getContext(), "clone as " + path))});
}

ModuleOp Hierarchy::cloneSubtree(ModuleOp source, ModuleOp parent,
                                 StringRef name, bool copyTensors) {
  std::string from = source.getSymName().str();
  std::string to = parent.getMemberSymbol(name);
  OpBuilder builder(model.getContext());
  Operation *before = getLastRelative(parent), *last = before;
  builder.setInsertionPointAfter(before);
  DenseMap<Attribute, Attribute> copies;
  SmallVector<ModuleOp> clones;
  for (ModuleOp instance : getSubtree(source)) {
    SmallVector<Operation *> originals = {instance};
    for (Operation *member : getMembers(instance))
      if (!isa<ModuleOp>(member))
        originals.push_back(member);
    for (Operation *original : originals) {
      Operation *copy = builder.clone(*original);
      copy->setLoc(cloneLoc(original->getLoc(), to));
      SymbolTable::setSymbolName(
          copy, rebasePath(SymbolTable::getSymbolName(original).getValue(),
                           from, to));
      // An alias to what is copied too points into the copy.
      if (auto alias = dyn_cast<AliasOp>(copy);
          alias && isAtOrBelow(alias.getTarget(), from))
        alias.setTarget(rebasePath(alias.getTarget(), from, to));
      symbols.insert(copy);
      last = copy;
      if (auto clone = dyn_cast<ModuleOp>(copy))
        clones.push_back(clone);
      else if (!copyTensors)
        // The copy holds the very tensors of the original.
        shareTensor(original, copy);
    }
  }
  if (copyTensors)
    for (ModuleOp clone : clones)
      untie(clone, copies);
  moveLastRelative(parent, before, last);
  addSlotName(parent, name);
  // What loading and calling an instance needs besides the method called.
  for (ModuleOp original : getSubtree(source)) {
    llvm::SmallSetVector<StringRef, 4> names;
    if (original.getStateAttr())
      names.insert_range(ArrayRef<StringRef>{"__getstate__", "__setstate__"});
    for (ArrayAttr hooks :
         {original.getHooksAttr(), original.getPreHooksAttr()})
      if (hooks)
        for (auto hook : hooks.getAsRange<StringAttr>())
          names.insert(hook.getValue());
    for (StringRef method : names)
      cloneMethod(symbols.lookup<MethodOp>(original.getMemberSymbol(method)),
                  from, to, method);
  }
  return clones.front();
}

static void setValue(Operation *slot, Attribute value) {
  TypeSwitch<Operation *>(slot).Case<ParameterOp, BufferOp, AttributeOp>(
      [&](auto op) { op.setValueAttr(value); });
}

void Hierarchy::shareTensor(Operation *original, Operation *copy) {
  auto tensor = dyn_cast_or_null<TensorAttr>(getSlotValue(original));
  if (!tensor || tensor.getIdentity() != 0)
    return;
  Attribute shared = withIdentity(tensor, ++lastIdentity);
  setValue(original, shared);
  setValue(copy, shared);
}

Attribute Hierarchy::copyValue(Attribute value,
                               DenseMap<Attribute, Attribute> &copies) {
  MLIRContext *context = model.getContext();
  auto copyStorage = [&](FlatSymbolRefAttr symbol) {
    Attribute &copy = copies[symbol];
    if (copy)
      return cast<FlatSymbolRefAttr>(copy);
    auto original = symbols.lookup<StorageOp>(symbol.getValue());
    if (!original)
      return symbol;
    OpBuilder builder(context);
    builder.setInsertionPointAfter(original);
    auto added = cast<StorageOp>(builder.clone(*original));
    std::string name;
    do
      name = "$s" + std::to_string(numStorages++);
    while (symbols.lookup(name));
    added.setSymName(name);
    symbols.insert(added);
    auto made = FlatSymbolRefAttr::get(context, name);
    copy = made;
    return made;
  };
  // One object stays one.
  auto copyIdentity = [&](int64_t identity) -> int64_t {
    if (identity == 0)
      return 0;
    auto key = IntegerAttr::get(IntegerType::get(context, 64), identity);
    Attribute &copy = copies[key];
    if (!copy)
      copy = IntegerAttr::get(key.getType(), ++lastIdentity);
    return cast<IntegerAttr>(copy).getInt();
  };
  auto copyTensor = [&](TensorAttr tensor) -> Attribute {
    return TensorAttr::get(
        context, copyStorage(tensor.getStorage()), tensor.getDtype(),
        tensor.getSizes(), tensor.getStrides(), tensor.getOffset(),
        tensor.getRequiresGrad(), copyIdentity(tensor.getIdentity()));
  };
  // What nearly all slots hold.
  if (auto tensor = dyn_cast<TensorAttr>(value))
    return copyTensor(tensor);
  if (isa<IntegerAttr, FloatAttr, StringAttr, UnitAttr>(value))
    return value;
  using Replacement = std::pair<Attribute, WalkResult>;
  AttrTypeReplacer replacer;
  // The last of those that fit is asked first.
  replacer.addReplacement([&](Attribute part) -> std::optional<Attribute> {
    int64_t identity = getIdentity(part);
    return identity == 0 ? std::nullopt
                         : std::optional<Attribute>(
                               withIdentity(part, copyIdentity(identity)));
  });
  replacer.addReplacement([&](FlatSymbolRefAttr symbol) -> Attribute {
    return copyStorage(symbol);
  });
  replacer.addReplacement([&](TensorAttr tensor) -> Replacement {
    return {copyTensor(tensor), WalkResult::skip()};
  });
  return replacer.replace(value);
}

void Hierarchy::untie(ModuleOp instance,
                      DenseMap<Attribute, Attribute> &copies) {
  if (Attribute state = instance.getStateAttr())
    instance.setStateAttr(copyValue(state, copies));
  for (Operation *slot : getMembers(instance))
    if (Attribute value = getSlotValue(slot))
      setValue(slot, copyValue(value, copies));
}

MethodOp Hierarchy::cloneMethod(MethodOp method, StringRef from, StringRef to,
                                StringRef name) {
  std::string instance = rebasePath(method.getInstance(), from, to);
  OpBuilder builder(model.getContext());
  builder.setInsertionPointAfter(method);
  auto copy = cast<MethodOp>(builder.clone(*method));
  copy->setLoc(cloneLoc(method.getLoc(), to));
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](FlatSymbolRefAttr symbol) -> Attribute {
    if (from == FQATDialect::kRootName || !isAtOrBelow(symbol.getValue(), from))
      return symbol;
    return FlatSymbolRefAttr::get(symbol.getContext(),
                                  rebasePath(symbol.getValue(), from, to));
  });
  replacer.recursivelyReplaceElementsIn(copy);
  copy.setInstance(instance);
  copy.setSymName(joinPath(instance, name));
  insertMethod(copy);
  return copy;
}

SmallVector<CallOp> Hierarchy::separateCalls(MethodOp method) {
  SmallVector<CallOp> calls(getCalls(method)), others;
  if (calls.size() < 2)
    return calls;
  llvm::SetVector<Operation *> reached;
  if (MethodOp entry = getEntry(symbols))
    reached.insert(entry);
  for (unsigned i = 0; i != reached.size(); ++i)
    reached[i]->walk([&](CallOp call) {
      reached.insert(symbols.lookup<MethodOp>(call.getCallee()));
    });
  llvm::erase_if(calls, [&](CallOp call) {
    bool isOther = !reached.contains(call->getParentOfType<MethodOp>());
    if (isOther)
      others.push_back(call);
    return isOther;
  });
  if (calls.empty() || others.empty())
    return calls;
  StringRef instance = method.getInstance();
  std::string name = getFreshName(lookupInstance(symbols, instance),
                                  unescapeName(method.getMethodName()),
                                  /*numbered=*/true);
  MethodOp copy = cloneMethod(method, instance, instance, name);
  for (CallOp call : others)
    call.setCallee(copy.getSymName());
  forgetCalls();
  return calls;
}

void Hierarchy::renameMethod(MethodOp method, StringRef name) {
  std::string symbol = joinPath(method.getInstance(), name);
  if (symbol == method.getSymName())
    return;
  assert(!symbols.lookup(symbol) && "a method needs a name of its own");
  // Only calls name a method.
  SmallVector<CallOp> calls(getCalls(method));
  callsOf->erase(method.getSymNameAttr());
  freeNumbers.clear();
  symbols.remove(method);
  method.setSymName(symbol);
  symbols.insert(method);
  for (CallOp call : calls)
    call.setCallee(symbol);
  (*callsOf)[method.getSymNameAttr()].assign(calls.begin(), calls.end());
}

void Hierarchy::eraseMethod(MethodOp method) {
  // With it go the calls that it makes, and its name is free again.
  if (callsMethods(method))
    forgetCalls();
  freeNumbers.clear();
  llvm::erase(methodsOf[method.getInstanceAttr().getAttr()], method);
  symbols.erase(method);
}

void Hierarchy::insertMethod(MethodOp method) {
  symbols.insert(method);
  methodsOf[method.getInstanceAttr().getAttr()].push_back(method);
  if (callsMethods(method))
    forgetCalls();
}

unsigned
Hierarchy::eraseHuskCalls(function_ref<void(CallOp, MethodOp)> onErase) {
  SmallVector<CallOp> husks;
  model.walk([&](CallOp call) {
    if (isHusk(symbols, symbols.lookup<MethodOp>(call.getCallee())))
      husks.push_back(call);
  });
  if (onErase)
    for (CallOp call : husks)
      onErase(call, symbols.lookup<MethodOp>(call.getCallee()));
  for (CallOp call : husks)
    call.erase();
  forgetCalls();
  return husks.size();
}

void Hierarchy::makeForward(MethodOp method) {
  std::string name = method.getMethodName().str();
  if (name == "forward")
    return;
  auto other =
      symbols.lookup<MethodOp>(joinPath(method.getInstance(), "forward"));
  if (other)
    renameMethod(other, "$renaming");
  renameMethod(method, "forward");
  if (other)
    renameMethod(other, name);
}

CallOp Hierarchy::rebuildCall(CallOp call, ValueRange arguments,
                              TypeRange resultTypes,
                              ArrayRef<std::optional<unsigned>> kept) {
  OpBuilder builder(call);
  auto rebuilt = CallOp::create(builder, call.getLoc(), call.getCalleeAttr(),
                                resultTypes, arguments);
  // Names belong to results: carry those that stay.
  if (StringRef carried = getNames(call.getLoc()); !carried.empty()) {
    SmallVector<StringRef> names;
    carried.split(names, ',');
    SmallVector<StringRef> newNames(resultTypes.size());
    bool any = false;
    if (names.size() == call.getNumResults())
      for (auto [i, index] : llvm::enumerate(kept))
        if (index) {
          newNames[*index] = names[i];
          any |= !names[i].empty();
        }
    rebuilt->setLoc(
        withNames(call.getLoc(), any ? llvm::join(newNames, ",") : ""));
  }
  for (auto [i, index] : llvm::enumerate(kept))
    if (index)
      call.getResult(i).replaceAllUsesWith(rebuilt.getResult(*index));
  assert(call.use_empty() && "a result that goes must have no uses");
  replaceCall(call, rebuilt);
  call.erase();
  return rebuilt;
}

void Hierarchy::pruneSignature(MethodOp method) {
  SmallVector<CallOp> calls(getCalls(method));
  if (method.isExported() || calls.empty())
    return;

  llvm::BitVector deadResults(method.getNumResults());
  for (unsigned i = 0; i != method.getNumResults(); ++i)
    if (llvm::all_of(
            calls, [&](CallOp call) { return call.getResult(i).use_empty(); }))
      deadResults.set(i);
  auto ret = cast<ReturnOp>(method.getBody().front().getTerminator());
  SmallVector<Value> returned;
  for (auto [i, operand] : llvm::enumerate(ret.getOperands()))
    if (!deadResults.test(i))
      returned.push_back(operand);
  ret->setOperands(returned);
  llvm::BitVector deadArguments(method.getNumArguments());
  for (BlockArgument argument : method.getArguments())
    if (argument.use_empty())
      deadArguments.set(argument.getArgNumber());
  if (deadResults.none() && deadArguments.none())
    return;
  [[maybe_unused]] LogicalResult erasedResults =
      method.eraseResults(deadResults);
  [[maybe_unused]] LogicalResult erasedArguments =
      method.eraseArguments(deadArguments);
  assert(succeeded(erasedResults) && succeeded(erasedArguments));
  for (CallOp call : calls) {
    SmallVector<Value> arguments;
    for (auto [i, argument] : llvm::enumerate(call.getArguments()))
      if (!deadArguments.test(i))
        arguments.push_back(argument);
    SmallVector<std::optional<unsigned>> kept;
    unsigned next = 0;
    for (unsigned i = 0; i != call.getNumResults(); ++i)
      kept.push_back(deadResults.test(i) ? std::nullopt
                                         : std::optional<unsigned>(next++));
    rebuildCall(call, arguments, method.getResultTypes(), kept);
  }
}

} // namespace fqat
