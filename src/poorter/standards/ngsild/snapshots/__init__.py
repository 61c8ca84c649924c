# SPDX-License-Identifier: EUPL-1.2
"""Snapshots (CIM 009, 4.3.7, 5.16): what queries find, kept as it was."""
