"""Fashion-MNIST, of Debian's `dataset-fashion-mnist`, as folders of pictures, with the class names of CIFAR-10."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

PLACE = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write_pictures(root: Path, *, train: int, test: int, seed: int = 0) -> None:
    """So many of each class below `root/train` and `root/test`, and `root/cifar.txt`."""
    for part, prefix, count in (("train", "train", train), ("test", "t10k", test)):
        labels = _idx(PLACE / f"{prefix}-labels-idx1-ubyte.gz", 8)
        pictures = _idx(PLACE / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(len(labels), 28, 28)
        order = np.random.default_rng(seed).permutation(len(labels))
        for label, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in order[labels[order] == label][:count]:
                Image.fromarray(pictures[index]).save(folder / f"{index:05}.png")
    (root / "cifar.txt").write_text("\n".join(CIFAR) + "\n")


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)
