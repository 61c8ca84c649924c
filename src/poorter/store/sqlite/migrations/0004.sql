-- SPDX-License-Identifier: EUPL-1.2
-- the entity's version is told by the row that changed: writing an attribute changes one row
ALTER TABLE attribute ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
