//===- Code.h - TorchScript's source code -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An archive holds code as Python text, one file for each qualifier, and beside
// each file a record of the lines that it was generated from.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TORCHSCRIPT_CODE_H
#define FQAT_LIB_TORCHSCRIPT_CODE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSet.h"
#include <ATen/core/class_type.h>
#include <torch/csrc/jit/frontend/source_range.h>
#include <torch/csrc/jit/serialization/python_print.h>
#include <torch/csrc/jit/serialization/type_name_uniquer.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fqat {

/// The qualifier of a name: `a` of `a.b`.
llvm::StringRef getQualifier(llvm::StringRef name);

/// The record that holds the code of a qualifier: `a.b` is in `code/a/b.py`.
std::string getCodeRecord(llvm::StringRef qualifier);

/// Reads a record of lines, at its first use. One that cannot be understood
/// gives no lines: it is no part of what the model computes.
std::shared_ptr<torch::jit::SourceRangeUnpickler>
readDebugRecord(std::string bytes);

/// The same for code that was joined: each record with where its part begins.
std::shared_ptr<torch::jit::SourceRangeUnpickler>
joinDebugRecords(std::vector<std::pair<size_t, std::string>> records);

/// Writes records of lines. Equal ranges get equal tags in all of them.
class DebugRecordWriter {
public:
  std::string write(const torch::jit::SourceRangeRecords &ranges);

private:
  using Key = std::tuple<std::string, std::string, size_t, size_t, size_t>;
  std::map<Key, int64_t> tags;
};

/// The code of one qualifier. `debug` is its record of lines, or empty.
struct CodeFile {
  std::string qualifier, text, debug;
};

/// Prints types, and functions as libtorch treats them, with all that they
/// depend on. Throws what libtorch throws.
///
/// For each class that it prints, libtorch notes all classes below it, and
/// searches a list for each: time that grows with the square of the number of
/// classes. It sees one level at a time here. The order of what is printed is
/// the one that libtorch has all the same.
class CodePrinter {
public:
  /// Takes the attributes of the classes that are to be printed, one class a
  /// module, away until `takeFiles` is called.
  explicit CodePrinter(llvm::ArrayRef<c10::ClassTypePtr> classes);

  void print(const c10::NamedTypePtr &type);
  /// The files, in the order of their first type.
  std::vector<CodeFile> takeFiles();

  /// The values that the code calls `CONSTANTS.c0`, ...
  const std::vector<c10::IValue> &getConstants() const { return constants; }
  /// The lowest version of the file format that has all operators used.
  uint64_t getVersion() const { return version; }
  /// The name under which the code has a type.
  std::string getName(const c10::NamedTypePtr &type) {
    return names.getUniqueName(type).qualifiedName();
  }

private:
  /// The types of one qualifier.
  struct File {
    File(std::string qualifier, std::vector<c10::IValue> &constants,
         c10::TypePrinter printName)
        : qualifier(std::move(qualifier)),
          printer(constants, dependencies, std::move(printName),
                  /*enforce_importable=*/true) {}

    std::string qualifier;
    torch::jit::PrintDepsTable dependencies;
    torch::jit::PythonPrint printer;
  };

  void printOne(const c10::NamedTypePtr &type);
  /// Notes a type and what it depends on, as libtorch does.
  void require(const c10::TypePtr &type);

  std::vector<c10::IValue> constants;
  torch::jit::TypeNameUniquer names;
  /// The attributes of the classes that have none now.
  llvm::DenseMap<c10::ClassType *, std::vector<c10::ClassAttribute>> attributes;
  /// What is to be printed, in order, and how much of it is.
  std::vector<c10::NamedTypePtr> required;
  llvm::StringSet<> requiredNames;
  size_t numPrinted = 0;
  std::deque<File> files;
  llvm::StringMap<size_t> fileIndices;
  uint64_t version = 0;
};

/// Prints one type alone. What it depends on is added to `dependencies`.
CodeFile printType(const c10::NamedTypePtr &type,
                   std::vector<c10::IValue> &constants,
                   std::vector<c10::NamedTypePtr> &dependencies);

} // namespace fqat

#endif // FQAT_LIB_TORCHSCRIPT_CODE_H
