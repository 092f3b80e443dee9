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

LogicalResult checkStraightLine(MethodOp method) {
  auto report = [](Operation *op, const Twine &what) {
    return op->emitError() << what
                           << " of scripted code is not rewritten yet; trace "
                              "the model, or carry the file as it is with "
                              "--pass-pipeline='builtin.module()'";
  };
  for (Operation &op : method.getBody().front()) {
    if (isa<IfOp, LoopOp, ForkOp>(op))
      return report(&op, "the control flow");
    if (auto call = dyn_cast<CallFunctionOp>(op))
      return report(&op, "the free function '" + call.getCallee().drop_front() +
                             "'");
    if (auto set = dyn_cast<SetOp>(op))
      return report(&op, "the attribute '" + set.getSlot() +
                             "' that a method writes");
    if (auto oper = dyn_cast<OperatorOp>(op);
        oper && (oper.getName() == "prim::CallMethod" ||
                 oper.getName() == "prim::SetAttr"))
      return report(&op, "an object");
  }
  return success();
}

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
    if (failed(checkStraightLine(method)))
      return failure();
    unsigned node = tree.nodes.size();
    tree.nodes.push_back({method, call, parent});
    if (call)
      tree.calls[method.getInstanceAttr().getAttr()].push_back(node);
    Block &body = method.getBody().front();
    stack.push_back({node, body.begin(), body.end()});
    return success();
  };
  if (failed(enter(entry, CallOp(), 0)))
    return failure();
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
    if (failed(enter(callee, call, active.node)))
      return failure();
  }
  return tree;
}

} // namespace fqat
