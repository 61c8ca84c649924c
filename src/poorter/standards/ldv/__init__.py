# SPDX-License-Identifier: EUPL-1.2
"""Logboek Dataverwerkingen: its extension for reading (OAS 1.1.0)."""
