# SPDX-License-Identifier: EUPL-1.2
"""Staff log in with a password; forms carry the session's own token."""

import time

import pytest

from poorter.city.errors import Denied, Invalid, Unauthenticated
from poorter.identity.passwords import hash_password, verify_password
from poorter.identity.sessions import Officer, Session, log_in, session_id

OFFICER = Officer("anna", "Parkeerbedrijf", ("operator",), hash_password("a long pass phrase"))


def test_the_right_password_opens_a_session_under_a_hashed_cookie() -> None:
    session, cookie = log_in(OFFICER, "a long pass phrase", 5)
    assert session.id == session_id(cookie)
    assert cookie not in str(session.to_doc())
    assert Session.from_doc(session.id, session.to_doc()) == session
    assert session.until_us > 5


def test_a_wrong_password_and_a_wrong_name_sound_and_last_alike() -> None:
    with pytest.raises(Unauthenticated) as unknown:
        log_in(None, "a long pass phrase", 0)  # the first call also makes the stand-in
    with pytest.raises(Unauthenticated) as wrong:
        log_in(OFFICER, "another long phrase", 0)
    assert unknown.value.detail == wrong.value.detail
    spent = []
    for officer in (None, OFFICER):
        start = time.thread_time()
        with pytest.raises(Unauthenticated):
            log_in(officer, "another long phrase", 0)
        spent.append(time.thread_time() - start)
    assert 0.3 < spent[0] / spent[1] < 3


def test_a_form_with_another_token_is_refused() -> None:
    session, _ = log_in(OFFICER, "a long pass phrase", 5)
    session.check_csrf(session.csrf)
    for token in ("", session.csrf[:-1], "é" * 10):
        with pytest.raises(Denied):
            session.check_csrf(token)


def test_short_passwords_are_refused_when_set() -> None:
    with pytest.raises(Invalid, match="12 to 256"):
        hash_password("short")
    assert not verify_password("x" * 257, OFFICER.password)
