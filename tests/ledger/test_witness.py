# SPDX-License-Identifier: EUPL-1.2
"""The witness protocol to the letter, k of n, mirrors: forks, rewrites and cuts are found."""

import threading
from pathlib import Path

import pytest
from tests.ledger.logs import KEY, ORIGIN, OTHER_KEY, Log, leaf

from poorter.city.clock import ManualClock
from poorter.identity.keys import KeyPair
from poorter.ledger.checkpoint import ED25519_TYPE, MLDSA44_TYPE, Checkpoint, sign_checkpoint
from poorter.ledger.mirror import Mirror
from poorter.ledger.tree import EMPTY_ROOT, consistency_proof
from poorter.ledger.trust import Trust, log_lines, parse_trust, witness_lines
from poorter.ledger.vkeys import VKey, log_vkeys, parse_vkey, witness_vkeys
from poorter.ledger.witness import SIZE, Reply, Witness, hash_of, request_body

WITNESSES = [KeyPair(f"witness.example/{n}", bytes([n]) * 64, 44) for n in (1, 2, 3)]
LOG_TRUST = parse_trust("\n".join([*log_lines([KEY.public()]), "quorum none"]))


def two_of_three() -> Trust:
    lines = log_lines([KEY.public()])
    for number, key in enumerate(WITNESSES):
        lines += witness_lines(key.public(), f"w{number}")
    return parse_trust("\n".join([*lines, "group enough 2 w0 w1 w2", "quorum enough"]))


def witness(folder: Path, number: int = 0) -> Witness:
    return Witness(folder / f"witness{number}", WITNESSES[number], LOG_TRUST, ManualClock())


def show(of: Witness, log: Log, old: int, note: bytes | None = None) -> Reply:
    size = log.sequencer.checkpoint.size
    proof = consistency_proof(log.sequencer.node, old, size) if old <= size else []
    return of.add_checkpoint(request_body(old, proof, note or log.sequencer.note()))


def test_a_witness_cosigns_what_goes_on_in_both_ways(tmp_path: Path) -> None:
    log, of = Log(tmp_path / "log", [leaf(n) for n in range(3)]), witness(tmp_path)
    assert of.checkpoint(hash_of(ORIGIN)).status == 404
    first = show(of, log, 0)
    assert first.status == 200
    log.grow(300)
    second = show(of, log, 3)
    assert second.status == 200 and show(of, log, 303).status == 200, "the same again is fine"
    seen = two_of_three().verify(log.sequencer.note() + second.body, quorum=False)
    assert set(seen.witnesses) == {"w0-ed25519", "w0-mldsa44"} and not seen.quorum
    kept = of.checkpoint(hash_of(ORIGIN))
    assert two_of_three().verify(kept.body, quorum=False).checkpoint.size == 303
    again = witness(tmp_path)
    assert show(again, log, 0).body == b"303\n", "a restart forgets nothing"


def test_each_refusal_has_its_status(tmp_path: Path) -> None:
    log, of = Log(tmp_path / "log", [leaf(n) for n in range(10)]), witness(tmp_path)
    assert show(of, log, 0).status == 200
    log.grow(10)
    note = log.sequencer.note()
    conflict = show(of, log, 5)
    assert (conflict.status, conflict.body, conflict.media) == (409, b"10\n", SIZE)
    assert of.add_checkpoint(request_body(21, [], note)).status == 400
    proof = consistency_proof(log.sequencer.node, 10, 20)
    for wrong in ([], proof[:-1], [*proof, proof[0]], [bytes(32), *proof[1:]]):
        assert of.add_checkpoint(request_body(10, wrong, note)).status == 422
    body, _, signatures = note.partition(b"\n\n")
    for broken in (
        b"",
        b"old 10\n",
        b"old 010\n\n" + note,
        b"old -1\n\n" + note,
        b"10\n\n" + note,
        b"old 10\nno base64\n\n" + note,
        b"old 10\n" + b"AAAA\n" + b"\n" + note,
        request_body(10, proof * 30, note),
        request_body(10, proof, body),
        request_body(10, proof, note.replace(b"\n20\n", b"\n020\n")),
        request_body(10, proof, note)[:-1],
    ):
        assert of.add_checkpoint(broken).status == 400, broken[:60]
    elsewhere = KeyPair("example.org/other", bytes(range(64)), 44)
    foreign = sign_checkpoint(Checkpoint("example.org/other", 0, EMPTY_ROOT), elsewhere, 0)
    assert of.add_checkpoint(request_body(0, [], foreign)).status == 404
    stranger = sign_checkpoint(log.sequencer.checkpoint, OTHER_KEY, 0)
    assert of.add_checkpoint(request_body(10, proof, stranger)).status == 403
    flipped = bytearray(note)
    flipped[-200] ^= 1
    lines = signatures.splitlines(keepends=True)
    for unsigned in (bytes(flipped), body + b"\n\n" + lines[0], body + b"\n\n" + lines[1]):
        assert of.add_checkpoint(request_body(10, proof, unsigned)).status in (400, 403)
    assert show(of, log, 10).status == 200, "none of it moved the witness"


def test_an_empty_tree_and_two_trees_of_one_size(tmp_path: Path) -> None:
    of = witness(tmp_path)
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY, 0)
    assert of.add_checkpoint(request_body(0, [], empty)).status == 200
    other = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), KEY, 0)
    assert of.add_checkpoint(request_body(0, [], other)).status == 422
    log = Log(tmp_path / "log", [leaf(n) for n in range(7)])
    assert show(of, log, 0).status == 200
    forked = Log(tmp_path / "fork", [leaf(n + 1) for n in range(7)])
    assert show(of, forked, 7).status == 422


def test_extension_lines_are_cosigned_with_the_rest(tmp_path: Path) -> None:
    log, of = Log(tmp_path / "log", [leaf(0)]), witness(tmp_path)
    known = log.sequencer.checkpoint
    extended = Checkpoint(ORIGIN, known.size, known.root, "an extension\n")
    note = sign_checkpoint(extended, KEY, 0)
    reply = of.add_checkpoint(request_body(0, [], note))
    assert reply.status == 200
    assert two_of_three().verify(note + reply.body, quorum=False).witnesses


def test_two_at_once_never_set_a_witness_back(tmp_path: Path) -> None:
    """Of many who show it something from the same place at the same time, one wins."""
    log = Log(tmp_path / "log", [leaf(n) for n in range(4)])
    of = [witness(tmp_path), witness(tmp_path)]  # two processes over one folder
    assert show(of[0], log, 0).status == 200
    shown = []
    for _ in range(6):
        log.grow(3)
        proof = consistency_proof(log.sequencer.node, 4, log.sequencer.checkpoint.size)
        shown.append(request_body(4, proof, log.sequencer.note()))
    statuses: list[int] = []

    def ask(number: int) -> None:
        statuses.append(of[number % 2].add_checkpoint(shown[number]).status)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(shown))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 5


def test_a_quorum_needs_both_signatures_of_enough_witnesses(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [leaf(n) for n in range(5)])
    note = log.sequencer.note()
    lines = [show(witness(tmp_path, n), log, 0).body for n in range(3)]
    trust = two_of_three()
    assert trust.verify(note + lines[0] + lines[2]).quorum
    classic_only = lines[1].splitlines(keepends=True)[0]
    for few in (b"", lines[0], lines[0] + classic_only, lines[0] + lines[0]):
        with pytest.raises(ValueError, match="too few witnesses"):
            trust.verify(note + few)
    spoiled = lines[1].replace(b" ", b" ", 1)
    changed = bytearray(spoiled)
    changed[-30] = ord("A") if changed[-30] != ord("A") else ord("B")
    with pytest.raises(ValueError, match="does not verify"):
        trust.verify(note + lines[0] + lines[2] + bytes(changed))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no quorum"),
        ("quorum w", "no w before"),
        ("quorum none\nquorum none", "none of log"),
        ("witness none {w}\nquorum none", "taken"),
        ("witness a {w}\nwitness b {w}\nquorum a", "listed already"),
        ("log {w}\nquorum none", "another kind"),
        ("witness a {l}\nquorum a", "another kind"),
        ("witness a {w}\ngroup g 2 a\nquorum g", "needs 1 to 1"),
        ("witness a {w}\ngroup g any a\ngroup h any a\nquorum g", "in a group already"),
        ("witness a {w}x\nquorum a", "line 1"),
    ],
)
def test_a_policy_that_is_none_names_its_line(text: str, wrong: str) -> None:
    classic, _ = witness_vkeys(WITNESSES[0].public())
    log, _ = log_vkeys(KEY.public())
    with pytest.raises(ValueError, match=wrong):
        parse_trust(text.format(w=classic, l=log))


def test_the_specification_s_verifier_key() -> None:
    text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    key = parse_vkey(text)
    assert (key.name, key.kind, str(key)) == ("example.com/foo", ED25519_TYPE, text)
    quantum = VKey("a", MLDSA44_TYPE, bytes(1312))
    assert parse_vkey(str(quantum)) == quantum


def mirrored(folder: Path, log: Log) -> Mirror:
    return Mirror(folder / "mirror", log.get, two_of_three())


def test_a_mirror_copies_and_goes_on(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [leaf(n) for n in range(300)])
    mirror = mirrored(tmp_path, log)
    assert mirror.update().size == 300
    log.grow(700)
    lines = b"".join(show(witness(tmp_path, n), log, 0).body for n in (0, 1))
    log.sequencer.keep_witnessed(log.sequencer.note() + lines)
    found = mirror.update()
    assert (found.size, found.witnessed, found.findings) == (1000, 1000, ())
    copy = tmp_path / "mirror"
    for file in (tmp_path / "log").rglob("*"):
        if file.is_file() and ".p" not in str(file.parent.name):
            assert (copy / file.relative_to(tmp_path / "log")).read_bytes() == file.read_bytes()


ORIGINAL = [leaf(n) for n in range(600)]
REWRITTEN = {
    "flip": (400, [*ORIGINAL[:400], leaf(9999), *ORIGINAL[401:]]),
    "delete": (350, [*ORIGINAL[:350], *ORIGINAL[351:], leaf(600)]),
    "reorder": (20, [*ORIGINAL[:20], ORIGINAL[21], ORIGINAL[20], *ORIGINAL[22:]]),
    "insert": (255, [*ORIGINAL[:255], leaf(9999), *ORIGINAL[255:]]),
    "truncate": (512, ORIGINAL[:512]),
    "first": (0, [leaf(9999), *ORIGINAL[1:]]),
    "last": (599, [*ORIGINAL[:599], leaf(9999)]),
}


@pytest.mark.parametrize("attack", sorted(REWRITTEN))
def test_a_log_rewritten_with_the_stolen_key_is_found_at_the_leaf(
    tmp_path: Path, attack: str
) -> None:
    """All of it is consistent and signed by the right keys: only those who saw it before know."""
    index, leaves = REWRITTEN[attack]
    log = Log(tmp_path / "log", ORIGINAL)
    of = witness(tmp_path)
    assert show(of, log, 0).status == 200
    mirror = mirrored(tmp_path, log)
    assert mirror.update().size == 600
    thief = Log(tmp_path / "thief", [*leaves, *(leaf(n) for n in range(700, 720))])
    if attack == "truncate":
        thief = Log(tmp_path / "cut", leaves)
    reply = show(of, thief, 600)
    assert reply.status == (400 if attack == "truncate" else 422)
    found = Mirror(tmp_path / "mirror", thief.get, two_of_three()).update()
    assert found.findings[0].index == index
    assert found.size == 600, "the copy stays what it was"
    assert mirror.update().findings == ()


def test_entries_that_don_t_lead_to_the_root_are_not_taken_in(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [leaf(n) for n in range(256)])
    mirror = mirrored(tmp_path, log)
    mirror.update()
    log.grow(256)

    def lying(path: str) -> bytes | None:
        data = log.get(path)
        return data.replace(b"300", b"301") if data and "entries/001" in path else data

    found = Mirror(tmp_path / "mirror", lying, two_of_three()).update()
    assert found.findings[0].index == 256 and found.size == 256
    assert mirror.update().size == 512
