# SPDX-License-Identifier: EUPL-1.2
"""Context sources: who may be asked, and operations spread over them (CIM 009, 4.3.6, 5.9-5.12)."""
