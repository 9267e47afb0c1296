"""Digits that come with a package: scikit-learn's, and a thousand of MNIST that the packaged source never saw."""

from importlib.resources import as_file, files

import numpy as np

from tether.data.pictures import Pictures

CLASSES = tuple("0123456789")


def read_digits() -> Pictures:
    """Take scikit-learn's 1,797 digits of 8 × 8 pixels, their values 0 … 16 brought to 0 … 255."""
    from sklearn.datasets import load_digits

    found = load_digits()
    values = np.rint(found.images * (255 / 16)).astype(np.uint8)
    return Pictures.of_arrays("digits", values, found.target, CLASSES)


def read_mnist() -> Pictures:
    """Take the 1,000 digits of MNIST, 100 a class, that were held out from the packaged source `mnist`.

    >>> read_mnist().counts().tolist()
    [100, 100, 100, 100, 100, 100, 100, 100, 100, 100]
    """
    with (
        as_file(files("tether") / "data" / "packaged" / "mnist" / "held_out.npz") as path,
        np.load(path, allow_pickle=False) as stored,
    ):
        return Pictures.of_arrays("mnist", stored["pictures"], stored["labels"], CLASSES)
