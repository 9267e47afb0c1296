"""What `choose.py` learns from and to: MNIST as the source; more MNIST, USPS and Fashion-MNIST as targets."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

KEPT, TEST, LARGEST, CLASSES = 1000, 2000, 200, 10
NEAR, MEDIUM, FAR = "near: more MNIST", "medium: USPS", "far: Fashion-MNIST"


@dataclass(frozen=True)
class Pictures:
    """Grey pictures of 28x28 between 0 and 1, and their labels."""

    x: Tensor
    y: Tensor

    def __getitem__(self, rows: Tensor) -> "Pictures":
        return Pictures(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Split:
    """What one seed draws: the source's pictures, those that measure what is kept, and each target's train and test."""

    source: Pictures
    kept: Pictures
    targets: dict[str, tuple[Pictures, Pictures]]


@dataclass(frozen=True)
class Store:
    """All pictures, read once."""

    mnist: Pictures
    usps: Pictures
    fashion: Pictures
    fashion_test: Pictures

    @classmethod
    def read(cls, data: Path, fashion: Path) -> "Store":
        for wanted, option in ((data / "mnist" / "mnist10k.npz", "--data"), (data / "usps" / "usps9298.npz", "--data")):
            _refuse_missing(wanted, option)
        mnist, usps = np.load(data / "mnist" / "mnist10k.npz"), np.load(data / "usps" / "usps9298.npz")
        small = torch.from_numpy(usps["x"]).float().div(255).reshape(-1, 1, 16, 16)
        framed = pad(interpolate(small, size=20, mode="bilinear", antialias=True), (4, 4, 4, 4))  # as MNIST's are
        return cls(
            _pictures(mnist["x"], mnist["y"]),
            Pictures(framed, torch.from_numpy(usps["y"]).long()),
            *(_pictures(_idx(fashion, f"{part}-images", 16), _idx(fashion, f"{part}-labels", 8)) for part in PARTS),
        )

    def split(self, seed: int) -> Split:
        """Disjoint parts, drawn anew by each seed."""
        draw = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.mnist.y), generator=draw)
        kept, near, source = order.split([KEPT, TEST + LARGEST + 300, len(order) - KEPT - TEST - LARGEST - 300])
        fashion, _ = _parts(self.fashion, draw)
        test = torch.randperm(len(self.fashion_test.y), generator=draw)[:TEST]
        targets = {
            NEAR: _parts(self.mnist[near], draw),
            MEDIUM: _parts(self.usps, draw),
            FAR: (fashion, self.fashion_test[test]),
        }
        return Split(self.mnist[source], self.mnist[kept], targets)


PARTS = ("train", "t10k")


def _parts(pictures: Pictures, draw: torch.Generator) -> tuple[Pictures, Pictures]:
    """LARGEST pictures to train on, in rounds of one a class, and TEST others."""
    order = torch.randperm(len(pictures.y), generator=draw)
    each = LARGEST // CLASSES
    train = torch.stack([order[pictures.y[order] == label][:each] for label in range(CLASSES)], dim=1).flatten()
    rest = order[~torch.isin(order, train)]
    return pictures[train], pictures[rest[:TEST]]


def _pictures(x: np.ndarray, y: np.ndarray) -> Pictures:
    return Pictures(
        torch.from_numpy(x.copy()).float().div(255).reshape(-1, 1, 28, 28), torch.from_numpy(y.copy()).long()
    )


def _idx(folder: Path, name: str, header: int) -> np.ndarray:
    path = folder / f"{name}-idx{3 if header == 16 else 1}-ubyte.gz"
    _refuse_missing(path, "--fashion", "Debian's package `dataset-fashion-mnist` has it")
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)


def _refuse_missing(
    path: Path, option: str, origin: str = "it is read from a folder of public data, and nothing is downloaded"
) -> None:
    if not path.exists():
        raise SystemExit(f"error: `{path}` is not there\nwhy: {origin}\nfix: {option} DIR, the folder that holds it")
