# SPDX-License-Identifier: EUPL-1.2
"""Poorter: the open city platform in which every use of data serves a stated goal."""

__version__ = "0.1.0"
