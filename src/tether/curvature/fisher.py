"""The diagonal of a classifier's Fisher information, sample by sample."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import log_softmax

from tether.curvature.information import Fisher
from tether.errors import DataError, SettingsError
from tether.params.select import bare, spelled

Kind = Literal["exact", "sampled", "empirical"]
KINDS = ("exact", "sampled", "empirical")
CHUNK_VALUES = 1 << 25
"""How many values the gradients of one chunk of samples may have together."""

Labels = Int64[Tensor, " n"]
Batch = Tensor | Sequence[Tensor]
Gradients = Callable[[Tensor, Labels], dict[str, Tensor]]


def fisher(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    kind: Kind = "exact",
    floor: float = 0.0,
    normalise: bool = False,
    seed: int = 0,
) -> Fisher:
    r"""Return the diagonal Fisher information of p(y|x, w) at a model's weights, by parameter.

    $F_i = \frac1N\sum_x\mathbb{E}_{y}\,(\partial\log p(y\mid x,w)/\partial w_i)^2$ over N samples x.

    `exact` takes the mean over all classes, weighted by p(y|x, w); `sampled` over one class drawn from it (both are the
    Fisher information, Kirkpatrick et al., 2017); `empirical` takes the given label, which is another quantity, and
    almost zero where the model fits its samples (Kunstner, Hennig and Balles, 2019). The gradient is squared for each
    sample by itself, so that nothing depends on the size of a batch. With $\bar F$ the mean over all values of all
    parameters, `normalise` returns $F/\bar F$, and then `floor` is added.

    The model is used in evaluation mode and left as it was. Every floating-point parameter is covered, frozen ones too,
    tied ones once.

    Args:
        batches: inputs of shape (n, …), or pairs of inputs and labels; only `empirical` reads labels.
        kind: see above. `exact` costs a backward pass a class, the others one.
        floor: what is added to every value at the end.
        normalise: divide by the mean, so that one strength means the same for several models.
        seed: of the classes that `sampled` draws.

    Raises:
        SettingsError: there is no such kind, or the floor is negative.
        DataError: there is no sample, no label where one is needed, a label out of range, outputs that are not one
            logit a class, or a value that is not finite.

    >>> model = nn.Linear(2, 3)
    >>> found = fisher(model, [torch.randn(5, 2)])
    >>> found.count, found["weight"].shape
    (5, torch.Size([3, 2]))

    """
    if kind not in KINDS:
        raise SettingsError(f"no Fisher information is called {kind!r}", fix=f"one of {', '.join(KINDS)}")
    if not 0 <= floor < float("inf"):
        raise SettingsError(f"`floor={floor!r}`: a floor is a finite number, 0 or more")
    model = bare(model)
    spell = spelled(model)
    weights = {name: p.detach() for name, p in model.named_parameters() if p.is_floating_point()}
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in weights.items()}
    generator = torch.Generator().manual_seed(seed)
    count = 0
    with _evaluating(model):
        squares = _Squares(model, weights)
        for inputs, labels in _chunks(batches, weights):
            for classes, shares in _classes(squares.logits(inputs), labels, kind, generator):
                for name, square in squares(inputs, classes, shares).items():
                    sums[name] += square
            count += len(inputs)
    if not count:
        raise DataError("the Fisher information of no sample is not defined", fix="give at least one batch")
    found = {spell(name): total / count for name, total in sums.items()}
    for name, values in found.items():
        if not values.isfinite().all():
            raise DataError(f"the Fisher information of `{name}` is not finite", why="a logit or a gradient is not")
    return Fisher.of(found, kind=kind, count=count, floor=floor, normalise=normalise)


class _Squares:
    """Σ over samples of share · (∂ log p(class)/∂w)², by one batched backward pass, or by one for each sample."""

    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        self.model, self.weights, self.batched = model, weights, True

    def logits(self, inputs: Tensor) -> Float[Tensor, "n classes"]:
        with torch.no_grad():
            logits = self._call(self.weights, inputs)
        if not (isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == len(inputs)):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise DataError(
                f"the model returns {shape} for {len(inputs)} samples",
                why="the Fisher information of a classifier needs one logit a class, (n, classes)",
                fix="wrap the model so that it returns its logits",
            )
        return logits

    def __call__(self, inputs: Tensor, classes: Labels, shares: Float[Tensor, " n"]) -> dict[str, Tensor]:
        if self.batched:
            try:
                return self._at_once(inputs, classes, shares)
            except RuntimeError:  # an operation that torch cannot batch; one by one gives the same numbers
                self.batched = False
        return self._one_by_one(inputs, classes, shares)

    def _at_once(self, inputs: Tensor, classes: Labels, shares: Tensor) -> dict[str, Tensor]:
        found = vmap(grad(self._log_likelihood), in_dims=(None, 0, 0))(self.weights, inputs, classes)
        wide = shares.double()
        return {name: torch.einsum("n,n...->...", wide, g.double().square()) for name, g in found.items()}

    def _one_by_one(self, inputs: Tensor, classes: Labels, shares: Tensor) -> dict[str, Tensor]:
        sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in self.weights.items()}
        leaves = {name: p.clone().requires_grad_() for name, p in self.weights.items()}
        for sample, chosen, share in zip(inputs, classes, shares, strict=True):
            with torch.enable_grad():
                likelihood = self._log_likelihood(leaves, sample, chosen)
            grads = torch.autograd.grad(likelihood, list(leaves.values()), allow_unused=True)
            for name, g in zip(leaves, grads, strict=True):
                if g is not None:
                    sums[name] += share.double() * g.double().square()
        return sums

    def _log_likelihood(self, weights: dict[str, Tensor], sample: Tensor, chosen: Tensor) -> Tensor:
        logits = self._call(weights, sample[None])
        return log_softmax(logits, dim=1)[0].gather(0, chosen[None])[0]

    def _call(self, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        found: Tensor = functional_call(self.model, {**weights, **buffers}, (inputs,))
        return found


def _classes(
    logits: Float[Tensor, "n classes"], labels: Labels | None, kind: Kind, generator: torch.Generator
) -> Iterator[tuple[Labels, Float[Tensor, " n"]]]:
    """The class that each sample's gradient is taken of, and the weight of its square."""
    shares = logits.double().softmax(dim=1)
    if kind == "exact":
        for c in range(logits.shape[1]):
            yield torch.full((len(logits),), c, device=logits.device), shares[:, c]
        return
    ones = torch.ones(len(logits), device=logits.device)
    if kind == "sampled":
        if not shares.isfinite().all():
            raise DataError("the model's logits are not finite, so that no class can be drawn")
        yield torch.multinomial(shares.cpu(), 1, generator=generator).flatten().to(logits.device), ones
        return
    if labels is None:
        raise DataError('`kind="empirical"` needs labels', fix="batches of (inputs, labels), or another kind")
    if len(labels) != len(logits) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError(f"labels are one of 0 … {logits.shape[1] - 1} for each of {len(logits)} samples")
    yield labels.long(), ones


def _chunks(batches: Iterable[Batch], weights: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Labels | None]]:
    """Batches on the model's device, cut so that the gradients of a piece fit in memory."""
    values = sum(p.numel() for p in weights.values())
    size = max(1, CHUNK_VALUES // max(1, values))
    device = next(iter(weights.values())).device
    for batch in batches:
        inputs, labels = (batch, None) if isinstance(batch, Tensor) else (batch[0], batch[1])
        for start in range(0, len(inputs), size):
            piece = slice(start, start + size)
            yield inputs[piece].to(device), None if labels is None else labels[piece].to(device)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
