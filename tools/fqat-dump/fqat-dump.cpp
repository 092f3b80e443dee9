//===- fqat-dump.cpp - Where the kit and the board disagree -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Outputs.h"
#include "Print.h"
#include "fqat/Dump/Pack.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"
#include <CLI/CLI.hpp>
#include <csignal>

using namespace llvm;
using namespace fqat::dump;

namespace {

enum ExitCode { Equal = 0, Different = 1, Unusable = 2, Internal = 70 };

/// Where an option that may have a file writes: `-` is standard output.
using Target = std::string;

/// What the subcommands share on the command line.
struct PairOptions {
  std::string shape, kitType, boardType, kitLayout = "nchw",
                                         boardLayout = "nhwc";
  PairSettings settings;
  std::optional<uint32_t> ulp;
  std::optional<double> lsb;
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

/// The format of the one file of a subcommand.
static Expected<Format> readFormat(const DumpFile &file,
                                   const Options &options) {
  Expected<ElementType> type = file.resolveType(parseType(options.type));
  if (!type)
    return type.takeError();
  Format format;
  format.type = *type;
  format.isPadded = options.isPadded;
  format.order = isPacked(*type) ? kNHWC : *parseOrder(options.layout);
  return format;
}

static Expected<std::optional<Shape>> readShape(StringRef text) {
  if (text.empty())
    return std::nullopt;
  Expected<Shape> shape = parseShape(text);
  if (!shape)
    return shape.takeError();
  return *shape;
}

static ExitCode runInfo(const Options &options) {
  Expected<DumpFile> file = DumpFile::open(options.file);
  if (!file)
    return fail(file.takeError());
  Expected<Format> format = readFormat(*file, options);
  if (!format)
    return fail(format.takeError());
  Expected<std::optional<Shape>> shape = readShape(options.shape);
  // An array of other dimensions can be looked at as well.
  bool isFeature = !file->getNpy() || file->getNpy()->sizes.size() == 3 ||
                   file->getNpy()->sizes.size() == 4;
  if (shape && (isFeature || *shape))
    shape = file->resolveShape(*format, *shape);
  if (!shape)
    return fail(shape.takeError());
  Expected<Info> info = describe(*file, *format, *shape);
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
  settings.ulp = options.ulp;
  settings.lsb = options.lsb;
  if (std::string fault = settings.findFault(); !fault.empty())
    return createStringError(fault);
  return settings;
}

static ExitCode runCompare(const Options &options) {
  Expected<PairSettings> settings = readSettings(options.pair);
  if (!settings)
    return fail(settings.takeError());
  Expected<DumpFile> kit = DumpFile::open(options.kit);
  if (!kit)
    return fail(kit.takeError());
  Expected<DumpFile> board = DumpFile::open(options.board);
  if (!board)
    return fail(board.takeError());
  Expected<Pair> pair = makePair(*kit, *board, *settings);
  if (!pair)
    return fail(pair.takeError());
  CompareOptions how;
  how.tolerance = settings->getTolerance();
  how.numThreads = options.pair.numJobs;
  Outputs outputs(ArrayRef<std::string>{options.kit, options.board});
  raw_ostream *json = nullptr;
  struct Stream {
    StringRef path;
    raw_ostream *&stream;
  };
  for (auto [path, stream] :
       {Stream{options.csv, how.csv}, Stream{options.png, how.png},
        Stream{options.pair.json, json}}) {
    if (path.empty())
      continue;
    Expected<raw_ostream *> opened = outputs.openStream(path);
    if (!opened)
      return fail(opened.takeError());
    stream = *opened;
  }
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
  if (!options.pair.json.empty()) {
    Expected<raw_ostream *> opened = outputs.openStream(options.pair.json);
    if (!opened)
      return fail(opened.takeError());
    json = *opened;
  }
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
  Expected<DumpFile> file = DumpFile::open(options.file);
  if (!file)
    return fail(file.takeError());
  Expected<Format> format = readFormat(*file, options);
  if (!format)
    return fail(format.takeError());
  Expected<std::optional<Shape>> shape = readShape(options.shape);
  if (shape)
    shape = file->resolveShape(*format, *shape);
  if (!shape)
    return fail(shape.takeError());
  if (!*shape)
    return fail(options.file +
                ": a raw file does not tell its shape: say --shape N,C,H,W");
  return write(options.output, ElementType::U8,
               {(*shape)->n, (*shape)->h, (*shape)->w, ((*shape)->c + 1) / 2},
               [&](Allocate allocate) {
                 return pack(*file, *format, **shape, options.pack, allocate);
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

static CLI::Validator isOneOf(std::vector<std::string> words) {
  return CLI::IsMember(std::move(words), CLI::ignore_case).description("");
}

static void addLayout(CLI::App &app, const std::string &name,
                      std::string &layout, const std::string &description) {
  app.add_option(name, layout, description)
      ->check(isOneOf({"nchw", "nhwc"}))
      ->capture_default_str()
      ->type_name("nchw|nhwc");
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
  const std::string types = "f32|u8|i8|u4|i4";
  auto isType = isOneOf({"f32", "u8", "i8", "u4", "i4"});
  app.add_option("--kit-type", options.kitType,
                 "Type of the kit's elements (default: f32, or a .npy's own)")
      ->check(isType)
      ->type_name(types);
  app.add_option("--board-type", options.boardType,
                 "Type of the board's; u4 and i4 lie two in a byte, the even "
                 "channel low")
      ->check(isType)
      ->type_name(types);
  app.add_option("--scale", options.settings.scale,
                 "A value of the board is S * (element - Z), in float32")
      ->capture_default_str()
      ->type_name("S");
  app.add_option("--zero", options.settings.zero, "Zero point of the board")
      ->capture_default_str()
      ->type_name("Z");
  app.add_flag("--pad", options.settings.isPadded,
               "Of an odd number of packed channels, the last is alone in its "
               "byte");
  app.add_option("--atol", options.settings.atol,
                 "Equal is |kit - board| <= ATOL + RTOL * |kit|")
      ->type_name("ATOL");
  app.add_option("--rtol", options.settings.rtol, "See --atol")
      ->type_name("RTOL");
  app.add_option("--ulp", options.ulp,
                 "Equal is at most K float32 numbers apart")
      ->type_name("K");
  app.add_option("--lsb", options.lsb, "Equal is at most K steps of S apart")
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
  info->add_option("--type", options.type,
                   "What an element is (default: f32, or a .npy's own)")
      ->check(isOneOf({"f32", "u8", "i8", "u4", "i4"}))
      ->type_name("f32|u8|i8|u4|i4");
  addShape(*info, options.shape, /*isRequired=*/false);
  addLayout(*info, "--layout", options.layout, "Layout of the file");
  info->add_flag("--pad", options.isPadded,
                 "Of an odd number of packed channels, the last is alone in "
                 "its byte");
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
    sub->add_option("--type", options.type,
                    packs ? "Type of IN (default: f32, or a .npy's own)"
                          : "Type of OUT (default: f32)")
        ->check(isOneOf({"f32", "u8", "i8"}))
        ->type_name("f32|u8|i8");
    sub->add_flag("--signed", options.pack.isSigned,
                  "-8..7 in two's complement, not 0..15");
    sub->add_flag("--pad", options.isPadded,
                  "The last of an odd number of channels is alone in its byte");
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
  sys::PrintStackTraceOnErrorSignal(argv[0]);
  // A file that may not grow any more is an error of what is written to it.
  (void)std::signal(SIGXFSZ, SIG_IGN);
  try {
    return runMain(argc, argv);
  } catch (const std::exception &error) {
    errs() << "fqat-dump: internal error: " << error.what() << '\n';
    return Internal;
  }
}
