//===- Verdict.h - The simple mistake that explains it all -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_DUMP_VERDICT_H
#define FQAT_LIB_DUMP_VERDICT_H

#include "fqat/Dump/Compare.h"

namespace fqat::dump {

/// Counts the elements that differ, and stops soon after there are more than
/// `limit`. A `shift` of s compares channel c of the board with channel c - s
/// of the kit, where there is one.
uint64_t countDifferences(const Pair &pair, const Tolerance &tolerance,
                          int shift, uint64_t limit, unsigned numThreads);

/// Whether two elements count as equal.
bool isEqual(float kit, float board, const Tolerance &tolerance);

/// Sets the verdict, and its explanation, of dumps that differ.
void findVerdict(const Pair &pair, const Tolerance &tolerance,
                 unsigned numThreads, Comparison &result);

} // namespace fqat::dump

#endif // FQAT_LIB_DUMP_VERDICT_H
