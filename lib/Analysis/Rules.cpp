//===- Rules.cpp - The rules of the training kit, in words -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/Rules.h"

#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fqat {

static constexpr RuleInfo kRules[] = {
    {Rule::NopAdjacency, "R1", "nop adjacency",
     "An out_nop right after every output conv.",
     "The kit reads the format of an output from the out_nop behind it, and "
     "takes the op before the\n"
     "out_nop for the one that makes the output. If anything stands in "
     "between, "
     "or the out_nop is\n"
     "missing, the wrong op is quantised as an output (`output == n` fails, or "
     "accuracy is lost).\n"
     "A batch norm and an activation behind the conv belong to it: the out_nop "
     "goes behind them.",
     "box, cls = self.cv2(x), self.cv3(x)\n"
     "box, cls = self.out_nop(box), self.out_nop1(cls)\n",
     "box = self.out_nop(self.cv2(x))\n"
     "cls = self.out_nop1(self.cv3(x))\n",
     "puts out_nops in, and moves those that stand wrong"},
    {Rule::NoList, "R2", "no list()", "No list() in forward.",
     "The kit cannot follow a value through list().",
     "features = list((a, b))\n",
     "features = []\n"
     "features.append(a)\n"
     "features.append(b)\n",
     "makes the list anew from its elements"},
    {Rule::NopsBeforeTail, "R3", "nops before the tail",
     "All out_nops before anything else of the tail.",
     "What runs behind the output convs (concat, view, sigmoid, decode, ...) "
     "is "
     "the tail: it stays in\n"
     "floating point. The kit takes everything before the last out_nop for "
     "quantised, so a concat of\n"
     "the first level that runs before the convs of the second is quantised "
     "too.",
     "for i in range(2):\n"
     "    out.append(torch.cat((self.cv2[i](x[i]), self.cv3[i](x[i])), 1))\n",
     "b0, c0 = self.out_nop(self.cv2[0](x[0])), "
     "self.out_nop1(self.cv3[0](x[0]))\n"
     "b1, c1 = self.out_nop2(self.cv2[1](x[1])), "
     "self.out_nop3(self.cv3[1](x[1]))\n"
     "out = [torch.cat((b0, c0), 1), torch.cat((b1, c1), 1)]\n",
     "moves the tail behind the last out_nop, out of submodules where needed"},
    {Rule::CalledOnce, "R4", "called once", "Each module is called once.",
     "The kit keeps one set of ranges and bit widths for each module object. "
     "One that is called twice\n"
     "would need two: `module can only call once`. An activation as a class "
     "attribute is one object\n"
     "in all blocks of the class.",
     "class Conv(nn.Module):\n"
     "    default_act = nn.SiLU()\n"
     "    def __init__(self):\n"
     "        self.act = self.default_act\n",
     "class Conv(nn.Module):\n"
     "    def __init__(self):\n"
     "        self.act = nn.SiLU()\n",
     "gives each call an instance of its own"},
    {Rule::RealForward, "R5", "real forward",
     "A method really named forward, in every module that is called.",
     "The kit calibrates what it sees in forward. If another method runs "
     "instead, it sees nothing:\n"
     "`calibration data is None!`. A module that does nothing, but is called, "
     "is "
     "no layer either.",
     "self.forward = self.forward_slicing\n",
     "def forward(self, x):\n"
     "    return self.forward_slicing(x)\n",
     "names the method that runs forward, drops calls that do nothing"},
};

ArrayRef<RuleInfo> getRules() { return kRules; }

const RuleInfo &getInfo(Rule rule) {
  return kRules[static_cast<unsigned>(rule)];
}

std::optional<Rule> parseRule(StringRef text) {
  text.consume_front_insensitive("fqat-");
  for (const RuleInfo &info : kRules)
    if (text.equals_insensitive(info.id))
      return info.rule;
  return std::nullopt;
}

static void printIndented(raw_ostream &os, StringRef text) {
  while (!text.empty()) {
    StringRef line;
    std::tie(line, text) = text.split('\n');
    os << "    " << line << '\n';
  }
}

std::string explain(const RuleInfo &info) {
  std::string text;
  raw_string_ostream os(text);
  os << info.id << ' ' << info.name << " [" << info.getTag() << "]\n\n"
     << info.wants << "\n\n"
     << info.why << "\n\nInstead of\n\n";
  printIndented(os, info.broken);
  os << "\nwrite\n\n";
  printIndented(os, info.mended);
  os << "\nWithout --check, fqat-opt " << info.fix << ".\n";
  return text;
}

} // namespace fqat
