# SPDX-License-Identifier: EUPL-1.2
"""Roots and subjects: the same person is somebody else in each wall, and no number is kept."""

from pathlib import Path

import pytest

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid, Unauthenticated, Unavailable
from poorter.identity.keys import kept_secret, look_over, make_keys
from poorter.identity.paper import new_code, read_code, spelled
from poorter.identity.persons import Persons, check_bsn
from poorter.identity.sealing import seal, unseal

#: numbers of the range kept free for tests, with a right check digit
SOMEBODY, ANOTHER = "999990019", "999990020"


def test_a_person_is_somebody_else_in_each_wall(tmp_path: Path) -> None:
    make_keys(tmp_path, "city", ManualClock().now_us())
    persons = Persons(tmp_path)
    root = persons.root("bsn", SOMEBODY)
    care, safety = persons.subject(root, "care"), persons.subject(root, "safety")
    assert len({care, safety, persons.subject(persons.root("bsn", "999990032"), "care")}) == 3
    assert Persons(tmp_path).subject(root, "care") == care, "the keys are kept"
    assert persons.root("bsn", "9999.90.019") == root
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert SOMEBODY.encode() not in kept
    for wall in ("", "../pepper", "Care", "a b", "care\n"):
        with pytest.raises(Invalid):
            persons.subject(root, wall)


def test_a_citizen_number_is_checked_and_never_repeated() -> None:
    assert check_bsn("9999.90 019") == SOMEBODY
    for wrong in (
        "",
        "12345678",
        "999990018",
        "000000000",
        "９９９９９００１９",
        "999990019x",
        "9" * 50,
    ):
        with pytest.raises(Invalid) as told:
            check_bsn(wrong)
        assert not wrong or wrong not in told.value.detail


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    first = kept_secret(tmp_path, "one")
    assert kept_secret(tmp_path, "one") == first
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.mark", "one.secret"]
    assert (tmp_path / "one.secret").stat().st_mode & 0o077 == 0


def test_a_secret_that_is_gone_or_swapped_is_not_made_anew(tmp_path: Path) -> None:
    make_keys(tmp_path, "city", 5)
    tmp_path.chmod(0o700)
    first = kept_secret(tmp_path, "persons")
    assert look_over(tmp_path) == []
    (tmp_path / "persons.secret").unlink()
    with pytest.raises(Unavailable, match="gone"):
        Persons(tmp_path).root("bsn", SOMEBODY)
    assert look_over(tmp_path) == ["persons.secret is gone: put it back from the copy of the keys"]
    (tmp_path / "persons.secret").write_bytes(bytes(32))
    (tmp_path / "persons.secret").chmod(0o600)
    with pytest.raises(Unavailable, match="not the one"):
        kept_secret(tmp_path, "persons")
    (tmp_path / "persons.secret").write_bytes(first)
    assert kept_secret(tmp_path, "persons") == first
    (tmp_path / "persons.secret").chmod(0o644)
    next(tmp_path.glob("policy-*.key")).unlink()
    assert len(look_over(tmp_path)) == 2


def test_a_code_survives_how_people_type() -> None:
    code = new_code()
    assert read_code(spelled(code)) == code
    assert read_code(f"  {spelled(code).replace('-', ' ').lower()} ") == code
    assert read_code("oil0-1234-5678") == "011012345678"
    for wrong in ("", "1234", "u" * 12, "a" * 13, "é" * 12, "x" * 10_000):
        with pytest.raises(Unauthenticated):
            read_code(wrong)


def test_what_is_sealed_opens_with_its_secret_only() -> None:
    pepper = b"p" * 32
    sealed = seal(pepper, "code", b"what it says")
    assert unseal(pepper, "code", sealed) == b"what it says"
    for other, secret in ((pepper, "Code"), (b"q" * 32, "code")):
        with pytest.raises(Unauthenticated):
            unseal(other, secret, sealed)
    for damaged in ("", "zz", sealed[:-2], sealed[2:], f"00{sealed[2:]}"):
        with pytest.raises(Unauthenticated):
            unseal(pepper, "code", damaged)
