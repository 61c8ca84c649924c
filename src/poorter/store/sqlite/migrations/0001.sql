-- SPDX-License-Identifier: EUPL-1.2
-- State is small and updated in place; history, events and leaves are appended only.
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE entity (
  id INTEGER PRIMARY KEY, urn TEXT NOT NULL UNIQUE, types TEXT NOT NULL, scopes TEXT NOT NULL,
  version INTEGER NOT NULL, created_us INTEGER NOT NULL, modified_us INTEGER NOT NULL,
  live INTEGER NOT NULL DEFAULT 1);

-- type by urn: a page of a type is a range scan, never a sort
CREATE TABLE entity_type (
  type TEXT NOT NULL, urn TEXT NOT NULL, entity INTEGER NOT NULL, PRIMARY KEY (type, urn)
) WITHOUT ROWID;

CREATE TABLE attribute (
  id INTEGER PRIMARY KEY, entity INTEGER NOT NULL, name INTEGER NOT NULL,
  dataset TEXT NOT NULL, body BLOB NOT NULL, num REAL, txt TEXT, observed_us INTEGER,
  created_us INTEGER NOT NULL, modified_us INTEGER NOT NULL, live INTEGER NOT NULL DEFAULT 1,
  UNIQUE (entity, name, dataset));
CREATE INDEX attribute_num ON attribute (name, num, entity) WHERE num IS NOT NULL AND live;
CREATE INDEX attribute_txt ON attribute (name, txt, entity) WHERE txt IS NOT NULL AND live;

-- values that are neither a number nor short text: while a name has any, its index tells not all
CREATE INDEX attribute_other ON attribute (name) WHERE num IS NULL AND txt IS NULL AND live;

CREATE VIRTUAL TABLE place USING rtree (id, west, east, south, north);

CREATE TABLE history (
  attribute INTEGER NOT NULL, observed_us INTEGER NOT NULL, sequence INTEGER NOT NULL,
  received_us INTEGER NOT NULL, quality INTEGER NOT NULL, value NOT NULL,
  PRIMARY KEY (attribute, observed_us, sequence)) WITHOUT ROWID;

CREATE TABLE event (
  sequence INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, urn TEXT NOT NULL,
  types TEXT NOT NULL, names TEXT NOT NULL);

CREATE TABLE record (
  kind TEXT NOT NULL, id TEXT NOT NULL, doc BLOB NOT NULL, version INTEGER NOT NULL,
  created_us INTEGER NOT NULL, modified_us INTEGER NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE record_key (
  kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL,
  PRIMARY KEY (kind, key, value, id)) WITHOUT ROWID;
CREATE INDEX record_key_id ON record_key (kind, id);

CREATE TABLE hold (
  pool TEXT NOT NULL, id TEXT NOT NULL, units INTEGER NOT NULL, until_us INTEGER NOT NULL,
  PRIMARY KEY (pool, id)) WITHOUT ROWID;

CREATE TABLE replay (key TEXT PRIMARY KEY, at_us INTEGER NOT NULL, answer BLOB NOT NULL)
  WITHOUT ROWID;
CREATE INDEX replay_at ON replay (at_us);

CREATE TABLE leaf (
  idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, subject TEXT, payload BLOB);
CREATE INDEX leaf_subject ON leaf (subject, idx) WHERE subject IS NOT NULL;
