-- SPDX-License-Identifier: EUPL-1.2
-- The first schema that this engine has known: what SQLite's migrations up to this number come to.
-- Every table has its city, every key begins with it, and every role sees the rows of its own city
-- only: which one that is says `city_role`, by the role that logged in, whatever it sets or asks.

CREATE TABLE city_role (
  city integer NOT NULL, role name NOT NULL, PRIMARY KEY (city, role));
CREATE INDEX city_of_role ON city_role (role);
ALTER TABLE city_role ENABLE ROW LEVEL SECURITY;
ALTER TABLE city_role FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON city_role FOR SELECT USING (role = session_user);
CREATE POLICY enlisting ON city_role TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE TABLE name (
  id bigint NOT NULL, name text COLLATE "C" NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, id), UNIQUE (city, name));

CREATE TABLE entity (
  id bigint NOT NULL, urn text COLLATE "C" NOT NULL, types text COLLATE "C" NOT NULL,
  scopes text COLLATE "C" NOT NULL, version bigint NOT NULL, created_us bigint NOT NULL,
  modified_us bigint NOT NULL, live boolean NOT NULL DEFAULT true, expires_us bigint,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, id), UNIQUE (city, urn)) WITH (fillfactor = 80);
CREATE INDEX entity_gone ON entity (city, urn) WHERE NOT live;
CREATE INDEX entity_expires ON entity (city, expires_us) WHERE expires_us IS NOT NULL AND live;

CREATE TABLE entity_type (
  type text COLLATE "C" NOT NULL, urn text COLLATE "C" NOT NULL, entity bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, type, urn));

CREATE TABLE attribute (
  id bigint NOT NULL, entity bigint NOT NULL, name bigint NOT NULL,
  dataset text COLLATE "C" NOT NULL, body bytea NOT NULL, num double precision,
  txt text COLLATE "C", observed_us bigint, created_us bigint NOT NULL,
  modified_us bigint NOT NULL, live boolean NOT NULL DEFAULT true,
  version bigint NOT NULL DEFAULT 0, expires_us bigint,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, id), UNIQUE (city, entity, name, dataset)) WITH (fillfactor = 80);
CREATE INDEX attribute_num ON attribute (city, name, num, entity) WHERE num IS NOT NULL AND live;
CREATE INDEX attribute_txt ON attribute (city, name, txt, entity) WHERE txt IS NOT NULL AND live;
CREATE INDEX attribute_other ON attribute (city, name) WHERE num IS NULL AND txt IS NULL AND live;
CREATE INDEX attribute_expires ON attribute (city, expires_us)
  WHERE expires_us IS NOT NULL AND live;

CREATE TABLE place (
  id bigint NOT NULL, box geometry(Polygon, 4326) NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, id));
CREATE INDEX place_box ON place USING gist (city, box);

CREATE TABLE cell (
  cell bigint NOT NULL, urn text COLLATE "C" NOT NULL, attribute bigint NOT NULL,
  entity bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, cell, urn, attribute));
CREATE INDEX cell_attribute ON cell (city, attribute);

-- `value` in MessagePack, so that a number, a text and bytes are told apart; `num` where it is one
CREATE TABLE history (
  attribute bigint NOT NULL, observed_us bigint NOT NULL, sequence bigint NOT NULL,
  received_us bigint NOT NULL, quality bigint NOT NULL, value bytea NOT NULL,
  num double precision,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, attribute, observed_us, sequence));

CREATE TABLE instance (
  urn text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, dataset text COLLATE "C" NOT NULL,
  observed_us bigint NOT NULL, n bigint NOT NULL, id text COLLATE "C" NOT NULL,
  created_us bigint NOT NULL, modified_us bigint NOT NULL, deleted_us bigint, body bytea NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, urn, name, dataset, observed_us, n));

CREATE TABLE evolved (
  urn text COLLATE "C" NOT NULL, version bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, urn));

CREATE TABLE event (
  sequence bigint NOT NULL, at_us bigint NOT NULL, kind text NOT NULL, urn text NOT NULL,
  types text NOT NULL, names text NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, sequence));

CREATE TABLE record (
  kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, doc bytea NOT NULL,
  version bigint NOT NULL, created_us bigint NOT NULL, modified_us bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, kind, id));
CREATE INDEX record_created ON record (city, kind, created_us DESC, id);

CREATE TABLE record_key (
  kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, kind, key, value, id));
CREATE INDEX record_key_id ON record_key (city, kind, id);

CREATE TABLE hold (
  pool text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, units bigint NOT NULL,
  until_us bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, pool, id));

CREATE TABLE replay (
  key text COLLATE "C" NOT NULL, at_us bigint NOT NULL, answer bytea NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, key));
CREATE INDEX replay_at ON replay (city, at_us);

CREATE TABLE leaf (
  idx bigint NOT NULL, leaf bytea NOT NULL, subject text COLLATE "C", payload bytea,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, idx));
CREATE INDEX leaf_subject ON leaf (city, subject, idx) WHERE subject IS NOT NULL;

CREATE TABLE line (
  subject bytea NOT NULL, seq bigint NOT NULL, leaf bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, subject, seq));

CREATE TABLE trace (
  trace bytea NOT NULL, first bigint NOT NULL, number bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, trace, first));

CREATE TABLE segment (
  from_us bigint NOT NULL, until_us bigint NOT NULL, name text NOT NULL, rows bigint NOT NULL,
  size bigint NOT NULL, hours_size bigint NOT NULL, made_us bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, from_us), UNIQUE (city, name));

CREATE TABLE segment_out (
  name text NOT NULL, attribute bigint NOT NULL, from_us bigint NOT NULL, until_us bigint NOT NULL,
  city integer NOT NULL DEFAULT current_setting('poorter.city')::integer,
  PRIMARY KEY (city, name, attribute, from_us, until_us));

DO $$
DECLARE owned text;
BEGIN
  FOR owned IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'poorter'::regnamespace AND c.relkind = 'r' AND a.attname = 'city'
    AND c.relname <> 'city_role'
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY own_city ON %I USING (city = (SELECT t.city FROM city_role t '
      'WHERE t.role = session_user)) WITH CHECK (city = (SELECT t.city FROM city_role t '
      'WHERE t.role = session_user))', owned);
  END LOOP;
END $$;
