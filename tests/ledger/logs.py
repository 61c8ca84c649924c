# SPDX-License-Identifier: EUPL-1.2
"""Small logs on disk for tests: grown, copied, rewritten with the right keys."""

from collections.abc import Sequence
from pathlib import Path

from poorter.city.clock import ManualClock
from poorter.identity.keys import KeyPair
from poorter.ledger.leaf import make_line
from poorter.ledger.sequencer import Sequencer

ORIGIN = "example.org/city"
KEY = KeyPair(ORIGIN, bytes(range(64)), 44)
OTHER_KEY = KeyPair(ORIGIN, bytes(range(1, 65)), 44)


def leaf(number: int) -> bytes:
    return make_line("use", 1_000 + number, action="read", outcome=str(number)).leaf


class Log:
    """A log whose leaves can be changed at will; `grow` signs what there is."""

    def __init__(self, folder: Path, leaves: Sequence[bytes], key: KeyPair = KEY) -> None:
        self.folder = folder
        self.leaves = list(leaves)
        self.clock = ManualClock()
        self.sequencer = Sequencer(folder, self._source, key, [key.public()], self.clock)
        self.sequencer.step()

    def _source(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        return list(enumerate(self.leaves))[after : after + limit]

    def grow(self, number: int) -> bytes:
        """`number` more leaves; the new checkpoint."""
        self.leaves += [leaf(len(self.leaves) + i) for i in range(number)]
        self.sequencer.step()
        return self.sequencer.note()

    def get(self, path: str) -> bytes | None:
        """What the log shows under a path."""
        file = self.folder / path
        if file.is_file():
            return file.read_bytes()
        bundle, _, width = path.removeprefix("tile/entries/").partition(".p/")
        if not width.isdecimal():
            return None
        try:  # as the server does: a part of a bundle that has grown since
            return self.sequencer.tiles.part("entries", int(bundle), int(width))
        except ValueError:
            return None
