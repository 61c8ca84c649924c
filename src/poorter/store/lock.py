# SPDX-License-Identifier: EUPL-1.2
"""One process a city: whoever opens its folder keeps others out of it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from poorter.city.errors import Unavailable


def lock_directory(directory: Path) -> IO[str]:
    """Held until it is closed. Raises Unavailable naming the process that has it."""
    directory.mkdir(parents=True, exist_ok=True)
    file = (directory / "lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise Unavailable(f"{directory} is in use by process {owner}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def share_lock(lock: IO[str]) -> IO[str]:
    """The same lock for another store of this process: held until both are closed."""
    return os.fdopen(os.dup(lock.fileno()), "a+", encoding="ascii")
