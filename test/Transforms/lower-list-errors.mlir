// RUN: fqat-mlir-opt --fqat-lower-list --split-input-file --verify-diagnostics %s

fqat.module @"$" class "__torch__.Unknown" slots []
fqat.method @forward(%l: !fqat.list<tensor>) -> !fqat.list<tensor> attributes {instance = @"$"} {
  // expected-error @below {{list() of a list whose elements are not known here cannot be replaced}}
  %c = fqat.op "aten::list"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c : !fqat.list<tensor>
}

// -----

fqat.module @"$" class "__torch__.Changed" slots []
fqat.method @forward(%a: !fqat.tensor) -> !fqat.list<tensor> attributes {instance = @"$"} {
  %l = fqat.list(%a) : (!fqat.tensor) -> !fqat.list<tensor>
  %m = fqat.op "aten::append"(%l, %a) writes [0] aliases [0] : (!fqat.list<tensor>, !fqat.tensor) -> !fqat.list<tensor>
  // expected-error @below {{list() of a list whose elements are not known here cannot be replaced}}
  %c = fqat.op "aten::list"(%l) : (!fqat.list<tensor>) -> !fqat.list<tensor>
  fqat.return %c : !fqat.list<tensor>
}
