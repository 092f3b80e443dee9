"""Writes what fuzzing starts from: small models, their records, their IR.

    corpus.py FQAT_OPT FOLDER

makes FOLDER/Archive, FOLDER/Pickle, FOLDER/Text and FOLDER/Zip. The models are those of the tests
and, where ../shared/models is there, its small ones.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "python"))
sys.path.insert(0, str(ROOT / "python" / "examples"))
import fix_a_detector  # noqa: E402
import script_models  # noqa: E402

MAX_BYTES = 100_000


def make_models(folder: Path) -> list[Path]:
    """Writes small models."""
    detector = fix_a_detector.Detector().eval()
    traced = torch.jit.trace(detector, torch.zeros(1, 3, 64, 64), strict=False)
    traced.save(str(folder / "detector.pt"))
    for name, make in script_models.MODELS.items():
        module, *_ = make()
        module.save(str(folder / f"{name}.pt"))
    for path in sorted((ROOT.parent / "shared" / "models").glob("form_*.pt")):
        if path.stat().st_size < MAX_BYTES and not path.match("*.inputs.pt"):
            shutil.copy(path, folder)
    return sorted(folder.iterdir())


def main() -> None:
    """Makes the folders."""
    program, corpus = sys.argv[1], Path(sys.argv[2])
    # What fuzzing has found is there from the last time, and stays.
    for name in ("models", "Archive", "Pickle", "Text", "Zip"):
        (corpus / name).mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(make_models(corpus / "models")):
        shutil.copy(path, corpus / "Archive")
        if i < 5:
            shutil.copy(path, corpus / "Zip")
        with zipfile.ZipFile(path) as archive:
            for record in archive.namelist():
                if record.endswith("data.pkl"):
                    (corpus / "Pickle" / path.stem).write_bytes(archive.read(record))
        for kept in ([], ["--elide-weights"]):
            text = corpus / "Text" / f"{path.stem}{len(kept)}.mlir"
            subprocess.run(
                [program, path, "--pass-pipeline=builtin.module()", "-q", *kept, "-o", text],
                check=True,
            )
            if text.stat().st_size > MAX_BYTES:
                text.unlink()
    for path in (ROOT / "test").glob("*/*.mlir"):
        shutil.copy(path, corpus / "Text")


if __name__ == "__main__":
    main()
