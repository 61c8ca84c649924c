# SPDX-License-Identifier: EUPL-1.2
"""OpenID for Verifiable Presentations 1.0: a wallet shows part of a credential (direct_post)."""
