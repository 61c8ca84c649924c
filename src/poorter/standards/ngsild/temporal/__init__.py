# SPDX-License-Identifier: EUPL-1.2
"""The temporal evolution of entities (CIM 009, 4.5.6 to 4.5.9, 5.6.11 to 5.6.16, 5.7.3, 5.7.4)."""
