-- The change log: one row a file, with the sequence of its last change, whoever made it. A row
-- whose file is gone is a tombstone. Sequences only grow and are never used twice.

-- No foreign key: tombstones outlive their project.
CREATE TABLE changes (
    project_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    -- Tells two histories apart that reached the same sequence (a copy restored in place).
    nonce INTEGER NOT NULL,
    PRIMARY KEY (project_id, path)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX changes_by_seq ON changes (seq);

-- One row. `quiet` is 1 only inside a transaction of our own writer, which logs its files itself;
-- a committed 1 means that changes may have gone unlogged. Tombstones up to `pruned_to` are gone.
CREATE TABLE log_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    quiet INTEGER NOT NULL DEFAULT 0 CHECK (quiet IN (0, 1)),
    pruned_to INTEGER NOT NULL DEFAULT 0 CHECK (pruned_to >= 0)
) STRICT;

INSERT INTO log_state (id) VALUES (1);

-- One row: which database this is.
CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    db_uuid TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

INSERT INTO identity (id, db_uuid, created_at)
VALUES (1, lower(hex(randomblob(16))), strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000000Z');

-- The one place that writes the log: inserting a file's key here gives it the next sequence.
CREATE VIEW touched (project_id, path) AS SELECT project_id, path FROM changes;

-- An UPSERT, not INSERT OR REPLACE: inside a trigger the OR clause of the outermost statement
-- overrides ours, so that INSERT OR IGNORE INTO documents would leave the log as it was.
CREATE TRIGGER touched_insert INSTEAD OF INSERT ON touched
BEGIN
    INSERT INTO changes (project_id, path, seq, nonce)
    VALUES (
        NEW.project_id,
        NEW.path,
        max(
            coalesce((SELECT max(seq) FROM changes), 0),
            coalesce((SELECT pruned_to FROM log_state), 0)
        ) + 1,
        random()
    )
    ON CONFLICT (project_id, path) DO UPDATE SET seq = excluded.seq, nonce = excluded.nonce;
END;
