"""Browser: headless Chromium through its driver, by the few calls of the WebDriver protocol that are needed here."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = not (CHROMIUM and DRIVER)
STARTED = "was started successfully on port "


class Browser:
    """One page at a time."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Self]:
        """Chromium with a new folder for what it keeps."""
        words = [str(DRIVER), "--port=0"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
            try:
                port = next(line.split(STARTED)[1].strip(" .\n") for line in driver.stdout if STARTED in line)
                yield cls._session(f"http://127.0.0.1:{port}", folder)
            finally:
                driver.terminate()

    @classmethod
    def _session(cls, server: str, folder: Path) -> Self:
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={folder}"]}
        always = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        found = _call(f"{server}/session", {"capabilities": {"alwaysMatch": always}})
        return cls(f"{server}/session/{found['sessionId']}")

    def open(self, path: Path, *, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Open a file at a size, in a colour scheme, and for paper where `media` is `print`."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        self.tell(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        _call(f"{self.address}/url", {"url": path.absolute().as_uri()})

    def clear(self) -> None:
        """Leave the page, and forget what was logged of it."""
        _call(f"{self.address}/url", {"url": "about:blank"})
        self.log("browser")
        self.log("performance")

    def tell(self, command: str, **words: Any) -> Any:
        """A command of Chromium's own protocol."""
        return _call(f"{self.address}/goog/cdp/execute", {"cmd": command, "params": words})

    def run(self, script: str) -> Any:
        """What a script returns."""
        return _call(f"{self.address}/execute/sync", {"script": script, "args": []})

    def press(self, key: str) -> None:
        """Press and release a key, by its WebDriver letter."""
        strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        _call(f"{self.address}/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last call."""
        found: list[dict[str, Any]] = _call(f"{self.address}/se/log", {"type": kind})
        return found

    def requested(self) -> list[str]:
        """The addresses that were asked for since the last call."""
        told = (json.loads(one["message"])["message"] for one in self.log("performance"))
        return [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]

    def photo(self, *, whole: bool = False) -> bytes:
        """A picture of what is seen, or of all of the page."""
        found = self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.tell("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"])

    def close(self) -> None:
        """End it."""
        with urlopen(Request(self.address, method="DELETE"), timeout=20):
            pass


def _call(address: str, content: Any) -> Any:
    request = Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as reply:
        return json.load(reply)["value"]
