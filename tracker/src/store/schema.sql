-- Schema 1. `user_version` says which schema a file has; it is set in the same transaction.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE issues (
    id          TEXT PRIMARY KEY,
    title       TEXT NOT NULL,
    description TEXT NOT NULL,
    status      TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    issue_type  TEXT NOT NULL,
    assignee    TEXT,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    closed_at   TEXT,
    extra       TEXT            -- JSON object of the unknown fields, NULL for none
) WITHOUT ROWID;

-- `list` and `ready` walk this in order and stop at their limit.
CREATE INDEX issues_by_urgency ON issues (priority, created_at, id);

CREATE TABLE labels (
    issue_id TEXT NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    label    TEXT NOT NULL,
    PRIMARY KEY (issue_id, label)
) WITHOUT ROWID;

-- `depends_on_id` has no foreign key: an imported file may name an issue that is not there.
CREATE TABLE dependencies (
    issue_id      TEXT NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    depends_on_id TEXT NOT NULL,
    type          TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    extra         TEXT,
    PRIMARY KEY (issue_id, depends_on_id, type)
) WITHOUT ROWID;

CREATE INDEX dependencies_backwards ON dependencies (depends_on_id);

-- `position` keeps the order of a file whose comment numbers mean nothing here.
CREATE TABLE comments (
    issue_id   TEXT NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    id         TEXT NOT NULL,   -- JSON: a number in beads files, perhaps text elsewhere
    author     TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    extra      TEXT,
    PRIMARY KEY (issue_id, position)
) WITHOUT ROWID;

-- What changed since the last sync, deleted issues too.
-- Every change takes a new revision (AUTOINCREMENT never gives one twice), so a sync can clear
-- what it has written and keep what arrived while it was writing.
CREATE TABLE dirty (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    issue_id TEXT NOT NULL UNIQUE
);
