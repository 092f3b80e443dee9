"""Files that are cut, or changed in places, are errors: no signal, and nothing written."""

import io
import random
import subprocess
import zipfile

import pytest
from faults import SEED, trace_net

NUM_FILES = 400


def spoil(random_: random.Random, data: bytes) -> bytes:
    """Cuts data, changes some bytes, or puts one part of it in the place of another."""
    changed = bytearray(data)
    kind = random_.randrange(3)
    if kind == 0:
        return bytes(changed[: random_.randrange(len(changed))])
    if kind == 1:
        for _ in range(random_.choice([1, 2, 8])):
            changed[random_.randrange(len(changed))] = random_.randrange(256)
        return bytes(changed)
    at, origin = random_.randrange(len(changed)), random_.randrange(len(changed))
    changed[at : at + random_.randrange(30)] = changed[origin : origin + random_.randrange(30)]
    return bytes(changed)


def spoil_record(random_: random.Random, data: bytes) -> bytes:
    """Spoils a record and gives it the right checksum, so that it is read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    name = random_.choice([name for name in records if records[name] and "/data/" not in name])
    records[name] = spoil(random_, records[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, contents in records.items():
            archive.writestr(name, contents)
    return made.getvalue()


@pytest.mark.parametrize("change", [spoil, spoil_record])
def test_corrupt_files(tool, tmp_path, change):
    trace_net().save(str(tmp_path / "model.pt"))
    model = (tmp_path / "model.pt").read_bytes()
    random_ = random.Random(SEED)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    names = [f"m{i:03}.pt" for i in range(NUM_FILES)]
    for name in names:
        (tmp_path / "in" / name).write_bytes(change(random_, model))
    # In one process, which a crash would end. An error may quote the file's bytes.
    paths = [tmp_path / "in" / name for name in names]
    done = subprocess.run(
        [tool.program, *paths, "-o", tmp_path / "out", "-q"],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )
    assert done.returncode in (2, 3), done.stderr[-2000:]
    written = {path.name.replace(".fqat", "") for path in (tmp_path / "out").iterdir()}
    failed = [name for name in names if name not in written]
    assert NUM_FILES / 3 < len(failed) < NUM_FILES
    assert [name for name in failed if name not in done.stderr] == []
    assert len(list((tmp_path / "out").iterdir())) == len(written) and written <= set(names)
