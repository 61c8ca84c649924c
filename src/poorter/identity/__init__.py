# SPDX-License-Identifier: EUPL-1.2
"""Who is asking: apps by keys, staff by sessions, the city itself by its signing keys."""
