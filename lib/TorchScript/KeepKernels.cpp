//===- KeepKernels.cpp - Kernels wait until an operator is run -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   libtorch's constructors:  registerImpl("aten::add", CPU, kernel) -> kept
//                             registerImpl(...)                      -> kept
//   requireKernels():         libtorch's own registerImpl for each, in order
//
// A function of the program takes the place of one that libtorch exports, as a
// program's `malloc` takes that of the C library: libtorch's calls of it go
// through its symbol. Where they did not, nothing would be kept, and the
// program would start more slowly.
//
// Operators' schemas, which the parser needs, are registered as ever.
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Kernels.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"
#include <ATen/core/dispatch/Dispatcher.h>

#include <array>
#include <cstdlib>
#include <dlfcn.h>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using RegisterImpl = decltype(&c10::Dispatcher::registerImpl);

namespace {
/// The arguments of one call of `registerImpl`.
struct Kernel {
  c10::OperatorName name;
  std::optional<c10::DispatchKey> key;
  c10::KernelFunction function;
  std::optional<c10::impl::CppSignature> signature;
  std::unique_ptr<c10::FunctionSchema> schema;
  std::string debug;
};

/// What is kept. Constant-initialised and trivially destroyed: libtorch's
/// constructors run before ours, and its destructors after ours.
struct Store {
  std::mutex mutex;
  bool isOpen = true;
  std::vector<Kernel> *kernels = nullptr;
};
} // namespace

static constinit Store store;

/// libtorch's function, which the program's has taken the place of.
static RegisterImpl findOriginal() {
  // What the C++ ABI has as a pointer to a member that is not virtual: an
  // address, and what to add to `this`.
  using Parts = std::array<void *, 2>;
  Parts own = llvm::bit_cast<Parts>(&c10::Dispatcher::registerImpl);
  Dl_info info;
  void *next = nullptr;
  if (::dladdr(own[0], &info) && info.dli_sname)
    next = ::dlsym(RTLD_NEXT, info.dli_sname);
  if (!next) {
    llvm::errs() << "internal error: libtorch's kernels cannot be "
                    "registered\n";
    std::abort();
  }
  return llvm::bit_cast<RegisterImpl>(Parts{next, nullptr});
}

static c10::RegistrationHandleRAII registerNow(c10::Dispatcher &dispatcher,
                                               Kernel kernel) {
  static const RegisterImpl original = findOriginal();
  return (dispatcher.*original)(
      std::move(kernel.name), kernel.key, std::move(kernel.function),
      kernel.signature, std::move(kernel.schema), std::move(kernel.debug));
}

static void registerKept() {
  std::scoped_lock<std::mutex> lock(store.mutex);
  store.isOpen = false;
  if (!store.kernels)
    return;
  std::unique_ptr<std::vector<Kernel>> kernels(
      std::exchange(store.kernels, nullptr));
  // A handle that goes takes its kernel with it.
  static auto *handles = new std::vector<c10::RegistrationHandleRAII>;
  handles->reserve(kernels->size());
  for (Kernel &kernel : *kernels)
    handles->push_back(
        registerNow(c10::Dispatcher::singleton(), std::move(kernel)));
}

/// Whether parser or printer may run an operator: they compare the tensors that
/// stand for constants, and compute what depends on constant numbers only.
/// Nothing else is computed from what has no tensor (see KernelsTest).
static bool isRunOnCode(llvm::StringRef name) {
  return llvm::is_contained(
      {"aten::equal", "aten::is_same_size",
       // Of numbers.
       "aten::can_cast", "aten::promote_types", "aten::result_type",
       "prims::maximum_value", "prims::minimum_value",
       // Of nothing.
       "aten::_nnpack_available", "aten::is_vulkan_available",
       "aten::_use_cudnn_rnn_flatten_weight",
       "aten::_cufft_get_plan_cache_max_size",
       "aten::_cufft_get_plan_cache_size", "mkldnn::_is_mkldnn_acl_supported",
       "mkldnn::_is_mkldnn_bf16_supported",
       "mkldnn::_is_mkldnn_fp16_supported"},
      name);
}

c10::RegistrationHandleRAII c10::Dispatcher::registerImpl(
    OperatorName name, std::optional<DispatchKey> key, KernelFunction function,
    std::optional<impl::CppSignature> signature,
    std::unique_ptr<FunctionSchema> schema, std::string debug) {
  Kernel given{std::move(name),     key,
               std::move(function), signature,
               std::move(schema),   std::move(debug)};
  if (!isRunOnCode(given.name.name)) {
    std::scoped_lock<std::mutex> lock(store.mutex);
    if (store.isOpen) {
      if (!store.kernels) {
        store.kernels = new std::vector<Kernel>;
        store.kernels->reserve(16'384);
        fqat::setKernelSource(registerKept);
      }
      store.kernels->push_back(std::move(given));
      return RegistrationHandleRAII([] {});
    }
  }
  return registerNow(*this, std::move(given));
}
