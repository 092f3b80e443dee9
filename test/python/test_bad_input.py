"""Inputs that are no model, or a bad one: one error that says why, and nothing else.

Each ends with exit code 2, says in a few lines what the file is, writes nothing, and takes little
time and memory, whatever the file claims.
"""

import functools
import io
import os
import pickle
import random
import re
import struct
import subprocess
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from faults import (
    PROGRAM,
    SEED,
    Entry,
    Net,
    list_files,
    make_archive,
    make_raw_archive,
    read_archive,
    run_measured,
    trace_net,
)
from test_corrupt_files import spoil

NUM_FILES = int(os.environ.get("FQAT_FUZZ_FILES", "150"))
MOST_MEMORY = 600 << 20
X = torch.zeros(1, 3, 8, 8)
CODE = "code/__torch__/faults.py"
FAR = 2**62

# name: (contents by a function of nothing, what the error says, the file's extension).
CASES = {}


def bad(name, says, make, extension="pt"):
    CASES[name] = (make, says, extension)


@functools.cache
def model() -> bytes:
    file = io.BytesIO()
    torch.jit.save(trace_net(), file)
    return file.getvalue()


@functools.cache
def base() -> dict[str, bytes]:
    return read_archive(model())


def prefix() -> str:
    return next(iter(base())).partition("/")[0] + "/"


def change(**records: bytes | str) -> bytes:
    """The model with other records; the name's dots are slashes."""
    return change_records(records)


def change_records(records: dict) -> bytes:
    changed = {
        prefix() + name: contents if isinstance(contents, bytes) else contents.encode()
        for name, contents in records.items()
    }
    assert all(name in base() for name in changed), "a record to change is missing"
    return make_archive({**base(), **changed})


def saved(value, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


# Other formats: the error tells what the file is.


def exported() -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(Net().eval(), (X,)), file)
    return file.getvalue()


def onnx() -> bytes:
    """A ModelProto: version 8, by pytorch, of one Relu."""
    node = b"\x0a\x01x\x12\x01y\x22\x04Relu"
    graph = b"\x0a" + bytes([len(node)]) + node + b"\x12\x01g"
    return (
        b"\x08\x08\x12\x07pytorch\x1a\x032.0\x3a"
        + bytes([len(graph)])
        + graph
        + b"\x42\x02\x10\x11"
    )


LEGACY = {"_use_new_zipfile_serialization": False}
bad("nothing", "the file is empty", lambda: b"")
bad("one byte", "no zip archive", lambda: b"P")
bad("text", "no zip archive", lambda: b"hello\n" * 100)
bad("empty zip", "no TorchScript", lambda: make_archive({}))
bad("document", "no TorchScript", lambda: make_archive({"[Content_Types].xml": b"<x/>"}))
bad(
    "wheel",
    "no TorchScript",
    lambda: make_archive({"a/__init__.py": b"", "a.dist-info/RECORD": b""}),
)
bad("jar", "no TorchScript", lambda: make_archive({"META-INF/MANIFEST.MF": b"", "A.class": b""}))
bad("state_dict", "state_dict", lambda: saved(Net().state_dict()))
bad("checkpoint", "state_dict", lambda: saved({"model": Net().state_dict(), "epoch": 3}))
bad("old state_dict", r"state_dict|torch\.save", lambda: saved(Net().state_dict(), **LEGACY))
bad("pickled module", r"torch\.jit\.(trace|save)", lambda: saved(Net()))
bad("old pickled module", r"torch\.save", lambda: saved(Net(), **LEGACY))
bad("pickle", "pickle", lambda: pickle.dumps({"a": 1}))
bad("ONNX", "ONNX", onnx)
bad("exported program", r"torch\.export", exported)
bad("old format", "before 1.1", lambda: make_archive({"m/model.json": b"{}", "m/version": b"1\n"}))

# Versions, byte order, records that are missing.

bad("version 99999", "99999", lambda: change(version="99999"))
bad("version of letters", "version", lambda: change(version="abc"))
bad("version -1", "version", lambda: change(version="-1"))
bad("version beyond 64 bits", "version", lambda: change(version=str(2**64)))
bad("no version", "version", lambda: without("version"))
bad("big-endian", "big-endian", lambda: change(byteorder="big"))
bad("unknown byte order", "byte ?order", lambda: change(byteorder="middle"))
bad("no data.pkl", r"data\.pkl", lambda: without("data.pkl"))
bad("no constants.pkl", r"constants\.pkl", lambda: without("constants.pkl"))
bad("no code", "__torch__", lambda: without(CODE))
bad("no weight", "data/1", lambda: without("data/1"))
bad("no constant", "constants/0", lambda: without("constants/0"))
bad("empty weight", "beyond its storage", lambda: change_records({"data/1": b""}))


def without(name: str) -> bytes:
    return make_archive({key: value for key, value in base().items() if key != prefix() + name})


def test_records_that_may_be_missing(tool, tmp_path):
    """A record that no model needs is no loss; without any other, one error."""
    needed = re.compile(r"data/\d+|(data|constants)\.pkl|version|constants/\d+|code/.*\.py")
    names = {}
    for i, full in enumerate(base()):
        name = full.partition("/")[2]
        (tmp_path / f"{i:02}.pt").write_bytes(without(name))
        names[f"{i:02}.pt"] = bool(needed.fullmatch(name))
    result = tool.run("--emit=none", *sorted(tmp_path.iterdir()), "-q", expect=2)
    errors = re.findall(r"(\d\d\.pt): (?:error:|note: it is an error)", result.stderr)
    assert sorted(set(errors)) == sorted(name for name, is_needed in names.items() if is_needed)


# Zips that lie.


def entries() -> list[Entry]:
    return [Entry(name.encode(), contents) for name, contents in base().items()]


def change_entry(name: str, **fields) -> bytes:
    changed = [
        entry._replace(**fields) if entry.name == (prefix() + name).encode() else entry
        for entry in entries()
    ]
    assert changed != entries()
    return make_raw_archive(changed)


def add_entry(*added: Entry) -> bytes:
    return make_raw_archive([*entries(), *added])


@functools.cache
def bomb() -> dict:
    """The fields of a record of 1 GiB of zeros, in 1 MB."""
    zeros, count = bytes(1 << 20), 1024
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH)
    crc = functools.reduce(lambda crc, _: zlib.crc32(zeros, crc), range(count), 0)
    return dict(data=block * count + deflate.flush(), method=8, size=count << 20, crc=crc)


for record in (CODE, "data.pkl", "data/1", "version", CODE + ".debug_pkl", "traced_inputs.pkl"):
    bad(f"bomb in {record}", "inflate", lambda r=record: change_entry(r, **bomb()))
bad("bomb in extra", "inflate", lambda: add_entry(Entry((prefix() + "extra/x").encode(), **bomb())))
bad("bomb that lies", "damaged", lambda: change_entry("data/1", **{**bomb(), "size": 432}))
for record in (CODE, "data.pkl", "data/1"):
    for size in (10**6, 2**40, 2**63):
        bad(
            f"{record} of {size} bytes",
            "claims to hold|inflate",
            lambda r=record, s=size: change_entry(r, method=8, size=s),
        )
    bad(f"{record} that is encrypted", "encrypted", lambda r=record: change_entry(r, flags=1))
bad("data.pkl by LZMA", "method 14", lambda: change_entry("data.pkl", method=14))
bad("code that is not deflated", "damaged", lambda: change_entry(CODE, method=8))
bad("stored size of 2^63", "truncated", lambda: change_entry("data/1", stored_size=2**63))
bad("AES", "encrypted", lambda: change_entry("data.pkl", method=99, flags=1))
for record in ("data.pkl", "constants.pkl", CODE):
    bad(f"{record} of another checksum", "checksum", lambda r=record: change_entry(r, crc=12345))
bad("two data.pkl", "two records", lambda: add_entry(find_entry("data.pkl")))
bad("two weights", "two records", lambda: add_entry(find_entry("data/1")))


def find_entry(name: str) -> Entry:
    return next(entry for entry in entries() if entry.name == (prefix() + name).encode())


for name in ("../x", "/x", "m/../x", "m/extra/../../x", "m/extra/..", "m/extra/a\0b", ""):
    bad(f"name {name!r}", "forbidden name", lambda n=name: add_entry(Entry(n.encode(), b"x")))


def overlapping() -> bytes:
    """A megabyte that a thousand files share, which would be written a thousand times."""
    large = Entry((prefix() + "extra/0").encode(), bytes(1 << 20))
    others = [large._replace(name=large.name + str(i).encode(), at=0) for i in range(1000)]
    return make_raw_archive([large, *entries(), *others])


bad("records in each other", "overlap", overlapping)

ZEROS = None  # 4 GiB of them, as a hole in the file.
bad("4 GiB of zeros", "no zip archive", lambda: ZEROS)
bad("4 GiB of zeros as text", "error:", lambda: ZEROS, "mlir")
bad("4 GiB of zeros as bytecode", "error:", lambda: ZEROS, "mlirbc")

# Pickles. What is put in stands for the value of the buffer 'scale'.


def string(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def integer(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def tuple_(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def call(function: str, *arguments: bytes) -> bytes:
    return b"c" + function.replace(" ", "\n").encode() + b"\n" + tuple_(*arguments) + b"R"


def tensor(sizes, strides, offset=0, count=5, storage="FloatStorage", key="0") -> bytes:
    place = tuple_(
        string("storage"),
        f"ctorch\n{storage}\n".encode(),
        string(key),
        string("cpu"),
        integer(count),
    )
    hooks = call("collections OrderedDict")
    lists = [tuple_(*map(integer, numbers)) for numbers in (sizes, strides)]
    return call(
        "torch._utils _rebuild_tensor_v2", place + b"Q", integer(offset), *lists, b"\x89", hooks
    )


def with_value(value: bytes) -> bytes:
    data = base()[prefix() + "data.pkl"]
    begin = data.index(b"ctorch._utils")
    end = data.index(b")RtR", begin) + 4
    # What follows may recall parts of the old one.
    return data[:end] + b"0" + value + data[end:]


def value(name, says, make):
    bad(f"value: {name}", says, lambda: change_records({"data.pkl": with_value(make())}))


TOUCH = "touch was_run"
value("os.system", "scale", lambda: call("os system", string(TOUCH)))
value("eval", "scale", lambda: call("builtins eval", string("open('was_run', 'w')")))
value("number", "scale", lambda: integer(3))
value("string", "scale", lambda: string("abc"))
value("list in itself", "pickle", lambda: b"]q\xc8h\xc8a")
value("dict in itself", "pickle", lambda: b"}q\xc8(" + string("a") + b"h\xc8u")
value(
    "object in itself",
    "pickle",
    lambda: b"c__torch__.faults\nNet\n)\x81q\xc8}(" + string("a") + b"h\xc8ub",
)
value("nested lists", "nest", lambda: b"]" * 10**6 + b"a" * (10**6 - 1))
value("nested tuples", "nest", lambda: b")" + b"\x85" * 10**6)
value("string of 4 GiB", "ends early", lambda: b"X\xff\xff\xff\xffabc")
value("integer of 255 bytes", "64 bits", lambda: b"\x8a\xff" + b"\1" * 255)
value("opcode of protocol 4", "opcode", lambda: b"\x8d" + b"\xff" * 8)
value("what was not remembered", "remembered", lambda: b"j\xff\xff\xff\xff")
value("pop of nothing", "missing", lambda: b"0" * 1000)
value("marks", "pickle", lambda: b"(" * 10**6)
value("object without state", "no state", lambda: b"c__torch__.faults\nNet\n)\x81")
value("unknown class", "NoSuch", lambda: b"c__torch__\nNoSuch\n)\x81}b")
value("long name", "error:", lambda: b"c" + b"a" * 10**6 + b"\nb\n)\x81}b")
value("shared to the power of 60", "scale", lambda: b")q\xc8" + b"(h\xc8h\xc8tq\xc8" * 60)
value("negative size", "negative", lambda: tensor([-5], [1]))
value("two negative sizes", "negative", lambda: tensor([-1, -5], [1, 1]))
value("2^62 elements", "beyond its storage", lambda: tensor([FAR], [1]))
value("product of 2^64", "beyond its storage", lambda: tensor([2**32, 2**32], [2**32, 1]))
value("strides of 2^62", "beyond its storage", lambda: tensor([2, 2], [FAR, FAR]))
value("negative offset", "negative", lambda: tensor([5], [1], offset=-1))
value("offset of 2^63 - 1", "beyond its storage", lambda: tensor([5], [1], offset=2**63 - 1))
value("negative stride", "beyond its storage|negative", lambda: tensor([5], [-1]))
value("two strides", "2 strides", lambda: tensor([5], [1, 1]))
value("one element too many", "beyond its storage", lambda: tensor([6], [1]))
value("wider elements", "beyond its storage", lambda: tensor([5], [1], storage="DoubleStorage"))
value("unknown type", "NoStorage", lambda: tensor([5], [1], storage="NoStorage"))
value("storage elsewhere", "missing", lambda: tensor([5], [1], key="../data.pkl"))
value("storage of a long name", "missing", lambda: tensor([5], [1], key="x" * 10**5))
bad("root that is a list", "no module", lambda: change_records({"data.pkl": b"\x80\2]."}))
bad("constants as data", "no module", lambda: change_records({"data.pkl": constants(b"")}))


def constants(value: bytes) -> bytes:
    return b"\x80\2(" + value + b"t."


def constant(name, says, make):
    bad(f"constant: {name}", says, lambda: change_records({"constants.pkl": constants(make())}))


constant("os.system", "constant", lambda: call("os system", string(TOUCH)))
constant("negative size", "negative", lambda: tensor([-5], [1]))
constant("none", "constant", lambda: b"")
constant("nested type", "error:", lambda: call(
    "torch.jit._pickle restore_type_tag", b"]", string("List[" * 50000 + "int" + "]" * 50000)
))  # fmt: skip


# Code.


def code(name, says, change_text):
    bad(f"code: {name}", says, lambda: change_records({CODE: make_code(change_text)}))


def make_code(change_text) -> str | bytes:
    text = base()[prefix() + CODE].decode()
    changed = change_text(text)
    assert changed != text
    return changed


def statement(line: str):
    return lambda text: text.replace("    return", f"    _99 = {line}\n    return", 1)


MANY = 100_000
for name, line in {
    "parentheses": "(" * MANY + "1" + ")" * MANY,
    "open parentheses": "(" * MANY,
    "lists": "[" * MANY + "]" * MANY,
    "minus signs": "-" * MANY + "1",
    "nots": "not " * MANY + "True",
    "sum": "1+" * MANY + "1",
    "attributes": "x" + ".x" * MANY,
    "indices": "x" + "[0]" * MANY,
    "conditions": "1 if True else " * MANY + "1",
    "types": "annotate(" + "List[" * MANY + "int" + "]" * MANY + ", [])",
}.items():
    code(name, "error:", statement(line))
IFS = "".join(" " * (4 + i) + "if True:\n" for i in range(10000)) + " " * 10004 + "_99 = 1\n"
code("ifs", "error:", lambda text: text.replace("    return", IFS + "    return", 1))
code("empty", "Net", lambda text: "")
code("bytes", "error:", lambda text: random.Random(0).randbytes(3000))
code("no UTF-8", "error:", lambda text: text.replace("input", "\xff\xfe").encode("latin1"))
code("NUL", "error:", statement("\0"))
code("class of its own", "inheritance", lambda text: text.replace("(Module)", "(Net)"))
code(
    "attribute of its own type",
    "Net",
    lambda text: text.replace("  conv :", "  me : __torch__.faults.Net\n  conv :"),
)
code("recursion", "recurs", statement("(self).forward(x)"))
code("method twice", "forward", lambda text: text + text[text.index("  def") :])
code("unknown operator", "--load-op-library", statement("torch.nosuch(x)"))
code("too few arguments", "Arguments", statement("torch.silu()"))
code("constant 10^11", "constant index", statement("CONSTANTS.c99999999999"))
code("large integer", "range", statement("9" * 30))
code("statement outside", "error:", lambda text: "os.system('touch was_run')\n" + text)

# IR as text and bytecode.


@functools.cache
def write_ir(extension: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "model.pt"), Path(folder, f"model.{extension}")
        source.write_bytes(model())
        keep = "--pass-pipeline=builtin.module()"
        subprocess.run([PROGRAM, source, "-q", "-o", output, keep], check=True)
        return output.read_bytes()


def change_ir(old: bytes, new: bytes) -> bytes:
    changed, count = re.subn(old, lambda _: new, write_ir("mlir"), count=1)
    assert count == 1, old
    return changed


def ir(name, says, old, new):
    bad(f"IR: {name}", says, lambda: change_ir(old, new), "mlir")


def whole(name, says, make, extension="mlir"):
    bad(f"IR: {name}", says, make if callable(make) else lambda: make, extension)


whole("nothing", "root|empty", b"")
whole("module of nothing", "root", b"module {}")
whole("binary", "error:", random.Random(0).randbytes(3000))
whole("archive", "error:", model)
whole("archive as bytecode", "error:", model, "mlirbc")
whole("unknown dialect", "error:", b'module { "x.y"() : () -> () }')
whole("function", "error:", b"module { func.func @f() { return } }")
whole("module without attributes", "error:", b'module { "fqat.module"() : () -> () }')
whole("method without a body", "error:", b'module { "fqat.method"() ({}) : () -> () }')
whole("other root", "error:", b'"builtin.unrealized_conversion_cast"() : () -> i32')
whole("text as bytecode", "error:", b"module {}", "mlirbc")
whole("bytecode of nothing", "error:", b"ML\xefR", "mlirbc")
ir("unknown callee", "error:", rb"@conv\.forward\(", b"@nosuch.forward(")
ir(
    "wrong operand",
    "error:",
    rb"\(!fqat\.tensor\) -> !fqat\.tensor loc",
    b"(!fqat.int) -> !fqat.tensor loc",
)
ir("unknown slot", "error:", rb'"scale"', b'"nosuch"')
ir("module twice", "error:", rb"fqat\.module @act", b"fqat.module @conv")
ir("unknown storage", "error:", rb'#fqat\.tensor<@"\$s1"', b'#fqat.tensor<@"$s99"')
ir("missing blob", "missing|error:", rb"dense_resource<s1>", b"dense_resource<nosuch>")
ir("short blob", "error:", rb"tensor<432xi8>", b"tensor<43200xi8>")
ir("blob of 2^62", "error:", rb"tensor<432xi8>", b"tensor<4611686018427387904xi8>")
ir("cut blob", "error:", rb'(s1: "0x[0-9A-F]{40})[0-9A-F]*', b's1: "0x40000000AABB')
ir("splat", "error:", rb"dense_resource<s1> : tensor<432xi8>", b"dense<0> : tensor<432xi8>")
ir(
    "splat of 2^40",
    "error:",
    rb"dense_resource<s1> : tensor<432xi8>",
    b"dense<0> : tensor<1099511627776xi8>",
)
ir("negative size", "error:", rb"float32, \[5\]", b"float32, [-5]")
ir("size of 2^62", "beyond", rb"float32, \[5\]", b"float32, [4611686018427387904]")
ir("no terminator", "error:", rb"fqat\.return %\d+ : !fqat\.tensor[^\n]*", b"")
ir("missing attribute", "error:", rb' class "__torch__\.faults\.Net"', b"")
for extension in ("mlir", "mlirbc"):
    for part in (1, 2, 3):
        bad(
            f"IR: {part} quarters of {extension}",
            "error:",
            lambda p=part, e=extension: write_ir(e)[: len(write_ir(e)) * p // 4],
            extension,
        )
bad("IR as archive", "no zip archive", lambda: write_ir("mlir"))
for part in range(0, 8, 2):
    bad(
        f"{part + 1} ninths",
        "no zip archive",
        lambda p=part: model()[: len(model()) * (p + 1) // 9],
    )


def run_case(folder: Path, name: str):
    """What the program says of a bad file, and what is in its folder afterwards."""
    make, _, extension = CASES[name]
    folder.mkdir()
    path = folder / f"input.{extension}"
    contents = make()
    with open(path, "wb") as file:
        file.write(contents or b"")
        if contents is ZEROS:
            file.truncate(4 << 30)
    done = run_measured(PROGRAM, path, "-o", path.with_name("out.pt"), "-q", cwd=folder)
    left = list_files(folder)
    path.unlink()
    return done, left


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The cases that are asked for, two at a time."""
    folder = tmp_path_factory.mktemp("cases")
    items = [item for item in request.session.items if item.name.startswith("test_bad_input[")]
    names = [item.callspec.params["case"] for item in items]
    write_ir("mlir")
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(run_case, [folder / str(i) for i in range(len(names))], names)
        return dict(zip(names, runs, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_bad_input(outcomes, case):
    _, says, extension = CASES[case]
    done, left = outcomes[case]
    shown = done.error[:2000]
    assert done.code == 2, f"exit {done.code}: {shown}"
    assert left == [f"input.{extension}"]
    assert done.output == ""
    assert len(re.findall(r"\berror: ", done.error)) == 1, shown
    assert done.error.count("\n") <= 8 and len(done.error) < 2000, shown
    # Where a line of Python is at fault, it is that which is named.
    assert (
        f"input.{extension}" in done.error or f"{Path(__file__).with_name('faults.py')}:" in shown
    )
    assert re.search(says, done.error), shown
    assert done.memory < MOST_MEMORY


@pytest.mark.parametrize("extension", ["mlir", "mlirbc"])
def test_spoiled_ir(tool, tmp_path, extension):
    """What is still valid, and cannot be fixed or proved, ends with 3 or 4."""
    random_ = random.Random(SEED)
    (tmp_path / "out").mkdir()
    paths = [tmp_path / f"m{i}.{extension}" for i in range(NUM_FILES)]
    for path in paths:
        path.write_bytes(spoil(random_, write_ir(extension)))
    command = [tool.program, *paths, "-o", tmp_path / "out", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode in (2, 3, 4), done.stderr[-2000:]
    written = {name.replace(".fqat.pt", f".{extension}") for name in list_files(tmp_path / "out")}
    failed = [path.name for path in paths if path.name not in written]
    assert NUM_FILES / 3 < len(failed) < NUM_FILES
    assert [name for name in failed if name not in done.stderr] == []


# Files that options name.

NOT_INPUTS = {
    "text": lambda: b"hello",
    "model": model,
    "pickle": lambda: pickle.dumps((1, 2)),
    "list in itself": lambda: saved(reduce_list()),
    "nested lists": lambda: make_archive(
        {"a/data.pkl": b"\x80\2" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "a/version": b"3\n"}
    ),
    "call of os.system": lambda: make_archive(
        {"a/data.pkl": b"\x80\2" + call("os system", string(TOUCH)) + b".", "a/version": b"3\n"}
    ),
}


def reduce_list() -> list:
    value = []
    value.append(value)
    return value


# name: (option, contents or none, what the error says).
GIVEN = {
    "bits: list": ("--bits", b"- a\n", "mapping"),
    "bits: 7": ("--bits", b'"*": {feature: 7}\n', "4, 8, 10 or 12"),
    "bits: mapping": ("--bits", b'"*": {feature: {a: 8}}\n', "feature bits"),
    "bits: unknown key": ("--bits", b'"*": {features: 8}\n', "feature and weight"),
    "bits: open brace": ("--bits", b'"*": {feature: 8\n', "xpected"),
    "bits: bad glob": ("--bits", b'"[": {feature: 8}\n', "glob"),
    "bits: binary": ("--bits", b"\xff\xfe\x00\x01", "error:"),
    "bits: nested lists": ("--bits", b"[" * 10**5, "error:"),
    "bits: nested mappings": ("--bits", b"{a: " * 10**5, "error:"),
    "bits: long line": ("--bits", b"a" * 10**6 + b": {feature: 7}", "error:"),
    "bits: missing": ("--bits", None, "No such file"),
    "baseline: nothing": ("--baseline", b"", "error:"),
    "baseline: list": ("--baseline", b"[]", "no report"),
    "baseline: no fingerprint": ("--baseline", b'{"findings": [3]}', "fingerprint"),
    "baseline: cut": ("--baseline", b'{"findings": [{"fingerpr', "error:"),
    "baseline: no UTF-8": ("--baseline", b'{"findings": ["\xff"]}', "UTF-8"),
    "baseline: nested": ("--baseline", b'{"a":' * 10**5, "brackets"),
    "baseline: missing": ("--baseline", None, "No such file"),
    "inputs: missing": ("--verify", None, "No such file"),
    "library: text": ("--load-op-library", b"hello", "too short|header"),
    "library: missing": ("--load-op-library", None, "No such file"),
    **{f"inputs: {name}": ("--verify", make, "error:") for name, make in NOT_INPUTS.items()},
}


@pytest.mark.parametrize("case", GIVEN)
def test_bad_file_of_an_option(tmp_path, case):
    option, contents, says = GIVEN[case]
    (tmp_path / "model.pt").write_bytes(model())
    if contents is not None:
        (tmp_path / "given").write_bytes(contents() if callable(contents) else contents)
    before = list_files(tmp_path)
    command = (PROGRAM, "model.pt", "-q", "-o", "out.pt", f"{option}=given")
    done = run_measured(*command, cwd=tmp_path)
    assert done.code == 2, done.error[:2000]
    assert done.error.count("error: ") == 1 and len(done.error) < 2000
    assert "given" in done.error and re.search(says, done.error), done.error
    assert list_files(tmp_path) == before
    assert done.memory < MOST_MEMORY
