# SPDX-License-Identifier: EUPL-1.2
"""Stores: one contract, an embedded default and an engine for beyond one machine."""
