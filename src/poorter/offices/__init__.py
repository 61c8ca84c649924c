# SPDX-License-Identifier: EUPL-1.2
"""Who governs a running city: officers, keys of apps, grants. What gives power takes two officers:
one drafts, another approves. Each step leaves a leaf."""
