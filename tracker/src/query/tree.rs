//! What an issue depends on, and what that depends on, as a tree.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::issue::Status;
use crate::store::{Store, StoreError, collect, resolve};

/// Which way the tree grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To what it depends on.
    #[default]
    DependsOn,
    /// To what depends on it.
    Dependents,
}

/// An issue in the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its title; empty for one that is not here.
    pub title: String,
    /// Where it stands; nothing for one that is not here.
    pub status: Option<String>,
    /// What the edge to it means; nothing for the root.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it is further up or was shown before, so that its children are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_repeated: bool,
    /// What comes below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// One more level would say nothing, and the call stack is not endless.
const DEPTH_MAX: usize = 200;

impl Store {
    /// The tree below an issue, each issue with its children once.
    pub fn tree(&self, id: &str, direction: Direction) -> Result<Node, StoreError> {
        self.read(|| {
            let id = resolve(self.connection(), self.path(), id)?;
            let mut seen = BTreeSet::new();
            self.node(id, None, direction, &mut seen, 0)
        })
    }

    /// The nearest of the tree alone: what an issue depends on, or what depends on it.
    pub(crate) fn neighbours(
        &self,
        id: &str,
        direction: Direction,
    ) -> Result<Vec<Node>, StoreError> {
        let mut seen = BTreeSet::new();
        Ok(self.node(id.into(), None, direction, &mut seen, DEPTH_MAX - 1)?.children)
    }

    fn node(
        &self,
        id: String,
        kind: Option<String>,
        direction: Direction,
        seen: &mut BTreeSet<String>,
        depth: usize,
    ) -> Result<Node, StoreError> {
        let (connection, path) = (self.connection(), self.path());
        let sql = "SELECT title, status FROM issues WHERE id = ?1";
        let row: Option<(String, String)> =
            collect(connection, path, sql, [&id], |row| Ok((row.get(0)?, row.get(1)?)))?.pop();
        let (title, status) = row.map_or_else(Default::default, |(t, s)| (t, Some(s)));
        let is_repeated = !seen.insert(id.clone());
        let sql = match direction {
            Direction::DependsOn => {
                "SELECT depends_on_id, type FROM dependencies WHERE issue_id = ?1 ORDER BY 1, 2"
            }
            Direction::Dependents => {
                "SELECT issue_id, type FROM dependencies WHERE depends_on_id = ?1 ORDER BY 1, 2"
            }
        };
        let mut children = Vec::new();
        if !is_repeated && depth < DEPTH_MAX {
            let edges: Vec<(String, String)> =
                collect(connection, path, sql, [&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for (child, kind) in edges {
                children.push(self.node(child, Some(kind), direction, seen, depth + 1)?);
            }
        }
        children.retain(|child| child.status.as_deref() != Some(Status::Tombstone.as_str()));
        Ok(Node { id, title, status, kind, is_repeated, children })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{DependencyKind, NewIssue};

    #[test]
    fn a_diamond_is_drawn_once_and_a_circle_ends() {
        let mut store = Store::open_in_memory().unwrap();
        let ids =
            ["a", "b", "c", "d"].map(|title| store.create(NewIssue::titled(title)).unwrap().id);
        for (from, to) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
            store.add_dependency(&ids[from], &ids[to], DependencyKind::Blocks).unwrap();
        }
        store.add_dependency(&ids[3], &ids[0], DependencyKind::Related).unwrap();
        let tree = store.tree(&ids[0], Direction::DependsOn).unwrap();
        let shared: Vec<_> = tree.children.iter().flat_map(|child| &child.children).collect();
        assert_eq!((tree.children.len(), shared.len()), (2, 2));
        assert_eq!(shared.iter().filter(|node| node.is_repeated).count(), 1);
        let back = shared.iter().find(|node| !node.is_repeated).unwrap();
        assert!(back.children[0].is_repeated && back.children[0].id == ids[0]);
        let up = store.tree(&ids[3], Direction::Dependents).unwrap();
        assert_eq!(up.children.len(), 2);
        store.delete(&ids[1], None).unwrap();
        assert_eq!(store.tree(&ids[0], Direction::DependsOn).unwrap().children.len(), 1);
    }
}
