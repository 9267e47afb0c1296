"""Answers: what a model said to each labelled item, from which every score is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from tether.errors import DataError, Diverged
from tether.escaping import terminal
from tether.files import write_durably
from tether.regular import require_regular

FILE = "answers.safetensors"
LEAST = float(np.finfo(np.float64).smallest_subnormal)
KINDS = {"truth": "int64", "guess": "int64", "probability": "float64", "confidence": "float64", "brier": "float64"}


@dataclass(frozen=True, eq=False)
class Answers:
    """One answer an item, in the order of the items.

    Args:
        probability: of the truth, by a softmax in float64.
        confidence: the probability of the guess.
        brier: Σ over classes of (p − onehot)², from 0 to 2 (Brier, 1950).
        classes: how many the model tells apart.

    >>> found = Answers.of(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 0]))
    >>> found.right.tolist(), found.probability.round(3).tolist()
    ([True, False], [0.881, 0.119])
    """

    truth: Int64[np.ndarray, " n"]
    guess: Int64[np.ndarray, " n"]
    probability: Float64[np.ndarray, " n"]
    confidence: Float64[np.ndarray, " n"]
    brier: Float64[np.ndarray, " n"]
    classes: int

    @classmethod
    def of(cls, logits: Float[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"]) -> Self:
        """Answers from the outputs of a model.

        Raises:
            Diverged: a logit is not finite.
        """
        if bad := int((~np.isfinite(logits).all(axis=1)).sum()):
            raise Diverged(
                f"the model's outputs are not finite on {bad} of {len(labels)} pictures",
                why="its weights have grown too large, or a picture holds values that are not finite",
                fix="a lower --lr",
            )
        items, guess = np.arange(len(labels)), logits.argmax(axis=1)
        shares = logits.astype(np.float64)
        shares -= shares.max(axis=1, keepdims=True)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        probability, confidence = shares[items, labels], shares[items, guess]
        shares[items, labels] -= 1
        brier = np.square(shares, out=shares).sum(axis=1)
        return cls(labels.astype(np.int64), guess.astype(np.int64), probability, confidence, brier, logits.shape[1])

    @property
    def right(self) -> Bool[np.ndarray, " n"]:
        """Whether the guess is the truth."""
        right: Bool[np.ndarray, " n"] = self.truth == self.guess
        return right

    @property
    def nll(self) -> Float64[np.ndarray, " n"]:
        """−log of the truth's probability in nats; 744.4 where float64 holds no probability so small."""
        nll: Float64[np.ndarray, " n"] = -np.log(np.maximum(self.probability, LEAST))
        return nll

    def save(self, path: Path) -> None:
        """Write them into one safetensors file.

        Raises:
            MachineError: the disk is full, read-only or broken.
            InputError: the folder is missing or may not be written to.
        """
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in KINDS}
        write_durably(path, save(arrays, metadata={"classes": str(self.classes)}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is absent, or what is in it is no such answers.
        """
        from safetensors import SafetensorError, safe_open

        require_regular(path, DataError)
        try:
            with safe_open(path, framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in KINDS}
                classes = int((file.metadata() or {})["classes"])
            _require_sound(arrays, classes)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"`{terminal(path)}` holds no answers",
                why=terminal(f"{type(error).__name__}: {error}"),
                fix="copy it again from the run that wrote it, or run that again",
            ) from None
        return cls(**arrays, classes=classes)


def _require_sound(arrays: Mapping[str, np.ndarray], classes: int) -> None:
    """Refuse what no model can have said.

    Raises:
        ValueError: a kind, a length or a value is none of answers.
    """
    for name, kind in KINDS.items():
        found = arrays[name]
        if found.dtype != kind or found.shape != arrays["truth"].shape or found.ndim != 1:
            raise ValueError(f"`{name}` is {found.dtype} of {found.shape}")
        most = classes - 1 if kind == "int64" else 2 if name == "brier" else 1
        if not ((found >= 0) & (found <= most * (1 + 1e-9))).all():
            raise ValueError(f"`{name}` has a value that is not from 0 to {most}")
