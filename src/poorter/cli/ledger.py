# SPDX-License-Identifier: EUPL-1.2
"""ledger verify, and verify for a single receipt."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from poorter.city.errors import Invalid, Unavailable
from poorter.cli.witness import read_trust
from poorter.config import FILE, read_config
from poorter.identity.keys import PublicPair, read_ring
from poorter.ledger import receipt
from poorter.ledger.checkpoint import Checkpoint, verify_checkpoint
from poorter.ledger.evidence import (
    LIMITS,
    outcomes_by_span,
    read_evidence,
    span_of,
    verify_evidence,
)
from poorter.ledger.lines import with_outcome
from poorter.ledger.mirror import Mirror
from poorter.ledger.trust import log_lines, parse_trust
from poorter.ledger.verify import Finding, verify_ledger
from poorter.running import LEDGER_FOLDER


def ledger(arguments: argparse.Namespace) -> int:
    """Verify the own ledger, print its keys, or mirror another's."""
    return {"verify": verify, "keys": keys, "mirror": mirror}[arguments.what](arguments)


def keys(arguments: argparse.Namespace) -> int:
    """The lines that name this ledger in a policy of whom to trust."""
    config = read_config(arguments.city)
    print("\n".join([*log_lines(_ledger_keys(config.paths_keys), arguments.url), "quorum none"]))
    return 0


def mirror(arguments: argparse.Namespace) -> int:
    """Copy another's ledger and verify it; 2 when it is not the one that was copied before."""
    if arguments.into is None or arguments.trust is None or not arguments.url:
        raise Invalid("mirror needs --url LEDGER, --into FOLDER and --trust FILE")
    trust = read_trust(arguments.trust)
    try:
        found = Mirror(arguments.into, fetching(arguments.url), trust).update()
    except ValueError as wrong:
        print(f"not mirrored: {wrong}")
        return 2
    _print(found.findings)
    print(f"{found.size} leaves here, {found.witnessed} of them under a witnessed checkpoint")
    return 2 if found.findings else 0


def fetching(url: str) -> Callable[[str], bytes | None]:
    """What gets paths of a log over HTTP. Raises Unavailable when it can't be reached."""
    import httpx

    client = httpx.Client(timeout=30.0, trust_env=False)

    def get(path: str) -> bytes | None:
        try:
            answer = client.get(f"{url.rstrip('/')}/{path}")
        except httpx.HTTPError as wrong:
            raise Unavailable(f"{url}: {wrong}") from None
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise Unavailable(f"{url}/{path} answers {answer.status_code}")
        return answer.content

    return get


def verify(arguments: argparse.Namespace) -> int:
    """Verify every leaf, tile and signature, and that checkpoints kept from earlier still hold; 2
    when something is wrong."""
    config = read_config(arguments.city)
    ring = _ledger_keys(config.paths_keys)
    try:
        known = [file.read_bytes() for file in arguments.known]
    except OSError as wrong:
        raise Invalid(f"{wrong.filename} can't be read: {wrong.strerror}") from None
    folder = config.paths_data / LEDGER_FOLDER
    report = verify_ledger(folder, ring, config.ledger_origin, known=known)
    _print(report.findings)
    if report.findings:
        return 2
    print(f"{report.leaves} leaves, all signed and in their place")
    return 0


def _print(findings: Iterable[Finding]) -> None:
    for finding in findings:
        where = "the tree" if finding.index is None else f"leaf {finding.index}"
        print(f"{where}: {finding.what}")


def verify_file(arguments: argparse.Namespace) -> int:
    """Verify a receipt, or what a resident took home, with nothing but public keys."""
    try:
        data = arguments.file.read_bytes()
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{arguments.file} can't be read as text: {wrong}") from None
    if text.lstrip().startswith("{"):
        return _evidence(data, arguments)
    check, _ = _checking(arguments, None)
    try:
        shown = receipt.read_receipt(text, check)
    except ValueError as wrong:
        print(f"not proven: {wrong}")
        return 2
    print(f"proven: leaf {shown.index} of {shown.checkpoint.size}, {shown.leaf.type}, ", end="")
    print(_clock(shown.leaf.at_us / 1e6))
    print(
        f"  {shown.leaf.processor} {shown.leaf.purpose} {shown.leaf.subject_of}: "
        f"{shown.leaf.action} {shown.leaf.outcome}"
    )
    print("This proves that the line stands in the ledger. It can't prove that nobody copied data.")
    return 0


def _evidence(data: bytes, arguments: argparse.Namespace) -> int:
    try:
        found = read_evidence(data)
        check, whose = _checking(arguments, found.trust)
        shown = verify_evidence(found, check)
    except ValueError as wrong:
        print(f"not proven: {wrong}")
        return 2
    ended = outcomes_by_span(found)
    for index, doc in shown.opened:
        doc = with_outcome(doc, [ended[span_of(doc)]] if span_of(doc) in ended else [])
        by = doc.get("resource", {}).get("attributes", {}).get("service.name", "")
        print(
            f"leaf {index}: {_clock(doc['start_time'] / 1e3)}  {doc['name']} ({by}) {doc['status']}"
        )
    for index, until in shown.closed:
        when = "it is erased" if until == "erased" else f"it opens on {until}"
        print(f"leaf {index}: a line that is counted and not shown: {when}")
    for one in shown.wrong:
        where = "the file" if one.index is None else f"leaf {one.index}"
        print(f"WRONG, {where}: {one.what}")
    for word in shown.checked:
        print(f"checked: {word}")
    for word in (*shown.open_ends, *whose, *LIMITS):
        print(f"not checked: {word}")
    print("not proven" if shown.wrong else "proven")
    return 2 if shown.wrong else 0


def _checking(
    arguments: argparse.Namespace, in_file: str | None
) -> tuple[Callable[[bytes], Checkpoint], list[str]]:
    """By which keys a checkpoint is believed, and what that leaves open."""
    if arguments.trust is not None:
        trust = read_trust(arguments.trust)
        return lambda note: trust.verify(note).checkpoint, []
    if in_file is not None and arguments.keys is None and not (arguments.city / FILE).exists():
        trust = parse_trust(in_file)
        told = "whose the keys are: they came with the file (give --trust or --keys)"
        return lambda note: trust.verify(note).checkpoint, [told]
    folder = arguments.keys.parent if arguments.keys else None
    origin = arguments.origin
    if folder is None or origin is None:
        config = read_config(arguments.city)
        folder = folder or config.paths_keys
        origin = origin or config.ledger_origin
    ring = _ledger_keys(folder)
    return lambda note: verify_checkpoint(note, ring, origin), ["whether witnesses saw it"]


def _clock(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _ledger_keys(folder: Path) -> list[PublicPair]:
    return [entry.public() for entry in read_ring(folder) if entry.use == "ledger"]
