# SPDX-License-Identifier: EUPL-1.2
"""The city handle over HTTP: a system works on a remote Poorter with no change, and its reading
half on any NGSI-LD broker. `open_city(...)` finds out which of the two stands there."""

from poorter.client.opening import open_city

__all__ = ["open_city"]
