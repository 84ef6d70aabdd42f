//! Schema 1, whose issues were spread over columns and tables, becomes schema 2.

use super::{Store, StoreError, collect, read_line, schema_version};

/// Every issue as one object, the fields it does not have as `null`; in the order of ids.
const AS_OBJECTS: &str = "
    SELECT id, json_patch(json_object(
        'id', id, 'title', title, 'description', description, 'status', status,
        'priority', priority, 'issue_type', issue_type, 'assignee', assignee,
        'created_at', created_at, 'updated_at', updated_at, 'closed_at', closed_at,
        'labels', json((SELECT json_group_array(label) FROM labels WHERE issue_id = issues.id)),
        'dependencies', json((
            SELECT json_group_array(json_patch(json_object('issue_id', issue_id,
                'depends_on_id', depends_on_id, 'type', type, 'created_at', created_at),
                coalesce(extra, '{}')))
            FROM dependencies WHERE issue_id = issues.id)),
        'comments', json((
            SELECT json_group_array(json_patch(json_object('id', json(id), 'issue_id', issue_id,
                'author', author, 'text', text, 'created_at', created_at),
                coalesce(extra, '{}')))
            FROM (SELECT * FROM comments WHERE issue_id = issues.id ORDER BY position)))
    ), coalesce(extra, '{}')) FROM issues ORDER BY id";

const TABLES: &str = "
    ALTER TABLE meta RENAME TO old_meta;
    DROP TABLE issues;
    DROP TABLE labels;
    DROP TABLE dependencies;
    DROP TABLE comments;
    DROP TABLE dirty;";

impl Store {
    /// Rewrites a database of schema 1, in one transaction. Everything is exported anew afterwards.
    pub(super) fn migrate(&mut self) -> Result<(), StoreError> {
        self.write(|scope| {
            let connection = scope.connection();
            let failed = |error| scope.failed(error);
            if schema_version(connection).map_err(failed)? != 1 {
                // Somebody has been faster.
                return Ok(());
            }
            let objects: Vec<(String, String)> =
                collect(connection, scope.path(), AS_OBJECTS, [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            connection.execute_batch(TABLES).map_err(failed)?;
            connection.flush_prepared_statement_cache();
            scope.install()?;
            let kept = "INSERT INTO meta SELECT * FROM old_meta WHERE key IN ('prefix', 'git');
                        DROP TABLE old_meta;";
            connection.execute_batch(kept).map_err(failed)?;
            for (id, object) in objects {
                let mut issue = read_line(scope.path(), &id, &object)?;
                issue.normalise();
                scope.put(&issue, None)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What schema 1 made, in the words it used.
    const OLD: &str = r#"
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE issues (id TEXT PRIMARY KEY, title TEXT NOT NULL, description TEXT NOT NULL,
            status TEXT NOT NULL, priority INTEGER NOT NULL, issue_type TEXT NOT NULL,
            assignee TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, closed_at TEXT,
            extra TEXT) WITHOUT ROWID;
        CREATE TABLE labels (issue_id TEXT NOT NULL, label TEXT NOT NULL,
            PRIMARY KEY (issue_id, label)) WITHOUT ROWID;
        CREATE TABLE dependencies (issue_id TEXT NOT NULL, depends_on_id TEXT NOT NULL,
            type TEXT NOT NULL, created_at TEXT NOT NULL, extra TEXT,
            PRIMARY KEY (issue_id, depends_on_id, type)) WITHOUT ROWID;
        CREATE TABLE comments (issue_id TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL,
            author TEXT NOT NULL, text TEXT NOT NULL, created_at TEXT NOT NULL, extra TEXT,
            PRIMARY KEY (issue_id, position)) WITHOUT ROWID;
        CREATE TABLE dirty (revision INTEGER PRIMARY KEY AUTOINCREMENT,
            issue_id TEXT NOT NULL UNIQUE);
        INSERT INTO meta VALUES ('prefix', 'old'), ('git', 'true'), ('commit_pending', 'true');
        INSERT INTO issues VALUES ('old-a', 't "q"', 'd', 'in_progress', 1, 'bug', 'me',
            '2026-01-02T03:04:05Z', '2026-01-02T03:04:06.5Z', NULL, '{"estimate":3}'),
            ('old-b', 'u', '', 'closed', 2, 'task', NULL, '2026-01-02T03:04:05Z',
            '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', NULL);
        INSERT INTO labels VALUES ('old-a', 'y'), ('old-a', 'x');
        INSERT INTO dependencies VALUES ('old-a', 'old-b', 'blocks', '2026-01-02T03:04:05Z',
            '{"created_by":"me"}');
        INSERT INTO comments VALUES ('old-a', 0, '7', 'me', 'hm', '2026-01-02T03:04:05Z', NULL);
        PRAGMA user_version = 1;"#;

    const LINES: [&str; 2] = [
        r#"{"id":"old-a","title":"t \"q\"","description":"d","status":"in_progress","priority":1,"issue_type":"bug","assignee":"me","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06.5Z","labels":["x","y"],"dependencies":[{"issue_id":"old-a","depends_on_id":"old-b","type":"blocks","created_at":"2026-01-02T03:04:05Z","created_by":"me"}],"comments":[{"id":7,"issue_id":"old-a","author":"me","text":"hm","created_at":"2026-01-02T03:04:05Z"}],"estimate":3}"#,
        r#"{"id":"old-b","title":"u","status":"closed","priority":2,"issue_type":"task","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","closed_at":"2026-01-02T03:04:05Z"}"#,
    ];

    #[test]
    fn an_old_database_keeps_every_issue_and_its_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tracker.db");
        #[expect(clippy::disallowed_methods, reason = "a database that the store has not made")]
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(OLD).unwrap();
        old.close().unwrap();
        for _ in 0..2 {
            let store = Store::open_existing(&path).unwrap();
            let mut lines = Vec::new();
            store
                .each(|issue| {
                    lines.push(issue.to_line());
                    Ok(())
                })
                .unwrap();
            assert_eq!(lines, LINES);
            assert_eq!(store.prefix().unwrap(), "old");
            assert!(store.git_enabled().unwrap());
            assert_eq!(store.dirty().unwrap().issues, 2, "all of it is exported anew");
            store.close().unwrap();
        }
    }
}
