//===- Suppressions.cpp - Findings that nobody wants to see -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Suppressions.h"
#include "fqat/Support/Nesting.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;

namespace fqat {

Error Suppressions::addIgnored(StringRef text) {
  auto [rule, glob] = text.split(':');
  std::optional<Rule> parsed = parseRule(rule);
  if (!parsed)
    return createStringError("there is no rule '" + rule + "' (R1 to R5)");
  Ignored entry{text.str(), *parsed, std::nullopt};
  if (!glob.empty()) {
    Expected<InstanceGlob> pattern = InstanceGlob::create(glob);
    if (!pattern)
      return pattern.takeError();
    entry.glob = std::move(*pattern);
  }
  ignored.push_back(std::move(entry));
  return Error::success();
}

Error Suppressions::readBaseline(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path);
  if (!buffer)
    return createStringError(buffer.getError(), buffer.getError().message());
  if (Error error = checkNesting((*buffer)->getBuffer(), /*hasComments=*/false))
    return error;
  Expected<json::Value> value = json::parse((*buffer)->getBuffer());
  if (!value)
    return value.takeError();
  const json::Object *object = value->getAsObject();
  const json::Array *findings = object ? object->getArray("findings") : nullptr;
  if (!findings)
    return createStringError(
        "no report: write one by --check MODEL --report FILE.json");
  for (const json::Value &finding : *findings) {
    const json::Object *fields = finding.getAsObject();
    std::optional<StringRef> fingerprint =
        fields ? fields->getString("fingerprint") : std::nullopt;
    if (!fingerprint)
      return createStringError("a finding of it has no fingerprint");
    baseline.try_emplace(*fingerprint, false);
  }
  return Error::success();
}

void Suppressions::apply(ModelReport &model) {
  std::scoped_lock<std::mutex> lock(mutex);
  for (ReportedFinding &finding : model.findings) {
    auto known = baseline.find(finding.fingerprint);
    if (known != baseline.end()) {
      known->second = true;
      finding.suppression = ReportedFinding::InBaseline;
    }
    for (Ignored &entry : ignored)
      if (entry.rule == finding.rule &&
          (!entry.glob || entry.glob->matches(finding.main.instance))) {
        entry.isUsed = true;
        finding.suppression = ReportedFinding::Ignored;
      }
  }
}

std::vector<std::string> Suppressions::getUnused() const {
  std::vector<std::string> unused;
  for (const Ignored &entry : ignored)
    if (!entry.isUsed)
      unused.push_back(entry.text);
  return unused;
}

unsigned Suppressions::countGone() const {
  return count_if(baseline, [](const auto &entry) { return !entry.second; });
}

} // namespace fqat
