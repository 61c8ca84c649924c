# SPDX-License-Identifier: EUPL-1.2
"""Backups of a city that is being served, and coming back from one: docs/backup.md."""
