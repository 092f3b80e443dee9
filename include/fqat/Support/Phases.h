//===- Phases.h - How long the steps of a run take -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_PHASES_H
#define FQAT_SUPPORT_PHASES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <chrono>
#include <utility>
#include <vector>

namespace fqat {

/// The steps of a run, each with the seconds that it took, in their order.
class Phases {
public:
  /// Ends a step, which began when the one before it ended. `name` is a
  /// literal.
  void end(llvm::StringLiteral name) {
    auto now = std::chrono::steady_clock::now();
    steps.emplace_back(name, std::chrono::duration<double>(now - last).count());
    last = now;
  }

  llvm::ArrayRef<std::pair<llvm::StringRef, double>> getSteps() const {
    return steps;
  }
  /// The seconds of all steps.
  double getTotal() const {
    double total = 0;
    for (auto [name, seconds] : steps)
      total += seconds;
    return total;
  }

private:
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
  std::vector<std::pair<llvm::StringRef, double>> steps;
};

} // namespace fqat

#endif // FQAT_SUPPORT_PHASES_H
