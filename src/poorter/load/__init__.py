# SPDX-License-Identifier: EUPL-1.2
"""Files into the city by maps: streaming, resumable, idempotent, and every refused row is named."""
