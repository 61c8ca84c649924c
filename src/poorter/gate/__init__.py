# SPDX-License-Identifier: EUPL-1.2
"""The gate: goals, purposes, grants, and the permits compiled from them."""
