//===- Layers.h - The dumps of a network's layers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DUMP_LAYERS_H
#define FQAT_DUMP_LAYERS_H

#include "fqat/Dump/Compare.h"

namespace fqat::dump {

/// What is said of a pair of dumps, before the files are seen. What is not said
/// of a `.npy` it says itself; a raw file is float32.
struct PairSettings {
  std::optional<ElementType> kitType, boardType;
  Order kitOrder = kNCHW, boardOrder = kNHWC;
  std::optional<Shape> shape;
  /// Of a board's dump of integers: what they stand for.
  float scale = 1;
  int32_t zero = 0;
  bool isPadded = false;
  double atol = 0, rtol = 0;
  std::optional<uint32_t> ulp;
  /// At most so many steps of `scale` apart.
  std::optional<double> lsb;

  /// Why they cannot be used together; empty if they can.
  std::string findFault() const;
  Tolerance getTolerance() const;
};

/// Opens two files as a pair. Fails if they are not what the settings say.
llvm::Expected<Pair> openPair(llvm::StringRef kit, llvm::StringRef board,
                              const PairSettings &settings);

/// A layer of a network, with its two files.
struct Layer {
  std::string name, kit, board;
  PairSettings settings;
};

/// Reads a list of layers, as YAML (of which JSON is a part). Paths are
/// relative to the two folders; the name of a layer stands for files
/// `NAME.bin`.
///
///     - {name: conv1, shape: "1,16,40,40", board-type: u4, scale: 0.125}
///     - name: conv2
///       kit: model.1.conv.bin
///       board: layer2.bin
///       shape: "1,32,20,20"
///
/// The other keys are the options of `fqat-dump compare`; `defaults` hold for
/// what a layer does not say.
llvm::Expected<std::vector<Layer>> readLayers(llvm::StringRef path,
                                              llvm::StringRef kitFolder,
                                              llvm::StringRef boardFolder,
                                              const PairSettings &defaults);

/// What became of a layer: a comparison, or why there is none.
struct LayerResult {
  std::optional<Comparison> comparison;
  std::string error;
};

/// Compares the layers, `numJobs` at a time (0: one a core). `progress` is told
/// after each how many are done; it is called by one thread at a time.
std::vector<LayerResult>
compareLayers(llvm::ArrayRef<Layer> layers, unsigned numJobs,
              llvm::function_ref<void(size_t)> progress);

} // namespace fqat::dump

#endif // FQAT_DUMP_LAYERS_H
