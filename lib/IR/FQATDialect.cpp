//===- FQATDialect.cpp - The fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/IR/FQATDialect.h"
#include "fqat/IR/FQATOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

static OptionalParseResult
generatedTypeParser(AsmParser &parser, StringRef *mnemonic, Type &value);
static LogicalResult generatedTypePrinter(Type def, AsmPrinter &printer);

/// Parses a type of the dialect without its `!fqat.` prefix, or any type with
/// its prefix.
static ParseResult parseShortType(AsmParser &parser, Type &type) {
  return parser.parseCustomTypeWithFallback(type, [&](Type &result) {
    StringRef mnemonic;
    llvm::SMLoc loc = parser.getCurrentLocation();
    OptionalParseResult parsed = generatedTypeParser(parser, &mnemonic, result);
    if (parsed.has_value())
      return *parsed;
    return ParseResult(parser.emitError(loc)
                       << "unknown fqat type '" << mnemonic << "'");
  });
}

static void printShortType(AsmPrinter &printer, Type type) {
  if (isa<fqat::FQATDialect>(type.getDialect()) &&
      succeeded(generatedTypePrinter(type, printer)))
    return;
  printer << type;
}

static ParseResult parseShortTypes(AsmParser &parser,
                                   SmallVectorImpl<Type> &types) {
  if (parser.parseOptionalKeyword("empty").succeeded())
    return success();
  return parser.parseCommaSeparatedList(
      [&] { return parseShortType(parser, types.emplace_back()); });
}

static void printShortTypes(AsmPrinter &printer, ArrayRef<Type> types) {
  if (types.empty())
    printer << "empty";
  llvm::interleaveComma(types, printer,
                        [&](Type type) { printShortType(printer, type); });
}

#include "fqat/IR/FQATDialect.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "fqat/IR/FQATTypes.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "fqat/IR/FQATAttrs.cpp.inc"

namespace fqat {

void FQATDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "fqat/IR/FQATTypes.cpp.inc"
      >();
}

void FQATDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "fqat/IR/FQATAttrs.cpp.inc"
      >();
}

void FQATDialect::initialize() {
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "fqat/IR/FQATOps.cpp.inc"
      >();
}

bool isSubtype(Type from, Type to) {
  if (from == to || isa<AnyValueType, ObjectType>(to) || isa<ObjectType>(from))
    return true;
  if (auto optional = dyn_cast<OptionalType>(to)) {
    if (auto other = dyn_cast<OptionalType>(from))
      from = other.getElementType();
    return isa<NoneType>(from) || isSubtype(from, optional.getElementType());
  }
  if (isa<NumberType>(to))
    return isa<IntType, FloatType, ComplexType>(from);
  if (auto list = dyn_cast<ListType>(to)) {
    auto other = dyn_cast<ListType>(from);
    return other && isSubtype(other.getElementType(), list.getElementType());
  }
  if (auto dict = dyn_cast<DictType>(to)) {
    auto other = dyn_cast<DictType>(from);
    return other && isSubtype(other.getKeyType(), dict.getKeyType()) &&
           isSubtype(other.getValueType(), dict.getValueType());
  }
  if (auto tuple = dyn_cast<TupleType>(to)) {
    auto other = dyn_cast<TupleType>(from);
    return other &&
           tuple.getElementTypes().size() == other.getElementTypes().size() &&
           llvm::all_of(
               llvm::zip(other.getElementTypes(), tuple.getElementTypes()),
               [](auto pair) {
                 return isSubtype(std::get<0>(pair), std::get<1>(pair));
               });
  }
  return false;
}

LogicalResult ComplexAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  Attribute real, Attribute imag) {
  for (Attribute part : {real, imag})
    if (auto number = dyn_cast<FloatAttr>(part);
        !number || !number.getType().isF64())
      return emitError() << "a complex number is made of two f64";
  return success();
}

LogicalResult BitsAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               unsigned feature, unsigned weight) {
  if (feature != 0 && !isFeatureWidth(feature))
    return emitError() << "feature bits are 4, 8, 10 or 12, not " << feature;
  if (weight != 0 && !isWeightWidth(weight))
    return emitError() << "weight bits are 4 or 8, not " << weight;
  return success();
}

/// Identities are counted upwards from 1; 0 is none.
static LogicalResult
verifyIdentity(function_ref<InFlightDiagnostic()> emitError, int64_t identity) {
  constexpr int64_t bound = int64_t(1) << 48;
  if (identity < 0 || identity >= bound)
    return emitError() << "the identity " << identity
                       << " is not between 0 and " << bound;
  return success();
}

LogicalResult ListAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayAttr, StringRef, int64_t identity) {
  return verifyIdentity(emitError, identity);
}

LogicalResult DictAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayAttr, StringRef, int64_t identity) {
  return verifyIdentity(emitError, identity);
}

LogicalResult ObjectAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 StringRef, Attribute, int64_t identity) {
  return verifyIdentity(emitError, identity);
}

LogicalResult BuildAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                StringRef, Attribute, int64_t identity) {
  return verifyIdentity(emitError, identity);
}

LogicalResult TensorAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 FlatSymbolRefAttr storage, StringRef dtype,
                                 ArrayRef<int64_t> sizes,
                                 ArrayRef<int64_t> strides, int64_t offset,
                                 bool requiresGrad, int64_t identity) {
  if (sizes.size() != strides.size())
    return emitError() << "tensor has " << sizes.size() << " sizes but "
                       << strides.size() << " strides";
  if (offset < 0 || llvm::any_of(sizes, [](int64_t n) { return n < 0; }))
    return emitError() << "tensor has a negative offset or size";
  return verifyIdentity(emitError, identity);
}

Attribute TensorAttr::parse(AsmParser &parser, Type) {
  FlatSymbolRefAttr storage;
  std::string dtype;
  SmallVector<int64_t> sizes, strides;
  int64_t offset = 0, identity = 0;
  bool requiresGrad = false;
  auto parseInts = [&](SmallVectorImpl<int64_t> &values) {
    return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
      return parser.parseInteger(values.emplace_back());
    });
  };
  llvm::SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseAttribute(storage) ||
      parser.parseComma() || parser.parseKeywordOrString(&dtype) ||
      parser.parseComma() || parseInts(sizes) || parser.parseComma() ||
      parseInts(strides))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    StringRef key;
    if (parser.parseKeyword(&key))
      return {};
    if (key == "requires_grad") {
      requiresGrad = true;
      continue;
    }
    if (key != "offset" && key != "identity") {
      parser.emitError(loc) << "unknown tensor property '" << key << "'";
      return {};
    }
    if (parser.parseEqual() ||
        parser.parseInteger(key == "offset" ? offset : identity))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(loc); }, parser.getContext(),
                    storage, dtype, sizes, strides, offset, requiresGrad,
                    identity);
}

void TensorAttr::print(AsmPrinter &printer) const {
  printer << '<' << getStorage() << ", ";
  printer.printKeywordOrString(getDtype());
  printer << ", [";
  llvm::interleaveComma(getSizes(), printer);
  printer << "], [";
  llvm::interleaveComma(getStrides(), printer);
  printer << ']';
  if (getOffset() != 0)
    printer << ", offset = " << getOffset();
  if (getRequiresGrad())
    printer << ", requires_grad";
  if (getIdentity() != 0)
    printer << ", identity = " << getIdentity();
  printer << '>';
}

TensorAttr TensorAttr::cloneWithStorage(FlatSymbolRefAttr storage) const {
  return get(getContext(), storage, getDtype(), getSizes(), getStrides(),
             getOffset(), getRequiresGrad(), /*identity=*/0);
}

} // namespace fqat
