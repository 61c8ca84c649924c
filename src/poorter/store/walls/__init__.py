# SPDX-License-Identifier: EUPL-1.2
"""Rows of persons over any store: sealed under a key of each person, shown row by row as rights,
purpose and retention allow, under ids of the purpose. Whatever is open passes untouched."""
