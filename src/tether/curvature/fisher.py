"""The diagonal of a classifier's Fisher information, sample by sample."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tether.curvature.information import Fisher
from tether.curvature.squares import Classes, Inputs, SquaredGradients, wide
from tether.errors import DataError, SettingsError
from tether.params.select import bare, spelled

Kind = Literal["exact", "sampled", "empirical"]
KINDS = ("exact", "sampled", "empirical")
CHUNK_VALUES = 1 << 24
"""How many values the gradients of one chunk of samples may have together: 64 MiB of float32."""

Batch = Tensor | Sequence[Tensor]


def fisher(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    kind: Kind = "exact",
    floor: float = 0.0,
    normalise: bool = False,
    draws: int = 1,
    seed: int = 0,
) -> Fisher:
    r"""Return the diagonal Fisher information of p(y|x, w) at a model's weights, by parameter.

    $F_i = \frac1N\sum_x\mathbb{E}_{y}\,(\partial\log p(y\mid x,w)/\partial w_i)^2$ over N samples x.

    `exact` takes the expectation over all classes under p(y|x, w); `sampled` the mean over classes drawn from it, an
    unbiased estimate of the same; `empirical` takes the given label, which is another quantity, and almost zero where
    the model fits its samples (Kunstner, Hennig and Balles, 2019; Martens, 2020). The three are EXACT, SAMPLE and
    EMPIRICAL of van de Ven (2025). The gradient is squared for each sample by itself, so that nothing depends on the
    size of a batch.

    With $\bar F$ the mean over all values of all parameters, the result is F + floor, or $F/\bar F$ + floor with
    `normalise`. It has the dtype of its parameter, and at least float32.

    The model is used in evaluation mode, and left as it was with torch's random numbers. Every floating-point
    parameter is covered: frozen ones too, tied ones once.

    Args:
        batches: inputs of shape (n, …), alone or before their labels; only `empirical` reads labels.
        kind: see above. `exact` costs a backward pass a class, `sampled` one a draw, `empirical` one.
        floor: what is added to every value at the end.
        normalise: divide by the mean, so that one strength means the same for several models.
        draws: how many classes `sampled` draws for each sample.
        seed: of these classes.

    Raises:
        SettingsError: there is no such kind, a number is out of range, or the model has no parameter.
        DataError: there is no sample, no label where one is needed, a label out of range, outputs that are not one
            logit a class, random outputs, a value that is not finite, or nothing but zeros.

    >>> model = nn.Linear(2, 3)
    >>> found = fisher(model, [torch.randn(5, 2)])
    >>> found.count, found["weight"].shape
    (5, torch.Size([3, 2]))

    """
    _check(kind, floor, draws)
    model = bare(model)
    squares = SquaredGradients(model)
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in squares.weights.items()}
    generator = torch.Generator().manual_seed(seed)
    count = 0
    with _evaluating(model, squares.device):
        for inputs, labels in _chunks(batches, squares):
            for classes, shares in _classes(squares.logits(inputs), labels, kind, draws, generator):
                for name, square in squares(inputs, classes, shares).items():
                    sums[name] += square
            count += len(inputs)
    if not count:
        raise DataError(
            "the Fisher information of no sample is not defined",
            why="it is a mean over samples, and `batches` holds none",
            fix="give at least one batch",
        )
    spell = spelled(model)
    scale = _scale({spell(name): total / count for name, total in sums.items()}, kind, floor, normalise)
    values = {
        spell(name): (total / count / scale + floor).to(wide(squares.weights[name].dtype))
        for name, total in sums.items()
    }
    return Fisher(values, kind, count, floor, scale, draws=draws if kind == "sampled" else 1)


def _check(kind: str, floor: float, draws: int) -> None:
    if kind not in KINDS:
        raise SettingsError(
            f"no Fisher information is called {kind!r}",
            why="the kind says over which labels the mean is taken",
            fix=f"one of {', '.join(KINDS)}",
        )
    if not 0 <= floor < float("inf"):
        raise SettingsError(
            f"`floor={floor!r}`: a floor is a finite number, 0 or more",
            why="it is the least importance of a value, so that none is free",
            fix="floor=0 for none",
        )
    if draws < 1:
        raise SettingsError(
            f"`draws={draws!r}`: at least one class is drawn for each sample",
            why="the mean over no draw is not defined",
            fix="draws=1",
        )
    if draws > 1 and kind != "sampled":
        raise SettingsError(
            f"`draws` has no meaning where `kind={kind!r}`",
            why="only the sampled one draws classes",
            fix='kind="sampled", or leave it out',
        )


def _scale(found: Mapping[str, Tensor], kind: str, floor: float, normalise: bool) -> float:
    """The mean over all values where they are to be divided by it, else 1."""
    for name, values in found.items():
        if not values.isfinite().all():
            raise DataError(
                f"the Fisher information of `{name}` is not finite",
                why="a logit or a gradient is not",
                fix="check the model and its inputs for values that are not finite, or compute in float32",
            )
    mean = sum(float(values.sum()) for values in found.values()) / sum(values.numel() for values in found.values())
    if mean == 0 and (normalise or not floor):
        certain = "fits every sample" if kind == "empirical" else "is certain of every sample"
        raise DataError(
            "the Fisher information is zero everywhere, so that it weighs nothing",
            why=f"the model {certain}, or its forward pass keeps no gradient",
            fix='kind="exact", other samples, or a floor without `normalise`',
        )
    return mean if normalise else 1.0


def _classes(
    logits: Float[Tensor, "n classes"], labels: Classes | None, kind: Kind, draws: int, generator: torch.Generator
) -> Iterator[tuple[Classes, Float[Tensor, " n"]]]:
    """The class that each sample's gradient is taken of, and the weight of its square."""
    shares = logits.double().softmax(dim=1)
    if kind == "exact":
        for c in range(logits.shape[1]):
            yield torch.full((len(logits),), c, device=logits.device), shares[:, c]
    elif kind == "sampled":
        for drawn in _drawn(shares, draws, generator).T:
            yield drawn, torch.full((len(logits),), 1 / draws, dtype=torch.float64, device=logits.device)
    else:
        yield _checked(labels, *logits.shape), torch.ones(len(logits), dtype=torch.float64, device=logits.device)


def _drawn(shares: Float[Tensor, "n classes"], draws: int, generator: torch.Generator) -> Tensor:
    """Classes of shape (n, draws), by one uniform number each, in order: cutting a batch changes no draw."""
    if not shares.isfinite().all():
        raise DataError(
            "the model's logits are not finite, so that no class can be drawn",
            why="the weights are too large, or an input holds values that are not finite",
            fix="check the model and its inputs, or compute in float32",
        )
    below = shares.cpu().cumsum(dim=1)
    uniform = torch.rand((len(shares), draws), generator=generator, dtype=torch.float64)
    drawn = torch.searchsorted(below, uniform * below[:, -1:], right=True)
    return drawn.clamp_max(shares.shape[1] - 1).to(shares.device)


def _checked(labels: Tensor | None, count: int, classes: int) -> Classes:
    if labels is None:
        raise DataError(
            '`kind="empirical"` needs labels',
            why="it is of the labels that are given",
            fix="batches of (inputs, labels), or another kind",
        )
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if not whole or labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels are whole numbers, one of 0 … {classes - 1} for each of {count} samples",
            why=f"these are {str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
            + (f", from {labels.min()} to {labels.max()}" if whole else ""),
            fix="give the number of the class of each sample, counted from 0 as the head counts",
        )
    return labels.long()


def _chunks(batches: Iterable[Batch], squares: SquaredGradients) -> Iterator[tuple[Inputs, Classes | None]]:
    """Batches on the model's device, cut so that the gradients of a piece fit in memory."""
    size = max(1, CHUNK_VALUES // sum(p.numel() for p in squares.weights.values()))
    if isinstance(batches, Tensor):
        raise DataError(
            "`batches` is one tensor",
            why="each of its rows would be taken for a batch",
            fix="a list of batches: [inputs], or [(inputs, labels)]",
        )
    for batch in batches:
        inputs, labels = _parted(batch)
        for start in range(0, len(inputs), size):
            piece = slice(start, start + size)
            chosen = None if labels is None else labels[piece].to(squares.device)
            yield inputs[piece].to(squares.device), chosen


def _parted(batch: Batch) -> tuple[Tensor, Tensor | None]:
    parts = (batch,) if isinstance(batch, Tensor) else tuple(batch) if isinstance(batch, Sequence) else ()
    if not 1 <= len(parts) <= 2 or not all(isinstance(part, Tensor) and part.ndim for part in parts):
        raise DataError(
            f"a batch is a {type(batch).__name__}, and not a tensor of inputs or a pair of inputs and labels",
            why="the model is called with the inputs alone",
            fix="[(inputs, labels), …], [inputs, …], or a DataLoader of these",
        )
    return parts[0], parts[1] if len(parts) == 2 else None


@contextmanager
def _evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
