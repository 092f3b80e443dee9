"""Import and export with no pass: every file comes back as it was, in all three forms."""

import copy
import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from compare import assert_same_model, assert_same_run, assert_same_when_saved_again
from conftest import assert_same, records
from script_models import MODELS
from torch import nn

NOTHING = "--pass-pipeline=builtin.module()"
EXTRA = {"binary.bin": b"\x00\xff\x80", "note.txt": "text"}


def convert(tool, path: Path, extension: str, *options) -> Path:
    """Carries a file to another form and back, if it is another."""
    output = path.with_name(f"{path.stem}.by{extension}.pt")
    if extension == ".pt":
        tool.run(path, "-o", output, "-q", NOTHING, *options)
        return output
    between = path.with_suffix(extension)
    tool.run(path, "-o", between, "-q", NOTHING, *options)
    tool.run(between, "-o", output, "-q", NOTHING, *options)
    return output


def round_trip(tool, path: Path, *options) -> Path:
    """Carries a file through all forms, which give the same bytes."""
    output = convert(tool, path, ".pt", *options)
    for extension in (".mlir", ".mlirbc"):
        other = convert(tool, path, extension, *options)
        assert other.read_bytes() == output.read_bytes(), extension
    # A second trip changes nothing.
    again = convert(tool, output, ".pt", *options)
    assert again.read_bytes() == output.read_bytes()
    for name, data in records(path).items():
        if name.startswith(("extra/", "traced_inputs")):
            assert records(output)[name] == data, name
    return output


def assert_same_outputs(original: Path, other: Path, *inputs) -> None:
    for arguments in inputs:
        results = []
        for path in (original, other):
            torch.manual_seed(0)
            results.append(torch.jit.load(str(path))(*copy.deepcopy(arguments)))
        assert_same(*results)


@pytest.mark.parametrize("name", MODELS)
def test_script(tool, name):
    module, first, second = MODELS[name]()
    path = tool.folder / "model.pt"
    module.save(str(path), _extra_files=dict(EXTRA))
    output = round_trip(tool, path)
    assert_same_outputs(path, output, first, second)
    assert_same_when_saved_again(path, output)
    assert_same_model(path, output)


class Shared(nn.Module):
    """A shared activation, tied weights, a module called twice and a nested result."""

    def __init__(self):
        super().__init__()
        act = nn.SiLU()
        self.a = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), act)
        self.b = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), act)
        self.c = nn.Conv2d(4, 4, 3, padding=1)
        self.c.weight = self.b[0].weight
        self.dropout = nn.Dropout()

    def forward(self, x):
        y = self.b(self.b(self.a(x)))
        z = self.c(y)
        return {"y": y * 2, "all": self.dropout(z) + torch.arange(8.0)}

    def features(self, x):
        return self.b(self.a(x))[:, 1:]


@pytest.fixture
def traced(tool) -> Path:
    torch.manual_seed(0)
    return tool.trace(Shared().eval(), torch.randn(1, 3, 8, 8))


def two_inputs():
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(1, 3, 8, 8, generator=generator),) for _ in range(2)]


def test_trace(tool, traced):
    output = round_trip(tool, traced)
    assert_same_outputs(traced, output, *two_inputs())
    assert_same_run(traced, output)
    assert_same_model(traced, output)


def test_traced_methods(tool):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 8, 8)
    module = torch.jit.trace_module(Shared().eval(), {"forward": x, "features": x}, strict=False)
    path = tool.folder / "model.pt"
    module.save(str(path))
    output = round_trip(tool, path)
    assert_same_run(path, output)
    assert_same_model(path, output)


def test_traced_function(tool):
    @torch.jit.script
    def swish(x):
        return x * torch.sigmoid(x)

    path = tool.folder / "model.pt"
    torch.jit.trace(lambda x: swish(x) + 1, torch.randn(2)).save(str(path))
    output = round_trip(tool, path)
    assert_same_run(path, output)


class ScriptedPart(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x, w, flag: bool = True):
        if flag:
            return self.linear(x) @ w
        return x


def test_scripted_part_of_a_traced_model_keeps_its_signature(tool):
    """Its arguments are its author's, also where tracing hands it a parameter."""

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = torch.jit.script(ScriptedPart())
            self.w = nn.Parameter(torch.randn(2, 2))
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            return self.linear(self.part(self.linear(x), self.w))

    path = tool.trace(M(), torch.randn(3, 2))
    output = round_trip(tool, path)
    assert_same_run(path, output)
    schemas = [str(torch.jit.load(str(p)).part.forward.schema) for p in (path, output)]
    assert schemas[0] == schemas[1]


def test_source_lines_survive(tool, traced):
    output = round_trip(tool, traced)
    graph = torch.jit.load(str(output)).graph
    assert "test_round_trip.py" in str(graph)


def test_the_comparer_sees_a_difference(tool, traced):
    """A test that cannot fail shows nothing: another trace of the model is another run."""
    other = tool.trace(nn.Sequential(Shared().eval()), torch.randn(1, 3, 8, 8), "other.pt")
    with pytest.raises(AssertionError):
        assert_same_run(traced, other)
    with pytest.raises(AssertionError):
        assert_same_model(traced, other)
    with pytest.raises(AssertionError):
        assert_same_when_saved_again(traced, other)


def rewrite(path: Path, edit) -> Path:
    """The same archive with each record as `edit(name, data)` gives it."""
    output = path.with_name(path.stem + ".edited.pt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(output, "w") as target:
        for name in source.namelist():
            target.writestr(name, edit(name.partition("/")[2], source.read(name)))
    return output


def place(name: str, data: bytes, old: bytes, new: bytes) -> bytes:
    """Another device: the locations of storages, and the constants of the code."""
    if name in ("data.pkl", "constants.pkl"):
        a, b = (b"X" + len(text).to_bytes(4, "little") + text for text in (old, new))
        return data.replace(a, b)
    if name.endswith(".py"):
        return data.replace(b'torch.device("%b")' % old, b'torch.device("%b")' % new)
    return data


def locations(path: Path) -> set[str]:
    """The devices that the storages of a file are on."""

    class Reader(pickle.Unpickler):
        found: set = set()

        def persistent_load(self, pid):
            self.found.add(pid[3])

        def find_class(self, module, name):
            if name == "_rebuild_tensor_v2":
                return lambda *arguments: None
            if module == "collections":
                return dict
            return type(name, (), {"__setstate__": lambda self, state: None})

    data = records(path)
    for name in ("data.pkl", "constants.pkl"):
        Reader(io.BytesIO(data[name])).load()
    return Reader.found


def test_cuda_file_on_a_machine_without_cuda(tool):
    class Placed(Shared):
        def forward(self, x):
            grid = torch.arange(8.0, device=x.device)
            return super().forward(x)["all"] + grid

    torch.manual_seed(0)
    original = tool.trace(Placed().eval(), torch.randn(1, 3, 8, 8))
    assert b'torch.device("cpu")' in b"".join(records(original).values())
    path = rewrite(original, lambda name, data: place(name, data, b"cpu", b"cuda:0"))
    output = round_trip(tool, path)
    assert locations(output) == {"cuda:0"}
    before, after = records(path), records(output)
    assert b'torch.device("cuda:0")' in b"".join(
        data for name, data in after.items() if name.endswith(".py")
    )
    for name in before:
        if name.startswith(("data/", "constants/")):
            assert before[name] == after[name], name
    # Moved back, it is the model that was traced.
    back = rewrite(output, lambda name, data: place(name, data, b"cuda:0", b"cpu"))
    assert_same_run(original, back)
    assert_same_model(original, back)
    fixed = tool.fix(path)
    assert locations(fixed) == {"cuda:0"}


def test_payloads_of_float_attributes(tool):
    """A NaN keeps its sign, its payload and its signalling bit."""

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.number = 1.2345678901

        def forward(self, x):
            return x * self.number

    original = tool.folder / "model.pt"
    torch.jit.script(M()).save(str(original))
    old = b"G" + struct.pack(">d", 1.2345678901)
    new = b"G" + bytes.fromhex("fff0000000000123")
    assert old in records(original)["data.pkl"]
    path = rewrite(original, lambda name, data: data.replace(old, new))
    assert new in records(round_trip(tool, path))["data.pkl"]


def test_own_state_is_carried_raw(tool):
    """torch runs `__setstate__` and `__getstate__` on every load and save; here no one does."""
    module, _, _ = MODELS["own_state"]()
    path = tool.folder / "model.pt"
    module.save(str(path))
    output = round_trip(tool, path)
    w = {p: torch.jit.load(str(p)).a.w for p in (path, output)}
    assert_same(w[path], w[output])


def test_names_of_classes_stay(tool):
    module, _, _ = MODELS["one_class_many_instances"]()
    path = tool.folder / "model.pt"
    module.save(str(path))
    output = round_trip(tool, path)

    def classes(p):
        module = torch.jit.load(str(p))
        return [m._c._type().qualified_name() for m in module.modules()]

    assert classes(path) == classes(output)
    assert len(set(classes(output))) < len(classes(output)), "no two instances share a class"


def test_two_runs_give_the_same_bytes(tool, traced):
    other = tool.folder / "another folder"
    other.mkdir()
    outputs = [tool.folder / "a.pt", other / "longer name.pt"]
    renamed = other / "renamed.pt"
    renamed.write_bytes(traced.read_bytes())
    for source, output in zip((traced, renamed), outputs, strict=True):
        tool.run(source, "-o", output, "-q")
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_format_version_is_the_lowest(tool):
    """gelu needs version 10, relu version 3."""
    for layer, version in ((nn.ReLU(), b"3\n"), (nn.GELU(), b"10\n")):
        path = tool.trace(nn.Sequential(nn.Conv2d(3, 3, 1), layer), torch.randn(1, 3, 4, 4))
        before, after = records(path), records(round_trip(tool, path))
        for found in (before, after):
            assert found.get(".data/version", found.get("version")) == version


def test_deflated_archive(tool, traced):
    path = tool.folder / "deflated.pt"
    with (
        zipfile.ZipFile(traced) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    output = round_trip(tool, path)
    assert_same_outputs(traced, output, *two_inputs())


@pytest.fixture
def operators(tool) -> Path:
    library = Path(tool.program).parents[1] / "test" / "FQATTestOps.so"
    assert library.exists(), f"{library} is not built"
    torch.ops.load_library(str(library))
    return library


def test_custom_operator_without_its_library(tool, operators):
    class M(nn.Module):
        def forward(self, x):
            return torch.ops.fqat_test.twice(x)

    path = tool.folder / "model.pt"
    torch.jit.script(M()).save(str(path))
    output = tool.folder / "out.pt"
    result = tool.run(path, "-o", output, NOTHING, expect=2)
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert "'fqat_test::twice'" in lines[0] and "--load-op-library" in lines[0]
    assert not output.exists()
    x = (torch.randn(2),)
    assert_same_outputs(path, round_trip(tool, path, "--load-op-library", operators), x, x)


def test_custom_class_is_carried_raw(tool, operators):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.classes.fqat_test.Gain(3.0)

        def forward(self, x):
            return self.gain.apply(x)

    path = tool.folder / "model.pt"
    torch.jit.script(M()).save(str(path))
    result = tool.run(path, "-o", tool.folder / "out.pt", NOTHING, expect=2)
    assert "fqat_test.Gain" in result.stderr and "--load-op-library" in result.stderr
    output = round_trip(tool, path, "--load-op-library", operators)
    x = (torch.randn(2),)
    # Had a state been restored on the way, the factor would have grown.
    assert_same_outputs(path, output, x, x)


def test_missing_operator_library(tool, traced):
    result = tool.run(traced, "--load-op-library", "nowhere.so", expect=2)
    assert "nowhere.so: error:" in result.stderr
