"""Build a network from its spec: one of ours, timm's, or any by its dotted name."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from torch import nn

from tether.errors import MissingExtra, SettingsError, TetherError
from tether.memory import is_out_of_memory
from tether.models.room import require_sane, too_large, within_memory
from tether.models.trust import TIMM, runs_code
from tether.registry import Registry, did_you_mean
from tether.spec import ModelSpec

FETCHING = ("cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
MODELS: Registry[Callable[..., nn.Module]] = Registry("model")


@runtime_checkable
class HasClassifier(Protocol):
    """A network that tells its head, as timm's do."""

    def get_classifier(self) -> nn.Module:
        """Return the head."""


def build(spec: ModelSpec, num_classes: int, channels: int | None = None) -> nn.Module:
    """Make the network that `spec` names, with random weights.

    Args:
        channels: of the pictures; the network's own default when not given. A network by dotted name is not told it.

    Raises:
        SettingsError: no network has this name, or it does not take these arguments.
        MissingExtra: the name is timm's, and timm is not installed.

    >>> build(ModelSpec(name="digits-cnn"), num_classes=3).head
    Linear(in_features=64, out_features=3, bias=True)
    """
    told = {"num_classes": num_classes}
    if channels is not None and not runs_code(spec.name):
        told["in_chans" if spec.name.startswith(TIMM) else "in_channels"] = channels
    if not runs_code(spec.name):
        require_sane(spec.name, spec.args)
    if spec.name.startswith(TIMM):
        _require_random(spec)
    return _call(maker(spec.name), spec, told)


def maker(name: str) -> Callable[..., nn.Module]:
    """Find what makes the network of this name, without making it.

    Raises:
        SettingsError: no network has this name.
        MissingExtra: the name is timm's, and timm is not installed.

    >>> maker("digits-cnn").__name__
    'DigitsCNN'
    """
    if name.startswith(TIMM):
        return _timm(name.removeprefix(TIMM))
    return _dotted(name) if runs_code(name) else _own(name)


def classifier_name(model: nn.Module) -> str:
    """Name the head: what the network tells, else its last linear layer.

    Raises:
        SettingsError: there is neither.

    >>> classifier_name(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)))
    '2'
    """
    told = model.get_classifier() if isinstance(model, HasClassifier) else None
    modules: dict[str, nn.Module] = dict(model.named_modules())
    heads = [name for name, module in modules.items() if module is told and any(True for _ in module.parameters())]
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    if not heads + linear:
        raise SettingsError(
            f"`{type(model).__name__}` has no head that could be found",
            why="it has neither `get_classifier()` nor a linear layer",
            fix="give the network a method `get_classifier()` that returns its head",
        )
    return heads[0] if heads else linear[-1]


def _own(name: str) -> Callable[..., nn.Module]:
    from tether.models import cifar_resnet, digits_cnn  # noqa: F401 - they enter themselves

    return MODELS[name]


def _timm(name: str) -> Callable[..., nn.Module]:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingExtra("timm", "vision") from error
    if not timm.is_model(name):
        near = did_you_mean(name.partition(".")[0], timm.list_models())
        fix = near if near.startswith("did you mean") else "`timm.list_models()` lists all names"
        raise SettingsError(
            f"timm has no model named `{name}`",
            why="it is looked up in timm's own list, and nothing is fetched",
            fix=fix,
        )

    def create(**settings: Any) -> nn.Module:
        model: nn.Module = timm.create_model(name, pretrained=False, **settings)
        return model

    return create


def _require_random(spec: ModelSpec) -> None:
    if given := [name for name in FETCHING if name in spec.args]:
        raise SettingsError(
            f"`model.args` sets `{given[0]}` of `{spec.name}`",
            why="weights come from the source, and a network reads no file and fetches none",
            fix="--source with the file or the name of the weights, and leave it out of `model.args`",
        )


def _dotted(name: str) -> Callable[..., nn.Module]:
    place, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(place), attribute)
    except (Exception, SystemExit) as error:  # another's module may fail in any way as it is imported
        raise SettingsError(
            f"`model.name = {name!r}` cannot be imported: {type(error).__name__}: {error}",
            why="a name with a colon is a module, which is imported, and what in it makes the network",
            fix="write `package.module:Callable`, and PYTHONPATH=. before the command if the module is in this folder",
        ) from error
    if not callable(found):
        raise SettingsError(
            f"`{name}` is a {type(found).__name__}, which cannot be called to make a network",
            why="the network is what the name gives when it is called with `num_classes`",
            fix="name a class of networks, or a function that returns one",
        )
    return found  # type: ignore[no-any-return]


def _call(make: Callable[..., nn.Module], spec: ModelSpec, told: Mapping[str, Any]) -> nn.Module:
    twice = sorted(told.keys() & spec.args.keys())
    if twice:
        raise SettingsError(
            f"`model.args` sets {', '.join(f'`{name}`' for name in twice)}",
            why="Tether sets it from the data",
            fix="leave it out of `model.args`",
        )
    try:
        with within_memory(spec.name):
            model = make(**told, **spec.args)
    except TetherError:
        raise
    except (Exception, SystemExit) as error:  # another's network may fail in any way as it is made
        if is_out_of_memory(error):
            raise too_large(spec.name, "one of its tensors cannot be made") from error
        given = ", ".join(f"{name}={value!r:.200}" for name, value in {**told, **spec.args}.items())
        raise SettingsError(
            f"`{spec.name}` cannot be made with {given}: {type(error).__name__}: {error}",
            why="that is what it raised when it was called",
            fix="change [model.args] to arguments that it takes",
        ) from error
    if not isinstance(model, nn.Module):
        raise SettingsError(
            f"`{spec.name}` made a {type(model).__name__}, not a `torch.nn.Module`",
            why="only a module of torch has parameters that can be trained",
            fix="name a class of networks, or a function that returns one",
        )
    return model
