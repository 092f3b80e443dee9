//===- Body.cpp - The code of a method in Python -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One statement for each value that has a name or several readers; what has
// neither stands in the expression of its one reader, where that does not
// change the order in which things happen:
//
//   %0 = fqat.call @a.conv.forward(%x)
//   %1 = fqat.call @a.act.forward(%0)         return self.act(self.conv(x))
//   fqat.return %1
//
//===----------------------------------------------------------------------===//

#include "BodyWriter.h"
#include "fqat/IR/Paths.h"
#include "fqat/Support/Locations.h"
#include "fqat/Support/Operators.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace fqat {

//===----------------------------------------------------------------------===//
// Lines
//===----------------------------------------------------------------------===//

void BodyWriter::line(StringRef prefix, const Code &code, StringRef suffix) {
  std::string printed;
  llvm::raw_string_ostream os(printed);
  printCode(os, indent, prefix, code, suffix);
  text += printed;
  key += printed;
}

/// The file as people know it: behind the folder that packages lie in.
static StringRef shortenPath(StringRef file) {
  for (StringRef folder : {"/site-packages/", "/dist-packages/"})
    if (size_t at = file.rfind(folder); at != StringRef::npos)
      return file.drop_front(at + folder.size());
  return file;
}

void BodyWriter::comment(Operation *op) {
  FileLineColLoc position = getPosition(op->getLoc());
  // A file without the author's lines has those of its own code.
  if (!position || position.getLine() == 0 ||
      position.getFilename().getValue().starts_with("code/"))
    return;
  std::string place = (shortenPath(position.getFilename().getValue()) + ":" +
                       Twine(position.getLine()))
                          .str();
  if (place == lastComment || place.find('\n') != std::string::npos)
    return;
  lastComment = place;
  text += std::string(indent, ' ') + "# " + place + "\n";
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

std::string BodyWriter::makeName(StringRef wish) {
  std::string base = isIdentifier(wish) ? wish.str() : "value";
  std::string name = base;
  for (unsigned i = 1; emitter.isTaken(name) || !names.insert(name).second; ++i)
    name = base + (llvm::isDigit(base.back()) ? "_" : "") + std::to_string(i);
  return name;
}

std::string BodyWriter::getWish(Value value) {
  auto result = dyn_cast<OpResult>(value);
  Operation *op = value.getDefiningOp();
  SmallVector<StringRef> given;
  getNames(op->getLoc()).split(given, ',');
  if (given.size() == op->getNumResults()) {
    StringRef name = given[result.getResultNumber()];
    if (isIdentifier(name))
      return name.str();
  }
  if (auto call = dyn_cast<CallOp>(op)) {
    StringRef path = splitPath(call.getCallee()).first;
    StringRef last = splitPath(path).second;
    return isIdentifier(last) ? last.str() : "x";
  }
  if (auto oper = dyn_cast<OperatorOp>(op)) {
    StringRef name = oper.getShortName();
    name = name.rtrim('_').ltrim('_');
    return name.lower();
  }
  return "x";
}

/// Whether a value was given a name by the model's author.
static bool isNamed(Value value) {
  Operation *op = value.getDefiningOp();
  return !getNames(op->getLoc()).empty();
}

Code BodyWriter::use(Value value) {
  if (pending && value == pending) {
    pending = nullptr;
    tookPending = true;
    return std::move(pendingCode);
  }
  return values.lookup(value);
}

std::string BodyWriter::useObject(Value value) {
  constexpr size_t longest = 32;
  if (pending && value == pending) {
    std::string text = pendingCode.flat();
    if (text.size() > longest || StringRef(text).count('(') > 1)
      flush();
  }
  return use(value).atom();
}

void BodyWriter::assign(ValueRange results, const Code &code) {
  std::string prefix;
  for (Value result : results) {
    std::string name =
        result.use_empty() ? std::string("_") : makeName(getWish(result));
    values[result] = name;
    prefix += (prefix.empty() ? "" : ", ") + name;
  }
  bool isUnused = llvm::all_of(results, [](Value v) { return v.use_empty(); });
  if (results.empty() || isUnused)
    return line("", code);
  // Many names get a line each.
  size_t needed = code.open ? code.head.size() + 1 : code.flat().size();
  if (results.size() > 1 && indent + prefix.size() + 3 + needed > maxColumns) {
    line("", "(");
    for (Value result : results) {
      text += std::string(indent + 4, ' ') + values[result].head + ",\n";
      key += std::string(indent + 4, ' ') + values[result].head + ",\n";
    }
    return line(") = ", code);
  }
  line(prefix + " = ", code);
}

void BodyWriter::flush() {
  if (!pending)
    return;
  Value value = pending;
  pending = nullptr;
  comment(value.getDefiningOp());
  assign(value, pendingCode);
}

/// What `op` has taken stands in its statement; what it has not comes before.
void BodyWriter::beginStatement(Operation *op) {
  tookPending = false;
  flush();
  comment(op);
}

/// Takes the expression of an op. One that is `light` reads nothing that may
/// change, so that it can be computed at any time.
void BodyWriter::define(Operation *op, Code code, bool isLight) {
  bool hasOneReader = op->getNumResults() == 1 &&
                      op->getResult(0).hasOneUse() &&
                      (*op->user_begin())->getBlock() == op->getBlock();
  // A chain that goes on and on gets a name now and then.
  constexpr unsigned deepest = 6;
  hasOneReader = hasOneReader && code.getDepth() <= deepest;
  if (isLight && !tookPending && (hasOneReader || !code.open) &&
      !code.isCompound) {
    for (Value result : op->getResults())
      values[result] = code;
    return;
  }
  if (isLight && !tookPending && hasOneReader) {
    values[op->getResult(0)] = std::move(code);
    return;
  }
  tookPending = false;
  flush();
  bool isNeeded = hasOneReader && isNamed(op->getResult(0)) &&
                  !isa<ReturnOp>(*op->user_begin());
  if (hasOneReader && (isLight || !isNeeded)) {
    pending = op->getResult(0);
    pendingCode = std::move(code);
    return;
  }
  comment(op);
  assign(op->getResults(), code);
}

std::string BodyWriter::reach(StringAttr symbol) {
  StringRef own = method.getInstance();
  StringAttr below = emitter.findBelow(own, symbol);
  if (isAtOrBelow(below.getValue(), own))
    return emitter.reach("self", own, below);
  for (auto &[needed, name] : threaded)
    if (isAtOrBelow(symbol.getValue(), needed.getValue()))
      return emitter.reach(name, needed.getValue(), symbol);
  llvm_unreachable("what a method needs is threaded");
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

LogicalResult BodyWriter::writeCall(Operation *op, MethodOp callee,
                                    OperandRange operands) {
  ModuleOp instance = emitter.getInstance(callee.getInstance());
  StringAttr symbol = callee.getInstanceAttr().getAttr();
  std::string object = symbol.getValue() == method.getInstance()
                           ? std::string("self")
                           : reach(symbol);
  bool isOwn = emitter.getForm(instance).kind == InstanceForm::Own;
  StringRef name = callee.getMethodName();
  if (isOwn && (name != "forward" || object == "self"))
    object += "." + unescapeName(name);
  std::vector<Code> arguments;
  if (isOwn)
    for (StringAttr needed : emitter.getNeeds(callee))
      arguments.emplace_back(reach(needed));
  for (Value operand : operands)
    arguments.push_back(use(operand));
  define(op, Code(object, '(', std::move(arguments)), /*isLight=*/false);
  return success();
}

LogicalResult BodyWriter::writeConstant(ConstantOp op) {
  FailureOr<Code> code = spellValue(op.getValue(), op);
  if (failed(code))
    return failure();
  values[op.getResult()] = std::move(*code);
  return success();
}

LogicalResult BodyWriter::writeReturn(ReturnOp op) {
  if (op.getNumOperands() == 0) {
    flush();
    return success();
  }
  Code code;
  if (op.getNumOperands() == 1) {
    code = use(op.getOperand(0));
  } else {
    code.open = '(';
    code.isBareTuple = true;
    for (Value operand : op.getOperands())
      code.items.push_back(use(operand));
  }
  flush();
  comment(op);
  line("return ", code);
  return success();
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

/// Writes an arm that leaves what it yields in `names`.
LogicalResult BodyWriter::writeArm(Block &arm, ArrayRef<std::string> results) {
  indent += 4;
  size_t before = key.size();
  if (failed(writeBlock(arm)))
    return failure();
  auto yield = cast<YieldOp>(arm.getTerminator());
  SmallVector<Code> yielded;
  for (Value operand : yield.getOperands())
    yielded.push_back(use(operand));
  tookPending = false;
  flush();
  // All at once: one may be what another was.
  std::string prefix;
  Code code("", '(', {});
  code.isBareTuple = true;
  if (!raises(arm))
    for (auto [name, value] : llvm::zip(results, yielded)) {
      if (name == "_" || value.flat() == name)
        continue;
      prefix += (prefix.empty() ? "" : ", ") + name;
      code.items.push_back(value);
    }
  if (code.items.size() == 1)
    code = Code(code.items.front());
  if (!prefix.empty())
    line(prefix + " = ", code);
  if (key.size() == before)
    line("", "pass");
  indent -= 4;
  return success();
}

LogicalResult BodyWriter::writeIf(IfOp op) {
  Code condition = use(op.getCondition());
  beginStatement(op);
  SmallVector<std::string> results;
  for (Value result : op.getResults()) {
    results.push_back(result.use_empty() ? "_" : makeName(getWish(result)));
    values[result] = results.back();
  }
  line("if ", condition, ":");
  if (failed(writeArm(op.getThenRegion().front(), results)))
    return failure();
  Block &otherwise = op.getElseRegion().front();
  bool isEmpty =
      otherwise.getOperations().size() == 1 &&
      llvm::all_of(results, [](StringRef name) { return name == "_"; });
  if (isEmpty)
    return success();
  line("", "else", ":");
  return writeArm(otherwise, results);
}

LogicalResult BodyWriter::writeLoop(LoopOp op) {
  Block &body = op.getBody().front();
  Code count = use(op.getMaxTripCount());
  Code condition = use(op.getCondition());
  SmallVector<Code> inits;
  for (Value init : op.getInits())
    inits.push_back(use(init));
  beginStatement(op);
  // What is carried has one name, which is the result's in the end.
  SmallVector<std::string> carried;
  for (auto [result, init] : llvm::zip(op.getResults(), inits)) {
    std::string name =
        makeName(result.use_empty() ? "carried" : getWish(result));
    carried.push_back(name);
    values[result] = name;
    line(name + " = ", init);
  }
  auto yield = cast<YieldOp>(body.getTerminator());
  auto isTrue = [](Value value) {
    auto flag = dyn_cast_or_null<BoolAttr>(getConstant(value));
    return flag && flag.getValue();
  };
  std::string index = makeName("i");
  values[body.getArgument(0)] = index;
  for (auto [argument, name] :
       llvm::zip(body.getArguments().drop_front(), carried))
    values[argument] = name;
  bool isCounted = isTrue(op.getCondition()) && isTrue(yield.getOperand(0));
  SmallVector<std::string> results(carried);
  if (isCounted) {
    line("for " + index + " in ", Code("range", '(', {count}), ":");
    results.insert(results.begin(), "_");
    return writeArm(body, results);
  }
  std::string goesOn = makeName("goes_on");
  line(index + " = ", "0");
  line(goesOn + " = ", condition);
  line("while ", makeCompound(goesOn + " and " + index + " < " + count.atom()),
       ":");
  results.insert(results.begin(), goesOn);
  if (failed(writeArm(body, results)))
    return failure();
  indent += 4;
  line(index + " += ", "1");
  indent -= 4;
  return success();
}

LogicalResult BodyWriter::writeOp(Operation *op) {
  if (auto constant = dyn_cast<ConstantOp>(op))
    return writeConstant(constant);
  if (auto get = dyn_cast<GetOp>(op)) {
    StringAttr symbol = get.getSlotAttr().getAttr();
    if (emitter.getInstance(symbol.getValue())) {
      // An attribute of it can be reached from here.
      if (!llvm::all_of(op->getUsers(), getSlotOfValue))
        return op->emitError() << "a module that is a value cannot be written "
                                  "as Python; write the file as TorchScript";
      return success();
    }
    bool isWritten = isa<AttributeOp>(emitter.getSymbols().lookup(symbol));
    Code code = reach(symbol);
    if (!isWritten)
      values[get.getResult()] = code;
    else
      define(op, code, /*isLight=*/false);
    return success();
  }
  if (auto set = dyn_cast<SetOp>(op)) {
    Code value = use(set.getValue());
    beginStatement(op);
    line(reach(set.getSlotAttr().getAttr()) + " = ", value);
    return success();
  }
  if (auto call = dyn_cast<CallOp>(op))
    return writeCall(op,
                     emitter.getSymbols().lookup<MethodOp>(call.getCallee()),
                     call.getArguments());
  if (auto nop = dyn_cast<OutNopOp>(op)) {
    Code argument = use(nop.getInput());
    define(op, Code(reach(nop.getInstanceAttr().getAttr()), '(', {argument}),
           /*isLight=*/false);
    return success();
  }
  if (auto call = dyn_cast<CallFunctionOp>(op)) {
    std::vector<Code> arguments;
    for (Value operand : call.getArguments())
      arguments.push_back(use(operand));
    auto callee = emitter.getSymbols().lookup<FunctionOp>(call.getCallee());
    define(op,
           Code(emitter.useFunction(callee).str(), '(', std::move(arguments)),
           /*isLight=*/false);
    return success();
  }
  if (isa<TupleOp, ListOp>(op)) {
    Code code("", isa<TupleOp>(op) ? '(' : '[', {});
    for (Value element : op->getOperands())
      code.items.push_back(use(element));
    // TorchScript takes an empty list for one of tensors.
    if (auto type = dyn_cast<ListType>(op->getResult(0).getType());
        type && op->getNumOperands() == 0 &&
        !isa<TensorType>(type.getElementType())) {
      FailureOr<std::string> spelled = emitter.spellType(type, op);
      if (failed(spelled))
        return failure();
      code = Code("torch.jit.annotate", '(', {*spelled, std::move(code)});
    }
    // Who reads a list alone may read it at any time, but a list that grows is
    // an object.
    bool isLight = isa<TupleOp>(op) || op->hasOneUse();
    auto reader = op->hasOneUse() ? dyn_cast<OperatorOp>(*op->user_begin())
                                  : OperatorOp();
    if (reader && reader.hasWrites() && reader.isWritten(0))
      isLight = false;
    define(op, std::move(code), isLight);
    return success();
  }
  if (auto dict = dyn_cast<DictOp>(op)) {
    Code code("", '{', {});
    OperandRange elements = dict.getElements();
    for (size_t i = 0; i + 1 < elements.size(); i += 2) {
      std::string name = use(elements[i]).flat();
      Code value = use(elements[i + 1]);
      value.head = name + ": " + value.head;
      value.isCompound = false;
      code.items.push_back(std::move(value));
    }
    define(op, std::move(code), op->hasOneUse());
    return success();
  }
  if (auto unpack = dyn_cast<UnpackOp>(op)) {
    Code aggregate = use(unpack.getAggregate());
    if (op->getNumResults() == 1) {
      std::string object = aggregate.atom();
      define(op, Code(object, '[', {"0"}), /*isLight=*/false);
      return success();
    }
    define(op, std::move(aggregate), /*isLight=*/false);
    return success();
  }
  if (auto branch = dyn_cast<IfOp>(op))
    return writeIf(branch);
  if (auto loop = dyn_cast<LoopOp>(op))
    return writeLoop(loop);
  if (auto oper = dyn_cast<OperatorOp>(op))
    return writeOperator(oper);
  return op->emitError() << "'" << op->getName()
                         << "' cannot be written as Python; write the file as "
                            "TorchScript";
}

LogicalResult BodyWriter::writeBlock(Block &block) {
  for (Operation &op : block.without_terminator()) {
    tookPending = false;
    if (failed(writeOp(&op)))
      return failure();
  }
  return success();
}

LogicalResult BodyWriter::writeSignature(StringRef name) {
  Code code(("def " + name).str(), '(', {});
  if (method) {
    code.items.emplace_back("self");
    names.insert("self");
    for (StringAttr symbol : emitter.getNeeds(method)) {
      std::string argument =
          makeName(unescapeName(splitPath(symbol.getValue()).second));
      threaded[symbol] = argument;
      code.items.emplace_back(argument);
    }
  }
  bool isExported = method && method.isExported();
  bool isKeywordOnly = false;
  for (unsigned i = 0; i != function.getNumArguments(); ++i) {
    auto given =
        function.getArgAttrOfType<StringAttr>(i, FQATDialect::kArgNameAttr);
    std::string argument = makeName(given ? given.getValue() : "x");
    values[function.getArgument(i)] = argument;
    // TorchScript never sees what the constructor calls.
    FailureOr<std::string> type =
        method && method.getMethodName() == kSetState
            ? std::string()
            : emitter.spellType(function.getArgumentTypes()[i], function);
    if (failed(type))
      return failure();
    if (!type->empty())
      argument += ": " + *type;
    // Calls of ours give all arguments.
    if (Attribute value =
            isExported ? function.getArgAttr(i, FQATDialect::kArgDefaultAttr)
                       : Attribute()) {
      FailureOr<Code> spelled = spellValue(value, function);
      if (failed(spelled))
        return failure();
      argument += (type->empty() ? "=" : " = ") + spelled->flat();
    }
    if (isExported && !isKeywordOnly &&
        function.getArgAttr(i, FQATDialect::kArgKeywordOnlyAttr)) {
      code.items.emplace_back("*");
      isKeywordOnly = true;
    }
    code.items.emplace_back(argument);
  }
  line("", code, ":");
  return success();
}

LogicalResult BodyWriter::run(StringRef name) {
  if (failed(writeSignature(name)))
    return failure();
  indent += 4;
  size_t before = key.size();
  findNumbers();
  Block &body = function.getFunctionBody().front();
  if (failed(writeBlock(body)) ||
      failed(writeReturn(cast<ReturnOp>(body.getTerminator()))))
    return failure();
  if (key.size() == before)
    line("", "pass");
  forgetNames();
  return success();
}

/// Numbers the variables in the key: bodies that differ in their names alone
/// are one.
void BodyWriter::forgetNames() {
  std::string result;
  llvm::StringMap<unsigned> known;
  auto isPart = [](char c) { return llvm::isAlnum(c) || c == '_'; };
  for (size_t i = 0; i != key.size();) {
    size_t end = i;
    while (end != key.size() && isPart(key[end]))
      ++end;
    if (end == i) {
      result += key[i++];
      continue;
    }
    StringRef word = StringRef(key).slice(i, end);
    bool isAttribute = i != 0 && key[i - 1] == '.';
    bool isKeyword = end != key.size() && key[end] == '=';
    if (names.contains(word) && word != "self" && !isAttribute && !isKeyword)
      result += "$" + std::to_string(
                          known.try_emplace(word, known.size()).first->second);
    else
      result += word;
    i = end;
  }
  key = std::move(result);
}

LogicalResult writeBody(Emitter &emitter, FunctionOpInterface function,
                        StringRef name, unsigned indent, std::string &text,
                        std::string &key) {
  BodyWriter writer(emitter, function, indent);
  if (failed(writer.run(name)))
    return failure();
  text += writer.text;
  key += writer.key;
  return success();
}

} // namespace fqat
