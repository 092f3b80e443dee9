//===- fqat-dump.cpp - Where the kit and the board disagree -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Print.h"
#include "fqat/Dump/Pack.h"
#include "fqat/Support/Outputs.h"
#include "fqat/Support/Program.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include <CLI/CLI.hpp>
using namespace llvm;
using namespace fqat::dump;
using fqat::Outputs;

namespace {

enum ExitCode { Equal = 0, Different = 1, Unusable = 2, Internal = 70 };

/// Where an option that may have a file writes: `-` is standard output.
using Target = std::string;

/// What the subcommands share on the command line.
struct PairOptions {
  std::string shape, kitType, boardType, kitLayout = "nchw",
                                         boardLayout = "nhwc";
  PairSettings settings;
  unsigned numJobs = 0;
  Target json;
};

struct Options {
  std::string file, output, type, shape, layout = "nchw";
  bool isJSON = false;
  // Of two files or folders.
  std::string kit, board, map;
  PairOptions pair;
  Target csv;
  std::string npy, png;
  bool progress = false;
  PackOptions pack;
  bool isPadded = false;
};

} // namespace

static ExitCode fail(Error error) {
  errs() << "fqat-dump: error: " << toString(std::move(error)) << '\n';
  return Unusable;
}

static ExitCode fail(const Twine &message) {
  return fail(createStringError(message));
}

/// What was written to standard output must have got there.
static ExitCode finish(ExitCode code) {
  outs().flush();
  if (!outs().has_error())
    return code;
  std::string message = outs().error().message();
  outs().clear_error();
  return fail("standard output: " + message);
}

//===----------------------------------------------------------------------===//
// Subcommands
//===----------------------------------------------------------------------===//

static Expected<std::optional<Shape>> readShape(StringRef text) {
  if (text.empty())
    return std::nullopt;
  Expected<Shape> shape = parseShape(text);
  if (!shape)
    return shape.takeError();
  return *shape;
}

namespace {
/// The one file of a subcommand, and how it is read.
struct Input {
  DumpFile file;
  Format format;
  std::optional<Shape> shape;
};
} // namespace

/// `takesAll`: an array that is no feature by its dimensions has no shape,
/// which is an error otherwise.
static Expected<Input> openInput(const Options &options, bool takesAll) {
  Expected<DumpFile> file = DumpFile::open(options.file);
  if (!file)
    return file.takeError();
  Expected<ElementType> type = file->resolveType(parseType(options.type));
  if (!type)
    return type.takeError();
  Expected<std::optional<Shape>> shape = readShape(options.shape);
  if (!shape)
    return shape.takeError();
  Input input{std::move(*file), {}, *shape};
  input.format.type = *type;
  input.format.isPadded = options.isPadded;
  input.format.order = isPacked(*type) ? kNHWC : *parseOrder(options.layout);
  const std::optional<NpyHeader> &npy = input.file.getNpy();
  bool isFeature = !npy || npy->sizes.size() == 3 || npy->sizes.size() == 4;
  if (takesAll && !isFeature && !input.shape)
    return input;
  shape = input.file.resolveShape(input.format, input.shape);
  if (!shape)
    return shape.takeError();
  input.shape = *shape;
  return input;
}

static ExitCode runInfo(const Options &options) {
  Expected<Input> input = openInput(options, /*takesAll=*/true);
  if (!input)
    return fail(input.takeError());
  Expected<Info> info = describe(input->file, input->format, input->shape);
  if (!info)
    return fail(info.takeError());
  if (options.isJSON)
    writeJSON(outs(), options.file, *info);
  else
    printInfo(outs(), options.file, *info);
  return finish(Equal);
}

/// The settings as they were given.
static Expected<PairSettings> readSettings(const PairOptions &options) {
  PairSettings settings = options.settings;
  Expected<std::optional<Shape>> shape = readShape(options.shape);
  if (!shape)
    return shape.takeError();
  settings.shape = *shape;
  settings.kitType = parseType(options.kitType);
  settings.boardType = parseType(options.boardType);
  settings.kitOrder = *parseOrder(options.kitLayout);
  settings.boardOrder = *parseOrder(options.boardLayout);
  if (std::string fault = settings.findFault(); !fault.empty())
    return createStringError(fault);
  return settings;
}

static ExitCode runCompare(const Options &options) {
  Expected<PairSettings> settings = readSettings(options.pair);
  if (!settings)
    return fail(settings.takeError());
  Expected<Pair> pair = openPair(options.kit, options.board, *settings);
  if (!pair)
    return fail(pair.takeError());
  CompareOptions how;
  how.tolerance = settings->getTolerance();
  how.numThreads = options.pair.numJobs;
  Outputs outputs(ArrayRef<std::string>{options.kit, options.board});
  raw_ostream *json = nullptr;
  if (Error error = outputs.openStream(options.csv, how.csv))
    return fail(std::move(error));
  if (Error error = outputs.openStream(options.png, how.png))
    return fail(std::move(error));
  if (Error error = outputs.openStream(options.pair.json, json))
    return fail(std::move(error));
  if (!options.npy.empty()) {
    std::string header =
        makeNpyHeader(ElementType::F32, getSizes(pair->shape, kNCHW));
    Expected<uint8_t *> array = outputs.openArray(
        options.npy, header.size() + Format().getSize(pair->shape));
    if (!array)
      return fail(array.takeError());
    how.array = llvm::copy(header, *array);
  }
  Comparison result = compare(*pair, how);
  if (json)
    writeJSON(*json, result);
  if (Error error = outputs.commit())
    return fail(std::move(error));
  // Nothing but what was asked for.
  bool isTaken = is_contained(
      {options.csv, options.png, options.npy, options.pair.json}, "-");
  if (!isTaken)
    printComparison(outs(), result);
  return finish(result.different == 0 ? Equal : Different);
}

static ExitCode runCompareDirs(const Options &options) {
  Expected<PairSettings> settings = readSettings(options.pair);
  if (!settings)
    return fail(settings.takeError());
  auto layers = readLayers(options.map, options.kit, options.board, *settings);
  if (!layers)
    return fail(layers.takeError());
  Outputs outputs(ArrayRef<std::string>{options.map});
  raw_ostream *json = nullptr;
  if (Error error = outputs.openStream(options.pair.json, json))
    return fail(std::move(error));
  bool isTerminal = sys::Process::StandardErrIsDisplayed();
  bool hasProgress = options.progress || isTerminal;
  std::vector<LayerResult> results =
      compareLayers(*layers, options.pair.numJobs, [&](size_t numDone) {
        if (hasProgress)
          errs() << formatv("{0}{1} of {2} layers{3}", isTerminal ? "\r" : "",
                            numDone, layers->size(),
                            isTerminal && numDone != layers->size() ? ""
                                                                    : "\n");
      });
  if (json)
    writeJSON(*json, *layers, results);
  if (Error error = outputs.commit())
    return fail(std::move(error));
  if (options.pair.json != "-")
    printLayers(outs(), *layers, results);
  ExitCode code = Equal;
  for (const LayerResult &result : results) {
    if (!result.comparison)
      code = Unusable;
    else if (result.comparison->different != 0 && code == Equal)
      code = Different;
  }
  if (code == Unusable)
    errs() << "fqat-dump: error: there are layers that cannot be compared\n";
  return finish(code);
}

/// Writes elements, behind a header where the output is a `.npy`.
static ExitCode write(StringRef path, ElementType type,
                      ArrayRef<uint64_t> sizes,
                      function_ref<Error(Allocate)> fill) {
  // The input may be the output: it is mapped until the end.
  Outputs outputs;
  std::string header = isNpyPath(path) ? makeNpyHeader(type, sizes) : "";
  auto allocate = [&](uint64_t size) -> Expected<uint8_t *> {
    Expected<uint8_t *> begin = outputs.openArray(path, header.size() + size);
    if (!begin)
      return begin.takeError();
    return llvm::copy(header, *begin);
  };
  if (Error error = fill(allocate))
    return fail(std::move(error));
  if (Error error = outputs.commit())
    return fail(std::move(error));
  return Equal;
}

static ExitCode runPack(const Options &options) {
  Expected<Input> input = openInput(options, /*takesAll=*/false);
  if (!input)
    return fail(input.takeError());
  const std::optional<Shape> &shape = input->shape;
  if (!shape)
    return fail(options.file +
                ": a raw file does not tell its shape: say --shape N,C,H,W");
  return write(options.output, ElementType::U8,
               {shape->n, shape->h, shape->w, (shape->c + 1) / 2},
               [&](Allocate allocate) {
                 return pack(input->file, input->format, *shape, options.pack,
                             allocate);
               });
}

static ExitCode runUnpack(const Options &options) {
  Expected<DumpFile> file = DumpFile::open(options.file);
  if (!file)
    return fail(file.takeError());
  Format plain;
  plain.type = parseType(options.type).value_or(ElementType::F32);
  plain.order = *parseOrder(options.layout);
  if (plain.type == ElementType::U8 && options.pack.isSigned)
    return fail("signed values do not fit into u8; say --type i8 or f32");
  Expected<Shape> shape = parseShape(options.shape);
  if (!shape)
    return fail(shape.takeError());
  Format packed = getPackedFormat(options.pack.isSigned, options.isPadded);
  return write(options.output, plain.type, getSizes(*shape, plain.order),
               [&](Allocate allocate) {
                 return unpack(*file, packed, *shape, plain, allocate);
               });
}

//===----------------------------------------------------------------------===//
// The command line
//===----------------------------------------------------------------------===//

/// An option that is one of a few words, `|` between them, in either case.
static void addChoice(CLI::App &app, const std::string &name,
                      std::string &choice, const std::string &description,
                      StringRef words) {
  SmallVector<StringRef> parts;
  words.split(parts, '|');
  std::vector<std::string> choices(parts.begin(), parts.end());
  app.add_option(name, choice, description)
      ->check(CLI::IsMember(choices, CLI::ignore_case).description(""))
      ->type_name(words.str());
}

static void addLayout(CLI::App &app, const std::string &name,
                      std::string &layout, const std::string &description) {
  addChoice(app, name, layout, description, "nchw|nhwc");
  app.get_option(name)->capture_default_str();
}

/// The types of which a file can be, and those of elements that are not packed.
static constexpr StringLiteral kTypes = "f32|u8|i8|u4|i4",
                               kPlainTypes = "f32|u8|i8";

static void addPad(CLI::App &app, bool &isPadded) {
  app.add_flag("--pad", isPadded,
               "Of an odd number of packed channels, the last is alone in its "
               "byte");
}

static void addShape(CLI::App &app, std::string &shape, bool isRequired) {
  app.add_option("--shape", shape, "How many there are; a .npy tells it itself")
      ->type_name("N,C,H,W")
      ->required(isRequired);
}

/// An option that writes to standard output where it has no file.
static void addTarget(CLI::App &app, const std::string &name, Target &target,
                      const std::string &description) {
  app.add_option(name, target,
                 description + ", to a file or (without one) to standard "
                               "output")
      ->expected(0, 1)
      ->default_str("-")
      ->type_name("[FILE]");
}

static void addPairOptions(CLI::App &app, PairOptions &options) {
  addShape(app, options.shape, /*isRequired=*/false);
  addLayout(app, "--kit-layout", options.kitLayout, "Layout of the kit's file");
  addLayout(app, "--board-layout", options.boardLayout,
            "Layout of the board's file");
  addChoice(app, "--kit-type", options.kitType,
            "Type of the kit's elements (default: f32, or a .npy's own)",
            kTypes);
  addChoice(app, "--board-type", options.boardType,
            "Type of the board's; u4 and i4 lie two in a byte, the even "
            "channel low",
            kTypes);
  app.add_option("--scale", options.settings.scale,
                 "A value of the board is S * (element - Z), in float32")
      ->capture_default_str()
      ->type_name("S");
  app.add_option("--zero", options.settings.zero, "Zero point of the board")
      ->capture_default_str()
      ->type_name("Z");
  addPad(app, options.settings.isPadded);
  app.add_option("--atol", options.settings.atol,
                 "Equal is |kit - board| <= ATOL + RTOL * |kit|")
      ->type_name("ATOL");
  app.add_option("--rtol", options.settings.rtol, "See --atol")
      ->type_name("RTOL");
  app.add_option("--ulp", options.settings.ulp,
                 "Equal is at most K float32 numbers apart")
      ->type_name("K");
  app.add_option("--lsb", options.settings.lsb,
                 "Equal is at most K steps of S apart")
      ->type_name("K");
  app.add_option("-j,--jobs", options.numJobs, "Threads (default: one a core)")
      ->type_name("N");
  addTarget(app, "--json", options.json, "Write the result as JSON");
}

static int runMain(int argc, char **argv) {
  CLI::App app("Compares the layer dumps of a fixed-point training kit with "
               "those of the board.");
  app.name("fqat-dump");
  Options options;
  app.require_subcommand(1);
  app.failure_message([](const CLI::App *, const CLI::Error &error) {
    return "fqat-dump: error: " + std::string(error.what()) + "\n";
  });
  app.set_version_flag("--version", std::string("fqat-dump " FQAT_VERSION));
  app.footer("Exit codes: 0 done, or equal; 1 different; 2 usage, or a file "
             "that cannot be\nused. `fqat-dump COMMAND --help` has the "
             "options.");

  CLI::App *info =
      app.add_subcommand("info", "Size, range and likely mistakes of one file");
  info->add_option("FILE", options.file)->required();
  addChoice(*info, "--type", options.type,
            "What an element is (default: f32, or a .npy's own)", kTypes);
  addShape(*info, options.shape, /*isRequired=*/false);
  addLayout(*info, "--layout", options.layout, "Layout of the file");
  addPad(*info, options.isPadded);
  info->add_flag("--json", options.isJSON, "Print it as JSON");

  CLI::App *compare = app.add_subcommand(
      "compare", "Where two files differ, and the mistake that explains it");
  compare->add_option("KIT", options.kit)->required();
  compare->add_option("BOARD", options.board)->required();
  addPairOptions(*compare, options.pair);
  addTarget(*compare, "--csv", options.csv,
            "Write a table of the elements that differ");
  compare
      ->add_option("--npy", options.npy,
                   "Write kit - board as a float32 array (N,C,H,W)")
      ->type_name("FILE");
  compare
      ->add_option("--png", options.png,
                   "Write a picture: the channels side by side, black where "
                   "they are equal")
      ->type_name("FILE");

  CLI::App *dirs = app.add_subcommand(
      "compare-dirs", "All layers of a network, the first that differs on top");
  dirs->add_option("KIT_DIR", options.kit)->required();
  dirs->add_option("BOARD_DIR", options.board)->required();
  dirs->add_option("--map", options.map,
                   "The layers in the order of the network, as YAML: - {name: "
                   "conv1, kit: a.bin, board: b.bin, shape: \"1,8,5,7\"}; the "
                   "other keys are the options below without their dashes")
      ->required()
      ->type_name("FILE");
  addPairOptions(*dirs, options.pair);
  dirs->add_flag("--progress", options.progress,
                 "Show how many layers are done (default: on a terminal)");

  CLI::App *packing = app.add_subcommand(
      "pack4", "Write 4-bit values two in a byte, in NHWC, as the board has "
               "them");
  CLI::App *unpacking =
      app.add_subcommand("unpack4", "Write packed values one by one");
  for (CLI::App *sub : {packing, unpacking}) {
    bool packs = sub == packing;
    sub->add_option("IN", options.file)->required();
    sub->add_option("OUT", options.output,
                    "Raw, or an array where it ends in .npy")
        ->required();
    addShape(*sub, options.shape, /*isRequired=*/!packs);
    addLayout(*sub, "--layout", options.layout,
              packs ? "Layout of IN" : "Layout of OUT");
    addChoice(*sub, "--type", options.type,
              packs ? "Type of IN (default: f32, or a .npy's own)"
                    : "Type of OUT (default: f32)",
              kPlainTypes);
    sub->add_flag("--signed", options.pack.isSigned,
                  "-8..7 in two's complement, not 0..15");
    addPad(*sub, options.isPadded);
  }
  packing->add_flag("--round", options.pack.rounds,
                    "Fractions go to the nearest number, halves to the even "
                    "one");
  packing->add_flag("--clamp", options.pack.clamps,
                    "Values out of range become the nearest in it");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? Equal : Unusable;
  }
  // Without a file these stand for standard output.
  for (CLI::App *sub : {compare, dirs})
    for (auto [name, target] : {std::pair("--json", &options.pair.json),
                                std::pair("--csv", &options.csv)})
      if (const CLI::Option *option = sub->get_option_no_throw(name);
          option && option->count() != 0 && target->empty())
        *target = "-";

  return info->parsed()      ? runInfo(options)
         : compare->parsed() ? runCompare(options)
         : dirs->parsed()    ? runCompareDirs(options)
         : packing->parsed() ? runPack(options)
                             : runUnpack(options);
}

int main(int argc, char **argv) {
  return fqat::runProgram("fqat-dump", argv[0],
                          [&] { return runMain(argc, argv); });
}
