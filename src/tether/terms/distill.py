"""Distillation from the source: of what its own head says, and of what its layers show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from tether.errors import PlanError
from tether.terms.base import Seen, Term, wide
from tether.terms.checks import checked_layers, checked_number, checked_teacher
from tether.terms.pairs import pairs
from tether.terms.taps import Tap, layers


@dataclass(frozen=True, eq=False, repr=False)
class LogitDistill(Term):
    r"""What the source's head says of the student's features, $\frac{T^2}{n}\sum_i\mathrm{KL}(p^T(x_i)\Vert q^T(x_i))$.

    $p^T$ and $q^T$ are the softmax of logits over T: the teacher's, and those of the teacher's own head on what the
    student's head is given. It is learning without forgetting (Li and Hoiem, 2016, section 3) with the factor T² of
    Hinton et al. (2015, section 2), by which the size of the gradient depends little on T. LwF's loss is the cross
    entropy of p and q without that factor, so that its λₒ is a factor λₒ/T² here; the teacher's entropy, by which the
    two differ as well, has no gradient. LwF trains the old head too. Here it stays the source's, as the head does with
    which it is measured what a model has kept. It is 0, with no gradient, where the student's features are the
    teacher's.

    Args:
        teacher: a frozen copy of the source, `frozen(source)`; may be given later by `bind`.
        head: the layer that turns features into logits, by a name that both models have; what each tells is its
            classifier when not given.
        temperature: T; 2 in LwF.

    Raises:
        PlanError: T is not above 0, or the teacher is not frozen.

    >>> import torch
    >>> from tether.terms.teacher import frozen
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> LogitDistill(frozen(model))(model, (torch.randn(5, 3), None))
    0 = logit_distill 0

    """

    teacher: nn.Module | None = None
    head: str | None = None
    temperature: float = 2.0
    name: ClassVar[str] = "logit_distill"
    taught: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_teacher("LogitDistill", self.teacher)
        checked_number("LogitDistill", "temperature", self.temperature, positive=True)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What the student's head is given."""
        return (Tap(self.head, "input"),)

    @property
    def teacher_taps(self) -> tuple[Tap, ...]:
        """What the teacher's head is given and returns."""
        return (Tap(self.head, "input"), Tap(self.head))

    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """Of one batch.

        Raises:
            PlanError: the features of the two differ in shape, or the teacher's head is not its last layer.

        """
        assert seen.teacher is not None and self.teacher is not None
        features, theirs = seen.student.one(self.taps[0]), seen.teacher.one(self.taps[0])
        if features.shape != theirs.shape:
            raise PlanError(
                f"the student's head is given {tuple(features.shape)}, and the teacher's {tuple(theirs.shape)}",
                why="the teacher's head is read on the student's features",
                fix="head=…, a layer that is given the same features in both",
            )
        logits = seen.teacher.one(Tap(self.head))
        if logits.ndim != 2:
            raise PlanError(
                f"`{self!r}`: the teacher's head returns {tuple(logits.shape)}, and no (batch, classes)",
                why="what is distilled is one logit for each class",
                fix="head=…, the layer that returns the teacher's logits",
            )
        (head,) = layers(self.teacher, self.head).values()
        dtype = next((p.dtype for p in head.parameters()), features.dtype)
        return divergence(head(features.to(dtype)), logits, self.temperature)

    def __repr__(self) -> str:
        told = [f"head={self.head!r}"] * (self.head is not None)
        told += [f"temperature={self.temperature!r}"] * (self.temperature != 2)
        return f"LogitDistill({', '.join(told)})"


@dataclass(frozen=True, eq=False, repr=False)
class FeatureDistill(Term):
    r"""Mean squared distance of features, $\sum_l\frac1{n\,d_l}\sum_i\lVert f_l(x_i;w)-f_l(x_i;w^0)\rVert^2$.

    Over the layers l, with $d_l$ values a sample: the hints of FitNets (Romero et al., 2015, eq. 3) between models of
    the same widths, so that no regressor stands between them; a mean over values and no ½, so that one factor suits
    layers of any size. It is 0, with no gradient, where the student's features are the teacher's.

    Args:
        teacher: a frozen copy of the source, `frozen(source)`; may be given later by `bind`.
        layers: names or shell globs, the same in both models.

    Raises:
        PlanError: there is no layer, or the teacher is not frozen.

    >>> FeatureDistill(layers=["layer3"])
    FeatureDistill(layers=['layer3'])

    """

    teacher: nn.Module | None = None
    layers: Sequence[str] = ()
    name: ClassVar[str] = "feature_distill"
    taught: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_teacher("FeatureDistill", self.teacher)
        object.__setattr__(self, "layers", checked_layers("FeatureDistill", self.layers))

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layers' outputs."""
        return tuple(Tap(layer) for layer in self.layers)

    teacher_taps = taps

    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """Of one batch.

        Raises:
            PlanError: the two models' layers or their shapes differ.

        """
        distances = [(wide(ours) - wide(theirs)).square().mean() for ours, theirs in pairs(self, seen).values()]
        return sum(distances[1:], distances[0])

    def __repr__(self) -> str:
        return f"FeatureDistill(layers={list(self.layers)!r})"


def divergence(
    student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], temperature: float = 2.0
) -> Float[Tensor, ""]:
    r"""$\frac{T^2}{n}\sum_i\mathrm{KL}(p\Vert q)$ of the softmax of logits over T, p the teacher's and q the student's.

    As $\log\sum e^{s}-\log\sum e^{t}-\sum p\,(s-t)$, whose gradient $q-p$ has no rounding where the logits are equal.

    >>> import torch
    >>> divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(0.)

    """
    s, t = wide(student) / temperature, wide(teacher) / temperature
    log_sum = t.logsumexp(1)
    p = (t - log_sum[:, None]).exp()
    return temperature**2 * (s.logsumexp(1) - log_sum - (p * (s - t)).sum(1)).mean()
