"""What a safetensors file of Tether says of its own model."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from tether.errors import CheckpointError
from tether.spec import ModelSpec, PreprocessingSpec

KEY = "tether"


class Description(BaseModel):
    """Class names, preprocessing and network, as far as they are known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    classes: tuple[str, ...] | None = None
    preprocessing: PreprocessingSpec | None = None
    model: ModelSpec | None = None

    @field_validator("classes")
    @classmethod
    def _told_apart(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is not None and not 0 < len(set(classes)) == len(classes):
            raise ValueError("there is no class, or one twice")
        return classes


def read_description(metadata: Mapping[str, str], path: Path) -> Description | None:
    """Read the description in a safetensors file's metadata; None where Tether did not write the file.

    Raises:
        CheckpointError: there is one and it cannot be read.

    >>> read_description({"tether": '{"classes": ["cat", "dog"]}'}, Path("model.safetensors")).classes
    ('cat', 'dog')
    >>> read_description({"format": "pt"}, Path("model.safetensors")) is None
    True

    """
    if KEY not in metadata:
        return None
    try:
        return Description.model_validate(json.loads(metadata[KEY]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = f"`{'.'.join(map(str, first['loc']))}`: {first['msg'][0].lower()}{first['msg'][1:]}"
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:
        why = f"it is not JSON: {error}"
    raise CheckpointError(
        f"`{path}`: the entry `{KEY}` of its metadata cannot be read",
        why=why,
        fix="if a newer Tether wrote it: pip install --upgrade tether-ft",
    )
