//===- CallTree.cpp - The calls of one run of the model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Analysis/CallTree.h"
#include "fqat/Support/Model.h"

using namespace mlir;

namespace fqat {

FailureOr<CallTree> CallTree::compute(mlir::ModuleOp model,
                                      SymbolTable &symbols) {
  MethodOp entry = getEntry(symbols);
  if (!entry)
    return model.emitError() << "the model has no method 'forward'";
  CallTree tree;
  struct Activation {
    unsigned node;
    Block::iterator next, end;
  };
  SmallVector<Activation> stack;
  auto enter = [&](MethodOp method, CallOp call, unsigned parent) {
    unsigned node = tree.nodes.size();
    tree.nodes.push_back({method, call, parent});
    if (call)
      tree.calls[method.getInstanceAttr().getAttr()].push_back(node);
    Block &body = method.getBody().front();
    stack.push_back({node, body.begin(), body.end()});
  };
  enter(entry, CallOp(), 0);
  while (!stack.empty()) {
    Activation &active = stack.back();
    if (active.next == active.end) {
      stack.pop_back();
      continue;
    }
    auto call = dyn_cast<CallOp>(&*active.next++);
    if (!call)
      continue;
    auto callee = symbols.lookup<MethodOp>(call.getCallee());
    for (const Activation &outer : stack)
      if (tree.nodes[outer.node].method == callee)
        return call.emitError()
               << "'" << callee.getSymName() << "' calls itself";
    enter(callee, call, active.node);
  }
  return tree;
}

} // namespace fqat
