# SPDX-License-Identifier: EUPL-1.2
"""Server-made pages for staff and residents, in Dutch and English, whole without JavaScript."""
