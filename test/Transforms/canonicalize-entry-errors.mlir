// RUN: fqat-mlir-opt --fqat-canonicalize-entry --split-input-file --verify-diagnostics %s

// expected-error @below {{the model has no method 'forward'}}
module {
  fqat.module @"$" class "__torch__.Net" slots []
}

// -----

fqat.module @"$" class "__torch__.Net" slots []
fqat.method @forward(%x: !fqat.tensor) attributes {instance = @"$"} {
  // expected-error @below {{'forward' calls itself}}
  fqat.call @forward(%x) : (!fqat.tensor) -> ()
  fqat.return
}
