import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faults.pictures import torn_fax
from tether.data.complaints import complaints_raised
from tether.data.pixels import opened
from tether.errors import DataError


def test_what_libtiff_fills_in_is_refused_and_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torn.tif").write_bytes(torn_fax())
    Image.open(tmp_path / "torn.tif").load()  # it returns pixels
    assert "Fax4Decode" in capfd.readouterr().err
    with pytest.raises(DataError) as refusal:
        opened(tmp_path / "torn.tif")
    assert "Fax4Decode" in refusal.value.why
    assert capfd.readouterr().err == ""


def test_a_whole_fax_is_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (40, 40)).astype(bool)
    Image.fromarray(values).save(tmp_path / "fax.tif", compression="group4")
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "fax.tif")), values * np.uint8(255))


def test_what_others_write_meanwhile_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with complaints_raised():
        os.write(2, b"epoch 3: 0.25\n")
    assert capfd.readouterr().err == "epoch 3: 0.25\n"
    with pytest.raises(ValueError, match=r"^Decode: bad code$"), complaints_raised():
        os.write(2, b"epoch 4\nDecode: bad code.\n")
    assert capfd.readouterr().err == "epoch 4\n"


def test_an_error_within_goes_on_and_stderr_is_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), complaints_raised():
        raise KeyError("x")
    os.write(2, b"here\n")
    assert capfd.readouterr().err == "here\n"
