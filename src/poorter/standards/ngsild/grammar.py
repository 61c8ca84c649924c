# SPDX-License-Identifier: EUPL-1.2
"""The q language (CIM 009, 4.9): text to conditions, and what is wrong with it when it is not."""

from __future__ import annotations

import json
import re
from typing import Any

from poorter.city.errors import Invalid, TooLarge
from poorter.city.limits import QUERY_CHARS_MAX, QUERY_TERMS_MAX
from poorter.city.pattern import checked
from poorter.city.query import And, Compare, Condition, Exists, Iri, Moment, Or, Path, Range
from poorter.city.time import parse_us
from poorter.standards.ngsild.context import Context, external

_OPERATORS = ("!~=", "==", "!=", ">=", "<=", "~=", ">", "<")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\Z")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)\Z")
_DEPTH_MAX = 16
#: an attribute path ends where one of these begins
_PATH_END = re.compile(r"[;|()=!<>~{}]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_LINKS_MAX = 5
_TYPE_HINT = re.compile(r"([^\W\d]\w*(?:,[^\W\d]\w*)*):(?!//)")


def parse_q(text: str, context: Context, expanding: frozenset[str] = frozenset()) -> Condition:
    """The condition that `text` asks for; values of the attributes in `expanding` are terms of
    the @context. Raises Invalid with the place, TooLarge past limits."""
    if len(text) > QUERY_CHARS_MAX:
        raise TooLarge(f"q has at most {QUERY_CHARS_MAX} characters")
    reader = _Reader(text, context, expanding)
    condition = reader.alternatives(0)
    if reader.at < len(text):
        raise reader.wrong("nothing more can stand here")
    return condition


def parse_path(text: str, context: Context) -> Path:
    """An attribute path alone. Raises Invalid."""
    reader = _Reader(text, context)
    path = reader.path()
    if reader.at < len(text):
        raise reader.wrong("nothing more can stand here")
    return path


class _Reader:
    """Recursive descent: `;` binds tighter than `|`, as in 4.9."""

    def __init__(
        self, text: str, context: Context, expanding: frozenset[str] = frozenset()
    ) -> None:
        self.text = text
        self._expanding = expanding
        self.at = 0
        self._context = context
        self._count = 0

    def wrong(self, why: str) -> Invalid:
        return Invalid(f"q, character {self.at + 1}: {why}")

    def alternatives(self, depth: int) -> Condition:
        terms = [self._all(depth)]
        while self._take("|"):
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _all(self, depth: int) -> Condition:
        terms = [self._term(depth)]
        while self._take(";"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, depth: int) -> Condition:
        if self._take("("):
            if depth >= _DEPTH_MAX:
                raise self.wrong(f"brackets are nested at most {_DEPTH_MAX} deep")
            inner = self.alternatives(depth + 1)
            if not self._take(")"):
                raise self.wrong("a bracket is not closed")
            return inner
        self._count += 1
        if self._count > QUERY_TERMS_MAX:
            raise TooLarge(f"q has at most {QUERY_TERMS_MAX} terms")
        path = self.path()
        for operator in _OPERATORS:
            if self._take(operator):
                return self._compare(path, operator)
        return Exists(path)

    def _compare(self, path: Path, operator: str) -> Compare:
        values = [self._value(operator)]
        while self._take(","):
            values.append(self._value(operator))
            if len(values) > QUERY_TERMS_MAX:
                raise TooLarge(f"a list has at most {QUERY_TERMS_MAX} values")
        if operator not in ("==", "!=") and (len(values) > 1 or isinstance(values[0], Range)):
            raise self.wrong(f"{operator} takes one value")
        if path.name in self._expanding:
            values = [self._term_of(v) if isinstance(v, str) else v for v in values]
        return Compare(path, operator, tuple(values))  # type: ignore[arg-type]

    def _term_of(self, value: str) -> Iri:
        name = self._context.expand(value)
        return Iri.of(external(name), name)

    def path(self, depth: int = 0) -> Path:
        end = _PATH_END.search(self.text, self.at)
        stop = end.start() if end else len(self.text)
        raw, self.at = self.text[self.at : stop], stop
        raw = raw.strip()
        if self._peek() == "{":
            return self._linked(raw, depth)
        head, bracket, tail = raw.partition("[")
        keys: tuple[str, ...] = ()
        if bracket:
            if not tail.endswith("]") or "[" in tail:
                raise self.wrong("a [path] is not closed")
            keys = tuple(tail[:-1].split("."))
        names = [head] if ":" in head else head.split(".")
        if not all(names) or not all(keys if bracket else ("-",)) or any(c.isspace() for c in raw):
            raise self.wrong("an attribute name must stand here")
        expanded = [self._context.expand(name) for name in names]
        return Path(expanded[0], tuple(expanded[1:]), keys)

    def _linked(self, name: str, depth: int) -> Path:
        """`name{path}` or `name{Type,Type:path}`: the path goes on in what `name` leads to."""
        if not name or any(c in ".[]" or c.isspace() for c in name):
            raise self.wrong("a relationship must stand here")
        if depth >= _LINKS_MAX:
            raise self.wrong(f"a path follows at most {_LINKS_MAX} links")
        self.at += 1
        types: tuple[str, ...] = ()
        hint = _TYPE_HINT.match(self.text, self.at)
        if hint is not None:
            self.at = hint.end()
            types = tuple(map(self._context.expand, hint.group(1).split(",")))
        inner = self.path(depth + 1)
        if not self._take("}"):
            raise self.wrong("a { is not closed")
        return Path(self._context.expand(name), linked=inner, linked_types=types)

    def _value(self, operator: str) -> Any:
        low = self._single(operator)
        if self._take(".."):
            high = self._single(operator)
            return Range(low, high)
        return low

    def _single(self, operator: str) -> Any:
        if self._peek() == '"':
            value: Any = self._quoted()
        else:
            value = self._bare()
        if operator in ("~=", "!~="):
            return _pattern(str(value))
        if isinstance(value, str) and ":" in value:
            return Iri.of(value, self._context.expand(value))
        return value

    def _quoted(self) -> str:
        quoted = _QUOTED.match(self.text, self.at)
        if quoted is None:
            raise self.wrong("a quote is not closed")
        try:
            value: str = json.loads(quoted.group(), strict=False)
        except ValueError:
            raise self.wrong("what stands in quotes is no JSON string") from None
        self.at = quoted.end()
        return value

    def _bare(self) -> Any:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ';|(),"':
            if self.text.startswith("..", self.at):
                break
            self.at += 1
        raw = self.text[start : self.at].strip()
        if not raw:
            raise self.wrong("a value must stand here")
        if raw in ("true", "false"):
            return raw == "true"
        if _NUMBER.match(raw):
            number = float(raw)
            return int(raw) if raw.lstrip("+-").isdecimal() else number
        if _MOMENT.match(raw):
            return Moment(parse_us(raw))
        return raw

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, token: str) -> bool:
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False


def _pattern(text: str) -> str:
    return checked(text, "a pattern")
