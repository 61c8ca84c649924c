# SPDX-License-Identifier: EUPL-1.2
"""Images of what a change touches, before and after, for as long as somebody watches its type.

Nobody watching costs one test a change. Images of one group feed each other: what an entity is
after one change is what it was before the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from poorter.store import contract as c
from poorter.store.series import urns_of
from poorter.store.tables.port import Connection
from poorter.store.tables.reading import whole_entity
from poorter.store.tables.recent import Recent, rewritten
from poorter.store.tables.rows import Rows

Listener = Callable[[Sequence[c.Changed]], None]


class Watching:
    """One who watches."""

    def __init__(self, images: Images, listener: Listener) -> None:
        self._images = images
        self._types: frozenset[str] = frozenset()
        self.listener = listener

    @property
    def types(self) -> frozenset[str]:
        """The types of interest."""
        return self._types

    @types.setter
    def types(self, types: frozenset[str]) -> None:
        """Set them: the writer looks at these from its next change on."""
        self._types = types
        self._images.look_again()

    def at(self, images: Images) -> None:
        """The store goes on with other images."""
        self._images = images

    def stop(self) -> None:
        """Ask no longer."""
        self._images.watching.remove(self)
        self._images.look_again()


class Images:
    """Takes images for the writer, inside its transaction."""

    def __init__(self, connection: Connection, rows: Rows, recent: Recent) -> None:
        self._connection = connection
        self._rows = rows
        self._recent = recent
        self._group: dict[str, c.StoredEntity | None] = {}
        self.watching: list[Watching] = []
        self.types: frozenset[str] = frozenset()

    def take_over(self, before: Images) -> None:
        """Whoever watched those watches these. The list is one and the same from here on."""
        self.watching = before.watching
        for one in self.watching:
            one.at(self)
        self.look_again()

    def look_again(self) -> None:
        """Somebody watches something else than before."""
        self.types = frozenset(name for one in self.watching for name in one.types)

    def before(self, ops: Iterable[c.Op]) -> dict[str, c.StoredEntity | None]:
        """Entities of watched types that `ops` will touch, as they are."""
        found: dict[str, c.StoredEntity | None] = {}
        for op in ops:
            for urn, types in self._touched(op):
                if urn not in found and ("*" in self.types or not self.types.isdisjoint(types)):
                    found[urn] = self._image(urn)
        return found

    def after(self, urns: Iterable[str]) -> dict[str, c.StoredEntity | None]:
        """The same entities as they have become."""
        return {urn: self._become(urn) for urn in urns}

    def end_group(self) -> None:
        """The transaction has ended, one way or the other."""
        self._group.clear()

    def _image(self, urn: str) -> c.StoredEntity | None:
        if urn not in self._group:
            touched = self._rows.written is None or urn in self._rows.written
            kept = None if touched else self._recent.get(urn)
            self._group[urn] = kept or self._read(urn)
        return self._group[urn]

    def _become(self, urn: str) -> c.StoredEntity | None:
        before = self._group.get(urn)
        written = (self._rows.written or {}).get(urn)
        after = rewritten(before, written) if before is not None and written else None
        self._group[urn] = after or self._read(urn)
        return self._group[urn]

    def _read(self, urn: str) -> c.StoredEntity | None:
        self._rows.flush()
        return whole_entity(self._connection, urn)

    def _touched(self, op: c.Op) -> Iterable[tuple[str, tuple[str, ...]]]:
        if isinstance(op, c.Create | c.Put | c.Replace):
            known = self._rows.find(op.entity.urn)
            yield op.entity.urn, (*op.entity.types, *(known.types if known else ()))
        elif isinstance(op, c.SetAttributes | c.Delete | c.DeleteAttribute | c.Erase | c.Prune):
            found = self._rows.find(op.urn)
            more = op.add_types if isinstance(op, c.SetAttributes) else ()
            if found is not None:
                yield op.urn, (*found.types, *more)
        elif isinstance(op, c.Observe) and not op.one_event:
            for urn in urns_of(op.readings):
                yield urn, (op.type,)
