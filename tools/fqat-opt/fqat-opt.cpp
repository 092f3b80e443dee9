//===- fqat-opt.cpp - Fixes TorchScript models for fixed-point training -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Manual.h"

#include "fqat/Driver/Options.h"
#include "fqat/Driver/Run.h"
#include "fqat/Support/Program.h"

#include "llvm/Support/Alignment.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"
#include <CLI/CLI.hpp>
#ifdef FQAT_ENABLE_MIMALLOC
#include <mimalloc.h>
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <unistd.h>

using namespace llvm;
using namespace fqat;

static ExitCode runMain(int argc, char **argv) {
  Options options;
  CLI::App app("Fixes TorchScript models for fixed-point quantisation-aware "
               "training.",
               "fqat-opt");
  declareOptions(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? Done : Unusable;
  }
  bool isTerminal = sys::Process::StandardErrIsDisplayed();
  errs().enable_colors(options.color == "always" ||
                       (options.color == "auto" && isTerminal &&
                        sys::Process::StandardErrHasColors() &&
                        !std::getenv("NO_COLOR")));
  if (!options.completion.empty()) {
    writeCompletion(app, options.completion, outs());
    return Done;
  }
  if (options.manPage) {
    writeManPage(app, getVersion(), outs());
    return Done;
  }
  if (!options.explained.empty()) {
    std::optional<Rule> rule = parseRule(options.explained);
    if (!rule)
      return fail(errs(), "--explain",
                  "there is no rule '" + options.explained + "' (R1 to R5)");
    outs() << explain(getInfo(*rule));
    return Done;
  }

  options.progress |= isTerminal && !options.quiet;
  Report report;
  return runModels(std::move(options), errs(), report);
}

#ifdef FQAT_ENABLE_MIMALLOC
/// The machine's memory, in bytes.
static size_t getMemorySize() {
  return static_cast<size_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L)) *
         sys::Process::getPageSizeEstimate();
}

/// Sets addresses aside for the allocator, which would give large pieces back
/// to the system one by one otherwise. No memory is taken before it is used,
/// and where there are not so many addresses it goes without.
static void reserveMemory() {
  // What mimalloc 2 takes at a time, and where it wants it.
  constexpr size_t alignment = 32 << 20;
  // A model so large is walked from end to end many times: with small pages, a
  // sixth of the passes' time is what the processor needs to find them. A small
  // one would pay for the clearing of what it never uses.
  constexpr size_t sizeOfSmallPages = 1 << 30;
  size_t size = getMemorySize() / alignment * alignment;
  size_t sizeWithRoom = size + alignment;
  void *addresses =
      ::mmap(nullptr, sizeWithRoom, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, /*fd=*/-1, 0);
  if (addresses == MAP_FAILED)
    return;
  char *start = static_cast<char *>(addresses) +
                offsetToAlignedAddr(addresses, Align::Constant<alignment>());
  if (size > sizeOfSmallPages)
    (void)::madvise(start + sizeOfSmallPages, size - sizeOfSmallPages,
                    MADV_HUGEPAGE);
  if (!mi_manage_os_memory(start, size, /*is_committed=*/true,
                           /*is_large=*/false, /*is_zero=*/true,
                           /*numa_node=*/-1))
    (void)::munmap(addresses, sizeWithRoom);
}
#endif

int main(int argc, char **argv) {
#ifdef FQAT_ENABLE_MIMALLOC
  // What one step gives back the next one takes: the system would have to clear
  // it in between.
  mi_option_disable(mi_option_allow_decommit);
  reserveMemory();
  // It would abort the program: it is no C++, and cannot throw.
  mi_register_error(
      [](int code, void *) {
        if (code == ENOMEM)
          endForLackOfMemory();
      },
      nullptr);
#endif
  int code = fqat::runProgram("fqat-opt", argv[0],
                              [&] { return runMain(argc, argv); });
#ifndef FQAT_RUN_DESTRUCTORS
  // All is written. libtorch's destructors, and those of libraries of
  // operators, give back what the system takes, in a twentieth of the time of a
  // small model.
  std::_Exit(code);
#endif
  return code;
}
