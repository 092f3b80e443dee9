//===- Threading.cpp - What callers hand their callees -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Threading.h"
#include "fqat/IR/Paths.h"

using namespace mlir;

namespace fqat {

FailureOr<Threading> Threading::compute(mlir::ModuleOp model,
                                        SymbolTable &symbols,
                                        const AliasIndex &aliases) {
  Threading threading;
  // Depth first over the calls, with an explicit stack.
  enum State { New, Open, Done };
  DenseMap<MethodOp, State> states;
  auto getCallees = [&](MethodOp method) {
    SmallVector<MethodOp> callees;
    method.getBody().walk([&](CallOp call) {
      callees.push_back(symbols.lookup<MethodOp>(call.getCallee()));
    });
    return callees;
  };
  auto finish = [&](MethodOp method) {
    Needs own;
    auto need = [&](StringAttr symbol) {
      if (!isAtOrBelow(aliases.findBelow(method.getInstance(), symbol),
                       method.getInstance()))
        own.insert(symbol);
    };
    method.getBody().walk([&](Operation *op) {
      if (auto get = dyn_cast<GetOp>(op)) {
        // An instance that is only read is not needed.
        StringAttr symbol = get.getSlotAttr().getAttr();
        if (!get.use_empty() || !lookupInstance(symbols, symbol))
          need(symbol);
      } else if (auto set = dyn_cast<SetOp>(op)) {
        // What is written is the attribute of an instance.
        need(StringAttr::get(op->getContext(), splitPath(set.getSlot()).first));
      } else if (auto nop = dyn_cast<OutNopOp>(op)) {
        need(nop.getInstanceAttr().getAttr());
      } else if (auto call = dyn_cast<CallOp>(op)) {
        auto callee = symbols.lookup<MethodOp>(call.getCallee());
        need(callee.getInstanceAttr().getAttr());
        for (StringAttr symbol : threading.getNeeds(callee))
          need(symbol);
      }
    });
    threading.needs[method] = std::move(own);
  };
  for (auto root : model.getOps<MethodOp>()) {
    SmallVector<MethodOp> stack = {root};
    while (!stack.empty()) {
      MethodOp method = stack.back();
      State &state = states[method];
      if (state == New) {
        state = Open;
        SmallVector<MethodOp> callees = getCallees(method);
        for (MethodOp callee : llvm::reverse(callees)) {
          State calleeState = states.lookup(callee);
          if (calleeState == Open)
            return method.emitError()
                   << "'" << method.getSymName() << "' calls itself through '"
                   << callee.getSymName() << "'";
          if (calleeState == New)
            stack.push_back(callee);
        }
        continue;
      }
      stack.pop_back();
      if (state == Done)
        continue;
      state = Done;
      finish(method);
      threading.postOrder.push_back(method);
    }
  }
  return threading;
}

} // namespace fqat
