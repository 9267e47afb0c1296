import subprocess
import sys
from pathlib import Path

import pytest

from tether.errors import SettingsError
from tether.registry import Registry, did_you_mean


@pytest.fixture
def shapes() -> Registry[int]:
    found: Registry[int] = Registry("shape")
    found.register("triangle")(3)
    found.register("square")(4)
    return found


def test_it_is_a_mapping_in_the_order_of_names(shapes: Registry[int]):
    assert dict(shapes) == {"square": 4, "triangle": 3}
    assert list(shapes) == ["square", "triangle"]
    assert len(shapes) == 2
    assert "square" in shapes
    assert "circle" not in shapes
    assert 4 not in shapes


def test_register_hands_the_thing_back(shapes: Registry[int]):
    assert shapes.register("pentagon")(5) == 5


def test_an_unknown_name_says_what_is_near_or_lists_all(shapes: Registry[int]):
    with pytest.raises(SettingsError, match=r"no shape is named `squar`\nwhy: .*\nfix: did you mean `square`"):
        shapes["squar"]
    with pytest.raises(SettingsError, match="known: square, triangle"):
        shapes["xyz"]


def test_did_you_mean_of_nothing():
    assert did_you_mean("a", []) == "leave it out: none is known"


def test_another_packages_entry_point_is_found(tmp_path: Path):
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tether.shape]\ncircle = stranger:CORNERS\n")
    (tmp_path / "stranger.py").write_text("CORNERS = 0\n")
    asked = "from tether.registry import Registry; r = Registry('shape'); print(list(r), r['circle'], len(r))"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {asked}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['circle'] 0 1"
