# SPDX-License-Identifier: EUPL-1.2
"""Advice, mandate, decision, action, outcome, objection: a system advises, a mandate decides."""
