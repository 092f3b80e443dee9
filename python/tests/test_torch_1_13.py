"""The training side with an old torch: Debian's 1.13, beside the program's own libtorch."""

import os
import subprocess
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT.parent / "shared" / "models"
OLD = "/usr/bin/python3"
FQAT_OPT = os.environ.get("FQAT_OPT", "")


def run_old(arguments: List[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [OLD, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "FQAT_OPT": FQAT_OPT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )


def has_old_torch() -> bool:
    return os.path.exists(OLD) and run_old(["-c", "import torch"]).returncode == 0


pytestmark = [
    pytest.mark.skipif(not FQAT_OPT, reason="FQAT_OPT names no program"),
    pytest.mark.skipif(not has_old_torch(), reason="there is no old torch"),
]


@pytest.mark.parametrize("mode", ["ops", "fx"])
def test_detector_is_prepared_and_trained(mode: str, tmp_path: Path) -> None:
    script = ROOT / "python" / "examples" / "train_detector.py"
    done = run_old([str(script), "--mode", mode, "--steps", "20", "--out", str(tmp_path)])
    assert done.returncode == 0, done.stdout
    assert "20/20" in done.stdout


@pytest.mark.skipif(not MODELS.is_dir(), reason="there is no ../shared/models")
def test_packages_compute_the_same(tmp_path: Path) -> None:
    names = [
        "effdet_lite0_heads",
        "fasternet_t0_repo_slicing",
        "form_consts",
        "form_half",
        "form_lstmcell",
        "form_out_nested",
        "form_weightnorm",
        "tv_raft_small",
        "tv_resnet18",
        "tv_ssdlite_heads",
        "yolov8n_export",
        "yolox_nano_eval",
    ]
    arguments = [str(Path(__file__).with_name("torch_1_13_worker.py"))]
    for name in names:
        model, package, fixed = MODELS / (name + ".pt"), tmp_path / name, tmp_path / (name + ".pt")
        for output in ([str(package), "--emit", "python"], [str(fixed), "--functionalize"]):
            subprocess.run([FQAT_OPT, "-q", str(model), "-o", *output], check=True)
        arguments += [str(package), str(fixed), str(MODELS / (name + ".inputs.pt"))]
    done = run_old(arguments)
    assert done.returncode == 0, done.stdout
