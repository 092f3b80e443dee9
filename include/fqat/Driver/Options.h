//===- Options.h - The command line of fqat-opt -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DRIVER_OPTIONS_H
#define FQAT_DRIVER_OPTIONS_H

#include "fqat/Pipeline/Pipeline.h"

#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace fqat {

/// What the program returns to its caller.
enum ExitCode : int {
  Done = 0,
  Found = 1,
  Unusable = 2,
  NotMet = 3,
  NotProved = 4,
  Internal = 70,
};

enum class Emit { TorchScript, MLIR, Bytecode, Python, Dot, None };

struct Options {
  std::vector<std::string> inputs;
  std::string output;
  bool check = false;
  bool quiet = false;
  bool verbose = false;
  bool elideWeights = false;
  bool noProof = false;
  bool verify = false;
  std::string verifyInputs;
  std::optional<Emit> emit;
  std::string passPipeline;
  std::vector<std::string> operatorLibraries;
  PipelineOptions pipeline;
  std::vector<std::string> reports;
  std::vector<std::string> ignored;
  std::string baseline;
  std::string explained;
  /// A shell, to print a script for.
  std::string completion;
  bool manPage = false;
  /// `auto`, `always` or `never`.
  std::string color = "auto";
  /// 0: as many as there are cores.
  unsigned numJobs = 0;
  bool progress = false;

  /// Whether a file or standard output gets a model.
  bool writesModel() const { return getEmit() != Emit::None; }
  /// Whether a report draws the models.
  bool drawsModels() const;
  Emit getEmit() const;
};

/// Declares the command line. Its words are those of the design. What CLI11
/// does not tell by itself is put into `options` when `app` has parsed.
void declareOptions(CLI::App &app, Options &options);

/// The version of the project, `1.2.3`.
llvm::StringRef getVersion();
/// That, and the versions of what it is built on, in a line.
std::string getVersions();

} // namespace fqat

#endif // FQAT_DRIVER_OPTIONS_H
