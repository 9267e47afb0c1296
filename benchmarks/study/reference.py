"""The reference study, on real data, near, far and in photos: `make study`, or this file with NAME OUT.

MNIST to scikit-learn's digits, a CIFAR-10 ResNet-20 to Fashion-MNIST, an ImageNet EfficientNet-Lite0 to the amazon
photos of Office-Caltech; 5, 20 and 50 pictures a class, ten seeds, all baselines, and penalties over their strengths.
It goes on where it was stopped. TETHER_DATA names the folder of data; Fashion-MNIST is Debian's
`dataset-fashion-mnist`.
"""

import argparse
import base64
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion import write_pictures

from tether import RunSpec
from tether.study.study import Study

DATA = Path(os.environ.get("TETHER_DATA", Path(__file__).parents[3] / "shared" / "data"))
REPORTS = Path(__file__).parents[1] / "reports" / "study"
POOL, TEST = 500, 100  # pictures a class that seeds draw from, and that all are tested on
SIZES = [5, 20, 50]
FIGURES = ("differences", "strength", "frontier")
BOX = """
const parts = [...document.querySelectorAll("#KEY > .key, #KEY > .gallery")].map(one => one.getBoundingClientRect());
if (!parts.length) return null;
const top = parts[0].top + scrollY - 8, last = parts[parts.length - 1];
return [parts[0].left - 8, top, last.width + 16, last.bottom + scrollY - top + 8];
"""
SEEDS = range(10)
PLANS = ["none", "l2", "differential_l2", "l2_sp"]
COMMON = {"data.validation": 0.2, "device": "cpu", "threads": 1}


def digits(out: Path) -> Study:
    """Near: the same ten digits, by another pen, scanner and size; the head is new."""
    spec = {
        "model.name": "digits-cnn",
        "source.path": "mnist",
        "source.exclude": ["head.*"],
        "source.data": "mnist",
        "data.path": "digits",
        "data.test": 0.5,
    }
    return _study(spec, [0.1, 1.0, 10.0, 100.0])


def fashion(out: Path) -> Study:
    """Far: from ten kinds of animals and vehicles in colour to ten kinds of clothes in gray."""
    place = out.with_name(f"{out.name}-pictures")
    if not place.exists():
        write_pictures(place, train=POOL, test=TEST)
    spec = {
        "model.name": "cifar-resnet20",
        "source.path": str(DATA / "cifar10_resnet20" / "resnet20.th"),
        "source.classes": str(place / "cifar.txt"),
        "source.data": str(DATA / "cifar10" / "test"),
        "data.path": str(place),
        "preprocessing.mean": [0.485, 0.456, 0.406],
        "preprocessing.std": [0.229, 0.224, 0.225],
        "optimizer.lr": 1e-3,
    }
    return _study(spec, [0.1, 1.0, 10.0, 100.0])


def photos(out: Path) -> Study:
    """Photos: objects on white, by a network of ImageNet; what it keeps is how its own head answers to them."""
    spec = {
        "model.name": "timm:tf_efficientnet_lite0",
        "source.path": "efficientnet-lite0",
        "data.path": str(DATA / "office_caltech10" / "images" / "amazon"),
        "data.test": 0.35,
        "preprocessing.size": 96,
    }
    return _study(spec, [1.0])


def _study(spec: Mapping[str, Any], scales: Sequence[float]) -> Study:
    vary: dict[str, list[Any]] = {"data.per_class": SIZES, "plan": PLANS}
    if len(scales) > 1:
        vary["plan.scale"] = list(scales)
    return Study(RunSpec.from_flags({**spec, **COMMON, "data.test_seed": 0}), vary, seeds=SEEDS)


STUDIES: dict[str, Callable[[Path], Study]] = {"digits": digits, "fashion": fashion, "photos": photos}


def photograph(page: Path, name: str) -> None:
    """The figures of a report as they look, each section one picture."""
    from report.browser import Browser

    with tempfile.TemporaryDirectory() as folder, Browser.started(Path(folder)) as browser:
        browser.open(page, width=1180)
        for key in FIGURES:
            box = browser.run(BOX.replace("KEY", key))
            if box:
                clip = dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1.5)
                taken = browser.tell("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
                (REPORTS / f"{name}-{key}.png").write_bytes(base64.b64decode(taken["data"]))


def placeless(text: str, out: Path) -> str:
    """A report without the folders of the machine that made it."""
    for place, name in ((out, f"runs/reference/{out.name}"), (out.parent, "runs/reference"), (DATA, "data")):
        text = text.replace(f"{place}-pictures", f"{name}-pictures").replace(str(place), name)
    return re.sub(r'"started_in": ".*"', '"started_in": "."', text)


def main() -> None:
    from tether.report.write import write_report

    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("name", choices=[*STUDIES])
    words.add_argument("out", type=Path)
    words.add_argument("--jobs", type=int)
    words.add_argument("--plan-only", action="store_true")
    given = words.parse_args()
    study = STUDIES[given.name](given.out)
    if given.plan_only:
        print(study.plan(given.out, jobs=given.jobs))
        return
    found = study.run(given.out, jobs=given.jobs, told=print)
    write_report(found, given.out)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"{given.name}.md").write_text(placeless((given.out / "report.md").read_text(), given.out))
    photograph(given.out / "report.html", given.name)
    print(found)


if __name__ == "__main__":
    main()
