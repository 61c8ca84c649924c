# SPDX-License-Identifier: EUPL-1.2
"""The embedded store: SQLite, one writer, group commit. Nothing else to install or start."""

from poorter.store.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
