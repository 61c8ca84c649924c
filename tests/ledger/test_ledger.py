# SPDX-License-Identifier: EUPL-1.2
"""A ledger on disk: what is done to it shows, and where; a crash loses nothing."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from poorter.city.clock import ManualClock
from poorter.city.errors import Unavailable
from poorter.identity.keys import KeyPair, PublicPair
from poorter.ledger.checkpoint import (
    Checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from poorter.ledger.leaf import decode_leaf, encode_leaf, make_line, opens
from poorter.ledger.receipt import make_receipt, verify_receipt
from poorter.ledger.sequencer import Sequencer
from poorter.ledger.tiles import Tiles, number_path, split_bundle
from poorter.ledger.tree import Frontier
from poorter.ledger.verify import Report, verify_ledger

ORIGIN = "example.org/city"
KEY = KeyPair(ORIGIN, bytes(range(64)), 44)
RING = [KEY.public()]
COUNT = 700


def leaf(number: int) -> bytes:
    return make_line("use", number, processor=f"app:{number}", about="parking").leaf


LEAVES = [leaf(number) for number in range(COUNT)]


def source(leaves: list[bytes]) -> Callable[[int, int], list[tuple[int, bytes]]]:
    return lambda start, limit: list(enumerate(leaves))[start : start + limit]


def sequencer(folder: Path, leaves: list[bytes]) -> Sequencer:
    return Sequencer(folder, source(leaves), KEY, RING, ManualClock())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    for end in (1, 3, 300, COUNT):
        sequencer(folder, LEAVES[:end]).step()
    return folder


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "ledger")
    return tmp_path / "ledger"


def verify(folder: Path, **options: object) -> Report:
    return verify_ledger(folder, RING, ORIGIN, **options)  # type: ignore[arg-type]


def test_an_untouched_ledger_is_intact(ledger: Path) -> None:
    report = verify(ledger, store_leaf=lambda index: LEAVES[index])
    assert report.intact, report.findings
    assert report.leaves == COUNT
    assert report.checkpoint is not None
    assert report.checkpoint.size == COUNT


def rewrite(folder: Path, leaves: list[bytes]) -> None:
    """Entries and tiles as if the log had always been so; the checkpoint stays."""
    shutil.rmtree(folder / "tile")
    Tiles(folder).extend(0, leaves, Frontier())


@pytest.mark.parametrize(
    "forge",
    [
        lambda x: [*x[:400], leaf(9999), *x[401:]],
        lambda x: x[:400] + x[401:],
        lambda x: [*x[:400], x[401], x[400], *x[402:]],
        lambda x: [*x[:400], leaf(9999), *x[400:-1]],
        lambda x: x[:600],
    ],
    ids=["flip", "delete", "reorder", "insert", "truncate"],
)
def test_a_rewritten_log_does_not_lead_to_the_signed_root(
    ledger: Path, forge: Callable[[list[bytes]], list[bytes]]
) -> None:
    rewrite(ledger, forge(LEAVES))
    found = verify(ledger, store_leaf=lambda index: LEAVES[index])
    assert not found.intact
    assert 395 <= (found.findings[0].index or 0) <= 700
    assert not verify(ledger).intact


@pytest.mark.parametrize("spot", [0, 5, 255, 256, 511, 512, COUNT - 1])
def test_one_flipped_bit_is_found_at_its_index(ledger: Path, spot: int) -> None:
    bundle = next(
        path
        for path in (ledger / "tile" / "entries").rglob("*")
        if path.is_file() and number_of(path) == spot // 256
    )
    data = bytearray(bundle.read_bytes())
    before = sum(2 + len(entry) for entry in split_bundle(bytes(data), 0)[: spot % 256])
    data[before + 10] ^= 1
    bundle.write_bytes(bytes(data))
    assert spot in {finding.index for finding in verify(ledger).findings}


def number_of(path: Path) -> int:
    name = path.parent.name.removesuffix(".p") if path.parent.name.endswith(".p") else path.name
    return int(name)


def test_a_stolen_key_cannot_rewrite_what_a_visitor_kept(ledger: Path) -> None:
    kept = (ledger / "checkpoint").read_bytes()
    forged = [*LEAVES[:400], leaf(9999), *LEAVES[401:], leaf(1)]
    shutil.rmtree(ledger)
    sequencer(ledger, forged).step()
    assert verify(ledger).intact  # signed with the stolen key: alone it looks right
    found = verify(ledger, known=[kept])
    assert "not those once signed" in found.findings[0].what
    shutil.rmtree(ledger)
    sequencer(ledger, LEAVES[:600]).step()
    assert "once had 700" in verify(ledger, known=[kept]).findings[0].what


def test_a_damaged_inner_tile_is_found(ledger: Path) -> None:
    tile = next(p for p in (ledger / "tile" / "1").rglob("*") if p.is_file())
    tile.write_bytes(bytes(len(tile.read_bytes())))
    assert any("level 8" in finding.what for finding in verify(ledger).findings)


def test_missing_files_are_named(ledger: Path) -> None:
    (ledger / "tile" / "entries" / "000").unlink()
    assert "tile/entries/000 is missing" in verify(ledger).findings[0].what
    (ledger / "checkpoint").unlink()
    assert verify(ledger).findings[0].what == "there is no checkpoint"


@pytest.mark.parametrize("lost", ["tile", "tile/0", "tile/1", "tile/entries"])
def test_lost_tiles_are_made_again_from_the_store(ledger: Path, lost: str) -> None:
    shutil.rmtree(ledger / lost)
    again = sequencer(ledger, [*LEAVES, leaf(COUNT)])
    again.step()
    assert verify(ledger).checkpoint == again.checkpoint


def test_a_store_that_changed_is_refused_with_the_index(ledger: Path) -> None:
    with pytest.raises(Unavailable, match="650 leaves, the signed tree 700"):
        shutil.rmtree(ledger / "tile" / "0")
        sequencer(ledger, LEAVES[:650])


def test_growth_in_any_steps_gives_the_same_tree(tmp_path: Path) -> None:
    one = sequencer(tmp_path / "one", LEAVES)
    one.step()
    for end in range(0, COUNT + 1, 50):
        many = sequencer(tmp_path / "many", LEAVES[:end])
        many.step()
    assert many.checkpoint == one.checkpoint
    assert verify(tmp_path / "many").intact


def test_a_receipt_verifies_offline_and_no_altered_one_does(made: Path) -> None:
    log = sequencer(made, LEAVES)
    text = make_receipt(LEAVES[321], 321, COUNT, log.node, log.note())
    shown = verify_receipt(text.replace("\n", "\r\n"), RING, ORIGIN)
    assert (shown.index, shown.leaf.processor) == (321, "app:321")
    other = make_receipt(LEAVES[322], 322, COUNT, log.node, log.note())
    lines = text.split("\n")
    for position, line in enumerate(lines[:-1]):
        swapped = [*lines[:position], other.split("\n")[position], *lines[position + 1 :]]
        if swapped != lines:
            with pytest.raises(ValueError, match=r"."):
                verify_receipt("\n".join(swapped), RING, ORIGIN)
        if line:
            with pytest.raises(ValueError, match=r"."):
                verify_receipt("\n".join([*lines[:position], *lines[position + 1 :]]), RING, ORIGIN)


def test_a_checkpoint_needs_both_signatures_of_one_key() -> None:
    checkpoint = Checkpoint(ORIGIN, 5, bytes(32))
    note = sign_checkpoint(checkpoint, KEY, 1_000_000)
    assert verify_checkpoint(note, RING, ORIGIN) == checkpoint
    lines = note.split(b"\n")
    for drop in (4, 5):
        half = b"\n".join([*lines[:drop], *lines[drop + 1 :]])
        with pytest.raises(ValueError, match="both ways"):
            verify_checkpoint(half, RING, ORIGIN)
    other = KeyPair(ORIGIN, bytes(64), 44).public()
    mixed = PublicPair(ORIGIN, KEY.public().ed25519, other.mldsa)
    for ring in ([other], [mixed], []):
        with pytest.raises(ValueError, match="both ways"):
            verify_checkpoint(note, ring, ORIGIN)
    with pytest.raises(ValueError, match="not of"):
        verify_checkpoint(note, RING, "elsewhere")


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"a\n1\n",
        b"a\n01\n" + b"A" * 43 + b"=\n\n",
        b"a\n-1\nAAAA\n\n",
        b"\xff\n1\nAAAA\n\n",
        b"a\n1\nAAAA\n\n\xe2\x80\x94 x y\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_checkpoint_is_refused_in_words(note: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse_checkpoint(note)


def test_a_leaf_commits_to_its_payload_and_hides_it() -> None:
    line = make_line("use", 5, payload=b"bsn 123456782")
    found = decode_leaf(line.leaf)
    assert b"123456782" not in line.leaf
    assert opens(found.commitment, line.payload)
    assert not opens(found.commitment, line.payload + b" ")
    assert encode_leaf(found) == line.leaf
    assert make_line("use", 5, payload=b"same").leaf != make_line("use", 5, payload=b"same").leaf
    for bad in (b"", b"\x90", line.leaf + b"\x00", b"\x81\xa1a\x01"):
        with pytest.raises(ValueError, match="not a leaf"):
            decode_leaf(bad)


def test_paths_are_those_of_the_specification() -> None:
    assert number_path(1_234_067) == "x001/x234/067"
    assert number_path(0) == "000"
    assert number_path(1000) == "x001/000"


def test_two_steps_at_once_make_one_tree(tmp_path: Path) -> None:
    """A stop may take its last step while one still runs: neither may see half of the other."""
    known: list[bytes] = []
    work = sequencer(tmp_path, known)
    failed: list[BaseException] = []

    def step() -> None:
        try:
            work.step()
        except Exception as wrong:  # noqa: BLE001 - told below, in the test's own thread
            failed.append(wrong)

    for start in range(0, COUNT, 35):
        known += LEAVES[start : start + 35]
        threads = [threading.Thread(target=step) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    report = verify(tmp_path)
    assert report.intact, report.findings
    assert report.leaves == COUNT
