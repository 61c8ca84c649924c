# SPDX-License-Identifier: EUPL-1.2
"""A SensorThings service (OGC 18-088) under wrk. Its address is all that is known of it: things,
datastreams and observations go in, and are counted, by the standard's own API."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx

from bench.requests import JSON, SEED, series_of_moments

#: the standard's own way for many observations (data array extension)
DATA_ARRAY = "CreateObservations"
_TIMEOUT_S = 120
_ID = re.compile(r"\((.+)\)\Z")
_SENSOR = {
    "description": "bench",
    "encodingType": "application/pdf",
    "metadata": "http://example.org/bench.pdf",
}
_PROPERTY = {"description": "bench", "definition": "http://example.org/n"}
_MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"


class Peer:
    """Things with a place and a datastream each, and one observation in each of those."""

    def __init__(self, url: str, sensors: int, many: str = DATA_ARRAY) -> None:
        """`many`: below its root, what takes a data array of observations."""
        self.url = url.rstrip("/")
        self._root = "/" + self.url.split("/", 3)[3]
        self._many = many
        self._link = httpx.Client(timeout=_TIMEOUT_S)
        self._tag = f"bench {time.time_ns()}"  # its names may have to differ from all before
        sensor, measured = (
            self._made("Sensors", {"name": self._tag, **_SENSOR}),
            self._made("ObservedProperties", {"name": self._tag, **_PROPERTY}),
        )
        self._streams = [self._stream(n, sensor, measured) for n in range(sensors)]
        first = '"2000-01-01T00:00:00Z"'
        groups = (_group(stream, f"[0,{first},{first}]") for stream in self._streams)
        self._post(DATA_ARRAY, f"[{','.join(groups)}]")

    def close(self) -> None:
        """End the link over which it is asked."""
        self._link.close()

    def observations(self) -> int:
        """How many it holds."""
        asked = {"$count": "true", "$top": "1", "$select": "id"}
        found = self._link.get(f"{self.url}/Observations", params=asked)
        found.raise_for_status()
        return int(found.json()["@iot.count"])

    def one(self) -> str:
        """wrk: an observation a request, of any datastream."""
        body = """'{"result":' .. n % 1000 .. ',"phenomenonTime":"' .. at .. '","resultTime":"'
    .. at .. '","Datastream":{"@iot.id":' .. streams[math.random(#streams)] .. '}}'"""
        return self._script("Observations", f"local at = moment()\n  local body = {body}")

    def snapshot(self, rows: int) -> str:
        """wrk: so many a request, each of another datastream."""
        group = _group("' .. streams[first + i] .. '", "' .. row() .. '")
        making = f"""local parts, first = {{}}, math.random(0, #streams - {rows})
  for i = 1, {rows} do parts[i] = '{group}' end
  local body = "[" .. table.concat(parts, ",") .. "]\""""
        return self._script(self._many, making)

    def series(self, rows: int) -> str:
        """wrk: so many a request, all of one datastream."""
        group = _group(
            "' .. streams[math.random(#streams)] .. '", """' .. table.concat(parts, ",") .. '"""
        )
        making = f"""local parts = {{}}
  for i = 1, {rows} do parts[i] = row() end
  local body = '[{group}]'"""
        return self._script(self._many, making)

    def _script(self, path: str, making: str) -> str:
        streams = ",".join(f"'{stream}'" for stream in self._streams)
        return f"""{SEED}{series_of_moments()}
local streams = {{{streams}}}
local function row()
  local at = moment()
  return '[' .. n % 1000 .. ',"' .. at .. '","' .. at .. '"]'
end
request = function()
  {making}
  return wrk.format("POST", "{self._root}/{path}", {JSON}, body)
end
"""

    def _stream(self, number: int, sensor: Any, measured: Any) -> str:
        thing = self._made(
            "Things",
            {
                "name": f"{self._tag} {number}",
                "description": "bench",
                "Locations": [
                    {
                        "name": f"{self._tag} {number}",
                        "description": "bench",
                        "encodingType": "application/vnd.geo+json",
                        "location": {"type": "Point", "coordinates": [5.0, 52.0]},
                    }
                ],
            },
        )
        stream = self._made(
            "Datastreams",
            {
                "name": f"{self._tag} {number}",
                "description": "bench",
                "observationType": _MEASUREMENT,
                "unitOfMeasurement": {"name": "n", "symbol": "n", "definition": "n"},
                "Thing": {"@iot.id": thing},
                "Sensor": {"@iot.id": sensor},
                "ObservedProperty": {"@iot.id": measured},
            },
        )
        return json.dumps(stream)

    def _made(self, kind: str, doc: dict[str, Any]) -> Any:
        """The id of a new one, from where it is said to be (18-088, 10.2)."""
        said = self._post(kind, json.dumps(doc)).headers["location"]
        found = _ID.search(said)
        assert found is not None, said
        return json.loads(found[1].replace("'", '"'))

    def _post(self, path: str, body: str) -> httpx.Response:
        headers = {"content-type": "application/json"}
        answer = self._link.post(f"{self.url}/{path}", content=body, headers=headers)
        answer.raise_for_status()
        return answer


def _group(stream: str, rows: str) -> str:
    components = '"components":["result","phenomenonTime","resultTime"]'
    return f'{{"Datastream":{{"@iot.id":{stream}}},{components},"dataArray":[{rows}]}}'
