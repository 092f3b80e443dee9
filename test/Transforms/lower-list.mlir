// RUN: fqat-mlir-opt --fqat-lower-list %s | FileCheck %s
// RUN: fqat-mlir-opt --fqat-lower-list --fqat-lower-list %s | FileCheck %s

fqat.module @"$" class "__torch__.Net" slots []
// CHECK-LABEL: fqat.method @forward
// CHECK-SAME: %[[A:[^:]*]]: !fqat.tensor, %[[B:[^:]*]]: !fqat.tensor
fqat.method @forward(%a: !fqat.tensor, %b: !fqat.tensor) -> !fqat.list<tensor> attributes {instance = @"$"} {
  // CHECK-NEXT: %[[L:.*]] = fqat.list(%[[A]], %[[B]])
  // CHECK-NEXT: fqat.return %[[L]]
  %l = fqat.list(%a, %b) : (!fqat.tensor, !fqat.tensor) -> !fqat.list<tensor>
  %c = fqat.op "aten::list" overload "t"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c : !fqat.list<tensor>
}

// A list that something else reads stays beside its copy.
// CHECK-LABEL: fqat.method @read
fqat.method @read(%a: !fqat.tensor) -> (!fqat.list<tensor>, !fqat.tensor) attributes {instance = @"$"} {
  // CHECK: %[[L:.*]] = fqat.list
  // CHECK: fqat.op "aten::cat"(%[[L]])
  // CHECK: %[[C:.*]] = fqat.list
  // CHECK: fqat.return %[[C]]
  %l = fqat.list(%a) : (!fqat.tensor) -> !fqat.list<tensor>
  %s = fqat.op "aten::cat"(%l) : (!fqat.list<tensor>) -> !fqat.tensor
  %c = fqat.op "aten::list" overload "t"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c, %s : !fqat.list<tensor>, !fqat.tensor
}

// Of a list whose elements are not known, a loop appends one by one.
// CHECK-LABEL: fqat.method @unknown
// CHECK-SAME: %[[X:[^:]*]]: !fqat.list<int>
fqat.method @unknown(%l: !fqat.list<int>) -> !fqat.list<int> attributes {instance = @"$"} {
  // CHECK-NEXT: %[[L:.*]] = fqat.list() : () -> !fqat.list<int>
  // CHECK-NEXT: %[[N:.*]] = fqat.op "aten::len" overload "t"(%[[X]])
  // CHECK-NEXT: %[[TRUE:.*]] = fqat.constant true
  // CHECK-NEXT: fqat.loop %[[N]] while %[[TRUE]] init()
  // CHECK-NEXT: ^bb0(%[[I:.*]]: !fqat.int):
  // CHECK-NEXT: %[[E:.*]] = fqat.op "aten::__getitem__" overload "t"(%[[X]], %[[I]]) aliases [0]
  // CHECK-NEXT: fqat.op "aten::append" overload "t"(%[[L]], %[[E]]) writes [0] aliases [0]
  // CHECK-NEXT: fqat.yield %[[TRUE]]
  // CHECK: fqat.return %[[L]]
  %c = fqat.op "aten::list" overload "t"(%l) : (!fqat.list<int>) -> !fqat.list<int>
  fqat.return %c : !fqat.list<int>
}

// The letters of a string.
// CHECK-LABEL: fqat.method @letters
fqat.method @letters(%s: !fqat.str) -> !fqat.list<str> attributes {instance = @"$"} {
  // CHECK: fqat.op "aten::len" overload "str"
  // CHECK: fqat.op "aten::__getitem__" overload "str"({{[^)]*}}) :
  %c = fqat.op "aten::list"(%s) : (!fqat.str) -> !fqat.list<str>
  fqat.return %c : !fqat.list<str>
}

// A list that changes before it is copied.
// CHECK-LABEL: fqat.method @changed
fqat.method @changed(%a: !fqat.tensor) -> !fqat.list<tensor> attributes {instance = @"$"} {
  // CHECK: fqat.op "aten::append"
  // CHECK: fqat.loop
  // CHECK-NOT: aten::list
  %l = fqat.list(%a) : (!fqat.tensor) -> !fqat.list<tensor>
  %m = fqat.op "aten::append"(%l, %a) writes [0] aliases [0] : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
  %c = fqat.op "aten::list"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c : !fqat.list<tensor>
}
