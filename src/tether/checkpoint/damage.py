"""A checkpoint that is as it was not written."""

from pathlib import Path

from tether.errors import CheckpointError

LONGEST_REASON = 300
SAVE_PARAMETERS = (
    'in the environment that made it, save the parameters alone: `torch.save(model.state_dict(), "weights.pt")`'
    ' or `safetensors.torch.save_model(model, "weights.safetensors")`'
)


def damaged(path: Path, reason: str) -> CheckpointError:
    """Refuse a file that starts as a checkpoint and cannot be read to its end, or says what cannot be."""
    first = reason.partition("\n")[0]
    return CheckpointError(
        f"`{path}` is truncated or damaged",
        why=first if len(first) <= LONGEST_REASON else first[:LONGEST_REASON] + "…",
        fix="copy or download it again",
    )
