# SPDX-License-Identifier: EUPL-1.2
"""A file system that loses what was not synced when the power goes, as real ones do.

Writes go to a layer of their own until xSync. At the cut a random part of what was not synced
has reached the disk, the rest has not; nothing can be written from then on.
"""

import random
from pathlib import Path

import apsw

SECTOR = 512


class Power:
    """The layers of all files, and the switch."""

    def __init__(self, seed: int, cut_after_writes: int) -> None:
        self.random = random.Random(seed)
        self.left = cut_after_writes
        self.dead = False
        self.full = False
        self.layers: dict[str, dict[int, bytes]] = {}
        self.sizes: dict[str, int] = {}

    def write(self) -> None:
        if self.dead:
            raise apsw.IOError("the power is off")
        if self.full:
            raise apsw.FullError("no space left")
        self.left -= 1
        if self.left <= 0:
            self.dead = True
            raise apsw.IOError("the power is off")

    def cut(self) -> None:
        """A random part of what was not synced reached the disk."""
        self.dead = True
        for name, layer in self.layers.items():
            path = Path(name)
            if not path.exists():
                continue
            with path.open("r+b") as file:
                for offset in sorted(layer):
                    if self.random.random() < 0.5:
                        file.seek(offset)
                        file.write(layer[offset])
        self.layers.clear()


class PowerVFS(apsw.VFS):
    def __init__(self, name: str, power: Power) -> None:
        self.power = power
        super().__init__(name, "")

    def xOpen(self, name: object, flags: list[int]) -> "PowerFile":  # noqa: N802
        return PowerFile(name, flags, self.power)

    def xDelete(self, filename: str, sync_dir: bool) -> None:  # noqa: N802
        self.power.write()
        self.power.layers.pop(filename, None)
        self.power.sizes.pop(filename, None)
        super().xDelete(filename, sync_dir)


class PowerFile(apsw.VFSFile):
    def __init__(self, name: object, flags: list[int], power: Power) -> None:
        super().__init__("", name, flags)  # type: ignore[arg-type]
        self.power = power
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.layer = power.layers.setdefault(self.name, {})
        self.base_size = super().xFileSize()
        power.sizes.setdefault(self.name, self.base_size)

    def xFileSize(self) -> int:  # noqa: N802
        return self.power.sizes[self.name]

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        size = self.power.sizes[self.name]
        have = max(0, min(amount, size - offset))
        base_have = max(0, min(have, super().xFileSize() - offset))
        data = bytearray(super().xRead(base_have, offset) if base_have else b"")
        data += bytes(have - len(data))
        for start, block in self.layer.items():
            low, high = max(start, offset), min(start + len(block), offset + have)
            if low < high:
                data[low - offset : high - offset] = block[low - start : high - start]
        return bytes(data)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.power.write()
        for start in range(0, len(data), SECTOR):
            self._sector(offset + start, data[start : start + SECTOR])
        end = offset + len(data)
        self.power.sizes[self.name] = max(self.power.sizes[self.name], end)

    def _sector(self, offset: int, data: bytes) -> None:
        """Later writes win: what they overlap of earlier ones is cut away or overwritten."""
        for start in [
            s for s in self.layer if s < offset + len(data) and s + len(self.layer[s]) > offset
        ]:
            block = self.layer.pop(start)
            if start < offset:
                self.layer[start] = block[: offset - start]
            if start + len(block) > offset + len(data):
                rest = offset + len(data)
                self.layer[rest] = block[rest - start :]
        self.layer[offset] = data

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.power.write()
        for start in [s for s in self.layer if s + len(self.layer[s]) > size]:
            block = self.layer.pop(start)
            if start < size:
                self.layer[start] = block[: size - start]
        self.power.sizes[self.name] = size
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.power.write()
        for start, block in sorted(self.layer.items()):
            super().xWrite(block, start)
        self.layer.clear()
        super().xSync(flags)
