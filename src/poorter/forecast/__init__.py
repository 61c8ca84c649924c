# SPDX-License-Identifier: EUPL-1.2
"""Forecasts of counts by place and hour, each with an interval: a library for systems."""
