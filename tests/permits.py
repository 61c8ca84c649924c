# SPDX-License-Identifier: EUPL-1.2
"""Permits for tests of stores. The running city gets them from its gate only."""

from collections.abc import Mapping

from poorter.gate.permit import ANY_TYPE, Action, Permit, TypeRule

FAR_US = 2**61


def permit(
    action: Action = "read",
    rules: Mapping[str, TypeRule] | None = None,
    valid_until_us: int = FAR_US,
) -> Permit:
    """A permit for everything, or for exactly `rules`."""
    if rules is None:
        kinds = ("hold", "leaf", "goal", "note")
        rules = {ANY_TYPE: TypeRule()} | {f"record:{kind}": TypeRule() for kind in kinds}
    return Permit("test", "test", action, rules, valid_until_us, 1, "test")


READ = permit("read")
WRITE = permit("write")
