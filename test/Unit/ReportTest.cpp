//===- ReportTest.cpp - Findings as text and data -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Report/Suppressions.h"
#include "fqat/Report/Text.h"

#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace fqat;

using Range = std::pair<size_t, size_t>;

TEST(FindWord, PointsAtTheNameWithItsSelf) {
  llvm::StringRef line = "        return self.act(self.bn(self.conv(x)))";
  EXPECT_EQ(findWord(line, {"act"}), Range(16, 8));
  EXPECT_EQ(findWord(line, {"conv"}), Range(33, 9));
  EXPECT_EQ(findWord("x = act(y)", {"act"}), Range(5, 3));
}

TEST(FindWord, TakesTheFirstWordThatStandsAlone) {
  llvm::StringRef line = "  y = conv2(x) + conv(x)";
  EXPECT_EQ(findWord(line, {"con", "conv"}), Range(18, 4));
  EXPECT_EQ(findWord(line, {"", "x"}), Range(13, 1));
}

TEST(FindWord, PointsAtTheLineWhereNoWordStands) {
  EXPECT_EQ(findWord("    pass", {"act"}), Range(5, 1));
  EXPECT_EQ(findWord("   ", {"act"}), Range(1, 1));
  EXPECT_EQ(findWord("", {}), Range(1, 1));
}

/// What a printer makes of a place in `text`.
static std::string print(llvm::StringRef text, unsigned line, unsigned column) {
  std::string result;
  llvm::raw_string_ostream os(result);
  TextPrinter printer(os, [&](llvm::StringRef) {
    return std::optional<llvm::StringRef>(text);
  });
  Place place{"", "m.py", line, column, "", {"act"}};
  printer.print("error", place, "what");
  return result;
}

TEST(TextPrinter, ShowsTheLine) {
  EXPECT_EQ(print("one\n\tx = act(y)\r\n", 2, 0),
            "m.py:2: error: what\n    2 | \tx = act(y)\n      | \t    ^~~\n");
  EXPECT_EQ(print("one\n\tx = act(y)\n", 2, 2),
            "m.py:2: error: what\n    2 | \tx = act(y)\n      | \t^\n");
}

TEST(TextPrinter, ShowsNoLineThatIsNotThere) {
  EXPECT_EQ(print("one\n", 3, 0), "m.py:3: error: what\n");
  EXPECT_EQ(print("one\n\n", 2, 0), "m.py:2: error: what\n");
  EXPECT_EQ(print("one", 0, 0), "m.py: error: what\n");
  // A column behind the end of a line that was edited since.
  EXPECT_EQ(print("act", 1, 99),
            "m.py:1: error: what\n    1 | act\n      | ^~~\n");
}

static ModelReport makeReport(llvm::StringRef instance) {
  ModelReport model;
  ReportedFinding finding;
  finding.rule = Rule::CalledOnce;
  finding.severity = Severity::Error;
  finding.kind = "shared-module";
  finding.main.instance = instance.str();
  finding.fingerprint = "R4/" + instance.str() + "/shared-module";
  model.findings.push_back(finding);
  return model;
}

TEST(Suppressions, MatchInstancesAndWhatIsBelow) {
  Suppressions suppressions;
  ASSERT_FALSE(suppressions.addIgnored("R4:model.2*"));
  ASSERT_FALSE(suppressions.addIgnored("R4:head"));
  ModelReport inside = makeReport("model.22.cv2"), below = makeReport("head.a"),
              outside = makeReport("model.1.head");
  suppressions.apply(inside);
  EXPECT_EQ(suppressions.getUnused(), std::vector<std::string>{"R4:head"});
  suppressions.apply(below);
  suppressions.apply(outside);
  EXPECT_EQ(inside.countSuppressed(), 1u);
  EXPECT_EQ(below.countSuppressed(), 1u);
  EXPECT_EQ(outside.count(Severity::Error), 1u);
  EXPECT_TRUE(suppressions.getUnused().empty());
}

TEST(Suppressions, StarMatchesTheRoot) {
  Suppressions suppressions;
  ASSERT_FALSE(suppressions.addIgnored("r4:*"));
  ModelReport root = makeReport("<root>");
  suppressions.apply(root);
  EXPECT_EQ(root.countSuppressed(), 1u);
}

TEST(Rules, AreFoundByEveryName) {
  for (const RuleInfo &info : getRules()) {
    EXPECT_EQ(&getInfo(info.rule), &info);
    EXPECT_EQ(parseRule(info.id), info.rule);
    EXPECT_EQ(parseRule(info.getTag()), info.rule);
  }
  EXPECT_FALSE(parseRule("R6"));
  EXPECT_FALSE(parseRule(""));
}
