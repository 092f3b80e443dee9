//===- Workers.cpp - Threads with room for deep code -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Workers.h"

#include "llvm/ADT/SmallVector.h"

#include <optional>
#include <pthread.h>

using namespace llvm;

namespace fqat {

static void *callWork(void *work) {
  (*static_cast<function_ref<void()> *>(work))();
  return nullptr;
}

/// Starts a thread with the largest stack that the system gives, if it gives
/// any. `llvm::thread` ends the program there.
static std::optional<pthread_t> start(function_ref<void()> &work) {
  constexpr size_t largest = 256 << 20, smallest = 4 << 20;
  for (size_t size = largest; size >= smallest; size /= 4) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
      return std::nullopt;
    pthread_t thread;
    bool isStarted = pthread_attr_setstacksize(&attributes, size) == 0 &&
                     pthread_create(&thread, &attributes, callWork, &work) == 0;
    pthread_attr_destroy(&attributes);
    if (isStarted)
      return thread;
  }
  return std::nullopt;
}

void runWorkers(unsigned count, function_ref<void()> work) {
  SmallVector<pthread_t> threads;
  while (threads.size() != count) {
    std::optional<pthread_t> thread = start(work);
    if (!thread)
      break;
    threads.push_back(*thread);
  }
  if (threads.empty())
    work();
  for (pthread_t thread : threads)
    pthread_join(thread, nullptr);
}

} // namespace fqat
