# SPDX-License-Identifier: EUPL-1.2
"""What happens after a commit: events to whoever follows, in order, without slowing the writer."""
