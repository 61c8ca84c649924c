# SPDX-License-Identifier: EUPL-1.2
"""Policy as Cedar text: what officers review and what is signed. Cedar itself validates it.

Only authoring needs the Cedar library; the running gate uses the compiled table (`compile`).
"""

from __future__ import annotations

import json

from poorter.city.errors import Invalid
from poorter.gate.policy import Grant, Policy

ACTIONS = ("read", "write", "command", "decide", "administer")

SCHEMA = """
entity Processor;
entity Dataset;
type Use = { purpose: String, now: Long };
""" + "".join(
    f'action "{action}" appliesTo {{ principal: Processor, resource: Dataset, context: Use }};\n'
    for action in ACTIONS
)


def to_cedar(policy: Policy) -> str:
    """One permit per grant, one forbid per purpose whose goal has no vote or was rescinded."""
    parts = [f"// policy version {policy.version}"]
    for grant in sorted(policy.grants.values(), key=lambda grant: grant.id):
        actions = ", ".join(f"Action::{_quoted(action)}" for action in grant.actions)
        when = [f"context.purpose == {_quoted(grant.purpose)}", f"context.now >= {grant.from_us}"]
        if grant.until_us is not None:
            when.append(f"context.now < {grant.until_us}")
        parts.append(
            f"@id({_quoted(grant.id)})\n{_obligations(grant)}permit (\n"
            f"  principal == Processor::{_quoted(grant.processor)},\n"
            f"  action in [{actions}],\n"
            f"  resource == Dataset::{_quoted(grant.dataset)}\n"
            f") when {{\n  {' && '.join(when)}\n}};"
        )
    for purpose in sorted(policy.purposes.values(), key=lambda purpose: purpose.id):
        goal = policy.goals[purpose.goal]
        if goal.vote is None or goal.rescinded_at_us is not None:
            since = goal.rescinded_at_us if goal.vote is not None else 0
            parts.append(
                f"@id({_quoted('no-goal:' + purpose.id)})\n"
                "forbid (\n  principal,\n  action,\n  resource\n) when {\n"
                f"  context.purpose == {_quoted(purpose.id)} && context.now >= {since}\n}};"
            )
    return "\n\n".join(parts) + "\n"


def _obligations(grant: Grant) -> str:
    """What the grant obliges to, as annotations: no part of the answer, but of what is signed."""
    lines = ""
    if grant.mask:
        lines += f"@mask({_quoted(', '.join(grant.mask))})\n"
    if grant.max_rows is not None:
        lines += f"@max_rows({_quoted(str(grant.max_rows))})\n"
    return lines


def validate(text: str) -> None:
    """Hold the text against the schema by Cedar's own validator. Raises Invalid with its words."""
    import cedarpy

    result = cedarpy.validate_policies(text, SCHEMA)
    if not result.validation_passed:
        raise Invalid("Cedar: " + "; ".join(error.error for error in result.errors))


def _quoted(text: str) -> str:
    return json.dumps(text)
