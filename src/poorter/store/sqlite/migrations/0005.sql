-- SPDX-License-Identifier: EUPL-1.2
-- the manifest of columnar history: which files hold which stretch of time, side by side
CREATE TABLE segment (
  from_us INTEGER PRIMARY KEY, until_us INTEGER NOT NULL, name TEXT NOT NULL UNIQUE,
  rows INTEGER NOT NULL, size INTEGER NOT NULL, hours_size INTEGER NOT NULL,
  made_us INTEGER NOT NULL);

-- parts of segments that no longer count: they went back to the rows of history, or are erased
CREATE TABLE segment_out (
  name TEXT NOT NULL, attribute INTEGER NOT NULL, from_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL, PRIMARY KEY (name, attribute, from_us, until_us)) WITHOUT ROWID;
