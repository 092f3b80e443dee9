#!/usr/bin/env bash
# Runs the tests on programs that count which lines they reach, and reports the
# share of lib/ and what is left.
#
# usage: coverage.sh BUILD_DIR LLVM_BIN
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly build=$(realpath "$1") llvm=$2
readonly profiles=$build/profiles python=${VENV:-.venv}/bin/python
rm -rf "$profiles" && mkdir -p "$profiles"
# %8m: processes of a program add to one of eight files.
export LLVM_PROFILE_FILE=$profiles/%8m.profraw

cmake --build "$build" --target check-fqat
export FQAT_OPT=$build/bin/fqat-opt PYTHONPATH=$PWD/python
# Where a test gives a program another environment or no memory, counting disturbs.
"$python" -m pytest test/python -q -k "not no_environment and not test_user and not little_memory"
"$python" -m pytest python/tests -q -k "not test_session"

# A program that a test kills may leave half a profile.
"$llvm/llvm-profdata" merge -sparse -failure-mode=all "$profiles"/*.profraw -o "$build/coverage.profdata"
programs=("$build/bin/fqat-opt")
for program in bin/fqat-dump bin/fqat-mlir-opt lib/libfqat.so test/Unit/FQATUnitTests test/Unit/FQATTorchUnitTests; do
  programs+=(-object "$build/$program")
done
show() { "$llvm/llvm-cov" "$@" "${programs[@]}" "-instr-profile=$build/coverage.profdata" lib; }
show show -format=html "-output-dir=$build/coverage" >/dev/null
show report -show-region-summary=false -show-branch-summary=false | tee "$build/coverage.txt"
echo "lines of lib/ that no test reaches: $build/coverage/index.html"
awk '/^TOTAL/ { percent = $NF + 0 } END { exit !(percent >= 90) }' "$build/coverage.txt" || {
  echo "coverage: error: less than 90 % of lib/" >&2
  exit 1
}
