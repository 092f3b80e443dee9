//===- Globs.h - Globs of instances -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_GLOBS_H
#define FQAT_SUPPORT_GLOBS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/GlobPattern.h"

#include <memory>
#include <string>

namespace fqat {

/// A glob of instances, as the command line and files take it: `*` crosses
/// dots, and what lies below a match belongs to it.
class InstanceGlob {
public:
  static llvm::Expected<InstanceGlob> create(llvm::StringRef text);

  /// Whether the instance with the symbol `path`, or one above it, matches.
  bool matches(llvm::StringRef path) const;

  llvm::StringRef getText() const { return *text; }

private:
  InstanceGlob(std::shared_ptr<const std::string> text,
               llvm::GlobPattern pattern)
      : text(std::move(text)), pattern(std::move(pattern)) {}

  // The pattern refers to the text.
  std::shared_ptr<const std::string> text;
  llvm::GlobPattern pattern;
};

} // namespace fqat

#endif // FQAT_SUPPORT_GLOBS_H
