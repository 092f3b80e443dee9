//===- Text.cpp - Diagnostics as text -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Text.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;

namespace fqat {

static bool isNameCharacter(char c) { return isAlnum(c) || c == '_'; }

std::pair<size_t, size_t> findWord(StringRef line,
                                   ArrayRef<std::string> words) {
  for (StringRef word : words) {
    if (word.empty())
      continue;
    for (size_t at = line.find(word); at != StringRef::npos;
         at = line.find(word, at + 1)) {
      size_t end = at + word.size();
      if ((at != 0 && isNameCharacter(line[at - 1])) ||
          (end != line.size() && isNameCharacter(line[end])))
        continue;
      StringRef owner = "self.";
      if (line.take_front(at).ends_with(owner))
        at -= owner.size();
      return {at + 1, end - at};
    }
  }
  size_t first = line.find_first_not_of(" \t");
  return {first == StringRef::npos ? 1 : first + 1, 1};
}

/// One line of a text, from 1; nothing if there are not so many.
static std::optional<StringRef> getLine(StringRef text, unsigned number) {
  for (unsigned i = 1; i != number; ++i) {
    size_t end = text.find('\n');
    if (end == StringRef::npos)
      return std::nullopt;
    text = text.drop_front(end + 1);
  }
  return text.take_until([](char c) { return c == '\n'; }).rtrim('\r');
}

/// A text that may hold anything, as it can be shown on a terminal: without
/// control characters, which would be obeyed there, and without the middle
/// where it is very long.
static std::string makeShowable(StringRef text) {
  constexpr size_t longest = 1000, tail = 200;
  std::string result;
  auto add = [&](StringRef part) {
    for (unsigned char c : part) {
      if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
        result += formatv("\\x{0:x-2}", c);
      else
        result += static_cast<char>(c);
    }
  };
  if (text.size() <= longest) {
    add(text);
  } else {
    add(text.take_front(longest - tail));
    result += " [...] ";
    add(text.take_back(tail));
  }
  return result;
}

void TextPrinter::printLine(const Place &place) {
  if (place.file.empty() || place.line == 0 || !source)
    return;
  std::optional<StringRef> text = source(place.file);
  std::optional<StringRef> line =
      text ? getLine(*text, place.line) : std::nullopt;
  if (!line || line->trim().empty())
    return;
  auto [column, length] = findWord(*line, place.words);
  if (place.column != 0 && place.column <= line->size())
    std::tie(column, length) = std::pair<size_t, size_t>(place.column, 1);
  std::string shown =
      formatv("{0}:{1}:{2}", place.file, place.line, column).str();
  if (std::exchange(shownLine, shown) == shown)
    return;
  // Of a very long line, what stands around the place.
  constexpr size_t longest = 400, before = 100;
  if (line->size() > longest) {
    size_t begin = column > before ? column - before : 0;
    line = line->substr(begin, longest);
    column -= begin;
    length = std::min(length, line->size() + 1 - column);
  }
  os << formatv("{0,5} | ", place.line) << makeShowable(*line) << '\n'
     << "      | ";
  // Tabs stay tabs, so that the mark stands below what it marks.
  for (char c : line->take_front(column - 1))
    os << (c == '\t' ? '\t' : ' ');
  os.changeColor(raw_ostream::GREEN, /*Bold=*/true);
  os << '^' << std::string(length - 1, '~');
  os.resetColor();
  os << '\n';
}

void TextPrinter::print(StringRef kind, const Place &place,
                        const Twine &message) {
  if (!place.file.empty()) {
    os.changeColor(raw_ostream::SAVEDCOLOR, /*Bold=*/true);
    os << makeShowable(place.file);
    if (place.line != 0)
      os << ':' << place.line;
    os << ": ";
    os.resetColor();
  }
  os.changeColor(kind == "error"     ? raw_ostream::RED
                 : kind == "warning" ? raw_ostream::MAGENTA
                                     : raw_ostream::CYAN,
                 /*Bold=*/true);
  os << kind << ": ";
  os.resetColor();
  os << makeShowable(message.str()) << '\n';
  printLine(place);
}

void TextPrinter::print(const ReportedFinding &finding) {
  const RuleInfo &info = getInfo(finding.rule);
  shownLine.clear();
  print(getName(finding.severity), finding.main,
        info.id + " " + info.name + ": " + finding.main.message + " [" +
            info.getTag() + "]");
  os << "      ";
  os.changeColor(raw_ostream::GREEN, /*Bold=*/true);
  os << "help: ";
  os.resetColor();
  os << makeShowable(finding.remedy) << '\n';
  for (const Place &place :
       ArrayRef(finding.others).take_front(finding.numShown))
    print("note", place, place.message);
  if (finding.others.size() > finding.numShown)
    print("note", Place(),
          "and " + Twine(finding.others.size() - finding.numShown) + " more");
}

void printCounts(const ModelReport &model, StringRef clean, raw_ostream &os) {
  if (unsigned errors = model.count(Severity::Error))
    os << errors << (errors == 1 ? " error" : " errors");
  else
    os << clean;
  if (unsigned notes = model.count(Severity::Note))
    os << ", " << notes << (notes == 1 ? " note" : " notes");
  if (unsigned suppressed = model.countSuppressed())
    os << ", " << suppressed << " suppressed";
}

void printTable(const Report &report, raw_ostream &os) {
  size_t width = 5;
  for (const ModelReport &model : report.models)
    width = std::max(width, model.input.size());
  os << left_justify("model", width);
  for (const RuleInfo &info : getRules())
    os << right_justify(info.id, 5);
  os << "  result\n";
  unsigned numClean = 0, numBroken = 0;
  for (const ModelReport &model : report.models) {
    os << left_justify(model.input, width);
    bool wasRead = model.exitCode <= 1;
    for (const RuleInfo &info : getRules()) {
      unsigned count = model.count(Severity::Error, info.rule);
      os << right_justify(count != 0 ? utostr(count) : "-", 5);
    }
    os << "  ";
    if (wasRead)
      printCounts(model, "clean", os);
    else
      os << "not checked";
    os << '\n';
    bool isClean = model.count(Severity::Error) == 0;
    numClean += wasRead && isClean;
    numBroken += wasRead && !isClean;
  }
  os << report.models.size() << " models: " << numClean << " clean, "
     << numBroken << " with errors";
  if (size_t others = report.models.size() - numClean - numBroken)
    os << ", " << others << " not checked";
  os << '\n';
}

} // namespace fqat
