# SPDX-License-Identifier: EUPL-1.2
"""Log in by wallet: asked for no more than needed, answered once, for the browser that began."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from tests.founded import founded
from tests.serving import serving
from tests.wallets import ISSUER, VCT, Wallet, credential, new_key, status_list
from tests.web.test_federated import CITY, browser
from tests.web.test_pages import check_html, hidden

from poorter.city.clock import SystemClock
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.identity.persons import digest_of
from poorter.identity.residents import COOKIE, Known
from poorter.identity.sealing import unseal
from poorter.identity.services import MY_DATA, Service
from poorter.offices.desk import session_of
from poorter.offices.federated import TRY
from poorter.offices.wallet import Asked, client_id
from poorter.running import Running

KEY = new_key("issuer-1")
OVER_16 = Service("say", Text("x", "x"), "law", frozenset(("age_over_16",)), "substantial")
DOOR = "/openid4vp/response"
TABLE = {
    "issuer": ISSUER,
    "vct": VCT,
    "keys": "issuer.json",
    "assurance": "high",
    "person_claim": "personal_number",
    "person_scheme": "bsn",
    "claims": {"resident": "resident", "age_over_16": "age_over_16"},
}


@asynccontextmanager
async def city(
    folder: Path, hosts: list[str] | None = None, encrypted: bool = False
) -> AsyncIterator[Running]:
    folder.mkdir(exist_ok=True)
    (folder / "issuer.json").write_text(json.dumps({"keys": [json.loads(KEY.export_public())]}))
    little = TABLE | {"vct": "https://issuer.example/age", "person_claim": "", "person_scheme": ""}
    settings: dict[str, Any] = {
        "network.allowed_hosts": hosts or [],
        "server.public_url": CITY,
        "identity.wallets": {"card": TABLE, "age": little},
        "identity.wallet_encrypted": encrypted,
    }
    clock: Any = SystemClock()
    async with founded(folder, clock, more=settings) as running:
        running.services[OVER_16.id] = OVER_16
        try:
            yield running
        finally:
            await running.outgoing.close()


async def asked(client: httpx.AsyncClient, service: str, to: str = "") -> dict[str, str]:
    page = await client.get(f"/nl/login/wallet?for={service}&to={to}")
    assert page.status_code == 200, page.text
    check_html("wallet", page.text, "nl")
    link = re.search(r'href="(openid4vp:[^"]+)"', page.text)
    assert link
    query = parse_qs(urlsplit(unescape(link[1])).query)
    return {name: values[0] for name, values in query.items()}


def answered(request: dict[str, str], wallet: Wallet, *names: str, **more: str) -> dict[str, str]:
    """What a wallet posts."""
    nonce, audience = more.get("nonce", request["nonce"]), request["client_id"]
    text = wallet.show(*names, nonce=nonce, audience=audience)
    return {"state": request["state"], "vp_token": json.dumps({more.get("id", "card"): [text]})}


async def come_in(client: httpx.AsyncClient, service: str, *names: str) -> httpx.Response:
    request = await asked(client, service)
    posted = await client.post(DOOR, data=answered(request, credential(KEY), *names))
    assert posted.status_code == 200, posted.text
    return await client.get(posted.json()["redirect_uri"])


def test_only_that_one_is_over_sixteen(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as running, browser(running) as client:
            page = await client.get("/nl/enter?for=say")
            assert "login/wallet?for=say" in page.text
            request = await asked(client, "say", "goals")
            assert request["response_mode"] == "direct_post"
            assert request["client_id"] == f"redirect_uri:{CITY}{DOOR}"
            query = json.loads(request["dcql_query"])
            assert [c["claims"] for c in query["credentials"]] == 2 * [[{"path": ["age_over_16"]}]]
            form = answered(request, credential(KEY), "age_over_16")
            posted = await client.post(DOOR, data=form)
            home = await client.get(posted.json()["redirect_uri"])
            assert (home.status_code, home.headers["location"]) == (303, "/nl/goals")
            session = session_of(running, client.cookies[COOKIE])
            assert session is not None
            assert session.said.root is None
            assert session.said.attributes == {"age_over_16": True}
            assert session.said.assurance == "high"
            assert Known(OVER_16, session.said, running.persons).attributes == {"age_over_16": True}

    asyncio.run(run())


def test_who_it_is_only_where_the_law_needs_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as running, browser(running) as client:
            request = await asked(client, "my-data")
            query = json.loads(request["dcql_query"])
            assert [c["id"] for c in query["credentials"]] == ["card"], "the other can't say it"
            assert query["credentials"][0]["claims"] == [{"path": ["personal_number"]}]
            assert (await come_in(client, "my-data", "personal_number")).status_code == 303
            session = session_of(running, client.cookies[COOKIE])
            assert session is not None
            root = running.persons.root("bsn", "999990020")
            mine = Known(MY_DATA, session.said, running.persons)
            assert mine.subject("care") == running.persons.subject(root, "care")
            assert session.said.attributes == {}

    asyncio.run(run())


def test_wrong_answers_let_nobody_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as running, browser(running) as client:
            wallet, thief = credential(KEY), credential(new_key("issuer-1"))
            for number, make in enumerate(
                (
                    lambda r: answered(r, wallet, "age_over_16", "family_name"),
                    lambda r: answered(r, wallet, "age_over_16", nonce="old"),
                    lambda r: answered(r, thief, "age_over_16"),
                    lambda r: answered(r, wallet, "age_over_16", id="age"),  # another vct
                    lambda r: answered(r, wallet, "age_over_16", id="nobody"),
                    lambda r: answered(r, wallet, "age_over_16") | {"state": "x"},
                    lambda r: {"state": r["state"], "error": "access_denied"},
                    lambda r: {"state": r["state"], "vp_token": "{}"},
                    lambda r: {"state": r["state"], "vp_token": '{"card": []}'},
                    lambda r: {"state": r["state"], "vp_token": '{"card": [5]}'},
                    lambda r: {"state": r["state"], "vp_token": '{"card": ["a"], "age": ["b"]}'},
                    lambda r: {"state": r["state"], "vp_token": "[" * 5000},
                )
            ):
                request = await asked(client, "say")
                refused = await client.post(DOOR, data=make(request))
                assert refused.status_code == 400, number
                assert "redirect_uri" not in refused.text
            for _ in range(5):
                await client.post(DOOR, data={"state": request["state"], "vp_token": "{}"})
            right = await client.post(DOOR, data=answered(request, wallet, "age_over_16"))
            assert right.status_code == 400, "five wrong answers are enough"
            assert (await client.get("/nl/login/wallet?for=consents")).status_code == 200
            permit = running.gate.permit("internal:identity", RUN, "read")
            assert running.store.records(permit, "resident-session") == []

    asyncio.run(run())


def test_an_answer_counts_once_and_opens_the_browser_that_began_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as running, browser(running) as client:
            wallet = credential(KEY)
            request = await asked(client, "say")
            form = answered(request, wallet, "age_over_16")
            posted = await asyncio.gather(*(client.post(DOOR, data=form) for _ in range(6)))
            assert sorted(p.status_code for p in posted) == [200, *[400] * 5]
            (home,) = [p.json()["redirect_uri"] for p in posted if p.status_code == 200]
            async with browser(running) as thief:
                await asked(thief, "say")
                assert (await thief.get(home)).status_code == 401, "not the browser it began in"
            assert (await client.get(home[:-3] + "xyz")).status_code == 401
            assert "poorter_wallet" not in client.cookies, "a wrong code ends the try"
            request = await asked(client, "say")
            posted_once = await client.post(DOOR, data=answered(request, wallet, "age_over_16"))
            kept = {"cookie": f"poorter_wallet={client.cookies['poorter_wallet']}"}
            home = posted_once.json()["redirect_uri"]
            async with browser(running) as same:
                tries = await asyncio.gather(*(same.get(home, headers=kept) for _ in range(6)))
            assert sorted(t.status_code for t in tries) == [303, *[401] * 5]
            replayed = await client.post(DOOR, data=answered(request, wallet, "age_over_16"))
            assert replayed.status_code == 400

    asyncio.run(run())


def test_a_revoked_credential_and_a_list_that_is_away(tmp_path: Path) -> None:
    async def run() -> None:
        lists: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                for _ in range(2):
                    await send({"type": (await receive())["type"] + ".complete"})
                return
            status = 200 if lists else 503
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": "".join(lists).encode()})

        async with (
            serving(app) as url,
            city(tmp_path, ["127.0.0.1"]) as running,
            browser(running) as client,
        ):
            uri = f"{url}/status"

            async def tried(index: int, where: str = uri) -> int:
                status = {"status_list": {"uri": where, "idx": index}}
                request = await asked(client, "say")
                form = answered(request, credential(KEY, status=status), "age_over_16")
                return (await client.post(DOOR, data=form)).status_code

            assert await tried(1) == 400, "no list, no login"
            lists.append(status_list(KEY, uri, bytes((0b00000100,))))
            assert await tried(1) == 200
            assert await tried(2) == 400
            assert await tried(1, "http://evil.example/status") == 400, "not an allowed host"

    asyncio.run(run())


def sealed(request: dict[str, str], form: dict[str, str], **more: Any) -> dict[str, str]:
    """The answer of a wallet, encrypted by another's library as `direct_post.jwt` has it."""
    (key,) = json.loads(request["client_metadata"])["jwks"]["keys"]
    inside = {"vp_token": json.loads(form["vp_token"]), "state": form["state"]} | more.pop(
        "also", {}
    )
    head = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key["kid"], **more.pop("head", {})}
    message = JWE(json.dumps(inside).encode(), json.dumps(head), algs=list(ANY))
    message.add_recipient(more.pop("key", None) or JWK(**key))
    return {"response": str(message.serialize(compact=True))}


ANY = ("ECDH-ES", "ECDH-ES+A128KW", "A256GCM", "A128CBC-HS256", "dir", "A256KW")


def test_an_encrypted_answer_is_taken_where_it_was_asked_and_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path, encrypted=True) as running, browser(running) as client:
            stranger = JWK.generate(kty="EC", crv="P-256")
            shared = JWK.generate(kty="oct", size=256)

            def bent(request: dict[str, str], form: dict[str, str]) -> dict[str, str]:
                *parts, tag = sealed(request, form)["response"].split(".")
                return {"response": ".".join([*parts, ("A" if tag[0] != "A" else "B") + tag[1:]])}

            wrongs: tuple[Callable[..., dict[str, str]], ...] = (
                lambda r, f: f,
                lambda r, f: f | sealed(r, f, also={"state": "another"}),
                lambda r, f: sealed(r, f, key=stranger),
                lambda r, f: sealed(r, f, head={"zip": "DEF"}),
                lambda r, f: sealed(r, f, head={"enc": "A128CBC-HS256"}),
                lambda r, f: sealed(r, f, head={"alg": "ECDH-ES+A128KW"}),
                lambda r, f: sealed(r, f, head={"alg": "dir"}, key=shared),
                lambda r, f: sealed(r, f, head={"kid": "another"}),
                lambda r, f: sealed(r, f, also={"state": "another"}),
                lambda r, f: sealed(r, f, also={"vp_token": "text"}),
                bent,
                lambda r, f: {"response": sealed(r, f)["response"] + "."},
                lambda r, f: {"response": sealed(r, f)["response"] * 400},
            )
            for number, wrong in enumerate(wrongs):
                request = await asked(client, "say")
                form = answered(request, credential(KEY), "age_over_16")
                posted = await client.post(DOOR, data=wrong(request, form))
                assert posted.status_code in (400, 413), number
            request = await asked(client, "say")
            assert request["response_mode"] == "direct_post.jwt"
            (key,) = json.loads(request["client_metadata"])["jwks"]["keys"]
            assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "no private half"
            form = answered(request, credential(KEY), "age_over_16")
            posted = await client.post(DOOR, data=sealed(request, form))
            assert posted.status_code == 200, posted.text
            again = await client.post(DOOR, data=sealed(request, form))
            assert again.status_code == 400, "once"
            home = await client.get(posted.json()["redirect_uri"])
            assert home.status_code == 303
            session = session_of(running, client.cookies[COOKIE])
            assert session is not None
            assert session.said.attributes == {"age_over_16": True}

    asyncio.run(run())


def test_a_wallet_on_another_device_lets_in_the_browser_that_showed_the_code(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with (
            city(tmp_path) as running,
            browser(running) as client,
            browser(running) as thief,
        ):
            page = (await client.get("/en/login/wallet?for=say")).text
            check_html("wallet", page, "en")
            assert "<svg" in page
            state = hidden(page, "state")
            assert state not in (await asked(client, "say"))["state"]
            page = (await client.get("/en/login/wallet?for=say")).text
            state = hidden(page, "state")
            done = "/en/login/wallet/done"
            waits = await client.post(done, data={"state": state})
            assert waits.status_code == 200
            check_html("wallet", waits.text, "en")
            assert (await client.post(done, data={"state": "x"})).status_code == 401
            page = (await client.get("/en/login/wallet?for=say")).text
            state = hidden(page, "state")
            request = read_qr_link(running, state)
            form = answered(request, credential(KEY), "age_over_16")
            async with browser(running) as telephone:
                posted = await telephone.post(DOOR, data=form)
                assert (posted.status_code, posted.json()) == (200, {})
                assert (await telephone.post(done, data={"state": state})).status_code == 401
            assert (await thief.post(done, data={"state": state})).status_code == 401
            back = f"/openid4vp/back?state={state}&response_code=across%20{state}"
            assert (await thief.get(back)).status_code == 401
            assert (await client.post(done, data={"state": state})).status_code == 303
            assert session_of(running, client.cookies[COOKIE]) is not None
            again = await client.post(done, data={"state": state})
            assert again.status_code == 401

    asyncio.run(run())


def read_qr_link(running: Running, state: str) -> dict[str, str]:
    """What the code on the page says: the request of that state, as kept for it."""
    permit = running.gate.permit("internal:identity", RUN, "read")
    record = running.store.record(permit, TRY, digest_of(running.pepper, "wallet", state))
    kept = msgspec.msgpack.decode(unseal(running.pepper, state, record.doc["sealed"]), type=Asked)
    return {"state": state, "nonce": kept.nonce, "client_id": client_id(running)}
