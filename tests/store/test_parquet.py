# SPDX-License-Identifier: EUPL-1.2
"""Our reader of Parquet beside arrow's: whatever arrow writes of what segments are made of."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.city.errors import Unavailable
from poorter.store.history.encodings import unpacked
from poorter.store.history.parquet import Broken, File
from poorter.store.history.read import Columns

LEAST, MOST = -(2**63), 2**63 - 1
WHOLE = ("DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "PLAIN", "RLE_DICTIONARY")
NUMBERS = st.one_of(
    st.integers(0, 3), st.integers(-100, 100), st.integers(LEAST, MOST), st.sampled_from([LEAST, 0])
)


def _table(draw: st.DrawFn, size: int) -> pa.Table:
    def some(of: st.SearchStrategy[Any], kind: pa.DataType) -> pa.Array:
        nulls = draw(st.sampled_from(["none", "some", "all"]))
        one = {"none": of, "some": st.none() | of, "all": st.none()}[nulls]
        drawn = draw(st.lists(one, min_size=1, max_size=40))
        stretch = draw(st.integers(1, 30))
        return pa.array([drawn[n // stretch % len(drawn)] for n in range(size)], kind)

    small = st.integers(-(2**31), 2**31 - 1)
    return pa.table(
        {
            "whole": pa.array(range(size), pa.int64()),
            "long": some(NUMBERS, pa.int64()),
            "short": some(small, pa.int32()),
            "byte": some(st.integers(-128, 127), pa.int8()),
            "real": some(st.floats(), pa.float64()),
            "text": some(st.text(max_size=20), pa.string()),
            "bytes": some(st.binary(max_size=20), pa.binary()),
        }
    )


@st.composite
def written(draw: st.DrawFn) -> tuple[pa.Table, dict[str, Any]]:
    table = _table(draw, draw(st.integers(1, 900)))
    ways: dict[str, str] = {}
    for name in ("whole", "long", "short", "byte", "real"):
        known = WHOLE if name != "real" else WHOLE[1:]
        ways[name] = draw(st.sampled_from(known))
    worded = [name for name in ("text", "bytes") if draw(st.booleans())]
    by_word = [name for name, way in ways.items() if way == "RLE_DICTIONARY"] + worded
    return table, {
        "compression": draw(st.sampled_from(["zstd", "none"])),
        "use_dictionary": by_word,
        "column_encoding": {n: w for n, w in ways.items() if w != "RLE_DICTIONARY"} or None,
        "write_statistics": ["whole"],
        "data_page_size": draw(st.sampled_from([64, 1024 * 1024])),
        "write_batch_size": draw(st.sampled_from([7, 1024])),
        "dictionary_pagesize_limit": draw(st.sampled_from([50, 1024 * 1024])),
        "row_group_size": draw(st.sampled_from([300, 1000])),
        "store_schema": False,
    }


def read(file: Path) -> dict[str, list[Any]]:
    """All of it by our reader, None where there is no value."""
    ours = File(file)
    found: dict[str, list[Any]] = {name: [] for name in ours.names}
    for group in range(ours.groups):
        for name, column in ours.read(group, ours.names).items():
            values = column.values.tolist()
            there = column.present().tolist()
            found[name] += [
                v if is_there else None for v, is_there in zip(values, there, strict=True)
            ]
    return found


@settings(max_examples=120, deadline=None)
@given(case=written())
def test_what_arrow_writes_is_read_as_arrow_reads_it(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[pa.Table, dict[str, Any]]
) -> None:
    table, ways = case
    file = tmp_path_factory.mktemp("parquet") / "one.parquet"
    pq.write_table(table, file, **ways)
    whole = pq.read_table(file)
    assert repr(read(file)) == repr({name: whole[name].to_pylist() for name in whole.column_names})
    ours, theirs = File(file), pq.read_metadata(file)
    bounds = [theirs.row_group(n).column(0).statistics for n in range(theirs.num_row_groups)]
    assert ours.first.tolist() == [bound.min for bound in bounds]
    assert ours.last.tolist() == [bound.max for bound in bounds]


def test_numbers_of_any_width_at_any_bit() -> None:
    dice = random.Random(1)
    for width in range(65):
        before = dice.randrange(8)
        numbers = [dice.getrandbits(width) if width else 0 for _ in range(50)]
        bits = sum(number << before + n * width for n, number in enumerate(numbers))
        data = np.frombuffer(bits.to_bytes((before + 50 * width + 7) // 8, "little"), np.uint8)
        places = np.arange(50) * width + before
        assert unpacked(data, places[: 50 if width else 0], width).tolist() == (
            numbers if width else []
        )


def test_a_file_that_was_damaged_is_refused_in_words_or_read(tmp_path: Path) -> None:
    """Never any other error, whichever bytes are not what they were."""
    file, dice = tmp_path / "one.parquet", random.Random(2)
    table = pa.table(
        {
            "whole": np.arange(3000),
            "long": np.cumsum([dice.randrange(-9, 99) for _ in range(3000)]),
            "real": [dice.random() for _ in range(3000)],
            "text": [dice.choice(["open", "closed", None]) for _ in range(3000)],
        }
    )
    ways = {"long": "DELTA_BINARY_PACKED", "real": "BYTE_STREAM_SPLIT"}
    for compression in ("zstd", "none"):
        pq.write_table(
            table,
            file,
            compression=compression,
            use_dictionary=["whole", "text"],
            column_encoding=ways,
            row_group_size=1000,
        )
        good = file.read_bytes()
        refused = 0
        for _ in range(400):
            bad = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                bad[dice.randrange(len(bad))] = dice.randrange(256)
            file.write_bytes(bad[: dice.choice([len(bad), len(bad), dice.randrange(len(bad))])])
            try:
                read(file)
            except Broken:
                refused += 1
        assert refused > 100
    file.write_bytes(good[:-9])
    with pytest.raises(Unavailable, match=r"one\.parquet can't be read"):
        Columns(file)


def test_a_city_is_served_and_reads_its_history_without_arrow() -> None:
    """It takes a third of the memory that a city may take."""
    code = (
        "import sys, poorter.server, poorter.store.history.recall, poorter.store.history.scan\n"
        "print([name for name in sys.modules if name.startswith('pyarrow')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"
