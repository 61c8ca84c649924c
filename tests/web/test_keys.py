# SPDX-License-Identifier: EUPL-1.2
"""Keys and certificates of apps: replaced without a gap, revoked at once, passed on by own proxies
only. The certificates are shown in a real TLS handshake."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from tests.founded import founded
from tests.served import free_port
from tests.serving import serving
from tests.web.test_offices import code
from tests.web.test_pages import browsing, hidden, log_in

from poorter.city.clock import ManualClock, SystemClock
from poorter.city.errors import Conflict, Invalid, NotFound, Unauthenticated
from poorter.gate.genesis import RUN
from poorter.identity.certificates import read_certificate, read_header
from poorter.jobs import note_used
from poorter.offices.keys import keys, make_certificate, make_key, replace_key, revoke_key
from poorter.running import Running
from poorter.server import make_app
from poorter.store.contract import Change, PutRecord

WHO = ("system:parking", "parking-guidance")
ABOUT = "/api/city"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_key_is_replaced_without_a_gap(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, client):

            async def status(key: str) -> int:
                return (await client.get(ABOUT, headers=bearer(key))).status_code

            old, first = await make_key(running, *WHO, 30, "ada")
            new, second = await replace_key(running, old.id, 2, "ada")
            assert new.follows == old.id
            assert [await status(key) for key in (first, second)] == [200, 200]
            clock.forward_s(2 * 86400)
            assert [await status(key) for key in (first, second)] == [401, 200]
            clock.forward_s(28 * 86400 - 1)
            assert await status(second) == 200
            clock.forward_s(1)
            assert await status(second) == 401
            with pytest.raises(Invalid):
                await replace_key(running, new.id, 2, "ada")
            with pytest.raises(NotFound):
                await replace_key(running, "nothing", 2, "ada")
            third, _ = await make_key(running, *WHO, 1, "ada")
            for days in (-1, 91):
                with pytest.raises(Invalid):
                    await replace_key(running, third.id, days, "ada")
            both = await asyncio.gather(
                *(replace_key(running, third.id, 5, "ada") for _ in range(4)),
                return_exceptions=True,
            )
            assert sum(isinstance(one, tuple) for one in both) == 1
            assert sum(isinstance(one, Conflict) for one in both) == 3
            ended = next(k for k in keys(running) if k.id == third.id)
            assert ended.until_us == third.until_us, "an overlap lengthens nothing"

    asyncio.run(run())


def test_the_page_replaces_and_says_when_a_key_was_last_used(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            csrf = await log_in(client)
            await make_key(running, *WHO, 30, "ada")
            page = await client.get("/en/control/keys")
            assert "not yet" in page.text
            form = {"csrf": csrf, "act": "replace", "id": hidden(page.text, "id")}
            made = await client.post("/en/control/keys", data=form)
            key = code(made.text)
            assert (await client.get(ABOUT, headers=bearer(key))).status_code == 200
            await note_used(running)
            assert (await client.get("/en/control/keys")).text.count("not yet") == 1
            double = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]
            assert (await client.get(ABOUT, headers=double)).status_code == 401

    asyncio.run(run())


def test_every_key_is_known_however_many_there_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            made, key = await make_key(running, *WHO, 30, "ada")
            permit = running.gate.permit("internal:identity", RUN, "administer")
            others = [
                PutRecord("credential", f"0{n:07}", made.to_doc() | {"digest": f"x{n}"})
                for n in range(1200)
            ]
            await running.store.commit_async(permit, Change(tuple(others)))
            running.load_credentials()
            assert running.credentials.caller(key, running.clock.now_us()).credential == made.id

    asyncio.run(run())


def certificate(
    name: str, key: Any = None, days: int = 30
) -> tuple[bytes, bytes, x509.Certificate]:
    """Key and certificate as PEM, signed by itself, and the certificate."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, made.public_bytes(serialization.Encoding.PEM), made


@asynccontextmanager
async def tls_proxy(folder: Path, city: str, trusted: list[bytes]) -> AsyncIterator[str]:
    """Ends TLS with client certificates, and passes on whom it saw, as RFC 9440 writes it."""
    private, public, _ = certificate("localhost")
    (folder / "proxy.pem").write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "proxy.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=b"".join(trusted).decode())

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"client-cert")]
        seen = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        kept.insert(1, b"Client-Cert: :" + base64.b64encode(seen) + b":")
        host, _, port = city.removeprefix("http://").partition(":")
        back, there = await asyncio.open_connection(host, int(port))
        there.write(b"\r\n".join(kept).replace(b"keep-alive", b"close"))
        while data := await back.read(65536):
            writer.write(data)
            if b"\r\n\r\n" in data:
                break
        writer.close()
        there.close()

    port = free_port()
    server = await asyncio.start_server(pass_on, "127.0.0.1", port, ssl=context)
    try:
        yield f"https://localhost:{port}"
    finally:
        server.close()
        await server.wait_closed()


async def over_tls(folder: Path, url: str, name: str, private: bytes, public: bytes) -> Any:
    file = folder / f"{name}.pem"
    file.write_bytes(private + public)
    context = ssl.create_default_context(cadata=(folder / "proxy.pem").read_text())
    context.load_cert_chain(file)
    spoofed = {"client-cert": ":AAAA:", "connection": "close"}
    async with httpx.AsyncClient(verify=context) as client:
        return await client.get(f"{url}{ABOUT}", headers=spoofed)


def test_mutual_tls_by_a_proxy_of_our_own(tmp_path: Path) -> None:
    async def run() -> None:
        clock: Any = SystemClock()
        own = {"server.certificate_proxies": ["127.0.0.1"]}
        async with founded(tmp_path / "city", clock, more=own) as running:
            key, public, _ = certificate("app")
            other_key, other, _ = certificate("other")
            kept = await make_certificate(running, *WHO, public.decode(), "ada")
            with pytest.raises(Conflict):
                await make_certificate(running, *WHO, public.decode(), "ada")
            async with (
                serving(make_app(running)) as city,
                tls_proxy(tmp_path, city, [public, other]) as url,
            ):
                about = await over_tls(tmp_path, url, "app", key, public)
                assert about.status_code == 200, about.text
                assert about.json()["processor"] == WHO[0]
                unknown = await over_tls(tmp_path, url, "other", other_key, other)
                assert unknown.status_code == 401, "the proxy trusts it, the city doesn't know it"
                await revoke_key(running, kept.id, "ada")
                assert (await over_tls(tmp_path, url, "app", key, public)).status_code == 401

    asyncio.run(run())


def test_only_own_proxies_are_believed_and_keys_don_t_change_hands(tmp_path: Path) -> None:
    async def run() -> None:
        _, public, made = certificate("app")
        der = made.public_bytes(serialization.Encoding.DER)
        header = {"client-cert": f":{base64.b64encode(der).decode()}:"}

        async def asked(running: Running, address: str, headers: Any) -> httpx.Response:
            transport = httpx.ASGITransport(app=make_app(running), client=(address, 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                return await client.get(ABOUT, headers=headers)

        clock: Any = SystemClock()
        own = {"server.certificate_proxies": ["192.0.2.5"]}
        async with founded(tmp_path / "one", clock, more=own) as running:
            await make_certificate(running, *WHO, public.decode(), "ada")
            seen = await asked(running, "192.0.2.5", header)
            assert seen.json()["processor"] == WHO[0]
            spoofed = {**header, "x-forwarded-for": "192.0.2.5"}
            for address, headers in (("192.0.2.6", header), ("127.0.0.1", spoofed)):
                told = await asked(running, address, headers)
                assert told.json()["processor"] == "public", address
            twice = [("client-cert", header["client-cert"])] * 2
            assert (await asked(running, "192.0.2.5", twice)).status_code == 401
            for wrong in (":AAAA:", "::", "x", "-----BEGIN CERTIFICATE-----", ":" + "A" * 99_999):
                told = await asked(running, "192.0.2.5", {"client-cert": wrong})
                assert told.status_code == 401, wrong
            _, same = await make_key(running, *WHO, 1, "ada")
            _, theirs = await make_key(running, "system:crowds", "crowd-information", 1, "ada")
            mine = await asked(running, "192.0.2.5", header | bearer(same))
            assert mine.status_code == 200
            stolen = await asked(running, "192.0.2.5", header | bearer(theirs))
            assert stolen.status_code == 403
        async with founded(tmp_path / "two", clock) as running:
            await make_certificate(running, *WHO, public.decode(), "ada")
            told = await asked(running, "127.0.0.1", header)
            assert told.json()["processor"] == "public", "no proxy is named: nobody is believed"

    asyncio.run(run())


def test_certificates_are_read_with_care() -> None:
    now_us = SystemClock().now_us()
    _, good, made = certificate("app")
    der, until_us = read_certificate(good.decode(), now_us)
    assert der == made.public_bytes(serialization.Encoding.DER)
    assert until_us > now_us
    assert read_header(quote(good.decode()).encode()) == der, "as nginx writes it"
    weak = certificate("weak", rsa.generate_private_key(65537, 1024))[1].decode()
    for wrong in (
        "",
        "text",
        good.decode() * 2,
        good.decode().replace("M", "!", 3),
        weak,
        certificate("over", days=-1)[1].decode(),
        good.decode() + "x" * 20_000,
    ):
        with pytest.raises(Invalid):
            read_certificate(wrong, now_us)
    for header in (b"", b":!:", b"\xff", quote(good.decode() * 2).encode()):
        with pytest.raises(Unauthenticated):
            read_header(header)
