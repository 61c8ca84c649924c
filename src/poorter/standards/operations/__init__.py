# SPDX-License-Identifier: EUPL-1.2
"""The systems' own operations over HTTP, derived from their declarations, with their OpenAPI."""
