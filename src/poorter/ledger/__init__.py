# SPDX-License-Identifier: EUPL-1.2
"""The ledger: an append-only, provable record of uses, decisions, policy and registers."""
