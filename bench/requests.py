# SPDX-License-Identifier: EUPL-1.2
"""What wrk sends, as Lua: over ten thousand entities, chosen at random."""

_ID = "/ngsi-ld/v1/entities/urn:ngsi-ld:City:"
_JSON = '{["content-type"] = "application/json"}'

RETRIEVE = f"""
request = function()
  return wrk.format("GET", "{_ID}" .. math.random(0, 9999))
end
"""

UPDATE = f"""
local n = 0
request = function()
  n = n + 1
  local body = '{{"n":{{"type":"Property","value":' .. n .. '}}}}'
  return wrk.format("POST", "{_ID}" .. math.random(0, 9999) .. "/attrs", {_JSON}, body)
end
"""

BATCH = f"""
local n = 0
request = function()
  n = n + 1
  local parts = {{}}
  for i = 1, 100 do
    parts[i] = '{{"id":"urn:ngsi-ld:City:' .. math.random(0, 9999)
      .. '","type":"City","n":{{"type":"Property","value":' .. n .. '}}}}'
  end
  local body = "[" .. table.concat(parts, ",") .. "]"
  return wrk.format("POST", "/ngsi-ld/v1/entityOperations/upsert?options=update", {_JSON}, body)
end
"""

QUERY = """
request = function()
  local lon, lat = 5 + math.random() / 2, 52 + math.random() / 2
  return wrk.format("GET", "/ngsi-ld/v1/entities?type=City&limit=20&q=n%3C500"
    .. "&georel=near;maxDistance==1500&geometry=Point&coordinates=[" .. lon .. "," .. lat .. "]")
end
"""
