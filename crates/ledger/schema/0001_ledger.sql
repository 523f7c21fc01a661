-- The chain and the tables that commit with it. Times are microseconds UTC.

-- `head` is at (8 bytes), kind (2), actor (4), command (16), hash (32), numbers big-endian, and the
-- subjects, each an unsigned LEB128, in the order the hash covers them. Kind, actor and subjects are
-- interned. One column, since reading each of six costs a replay more than all else. `prev` is the
-- hash of the row before. `body` is JSON, in which each run of 16 or more lower-case hexadecimal digits
-- is stored as a byte 1, how many bytes they stand for as two decimal digits, and those bytes; a byte 0
-- at the front says that the body follows as it is. The hash covers the JSON.
CREATE TABLE event (
  seq  INTEGER PRIMARY KEY,
  head BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE kind (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  version INTEGER NOT NULL,
  UNIQUE (name, version)
) STRICT;

CREATE TABLE actor (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE subject (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

-- The index of subjects by text, written some time after them, in the order of texts.
CREATE TABLE subject_name (
  name TEXT PRIMARY KEY,
  id   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which events of a run of 65,536 concern a term. Written some time after its events, from memory,
-- sorted, so that appending touches no random page; what is not yet here is rebuilt from `event`.
CREATE TABLE posting (
  run  INTEGER NOT NULL,
  term INTEGER NOT NULL,
  seqs BLOB NOT NULL,
  PRIMARY KEY (run, term)
) STRICT, WITHOUT ROWID;

-- How far the two indexes above are written: runs of `posting`, the number of a `subject`.
CREATE TABLE progress (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For a person with the sqlite3 shell, which has no word for "number from bytes", nor for digits back from them.
CREATE VIEW history AS
  WITH plain AS (SELECT seq, hex(head) AS h, body FROM event),
  numbered AS (SELECT *,
         (instr('123456789ABCDEF', substr(h, 1, 1)) << 60)
         + (instr('123456789ABCDEF', substr(h, 2, 1)) << 56)
         + (instr('123456789ABCDEF', substr(h, 3, 1)) << 52)
         + (instr('123456789ABCDEF', substr(h, 4, 1)) << 48)
         + (instr('123456789ABCDEF', substr(h, 5, 1)) << 44)
         + (instr('123456789ABCDEF', substr(h, 6, 1)) << 40)
         + (instr('123456789ABCDEF', substr(h, 7, 1)) << 36)
         + (instr('123456789ABCDEF', substr(h, 8, 1)) << 32)
         + (instr('123456789ABCDEF', substr(h, 9, 1)) << 28)
         + (instr('123456789ABCDEF', substr(h, 10, 1)) << 24)
         + (instr('123456789ABCDEF', substr(h, 11, 1)) << 20)
         + (instr('123456789ABCDEF', substr(h, 12, 1)) << 16)
         + (instr('123456789ABCDEF', substr(h, 13, 1)) << 12)
         + (instr('123456789ABCDEF', substr(h, 14, 1)) << 8)
         + (instr('123456789ABCDEF', substr(h, 15, 1)) << 4)
         + (instr('123456789ABCDEF', substr(h, 16, 1)) << 0)
           AS at,
         (instr('123456789ABCDEF', substr(h, 17, 1)) << 12)
         + (instr('123456789ABCDEF', substr(h, 18, 1)) << 8)
         + (instr('123456789ABCDEF', substr(h, 19, 1)) << 4)
         + (instr('123456789ABCDEF', substr(h, 20, 1)) << 0)
           AS kind,
         (instr('123456789ABCDEF', substr(h, 21, 1)) << 28)
         + (instr('123456789ABCDEF', substr(h, 22, 1)) << 24)
         + (instr('123456789ABCDEF', substr(h, 23, 1)) << 20)
         + (instr('123456789ABCDEF', substr(h, 24, 1)) << 16)
         + (instr('123456789ABCDEF', substr(h, 25, 1)) << 12)
         + (instr('123456789ABCDEF', substr(h, 26, 1)) << 8)
         + (instr('123456789ABCDEF', substr(h, 27, 1)) << 4)
         + (instr('123456789ABCDEF', substr(h, 28, 1)) << 0)
           AS actor FROM plain)
  SELECT n.seq,
         strftime('%Y-%m-%dT%H:%M:%S', n.at / 1000000, 'unixepoch')
           || printf('.%06dZ', n.at % 1000000) AS at,
         k.name || '/' || k.version AS kind, a.name AS actor, lower(substr(h, 29, 32)) AS command,
         (WITH RECURSIVE step (done, rest, at) AS (
            SELECT '', n.body, CASE WHEN substr(n.body, 1, 1) = x'00' THEN 0 ELSE instr(n.body, x'01') END
            UNION ALL
            SELECT done || CAST(substr(rest, 1, at - 1) AS TEXT) || lower(hex(substr(rest, at + 3, CAST(CAST(substr(rest, at + 1, 2) AS TEXT) AS INTEGER)))),
                   substr(rest, at + 3 + CAST(CAST(substr(rest, at + 1, 2) AS TEXT) AS INTEGER)),
                   instr(substr(rest, at + 3 + CAST(CAST(substr(rest, at + 1, 2) AS TEXT) AS INTEGER)), x'01')
            FROM step WHERE at > 0)
          SELECT done || CAST(CASE WHEN substr(n.body, 1, 1) = x'00' THEN substr(n.body, 2) ELSE rest END AS TEXT)
          FROM step WHERE at = 0) AS body, lower(substr(h, 61, 64)) AS hash
  FROM numbered n LEFT JOIN kind k ON k.id = n.kind LEFT JOIN actor a ON a.id = n.actor;

-- Answers kept for repeated commands, in order of arrival; found by the hashes in `answer_run`.
CREATE TABLE answer (
  id        INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  principal TEXT NOT NULL,
  key       TEXT NOT NULL,
  request   BLOB NOT NULL,
  status    INTEGER NOT NULL,
  response  BLOB NOT NULL
) STRICT;

CREATE TABLE answer_run (
  run    INTEGER PRIMARY KEY,
  hashes BLOB NOT NULL
) STRICT;

CREATE TABLE person (
  person  TEXT PRIMARY KEY,
  profile BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credential (
  person TEXT PRIMARY KEY,
  hash   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  id      BLOB PRIMARY KEY,
  person  TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  body    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_person ON session (person);

CREATE TABLE sealed (
  hash    BLOB PRIMARY KEY,
  nonce   BLOB NOT NULL,
  content BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
  day         INTEGER NOT NULL,
  environment TEXT NOT NULL,
  feature     TEXT NOT NULL,
  variant     TEXT NOT NULL,
  build       TEXT NOT NULL,
  count       INTEGER NOT NULL,
  PRIMARY KEY (day, environment, feature, variant, build)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
  queue TEXT NOT NULL,
  id    BLOB NOT NULL,
  due   INTEGER NOT NULL,
  body  BLOB NOT NULL,
  PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_due ON queue (queue, due);
