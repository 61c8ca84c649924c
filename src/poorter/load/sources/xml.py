# SPDX-License-Identifier: EUPL-1.2
"""XML feeds such as DATEX II: each record element becomes columns by its path, streaming.

No entities, no DTD, no network: a feed is data from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from poorter.city.errors import Invalid, Unsupported
from poorter.load.mapping import Source

COLUMNS_MAX = 2000


def read_xml(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """Rows of the elements named `source.records` that have children.

    Columns are paths of local names (`parkingFacilityName/values/value`), `@` for attributes,
    `#2` for the second of the same path.
    """
    try:
        from lxml import etree
    except ImportError:
        raise Unsupported("XML files need the extra: pip install poorter[load]") from None
    if not source.records:
        raise Invalid("an XML map names its record element: source.records")
    try:
        events = etree.iterparse(
            stream, events=("end",), resolve_entities=False, no_network=True, load_dtd=False
        )
        for _, element in events:
            if not isinstance(element.tag, str) or _local(element.tag) != source.records:
                continue
            if len(element) == 0:
                continue  # DATEX II repeats the name for a plain field inside its record
            row: dict[str, Any] = {}
            _flatten(element, "", row)
            yield element.sourceline or 0, row
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]  # what was read takes no room any more
    except etree.XMLSyntaxError as wrong:
        raise Invalid(f"{path.name} is not well-formed XML: {wrong}") from None


def _flatten(element: Any, prefix: str, row: dict[str, Any]) -> None:
    for name, value in element.attrib.items():
        _put(row, f"{prefix}@{_local(name)}", value)
    for child in element:
        if not isinstance(child.tag, str):
            continue
        key = prefix + _local(child.tag)
        if len(child) == 0 and child.text is not None and child.text.strip():
            _put(row, key, child.text.strip())
        _flatten(child, key + "/", row)


def _put(row: dict[str, Any], key: str, value: str) -> None:
    if len(row) >= COLUMNS_MAX:
        return
    if key not in row:
        row[key] = value
        return
    number = 2
    while f"{key}#{number}" in row:
        number += 1
    row[f"{key}#{number}"] = value


def _local(tag: str) -> str:
    return str(tag).rpartition("}")[2]
