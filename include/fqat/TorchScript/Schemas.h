//===- Schemas.h - The arguments of torch's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_SCHEMAS_H
#define FQAT_TORCHSCRIPT_SCHEMAS_H

#include "fqat/Python/Emit.h"

#include <memory>

namespace fqat {

/// What libtorch's schemas say of operators' arguments.
class OperatorSchemas {
public:
  OperatorSchemas();
  ~OperatorSchemas();

  /// The arguments of an operator; null if libtorch has none of that name and
  /// overload. The result lives as long as this.
  const std::vector<ArgumentSchema> *lookup(llvm::StringRef name,
                                            llvm::StringRef overload);

private:
  struct Known;
  std::unique_ptr<Known> known;
};

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_SCHEMAS_H
