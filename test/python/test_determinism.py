"""The same model gives the same bytes: models, packages, reports and what a check prints.

Neither the folder, the machine's settings, the user, the time, nor what else is done at the same
time is seen in them.
"""

import locale
import os
import resource
import shutil
import stat
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import script_models
import torch
from faults import PROGRAM, snapshot, trace_net

REPORTS = [word for kind in ("json", "sarif", "html") for word in ("--report", f"out.{kind}")]
COMMANDS = [
    ["-o", "out.pt", *REPORTS],
    ["-o", "out.mlir", "--report", "mlir.json"],
    ["-o", "elided.mlir", "--elide-weights"],
    ["-o", "out.mlirbc"],
    ["-o", "out.dot"],
    ["--emit=python", "-o", "package"],
    ["--check", *(word.replace("out.", "check.") for word in REPORTS)],
]


def run(command, cwd, expect=(0,), **options) -> subprocess.CompletedProcess:
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=60, **options)
    assert done.returncode in expect, done.stderr
    return done


def write_all(folder: Path, before=(), after=(), model="model.pt", **options) -> dict[str, bytes]:
    """All that the program writes of the model in a folder, without the folder's own name."""

    def write(command):
        return run([*before, PROGRAM, model, *command, "-q", *after], folder, (0, 1), **options)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(write, COMMANDS))
    written = snapshot(folder)
    written.pop("model.pt")
    for i, result in enumerate(done):
        written[f"printed {i}"] = result.stdout + result.stderr
    own = os.fsencode(folder)
    return {name: contents.replace(own, b"HERE") for name, contents in written.items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> tuple[bytes, dict[str, bytes]]:
    """The model, and what is written of it."""
    folder = tmp_path_factory.mktemp("expected")
    trace_net().save(str(folder / "model.pt"))
    model = (folder / "model.pt").read_bytes()
    written = write_all(folder)
    assert len(written) == 12 + 3 + len(COMMANDS) and b"[fqat-r4]" in written["printed 6"]
    return model, written


@pytest.fixture
def here(expected, tmp_path) -> Path:
    (tmp_path / "model.pt").write_bytes(expected[0])
    return tmp_path


def assert_same_files(actual: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert sorted(actual) == sorted(expected)
    assert [name for name in expected if actual[name] != expected[name]] == []


ENVIRONMENTS = [
    "LC_ALL=C",
    "LC_ALL=C.UTF-8",
    "LC_ALL=tr_TR.UTF-8",
    "LC_ALL=de_DE.UTF-8",
    "TZ=Pacific/Chatham",
    "OMP_NUM_THREADS=1",
    "MALLOC_PERTURB_=165",
    "MIMALLOC_ARENA_EAGER_COMMIT=0",
    "SOURCE_DATE_EPOCH=1",
]


@pytest.mark.parametrize("variable", ENVIRONMENTS)
def test_environment(here, expected, variable):
    name, _, value = variable.partition("=")
    if name == "LC_ALL":
        old = locale.setlocale(locale.LC_ALL)
        try:
            locale.setlocale(locale.LC_ALL, value)
        except locale.Error:
            pytest.skip(f"the locale {value} is not installed")
        finally:
            locale.setlocale(locale.LC_ALL, old)
    assert_same_files(write_all(here, env={**os.environ, name: value}), expected[1])


def test_no_environment(here, expected):
    assert_same_files(write_all(here, env={}), expected[1])


@pytest.mark.parametrize("command", ["setarch -R", "taskset -c 0"])
def test_ways_to_run(here, expected, command):
    words = command.split()
    if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip(f"'{command}' is not allowed here")
    assert_same_files(write_all(here, before=words), expected[1])


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_jobs(here, expected, jobs):
    assert_same_files(write_all(here, after=[jobs]), expected[1])


def test_stack_that_lies_elsewhere(here, expected):
    size = resource.RLIM_INFINITY
    if resource.getrlimit(resource.RLIMIT_STACK)[1] != size:
        pytest.skip("the stack is limited")
    limit = lambda: resource.setrlimit(resource.RLIMIT_STACK, (size, size))  # noqa: E731
    assert_same_files(write_all(here, preexec_fn=limit), expected[1])


def test_time(here, expected):
    os.utime(here / "model.pt", (0, 0))
    assert_same_files(write_all(here), expected[1])


def test_second_run_over_the_first(here, expected):
    write_all(here)
    assert_same_files(write_all(here), expected[1])


def test_paths(here, expected):
    """An absolute path is seen where a model is named, and nowhere else."""
    written = write_all(here, model=str(here / "model.pt"))
    written = {name: text.replace(b"HERE/model.pt", b"model.pt") for name, text in written.items()}
    names = {name for name in expected[1] if written[name] != expected[1][name]}
    # IR tells which file it was, and how long its name is.
    assert names <= {"out.mlirbc"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_user(here, expected):
    for path in (here, *here.parents):
        if not path.stat().st_mode & 1:
            path.chmod(path.stat().st_mode | 0o711)
    shutil.chown(here, 65534)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*command, PROGRAM, "--version"], capture_output=True).returncode != 0:
        pytest.skip("the program cannot be run as another user")
    assert_same_files(write_all(here, before=command), expected[1])


def test_no_time_stamps(here):
    write_all(here)
    for path in (here / "out.pt", here / "package" / "weights.pt"):
        with zipfile.ZipFile(path) as archive:
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_modes(here, mask):
    """New files have the modes that the user asks for."""
    write_all(here, umask=mask)
    for path in here.rglob("*"):
        if path.name != "model.pt":
            plain = 0o777 if path.is_dir() else 0o666
            assert stat.S_IMODE(path.stat().st_mode) == plain & ~mask, path


def test_many_files_at_once(tmp_path):
    """Each model is written, and told of, as if it was alone."""
    names = ["containers", "enums", "own_state", "shared_instances"]
    torch.manual_seed(0)
    for name in names:
        script_models.MODELS[name]()[0].save(str(tmp_path / f"{name}.pt"))
    files = [f"{name}.pt" for name in names]
    for kind in ("torchscript", "mlir"):
        for file in files:
            folder = tmp_path / "alone"
            folder.mkdir(exist_ok=True)
            run([PROGRAM, file, f"--emit={kind}", "-o", "alone", "-q"], tmp_path)
        for jobs in ("-j2", "-j8"):
            together = tmp_path / "together"
            together.mkdir()
            run([PROGRAM, *files, f"--emit={kind}", "-o", "together", "-q", jobs], tmp_path)
            assert_same_files(snapshot(together), snapshot(folder))
            shutil.rmtree(together)
        shutil.rmtree(folder)
    checks = [run([PROGRAM, "--check", file], tmp_path, (0, 1)).stderr for file in files]
    alone = b"".join(checks)
    for jobs in ("-j1", "-j8"):
        printed = run([PROGRAM, "--check", *files, jobs], tmp_path, (0, 1)).stderr
        assert printed.startswith(alone)
