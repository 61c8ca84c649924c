# SPDX-License-Identifier: EUPL-1.2
"""Leaving with everything, in open formats, and coming back: docs/leaving.md."""
