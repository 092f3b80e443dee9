//===- Views.cpp - Reads and writes of parts of a tensor -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A view is a chain of steps over `memory`, and a version that parts were
// written to a chain of writes through one step each:
//
//   x[:, :c, 2:4] = n     write(x, [:, :c], write(x[:, :c], [:, :, 2:4], n))
//
// so that a write looks the same whether it was made in place or put together
// again out of its parts by `cat`. Ranges of one dimension that share no place
// pass each other: a read does not see the other write, and writes stand in the
// order of their places.
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace fqat {

//===----------------------------------------------------------------------===//
// Ranges
//===----------------------------------------------------------------------===//

namespace {

/// The places [begin, end) of a dimension that a step takes. Without `end`, all
/// to the last. Places below zero count from the end.
struct Range {
  Term dim;
  int64_t begin;
  std::optional<int64_t> end;

  /// Whether this ends where the other begins or before, whatever the size is.
  bool isBefore(const Range &other) const {
    return dim == other.dim && end && (*end < 0) == (other.begin < 0) &&
           (begin < 0) == (*end < 0) && *end <= other.begin;
  }
  /// Whether all of the other one lies in this, both counted from the start.
  bool contains(const Range &other) const {
    return dim == other.dim && begin >= 0 && begin <= other.begin &&
           (!end ||
            (*end >= 0 && other.end && *other.end >= 0 && *other.end <= *end));
  }
  /// Whether the other one begins where this ends, whatever the size is: what
  /// begins with the dimension may end at a place counted from either side.
  bool isFollowedBy(const Range &other) const {
    return dim == other.dim && end && *end == other.begin &&
           (begin == 0 || ((begin < 0) == (*end < 0) && begin <= *end));
  }
};

} // namespace

static std::optional<int64_t> getNumber(const TermTable &terms, Term term) {
  auto number = dyn_cast_or_null<IntegerAttr>(terms.getConstantValue(term));
  if (!number || isa<BoolAttr>(number))
    return std::nullopt;
  return number.getInt();
}

/// The range that an operator takes of its first operand; nothing if it takes
/// something else, or numbers are not known.
static std::optional<Range> getRange(const TermTable &terms, Term term) {
  StringRef name = terms.getName(term).getValue();
  ArrayRef<Term> operands = terms.getOperands(term);
  if (operands.size() < 3 || !getNumber(terms, operands[1]))
    return std::nullopt;
  std::optional<int64_t> begin = getNumber(terms, operands[2]);
  if (!begin)
    return std::nullopt;
  Range range{operands[1], *begin, std::nullopt};
  if (name == "aten::select" && operands.size() == 3) {
    if (*begin != -1)
      range.end = *begin + 1;
    return range;
  }
  std::optional<int64_t> last =
      operands.size() > 3 ? getNumber(terms, operands[3]) : std::nullopt;
  if (!last)
    return std::nullopt;
  if (name == "aten::narrow" && operands.size() == 4 && *begin >= 0 &&
      *last >= 0) {
    range.end = *begin + *last;
    return range;
  }
  if (name != "aten::slice" || operands.size() != 5 ||
      getNumber(terms, operands[4]) != 1)
    return std::nullopt;
  if (*last != INT64_MAX)
    range.end = last;
  return range;
}

/// Whether two steps over one tensor share no element.
static bool areDisjoint(const TermTable &terms, Term a, Term b) {
  // Parts that one split made: on memory, there are no others.
  if (terms.isCalled(a, "element") && terms.isCalled(b, "element"))
    return terms.getDetail(a) != terms.getDetail(b);
  std::optional<Range> rangeA = getRange(terms, a), rangeB = getRange(terms, b);
  return rangeA && rangeB &&
         (rangeA->isBefore(*rangeB) || rangeB->isBefore(*rangeA));
}

void Executor::normalizeSlice(OperatorOp op, MutableArrayRef<Term> operands) {
  if (op.getName() != "aten::slice" || operands.size() != 5)
    return;
  Builder builder(op.getContext());
  int64_t missing[] = {0, INT64_MAX, 1};
  for (unsigned i = 0; i != 3; ++i)
    if (isa_and_nonnull<UnitAttr>(terms.getConstantValue(operands[i + 2])))
      operands[i + 2] =
          terms.getConstant(builder.getI64IntegerAttr(missing[i]));
}

bool Executor::takesWhole(OperatorOp op, ArrayRef<Term> operands) {
  if (loopDepth != 0 || op.getName() != "aten::slice" || operands.size() != 5)
    return false;
  // Not where an op changes the sizes of one name alone.
  if (!dropsWholeSlices)
    dropsWholeSlices = !model
                            .walk([](OperatorOp oper) {
                              return changesShape(oper.getName())
                                         ? WalkResult::interrupt()
                                         : WalkResult::advance();
                            })
                            .wasInterrupted();
  if (!*dropsWholeSlices)
    return false;
  std::optional<Range> range = getRange(
      terms, terms.get(op.getNameAttr(), op.getOverloadAttr(), operands));
  if (!range || range->begin != 0 || range->end)
    return false;
  // It raises where there is no such dimension.
  SmallVector<Term> parts = {getKind(operands[0]), range->dim};
  for (auto [condition, taken] : conditions)
    parts.push_back(taken ? condition : terms.get("not", {condition}));
  shapeChecks.insert(note(terms.get("has_dim", parts), op));
  return true;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// A view as steps over memory, the first that is taken first.
SmallVector<Term> Executor::getSteps(Term view) {
  SmallVector<Term> steps;
  for (; view != memory; view = terms.getOperands(view).front()) {
    if (terms.getOperands(view).front() == memory) {
      steps.push_back(view);
      continue;
    }
    SmallVector<Term> operands(terms.getOperands(view));
    operands[0] = memory;
    steps.push_back(
        terms.get(terms.getName(view), terms.getDetail(view), operands));
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

Term Executor::readStep(Term step, Term version) {
  version = resolve(version);
  while (terms.isWrite(version)) {
    Term written = terms.getOperands(version)[1];
    if (written == step)
      return resolve(terms.getOperands(version)[2]);
    if (!areDisjoint(terms, written, step))
      break;
    version = resolve(terms.getOperands(version)[0]);
  }
  SmallVector<Term> operands(terms.getOperands(step));
  operands[0] = version;
  return terms.get(terms.getName(step), terms.getDetail(step), operands);
}

Term Executor::writeStep(Term step, Term version, Term content) {
  SmallVector<Term> later;
  std::optional<Range> range = getRange(terms, step);
  while (terms.isWrite(version)) {
    Term written = terms.getOperands(version)[1];
    // A write that hides an older one of the same view, or of a part of it.
    if (written == step) {
      version = terms.getOperands(version)[0];
      continue;
    }
    std::optional<Range> other = getRange(terms, written);
    if (range && other && range->contains(*other)) {
      version = terms.getOperands(version)[0];
      continue;
    }
    if (!range || !other || !range->isBefore(*other))
      break;
    later.push_back(version);
    version = terms.getOperands(version)[0];
  }
  version = terms.get("write", {version, step, content});
  for (Term write : llvm::reverse(later))
    version = terms.get("write", {version, terms.getOperands(write)[1],
                                  terms.getOperands(write)[2]});
  return forgetBase(version);
}

/// Where ranges that were written are all of a tensor, it does not matter what
/// was there: its kind stands for it.
Term Executor::forgetBase(Term version) {
  SmallVector<Term> writes;
  std::optional<Range> next;
  for (Term at = version; terms.isWrite(at); at = terms.getOperands(at)[0]) {
    std::optional<Range> range = getRange(terms, terms.getOperands(at)[1]);
    if (!range || (next ? !range->isFollowedBy(*next) : range->end.has_value()))
      return version;
    writes.push_back(at);
    next = range;
    if (range->begin == 0)
      break;
  }
  if (!next || next->begin != 0)
    return version;
  Term base = getKind(version);
  for (Term write : llvm::reverse(writes))
    base = terms.get("write", {base, terms.getOperands(write)[1],
                               terms.getOperands(write)[2]});
  return base;
}

Term Executor::readView(Term view, Term version) {
  version = resolve(version);
  if (view == memory)
    return version;
  for (Term step : getSteps(view))
    version = readStep(step, version);
  return version;
}

Term Executor::writeView(Term view, Term version, Term content) {
  SmallVector<Term> steps = getSteps(view), versions = {version};
  for (Term step : ArrayRef(steps).drop_back())
    versions.push_back(readStep(step, versions.back()));
  for (auto [step, old] : llvm::reverse(llvm::zip(steps, versions)))
    content = writeStep(step, old, content);
  return content;
}

//===----------------------------------------------------------------------===//
// Sizes and dtypes
//===----------------------------------------------------------------------===//

/// Whether the result of a convolution has the sizes of its input, which must
/// have as many channels as the weight says.
static bool convKeepsSizes(const TermTable &terms, Term term) {
  StringRef name = terms.getName(term).getValue();
  bool hasTransposed =
      name == "aten::_convolution" || name == "aten::convolution";
  if (!hasTransposed && name != "aten::conv1d" && name != "aten::conv2d" &&
      name != "aten::conv3d")
    return false;
  ArrayRef<Term> operands = terms.getOperands(term);
  unsigned numKnown = hasTransposed ? 9 : 7;
  if (operands.size() < numKnown || !terms.isCalled(operands[1], "stored"))
    return false;
  auto weight = dyn_cast<TensorAttr>(terms.getDetail(operands[1]));
  if (!weight || weight.getSizes().size() < 3)
    return false;
  if (hasTransposed) {
    auto transposed =
        dyn_cast_or_null<BoolAttr>(terms.getConstantValue(operands[6]));
    if (!transposed || transposed.getValue())
      return false;
  }
  std::optional<int64_t> groups = getNumber(terms, operands[numKnown - 1]);
  ArrayRef<int64_t> sizes = weight.getSizes();
  if (!groups || sizes[0] != sizes[1] * *groups)
    return false;
  // One number stands for all dimensions.
  auto getAt = [&](unsigned operand, unsigned i) -> std::optional<int64_t> {
    if (!terms.isCalled(operands[operand], "list"))
      return std::nullopt;
    ArrayRef<Term> list = terms.getOperands(operands[operand]);
    if (list.size() != 1 && list.size() != sizes.size() - 2)
      return std::nullopt;
    return getNumber(terms, list.size() == 1 ? list[0] : list[i]);
  };
  for (unsigned i = 0; i != sizes.size() - 2; ++i) {
    std::optional<int64_t> stride = getAt(3, i), padding = getAt(4, i),
                           dilation = getAt(5, i);
    if (stride != 1 || !padding || !dilation ||
        2 * *padding != *dilation * (sizes[i + 2] - 1))
      return false;
  }
  return true;
}

/// Whether a term has the sizes, the dtype and the device of its first operand.
static bool keepsKind(const TermTable &terms, Term term) {
  static const llvm::StringSet<> names = {
      "aten::relu", "aten::relu6", "aten::hardtanh", "aten::hardswish",
      "aten::leaky_relu", "aten::elu", "aten::silu", "aten::mish", "aten::gelu",
      "aten::celu", "aten::selu", "aten::hardsigmoid", "aten::threshold",
      "aten::dropout", "aten::feature_dropout", "aten::clone",
      "aten::batch_norm",
      // In place, these convert what they compute.
      "aten::copy_", "aten::add_", "aten::sub_", "aten::mul_", "aten::div_",
      "aten::pow_", "aten::fill_", "aten::zero_", "aten::exp_", "aten::sqrt_",
      "aten::neg_", "aten::clamp_", "aten::clamp_min_", "aten::clamp_max_",
      "aten::masked_fill_", "aten::index_put_",
      // A part of it is another.
      "write"};
  return !terms.getOperands(term).empty() &&
         (names.contains(terms.getName(term).getValue()) ||
          terms.isInPlace(term) || convKeepsSizes(terms, term));
}

/// Views whose sizes those of their operand decide.
static bool isSizedView(const TermTable &terms, Term term) {
  static const llvm::StringSet<> names = {
      "aten::slice",     "aten::select",   "aten::narrow",   "aten::unsqueeze",
      "aten::transpose", "aten::permute",  "aten::t",        "aten::squeeze",
      "aten::view",      "aten::expand",   "aten::detach",   "aten::alias",
      "aten::movedim",   "aten::swapaxes", "aten::swapdims", "aten::chunk",
      "aten::split"};
  StringRef name = terms.getName(term).getValue();
  if (name != "element")
    return names.contains(name);
  Term split = terms.getOperands(term)[0];
  return terms.isCalled(split, "aten::chunk") ||
         terms.isCalled(split, "aten::split");
}

Term Executor::getKind(Term term) {
  Term asked = term;
  SmallVector<Term> steps;
  while (true) {
    if (auto it = kinds.find(term); it != kinds.end()) {
      term = it->second;
      break;
    }
    if (isSizedView(terms, term))
      steps.push_back(term);
    else if (!keepsKind(terms, term))
      break;
    term = terms.getOperands(term).front();
  }
  for (Term step : llvm::reverse(steps)) {
    SmallVector<Term> operands(terms.getOperands(step));
    operands[0] = term;
    term = terms.get(terms.getName(step), terms.getDetail(step), operands);
  }
  kinds[asked] = term;
  return term;
}

//===----------------------------------------------------------------------===//
// Parts that are put together
//===----------------------------------------------------------------------===//

/// What `cat` makes of the parts of one tensor, in their order and without a
/// gap, some of them new: the tensor, written to. Each new part must have the
/// sizes and the dtype of the part whose place it takes.
std::optional<Term> Executor::joinParts(Term list, Term dim) {
  if (!terms.isCalled(list, "list") || !getNumber(terms, dim))
    return std::nullopt;
  SmallVector<Term> parts(terms.getOperands(list));
  if (parts.size() < 2)
    return std::nullopt;
  // The ranges, and the tensor that they are taken of.
  SmallVector<Term> taken;
  std::optional<Range> last;
  std::optional<Term> whole;
  for (Term &part : parts) {
    Term kind = getKind(part);
    if (terms.isCalled(part, "aten::unsqueeze") &&
        terms.getOperands(part).size() == 2 &&
        terms.getOperands(part)[1] == dim) {
      part = terms.getOperands(part)[0];
      kind = getKind(part);
      if (!terms.isCalled(kind, "aten::select"))
        return std::nullopt;
    } else if (terms.isCalled(kind, "aten::select")) {
      return std::nullopt;
    }
    std::optional<Range> range = getRange(terms, kind);
    if (!range || range->dim != dim ||
        terms.getOperands(kind)[0] !=
            whole.value_or(terms.getOperands(kind)[0]))
      return std::nullopt;
    whole = terms.getOperands(kind)[0];
    if (last ? !last->isFollowedBy(*range) : range->begin != 0)
      return std::nullopt;
    last = range;
    taken.push_back(kind);
  }
  if (last->end)
    return std::nullopt;
  // What stays: some part that is a range of a tensor of this kind.
  std::optional<Term> result;
  for (auto [part, kind] : llvm::zip(parts, taken)) {
    bool isRange = terms.getName(part) == terms.getName(kind) &&
                   terms.getDetail(part) == terms.getDetail(kind) &&
                   terms.getOperands(part).drop_front() ==
                       terms.getOperands(kind).drop_front();
    if (isRange && getKind(terms.getOperands(part)[0]) == *whole) {
      result = terms.getOperands(part)[0];
      break;
    }
  }
  // Where nothing stays, it does not matter what was there.
  Term base = result.value_or(*whole);
  result = base;
  for (auto [part, kind] : llvm::zip(parts, taken)) {
    SmallVector<Term> operands(terms.getOperands(kind));
    operands[0] = memory;
    Term step = terms.get(terms.getName(kind), terms.getDetail(kind), operands);
    if (readStep(step, base) != part)
      result = writeStep(step, *result, part);
  }
  return result;
}

} // namespace fqat
