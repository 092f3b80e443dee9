#!/usr/bin/env bash
# Runs each fuzz target for some time, from a corpus of the tests' models. What
# crashes is left in BUILD_DIR/fuzz/crashes, as a file that the programs take.
#
# usage: fuzz.sh BUILD_DIR SECONDS
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly build=$1 seconds=$2 fuzz=$1/fuzz
rm -rf "$fuzz/crashes"
mkdir -p "$fuzz/crashes"
# LLVM's libraries, which are not instrumented, take memory from allocators
# whose headers are: neither tells the other what is in use.
export ASAN_OPTIONS=detect_leaks=0:allow_user_poisoning=0
"${VENV:-.venv}/bin/python" test/Fuzz/corpus.py "$build/bin/fqat-opt" "$fuzz"

failed=0
for name in Zip Pickle Archive Text; do
  echo "$name: $seconds s"
  "$build/bin/fqat-fuzz-$name" "$fuzz/$name" -max_total_time="$seconds" \
    -timeout=30 -rss_limit_mb=6000 -max_len=60000 -print_final_stats=1 \
    -artifact_prefix="$fuzz/crashes/$name-" >"$fuzz/$name.log" 2>&1 || {
    failed=1
    echo "$name: error: see $fuzz/$name.log" >&2
  }
  grep -E '^stat::(number_of_executed_units|peak_rss_mb)' "$fuzz/$name.log"
done
exit "$failed"
