# SPDX-License-Identifier: EUPL-1.2
"""Fixed atoms: the smallest groups of which a figure may leave a wall. Pure.

A cell is the finest there is: a path of areas (city, district, street) and a category. Cells are
merged until each atom holds k persons and k addresses, inside the same area as long as that is
possible. Any question is a union of atoms, so the difference of two answers is one too: whatever
is asked, no group below k can be worked out. Frozen for a period, or the moving of one person
between two lattices would tell of them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

STEPS_MAX = 1_000_000
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?\Z")
#: areas from the largest down, then the category
Cell = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One person in a cell, at an address; `value`: what is measured of them, where that is."""

    cell: Cell
    person: str
    address: str
    value: float = 0.0


@dataclass(slots=True)
class _Group:
    cells: list[Cell] = field(default_factory=list)
    persons: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)

    def take(self, other: _Group) -> None:
        self.cells += other.cells
        self.persons |= other.persons
        self.addresses |= other.addresses

    def enough(self, k: int) -> bool:
        return len(self.persons) >= k and len(self.addresses) >= k


@dataclass(frozen=True, slots=True)
class Lattice:
    """The atoms of a period: each a list of cells. What is in none is in no figure."""

    k: int
    atoms: tuple[tuple[Cell, ...], ...]

    def digest(self) -> str:
        """SHA-256 of it, for the ledger: it was not another one."""
        text = repr((self.k, self.atoms)).encode()
        return hashlib.sha256(text).hexdigest()

    def places(self) -> dict[Cell, int]:
        """The atom of each cell."""
        return {cell: n for n, cells in enumerate(self.atoms) for cell in cells}


def build_lattice(seen: Iterable[Seen], k: int) -> Lattice:
    """Merge cells until each atom holds `k` persons and `k` addresses. Empty when all of them
    together don't. Raises ValueError for k below 2 or paths of different lengths."""
    if k < 2:
        raise ValueError("the smallest group is of at least two")
    groups: dict[Cell, _Group] = {}
    for one in seen:
        group = groups.setdefault(one.cell, _Group([one.cell]))
        group.persons.add(one.person)
        group.addresses.add(one.address)
    if len({len(cell) for cell in groups}) > 1:
        raise ValueError("every cell has the same levels")
    atoms, left = _merged(sorted(groups.items()), 0, k)
    if left is not None and atoms:
        min(atoms, key=lambda atom: (len(atom.persons), atom.cells)).take(left)
    return Lattice(k, tuple(sorted(tuple(sorted(atom.cells)) for atom in atoms)))


def _merged(
    groups: Sequence[tuple[Cell, _Group]], level: int, k: int
) -> tuple[list[_Group], _Group | None]:
    """(atoms, what is left over) of the cells under one area."""
    if not groups or level >= len(groups[0][0]):
        whole = _Group()
        for _, group in groups:
            whole.take(group)
        return ([whole], None) if whole.enough(k) else ([], whole if groups else None)
    under: dict[str, list[tuple[Cell, _Group]]] = {}
    for cell, group in groups:
        under.setdefault(cell[level], []).append((cell, group))
    atoms: list[_Group] = []
    left = _Group()
    for part in under.values():
        found, over = _merged(part, level + 1, k)
        atoms += found
        if over is not None:
            left.take(over)
            if left.enough(k):  # neighbours in the order of their names go together
                atoms.append(left)
                left = _Group()
    if not left.cells:
        return atoms, None
    if atoms:
        min(atoms, key=lambda atom: (len(atom.persons), atom.cells)).take(left)
        return atoms, None
    return [], left


# -- noise ----------------------------------------------------------------------------------------


def discrete_gaussian(variance: Fraction, below: Callable[[int], int]) -> int:
    """An integer of the discrete Gaussian, exactly (Canonne, Kamath, Steinke 2020, algorithm 3).

    `below(n)` is a uniform integer from 0 to n - 1, of the system's own randomness.
    """
    scale = math.isqrt(variance.numerator // variance.denominator) + 1
    while True:
        value = _discrete_laplace(scale, below)
        gap = abs(value) - variance / scale
        if _bernoulli_exp(gap * gap / (2 * variance), below):
            return value


def _discrete_laplace(scale: int, below: Callable[[int], int]) -> int:
    while True:
        rest = below(scale)
        if not _bernoulli_exp(Fraction(rest, scale), below):
            continue
        whole = 0
        while _bernoulli_exp(Fraction(1), below):
            whole += 1
        value = rest + scale * whole
        negative = below(2)
        if negative and value == 0:
            continue
        return -value if negative else value


def _bernoulli_exp(gamma: Fraction, below: Callable[[int], int]) -> bool:
    """True with probability exp(-gamma)."""
    while gamma > 1:
        if not _bernoulli_exp(Fraction(1), below):
            return False
        gamma -= 1
    counter = 1
    while below(gamma.denominator * counter) < gamma.numerator:
        counter += 1
    return counter % 2 == 1


def _atom_of(lattice: Lattice, seen: Iterable[Seen]) -> dict[str, int]:
    """The one atom in which each person counts."""
    places = lattice.places()
    where: dict[str, int] = {}
    for one in sorted(seen, key=lambda one: (one.person, one.cell)):
        place = places.get(one.cell)
        if place is not None:
            where.setdefault(one.person, place)
    return where


def noisy_counts(
    lattice: Lattice, seen: Iterable[Seen], rho: Fraction, below: Callable[[int], int]
) -> list[int]:
    """Persons per atom with discrete Gaussian noise: rho-zero-concentrated differential privacy
    with respect to one person, who counts once. Drawn once a release; below zero stays below."""
    counts = [0] * len(lattice.atoms)
    for place in _atom_of(lattice, seen).values():
        counts[place] += 1
    variance = 1 / (2 * rho)
    return [count + discrete_gaussian(variance, below) for count in counts]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one person adds to a sum lies between `low` and `high`, in whole `step`s; whatever lies
    outside counts as the bound. They are chosen without looking at the data."""

    low: Fraction
    high: Fraction
    step: Fraction

    def __post_init__(self) -> None:
        """Raises ValueError for bounds that hold nothing, or too many steps."""
        if not (self.low < self.high and 0 < self.step <= self.high - self.low):
            raise ValueError("low lies below high, with a step between them")
        if (self.high - self.low) / self.step > STEPS_MAX:
            raise ValueError(f"there are at most {STEPS_MAX} steps between low and high")

    @classmethod
    def read(cls, low: str, high: str, step: str) -> Bounds:
        """Of plain decimals. Raises ValueError."""
        for text in (low, high, step):
            if not _DECIMAL.match(text):
                raise ValueError("plain numbers, as in 12.5")
        return cls(Fraction(low), Fraction(high), Fraction(step))

    @property
    def middle(self) -> int:
        """Half-way between the bounds, in steps."""
        return round((self.low + self.high) / 2 / self.step)

    @property
    def reach(self) -> int:
        """How far from the middle one person can be, in steps."""
        ends = (self.low, self.high)
        return max(abs(round(end / self.step) - self.middle) for end in ends)

    def variance(self, rho: Fraction) -> Fraction:
        """That of the noise of an atom, in steps squared."""
        return self.reach**2 / (2 * rho)


def noisy_sums(
    lattice: Lattice,
    seen: Sequence[Seen],
    bounds: Bounds,
    rho: Fraction,
    below: Callable[[int], int],
) -> list[int]:
    """Per atom, how far the persons in it are together from the middle of the bounds, in steps,
    with discrete Gaussian noise. A person adds all of their rows in their atom, once, within the
    bounds. The sum is this plus persons times the middle."""
    where = _atom_of(lattice, seen)
    places = lattice.places()
    whole: dict[str, Fraction] = {}
    for one in seen:
        if one.person in where and places.get(one.cell) == where[one.person]:
            whole[one.person] = whole.get(one.person, Fraction(0)) + Fraction(one.value)
    apart = [0] * len(lattice.atoms)
    for person, value in whole.items():
        within = min(max(value, bounds.low), bounds.high)
        apart[where[person]] += round(within / bounds.step) - bounds.middle
    variance = bounds.variance(rho)
    return [one + discrete_gaussian(variance, below) for one in apart]


def union_of(
    values: Sequence[int], lattice: Lattice, wanted: Callable[[Cell], bool]
) -> tuple[int, Mapping[str, int]]:
    """The sum over atoms that lie in what is wanted as a whole, and how many it is: {"atoms",
    "left_out"}; an atom that lies in it partly is left out, and said."""
    total = whole = partly = 0
    for value, cells in zip(values, lattice.atoms, strict=True):
        inside = [wanted(cell) for cell in cells]
        if all(inside):
            total, whole = total + value, whole + 1
        elif any(inside):
            partly += 1
    return total, {"atoms": whole, "left_out": partly}
