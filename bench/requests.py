# SPDX-License-Identifier: EUPL-1.2
"""What wrk sends, as Lua: over so many entities, chosen at random."""

from __future__ import annotations

import itertools

from bench.cities import SIDE, SOUTH, WEST

_ID = "/ngsi-ld/v1/entities/urn:ngsi-ld:City:"
JSON = '{["content-type"] = "application/json"}'
SEED = "math.randomseed(os.time())\n"
#: now, and never twice in a run, so that each write is a new observation
MOMENT = """
local n = 0
local function moment()
  n = n + 1
  return os.date("!%Y-%m-%dT%H:%M:%S") .. string.format(".%06dZ", n % 1000000)
end
"""

#: a moment of years ago: history of it goes into columns
PAST = """
local n = 0
local start = os.time() * 1000
local function moment()
  n = n + 1
  return os.date("!%Y-%m-%dT%H:%M:%S", 1700000000 + start % 40000000 + n) .. "Z"
end
"""

_ATTRIBUTE = """'{"type":"Property","value":' .. n % 1000 .. ',"observedAt":"' .. at .. '"}'"""
_runs = itertools.count()


def series_of_moments() -> str:
    """Moments that rise by a second each, later than those of all scripts before this one."""
    start = 1_000_000_000 + next(_runs) * 3_000_000
    return f"""
local n = 0
local function moment()
  n = n + 1
  return os.date("!%Y-%m-%dT%H:%M:%S", {start} + n) .. "Z"
end
"""


def retrieve(entities: int) -> str:
    """One entity by id."""
    return f"""{SEED}
request = function()
  return wrk.format("GET", "{_ID}" .. math.random(0, {entities - 1}))
end
"""


def update(entities: int, moment: str = MOMENT) -> str:
    """One attribute, with the moment it was observed at."""
    return f"""{SEED}{moment}
request = function()
  local at = moment()
  local body = '{{"n":{{"type":"Property","value":' .. n % 1000
    .. ',"observedAt":"' .. at .. '"}}}}'
  return wrk.format("POST", "{_ID}" .. math.random(0, {entities - 1}) .. "/attrs", {JSON}, body)
end
"""


def batch(entities: int, moment: str = MOMENT) -> str:
    """A hundred of them."""
    return f"""{SEED}{moment}
request = function()
  local at = moment()
  local parts = {{}}
  for i = 1, 100 do
    parts[i] = '{{"id":"urn:ngsi-ld:City:' .. math.random(0, {entities - 1})
      .. '","type":"City","n":{{"type":"Property","value":' .. n % 1000
      .. ',"observedAt":"' .. at .. '"}}}}'
  end
  local body = "[" .. table.concat(parts, ",") .. "]"
  return wrk.format("POST", "/ngsi-ld/v1/entityOperations/upsert?options=update", {JSON}, body)
end
"""


def one(entities: int) -> str:
    """One reading of any of them."""
    return f"""{SEED}{series_of_moments()}
request = function()
  local at = moment()
  local body = '{{"n":' .. {_ATTRIBUTE} .. '}}'
  return wrk.format("POST", "{_ID}" .. math.random(0, {entities - 1}) .. "/attrs", {JSON}, body)
end
"""


def snapshot(entities: int, rows: int) -> str:
    """So many readings a request, each of another entity."""
    return f"""{SEED}{series_of_moments()}
request = function()
  local parts, first = {{}}, math.random(0, {entities - rows})
  for i = 1, {rows} do
    local at = moment()
    parts[i] = '{{"id":"urn:ngsi-ld:City:' .. first + i - 1
      .. '","type":"City","n":' .. {_ATTRIBUTE} .. '}}'
  end
  local body = "[" .. table.concat(parts, ",") .. "]"
  return wrk.format("POST", "/ngsi-ld/v1/entityOperations/upsert?options=update", {JSON}, body)
end
"""


def series(entities: int, rows: int) -> str:
    """So many readings a request, all of one entity."""
    path = "/ngsi-ld/v1/temporal/entities/urn:ngsi-ld:City:"
    return f"""{SEED}{series_of_moments()}
request = function()
  local parts = {{}}
  for i = 1, {rows} do
    local at = moment()
    parts[i] = {_ATTRIBUTE}
  end
  local body = '{{"n":[' .. table.concat(parts, ",") .. ']}}'
  return wrk.format("POST", "{path}" .. math.random(0, {entities - 1}) .. "/attrs", {JSON}, body)
end
"""


def query(q: str, radius_m: float) -> str:
    """type + q + near, the first 20; `q` may name a number of 0 to 999 by {{k}}."""
    term = q.replace("{k}", '" .. math.random(0, 999) .. "')
    return f"""{SEED}
request = function()
  local lon, lat = {WEST} + math.random() * {SIDE}, {SOUTH} + math.random() * {SIDE}
  return wrk.format("GET", "/ngsi-ld/v1/entities?type=City&limit=20&q={term}"
    .. "&georel=near;maxDistance=={radius_m:.0f}&geometry=Point&coordinates=[" .. lon .. "," .. lat
    .. "]")
end
"""
