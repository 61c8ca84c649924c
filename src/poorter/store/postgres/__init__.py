# SPDX-License-Identifier: EUPL-1.2
"""The store beyond one machine: PostgreSQL with PostGIS, many cities in one database, each behind a
wall that the database holds."""
