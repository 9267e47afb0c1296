import pytest

from report.made import made
from tether.report.page import page
from tether.study.comparison import Comparison


@pytest.fixture(scope="session")
def found() -> Comparison:
    """Two groups under four seeds, with a run that failed and one that has not ended."""
    broken = {("l2_sp · plan.scale 100", 2): "the loss is not finite at epoch 4, step 31", ("scratch", 1): ""}
    return made(per_class=(5, 20), seeds=4, items=60, broken=broken)


@pytest.fixture(scope="session")
def html(found: Comparison) -> str:
    return page(found)
