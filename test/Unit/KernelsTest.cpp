//===- KernelsTest.cpp - Tests of kernels that are kept back -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Kernels.h"

#include "../../lib/TorchScript/Archive.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/runtime/operator.h>

using namespace fqat;

TEST(KernelsTest, AreRegisteredWhenTheyAreRequired) {
  at::Tensor zero = makeTensorPlaceholder(0).toTensor();
  EXPECT_THROW(zero.add(1), c10::NotImplementedError);
  // What the parser needs is there.
  EXPECT_FALSE(
      torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString("aten::add"))
          .empty());
  requireKernels();
  EXPECT_TRUE(zero.add(1).equal(makeTensorPlaceholder(1).toTensor()));
  requireKernels();
  EXPECT_EQ(at::ones({2, 3}).sum().item<int64_t>(), 6);
}

TEST(KernelsTest, ConstantsAreComparedWithoutThem) {
  at::Tensor one = makeTensorPlaceholder(1).toTensor();
  EXPECT_TRUE(one.equal(makeTensorPlaceholder(1).toTensor()));
  EXPECT_FALSE(one.equal(makeTensorPlaceholder(2).toTensor()));
}
