//===- ops.cpp - A custom operator and a custom class for the tests -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <ATen/TensorOperators.h>
#include <torch/custom_class.h>
#include <torch/library.h>

namespace {

/// Each restored one has another factor: a round trip that runs the methods
/// shows.
struct Gain : torch::CustomClassHolder {
  explicit Gain(double factor) : factor(factor) {}
  at::Tensor apply(const at::Tensor &x) { return x * factor; }
  double factor;
};

at::Tensor twice(const at::Tensor &x) { return x * 2; }

} // namespace

TORCH_LIBRARY(fqat_test, m) {
  m.def("twice(Tensor x) -> Tensor", twice);
  m.class_<Gain>("Gain")
      .def(torch::init<double>())
      .def("apply", &Gain::apply)
      .def_pickle(
          [](const c10::intrusive_ptr<Gain> &self) -> double {
            return self->factor;
          },
          [](double factor) -> c10::intrusive_ptr<Gain> {
            return c10::make_intrusive<Gain>(factor + 1);
          });
}
