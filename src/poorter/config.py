# SPDX-License-Identifier: EUPL-1.2
"""city.toml: every setting with its type, default and meaning. Unknown settings are refused."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.limits import FORMER_VALUES_MAX
from poorter.ledger.tiles import write_whole
from poorter.standards.oidc.provider import Provider, read_providers
from poorter.standards.openid4vp.trust import Trusted, read_trusted

FILE = "city.toml"
_STORE = re.compile(r"(?ms)^\[store\]\n.*?(?=^\[|\Z)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `table.key` in city.toml, its type, default, and what it does."""

    table: str
    key: str
    type: type
    default: Any
    text: str

    @property
    def name(self) -> str:
        """As documented: table and key."""
        return f"{self.table}.{self.key}"


SETTINGS: tuple[Setting, ...] = (
    Setting("city", "id", str, "city", "Short name in ids of the city, letters and digits."),
    Setting("city", "name_nl", str, "Onze stad", "The city's name in Dutch."),
    Setting("city", "name_en", str, "Our city", "The city's name in English."),
    Setting("city", "time_zone", str, "Europe/Amsterdam", "IANA zone in which pages show times."),
    Setting("city", "longitude", float, 5.3878, "Middle of the map, degrees east."),
    Setting("city", "latitude", float, 52.1561, "Middle of the map, degrees north."),
    Setting("paths", "data", str, "data", "Folder of state, history and ledger."),
    Setting("paths", "keys", str, "keys", "Folder of signing keys; never inside the data folder."),
    Setting("paths", "spool", str, "spool", "Folder for vital uses while the ledger can't write."),
    Setting("paths", "contexts", str, "contexts", "Folder with copies of JSON-LD contexts."),
    Setting("server", "host", str, "127.0.0.1", "Address to listen on; a proxy ends TLS."),
    Setting("server", "port", int, 8000, "Port to listen on."),
    Setting("server", "rate_per_second", float, 50.0, "Requests a second per credential."),
    Setting("server", "rate_burst", int, 200, "Requests at once per credential."),
    Setting("server", "public_rate_per_second", float, 500.0, "Same, for all without a key."),
    Setting("server", "public_rate_burst", int, 2000, "Same, for all without a key."),
    Setting(
        "server",
        "proxies",
        int,
        0,
        "How many proxies of your own stand in front and add X-Forwarded-For; 0: none.",
    ),
    Setting(
        "server",
        "public_url",
        str,
        "",
        "Where people find the city, as on paper and in logins; empty: host and port.",
    ),
    Setting(
        "server",
        "certificate_proxies",
        list,
        [],
        "Addresses of proxies that check client certificates and pass them on in Client-Cert.",
    ),
    Setting(
        "server",
        "secure_cookies",
        bool,
        False,
        "Cookies only over https; so too when public_url is https.",
    ),
    Setting("identity", "desk_code_hours", int, 72, "A login code from the desk is valid so long."),
    Setting(
        "identity",
        "wallet_encrypted",
        bool,
        False,
        "Wallets encrypt their answer to the city (direct_post.jwt).",
    ),
    Setting("identity", "resident_minutes", int, 60, "A resident is logged in so long."),
    Setting("server", "log", str, "text", "Log lines as text for people, or json."),
    Setting(
        "server",
        "traces",
        str,
        "",
        "Where an OpenTelemetry collector takes OTLP over HTTP, as http://127.0.0.1:4318/v1/traces;"
        " empty: none.",
    ),
    Setting("network", "allowed_hosts", list, [], "Hosts that this city may call; empty: none."),
    Setting(
        "network",
        "context_unavailable",
        int,
        504,
        "HTTP status where an @context can't be had: 504 as NGSI-LD 1.9.1, 503 as versions before.",
    ),
    Setting(
        "federation",
        "strict",
        bool,
        True,
        "Refuse registrations of what is held here already, and exclusive ones without ids, as"
        " NGSI-LD 1.9.1 does; false: take them, as versions before it.",
    ),
    Setting(
        "history",
        "recent_hours",
        int,
        48,
        "Readings of so many hours past stay rows; older ones are compacted into columns.",
    ),
    Setting(
        "history",
        "page_instances",
        int,
        1000,
        "Instances of an entity in one temporal answer; more are paged over time (206).",
    ),
    Setting(
        "history",
        "former_values",
        int,
        0,
        "Former values kept of an attribute without observedAt, as instances of its evolution; 0:"
        " none. Each write then reads what it overwrites. Of persons none is kept.",
    ),
    Setting(
        "federation",
        "split_entities",
        bool,
        True,
        "Parts of one entity may lie in several cities, where a query does not say"
        " (splitEntities); false: filters go along to sources, which is quicker.",
    ),
    Setting(
        "backup",
        "folder",
        str,
        "",
        "Where the served city puts backups by itself, on another disk; empty: it makes none.",
    ),
    Setting("backup", "every_minutes", int, 1440, "Minutes between two of its own backups."),
    Setting("backup", "keep_days", int, 35, "Backups that are older go when a new one is made."),
    Setting(
        "store",
        "url",
        str,
        "",
        "PostgreSQL, as postgresql://ROLE@HOST/DATABASE; the password goes into PGPASSWORD or a"
        " password file. Empty: the store lies in the data folder.",
    ),
    Setting(
        "store",
        "owner_url",
        str,
        "",
        "The same for the owner of its tables: they are made and brought forward at each start."
        " Empty: whoever owns them does that.",
    ),
    Setting(
        "store",
        "memory_mib",
        int,
        0,
        "Entities that were read stay in memory up to so many MiB, all tenants together; one takes"
        " about 1 KiB. 0: an eighth of the memory of the machine.",
    ),
    Setting("ledger", "origin", str, "", "Name of the ledger; empty: poorter.invalid/ and the id."),
    Setting("ledger", "lines_months", int, 60, "Months after which what a line said is erased."),
    Setting(
        "ledger",
        "trust",
        str,
        "",
        "File that names the ledger's witnesses and how many of them (C2SP tlog-policy).",
    ),
    Setting("systems", "enabled", list, ["parking", "crowds"], "Systems that run in this city."),
)


#: tables below a table, each with a reader of its own
TABLES = (("identity", "providers"), ("identity", "wallets"))


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one city, checked, with paths made whole. Fields as in SETTINGS."""

    folder: Path
    city_id: str
    city_name_nl: str
    city_name_en: str
    city_time_zone: str
    city_longitude: float
    city_latitude: float
    paths_data: Path
    paths_keys: Path
    paths_spool: Path
    paths_contexts: Path
    server_host: str
    server_port: int
    server_rate_per_second: float
    server_rate_burst: int
    server_public_rate_per_second: float
    server_public_rate_burst: int
    server_proxies: int
    server_public_url: str
    server_certificate_proxies: tuple[str, ...]
    server_secure_cookies: bool
    identity_desk_code_hours: int
    identity_wallet_encrypted: bool
    identity_resident_minutes: int
    server_log: str
    server_traces: str
    identity_providers: tuple[Provider, ...]
    identity_wallets: tuple[Trusted, ...]
    network_allowed_hosts: tuple[str, ...]
    network_context_unavailable: int
    federation_strict: bool
    federation_split_entities: bool
    history_recent_hours: int
    history_page_instances: int
    history_former_values: int
    backup_folder: Path | None
    backup_every_minutes: int
    backup_keep_days: int
    store_url: str
    store_owner_url: str
    store_memory_mib: int
    ledger_origin: str
    ledger_lines_months: int
    ledger_trust: Path | None
    systems_enabled: tuple[str, ...]
    systems_settings: dict[str, dict[str, Any]]

    @property
    def url(self) -> str:
        """Where people find the city, without a slash at the end. Never what a request says."""
        return self.server_public_url or f"http://{self.server_host}:{self.server_port}"

    @property
    def has_secure_cookies(self) -> bool:
        """Whether cookies go over https only: when said so, or when the city is found there."""
        return self.server_secure_cookies or self.url.startswith("https:")


def read_config(folder: Path) -> Config:
    """Read FOLDER/city.toml.

    Raises: Invalid naming the file, and the setting where it is one.
    """
    file = folder / FILE
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise Invalid(f"{file} is not there: make a city with `poorter init {folder}`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{file}: {wrong}") from None
    return make_config(folder, tables, str(file))


def make_config(folder: Path, tables: dict[str, Any], source: str = FILE) -> Config:
    """The settings in `tables` over the defaults. Raises Invalid as `read_config` does."""
    known = {(s.table, s.key): s for s in SETTINGS}
    own = _systems_settings(tables)
    values: dict[str, Any] = {f"{s.table}_{s.key}": s.default for s in SETTINGS}
    for table, content in tables.items():
        if not isinstance(content, dict):
            raise Invalid(f"{source}: {table} stands outside a table")
        for key, value in content.items():
            if (table == "systems" and key in own) or (table, key) in TABLES:
                continue
            setting = known.get((table, key))
            if setting is None:
                raise Invalid(f"{source}: there is no setting {table}.{key}")
            values[f"{table}_{key}"] = _checked(setting, value, source)
    values["paths_data"] = (folder / values["paths_data"]).resolve()
    values["paths_keys"] = (folder / values["paths_keys"]).resolve()
    values["paths_spool"] = (folder / values["paths_spool"]).resolve()
    values["paths_contexts"] = (folder / values["paths_contexts"]).resolve()
    for name in ("systems_enabled", "server_certificate_proxies", "network_allowed_hosts"):
        if not all(isinstance(one, str) for one in values[name]):
            raise Invalid(f"{source}: {name.replace('_', '.', 1)} is a list of texts")
        values[name] = tuple(values[name])
    if values["server_traces"] and not values["server_traces"].startswith(("http://", "https://")):
        raise Invalid(f"{source}: server.traces is the address of a collector")
    if values["server_log"] not in ("text", "json"):
        raise Invalid(f"{source}: server.log is text or json")
    wallets = tables.get("identity", {}).get("wallets", {})
    values["identity_wallets"] = read_trusted(folder, wallets, source)
    values["identity_providers"] = _providers(tables, values["network_allowed_hosts"], source)
    values["ledger_origin"] = values["ledger_origin"] or f"poorter.invalid/{values['city_id']}"
    if values["network_context_unavailable"] not in (503, 504):
        raise Invalid(f"{source}: network.context_unavailable is 503 or 504")
    if not 0 <= values["history_former_values"] <= FORMER_VALUES_MAX:
        raise Invalid(f"{source}: history.former_values is 0 to {FORMER_VALUES_MAX}")
    if values["ledger_lines_months"] < 1:
        raise Invalid(f"{source}: ledger.lines_months is 1 or more")
    if min(values["backup_every_minutes"], values["backup_keep_days"]) < 1:
        raise Invalid(f"{source}: backup.every_minutes and backup.keep_days are 1 or more")
    into = values["backup_folder"]
    values["backup_folder"] = (folder / into).resolve() if into else None
    trust = values["ledger_trust"]
    values["ledger_trust"] = (folder / trust).resolve() if trust else None
    if values["paths_keys"].is_relative_to(values["paths_data"]):
        raise Invalid(f"{source}: paths.keys lies inside paths.data; a backup would carry the keys")
    return Config(folder=folder.resolve(), systems_settings=own, **values)


def write_config(folder: Path, values: dict[str, Any]) -> Path:
    """Write FOLDER/city.toml with every setting and its meaning; `values` by "table.key"."""
    lines: list[str] = []
    for table in dict.fromkeys(s.table for s in SETTINGS):
        lines.append(f"[{table}]")
        for setting in SETTINGS:
            if setting.table == table:
                value = values.get(setting.name, setting.default)
                lines += [f"# {setting.text}", f"{setting.key} = {_toml(value)}"]
        lines.append("")
    for table, key in TABLES:
        for name, given in values.get(f"{table}.{key}", {}).items():
            lines.append(f"[{table}.{key}.{name}]")
            lines += [f"{setting} = {_toml(value)}" for setting, value in given.items()]
            lines.append("")
    file = folder / FILE
    file.write_text("\n".join(lines), "utf-8")
    return file


def set_store(folder: Path, url: str, owner_url: str) -> None:
    """Say in city.toml where the store is; the rest stays as it stands. There whole, or not at all.

    Raises: OSError.
    """
    file = folder / FILE
    text = file.read_text("utf-8")
    table = f"[store]\nurl = {_toml(url)}\nowner_url = {_toml(owner_url)}\n\n"
    if _STORE.search(text):
        text = _STORE.sub(lambda _: table, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{table}"
    write_whole(file, text.encode())


def _providers(tables: dict[str, Any], hosts: tuple[str, ...], source: str) -> tuple[Provider, ...]:
    found = read_providers(tables.get("identity", {}).get("providers", {}), source)
    for provider in found:
        if provider.host not in hosts and "*" not in hosts:
            raise Invalid(
                f"{source}: identity.providers.{provider.name}.issuer: {provider.host} is not "
                "among network.allowed_hosts"
            )
    return found


def _systems_settings(tables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    systems = tables.get("systems", {})
    if not isinstance(systems, dict):
        return {}
    return {name: value for name, value in systems.items() if isinstance(value, dict)}


def _checked(setting: Setting, value: Any, source: str) -> Any:
    if setting.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, setting.type) or (setting.type is int and isinstance(value, bool)):
        raise Invalid(f"{source}: {setting.name} must be of type {setting.type.__name__}")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return repr(value)
