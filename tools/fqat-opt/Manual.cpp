//===- Manual.cpp - Man page and shell completion -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Manual.h"

#include "fqat/Analysis/Rules.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <CLI/CLI.hpp>

using namespace llvm;

namespace fqat {
namespace {

/// An option as manuals tell it.
struct Entry {
  /// With their dashes, short ones first.
  std::vector<std::string> names;
  std::string group, description;
  /// What its value is called; empty for a flag.
  std::string value;
  /// The words that the value can be; empty if it can be others.
  std::vector<std::string> choices;
  /// Whether the value is a path.
  bool isPath;
  /// A flag that takes a value behind `=` only.
  bool isOptionalValue;
};

} // namespace

static std::vector<std::string> getChoices(StringRef value) {
  std::vector<std::string> choices;
  if (value.starts_with("RULE"))
    for (const RuleInfo &info : getRules())
      choices.push_back(info.id.str());
  if (value.lower() != value || value.find_first_of("|,") == StringRef::npos)
    return choices;
  SmallVector<StringRef> words;
  SplitString(value, words, "|,");
  for (StringRef word : words)
    choices.push_back(word.str());
  return choices;
}

static std::vector<Entry> getEntries(const CLI::App &app) {
  std::vector<Entry> entries;
  for (const CLI::Option *option : app.get_options()) {
    if (option->get_positional())
      continue;
    Entry entry;
    for (const std::string &name : option->get_snames())
      entry.names.push_back("-" + name);
    for (const std::string &name : option->get_lnames())
      entry.names.push_back("--" + name);
    entry.group = option->get_group();
    entry.description = option->get_description();
    if (std::string text = option->get_default_str(); !text.empty())
      entry.description += " (default: " + text + ")";
    // A flag that may have a value: CLI11 spells it `--verify{}`.
    entry.isOptionalValue =
        StringRef(option->get_name(false, true)).contains('{');
    if (entry.isOptionalValue)
      entry.value = "INPUTS.pt";
    else if (option->get_items_expected_max() != 0)
      entry.value = option->get_type_name();
    entry.choices = getChoices(entry.value);
    StringRef value = entry.value;
    entry.isPath = value.starts_with("FILE") || value.contains('.');
    entries.push_back(std::move(entry));
  }
  return entries;
}

//===----------------------------------------------------------------------===//
// The man page
//===----------------------------------------------------------------------===//

/// Text for roff: dashes that can be copied, no requests by accident.
static std::string escape(StringRef text) {
  std::string result;
  for (char c : text) {
    if (c == '-')
      result += "\\-";
    else if (c == '\\')
      result += "\\e";
    else
      result += c;
  }
  return StringRef(result).starts_with(".") ? "\\&" + result : result;
}

void writeManPage(const CLI::App &app, StringRef version, raw_ostream &os) {
  os << ".TH FQAT\\-OPT 1 \"\" \"fqat\\-opt " << escape(version)
     << "\" \"User Commands\"\n.SH NAME\nfqat\\-opt \\- fixes TorchScript "
        "models for fixed\\-point training\n.SH SYNOPSIS\n.B fqat\\-opt\n"
        "[\\fIoptions\\fR] \\fIINPUT\\fR...\n.SH DESCRIPTION\n"
     << escape(app.get_description()) << "\n.PP\n.I INPUT\n";
  for (const CLI::Option *option : app.get_options())
    if (option->get_positional())
      os << "is " << escape(option->get_description()) << ".\n";
  os << ".SH OPTIONS\n";
  std::string group;
  for (const Entry &entry : getEntries(app)) {
    if (entry.group != group)
      os << ".SS " << (group = entry.group) << '\n';
    os << ".TP\n";
    ListSeparator separator(", ");
    for (const std::string &name : entry.names)
      os << separator << "\\fB" << escape(name) << "\\fR";
    if (entry.isOptionalValue)
      os << "[=\\fI" << escape(entry.value) << "\\fR]";
    else if (!entry.value.empty())
      os << " \\fI" << escape(entry.value) << "\\fR";
    os << '\n' << escape(entry.description) << ".\n";
  }
  os << ".SH RULES\n";
  for (const RuleInfo &info : getRules())
    os << ".TP\n\\fB" << info.id << "\\fR " << escape(info.name) << '\n'
       << escape(info.wants) << '\n';
  os << ".SH EXIT STATUS\n";
  std::string footer = app.get_footer();
  SmallVector<StringRef> lines;
  SplitString(footer, lines, "\n");
  for (StringRef line : lines)
    os << escape(line) << '\n';
}

//===----------------------------------------------------------------------===//
// Completion
//===----------------------------------------------------------------------===//

/// A string of a shell in single quotes.
static std::string quote(StringRef text) {
  std::string result = "'";
  for (char c : text)
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

static void writeBash(ArrayRef<Entry> entries, raw_ostream &os) {
  os << "# bash completion for fqat-opt\n"
        "_fqat_opt() {\n"
        "  local current=${COMP_WORDS[COMP_CWORD]}\n"
        "  local previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
        "  # `--color=al` is three words to bash.\n"
        "  if [[ $current == = ]]; then\n"
        "    current=\n"
        "  elif [[ $previous == = ]]; then\n"
        "    previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
        "  fi\n"
        "  case $previous in\n";
  for (const Entry &entry : entries) {
    if (entry.value.empty() || entry.isOptionalValue)
      continue;
    os << "    " << join(entry.names, "|") << ")\n";
    if (!entry.choices.empty())
      os << "      mapfile -t COMPREPLY < <(compgen -W "
         << quote(join(entry.choices, " ")) << " -- \"$current\")\n";
    else if (entry.isPath)
      os << "      compopt -o filenames 2>/dev/null\n"
            "      mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n";
    else
      os << "      COMPREPLY=()\n";
    os << "      return ;;\n";
  }
  os << "  esac\n"
        "  if [[ $current == -* ]]; then\n"
        "    mapfile -t COMPREPLY < <(compgen -W '";
  ListSeparator separator(" ");
  for (const Entry &entry : entries)
    os << separator << join(entry.names, " ");
  os << "' -- \"$current\")\n"
        "  else\n"
        "    compopt -o filenames 2>/dev/null\n"
        "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
        "  fi\n"
        "}\n"
        "complete -F _fqat_opt fqat-opt\n";
}

static void writeZsh(ArrayRef<Entry> entries, raw_ostream &os) {
  os << "#compdef fqat-opt\n_arguments -s";
  for (const Entry &entry : entries) {
    // Brackets end a description, colons a field.
    std::string description;
    for (char c : entry.description)
      description += StringRef("[]:\\").contains(c) ? std::string("\\") + c
                                                    : std::string(1, c);
    std::string value;
    if (!entry.value.empty()) {
      value = (entry.isOptionalValue ? "::" : ":") + entry.value + ":";
      if (!entry.choices.empty())
        value += "(" + join(entry.choices, " ") + ")";
      else if (entry.isPath)
        value += "_files";
    }
    for (const std::string &name : entry.names) {
      // `--name=` also takes `--name value`; `--name=-` does not.
      bool isLong = StringRef(name).starts_with("--");
      StringRef sign = entry.value.empty()     ? ""
                       : entry.isOptionalValue ? "=-"
                       : isLong                ? "="
                                               : "";
      std::string spec;
      raw_string_ostream stream(spec);
      // One of the names excludes the others.
      if (entry.names.size() > 1)
        stream << '(' << join(entry.names, " ") << ')';
      stream << name << sign << '[' << description << ']' << value;
      os << " \\\n  " << quote(spec);
    }
  }
  os << " \\\n  '*:input:_files'\n";
}

static void writeFish(ArrayRef<Entry> entries, raw_ostream &os) {
  for (const Entry &entry : entries) {
    os << "complete -c fqat-opt";
    for (StringRef name : entry.names) {
      bool isLong = name.starts_with("--");
      os << (isLong ? " -l " : " -s ") << name.drop_front(isLong ? 2 : 1);
    }
    if (!entry.value.empty() && !entry.isOptionalValue) {
      os << (entry.isPath ? " -r -F" : " -x");
      if (!entry.choices.empty())
        os << " -a " << quote(join(entry.choices, " "));
    }
    os << " -d " << quote(entry.description) << '\n';
  }
}

void writeCompletion(const CLI::App &app, StringRef shell, raw_ostream &os) {
  std::vector<Entry> entries = getEntries(app);
  if (shell == "bash")
    writeBash(entries, os);
  else if (shell == "zsh")
    writeZsh(entries, os);
  else
    writeFish(entries, os);
}

} // namespace fqat
