-- SPDX-License-Identifier: EUPL-1.2
-- What an attribute instance says beyond the value and moment that history keeps, instances without
-- a moment of their own (observed_us before all time), deletions, and the scope in time.
CREATE TABLE instance (
  urn TEXT NOT NULL, name TEXT NOT NULL, dataset TEXT NOT NULL, observed_us INTEGER NOT NULL,
  n INTEGER NOT NULL, id TEXT NOT NULL, created_us INTEGER NOT NULL, modified_us INTEGER NOT NULL,
  deleted_us INTEGER, body BLOB NOT NULL, PRIMARY KEY (urn, name, dataset, observed_us, n)
) WITHOUT ROWID;

-- entities that were made of their evolution, with the version that left them at
CREATE TABLE evolved (urn TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;

-- what is gone can still have an evolution
CREATE INDEX entity_gone ON entity (urn) WHERE NOT live;
