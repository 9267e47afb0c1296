"""Whose code may run: a network by dotted name is imported and called, so the name must be the user's own."""

from tether.errors import SettingsError
from tether.spec import ModelSpec

TIMM = "timm:"


def runs_code(name: str) -> bool:
    """Whether making the network of this name imports and calls what the name says.

    >>> runs_code("package.module:Net"), runs_code("timm:resnet18"), runs_code("digits-cnn")
    (True, False, False)
    """
    return ":" in name and not name.startswith(TIMM)


def require_trusted(model: ModelSpec, origin: str, *, trust_code: bool) -> None:
    """Refuse a dotted name that was read from a file, unless the user trusts the file.

    What the user types as `--model`, or puts into a `RunSpec` in Python, is not asked about here.

    Args:
        origin: the file, as an error names it, such as "`flowers.toml`".

    Raises:
        SettingsError: the name would run code, and `trust_code` is not set.

    >>> require_trusted(ModelSpec(name="timm:resnet18"), "`flowers.toml`", trust_code=False)
    >>> require_trusted(ModelSpec(name="torch.hub:load"), "`flowers.toml`", trust_code=False)
    Traceback (most recent call last):
    tether.errors.SettingsError: `flowers.toml` names the network `torch.hub:load`
    why: that name comes from a file, and making the network would import and call whatever it names
    fix: `--trust-code` (in Python `trust_code=True`), if you know that code and who wrote the file
    """
    if runs_code(model.name) and not trust_code:
        raise SettingsError(
            f"{origin} names the network `{model.name}`",
            why="that name comes from a file, and making the network would import and call whatever it names",
            fix="`--trust-code` (in Python `trust_code=True`), if you know that code and who wrote the file",
        )
