# SPDX-License-Identifier: EUPL-1.2
"""NGSI-LD (ETSI GS CIM 009): codec, routes and errors."""
