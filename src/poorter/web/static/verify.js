// SPDX-License-Identifier: EUPL-1.2
// Verifies a receipt (C2SP tlog-proof) or what a resident took home, in the browser and nowhere
// else: this page may open no connection. The meaning is that of poorter.ledger.evidence.
"use strict";

const DUTCH = document.documentElement.lang === "nl";
const say = (nl, en) => (DUTCH ? nl : en);
const ED25519 = 1, COSIGNATURE = 4, MLDSA44 = 6;
const NO_LINE = 2n ** 64n - 1n;
const utf8 = new TextEncoder(), text = new TextDecoder("utf-8", { fatal: true });

class Wrong extends Error {}
const wrong = (nl, en) => { throw new Wrong(say(nl, en)); };

// -- bytes ---------------------------------------------------------------------------------------

function bytes(base64) {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return wrong("dit is geen base64", "this is not base64");
  }
}

const fromHex = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
const toHex = (data) => Array.from(data, (b) => b.toString(16).padStart(2, "0")).join("");
const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

function join(...parts) {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

const sha256 = async (...parts) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));

function u64(value) {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, BigInt(value));
  return data;
}

// -- a leaf: a MessagePack array of numbers, texts and bytes -----------------------------------

const FIELDS = ["version", "type", "at_us", "policy_version", "processor", "purpose",
  "legal_basis", "subject_of", "action", "outcome", "commitment"];

function leafOf(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  const take = (n) => {
    if (at + n > data.length) wrong("de regel is beschadigd", "the leaf is damaged");
    at += n;
    return data.subarray(at - n, at);
  };
  const number = (n) => take(n).reduce((all, b) => all * 256n + BigInt(b), 0n);
  const one = () => {
    const kind = view.getUint8(at++);
    if (kind < 0x80) return BigInt(kind);
    if ((kind & 0xe0) === 0xa0) return text.decode(take(kind & 0x1f));
    if (kind >= 0xcc && kind <= 0xcf) return number(1 << (kind - 0xcc));
    if (kind >= 0xc4 && kind <= 0xc6) return take(Number(number(1 << (kind - 0xc4))));
    if (kind >= 0xd9 && kind <= 0xdb) return text.decode(take(Number(number(1 << (kind - 0xd9)))));
    return wrong("de regel is beschadigd", "the leaf is damaged");
  };
  if (data[at++] !== 0x90 + FIELDS.length) wrong("dit is geen regel", "this is no leaf");
  const leaf = Object.fromEntries(FIELDS.map((name) => [name, one()]));
  if (at !== data.length || leaf.version !== 1n) wrong("dit is geen regel", "this is no leaf");
  return leaf;
}

// -- the tree (RFC 9162, 2.1.3.2) ---------------------------------------------------------------

async function included(leaf, index, size, proof, root) {
  let hash = await sha256(new Uint8Array([0]), leaf);
  let position = BigInt(index), last = BigInt(size) - 1n;
  if (position > last || position < 0n) return false;
  for (const step of proof) {
    if (last === 0n) return false;
    if (position & 1n || position === last) {
      hash = await sha256(new Uint8Array([1]), step, hash);
      while (!(position & 1n) && position) { position >>= 1n; last >>= 1n; }
    } else {
      hash = await sha256(new Uint8Array([1]), hash, step);
    }
    position >>= 1n;
    last >>= 1n;
  }
  return last === 0n && same(hash, root);
}

// -- checkpoint, keys, witnesses ----------------------------------------------------------------

function noteOf(note) {
  const cut = note.indexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n")) wrong("dit is geen checkpoint", "this is no checkpoint");
  const [origin, size, root] = note.slice(0, cut).split("\n");
  if (!/^(0|[1-9]\d{0,17})$/.test(size || "") || !root)
    wrong("dit is geen checkpoint", "this is no checkpoint");
  const lines = note.slice(cut + 2, -1).split("\n").map((line) => {
    const found = /^\u2014 (\S+) (\S+)$/.exec(line);
    if (!found) wrong("een handtekening is onleesbaar", "a signature can't be read");
    return [found[1], bytes(found[2])];
  });
  return { origin, size: Number(size), root: bytes(root), body: note.slice(0, cut + 1), lines };
}

async function keyOf(vkey) {
  const found = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey);
  if (!found) wrong("een sleutel is onleesbaar", "a key can't be read");
  const data = bytes(found[3]);
  const id = (await sha256(utf8.encode(found[1] + "\n"), data)).subarray(0, 4);
  if (toHex(id) !== found[2]) wrong("een sleutel klopt niet", "a key is not right");
  return { name: found[1], kind: data[0], id, raw: data.subarray(1) };
}

async function trustOf(policy) {
  const trust = { logs: [], witnesses: {}, groups: {}, quorum: null };
  for (const line of policy.split("\n")) {
    const [kind, name, ...rest] = line.trim().split(/\s+/);
    if (!kind || kind.startsWith("#")) continue;
    if (kind === "log") trust.logs.push(await keyOf(name));
    else if (kind === "witness") trust.witnesses[name] = await keyOf(rest[0]);
    else if (kind === "group") trust.groups[name] = rest;
    else if (kind === "quorum") trust.quorum = name;
    else wrong("de sleutels zijn onleesbaar", "the keys can't be read");
  }
  if (!trust.quorum) wrong("er staat niet bij hoeveel getuigen nodig zijn",
    "it does not say how many witnesses are needed");
  return trust;
}

/** true: signed; false: not; null: this browser can't tell (ML-DSA-44). Throws for a bad one. */
async function signedBy(key, note) {
  for (const [name, data] of note.lines) {
    if (name !== key.name || !same(data.subarray(0, 4), key.id)) continue;
    if (key.kind === MLDSA44) return null;
    let message = utf8.encode(note.body), signature = data.subarray(4);
    if (key.kind === COSIGNATURE) {
      const at = new DataView(data.buffer, data.byteOffset + 4, 8).getBigUint64(0);
      message = utf8.encode(`cosignature/v1\ntime ${at}\n${note.body}`);
      signature = data.subarray(12);
    }
    const known = await crypto.subtle.importKey("raw", key.raw, "Ed25519", false, ["verify"]);
    if (!(await crypto.subtle.verify("Ed25519", known, signature, message)))
      wrong(`een handtekening van ${name} klopt niet`, `a signature of ${name} is not right`);
    return true;
  }
  return false;
}

async function checkpointOf(textNote, trust, shown) {
  const note = noteOf(textNote);
  const logs = trust.logs.filter((key) => key.name === note.origin);
  const signed = [];
  for (const key of logs) if (key.kind === ED25519) signed.push(await signedBy(key, note));
  if (!signed.includes(true))
    wrong("de stad heeft dit checkpoint niet getekend", "the city did not sign this checkpoint");
  shown.checked.push(say(
    `het logboek van ${note.size} regels is getekend door ${note.origin} (Ed25519)`,
    `the ledger of ${note.size} leaves is signed by ${note.origin} (Ed25519)`));
  const seen = {};
  for (const [name, key] of Object.entries(trust.witnesses)) seen[name] = await signedBy(key, note);
  const has = (name) => {
    const group = trust.groups[name];
    if (!group) return seen[name] === true || seen[name] === null;
    const [number, ...members] = group;
    const needed = { all: members.length, any: 1 }[number] ?? Number(number);
    return members.filter(has).length >= needed;
  };
  if (trust.quorum === "none") {
    shown.unchecked.push(say("of getuigen dit zagen: deze sleutels noemen er geen",
      "whether witnesses saw it: these keys name none"));
  } else if (has(trust.quorum)) {
    const names = Object.keys(seen).filter((name) => seen[name] === true);
    shown.checked.push(say(`getuigen tekenden mee: ${names.join(", ")}`,
      `witnesses cosigned: ${names.join(", ")}`));
  } else {
    wrong("te weinig getuigen tekenden mee", "too few witnesses cosigned");
  }
  shown.unchecked.push(say("de tweede handtekening (ML-DSA-44): die kent deze browser niet",
    "the second signature (ML-DSA-44): this browser does not know it"));
  return note;
}

// -- one line after another ---------------------------------------------------------------------

async function placed(part, note) {
  const data = bytes(part.leaf);
  if (!(await included(data, part.index, note.size, part.proof.map(bytes), note.root)))
    wrong("het pad leidt niet van de regel naar de wortel",
      "the proof does not lead from the leaf to the root");
  return leafOf(data);
}

async function lineOf(line, name, note) {
  const leaf = await placed(line, note);
  if (leaf.type !== "use") wrong("dit is geen regel over iemand", "this is no line about anybody");
  const open = line.salt != null && line.line != null;
  const inner = open ? await sha256(bytes(line.salt), utf8.encode(line.line)) : bytes(line.inner);
  if (open && bytes(line.salt).length !== 32) wrong("het zout klopt niet", "the salt is wrong");
  const prev = line.prev == null ? NO_LINE : line.prev;
  const commitment = await sha256(inner, u64(line.seq), u64(prev));
  if (!same(commitment, leaf.commitment))
    wrong("deze regel hoort niet op deze plaats", "the leaf does not commit to this line here");
  if (!open) return null;
  const doc = JSON.parse(line.line);
  const id = doc.attributes["dpl.core.data_subject_id"];
  if (toHex((await sha256(utf8.encode(id))).subarray(0, 16)) !== name)
    wrong("deze regel gaat over iemand anders", "the line is about somebody else");
  return doc;
}

function* sequence(lines) {
  const words = say("hier ontbreekt of verschoof een regel", "a line is missing or moved here");
  let before = null;
  for (const line of lines) {
    if (before === null) {
      if ((line.seq === 1) !== (line.prev == null) || line.seq < 1) yield [line.index, words];
    } else {
      if (line.seq !== before.seq + 1 || line.prev !== before.index)
        yield [line.prev ?? before.index, words];
      if (line.index <= before.index) yield [line.index, words];
    }
    before = line;
  }
}

const bit = (key, depth) => (key[depth >> 3] >> (7 - (depth & 7))) & 1;

async function headOf(head, subject, note) {
  const leaf = await placed(head, note);
  const [size, root] = leaf.outcome.split(":");
  if (leaf.type !== "heads" || leaf.subject_of !== head.date)
    wrong("dit is geen dagoverzicht", "this is no daily map");
  const key = await sha256(utf8.encode("poorter head map\0"), fromHex(subject.name));
  let hash = new Uint8Array(32), own = null;
  if (head.found) {
    const [found, seq, index] = head.found;
    const foundKey = fromHex(found);
    for (let at = 0; at < head.siblings.length; at++)
      if (bit(foundKey, at) !== bit(key, at)) wrong("het dagoverzicht klopt niet", "the map is wrong");
    hash = await sha256(new Uint8Array([0]), foundKey, u64(seq), u64(index));
    if (same(foundKey, key)) own = { seq, index };
  }
  for (let at = head.siblings.length - 1; at >= 0; at--) {
    const beside = bytes(head.siblings[at]);
    const pair = bit(key, at) ? [beside, hash] : [hash, beside];
    hash = await sha256(new Uint8Array([1]), ...pair);
  }
  if (toHex(hash) !== root) wrong("het dagoverzicht zegt dit niet", "the map does not say so");
  return { size: Number(size), seq: own ? own.seq : 0, index: own ? own.index : 0 };
}

function* againstHead(subject, head, map) {
  const before = subject.lines.filter((line) => line.index < map.size);
  if (!before.length && subject.lines.length && subject.lines[0].seq > map.seq) return;
  const last = before.length ? before[before.length - 1] : { seq: 0, index: 0 };
  if (last.seq < map.seq)
    yield [map.index, say(`op ${head.date} waren er ${map.seq} regels, hier staan er ${last.seq}`,
      `on ${head.date} there were ${map.seq} lines, ${last.seq} of them are shown`)];
  else if (last.seq > map.seq || (last.seq && last.index !== map.index))
    yield [last.index, say("het dagoverzicht kent deze regel niet", "the map knows another line")];
}

/** The processing that a line, or an outcome, belongs to. */
const spanOf = (doc) => `${doc.trace_id} ${doc.parent_span_id ?? doc.span_id}`;

async function outcomeOf(outcome, spans, note) {
  const leaf = await placed(outcome, note);
  const hash = await sha256(bytes(outcome.salt), utf8.encode(outcome.text));
  const doc = JSON.parse(outcome.text);
  if (leaf.type !== "ended" || !same(hash, leaf.commitment) || !spans.has(spanOf(doc)))
    wrong("deze afloop hoort hier niet bij", "the outcome belongs to none of these lines");
  return doc;
}

async function attempt(index, shown, work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Wrong || error instanceof SyntaxError || error instanceof TypeError))
      throw error;
    shown.wrong.push([index, error.message]);
    return undefined;
  }
}

async function evidence(file, trust) {
  const shown = { lines: [], checked: [], unchecked: [], wrong: [] };
  if (file.format !== "poorter.evidence/1") wrong("dit bestand kennen wij niet", "unknown file");
  const note = await attempt(null, shown, () => checkpointOf(file.checkpoint, trust, shown));
  if (!note) return shown;
  if (note.origin !== file.origin) shown.wrong.push([null, say("van twee logboeken", "two ledgers")]);
  for (const subject of file.subjects) await subjectOf(subject, note, shown);
  return shown;
}

async function subjectOf(subject, note, shown) {
  const spans = new Set(), ended = {};
  shown.wrong.push(...sequence(subject.lines));
  const opened = [];
  for (const line of subject.lines) {
    const doc = await attempt(line.index, shown, () => lineOf(line, subject.name, note));
    if (doc) { spans.add(spanOf(doc)); opened.push([line, doc]); }
    else if (doc === null) shown.lines.push([line.index, "", say("(nog) niet te zien", "not shown (yet)"),
      line.until === "erased" ? say("gewist", "erased") : line.until || ""]);
  }
  for (const outcome of subject.outcomes) {
    const doc = await attempt(outcome.index, shown, () => outcomeOf(outcome, spans, note));
    if (doc) ended[spanOf(doc)] = doc.status;
  }
  for (const [line, doc] of opened)
    shown.lines.push([line.index, new Date(doc.start_time).toISOString(), doc.name,
      ended[spanOf(doc)] || doc.status]);
  if (subject.lines.length) {
    const first = subject.lines[0].seq, last = subject.lines[subject.lines.length - 1].seq;
    shown.checked.push(say(`${subject.wall}: regels ${first} tot en met ${last}, zonder gat`,
      `${subject.wall}: lines ${first} to ${last}, none missing between them`));
    if (first !== 1) shown.unchecked.push(say(`${subject.wall}: regels vóór ${first}`,
      `${subject.wall}: lines before ${first}`));
  }
  if (!subject.heads.length) shown.unchecked.push(say(
    `${subject.wall}: er is geen dagoverzicht, dus de nieuwste regel kan ontbreken`,
    `${subject.wall}: there is no daily map, so the newest line may be missing`));
  for (const head of subject.heads) {
    const map = await attempt(head.index, shown, () => headOf(head, subject, note));
    if (!map) continue;
    shown.wrong.push(...againstHead(subject, head, map));
    shown.checked.push(say(`${subject.wall}: op ${head.date} waren er ${map.seq} regels`,
      `${subject.wall}: on ${head.date} there were ${map.seq} lines`));
  }
}

async function receipt(file, trust) {
  const shown = { lines: [], checked: [], unchecked: [], wrong: [] };
  await attempt(null, shown, async () => {
    const plain = file.replace(/\r\n/g, "\n").trim() + "\n";
    const cut = plain.indexOf("\n\n");
    const [header, extra, index, ...proof] = plain.slice(0, cut).split("\n");
    if (header !== "c2sp.org/tlog-proof@v1" || !/^index \d{1,15}$/.test(index || ""))
      wrong("dit is geen bewijs", "this is no receipt");
    const note = await checkpointOf(plain.slice(cut + 2), trust, shown);
    const number = Number(index.slice(6));
    const leaf = await placed({ leaf: extra.slice(6), index: number, proof }, note);
    shown.checked.push(say(`regel ${number} staat in het logboek`, `leaf ${number} is in the ledger`));
    shown.lines.push([number, new Date(Number(leaf.at_us / 1000n)).toISOString(),
      `${leaf.type} ${leaf.processor} ${leaf.purpose} ${leaf.subject_of}`,
      `${leaf.action} ${leaf.outcome}`]);
  });
  return shown;
}

// -- the page ------------------------------------------------------------------------------------

function list(title, items) {
  const part = document.createElement("section"), head = document.createElement("h3");
  head.textContent = title;
  const ul = document.createElement("ul");
  for (const item of items) ul.appendChild(document.createElement("li")).textContent = item;
  part.append(head, ul);
  return part;
}

function table(lines) {
  const scroll = document.createElement("div"), all = document.createElement("table");
  scroll.className = "scroll";
  const words = [say("Regel", "Line"), say("Wanneer", "When"), say("Waarvoor", "What for"),
    say("Afloop", "Outcome")];
  for (const [kind, row] of [["th", words], ...lines.map((line) => ["td", line])]) {
    const tr = all.appendChild(document.createElement("tr"));
    for (const cell of row) tr.appendChild(document.createElement(kind)).textContent = cell;
  }
  scroll.append(all);
  return scroll;
}

function show(shown) {
  const out = document.getElementById("shown");
  const tag = document.createElement("p");
  tag.className = shown.wrong.length ? "tag high" : "tag good";
  tag.textContent = shown.wrong.length ? say("Klopt niet", "Not proven") : say("Klopt", "Proven");
  out.replaceChildren(tag);
  if (shown.wrong.length) out.append(list(say("Wat er niet klopt", "What is wrong"),
    shown.wrong.map(([index, what]) =>
      `${index === null ? say("het bestand", "the file") : `${say("regel", "leaf")} ${index}`}: ${what}`)));
  if (shown.lines.length) out.append(table(shown.lines));
  out.append(list(say("Gecontroleerd", "Checked"), shown.checked));
  out.append(list(say("Niet gecontroleerd", "Not checked"), [...shown.unchecked,
    say("of iemand gegevens kopieerde zonder het te vragen: dat kan geen logboek tonen",
      "whether somebody copied data without asking: no ledger can show that"),
    say("of de opgegeven reden waar was: vraag het kantoor, of maak bezwaar",
      "whether the reason given was true: ask the office, or object"),
    say("of deze pagina zelf eerlijk is: bewaar haar, of gebruik poorter verify",
      "whether this page itself is honest: keep a copy of it, or use poorter verify")]));
  out.dataset.done = shown.wrong.length ? "wrong" : "proven";
}

async function run() {
  const out = document.getElementById("shown");
  out.dataset.done = "";
  const chosen = document.getElementById("file").files[0];
  const given = chosen ? await chosen.text() : document.getElementById("given").value;
  try {
    const trust = await trustOf(document.getElementById("trust").value);
    show(given.trimStart().startsWith("{")
      ? await evidence(JSON.parse(given), trust) : await receipt(given, trust));
  } catch (error) {
    show({ lines: [], checked: [], unchecked: [], wrong: [[null, error.message]] });
  }
}

document.getElementById("scripted").hidden = false;
document.getElementById("check").addEventListener("click", run);
