-- Schema 2. `user_version` says which schema a file has; it is set in the same transaction.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- `line` is the issue as it stands in the JSONL file, and the one truth. The columns before it are
-- taken from it, so that queries need not read it. Times are microseconds since 1970.
-- A change is all that one transaction did; its `revision` is higher than any before. Whoever
-- remembers the revision that he has dealt with (the export, the search index) finds what is new.
CREATE TABLE issues (
    id         TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    title      TEXT NOT NULL,
    status     TEXT NOT NULL,
    priority   INTEGER NOT NULL,
    issue_type TEXT NOT NULL,
    assignee   TEXT,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    closed_us  INTEGER,
    line       TEXT NOT NULL
) WITHOUT ROWID;

-- `list` and `ready` walk this in order and stop at their limit.
CREATE INDEX issues_by_urgency ON issues (priority, created_us, id, status);
CREATE INDEX issues_by_revision ON issues (revision);

CREATE TABLE labels (
    label    TEXT NOT NULL,
    issue_id TEXT NOT NULL,
    PRIMARY KEY (label, issue_id)
) WITHOUT ROWID;

-- `depends_on_id` need not be there: an imported file may name an issue that is not in it.
CREATE TABLE dependencies (
    issue_id      TEXT NOT NULL,
    depends_on_id TEXT NOT NULL,
    type          TEXT NOT NULL,
    PRIMARY KEY (issue_id, depends_on_id, type)
) WITHOUT ROWID;

CREATE INDEX dependencies_backwards ON dependencies (depends_on_id);

-- The search index counts its rows, issues have names: this tells which is which.
CREATE TABLE searchable (
    number   INTEGER PRIMARY KEY,
    issue_id TEXT NOT NULL UNIQUE
);

CREATE VIRTUAL TABLE search USING fts5 (
    id, title, description, comments, labels,
    content = '', contentless_delete = 1, tokenize = 'porter unicode61'
);
