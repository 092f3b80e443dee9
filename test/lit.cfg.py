"""How lit runs the tests: RUN lines, FileCheck, the built programs on PATH."""

import os

import lit.formats

config.name = "fqat"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["python", "Unit", "Fuzz", "CMakeLists.txt"]
config.test_source_root = os.path.join(config.fqat_source_dir, "test")
config.test_exec_root = os.path.join(config.fqat_build_dir, "test")

config.environment["PATH"] = os.pathsep.join(
    [
        os.path.join(config.fqat_build_dir, "bin"),
        config.llvm_tools_dir,
        config.environment.get("PATH", ""),
    ]
)
# A capture must not leak from one labelled part of a test into the next.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --allow-unused-prefixes=false"
if config.has_torch:
    config.available_features.add("torch")
