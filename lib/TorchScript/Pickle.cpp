//===- Pickle.cpp - Reading and writing TorchScript's pickles -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The opcodes are those of Python's pickle module, protocol 2 (PEP 307): a
// machine with a stack of values, marks on it, and a memo.
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Pickle.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;

namespace fqat {

namespace {
enum Opcode : uint8_t {
  Mark = '(',
  Stop = '.',
  Pop = '0',
  BinFloat = 'G',
  BinInt = 'J',
  BinInt1 = 'K',
  BinInt2 = 'M',
  None = 'N',
  BinPersId = 'Q',
  Reduce = 'R',
  BinUnicode = 'X',
  EmptyList = ']',
  Append = 'a',
  Build = 'b',
  Global = 'c',
  DictFromMark = 'd',
  EmptyDict = '}',
  Appends = 'e',
  BinGet = 'h',
  LongBinGet = 'j',
  ListFromMark = 'l',
  BinPut = 'q',
  LongBinPut = 'r',
  SetItem = 's',
  TupleFromMark = 't',
  EmptyTuple = ')',
  SetItems = 'u',
  Proto = 0x80,
  NewObj = 0x81,
  Tuple1 = 0x85,
  Tuple2 = 0x86,
  Tuple3 = 0x87,
  NewTrue = 0x88,
  NewFalse = 0x89,
  Long1 = 0x8a,
};

/// Values may nest so deep, modules included. Python's own limit is 1000.
constexpr unsigned maxDepth = 4096;
} // namespace

/// Runs the opcodes.
class PickleParser {
public:
  explicit PickleParser(StringRef bytes) : bytes(bytes) {}

  Expected<Pickle> run();

private:
  Error step(uint8_t opcode);
  Error fail(const Twine &what) const {
    return createStringError("bad pickle: " + what + " at byte " +
                             Twine(position));
  }

  PickleValue *make(PickleValue::Kind kind) {
    PickleValue &value = pickle.values.emplace_back();
    value.kind = kind;
    depths[&value] = 1;
    return &value;
  }
  /// Appends an item; a pickle is read bottom up, so that the depth of what
  /// comes is known.
  Error addItem(PickleValue *value, const PickleValue *item);
  Error addItems(PickleValue *value, ArrayRef<PickleValue *> items);
  Error push(PickleValue *value) {
    stack.push_back(value);
    return Error::success();
  }
  Expected<PickleValue *> pop();
  /// The values above the last mark, which goes with them.
  Expected<SmallVector<PickleValue *>> popMark();
  Error pushTuple(size_t size);
  Error pushFromMark(PickleValue::Kind kind);
  Error appendFromStack(PickleValue::Kind kind, size_t size);
  Error appendFromMark(PickleValue::Kind kind);
  Error remember(uint32_t index);
  Error recall(uint32_t index);
  Error pushLong();
  Error pushGlobal();

  template <typename T>
  Expected<T> read();
  Expected<StringRef> readBytes(uint64_t size);
  Expected<StringRef> readLine();

  StringRef bytes;
  size_t position = 0;
  Pickle pickle;
  std::vector<PickleValue *> stack;
  std::vector<size_t> marks;
  DenseMap<uint64_t, PickleValue *> memo;
  /// What the pickle uses a second time; it must not change any more, so that
  /// no value contains itself.
  DenseSet<const PickleValue *> recalled;
  DenseMap<const PickleValue *, unsigned> depths;
  bool stopped = false;
};

template <typename T>
Expected<T> PickleParser::read() {
  auto raw = readBytes(sizeof(T));
  if (!raw)
    return raw.takeError();
  return support::endian::read<T, endianness::little>(raw->data());
}

Expected<StringRef> PickleParser::readBytes(uint64_t size) {
  if (size > bytes.size() - position)
    return fail("it ends early");
  StringRef result = bytes.substr(position, size);
  position += size;
  return result;
}

Expected<StringRef> PickleParser::readLine() {
  size_t end = bytes.find('\n', position);
  if (end == StringRef::npos)
    return fail("it ends early");
  StringRef result = bytes.slice(position, end);
  position = end + 1;
  return result;
}

Error PickleParser::addItem(PickleValue *value, const PickleValue *item) {
  unsigned depth = std::max(depths.lookup(value), depths.lookup(item) + 1);
  depths[value] = depth;
  if (depth > maxDepth)
    return fail("values nest too deep");
  if (recalled.contains(value))
    return fail("a value changes after its use");
  value->items.push_back(item);
  return Error::success();
}

Error PickleParser::addItems(PickleValue *value,
                             ArrayRef<PickleValue *> items) {
  for (PickleValue *item : items)
    if (Error error = addItem(value, item))
      return error;
  return Error::success();
}

Expected<PickleValue *> PickleParser::pop() {
  if (stack.empty() || (!marks.empty() && marks.back() == stack.size()))
    return fail("a value is missing");
  PickleValue *value = stack.back();
  stack.pop_back();
  return value;
}

Expected<SmallVector<PickleValue *>> PickleParser::popMark() {
  if (marks.empty())
    return fail("a mark is missing");
  size_t begin = marks.back();
  marks.pop_back();
  SmallVector<PickleValue *> values(stack.begin() + begin, stack.end());
  stack.resize(begin);
  return values;
}

Error PickleParser::pushTuple(size_t size) {
  SmallVector<PickleValue *> items(size);
  for (size_t i = size; i-- != 0;) {
    auto item = pop();
    if (!item)
      return item.takeError();
    items[i] = *item;
  }
  PickleValue *tuple = make(PickleValue::Tuple);
  if (Error error = addItems(tuple, items))
    return error;
  return push(tuple);
}

Error PickleParser::pushFromMark(PickleValue::Kind kind) {
  auto items = popMark();
  if (!items)
    return items.takeError();
  if (kind == PickleValue::Dict && items->size() % 2 != 0)
    return fail("a key has no value");
  PickleValue *value = make(kind);
  if (Error error = addItems(value, *items))
    return error;
  return push(value);
}

Error PickleParser::appendFromStack(PickleValue::Kind kind, size_t size) {
  SmallVector<PickleValue *, 2> items(size);
  for (size_t i = size; i-- != 0;) {
    auto item = pop();
    if (!item)
      return item.takeError();
    items[i] = *item;
  }
  if (stack.empty() || stack.back()->kind != kind)
    return fail("items have nothing to go to");
  return addItems(stack.back(), items);
}

Error PickleParser::appendFromMark(PickleValue::Kind kind) {
  auto items = popMark();
  if (!items)
    return items.takeError();
  if (stack.empty() || stack.back()->kind != kind ||
      (kind == PickleValue::Dict && items->size() % 2 != 0))
    return fail("items have nothing to go to");
  return addItems(stack.back(), *items);
}

Error PickleParser::remember(uint32_t index) {
  if (stack.empty())
    return fail("a value is missing");
  memo[index] = stack.back();
  return Error::success();
}

Error PickleParser::recall(uint32_t index) {
  auto it = memo.find(index);
  if (it == memo.end())
    return fail("value " + Twine(index) + " was never remembered");
  recalled.insert(it->second);
  return push(it->second);
}

Error PickleParser::pushLong() {
  auto size = read<uint8_t>();
  if (!size)
    return size.takeError();
  if (*size > sizeof(int64_t))
    return fail("an integer has more than 64 bits");
  auto raw = readBytes(*size);
  if (!raw)
    return raw.takeError();
  // Two's complement, the least significant byte first.
  uint64_t value = 0;
  for (size_t i = 0; i != raw->size(); ++i)
    value |= uint64_t(uint8_t((*raw)[i])) << (8 * i);
  if (!raw->empty() && raw->size() < sizeof(int64_t) && (raw->back() & 0x80))
    value |= ~uint64_t(0) << (8 * raw->size());
  PickleValue *integer = make(PickleValue::Int);
  integer->integer = static_cast<int64_t>(value);
  return push(integer);
}

Error PickleParser::pushGlobal() {
  auto module = readLine();
  if (!module)
    return module.takeError();
  auto name = readLine();
  if (!name)
    return name.takeError();
  PickleValue *global = make(PickleValue::Global);
  global->text = module->empty() ? name->str() : (*module + "." + *name).str();
  return push(global);
}

Error PickleParser::step(uint8_t opcode) {
  auto pushInt = [&](auto value) -> Error {
    if (!value)
      return value.takeError();
    PickleValue *integer = make(PickleValue::Int);
    integer->integer = *value;
    return push(integer);
  };
  auto withIndex = [&](auto index, auto use) -> Error {
    if (!index)
      return index.takeError();
    return use(*index);
  };
  auto putValue = [&](uint32_t index) { return remember(index); };
  auto getValue = [&](uint32_t index) { return recall(index); };
  // A class or function, and above it the tuple of its arguments.
  auto pair = [&](PickleValue::Kind kind) -> Error {
    auto second = pop();
    if (!second)
      return second.takeError();
    auto first = pop();
    if (!first)
      return first.takeError();
    if ((*first)->kind != PickleValue::Global)
      return fail("a class or a function is missing");
    PickleValue *made = make(kind);
    if (kind == PickleValue::Object) {
      // The state comes with `build`.
      if (Error error = addItem(made, *first))
        return error;
    } else if (Error error = addItems(made, {*first, *second})) {
      return error;
    }
    return push(made);
  };

  switch (opcode) {
  case Proto: {
    auto version = read<uint8_t>();
    if (!version)
      return version.takeError();
    if (*version != 2)
      return fail("protocol " + Twine(unsigned(*version)));
    return Error::success();
  }
  case Mark:
    marks.push_back(stack.size());
    return Error::success();
  case Stop:
    stopped = true;
    return Error::success();
  case Pop: {
    auto value = pop();
    return value ? Error::success() : value.takeError();
  }
  case None:
    return push(make(PickleValue::None));
  case NewTrue:
  case NewFalse: {
    PickleValue *value = make(PickleValue::Bool);
    value->integer = opcode == NewTrue;
    return push(value);
  }
  case BinInt:
    return pushInt(read<int32_t>());
  case BinInt1:
    return pushInt(read<uint8_t>());
  case BinInt2:
    return pushInt(read<uint16_t>());
  case Long1:
    return pushLong();
  case BinFloat: {
    auto raw = readBytes(sizeof(double));
    if (!raw)
      return raw.takeError();
    PickleValue *value = make(PickleValue::Float);
    value->real = bit_cast<double>(
        support::endian::read<uint64_t, endianness::big>(raw->data()));
    return push(value);
  }
  case BinUnicode: {
    auto size = read<uint32_t>();
    if (!size)
      return size.takeError();
    auto text = readBytes(*size);
    if (!text)
      return text.takeError();
    PickleValue *value = make(PickleValue::String);
    value->text = text->str();
    return push(value);
  }
  case Global:
    return pushGlobal();
  case EmptyTuple:
    return pushTuple(0);
  case Tuple1:
    return pushTuple(1);
  case Tuple2:
    return pushTuple(2);
  case Tuple3:
    return pushTuple(3);
  case TupleFromMark:
    return pushFromMark(PickleValue::Tuple);
  case EmptyList:
    return push(make(PickleValue::List));
  case ListFromMark:
    return pushFromMark(PickleValue::List);
  case Append:
    return appendFromStack(PickleValue::List, 1);
  case Appends:
    return appendFromMark(PickleValue::List);
  case EmptyDict:
    return push(make(PickleValue::Dict));
  case DictFromMark:
    return pushFromMark(PickleValue::Dict);
  case SetItem:
    return appendFromStack(PickleValue::Dict, 2);
  case SetItems:
    return appendFromMark(PickleValue::Dict);
  case Reduce:
    return pair(PickleValue::Reduce);
  case NewObj:
    return pair(PickleValue::Object);
  case Build: {
    auto state = pop();
    if (!state)
      return state.takeError();
    if (stack.empty() || stack.back()->kind != PickleValue::Object ||
        stack.back()->items.size() != 1)
      return fail("a state has no object");
    return addItem(stack.back(), *state);
  }
  case BinPersId: {
    auto id = pop();
    if (!id)
      return id.takeError();
    PickleValue *value = make(PickleValue::Persistent);
    if (Error error = addItem(value, *id))
      return error;
    return push(value);
  }
  case BinPut:
    return withIndex(read<uint8_t>(), putValue);
  case LongBinPut:
    return withIndex(read<uint32_t>(), putValue);
  case BinGet:
    return withIndex(read<uint8_t>(), getValue);
  case LongBinGet:
    return withIndex(read<uint32_t>(), getValue);
  default:
    return fail(formatv("opcode {0:x2}, which TorchScript does not write",
                        unsigned(opcode))
                    .str());
  }
}

Expected<Pickle> PickleParser::run() {
  while (!stopped) {
    auto opcode = read<uint8_t>();
    if (!opcode)
      return opcode.takeError();
    if (Error error = step(*opcode))
      return error;
  }
  if (stack.size() != 1)
    return fail("it does not end with one value");
  for (const PickleValue &value : pickle.values)
    if (value.kind == PickleValue::Object && value.items.size() != 2)
      return fail("an object has no state");
  pickle.root = stack.back();
  return std::move(pickle);
}

Expected<Pickle> Pickle::parse(StringRef bytes) {
  return PickleParser(bytes).run();
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

template <typename T>
void PickleWriter::little(T value) {
  char raw[sizeof(T)];
  support::endian::write<T, endianness::little>(raw, value);
  bytes.append(raw, sizeof(T));
}

PickleWriter::PickleWriter() {
  byte(Proto);
  byte(2);
}

void PickleWriter::none() { byte(None); }

void PickleWriter::boolean(bool value) { byte(value ? NewTrue : NewFalse); }

void PickleWriter::integer(int64_t value) {
  if (isUInt<8>(value)) {
    byte(BinInt1);
    little<uint8_t>(value);
  } else if (isUInt<16>(value)) {
    byte(BinInt2);
    little<uint16_t>(value);
  } else if (isInt<32>(value)) {
    byte(BinInt);
    little<int32_t>(value);
  } else {
    byte(Long1);
    byte(sizeof(value));
    little<int64_t>(value);
  }
}

void PickleWriter::real(double value) {
  byte(BinFloat);
  char raw[sizeof(value)];
  support::endian::write<uint64_t, endianness::big>(raw,
                                                    bit_cast<uint64_t>(value));
  bytes.append(raw, sizeof(value));
}

void PickleWriter::string(StringRef value) {
  auto it = strings.find(value);
  if (it != strings.end())
    return get(it->second);
  byte(BinUnicode);
  little<uint32_t>(value.size());
  bytes.append(value.data(), value.size());
  strings[value] = remember();
}

void PickleWriter::global(StringRef name) {
  auto it = globals.find(name);
  if (it != globals.end())
    return get(it->second);
  auto [module, leaf] = name.rsplit('.');
  if (leaf.empty())
    std::swap(module, leaf);
  byte(Global);
  bytes += module;
  bytes += '\n';
  bytes += leaf;
  bytes += '\n';
  globals[name] = remember();
}

void PickleWriter::beginTuple(size_t size) {
  if (size > 3)
    byte(Mark);
}

void PickleWriter::endTuple(size_t size) {
  static constexpr uint8_t opcodes[] = {EmptyTuple, Tuple1, Tuple2, Tuple3};
  byte(size > 3 ? uint8_t(TupleFromMark) : opcodes[size]);
}

void PickleWriter::mark() { byte(Mark); }

void PickleWriter::tupleFromMark() { byte(TupleFromMark); }

void PickleWriter::beginList(bool isEmpty) {
  byte(EmptyList);
  if (!isEmpty)
    byte(Mark);
}

void PickleWriter::endList(bool isEmpty) {
  if (!isEmpty)
    byte(Appends);
}

void PickleWriter::beginDict(bool isEmpty) {
  byte(EmptyDict);
  if (!isEmpty)
    byte(Mark);
}

void PickleWriter::endDict(bool isEmpty) {
  if (!isEmpty)
    setItems();
}

void PickleWriter::setItems() { byte(SetItems); }

void PickleWriter::newObject() {
  byte(EmptyTuple);
  byte(NewObj);
}

void PickleWriter::build() { byte(Build); }

void PickleWriter::reduce() { byte(Reduce); }

void PickleWriter::persistent() { byte(BinPersId); }

unsigned PickleWriter::remember() {
  if (isUInt<8>(numRemembered)) {
    byte(BinPut);
    little<uint8_t>(numRemembered);
  } else {
    byte(LongBinPut);
    little<uint32_t>(numRemembered);
  }
  return numRemembered++;
}

void PickleWriter::get(unsigned index) {
  if (isUInt<8>(index)) {
    byte(BinGet);
    little<uint8_t>(index);
  } else {
    byte(LongBinGet);
    little<uint32_t>(index);
  }
}

std::string PickleWriter::finish() {
  byte(Stop);
  return std::move(bytes);
}

} // namespace fqat
