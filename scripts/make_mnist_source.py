"""Make the packaged source model: `python scripts/make_mnist_source.py FOLDER_OF_MNIST10K`.

Holds out 100 digits a class, trains `digits-cnn` on the other 9,000 with this project's own command, and puts weights,
spec and held-out digits into src/tether/data/packaged/mnist.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGED = Path(__file__).parent.parent / "src/tether/data/packaged/mnist"
HELD_OUT_PER_CLASS = 100
SEED = 20260101


def main(folder: Path) -> None:
    with np.load(folder / "mnist10k.npz") as stored:
        digits, labels = stored["x"].reshape(-1, 28, 28), stored["y"].astype(np.int64)
    generator = np.random.default_rng(SEED)
    shuffled = {label: generator.permutation(np.flatnonzero(labels == label)) for label in range(10)}
    held_out = np.concatenate([shuffled[label][:HELD_OUT_PER_CLASS] for label in range(10)])
    PACKAGED.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(PACKAGED / "held_out.npz", pictures=digits[held_out], labels=labels[held_out].astype(np.uint8))
    with tempfile.TemporaryDirectory() as scratch:
        pictures, run = Path(scratch) / "mnist", Path(scratch) / "run"
        for label, rows in shuffled.items():
            (pictures / str(label)).mkdir(parents=True)
            for row in rows[HELD_OUT_PER_CLASS:]:
                Image.fromarray(digits[row]).save(pictures / str(label) / f"{row:05d}.png")
        command = ["fit", "--model", "digits-cnn", "--data", "./mnist", "--epochs", "12", "--batch-size", "64"]
        command += ["--lr", "3e-3", "--validation", "0.1", "--set", "data.test=0", "--threads", "1", "--out", "run"]
        subprocess.run([Path(sys.executable).with_name("tether"), *command], cwd=scratch, check=True)
        for name in ("model.safetensors", "spec.toml", "README.md", "outcome.json"):
            shutil.copyfile(run / name, PACKAGED / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
