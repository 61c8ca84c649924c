# SPDX-License-Identifier: EUPL-1.2
"""The example city: invented, seeded, with faults. Same seed, same events."""
