//===- Text.h - Diagnostics as text -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_REPORT_TEXT_H
#define FQAT_REPORT_TEXT_H

#include "fqat/Report/Report.h"

#include <functional>

namespace fqat {

/// Gives the text of a source file, or nothing where it cannot be read. The
/// text lives as long as the reader.
using SourceReader =
    std::function<std::optional<llvm::StringRef>(llvm::StringRef file)>;

/// Prints diagnostics as compilers do, with the line where it can be read:
///
///     model.py:15: error: R4 called once: ... [fqat-r4]
///        15 |         return self.act(self.conv(x))
///           |                ^~~~~~~~
///        help: give each block its own ...
class TextPrinter {
public:
  /// Colours are written if `os` has them on.
  TextPrinter(llvm::raw_ostream &os, SourceReader source)
      : os(os), source(std::move(source)) {}

  /// `kind` is error, warning or note.
  void print(llvm::StringRef kind, const Place &place,
             const llvm::Twine &message);
  void print(const ReportedFinding &finding);

private:
  void printLine(const Place &place);

  llvm::raw_ostream &os;
  SourceReader source;
  /// The line that stands right above, so that it is not shown again.
  std::string shownLine;
};

/// The column, from 1, and the number of characters to point at in a line: the
/// first of the words that stands in it as a name of its own, with the `self.`
/// in front; else the first character that is no blank.
std::pair<size_t, size_t> findWord(llvm::StringRef line,
                                   llvm::ArrayRef<std::string> words);

/// How many errors, notes and suppressed findings a model has; `clean` where it
/// has no error.
void printCounts(const ModelReport &model, llvm::StringRef clean,
                 llvm::raw_ostream &os);

/// What a check found in each of several models, as a table.
void printTable(const Report &report, llvm::raw_ostream &os);

} // namespace fqat

#endif // FQAT_REPORT_TEXT_H
