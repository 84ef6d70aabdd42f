//! Reading: one issue, a list, what is ready, who waits for whom, and everything in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::str::FromStr;

use rusqlite::types::Value as Cell;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, Rows};

use crate::issue::{Comment, Dependency, DependencyKind, Extra, Issue};
use crate::store::{PREFIX_DEFAULT, Store, StoreError, failed};

/// An ambiguous id names at most this many candidates.
const CANDIDATES_MAX: i64 = 10;

const ISSUE_COLUMNS: &str = "id, title, description, status, priority, issue_type, assignee, \
                             created_at, updated_at, closed_at, extra";
const LABELS: &str = "SELECT issue_id, label FROM labels";
const DEPENDENCIES: &str =
    "SELECT issue_id, depends_on_id, type, created_at, extra FROM dependencies";
const COMMENTS: &str = "SELECT issue_id, id, author, text, created_at, extra FROM comments";

impl Store {
    /// The issue with this id, or with the one id that starts like this.
    pub fn show(&self, id: &str) -> Result<Issue, StoreError> {
        self.read(|| {
            let id = resolve(self.connection(), self.path(), id)?;
            load(self.connection(), self.path(), &id)
        })
    }

    /// The full id of what a person typed.
    pub fn resolve(&self, id: &str) -> Result<String, StoreError> {
        resolve(self.connection(), self.path(), id)
    }

    /// All issues, most urgent first, at most `limit`.
    pub fn list(&self, limit: Option<u32>) -> Result<Vec<Issue>, StoreError> {
        self.select("", limit)
    }

    /// Issues that somebody could start on or is at: open or in progress, with nothing open that
    /// blocks them. Most urgent first, at most `limit`.
    pub fn ready(&self, limit: Option<u32>) -> Result<Vec<Issue>, StoreError> {
        self.select(
            "WHERE status IN ('open', 'in_progress') AND NOT EXISTS (
                 SELECT 1 FROM dependencies AS edge JOIN issues AS other
                     ON other.id = edge.depends_on_id
                 WHERE edge.issue_id = issues.id AND edge.type = 'blocks'
                     AND other.status <> 'closed')",
            limit,
        )
    }

    /// How many issues there are.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.connection()
            .query_row("SELECT count(*) FROM issues", [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|error| self.failed(error))
    }

    /// Hands every issue to `consume`, sorted by id, on one unchanging view of the database.
    ///
    /// Four cursors walk side by side, so memory does not grow with the number of issues.
    pub fn each(
        &self,
        consume: impl FnMut(&Issue) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        self.read(|| self.walk(consume))
    }

    fn walk(
        &self,
        mut consume: impl FnMut(&Issue) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.path();
        let prepare =
            |sql: &str| self.connection().prepare_cached(sql).map_err(|error| self.failed(error));
        let mut issues = prepare(&format!("SELECT {ISSUE_COLUMNS} FROM issues ORDER BY id"))?;
        let mut labels = prepare(&format!("{LABELS} ORDER BY issue_id, label"))?;
        let mut dependencies =
            prepare(&format!("{DEPENDENCIES} ORDER BY issue_id, depends_on_id, type"))?;
        let mut comments = prepare(&format!("{COMMENTS} ORDER BY issue_id, position"))?;

        let mut labels = Cursor::open(&mut labels, path, label)?;
        let mut dependencies = Cursor::open(&mut dependencies, path, dependency)?;
        let mut comments = Cursor::open(&mut comments, path, comment)?;
        let mut rows = issues.query([]).map_err(|error| self.failed(error))?;
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let mut issue = issue_row(row, path)?;
            labels.take(&issue.id, &mut issue.labels)?;
            dependencies.take(&issue.id, &mut issue.dependencies)?;
            comments.take(&issue.id, &mut issue.comments)?;
            consume(&issue).map_err(StoreError::Consumer)?;
        }
        Ok(())
    }

    fn select(&self, condition: &str, limit: Option<u32>) -> Result<Vec<Issue>, StoreError> {
        let limit = limit.map_or(-1, i64::from);
        let sql = format!(
            "SELECT {ISSUE_COLUMNS} FROM issues {condition} \
             ORDER BY priority, created_at, id LIMIT ?1"
        );
        self.read(|| {
            let (connection, path) = (self.connection(), self.path());
            let mut issues = collect(connection, path, &sql, [limit], issue_row)?;
            for issue in &mut issues {
                load_parts(connection, path, issue)?;
            }
            Ok(issues)
        })
    }
}

/// The full id of what a person typed: the id, the hash alone, or the unique start of either.
pub(crate) fn resolve(
    connection: &Connection,
    path: &Path,
    typed: &str,
) -> Result<String, StoreError> {
    let starting = |start: &str| {
        // A range and not LIKE: `_` and `%` are ordinary characters here, and the index is used.
        let sql = "SELECT id FROM issues WHERE id >= ?1 AND id < ?1 || char(0x10FFFF)
                   ORDER BY id LIMIT ?2";
        collect(connection, path, sql, (start, CANDIDATES_MAX), |row, path| {
            row.get(0).map_err(|error| failed(path, error))
        })
    };
    let exact: Option<String> = connection
        .prepare_cached("SELECT id FROM issues WHERE id = ?1")
        .and_then(|mut statement| statement.query_row([typed], |row| row.get(0)).optional())
        .map_err(|error| failed(path, error))?;
    if let Some(id) = exact {
        return Ok(id);
    }
    let mut candidates: Vec<String> = if typed.is_empty() { Vec::new() } else { starting(typed)? };
    if candidates.is_empty() && !typed.is_empty() {
        let prefix: Option<String> = connection
            .query_row("SELECT value FROM meta WHERE key = 'prefix'", [], |row| row.get(0))
            .optional()
            .map_err(|error| failed(path, error))?;
        let prefix = prefix.as_deref().unwrap_or(PREFIX_DEFAULT);
        candidates = starting(&format!("{prefix}-{typed}"))?;
    }
    match candidates.len() {
        0 => Err(StoreError::NotFound { id: typed.into() }),
        1 => Ok(candidates.remove(0)),
        _ => Err(StoreError::Ambiguous { id: typed.into(), candidates }),
    }
}

/// One issue by its full id.
pub(crate) fn load(connection: &Connection, path: &Path, id: &str) -> Result<Issue, StoreError> {
    let sql = format!("SELECT {ISSUE_COLUMNS} FROM issues WHERE id = ?1");
    let found = collect(connection, path, &sql, [id], issue_row)?.pop();
    let mut issue = found.ok_or_else(|| StoreError::NotFound { id: id.into() })?;
    load_parts(connection, path, &mut issue)?;
    Ok(issue)
}

fn load_parts(connection: &Connection, path: &Path, issue: &mut Issue) -> Result<(), StoreError> {
    let of = |base: &str, order: &str| format!("{base} WHERE issue_id = ?1 ORDER BY {order}");
    let id = issue.id.as_str();
    issue.labels = collect(connection, path, &of(LABELS, "label"), [id], label)?;
    issue.dependencies =
        collect(connection, path, &of(DEPENDENCIES, "depends_on_id, type"), [id], dependency)?;
    issue.comments = collect(connection, path, &of(COMMENTS, "position"), [id], comment)?;
    Ok(())
}

/// Refuses the edge `id -> depends_on` if there is a way back.
pub(crate) fn check_acyclic(
    connection: &Connection,
    path: &Path,
    id: &str,
    depends_on: &str,
) -> Result<(), StoreError> {
    let sql = "SELECT depends_on_id FROM dependencies
               WHERE issue_id = ?1 AND type IN ('blocks', 'parent-child') ORDER BY depends_on_id";
    let back = way(depends_on, id, |from| {
        collect(connection, path, sql, [from], |row, path| {
            row.get(0).map_err(|error| failed(path, error))
        })
    })?;
    match back {
        None => Ok(()),
        Some(mut cycle) => {
            cycle.insert(0, id.into());
            Err(StoreError::Cycle { path: cycle })
        }
    }
}

/// Refuses a database whose ordering edges hold a cycle, for what was imported in one piece.
pub(crate) fn check_all_acyclic(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = "SELECT issue_id, depends_on_id FROM dependencies
               WHERE type IN ('blocks', 'parent-child')";
    let pairs: Vec<(String, String)> = collect(connection, path, sql, [], |row, path| {
        let field = Field { row, path };
        Ok((field.get(0)?, field.get(1)?))
    })?;
    match cycle(&pairs) {
        None => Ok(()),
        Some(path) => Err(StoreError::Cycle { path }),
    }
}

/// The shortest way from `start` to `goal` along `next`, both ends included.
fn way<E>(
    start: &str,
    goal: &str,
    mut next: impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<Option<Vec<String>>, E> {
    let mut came_from = BTreeMap::from([(start.to_owned(), None::<String>)]);
    let mut queue = VecDeque::from([start.to_owned()]);
    while let Some(here) = queue.pop_front() {
        if here == goal {
            let mut steps = vec![here];
            while let Some(Some(before)) = steps.last().and_then(|last| came_from.get(last)) {
                steps.push(before.clone());
            }
            steps.reverse();
            return Ok(Some(steps));
        }
        for there in next(&here)? {
            if !came_from.contains_key(&there) {
                came_from.insert(there.clone(), Some(here.clone()));
                queue.push_back(there);
            }
        }
    }
    Ok(None)
}

/// A cycle among `edges`, its first node again at its end.
fn cycle(edges: &[(String, String)]) -> Option<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    // Peel off what leads nowhere, again and again; what stays lies on a cycle or leads to one.
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut before: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        *waiting.entry(from).or_default() += 1;
        waiting.entry(to).or_default();
        before.entry(to).or_default().push(from);
    }
    let mut ends: Vec<&str> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(end) = ends.pop() {
        waiting.remove(end);
        for from in before.get(end).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(from) {
                *count -= 1;
                if *count == 0 {
                    ends.push(from);
                }
            }
        }
    }
    // From any node that stayed, keep to nodes that stayed: a step must come back sooner or later.
    let mut here = *waiting.keys().next()?;
    let mut seen = BTreeSet::new();
    let mut steps = Vec::new();
    while seen.insert(here) {
        steps.push(here.to_owned());
        here = next.get(here)?.iter().copied().find(|to| waiting.contains_key(to))?;
    }
    let first = steps.iter().position(|step| step == here)?;
    let mut found = steps.split_off(first);
    found.push(here.to_owned());
    Some(found)
}

/// What a row of one of the tables becomes.
type Read<T> = fn(&Row<'_>, &Path) -> Result<T, StoreError>;

fn collect<T>(
    connection: &Connection,
    path: &Path,
    sql: &str,
    values: impl Params,
    read: impl Fn(&Row<'_>, &Path) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| failed(path, error))?;
    let mut rows = statement.query(values).map_err(|error| failed(path, error))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(path, error))? {
        found.push(read(row, path)?);
    }
    Ok(found)
}

/// A walk over parts sorted by their issue, beside the walk over the issues.
struct Cursor<'a, T> {
    rows: Rows<'a>,
    read: Read<T>,
    path: &'a Path,
    /// The next part and its issue, read but not yet taken.
    ahead: Option<(String, T)>,
}

impl<'a, T> Cursor<'a, T> {
    fn open(
        statement: &'a mut CachedStatement<'_>,
        path: &'a Path,
        read: Read<T>,
    ) -> Result<Self, StoreError> {
        let rows = statement.query([]).map_err(|error| failed(path, error))?;
        let mut cursor = Self { rows, read, path, ahead: None };
        cursor.step()?;
        Ok(cursor)
    }

    /// Moves the parts of `id` into `parts`; both walks have the same order.
    fn take(&mut self, id: &str, parts: &mut Vec<T>) -> Result<(), StoreError> {
        while self.ahead.as_ref().is_some_and(|(owner, _)| owner.as_str() <= id) {
            if let Some((owner, part)) = self.ahead.take()
                && owner == id
            {
                parts.push(part);
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), StoreError> {
        let row = self.rows.next().map_err(|error| failed(self.path, error))?;
        self.ahead = match row {
            None => None,
            Some(row) => {
                let owner = row.get(0).map_err(|error| failed(self.path, error))?;
                Some((owner, (self.read)(row, self.path)?))
            }
        };
        Ok(())
    }
}

fn issue_row(row: &Row<'_>, path: &Path) -> Result<Issue, StoreError> {
    let field = Field { row, path };
    Ok(Issue {
        id: field.get(0)?,
        title: field.get(1)?,
        description: field.get(2)?,
        status: field.parse(3, "status")?,
        priority: field.get(4)?,
        issue_type: field.parse(5, "type")?,
        assignee: field.get(6)?,
        created_at: field.parse(7, "created_at")?,
        updated_at: field.parse(8, "updated_at")?,
        closed_at: field.parse_optional(9, "closed_at")?,
        labels: Vec::new(),
        dependencies: Vec::new(),
        comments: Vec::new(),
        extra: field.extra(10)?,
    })
}

fn label(row: &Row<'_>, path: &Path) -> Result<String, StoreError> {
    Field { row, path }.get(1)
}

fn dependency(row: &Row<'_>, path: &Path) -> Result<Dependency, StoreError> {
    let field = Field { row, path };
    Ok(Dependency {
        issue_id: field.get(0)?,
        depends_on_id: field.get(1)?,
        kind: field.parse::<DependencyKind>(2, "dependency type")?,
        created_at: field.parse(3, "dependency created_at")?,
        extra: field.extra(4)?,
    })
}

fn comment(row: &Row<'_>, path: &Path) -> Result<Comment, StoreError> {
    let field = Field { row, path };
    Ok(Comment {
        id: field.json(1, "comment id")?.unwrap_or_default(),
        issue_id: field.get(0)?,
        author: field.get(2)?,
        text: field.get(3)?,
        created_at: field.parse(4, "comment created_at")?,
        extra: field.extra(5)?,
    })
}

/// The unknown fields as the column stores them: NULL for none.
pub(crate) fn extra_to_text(extra: &Extra) -> Option<String> {
    // Keys are text and values are JSON already, so this cannot fail; `ok` for the type's sake.
    if extra.is_empty() { None } else { serde_json::to_string(extra).ok() }
}

/// Reads the columns of one row and names the one that does not parse.
struct Field<'a> {
    row: &'a Row<'a>,
    path: &'a Path,
}

impl Field<'_> {
    fn get<T: rusqlite::types::FromSql>(&self, column: usize) -> Result<T, StoreError> {
        self.row.get(column).map_err(|error| failed(self.path, error))
    }

    fn parse<T: FromStr>(&self, column: usize, name: &'static str) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        text.parse().map_err(|_| self.corrupt(name, text))
    }

    fn parse_optional<T: FromStr>(
        &self,
        column: usize,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|_| self.corrupt(name, text))).transpose()
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.corrupt(name, text)))
            .transpose()
    }

    fn extra(&self, column: usize) -> Result<Extra, StoreError> {
        Ok(self.json(column, "extra")?.unwrap_or_default())
    }

    fn corrupt(&self, field: &'static str, value: String) -> StoreError {
        let id = match self.row.get::<_, Cell>(0) {
            Ok(Cell::Text(id)) => id,
            _ => "?".into(),
        };
        StoreError::Corrupt { path: self.path.into(), id, field, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::NewIssue;

    fn edges(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect()
    }

    #[test]
    fn a_cycle_is_found_behind_a_tail_and_a_dag_has_none() {
        let diamond = edges(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]);
        assert_eq!(cycle(&diamond), None);
        let tail = edges(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]);
        assert_eq!(cycle(&tail).unwrap(), ["b", "c", "b"]);
        assert_eq!(cycle(&edges(&[("a", "a")])).unwrap(), ["a", "a"]);
    }

    #[test]
    fn ready_waits_for_blockers_and_nothing_else() {
        let mut store = Store::open_in_memory().unwrap();
        let a = store.create(NewIssue::titled("a")).unwrap().id;
        let urgent = NewIssue { priority: Some(0), ..NewIssue::titled("b") };
        let b = store.create(urgent).unwrap().id;
        let titles = |issues: Vec<Issue>| {
            issues.into_iter().map(|issue| issue.title).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(titles(store.ready(None).unwrap()), "b a");
        store.add_dependency(&b, &a, DependencyKind::Related).unwrap();
        assert_eq!(titles(store.ready(Some(1)).unwrap()), "b");
        store.add_dependency(&b, &a, DependencyKind::Blocks).unwrap();
        assert_eq!(titles(store.ready(None).unwrap()), "a");
        store.close_issue(&a).unwrap();
        assert_eq!(titles(store.ready(None).unwrap()), "b");
    }

    #[test]
    fn a_unique_start_or_the_bare_hash_resolves() {
        let mut store = Store::open_in_memory().unwrap();
        store.set_prefix("tt").unwrap();
        let base = store.create(NewIssue::titled("a")).unwrap();
        for id in ["tt-abc", "tt-abd"] {
            store.import([Issue { id: id.into(), ..base.clone() }]).unwrap();
        }
        store.delete(&base.id).unwrap();
        assert_eq!(store.resolve("tt-abc").unwrap(), "tt-abc");
        assert_eq!(store.resolve("abd").unwrap(), "tt-abd");
        let StoreError::Ambiguous { candidates, .. } = store.resolve("tt-a").unwrap_err() else {
            panic!("not ambiguous")
        };
        assert_eq!(candidates, ["tt-abc", "tt-abd"]);
        for nothing in ["", "zz", "tt-%"] {
            assert!(matches!(store.resolve(nothing), Err(StoreError::NotFound { .. })));
        }
    }

    #[test]
    fn the_stream_and_the_single_read_agree() {
        let mut store = Store::open_in_memory().unwrap();
        let first = store.create(NewIssue::titled("a")).unwrap().id;
        for n in 0..20 {
            let labels = (0..n % 3).map(|l| format!("l{l}")).collect();
            let id = store.create(NewIssue { labels, ..NewIssue::titled("x") }).unwrap().id;
            if n % 2 == 0 {
                store.add_dependency(&id, &first, DependencyKind::Blocks).unwrap();
            }
        }
        let mut seen = Vec::new();
        store
            .each(|issue| {
                assert_eq!(&store.show(&issue.id).unwrap(), issue);
                seen.push(issue.id.clone());
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.len(), 21);
        assert!(seen.is_sorted());
    }
}
