-- SPDX-License-Identifier: EUPL-1.2
-- Once for a server, by its administrator: psql -v ON_ERROR_STOP=1 -f setup.sql
-- Then a role for each city: CREATE ROLE poorter_brug LOGIN PASSWORD '...'; what it may do, and
-- which city is its own, comes of `poorter init`.
CREATE ROLE poorter_owner LOGIN;
CREATE DATABASE poorter OWNER poorter_owner ENCODING 'UTF8' TEMPLATE template0;
\connect poorter
REVOKE ALL ON DATABASE poorter FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS btree_gist;
-- comparing two boxes tells nothing of them: so row-level security lets an index do it
ALTER FUNCTION geometry_overlaps(geometry, geometry) LEAKPROOF;
