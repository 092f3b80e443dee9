//===- Program.cpp - What every program does first and last -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Program.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <csignal>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <new>
#include <unistd.h>

using namespace llvm;

namespace fqat {

constexpr int kUnusable = 2, kInternal = 70;

/// Puts something in the place of standard streams that are closed. Whoever
/// uses them still gets an error: they are opened the wrong way round.
static void occupyStandardStreams() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) == -1)
      (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/// Of threads that would end the program at the same time, all but the first
/// wait here for the end: LLVM hands the list of unfinished files to whoever
/// asks first, and they must be gone before anyone ends the process. (A signal
/// from outside is LLVM's own to handle, and may still come in between.)
static void claimEnd() {
  static std::atomic_flag isClaimed;
  static thread_local bool isOurs = false;
  isOurs |= !isClaimed.test_and_set();
  if (isOurs)
    return;
  while (true)
    ::pause();
}

/// Ends the program, unless somebody recovers from what LLVM gives up on.
static void handleFatalError(void *name, const char *reason, bool) {
  if (CrashRecoveryContext::GetCurrent())
    return;
  claimEnd();
  sys::RunInterruptHandlers();
  errs() << *static_cast<StringRef *>(name) << ": internal error: " << reason
         << '\n';
  ::_exit(kInternal);
}

static int call(StringRef name, function_ref<int()> body) {
  try {
    return body();
  } catch (const std::exception &error) {
    errs() << name << ": internal error: " << error.what() << '\n';
    return kInternal;
  }
}

/// The same for what is thrown where nothing can be caught: where memory or
/// threads run out, for the most part.
[[noreturn]] static void handleTerminate() {
  claimEnd();
  int code = kInternal;
  try {
    if (std::exception_ptr thrown = std::current_exception())
      std::rethrow_exception(thrown);
    errs() << "internal error: the program was terminated\n";
  } catch (const std::bad_alloc &) {
    code = kUnusable;
    errs() << "error: there is not enough memory\n";
  } catch (const std::exception &error) {
    errs() << "internal error: " << error.what() << '\n';
  } catch (...) {
    errs() << "internal error: something unknown was thrown\n";
  }
  sys::RunInterruptHandlers();
  ::_exit(code);
}

void endForLackOfMemory() {
  claimEnd();
  // Nothing here may take memory.
  constexpr StringLiteral message = "error: there is not enough memory\n";
  if (::write(STDERR_FILENO, message.data(), message.size()) < 0)
    ::_exit(kUnusable);
  sys::RunInterruptHandlers();
  ::_exit(kUnusable);
}

static void handleBadAlloc(void *, const char *, bool) { endForLackOfMemory(); }

/// Has LLVM remove unfinished files when a signal ends the program, but leaves
/// signals alone that the caller wants ignored: nohup, a shell's background.
static void handleSignals(const char *argv0) {
  constexpr int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR2, SIGPIPE};
  struct sigaction given[std::size(signals)];
  for (auto [number, action] : zip(signals, given))
    (void)::sigaction(number, nullptr, &action);
  sys::PrintStackTraceOnErrorSignal(argv0);
  for (auto [number, action] : zip(signals, given))
    if (action.sa_handler == SIG_IGN)
      (void)::sigaction(number, &action, nullptr);
}

int runProgram(StringRef name, const char *argv0, function_ref<int()> body) {
  occupyStandardStreams();
  handleSignals(argv0);
  std::set_terminate(handleTerminate);
  std::set_new_handler(endForLackOfMemory);
  install_bad_alloc_error_handler(handleBadAlloc);
  CrashRecoveryContext::Enable();
  install_fatal_error_handler(handleFatalError, &name);
  (void)std::signal(SIGXFSZ, SIG_IGN);
  int code = call(name, body);
  // CLI11 prints to the C++ streams.
  std::cout.flush();
  outs().flush();
  if (std::error_code error = outs().error(); error || !std::cout) {
    errs() << "standard output: error: "
           << (error ? error : std::error_code(EIO, std::generic_category()))
                  .message()
           << '\n';
    code = std::max(code, kUnusable);
  }
  // An error that is left is the end of the program by a signal. That nobody
  // hears of an error changes nothing about it.
  outs().clear_error();
  errs().clear_error();
  remove_fatal_error_handler();
  remove_bad_alloc_error_handler();
  return code;
}

} // namespace fqat
