# SPDX-License-Identifier: EUPL-1.2
"""A signed policy: its parts, their Cedar text, a rising version, and two signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from poorter.city.errors import Invalid
from poorter.gate.cedar import to_cedar, validate
from poorter.gate.compile import compile_table
from poorter.gate.gate import Compiled, arrange
from poorter.gate.policy import Policy, check_policy
from poorter.identity.keys import KeyPair, PublicPair


class Bundle(msgspec.Struct, frozen=True):
    """What is kept and loaded: canonical policy, Cedar text, signatures over both."""

    version: int
    policy: bytes
    cedar: str
    signatures: tuple[bytes, bytes]

    def digest(self) -> str:
        """SHA-256 of what was signed, hexadecimal: names this policy in the ledger."""
        return hashlib.sha256(_message(self.version, self.policy, self.cedar)).hexdigest()


def make_bundle(policy: Policy, key: KeyPair) -> Bundle:
    """Check, write as Cedar, validate, compile once to be sure, and sign."""
    check_policy(policy)
    text = to_cedar(policy)
    validate(text)
    compile_table(text)
    data = msgspec.json.encode(policy, order="deterministic")
    return Bundle(policy.version, data, text, key.sign(_message(policy.version, data, text)))


def open_bundle(bundle: Bundle, keys: Iterable[PublicPair], above: int = -1) -> Compiled:
    """The compiled policy of a bundle.

    Raises: Invalid when no key signed it in both ways, when its version is not over `above`, or
    when text and parts do not belong together.
    """
    message = _message(bundle.version, bundle.policy, bundle.cedar)
    if not any(key.verify(bundle.signatures, message) for key in keys):
        raise Invalid("the policy is not signed by this city in both ways")
    if bundle.version <= above:
        raise Invalid(f"policy version {bundle.version} is not above {above}")
    try:
        policy = msgspec.json.decode(bundle.policy, type=Policy)
    except msgspec.MsgspecError as wrong:
        raise Invalid(f"the policy is damaged: {wrong}") from None
    if policy.version != bundle.version or to_cedar(policy) != bundle.cedar:
        raise Invalid("the policy's text is not that of its parts")
    return arrange(policy, compile_table(bundle.cedar))


def policy_of(bundle: Bundle) -> Policy:
    """The policy as it was, unverified: to explain what was done under it. Raises Invalid."""
    try:
        return msgspec.json.decode(bundle.policy, type=Policy)
    except msgspec.MsgspecError as wrong:
        raise Invalid(f"the policy is damaged: {wrong}") from None


def to_doc(bundle: Bundle) -> dict[str, Any]:
    """As a record's document."""
    doc: dict[str, Any] = msgspec.to_builtins(bundle)
    return doc


def from_doc(doc: dict[str, Any]) -> Bundle:
    """From a record's document. Raises Invalid when it is none."""
    try:
        return msgspec.convert(doc, Bundle)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"the policy is damaged: {wrong}") from None


def _message(version: int, policy: bytes, cedar: str) -> bytes:
    return b"poorter-policy\n%d\n%d\n" % (version, len(policy)) + policy + cedar.encode()
