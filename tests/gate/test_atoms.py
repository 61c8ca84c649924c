# SPDX-License-Identifier: EUPL-1.2
"""Fixed atoms: whatever unions are asked and laid side by side, no group below k comes out."""

import itertools
import random
import secrets
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.gate.atoms import (
    Lattice,
    Seen,
    build_lattice,
    discrete_gaussian,
    noisy_counts,
    union_of,
)


def town(seed: int, people: int) -> list[Seen]:
    """People in homes of 1 to 6, in streets of districts, each of one of three kinds."""
    dice = random.Random(seed)
    found = []
    number = home = 0
    while number < people:
        home += 1
        district, street = f"d{dice.randrange(4)}", f"s{dice.randrange(12)}"
        for _ in range(dice.choice([1, 1, 2, 2, 3, 6])):
            number += 1
            cell = (district, street, dice.choice("aab"))
            found.append(Seen(cell, f"p{number}", f"h{home}"))
    return found


def sizes(lattice: Lattice, seen: list[Seen]) -> list[tuple[int, int]]:
    """(persons, addresses) of each atom."""
    places = lattice.places()
    persons: dict[int, set[str]] = {}
    homes: dict[int, set[str]] = {}
    for one in seen:
        persons.setdefault(places[one.cell], set()).add(one.person)
        homes.setdefault(places[one.cell], set()).add(one.address)
    return [(len(persons[n]), len(homes[n])) for n in range(len(lattice.atoms))]


@pytest.mark.parametrize("seed", range(5))
def test_each_atom_holds_k_persons_and_k_addresses(seed: int) -> None:
    seen = town(seed, 1500)
    lattice = build_lattice(seen, 10)
    assert all(min(pair) >= 10 for pair in sizes(lattice, seen))
    cells = [cell for atom in lattice.atoms for cell in atom]
    assert len(cells) == len(set(cells)) == len({one.cell for one in seen})
    assert len(lattice.atoms) > 20, "merged no further than it must"
    assert build_lattice(list(reversed(seen)), 10) == lattice


@pytest.mark.parametrize("seed", range(3))
def test_the_difference_of_any_two_answers_is_no_small_group(seed: int) -> None:
    """All pairs of questions by district, street and kind: sums, differences, intersections."""
    seen = town(seed, 600)
    lattice = build_lattice(seen, 10)
    places = lattice.places()
    exact = [number for number, _ in sizes(lattice, seen)]
    asked = []
    for districts in ({"d0"}, {"d0", "d1"}, {"d0", "d1", "d2", "d3"}):
        for kinds in ({"a"}, {"b"}, {"a", "b"}):
            for streets in ({f"s{n}" for n in range(6)}, {f"s{n}" for n in range(12)}):
                asked.append(
                    frozenset(
                        n
                        for n, cells in enumerate(lattice.atoms)
                        if all(
                            c[0] in districts and c[1] in streets and c[2] in kinds for c in cells
                        )
                    )
                )
    assert len(set(places.values())) == len(lattice.atoms)
    for one, other in itertools.combinations(asked, 2):
        for group in (one ^ other, one & other, one - other, one | other):
            assert not group or sum(exact[n] for n in group) >= 10


def test_a_home_for_many_is_not_one_address_enough() -> None:
    seen = [Seen(("d", "s", "a"), f"p{n}", "one big home") for n in range(50)]
    assert build_lattice(seen, 10).atoms == ()
    seen += [Seen(("d", "t", "a"), f"q{n}", f"h{n}") for n in range(10)]
    lattice = build_lattice(seen, 10)
    assert lattice.atoms == ((("d", "s", "a"), ("d", "t", "a")),)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 8))),
    st.integers(2, 6),
)
def test_no_small_atom_ever(rows: list[tuple[str, str, int]], k: int) -> None:
    seen = [Seen((a, b), f"p{n}", f"h{home}") for n, (a, b, home) in enumerate(rows)]
    lattice = build_lattice(seen, k)
    assert all(min(pair) >= k for pair in sizes_of_known(lattice, seen))


def sizes_of_known(lattice: Lattice, seen: list[Seen]) -> list[tuple[int, int]]:
    known = [one for one in seen if one.cell in lattice.places()]
    return sizes(lattice, known) if lattice.atoms else []


def test_noise_is_discrete_gaussian_and_a_person_counts_once() -> None:
    drawn = [discrete_gaussian(Fraction(10), secrets.randbelow) for _ in range(4000)]
    assert abs(statistics.fmean(drawn)) < 0.3
    assert 8.5 < statistics.pvariance(drawn) < 11.5
    seen = [Seen(("d", "s"), f"p{n % 20}", f"h{n}") for n in range(200)]
    lattice = build_lattice(seen, 10)
    (value,) = noisy_counts(lattice, seen, Fraction(1000), secrets.randbelow)
    assert value == 20


def test_an_answer_says_which_atoms_lie_in_it_only_partly() -> None:
    lattice = Lattice(2, ((("a", "x"), ("a", "y")), (("b", "x"),)))
    assert union_of([5, 7], lattice, lambda cell: cell[0] == "b") == (
        7,
        {"atoms": 1, "left_out": 0},
    )
    assert union_of([5, 7], lattice, lambda cell: cell[1] == "x") == (
        7,
        {"atoms": 1, "left_out": 1},
    )


@pytest.mark.parametrize("k", [1, 0, -1])
def test_a_group_of_one_is_no_group(k: int) -> None:
    with pytest.raises(ValueError, match="at least two"):
        build_lattice([], k)
