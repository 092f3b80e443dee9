//===- Options.cpp - The command line of fqat-opt -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Driver/Options.h"

#include "fqat/TorchScript/Export.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include <CLI/CLI.hpp>

using namespace llvm;

namespace fqat {

Emit Options::getEmit() const {
  if (check)
    return Emit::None;
  if (emit)
    return *emit;
  StringRef extension = sys::path::extension(output);
  return extension == ".mlir"     ? Emit::MLIR
         : extension == ".mlirbc" ? Emit::Bytecode
         : extension == ".dot"    ? Emit::Dot
                                  : Emit::TorchScript;
}

bool Options::drawsModels() const {
  return any_of(reports, [](StringRef path) {
    return sys::path::extension(path) == ".html";
  });
}

StringRef getVersion() { return FQAT_VERSION; }

std::string getVersions() {
  return formatv("fqat-opt {0} (MLIR {1}, libtorch {2})", getVersion(),
                 LLVM_VERSION_STRING, getTorchVersion())
      .str();
}

namespace {

/// Help in groups, wrapped at the width of a terminal.
class HelpFormatter : public CLI::Formatter {
public:
  std::string make_option(const CLI::Option *option,
                          bool isPositional) const override {
    constexpr size_t width = 80, indent = 28;
    std::string text = "  " + make_option_name(option, isPositional) +
                       make_option_opts(option);
    // A flag that may have a value: CLI11 has no name for it.
    if (size_t at = text.find("{}"); at != std::string::npos)
      text.replace(at, 2, "[=INPUTS.pt]");
    size_t column = text.size();
    if (column + 2 > indent) {
      text += '\n';
      column = 0;
    }
    bool isFirst = true;
    SmallVector<StringRef> words;
    std::string description = make_option_desc(option);
    if (!option->get_default_str().empty())
      description += " (default: " + option->get_default_str() + ")";
    SplitString(description, words);
    for (StringRef word : words) {
      if (!isFirst && column + 1 + word.size() > width) {
        text += '\n';
        column = 0;
        isFirst = true;
      }
      size_t blanks = isFirst ? indent - column : 1;
      text += std::string(blanks, ' ') + word.str();
      column += blanks + word.size();
      isFirst = false;
    }
    return text + '\n';
  }

  std::string make_option_opts(const CLI::Option *option) const override {
    if (option->get_positional())
      return "...";
    std::string type = option->get_type_name();
    if (type.empty() || option->get_type_size() == 0)
      return "";
    return " " + type + (option->get_expected_max() > 1 ? "..." : "");
  }

  std::string make_help(const CLI::App *app, std::string name,
                        CLI::AppFormatMode mode) const override {
    // Two blank lines between groups are one too many.
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (size_t at; (at = text.find("\n\n\n")) != std::string::npos;)
      text.erase(at, 1);
    return text;
  }
};

} // namespace

void declareOptions(CLI::App &app, Options &options) {
  app.formatter(std::make_shared<HelpFormatter>());
  auto isOneOf = [](std::vector<std::string> words) {
    return CLI::IsMember(std::move(words)).description("");
  };
  app.add_option("INPUT", options.inputs,
                 "TorchScript files (.pt), models as .mlir or .mlirbc, or "
                 "folders of them")
      ->type_name("FILE|DIR");

  const std::string output = "Output";
  app.add_option("-o,--output", options.output,
                 "Output file, or folder for several inputs (default: "
                 "NAME.fqat.pt beside the input)")
      ->type_name("FILE|DIR")
      ->group(output);
  static const std::map<std::string, Emit> emits = {
      {"torchscript", Emit::TorchScript},
      {"mlir", Emit::MLIR},
      {"bytecode", Emit::Bytecode},
      {"python", Emit::Python},
      {"dot", Emit::Dot},
      {"none", Emit::None}};
  app.add_option(
         "--emit", options.emit,
         "What to write; python is a package; dot is for Graphviz; mlir "
         "and dot go to standard output without -o (default: by the "
         "extension of -o)")
      ->transform(CLI::CheckedTransformer(emits).description(""))
      ->type_name("torchscript|mlir|bytecode|python|dot|none")
      ->group(output);
  app.add_flag("--elide-weights", options.elideWeights,
               "Leave big weights and source lines out of .mlir, for reading")
      ->group(output);
  app.add_option("--report", options.reports,
                 "Write what was found and changed to a .json, .sarif or .html "
                 "file; may be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("FILE")
      ->group(output);

  const std::string check = "Check";
  app.add_flag("--check", options.check,
               "Report what breaks the rules, write no model")
      ->group(check);
  app.add_option("--explain", options.explained,
                 "Say what a rule (R1 to R5) is about, and how to obey it")
      ->type_name("RULE")
      ->group(check);
  app.add_option("--ignore", options.ignored,
                 "Leave out the findings of a rule, or those in instances "
                 "that match: R1:model.22.*")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("RULE[:GLOB]")
      ->group(check);
  app.add_option("--baseline", options.baseline,
                 "Leave out the findings that this .json report has")
      ->type_name("FILE")
      ->group(check);

  const std::string model = "Model";
  app.add_option("--anchors", options.pipeline.anchors,
                 "Op families that are layers (default: both)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(isOneOf({"conv", "linear"}))
      ->type_name("conv,linear")
      ->group(model);
  app.add_option("--exclude", options.pipeline.exclude,
                 "Globs of instances, and what is below them, whose ops are "
                 "no layers; * crosses dots")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("GLOB")
      ->group(model);
  app.add_option("--nop-name", options.pipeline.nopName,
                 "Attribute name of an out_nop")
      ->capture_default_str()
      ->type_name("NAME")
      ->group(model);
  app.add_option("--nop-instances", options.pipeline.nopInstances,
                 "each: every crossing value has an out_nop of its own; owner: "
                 "those of one module share one")
      ->check(isOneOf({"each", "owner"}))
      ->capture_default_str()
      ->type_name("each|owner")
      ->group(model);
  app.add_option("--clone-params", options.pipeline.cloneParams,
                 "copy: each clone has parameters of its own; share: they "
                 "stay tied")
      ->check(isOneOf({"copy", "share"}))
      ->capture_default_str()
      ->type_name("copy|share")
      ->group(model);
  app.add_flag("--functionalize", options.pipeline.functionalize,
               "Make in-place writes that autograd refuses out of place, so "
               "that the fixed model can be trained")
      ->group(model);
  app.add_option("--bits", options.pipeline.bits,
                 "Bit widths by instance, as YAML: model.22.*: {feature: 10, "
                 "weight: 8}; a later pattern wins")
      ->type_name("FILE")
      ->group(model);
  app.add_option("--pass-pipeline", options.passPipeline,
                 "Own choice and order of passes: 'builtin.module(...)'")
      ->type_name("TEXT")
      ->group(model);
  app.add_option("--load-op-library", options.operatorLibraries,
                 "Library with the model's custom operators; may be given "
                 "several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("LIB.so")
      ->group(model);

  const std::string proof = "Proof";
  app.add_flag("--no-prove", options.noProof,
               "Write without showing that the fixed model computes the same "
               "bits")
      ->group(proof);
  app.add_flag("--verify{}", options.verifyInputs,
               "Also prove what was written, read again, and run both models "
               "and compare the bits: on INPUTS.pt (--verify=INPUTS.pt, a "
               "tuple saved by torch.save), or on random inputs of the sizes "
               "that the model was traced with")
      ->group(proof);

  const std::string program = "Program";
  app.add_option("-j,--jobs", options.numJobs,
                 "Models that are worked on at a time (default: one a core)")
      ->type_name("N")
      ->group(program);
  app.add_option("--color", options.color, "Whether to colour what is printed")
      ->check(isOneOf({"auto", "always", "never"}))
      ->capture_default_str()
      ->type_name("auto|always|never")
      ->group(program);
  app.add_flag("--progress", options.progress,
               "Show how many inputs are done (default: on a terminal)")
      ->group(program);
  app.add_flag("-q,--quiet", options.quiet, "Print errors only")
      ->group(program);
  app.add_flag("-v,--verbose", options.verbose, "Print times of the phases")
      ->group(program);
  app.add_option("--completion", options.completion,
                 "Print the script that completes this command line in a shell")
      ->check(isOneOf({"bash", "zsh", "fish"}))
      ->type_name("bash|zsh|fish")
      ->group(program);
  app.add_flag("--man", options.manPage, "Print the manual, for man")
      ->group(program);
  app.final_callback([&app, &options] {
    options.verify = app.count("--verify") != 0;
    // What is written as Python is going to be trained.
    options.pipeline.functionalize |= options.getEmit() == Emit::Python;
    bool isManual = !options.explained.empty() || !options.completion.empty() ||
                    options.manPage;
    if (options.inputs.empty() && !isManual)
      throw CLI::RequiredError("INPUT");
  });
  app.set_version_flag("--version", getVersions())->group(program);
  app.set_help_flag("-h,--help", "Print this help and exit")->group(program);
  app.footer(
      "Exit codes: 0 done, or --check found nothing; 1 --check found "
      "something;\n2 usage, or a file that cannot be read or written; 3 a rule "
      "cannot be met;\n4 not shown to compute the same; 70 internal error. "
      "Unless it is 0, no model\nis written.");
}

} // namespace fqat
