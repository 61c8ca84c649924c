# SPDX-License-Identifier: EUPL-1.2
"""What an engine gives: a connection to the tables of one city, and where its SQL is its own.

SQL in this package is what the engines have in common, with `?` or `?1` for values; what they say
differently stands in a Dialect. Tables and columns are the same on each, but that PostgreSQL's have
the city beside them, which fills itself in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from poorter.store.history.rows import Row

#: each with the rows that it is said for
Statements = Sequence[tuple[str, list[tuple[Any, ...]]]]


@dataclass(frozen=True, slots=True)
class Packed:
    """Selects of a page of rows as one text, all their numbers one after another with commas
    between: a row at a time would ask for the interpreter a million times. None without rows.

    `entities`: their numbers by ascending id, and the last id; after the id ?1, ?2 of them.
    `places`: row, entity, cell, longitude and latitude (as good as 0.0001 degrees) of ?3 points,
    cell by cell, from the cell ?1 to before ?2. `numbers`: entity and number (as good as 16
    digits) of the instances of the name ?1, of entities after ?2 up to ?3.
    `wholes`: ?2 live entities by ascending number, after the number ?1, as one JSON text: what
    `reading.COLUMNS` says of each, and its `Dialect.instances` as a text.
    """

    entities: str
    places: str
    numbers: str
    wholes: str


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """Pieces of SQL. Those with {} are filled in by `format`.

    `then`: the table {0} as {1}, joined in the order that is written and found by {2} alone.
    `texts`, `numbers`: a list that is bound as the parameter {0}, as a table {1} with the column
    `value`; bind what `many` makes of it. `pairs`: the same of a JSON list of lists. `target`: the
    columns {} of a key, for ON CONFLICT.
    `indexed`: a hint to walk the index {}. `apart`: the column {0}, but no index is used for it.
    `fence`: ends a select that is looked into row by row, rather than joined with what is around.
    `regexp`: whether the SQL function regexp(pattern, text) is there and as Python has it.
    """

    then: str
    texts: str
    numbers: str
    pairs: str
    many: Callable[[Sequence[Any]], Any]
    greatest: str
    target: str
    indexed: str
    apart: str
    fence: str
    regexp: bool
    #: the number in a row `h` of history, and whether there is one
    number: str
    is_number: str
    #: the newest line of each subject: (subject, seq, leaf); {} narrows them
    newest_lines: str
    #: "Property" ... of the attribute `a`
    kind_of_body: str
    #: boxes of places: put one (row, west, south, east, north), what lies in a box (west, south,
    #: east, north), what of one attribute name does (and the number of the name), whether any of
    #: the entity `e` does
    put_place: str
    in_box: str
    placed: str
    near: str
    #: bytes that the rows of history take on the disk
    history_bytes: str
    #: the live attribute instances of the entity of number {0}, as one JSON text in no order: of
    #: each row, name, datasetId, created_us, modified_us, expires_us, version, text of the body
    instances: str
    #: a row that cannot be; all that can go wrong; what to say of that
    refusals: tuple[type[Exception], ...]
    failures: tuple[type[Exception], ...]
    describe: Callable[[Exception], str]
    #: None: not to be had
    packed: Packed | None = None


class Connection(Protocol):
    """A connection; its own thread's, or the writer's. Rows come as tuples."""

    @property
    def dialect(self) -> Dialect:
        """How this engine says what engines say differently."""
        ...

    def execute(self, sql: str, values: Any = ..., /) -> Any:
        """Run one statement; an iterator over its rows. Exhaust it: it may be lazy."""
        ...

    def stream(self, sql: str, values: Any, /) -> Iterator[Any]:
        """Rows one by one, for when there may be many more than are wanted."""
        ...

    def executemany(self, sql: str, rows: Any, /) -> Any:
        """The same statement for each of `rows`."""
        ...

    def change(self, sql: str, rows: Any, /) -> int:
        """The same statement for each of `rows`; how many rows it changed."""
        ...

    def write(self, statements: Statements, words: Sequence[Row] = ..., /) -> int:
        """Several such statements in one go, in this order, and `add_words`."""
        ...

    def words(self, sql: str, values: Any, /) -> Any:
        """A `stream` of rows whose last column is `history.value`; close it."""
        ...

    def add_words(self, rows: Sequence[Row], /) -> int:
        """Rows of history, but those whose key is there already; how many were added."""
        ...

    def correct_words(self, rows: Sequence[Row], /) -> None:
        """Each as the next word on its moment, unless the latest word says the same."""
        ...

    def overwriting(self) -> AbstractContextManager[None]:
        """What is deleted meanwhile leaves nothing on free pages, as far as the engine can."""
        ...

    def moment(self) -> AbstractContextManager[Any]:
        """All that is read meanwhile is as of one moment."""
        ...

    def close(self) -> None:
        """Of no use any more."""
        ...

    def spare(self) -> bool:
        """Whether it has more free pages than it keeps for what comes next."""
        ...

    def give_back(self) -> None:
        """Some of them go back to the disk; within `begin` and `commit`."""
        ...

    def settle(self) -> None:
        """After much was deleted: make its journal small, if nobody has to wait for that."""
        ...

    def begin(self) -> None:
        """Begin to write."""
        ...

    def commit(self) -> None:
        """Make it durable."""
        ...

    def roll_back(self) -> None:
        """Undo all since `begin`, if anything has begun; never fails."""
        ...
