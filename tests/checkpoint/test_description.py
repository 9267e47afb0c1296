import json
from pathlib import Path

import pytest

from tether.checkpoint.description import read_description
from tether.errors import CheckpointError
from tether.spec import ModelSpec, PreprocessingSpec

FILE = Path("runs/a/model.safetensors")


def test_all_that_a_file_of_tether_says():
    preprocessing = PreprocessingSpec(size=28, channels=1, mean=(0.13,), std=(0.31,), padding="symmetric")
    written = {
        "classes": ["0", "1"],
        "preprocessing": preprocessing.model_dump(mode="json"),
        "model": {"name": "digits-cnn", "args": {"width": 8}},
        "digest_spec": "ab",
    }
    found = read_description({"tether": json.dumps(written)}, FILE)
    assert found.classes == ("0", "1")
    assert found.preprocessing == preprocessing
    assert found.model == ModelSpec(name="digits-cnn", args={"width": 8})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ('{"classes": 3}', "`classes`"),
        ('{"model": {"args": {}}}', r"`model\.name`"),
        ('{"preprocessing": {"padding": "mirror"}}', r"`preprocessing\.padding`"),
        ("[]", "valid dictionary"),
    ],
)
def test_a_description_that_cannot_be_read_names_file_and_key(text, why):
    with pytest.raises(CheckpointError, match=why) as refusal:
        read_description({"tether": text}, FILE)
    assert str(FILE) in refusal.value.what
