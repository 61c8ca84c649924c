-- SPDX-License-Identifier: EUPL-1.2
-- Transient entities and attributes: of an attribute the first moment at which any of it expires.
ALTER TABLE entity ADD COLUMN expires_us INTEGER;
ALTER TABLE attribute ADD COLUMN expires_us INTEGER;
CREATE INDEX entity_expires ON entity (expires_us) WHERE expires_us IS NOT NULL AND live;
CREATE INDEX attribute_expires ON attribute (expires_us) WHERE expires_us IS NOT NULL AND live;
