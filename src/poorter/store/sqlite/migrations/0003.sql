-- SPDX-License-Identifier: EUPL-1.2
-- Lines about people: whose line a leaf is, in the order of their own sequence. What the line said
-- lies sealed beside the leaf, where rows are appended; this table stays small and is looked up.
CREATE TABLE line (
  subject BLOB NOT NULL, seq INTEGER NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (subject, seq)
) WITHOUT ROWID;

-- leaves of one trace: `number` of them from `first` on
CREATE TABLE trace (
  trace BLOB NOT NULL, first INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (trace, first)
) WITHOUT ROWID;
