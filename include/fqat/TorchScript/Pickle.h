//===- Pickle.h - Reading and writing TorchScript's pickles -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// TorchScript keeps its values in pickles of protocol 2, with a fixed set of
// opcodes. Here a pickle is only data: no class is looked up, no function is
// called, nothing that the file names is run. So values that this machine could
// not make (tensors on another device) and the states of classes that restore
// themselves come through as they are.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_PICKLE_H
#define FQAT_TORCHSCRIPT_PICKLE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace fqat {

/// One value of a pickle. Two places that hold one object refer to one value.
struct PickleValue {
  enum Kind {
    None,
    Bool,
    Int,
    Float,
    String,
    /// `items` are the elements.
    Tuple,
    List,
    /// `items` are keys and values in turn.
    Dict,
    /// A class or a function by its qualified name, `text`.
    Global,
    /// A call: `items` are the function and the tuple of its arguments; for a
    /// member of an enum, the class and the member's value.
    Reduce,
    /// An object: `items` are its class and its state.
    Object,
    /// What the archive keeps elsewhere: `items` is its id. A storage.
    Persistent,
  };

  Kind kind = None;
  /// The value of an int or a bool.
  int64_t integer = 0;
  /// The value of a float, by its bits.
  double real = 0;
  /// The bytes of a string, or the name of a global.
  std::string text;
  llvm::SmallVector<const PickleValue *, 2> items;

  bool isString() const { return kind == String; }
  bool isTuple() const { return kind == Tuple; }
  /// Whether it is a call of the function of that name.
  bool isCallOf(llvm::StringRef function) const {
    return kind == Reduce && items[0]->kind == Global &&
           items[0]->text == function;
  }
  /// A call's arguments.
  llvm::ArrayRef<const PickleValue *> arguments() const {
    return items[1]->items;
  }
};

/// A pickle that was read, and all its values.
class Pickle {
public:
  /// Reads `bytes`. Fails where they end early, hold an opcode that TorchScript
  /// does not write, or misuse the stack.
  static llvm::Expected<Pickle> parse(llvm::StringRef bytes);

  const PickleValue &getRoot() const { return *root; }

private:
  friend class PickleParser;
  Pickle() = default;

  /// Values stay where they are.
  std::deque<PickleValue> values;
  const PickleValue *root = nullptr;
};

/// Writes a pickle byte for byte as libtorch would: the same opcodes, and the
/// same strings and globals written once.
class PickleWriter {
public:
  PickleWriter();

  void none();
  void boolean(bool value);
  void integer(int64_t value);
  void real(double value);
  void string(llvm::StringRef value);
  /// A class or a function by its qualified name.
  void global(llvm::StringRef name);
  /// A tuple: `begin`, its elements, `end`. libtorch writes short ones in
  /// another way, and so does `tuple` with what it is told of the size.
  void beginTuple(size_t size);
  void endTuple(size_t size);
  /// A tuple between marks, whatever its size.
  void mark();
  void tupleFromMark();
  void beginList(bool isEmpty);
  void endList(bool isEmpty);
  void beginDict(bool isEmpty);
  void endDict(bool isEmpty);
  /// Puts the keys and values above the last mark into the dict below it.
  void setItems();
  /// Makes an object of the class on the stack.
  void newObject();
  /// Gives the object on the stack the state above it.
  void build();
  /// Calls the function on the stack with the tuple above it.
  void reduce();
  /// Takes the id on the stack for what it names.
  void persistent();
  /// Remembers the value on the stack; `get` puts it there again.
  unsigned remember();
  void get(unsigned index);

  /// Ends the pickle and gives its bytes.
  std::string finish();

private:
  void byte(uint8_t value) { bytes.push_back(static_cast<char>(value)); }
  template <typename T>
  void little(T value);

  std::string bytes;
  unsigned numRemembered = 0;
  llvm::StringMap<unsigned> strings, globals;
};

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_PICKLE_H
