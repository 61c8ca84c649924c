# SPDX-License-Identifier: EUPL-1.2
"""The figures: each measured beside a bare limit in the same run."""
