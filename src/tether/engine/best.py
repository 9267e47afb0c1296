"""Best: the weights of the best epoch so far."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tether.scores import Scores


@dataclass
class Best:
    """The weights of the best epoch so far on validation; without validation the last one's, which the model has.

    Args:
        epochs: how many were offered.
        state: none without validation.
    """

    epoch: int = 0
    epochs: int = 0
    mark: tuple[float, float] = (-1.0, 0.0)
    state: dict[str, Tensor] = field(default_factory=dict)
    validation: Scores | None = None

    def offer(self, model: nn.Module, found: Scores | None) -> None:
        """Take the weights as they are if they are the best: more accurate, or as accurate and more likely."""
        self.epochs += 1
        mark = (found.accuracy, -found.nll) if found else (0.0, 0.0)
        if found is None:
            self.epoch, self.mark = self.epochs, mark
        elif mark > self.mark:
            self.epoch, self.mark, self.validation = self.epochs, mark, found
            self.state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def put_into(self, model: nn.Module) -> None:
        """Give a model the weights of the best epoch."""
        if self.state:
            model.load_state_dict(self.state)

    def waited(self, patience: int | None) -> bool:
        """Whether there has been no progress for as many epochs."""
        return bool(patience) and self.epochs - self.epoch >= (patience or 0)

    def to_tree(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return vars(self) | {"validation": self.validation.to_json() if self.validation else None}

    @classmethod
    def of_tree(cls, tree: dict[str, Any]) -> "Best":
        """The same again."""
        found = tree["validation"]
        return cls(**tree | {"validation": Scores(**found) if found else None})
