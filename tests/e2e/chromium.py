# SPDX-License-Identifier: EUPL-1.2
"""A real browser with JavaScript switched off, spoken to over a pipe: nothing to install."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY = shutil.which("chromium")


class Browser:
    """One page of a headless Chromium. Commands are those of the DevTools protocol."""

    def __init__(self, process: "subprocess.Popen[bytes]", to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._number = 0
        self._kept = bytearray()
        self._session = ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self("Page.enable")
        self("Network.enable")
        self("Log.enable")
        self("Accessibility.enable")
        self("Emulation.setScriptExecutionDisabled", value=True)
        #: addresses asked for, and what the browser complained about, since the last `open`
        self.asked: list[str] = []
        self.complaints: list[str] = []

    def __call__(self, method: str, **params: Any) -> Any:
        """Run a command. Raises AssertionError when the browser refuses."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._kept:
            part = os.read(self._back, 1 << 20)
            assert part, "the browser is gone"
            self._kept += part
        one, _, rest = bytes(self._kept).partition(b"\0")
        self._kept = bytearray(rest)
        found: dict[str, Any] = json.loads(one)
        if found.get("method") == "Network.requestWillBeSent":
            self.asked.append(found["params"]["request"]["url"])
        if found.get("method") == "Log.entryAdded":
            entry = found["params"]["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
        return found

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """The size of the window and the colours that its owner prefers."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Load a page and wait for it."""
        self.asked, self.complaints = [], []
        self("Page.navigate", url=url)
        self.loaded()

    def loaded(self) -> None:
        """Wait until a page has loaded."""
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def sizes(self) -> tuple[int, int]:
        """Width and height of all there is on the page, in pixels."""
        found = self("Page.getLayoutMetrics")["cssContentSize"]
        return int(found["width"]), int(found["height"])

    def picture(self, path: Path) -> None:
        """All of the page, as PNG."""
        width, height = self.sizes()
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        found = self("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(found["data"]))

    def parts(self) -> list[tuple[str, str]]:
        """Role and name of each part, as a screen reader gets them."""
        found = []
        for node in self("Accessibility.getFullAXTree")["nodes"]:
            if not node.get("ignored"):
                role = node.get("role", {}).get("value", "")
                found.append((str(role), str(node.get("name", {}).get("value", ""))))
        return found

    def node(self, selector: str) -> int:
        """The first element that a CSS selector finds. Raises AssertionError without one."""
        root = self("DOM.getDocument")["root"]["nodeId"]
        found = int(self("DOM.querySelector", nodeId=root, selector=selector)["nodeId"])
        assert found, f"nothing on the page is {selector}"
        return found

    def click(self, selector: str) -> None:
        """Click in the middle of an element, and wait for the page it leads to."""
        node = self.node(selector)
        self("DOM.scrollIntoViewIfNeeded", nodeId=node)
        corners = self("DOM.getContentQuads", nodeId=node)["quads"][0]
        at = {"x": sum(corners[::2]) / 4, "y": sum(corners[1::2]) / 4}
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
        self.loaded()

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self("DOM.focus", nodeId=self.node(selector))
        self("Input.insertText", text=text)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile in `folder`, stopped at the end."""
    assert BINARY
    into, to = os.pipe()
    back, out = os.pipe()

    def at_3_and_4() -> None:
        """Chromium reads commands from 3 and answers on 4, whatever stands there now."""
        low, high = fcntl.fcntl(into, fcntl.F_DUPFD, 50), fcntl.fcntl(out, fcntl.F_DUPFD, 50)
        os.dup2(low, 3)
        os.dup2(high, 4)

    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += ["--remote-debugging-pipe", "--no-first-run", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        [BINARY, *options, "about:blank"],
        preexec_fn=at_3_and_4,  # noqa: PLW1509 - no threads here
        pass_fds=(3, 4),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(into)
    os.close(out)
    try:
        yield Browser(process, to, back)
    finally:
        os.close(to)
        os.close(back)
        process.terminate()
        process.wait(10)
