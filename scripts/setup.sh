#!/usr/bin/env bash
# Installs what a build and its tests need and this machine lacks: Debian
# packages, and a Python environment with torch. Does nothing, fast, when all is
# there. `make setup` calls it.
#
# Environment: MLIR_DIR (another copy of LLVM/MLIR 22.1: its packages are then
# left alone), VENV (default .venv), PYTHON (default python3), TESTS, BENCH,
# DOCS and CLANG (not empty: what only tests need, too, what only measuring does,
# what only the documentation does, and what sanitizers and coverage do).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly default_mlir_dir=/usr/lib/llvm-22/lib/cmake/mlir
readonly mlir_dir=${MLIR_DIR:-$default_mlir_dir}
readonly venv=${VENV:-.venv}
readonly python=${PYTHON:-python3}
requirements=(scripts/requirements-dev.txt)
readonly torch_version=2.13.0

readonly llvm_packages=(libmlir-22-dev llvm-22-dev mlir-22-tools llvm-22-tools
  clang-format-22 clang-tidy-22)
# libzstd-dev is for the static libraries of LLVM, which name it.
readonly base_packages=(libcli11-dev libgtest-dev libmimalloc-dev zlib1g-dev libzstd-dev
  ninja-build cmake g++ make git python3-venv)
# python3-torch is torch 1.13: a test loads and runs outputs in it. Another
# opens report pages in a browser.
readonly test_packages=(python3-torch chromium chromium-driver)
readonly bench_packages=(libbenchmark-dev)
readonly clang_packages=(clang-22 libclang-rt-22-dev)

say() { echo "setup: $*"; }
die() {
  echo "setup: error: $*" >&2
  exit 1
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "not root, and there is no sudo: run this as root once"
  fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get \
    -o DPkg::Lock::Timeout=300 "$@"
}

has_candidate() {
  local policy
  policy=$(LC_ALL=C apt-cache policy "$1")
  [[ $policy == *"Candidate: "[!\(]* ]]
}

# Debian packages.

wanted=("${base_packages[@]}")
if [[ -n ${TESTS:-} ]]; then wanted+=("${test_packages[@]}"); fi
if [[ -n ${BENCH:-} ]]; then
  wanted+=("${bench_packages[@]}")
  requirements+=(scripts/requirements-bench.txt)
fi
if [[ -n ${DOCS:-} ]]; then requirements+=(scripts/requirements-docs.txt); fi
if [[ -n ${CLANG:-} ]]; then wanted+=("${clang_packages[@]}"); fi
readonly requirements
if [[ $mlir_dir == "$default_mlir_dir" ]]; then
  wanted=("${llvm_packages[@]}" "${wanted[@]}")
fi

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  declare -A installed=()
  # dpkg-query fails if it knows nothing of one package; the others still print.
  while read -r name status; do
    if [[ $status == installed ]]; then installed[$name]=1; fi
  done < <(dpkg-query -W -f='${Package} ${db:Status-Status}\n' \
    "${wanted[@]}" 2>/dev/null || true)

  missing=()
  for name in "${wanted[@]}"; do
    if [[ -z ${installed[$name]:-} ]]; then missing+=("$name"); fi
  done

  if ((${#missing[@]})); then
    say "Debian packages to install: ${missing[*]}"
    apt update || say "apt-get update failed; going on with the lists at hand"
    absent=()
    for name in "${missing[@]}"; do
      if ! has_candidate "$name"; then absent+=("$name"); fi
    done
    case " ${absent[*]-} " in
      *-22-* | *-22\ *)
        die "apt has no ${absent[*]}: LLVM/MLIR 22.1 is needed; add an apt" \
          "source that has it, or point -DMLIR_DIR (make MLIR_DIR=...) to" \
          "another copy's lib/cmake/mlir."
        ;;
    esac
    if ((${#absent[@]})); then
      die "apt has no ${absent[*]}"
    fi
    apt install -y --no-install-recommends "${missing[@]}"
  fi
else
  missing=()
  say "this is no Debian: what is needed is, by Debian's names, ${wanted[*]}"
fi

# The Python environment.

# True if the environment holds torch.
has_torch() {
  compgen -G "$venv/lib/python3*/site-packages/torch-${torch_version}[.+-]*dist-info/RECORD" \
    >/dev/null &&
    compgen -G "$venv/lib/python3*/site-packages/numpy-*.dist-info/RECORD" >/dev/null
}

# True if the environment holds every pinned tool at its version.
has_tools() {
  local line name
  while IFS= read -r line; do
    line=${line%%#*}
    line=${line// /}
    if [[ -z $line ]]; then continue; fi
    name=${line%%==*}
    compgen -G "$venv/lib/python3*/site-packages/${name//-/_}-${line##*==}.dist-info/RECORD" \
      >/dev/null || return 1
  done < <(cat "${requirements[@]}")
}

# Says that an install was not cut off half-way.
readonly stamp=$venv/.fqat-setup
fingerprint=$({
  echo "torch $torch_version"
  cat "${requirements[0]}"
} | sha256sum)
readonly fingerprint

if [[ -f $stamp && $(<"$stamp") == "$fingerprint" && -x $venv/bin/python ]] &&
  has_torch && has_tools; then
  if ! ((${#missing[@]})); then say "nothing is missing"; fi
  exit 0
fi

if [[ -n $(ls -A "$venv" 2>/dev/null) && ! -f $venv/pyvenv.cfg ]]; then
  die "$venv is there and is no Python environment; name another with VENV=..."
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  command -v "$python" >/dev/null || die "there is no $python"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "$python is older than Python 3.10; name a newer one with PYTHON=..."
  say "Python environment to make: $venv"
  "$python" -m venv --clear "$venv"
fi
rm -f "$stamp"

if ! has_torch; then
  say "Python packages to install: torch==$torch_version numpy"
  # Pinned alone and first: a looser or later request may bring a GPU build of
  # several GB.
  "$venv/bin/python" -m pip install "torch==$torch_version" numpy
fi
if ! has_tools; then
  say "Python packages to install: $(cat "${requirements[@]}" | grep -v '^#' | xargs)"
  "$venv/bin/python" -m pip install "${requirements[@]/#/--requirement=}"
fi

has_torch || die "torch $torch_version did not install into $venv"
has_tools || die "not every tool of ${requirements[*]} installed into $venv"
echo "$fingerprint" >"$stamp"
say "done"
