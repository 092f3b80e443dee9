"""Disks that are full, signals, links, pipes, closed streams, and limits of the system.

Whatever happens, an output is the old one or the new one, whole; nothing else is left behind; and
the program ends with an exit code and a message, not by a signal of its own.
"""

import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import PROGRAM, SEED, list_files, make_archive, restore, snapshot, trace_net
from torch import nn

NUM_KILLS = int(os.environ.get("FQAT_FAULT_KILLS", "3"))
DUMP = str(Path(PROGRAM).with_name("fqat-dump"))
NOBODY = 65534

OUTPUTS = {
    "pt": ["-o", "out.pt"],
    "mlir": ["-o", "out.mlir"],
    "mlirbc": ["-o", "out.mlirbc"],
    "python": ["--emit=python", "-o", "out"],
    "json": ["--emit=none", "--report", "out.json"],
    "html": ["--emit=none", "--report", "out.html"],
}


class Wide(nn.Module):
    """With weights of 600 KB, that take a moment to write."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(64, 128, 3), nn.Conv2d(128, 64, 3)

    def forward(self, x):
        return self.b(self.a(x)).sigmoid()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder of a small model, a wide one, and one that the program warns of."""
    folder = tmp_path_factory.mktemp("models")
    trace_net().save(str(folder / "model.pt"))
    wide = torch.jit.trace(Wide().eval(), torch.zeros(1, 64, 8, 8))
    wide.save(str(folder / "wide.pt"))
    trace_net()._save_for_lite_interpreter(str(folder / "lite.pt"))
    for name in ("model", "wide"):
        run(f"{name}.pt", "-o", f"{name}.fixed", cwd=folder)
    return folder


@pytest.fixture
def here(models, tmp_path) -> Path:
    """A folder of its own, with the models."""
    for path in models.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


def run(*arguments, cwd, expect=0, program=PROGRAM, **options) -> subprocess.CompletedProcess:
    command = [program, *arguments] + (["-q"] if program == PROGRAM else [])
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **options}
    done = subprocess.run(command, cwd=cwd, **options)
    if expect is not None:
        assert done.returncode == expect, (done.returncode, done.stderr)
    return done


def start(*arguments, cwd, **options) -> subprocess.Popen:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([PROGRAM, *arguments, "-q"], cwd=cwd, **streams, **options)


@pytest.fixture(scope="module")
def both(models, tmp_path_factory):
    """What lies in a folder with the output of the small model, and with that of the wide one."""

    @functools.cache
    def write(kind: str) -> tuple[dict, dict]:
        found = []
        for source in ("model.pt", "wide.pt"):
            folder = tmp_path_factory.mktemp(kind) / "here"
            shutil.copytree(models, folder)
            run(source, *OUTPUTS[kind], cwd=folder)
            found.append(snapshot(folder))
        return tuple(found)

    return write


def check_failure(done: subprocess.CompletedProcess, says: bytes) -> None:
    assert done.returncode == 2, (done.returncode, done.stderr[:2000])
    assert says in done.stderr and done.stderr.count(b"error: ") == 1, done.stderr[:2000]


# Disks and sizes.


def can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") and subprocess.run(command, capture_output=True).returncode == 0


# A disk of its own that has the folder's files and so many KB left; the program's error goes to
# standard error, what is on the disk afterwards to a folder.
ON_A_DISK = """
set -e
mkdir disk && mount -t tmpfs -o size=16M tmpfs disk
cp -r before/. disk
cd disk
cat /dev/zero > filler 2> /dev/null || truncate -s -"$1"k filler
shift
code=0
"$@" || code=$?
rm filler
cp -r . ../after
exit $code
"""


@pytest.mark.skipif(not can_mount(), reason="a disk cannot be mounted here")
@pytest.mark.parametrize("kind", OUTPUTS)
def test_full_disk(tmp_path, both, kind):
    old, new = both(kind)
    (tmp_path / "before").mkdir()
    restore(tmp_path / "before", old)
    for kilobytes in (0, 300):
        command = ["unshare", "-rm", "sh", "-c", ON_A_DISK, "sh", str(kilobytes)]
        command += [PROGRAM, "wide.pt", *OUTPUTS[kind], "-q"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
        after = snapshot(tmp_path / "after")
        shutil.rmtree(tmp_path / "after")
        os.rmdir(tmp_path / "disk")
        if done.returncode == 0:
            assert after == new and kilobytes > 0
        else:
            check_failure(done, b"No space left on device")
            assert after == old


@pytest.mark.parametrize("kind", OUTPUTS)
def test_file_size_limit(here, both, kind):
    old, new = both(kind)
    restore(here, old)
    for size in (0, 8192, 500_000):
        limit = lambda s=size: resource.setrlimit(resource.RLIMIT_FSIZE, (s, s))  # noqa: E731
        done = run("wide.pt", *OUTPUTS[kind], cwd=here, expect=None, preexec_fn=limit)
        if done.returncode == 0:
            assert snapshot(here) == new and size > 0
            break
        check_failure(done, b"File too large")
        assert snapshot(here) == old, f"at {size} bytes"


# Signals.


def wait_for_change(folder: Path, process: subprocess.Popen) -> None:
    before = list_files(folder)
    while process.poll() is None and list_files(folder) == before:
        time.sleep(0.0002)


KILLS = [
    *((kind, signal.SIGKILL) for kind in ("pt", "python", "html")),
    *((kind, signal.SIGTERM) for kind in ("pt", "python")),
    ("mlirbc", signal.SIGINT),
]


@pytest.mark.parametrize(("kind", "number"), KILLS)
def test_signals(here, both, kind, number):
    """At any moment: most are those around the writing."""
    old, new = both(kind)
    random_ = random.Random(SEED)
    for _ in range(max(NUM_KILLS, 50 if (kind, number) == KILLS[0] else 0)):
        restore(here, old)
        process = start("wide.pt", *OUTPUTS[kind], cwd=here)
        wait_for_change(here, process)
        time.sleep(random_.choice([0, random_.uniform(0, 0.03)]))
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode in (0, -number)
        left = [name for name in list_files(here) if ".tmp" in name]
        # Of a package, the folder that it is made in.
        assert number == signal.SIGKILL or kind == "python" or left == []
        after = {path: data for path, data in snapshot(here).items() if ".tmp" not in path}
        assert after in (old, new), sorted(after)
    # What the last kill has left disturbs nobody.
    run("wide.pt", *OUTPUTS[kind], cwd=here)
    assert {path: data for path, data in snapshot(here).items() if ".tmp" not in path} == new


def test_ignored_signals_stay_ignored(here):
    # As of nohup, and of a job in the background of a script.
    for number in (signal.SIGHUP, signal.SIGINT):
        ignore = lambda n=number: signal.signal(n, signal.SIG_IGN)  # noqa: E731
        process = start("wide.pt", "-o", "out.pt", cwd=here, preexec_fn=ignore)
        wait_for_change(here, process)
        process.send_signal(number)
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 0, error
        assert (here / "out.pt").read_bytes() == (here / "wide.fixed").read_bytes()
        (here / "out.pt").unlink()


@pytest.mark.parametrize("kind", ["pt", "python", "json"])
def test_two_that_write_one_output(here, both, kind):
    results = both(kind)
    for _ in range(NUM_KILLS):
        writers = [start(name, *OUTPUTS[kind], cwd=here) for name in ("model.pt", "wide.pt")]
        errors = [writer.communicate(timeout=60)[1] for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0], errors
        assert snapshot(here) in results


# Files that change while they are read.


def test_input_that_is_cut_while_it_is_read(here):
    original = (here / "wide.pt").read_bytes()
    for _ in range(NUM_KILLS):
        process = start("wide.pt", "-o", "out.pt", cwd=here)
        wait_for_change(here, process)
        os.truncate(here / "wide.pt", 0)
        error = process.communicate(timeout=60)[1]
        assert process.returncode in (0, 2), (process.returncode, error[:2000])
        assert error.count(b"\n") == (process.returncode != 0)
        if process.returncode == 0:
            assert (here / "out.pt").read_bytes() == (here / "wide.fixed").read_bytes()
        assert not any(".tmp" in name for name in list_files(here))
        (here / "wide.pt").write_bytes(original)
        (here / "out.pt").unlink(missing_ok=True)


def test_input_that_is_replaced_or_removed_while_it_is_read(here):
    original = (here / "wide.pt").read_bytes()
    for _ in range(NUM_KILLS):
        process = start("wide.pt", "-o", "out.pt", cwd=here)
        wait_for_change(here, process)
        shutil.copy(here / "model.pt", here / "other.pt")
        (here / "other.pt").replace(here / "wide.pt")
        assert process.wait(timeout=60) == 0
        fixed = [(here / f"{name}.fixed").read_bytes() for name in ("wide", "model")]
        assert (here / "out.pt").read_bytes() in fixed
        (here / "wide.pt").write_bytes(original)
        (here / "out.pt").unlink()


def test_output_folder_that_is_removed(here):
    for _ in range(NUM_KILLS):
        folder = here / "folder"
        folder.mkdir()
        process = start("wide.pt", "-o", "folder/out.pt", cwd=here)
        wait_for_change(folder, process)
        shutil.rmtree(folder, ignore_errors=True)
        error = process.communicate(timeout=60)[1]
        if process.returncode != 0:
            assert process.returncode == 2 and b"folder/out.pt: error: No such file" in error
        shutil.rmtree(folder, ignore_errors=True)


# Links.


def test_links(here):
    small = (here / "model.fixed").read_bytes()
    (here / "link.pt").symlink_to("model.pt")
    run("link.pt", "-o", "a.pt", cwd=here)
    assert (here / "a.pt").read_bytes() == small
    run("link.pt", "-o", "link.pt", cwd=here)
    assert (here / "link.pt").is_symlink() and (here / "model.pt").read_bytes() == small
    (here / "folder").mkdir()
    (here / "folder_link").symlink_to("folder")
    run("wide.pt", "-o", "folder_link", cwd=here)
    assert list_files(here / "folder") == ["wide.fqat.pt"]


def test_link_to_nothing_stays_a_link(here):
    (here / "link.pt").symlink_to("target.pt")
    run("model.pt", "-o", "link.pt", cwd=here)
    assert (here / "link.pt").is_symlink()
    assert (here / "target.pt").read_bytes() == (here / "model.fixed").read_bytes()


@pytest.mark.parametrize("command", ["loop.pt -o a.pt", "model.pt -o loop.pt"])
def test_links_in_a_circle(here, command):
    (here / "loop.pt").symlink_to("other.pt")
    (here / "other.pt").symlink_to("loop.pt")
    before = list_files(here)
    check_failure(run(*command.split(), cwd=here, expect=None), b"symbolic links")
    assert list_files(here) == before and (here / "loop.pt").is_symlink()


def test_other_name_of_an_output_keeps_the_old_bytes(here):
    old = (here / "model.pt").read_bytes()
    os.link(here / "model.pt", here / "other.pt")
    run("model.pt", "-o", "model.pt", cwd=here)
    assert (here / "model.pt").read_bytes() == (here / "model.fixed").read_bytes()
    assert (here / "other.pt").read_bytes() == old


def test_report_through_a_link_stays_a_link(here):
    (here / "report.json").symlink_to("/dev/full")
    done = run("--check", "model.pt", "--report", "report.json", cwd=here, expect=None)
    assert done.returncode == 2 and b"report.json: error: No space left" in done.stderr
    assert (here / "report.json").is_symlink()


# Pipes, devices, standard streams.


def test_pipe_as_input_is_refused_at_once(here):
    os.mkfifo(here / "pipe.pt")
    for arguments in (["pipe.pt"], ["--check", "pipe.pt"]):
        done = run(*arguments, cwd=here, expect=None, timeout=10)
        check_failure(done, b"pipe.pt: error: this is no regular file")


def test_standard_input(here):
    with open(here / "model.pt", "rb") as file:
        run("/dev/stdin", "-o", "a.pt", cwd=here, stdin=file)
    assert (here / "a.pt").read_bytes() == (here / "model.fixed").read_bytes()
    contents = (here / "model.pt").read_bytes()
    done = run("/dev/stdin", "-o", "b.pt", cwd=here, expect=None, input=contents)
    check_failure(done, b"no regular file")


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_standard_output(here, output):
    done = run("model.pt", "-o", output, cwd=here)
    assert done.stdout == (here / "model.fixed").read_bytes()


TO_STANDARD_OUTPUT = [
    "model.pt --emit=mlir",
    "model.pt --emit=dot",
    "model.pt -o -",
    "model.pt -o /dev/full",
    "--help",
    "--version",
    "--man",
    "--completion=bash",
    "--explain=R1",
]


@pytest.mark.parametrize("command", TO_STANDARD_OUTPUT)
def test_standard_output_that_is_full(here, command):
    with open("/dev/full", "w") as full:
        done = run(*command.split(), cwd=here, expect=None, stdout=full)
    # C++'s own streams do not tell why.
    is_named = "/dev/full" in command
    check_failure(done, b"/dev/full: error: " if is_named else b"standard output: error: ")


@pytest.mark.parametrize(
    "arguments",
    ["--check model.pt", "--check model.fixed", "model.pt nothing.pt", "--no-option"],
)
def test_error_stream_that_is_full_changes_no_exit_code(here, arguments):
    expected = run(*arguments.split(), cwd=here, expect=None).returncode
    with open("/dev/full", "w") as full:
        assert run(*arguments.split(), cwd=here, expect=None, stderr=full).returncode == expected


def close_streams(closed):
    return lambda: [os.close(stream) for stream in closed]


@pytest.mark.parametrize("closed", [[1], [2], [0, 1], [0, 1, 2]], ids=str)
def test_closed_streams(here, closed):
    """Messages go into no file that takes the number of a closed stream."""
    run("lite.pt", "-o", "expected.pt", cwd=here)
    program = [PROGRAM, "lite.pt", "-o", "out.pt", "--report", "out.json", "-v"]
    done = subprocess.run(program, cwd=here, preexec_fn=close_streams(closed), timeout=60)
    assert done.returncode == 0
    assert (here / "out.pt").read_bytes() == (here / "expected.pt").read_bytes()
    assert json.loads((here / "out.json").read_bytes())["models"][0]["output"] == "out.pt"


@pytest.mark.parametrize("command", ["model.pt --emit=mlir", "model.pt -o -", "--help"])
def test_closed_standard_output_is_an_error(here, command):
    done = run(*command.split(), cwd=here, expect=None, preexec_fn=close_streams([1]))
    check_failure(done, b"standard output: error: ")


def test_reader_that_leaves(here):
    for command in ("model.pt --emit=mlir", "--man"):
        reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
        reader.wait()
        done = run(*command.split(), cwd=here, expect=None, stdout=reader.stdin)
        assert done.returncode in (2, -signal.SIGPIPE)
        assert done.stderr.count(b"\n") <= 1
        reader.stdin.close()


# Names.

NAMES = [
    b"caf\xe9.pt",
    b"line\nend.pt",
    b"\x1b[31mred.pt",
    b"a b'c\"d$e.pt",
    b"n" * 230 + b".pt",
    b"n" * 252 + b".pt",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:20]))
def test_names(here, name):
    """Reports are in UTF-8 whatever the model's name is, and each name can be an output's."""
    os.rename(here / "model.pt", os.fsencode(here) + b"/" + name)
    run(name, "-o", b"out-" + name[4:], cwd=here)
    written = Path(os.fsdecode(os.fsencode(here) + b"/out-" + name[4:])).read_bytes()
    assert written == (here / "model.fixed").read_bytes()
    reports = [word for kind in ("json", "sarif", "html") for word in ("--report", f"r.{kind}")]
    done = run("--check", name, *reports, cwd=here, expect=1)
    assert b"\x1b" not in done.stderr
    for kind in ("json", "sarif", "html"):
        text = (here / f"r.{kind}").read_bytes().decode()
        assert kind == "html" or json.loads(text)


def test_name_that_looks_like_an_option(here):
    (here / "model.pt").rename(here / "-q.pt")
    run("-o", "out.pt", "./-q.pt", cwd=here)
    subprocess.run([PROGRAM, "-q", "--output=-out.pt", "--", "-q.pt"], cwd=here, check=True)
    assert (here / "-out.pt").read_bytes() == (here / "model.fixed").read_bytes()


# Limits, environment, users.


def test_little_memory(here, both):
    """At each limit the model is written, or there is an error, and the old output stays."""
    old, new = both("pt")
    restore(here, old)
    for megabytes in range(525, 800, 25):
        size = megabytes << 20
        limit = lambda s=size: resource.setrlimit(resource.RLIMIT_AS, (s, s))  # noqa: E731
        done = run("wide.pt", "-o", "out.pt", cwd=here, expect=None, preexec_fn=limit)
        if done.returncode == 0:
            assert snapshot(here) == new
            restore(here, old)
            continue
        # Some libraries do not load, or cannot set themselves up: too early for us.
        if done.returncode == 127 or not done.stderr or b"libgomp" in done.stderr:
            assert megabytes < 700
        else:
            assert done.returncode in (2, 70), (megabytes, done.returncode, done.stderr[:500])
        assert snapshot(here) == old


@pytest.mark.parametrize("count", [3, 4, 5])
def test_few_files_at_a_time(here, count):
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))  # noqa: E731
    done = run("model.pt", "-o", "out.pt", cwd=here, expect=None, preexec_fn=limit)
    if done.returncode == 0:
        assert (here / "out.pt").read_bytes() == (here / "model.fixed").read_bytes()
    else:
        # 127: the libraries do not even load.
        assert done.returncode == 127 or b"Too many open files" in done.stderr
        assert done.returncode in (2, 127)
        assert not (here / "out.pt").exists()


class Deep(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.inner = Deep(depth - 1) if depth else nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("kilobytes", [256, 1024])
def test_small_stack(here, kilobytes):
    """A list of 4,000 lists in each other, and modules a hundred deep."""
    model = torch.jit.trace(Deep(100).eval(), torch.zeros(1, 3, 8, 8))
    model.save(str(here / "deep.pt"))
    nested = b"\x80\2c__torch__\nM\n)\x81}(X\1\0\0\0a" + b"]" * 4000 + b"a" * 3999 + b"ub."
    code = b"class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  a : Any\n"
    code += b"  def forward(self: __torch__.M, x: Tensor) -> Tensor:\n    return x\n"
    parts = {"data.pkl": nested, "constants.pkl": b"\x80\2).", "code/__torch__.py": code}
    parts["version"] = b"3\n"
    nested_model = make_archive({f"m/{name}": contents for name, contents in parts.items()})
    (here / "nested.pt").write_bytes(nested_model)
    size = kilobytes << 10
    limit = lambda: resource.setrlimit(resource.RLIMIT_STACK, (size, size))  # noqa: E731
    for name in ("deep.pt", "nested.pt"):
        run(name, "-o", "out.pt", cwd=here)
        expected = (here / "out.pt").read_bytes()
        done = run(name, "-o", "out.pt", cwd=here, expect=None, preexec_fn=limit)
        assert done.returncode in (0, 2), (name, done.returncode, done.stderr[:500])
        assert (here / "out.pt").read_bytes() == expected


def as_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


@pytest.fixture
def ours(here) -> Path:
    """The folder, for a user without rights who can run the program, if there is one."""
    for path in (here, *here.iterdir()):
        os.chmod(path, 0o777 if path.is_dir() else 0o644)
    for path in here.parents:
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 1:
            path.chmod(path.stat().st_mode | 0o711)
    try:
        run("model.pt", "--emit=none", cwd=here, preexec_fn=as_nobody)
    except (AssertionError, OSError, subprocess.SubprocessError):
        pytest.skip("the program cannot be run as another user")
    return here


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_threads(ours, count):
    def limit():
        # It counts all processes of the user.
        resource.setrlimit(resource.RLIMIT_NPROC, (count, count))
        as_nobody()

    for inputs in (["model.pt"], ["model.pt", "wide.pt"]):
        (ours / "out").mkdir(exist_ok=True)
        os.chmod(ours / "out", 0o777)
        options = {"expect": None, "preexec_fn": limit, "timeout": 15}
        done = run(*inputs, "-o", "out", cwd=ours, **options)
        assert done.returncode in (0, 2), (inputs, done.returncode, done.stderr[:500])
        assert done.returncode == 0 or b"error: " in done.stderr
        assert not any(".tmp" in name for name in list_files(ours / "out"))


def test_folder_that_is_read_only(ours):
    (ours / "locked").mkdir()
    shutil.copy(ours / "model.pt", ours / "locked")
    (ours / "locked" / "old.json").write_text("old")
    os.chmod(ours / "locked" / "old.json", 0o444)
    os.chmod(ours / "locked", 0o555)
    before = snapshot(ours / "locked")
    for options in ("-o locked/out.pt", "-o locked/model.pt", "--emit=python -o locked/out", ""):
        done = run("locked/model.pt", *options.split(), cwd=ours, expect=None, preexec_fn=as_nobody)
        check_failure(done, b"Permission denied")
    for report in ("new.json", "old.json"):
        options = ["--emit=none", "--report", f"locked/{report}"]
        done = run("model.pt", *options, cwd=ours, expect=None, preexec_fn=as_nobody)
        check_failure(done, b"Permission denied")
    assert snapshot(ours / "locked") == before
    os.chmod(ours / "locked", 0o755)


def test_environment(here):
    """No variable and no temporary folder is needed; other libraries are not taken."""
    others = here / "others"
    others.mkdir()
    for name in ("libtorch_cpu.so", "libc10.so"):
        (others / name).write_text("")
    for environment in (
        {},
        {"TMPDIR": "/nonexistent", "HOME": ""},
        {"LD_LIBRARY_PATH": str(others)},
    ):
        run("model.pt", "-o", "out.pt", cwd=here, env=environment)
        assert (here / "out.pt").read_bytes() == (here / "model.fixed").read_bytes()
        (here / "out.pt").unlink()


# The other program.


SAME = "--board-layout=nchw"


@pytest.mark.skipif(not Path(DUMP).exists(), reason="fqat-dump is not built")
@pytest.mark.parametrize("fault", ["full", "limit", "closed", "pipe", "directory"])
def test_dump(tmp_path, fault):
    np.save(tmp_path / "a.npy", np.ones((1, 4, 64, 64), np.float32))
    (tmp_path / "out.bin").write_bytes(b"old")
    pack = ["pack4", "a.npy", "out.bin"]
    if fault == "full":
        with open("/dev/full", "w") as full:
            for command in (["info", "a.npy"], ["compare", "a.npy", "a.npy", SAME], ["--help"]):
                done = run(*command, cwd=tmp_path, expect=None, program=DUMP, stdout=full)
                check_failure(done, b"standard output: ")
        check_failure(
            run("pack4", "a.npy", "/dev/full", cwd=tmp_path, expect=None, program=DUMP),
            b"No space left",
        )
    elif fault == "limit":
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # noqa: E731
        done = run(*pack, cwd=tmp_path, expect=None, program=DUMP, preexec_fn=limit)
        check_failure(done, b"File too large")
    elif fault == "closed":
        run(*pack, cwd=tmp_path, program=DUMP)
        expected = (tmp_path / "out.bin").read_bytes()
        run(*pack, cwd=tmp_path, program=DUMP, preexec_fn=close_streams([0, 1, 2]))
        assert (tmp_path / "out.bin").read_bytes() == expected
        (tmp_path / "out.bin").write_bytes(b"old")
    elif fault == "pipe":
        os.mkfifo(tmp_path / "pipe")
        with subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE) as reader:
            run("pack4", "a.npy", "pipe", cwd=tmp_path, program=DUMP)
            assert len(reader.communicate()[0]) == 4 * 64 * 64 // 2
        assert (tmp_path / "pipe").is_fifo()
        (tmp_path / "pipe").unlink()
    else:
        check_failure(run("info", ".", cwd=tmp_path, expect=None, program=DUMP), b"error: ")
    assert list_files(tmp_path) == ["a.npy", "out.bin"]
    assert (tmp_path / "out.bin").read_bytes() == b"old"


# Many models.


def test_a_thousand_models(here):
    """Memory does not grow but for what a report would tell of each, some kilobytes."""
    for i in range(1000):
        (here / f"many{i}.pt").symlink_to("model.pt")
    (here / "out").mkdir()
    peaks = []
    for count in (100, 1000):
        names = [f"many{i}.pt" for i in range(count)]
        process = start(*names, "-o", "out", "-j1", cwd=here)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0  # Nor does a sanitizer find a leak.
        assert len(list_files(here / "out")) == count
        peaks.append(usage.ru_maxrss)
    if "ASAN_OPTIONS" not in os.environ:
        assert peaks[1] - peaks[0] < 900 * 8
