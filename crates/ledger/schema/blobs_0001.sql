-- Evidence, named by the SHA-256 of its content. `at` is when it was last put, microseconds UTC.
CREATE TABLE blob (
  number  INTEGER PRIMARY KEY,
  id      BLOB NOT NULL,
  kind    TEXT NOT NULL,
  at      INTEGER NOT NULL,
  content BLOB NOT NULL,
  UNIQUE (id, kind)
) STRICT;
CREATE INDEX blob_age ON blob (kind, at);
