import numpy as np
from sklearn.datasets import load_digits

from tether.data.digits import read_digits


def test_the_digits_are_scikit_learn_s_spread_over_eight_bits() -> None:
    digits, theirs = read_digits(), load_digits()
    found = np.stack([np.asarray(digits.read(index)) for index in range(len(digits))])
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found * (16 / 255), theirs.images, atol=0.04)  # half a step of 1/255, times 16
    assert (found.min(), found.max()) == (0, 255)
    np.testing.assert_array_equal(digits.labels, theirs.target)
    assert digits.names[12] == "digits/12"
    assert digits.classes == tuple("0123456789")
