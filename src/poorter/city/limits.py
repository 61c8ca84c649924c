# SPDX-License-Identifier: EUPL-1.2
"""Every limit in one place, so that nothing grows without one. Documented in docs/reference."""

from __future__ import annotations

BODY_BYTES_MAX = 8 * 1024 * 1024  # of one request
ATTRIBUTE_BYTES_MAX = 256 * 1024  # of one attribute instance as JSON
JSON_DEPTH_MAX = 64  # objects and lists within one another
BATCH_ENTITIES_MAX = 1000  # entities in one batch request
ENTITY_ATTRIBUTES_MAX = 500  # attribute instances of one entity
NAME_CHARS_MAX = 256  # of a type or attribute name
URN_CHARS_MAX = 512  # of an id
PAGE_DEFAULT = 20  # items on a page when nobody says
PAGE_MAX = 1000  # items on one page of anything
HISTORY_PAGE_MAX = 10_000  # observations or instances in one answer
GROUP_BUCKETS_MAX = 2000  # buckets in one answer by group
QUERY_CHARS_MAX = 4096  # of q
QUERY_TERMS_MAX = 64  # terms in q
PATTERN_CHARS_MAX = 200  # of a regular expression
GEOMETRY_POINTS_MAX = 20_000  # positions in one geometry
WRITE_QUEUE_MAX = 10_000  # changes that wait to be written
COMMIT_CHANGES_MAX = 2000  # changes in one group commit
SUBSCRIBER_QUEUE_MAX = 10_000  # events that wait for one subscriber
FUTURE_SKEW_S_MAX = 300  # seconds that a reading may be ahead of the city's clock
IDEMPOTENCY_HOURS = 24  # hours for which a repeated request gets the first answer
PERMIT_LEASE_US = 1_000_000  # microseconds for which a permit holds
TEXT_CHARS_MAX = 4000  # of what a person writes in a form
HOLD_DAYS_MAX = 31  # days that something may be held
TENANTS_MAX = 50  # tenants of one city
FORMER_VALUES_MAX = 1000  # former values of one attribute without a time of its own
TRACE_QUEUE_MAX = 2048  # spans that wait for the collector of traces
CONTROL_LINE_BYTES_MAX = 64 * 1024  # of a question to the served city from its own machine
MOVE_KEYS_BYTES_MAX = 4 * 1024**3  # of the keys of rows that are written while a city moves
MOVE_PAUSE_S_MAX = 10  # seconds for which nothing is written when a city has moved
