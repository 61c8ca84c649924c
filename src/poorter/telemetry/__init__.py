# SPDX-License-Identifier: EUPL-1.2
"""What operators watch a city by: health, metrics, logs. Counts and times only: no ids, no values,
nothing that a request carried."""
