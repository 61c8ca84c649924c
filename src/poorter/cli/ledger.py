# SPDX-License-Identifier: EUPL-1.2
"""ledger verify, and verify for a single receipt."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from poorter.city.errors import Invalid
from poorter.config import read_config
from poorter.identity.keys import PublicPair, read_ring
from poorter.ledger import receipt
from poorter.ledger.verify import verify_ledger
from poorter.running import LEDGER_FOLDER


def verify(arguments: argparse.Namespace) -> int:
    """Verify every leaf, tile and signature, and that checkpoints kept from earlier still hold; 2
    when something is wrong."""
    config = read_config(arguments.city)
    keys = _ledger_keys(config.paths_keys)
    try:
        known = [file.read_bytes() for file in arguments.known]
    except OSError as wrong:
        raise Invalid(f"{wrong.filename} can't be read: {wrong.strerror}") from None
    folder = config.paths_data / LEDGER_FOLDER
    report = verify_ledger(folder, keys, config.ledger_origin, known=known)
    for finding in report.findings:
        where = "the tree" if finding.index is None else f"leaf {finding.index}"
        print(f"{where}: {finding.what}")
    if report.findings:
        return 2
    print(f"{report.leaves} leaves, all signed and in their place")
    return 0


def verify_receipt(arguments: argparse.Namespace) -> int:
    """Verify one receipt with nothing but the city's public keys."""
    folder = arguments.keys.parent if arguments.keys else None
    origin = arguments.origin
    if folder is None or origin is None:
        config = read_config(arguments.city)
        folder = folder or config.paths_keys
        origin = origin or config.ledger_origin
    try:
        text = arguments.file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{arguments.file} can't be read as text: {wrong}") from None
    try:
        shown = receipt.verify_receipt(text, _ledger_keys(folder), origin)
    except ValueError as wrong:
        print(f"not proven: {wrong}")
        return 2
    at = datetime.fromtimestamp(shown.leaf.at_us / 1e6, UTC).isoformat(timespec="seconds")
    print(f"proven: leaf {shown.index} of {shown.checkpoint.size}, {shown.leaf.type}, {at}")
    print(
        f"  {shown.leaf.processor} {shown.leaf.purpose} {shown.leaf.subject_of}: "
        f"{shown.leaf.action} {shown.leaf.outcome}"
    )
    print("This proves that the line stands in the ledger. It can't prove that nobody copied data.")
    return 0


def _ledger_keys(folder: Path) -> list[PublicPair]:
    return [entry.public() for entry in read_ring(folder) if entry.use == "ledger"]
