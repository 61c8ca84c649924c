# SPDX-License-Identifier: EUPL-1.2
"""What all HTTP faces share: a request, an answer, and who is asking."""
