//===- Locations.cpp - What a location says of a TorchScript node -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// NameLoc(result names,
//   FusedLoc<debug record>[FileLineColLoc(python), NameLoc("@instance")])
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Locations.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/SmallVector.h"

using namespace mlir;

namespace fqat {

SmallVector<StackFrame> parseStack(StringRef text) {
  SmallVector<StackFrame> frames;
  while (!text.empty()) {
    StringRef line;
    std::tie(line, text) = text.split('\n');
    auto [position, function] = line.split("): ");
    auto [file, number] = position.rsplit('(');
    StackFrame frame{file, 0, function.trim()};
    if (!file.empty() && !number.getAsInteger(10, frame.line) &&
        position.size() != line.size())
      frames.push_back(frame);
  }
  return frames;
}

bool isInTorchPackage(StringRef file) {
  return file.contains("-packages/torch/") || file.contains("/torch/nn/") ||
         file.contains("/torch/jit/") || file.ends_with("/torch/_tensor.py") ||
         file.ends_with("/torch/functional.py") ||
         // The code of torch's classes in a file without debug records.
         file.starts_with("code/__torch__/torch/");
}

const StackFrame *findUserFrame(ArrayRef<StackFrame> frames) {
  for (const StackFrame &frame : frames)
    if (!isInTorchPackage(frame.file))
      return &frame;
  return frames.empty() ? nullptr : &frames.front();
}

Location makeNodeLoc(MLIRContext *context, FileLineColLoc position,
                     StringRef instance, Attribute record) {
  SmallVector<Location> parts;
  if (position)
    parts.push_back(position);
  parts.push_back(NameLoc::get(StringAttr::get(context, "@" + instance)));
  return FusedLoc::get(context, parts, record);
}

StringRef getNames(Location loc) {
  auto name = dyn_cast<NameLoc>(loc);
  if (!name || name.getName().getValue().starts_with("@"))
    return {};
  return name.getName().getValue();
}

Location stripNames(Location loc) {
  return getNames(loc).empty() ? loc : cast<NameLoc>(loc).getChildLoc();
}

Location withNames(Location loc, StringRef names) {
  loc = stripNames(loc);
  if (names.empty())
    return loc;
  return NameLoc::get(StringAttr::get(loc.getContext(), names), loc);
}

Attribute getDebugRecord(Location loc) {
  if (auto fused = dyn_cast<FusedLoc>(stripNames(loc)))
    return fused.getMetadata();
  return {};
}

/// The first location of kind `LocTy` in `loc` that `accept` takes. Locations
/// nest a few levels deep only.
template <typename LocTy>
static LocTy findLoc(Location loc, function_ref<bool(LocTy)> accept) {
  LocTy found;
  loc->walk([&](Location part) {
    auto candidate = dyn_cast<LocTy>(part);
    if (!candidate || !accept(candidate))
      return WalkResult::advance();
    found = candidate;
    return WalkResult::interrupt();
  });
  return found;
}

FileLineColLoc getPosition(Location loc) {
  return findLoc<FileLineColLoc>(loc, [](FileLineColLoc) { return true; });
}

StringRef getInstancePath(Location loc) {
  auto name = findLoc<NameLoc>(loc, [](NameLoc part) {
    return part.getName().getValue().starts_with("@");
  });
  return name ? name.getName().getValue().drop_front() : StringRef();
}

} // namespace fqat
