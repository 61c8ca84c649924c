# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions and notifications (CIM 009, 5.8, 5.3.1)."""
