-- what was made last is found without reading all of it
CREATE INDEX record_created ON record (kind, created_us DESC, id);
