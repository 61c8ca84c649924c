-- SPDX-License-Identifier: EUPL-1.2
-- points by cells of 0.01 degrees (store/tables/cells.py), in the order of their entities' ids
CREATE TABLE cell (
  cell INTEGER NOT NULL, urn TEXT NOT NULL, attribute INTEGER NOT NULL, entity INTEGER NOT NULL,
  PRIMARY KEY (cell, urn, attribute)) WITHOUT ROWID;
CREATE INDEX cell_attribute ON cell (attribute);

INSERT INTO cell
SELECT (a.name << 32) | CASE WHEN json_extract(g.geometry, '$.type') = 'Point' THEN
    CAST((json_extract(g.geometry, '$.coordinates[1]') + 90.0) / 0.01 AS INTEGER) << 16
    | CAST((json_extract(g.geometry, '$.coordinates[0]') + 180.0) / 0.01 AS INTEGER)
  ELSE 4294967295 END, e.urn, a.id, e.id
FROM (SELECT p.id, json_extract(CAST(b.body AS TEXT), '$.value') AS geometry
      FROM place p JOIN attribute b ON b.id = p.id
      WHERE json_extract(CAST(b.body AS TEXT), '$.type') = 'GeoProperty') g
JOIN attribute a ON a.id = g.id JOIN entity e ON e.id = a.entity;
