# SPDX-License-Identifier: EUPL-1.2
"""OpenID Connect: staff and residents log in at an issuer of their own (OIDC Core 1.0, PKCE)."""
