# SPDX-License-Identifier: EUPL-1.2
"""The highest policy version that was ever in force, kept beside the keys and not with the data.

So a copy of an older database brings no ended grant back to life. Whoever restores one on purpose
removes the file, by hand, and knows what they do.
"""

from __future__ import annotations

import os
from pathlib import Path

from poorter.city.errors import Unavailable

FILE = "policy.version"


class VersionMark:
    """One number in a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def read(self) -> int:
        """The version; 0 before the first. Raises Unavailable when the file is damaged."""
        try:
            return int(self._file.read_text("ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError):
            raise Unavailable(f"{self._file.name} in the folder of keys can't be read") from None

    def raise_to(self, version: int) -> None:
        """Remember a higher one, on disk when this returns."""
        if version <= self.read():
            return
        new = self._file.with_suffix(".new")
        with new.open("w", encoding="ascii") as stream:
            stream.write(str(version))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._file)
