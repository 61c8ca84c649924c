# SPDX-License-Identifier: EUPL-1.2
"""The ledger over HTTP: C2SP tiles and checkpoint as files, receipts made on request."""
