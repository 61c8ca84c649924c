# SPDX-License-Identifier: EUPL-1.2
"""What people can do about data on them: consent, object, be erased; and what the city owes them
when it must look behind a wall all the same."""
