# SPDX-License-Identifier: EUPL-1.2
"""The store contract over tables, whatever engine keeps them: SQLite or PostgreSQL."""
