# SPDX-License-Identifier: EUPL-1.2
"""What a city shows of itself, for people and other software: policy text with its signatures, the
registers, and a DCAT-AP catalogue of the files. All of it is made of what the export holds."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from poorter.city.text import Text
from poorter.decide.mandate import Mandate
from poorter.gate.policy import Dataset, Policy

POLICY, REGISTERS, CATALOGUE = "policy", "registers", "catalogue.jsonld"
_PARTS = ("goals", "purposes", "datasets", "processors", "grants")
_ACCESS = "http://publications.europa.eu/resource/authority/access-right/"
_RIGHTS = {"open": "PUBLIC", "internal": "RESTRICTED"}
_FORMATS = {
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
}
_CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "spdx": "http://spdx.org/rdf/terms#",
}


def write_policy(folder: Path, bundles: Iterable[Mapping[str, Any]]) -> None:
    """Of each version the Cedar text, the bytes that were signed and both signatures."""
    (folder / POLICY).mkdir()
    for doc in bundles:
        stem = folder / POLICY / f"v{doc['version']:08d}"
        stem.with_suffix(".cedar").write_text(doc["cedar"], "utf-8")
        stem.with_suffix(".json").write_bytes(base64.b64decode(doc["policy"]))
        ed25519, mldsa = doc["signatures"]
        said = {"version": doc["version"], "ed25519": ed25519, "mldsa65": mldsa}
        stem.with_suffix(".sig").write_bytes(msgspec.json.encode(said))


def write_registers(folder: Path, policy: Policy, mandates: Iterable[Mandate]) -> None:
    """Goals, purposes, datasets, processors, grants and mandates as JSON, and the record of
    processing (GDPR 30) as CSV: a row for each grant."""
    into = folder / REGISTERS
    into.mkdir()
    for part in _PARTS:
        items = msgspec.to_builtins(list(getattr(policy, part).values()))
        (into / f"{part}.json").write_bytes(_pretty(items))
    (into / "mandates.json").write_bytes(_pretty(msgspec.to_builtins(list(mandates), enc_hook=str)))
    with (into / "processing.csv").open("w", encoding="utf-8", newline="") as opened:
        out = csv.writer(opened)
        out.writerow(
            (
                *("grant", "purpose", "goal", "legal_basis", "office", "dataset", "class", "wall"),
                *("controller", "retention_days", "processor", "actions", "from_us", "until_us"),
                *("approved_by", "and_by"),
            )
        )
        for grant in policy.grants.values():
            purpose, dataset = policy.purposes[grant.purpose], policy.datasets[grant.dataset]
            row = (
                *(grant.id, purpose.id, purpose.goal, purpose.legal_basis, purpose.office),
                *(dataset.id, dataset.data_class, dataset.wall, dataset.controller),
                *(dataset.retention_days, grant.processor, " ".join(grant.actions)),
                *(grant.from_us, grant.until_us, *grant.approvals),
            )
            out.writerow(["" if cell is None else cell for cell in row])


def write_catalogue(
    folder: Path, city: Text, policy: Policy, files: Mapping[str, tuple[int, str]]
) -> None:
    """A DCAT-AP 3 catalogue: the city's datasets, and the files in which they lie."""
    distributions = [
        {
            "@id": f"./{name}",
            "@type": "dcat:Distribution",
            "dcat:accessURL": {"@id": f"./{name}"},
            "dcat:mediaType": _FORMATS[Path(name).suffix],
            "dcat:byteSize": size,
            "spdx:checksum": {"spdx:algorithm": "SHA256", "spdx:checksumValue": digest},
        }
        for name, (size, digest) in files.items()
        if Path(name).suffix in _FORMATS
    ]
    catalogue = {
        "@context": _CONTEXT,
        "@id": "./",
        "@type": "dcat:Catalog",
        "dct:title": _words(city),
        "dct:description": _words(Text("Alles van de stad", "All that the city has")),
        "dct:publisher": {"@type": "foaf:Agent", "foaf:name": city.nl},
        "dcat:dataset": [_dataset(dataset, distributions) for dataset in policy.datasets.values()],
    }
    (folder / CATALOGUE).write_bytes(_pretty(catalogue))


def _dataset(dataset: Dataset, distributions: list[dict[str, Any]]) -> dict[str, Any]:
    """Records of its kinds have files of their own; entities of all datasets share theirs."""
    kinds = {name.removeprefix("record:") for name in dataset.types if name.startswith("record:")}
    wanted = {f"./records/{kind}.ndjson" for kind in kinds}
    places = ("./sealed/",) if dataset.walled else ("./entities.ndjson", "./history/")
    held = [
        one
        for one in distributions
        if one["@id"] in wanted or (dataset.entity_types and one["@id"].startswith(places))
    ]
    return {
        "@id": f"#{dataset.id}",
        "@type": "dcat:Dataset",
        "dct:identifier": dataset.id,
        "dct:title": _words(dataset.title),
        "dct:description": _words(dataset.title),
        "dct:publisher": {"@type": "foaf:Agent", "foaf:name": dataset.controller},
        "dct:accessRights": {"@id": _ACCESS + _RIGHTS.get(dataset.data_class, "NON_PUBLIC")},
        "dcat:distribution": held,
    }


def _words(text: Text) -> list[dict[str, str]]:
    return [{"@language": "nl", "@value": text.nl}, {"@language": "en", "@value": text.en}]


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)
