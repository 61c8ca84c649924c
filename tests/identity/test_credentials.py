# SPDX-License-Identifier: EUPL-1.2
"""Keys of apps: bound, hashed, revocable, ending."""

import pytest

from poorter.city.errors import Unauthenticated
from poorter.identity.credentials import Credential, Credentials, new_credential


def test_a_key_leads_to_its_processor_and_purpose() -> None:
    credential, key = new_credential("app:navigator", "find-a-place")
    caller = Credentials([credential]).caller(key, 0)
    assert (caller.processor, caller.purpose) == ("app:navigator", "find-a-place")
    assert caller.credential == credential.id


def test_the_key_itself_is_kept_nowhere() -> None:
    credential, key = new_credential("a", "b")
    secret = key.rsplit("_", 1)[1]
    assert secret not in str(credential)
    assert secret not in str(credential.to_doc())


@pytest.mark.parametrize("change", [lambda k: k[:-1], lambda k: k + "0", str.upper, lambda _: ""])
def test_any_other_key_is_refused(change) -> None:
    credential, key = new_credential("a", "b")
    with pytest.raises(Unauthenticated):
        Credentials([credential]).caller(change(key), 0)


def test_a_revoked_key_is_gone_at_once() -> None:
    credential, key = new_credential("a", "b")
    credentials = Credentials([credential])
    credentials.caller(key, 0)
    credentials.replace([])
    with pytest.raises(Unauthenticated):
        credentials.caller(key, 0)


def test_a_key_ends_when_it_said_it_would() -> None:
    credential, key = new_credential("a", "b", until_us=1000)
    credentials = Credentials([Credential.from_doc(credential.id, credential.to_doc())])
    assert credentials.caller(key, 999).processor == "a"
    with pytest.raises(Unauthenticated):
        credentials.caller(key, 1000)
