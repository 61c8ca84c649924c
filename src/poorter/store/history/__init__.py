# SPDX-License-Identifier: EUPL-1.2
"""Columnar history: segments as Parquet files. Knows files and arrays, no database."""
