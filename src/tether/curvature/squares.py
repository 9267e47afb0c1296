"""SquaredGradients: of log p(class | sample, w) for each sample by itself, summed with weights."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import log_softmax

from tether.errors import DataError, SettingsError

Inputs = Shaped[Tensor, "n ..."]
Classes = Int64[Tensor, " n"]
T = TypeVar("T")


class SquaredGradients:
    r"""The sums $\sum_n s_n\,(\partial\log p(c_n\mid x_n,w)/\partial w)^2$ at a model's weights, by parameter.

    Every sample goes through the model by itself: in one batched pass where torch can batch the model, else in a loop,
    with the same numbers. So a model whose outputs mix the samples of a batch has one answer too, that for one sample.

    Args:
        model: its parameters' `grad` and its buffers are left alone.

    Raises:
        SettingsError: it has no floating-point parameter.

    >>> model = nn.Linear(2, 3)
    >>> squares = SquaredGradients(model)
    >>> sums = squares(torch.zeros(4, 2), torch.tensor([0, 1, 2, 2]), torch.ones(4))
    >>> sums["weight"].abs().max(), sums["bias"].shape
    (tensor(0.), torch.Size([3]))

    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = {name: p.detach() for name, p in model.named_parameters() if p.is_floating_point()}
        if not self.weights:
            raise SettingsError(
                "the model has no floating-point parameter, so nothing to take the gradient by",
                why="its parameters are whole numbers or quantised",
                fix="give the model before it is quantised",
            )
        self.device = next(iter(self.weights.values())).device
        self.batched = True

    def logits(self, inputs: Inputs) -> Float[Tensor, "n classes"]:
        """One row a sample.

        Raises:
            DataError: the model does not return one logit a class, or draws random numbers.

        """
        with torch.no_grad():
            return self._first_of(
                lambda: vmap(self._logits, in_dims=(None, 0))(self.weights, inputs),
                lambda: torch.stack([self._logits(self.weights, sample) for sample in inputs]),
            )

    def __call__(self, inputs: Inputs, classes: Classes, shares: Float[Tensor, " n"]) -> dict[str, Tensor]:
        """The sums for these classes and these weights of the samples, in float32 or wider.

        Raises:
            DataError: as `logits`.

        """
        return self._first_of(
            lambda: self._at_once(inputs, classes, shares), lambda: self._one_by_one(inputs, classes, shares)
        )

    def _first_of(self, at_once: Callable[[], T], one_by_one: Callable[[], T]) -> T:
        if self.batched:
            try:
                with _quiet():
                    return at_once()
            except (
                RuntimeError
            ):  # something torch cannot batch, or too much for the memory; where it is else, it recurs
                self.batched = False
        with _drawing_nothing(self.device):
            return one_by_one()

    def _at_once(self, inputs: Tensor, classes: Tensor, shares: Tensor) -> dict[str, Tensor]:
        found = vmap(grad(self._log_likelihood), in_dims=(None, 0, 0))(self.weights, inputs, classes)
        return {name: _weighted_squares(gradients, shares) for name, gradients in found.items()}

    def _one_by_one(self, inputs: Tensor, classes: Tensor, shares: Tensor) -> dict[str, Tensor]:
        sums = {name: torch.zeros_like(p, dtype=wide(p.dtype)) for name, p in self.weights.items()}
        leaves = {name: p.clone().requires_grad_() for name, p in self.weights.items()}
        for sample, chosen, share in zip(inputs, classes, shares, strict=True):
            with torch.enable_grad():
                likelihood = self._log_likelihood(leaves, sample, chosen)
            if likelihood.requires_grad:
                gradients = torch.autograd.grad(likelihood, list(leaves.values()), materialize_grads=True)
                for name, gradient in zip(leaves, gradients, strict=True):
                    sums[name] += _weighted_squares(gradient[None], share[None])
        return sums

    def _log_likelihood(self, weights: Mapping[str, Tensor], sample: Tensor, chosen: Tensor) -> Tensor:
        return log_softmax(self._logits(weights, sample), dim=0).gather(0, chosen[None])[0]

    def _logits(self, weights: Mapping[str, Tensor], sample: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        found = functional_call(self.model, {**weights, **buffers}, (sample[None],))
        if not (isinstance(found, Tensor) and found.ndim == 2 and len(found) == 1):
            what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise DataError(
                f"the model returns {what} for one sample",
                why="the Fisher information of a classifier needs one logit a class, (1, classes)",
                fix="wrap the model so that it returns its logits",
            )
        return found[0]


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype itself, or float32 where it is a narrower one, whose squares would underflow.

    >>> wide(torch.bfloat16), wide(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def _weighted_squares(gradients: Float[Tensor, "n ..."], shares: Float[Tensor, " n"]) -> Float[Tensor, "..."]:
    values = gradients.to(wide(gradients.dtype))
    return torch.einsum("n,n...->...", shares.to(values.dtype), values.square())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's word that it loops over the samples of an operation itself: the numbers are the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield


@contextmanager
def _drawing_nothing(device: torch.device) -> Iterator[None]:
    before = _random_state(device)
    yield
    if not torch.equal(before, _random_state(device)):
        raise DataError(
            "the model draws random numbers in evaluation mode",
            why="its Fisher information would be another one each time",
            fix="a network whose dropout follows `model.eval()`",
        )


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
