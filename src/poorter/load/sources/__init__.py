# SPDX-License-Identifier: EUPL-1.2
"""One reader per file format: each gives (line, row) in the order of the file, and says how far."""
