# SPDX-License-Identifier: EUPL-1.2
"""The vocabulary every layer shares: entities, time, place, ids, errors, limits. Pure."""
