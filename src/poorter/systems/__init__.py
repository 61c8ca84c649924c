# SPDX-License-Identifier: EUPL-1.2
"""City systems, one folder each, all of one shape: see `poorter.systems.shape`."""
