//===- KernelsTest.cpp - Tests of kernels that are kept back -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Kernels.h"

#include "../../lib/TorchScript/Archive.h"

#include "llvm/ADT/STLExtras.h"
#include "gtest/gtest.h"
#include <ATen/Functions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <set>
#include <string>

using namespace fqat;

/// Whether the parser may compute an operator of constants: it takes and gives
/// what cannot be changed, and gives something.
static bool isFoldable(const c10::FunctionSchema &schema) {
  auto isNumber = [](const c10::Argument &argument) {
    c10::TypePtr type = argument.type();
    if (auto optional = type->cast<c10::OptionalType>())
      type = optional->getElementType();
    return type->isSubtypeOf(*c10::NumberType::get()) ||
           type->isSubtypeOf(*c10::BoolType::get()) ||
           type->isSubtypeOf(*c10::StringType::get());
  };
  return !schema.returns().empty() && !schema.is_vararg() &&
         !schema.is_varret() && llvm::all_of(schema.arguments(), isNumber) &&
         llvm::all_of(schema.returns(), isNumber);
}

/// Those of the operators that the parser may run which have a kernel.
static std::set<std::string> getFoldable() {
  std::set<std::string> names;
  auto &dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName &name : dispatcher.getAllOpNames()) {
    auto handle = dispatcher.findSchema(name);
    if (handle && isFoldable(handle->schema()) &&
        handle->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU))
      names.insert(c10::toString(name));
  }
  return names;
}

// One test: what is registered stays so in all that follow.
TEST(KernelsTest, AreRegisteredWhenTheyAreRequired) {
  auto make = [](int64_t number) {
    return makeTensorPlaceholder(number).toTensor();
  };
  EXPECT_THROW(make(0).add(1), c10::NotImplementedError);
  // What the parser needs is there: schemas, and operators that it runs.
  EXPECT_FALSE(
      torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString("aten::add"))
          .empty());
  EXPECT_TRUE(make(1).equal(make(1)));
  EXPECT_FALSE(make(1).equal(make(2)));
  std::set<std::string> foldable = getFoldable();
  EXPECT_TRUE(foldable.count("aten::can_cast"));

  requireKernels();
  EXPECT_TRUE(make(0).add(1).equal(make(1)));
  EXPECT_EQ(getFoldable(), foldable);
  requireKernels();
  EXPECT_EQ(at::ones({2, 3}).sum().item<int64_t>(), 6);
}
