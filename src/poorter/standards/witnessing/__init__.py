# SPDX-License-Identifier: EUPL-1.2
"""C2SP tlog-witness over HTTP: both sides of it."""
