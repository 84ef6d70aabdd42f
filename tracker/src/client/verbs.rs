//! What a client may ask of the issues, each as a method with its types.

use serde_json::json;

use super::{Client, ClientError};
use crate::issue::{Dependency, DependencyKind, Issue, IssuePatch, NewIssue};
use crate::protocol::{
    CommentParams, DepParams, DepRemoveParams, IdParams, LimitParams, ReasonParams, SearchParams,
    TreeParams, UpdateParams,
};
use crate::query::{Blocked, Direction, Filter, Node, Stats};

impl Client {
    /// Creates an issue.
    pub fn create(&mut self, new: &NewIssue) -> Result<Issue, ClientError> {
        self.typed("create", new)
    }

    /// All issues, most urgent first.
    pub fn list(&mut self, limit: Option<u32>) -> Result<Vec<Issue>, ClientError> {
        self.find(&Filter::first(limit))
    }

    /// The issues that pass a filter, in its order.
    pub fn find(&mut self, filter: &Filter) -> Result<Vec<Issue>, ClientError> {
        self.typed("list", filter)
    }

    /// The issues that hold every word, best match first.
    pub fn search(&mut self, text: &str, limit: Option<u32>) -> Result<Vec<Issue>, ClientError> {
        self.typed("search", &SearchParams { text: text.into(), limit })
    }

    /// One issue.
    pub fn show(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("show", &IdParams { id: id.into() })
    }

    /// Changes an issue.
    pub fn update(&mut self, id: &str, patch: IssuePatch) -> Result<Issue, ClientError> {
        self.typed("update", &UpdateParams { id: id.into(), patch })
    }

    /// Closes an issue (and not this client, which closes when dropped).
    pub fn close_issue(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("close", &ReasonParams { id: id.into(), reason: None })
    }

    /// Opens a closed issue again.
    pub fn reopen_issue(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("reopen", &IdParams { id: id.into() })
    }

    /// Deletes an issue.
    pub fn delete(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("delete", &ReasonParams { id: id.into(), reason: None })
    }

    /// Brings a deleted issue back.
    pub fn restore(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("restore", &IdParams { id: id.into() })
    }

    /// Adds a comment to an issue.
    pub fn comment(&mut self, id: &str, author: &str, text: &str) -> Result<Issue, ClientError> {
        let (id, author, text) = (id.into(), author.into(), text.into());
        self.typed("comment", &CommentParams { id, author, text })
    }

    /// Makes one issue depend on another.
    pub fn add_dependency(
        &mut self,
        id: &str,
        depends_on: &str,
        kind: DependencyKind,
    ) -> Result<Dependency, ClientError> {
        self.typed("dep.add", &DepParams { id: id.into(), depends_on: depends_on.into(), kind })
    }

    /// Takes away the dependencies of one issue on another.
    pub fn remove_dependency(
        &mut self,
        id: &str,
        depends_on: &str,
        kind: Option<DependencyKind>,
    ) -> Result<Vec<Dependency>, ClientError> {
        let (id, depends_on) = (id.into(), depends_on.into());
        self.typed("dep.remove", &DepRemoveParams { id, depends_on, kind })
    }

    /// What an issue depends on, or what depends on it, as a tree.
    pub fn tree(&mut self, id: &str, direction: Direction) -> Result<Node, ClientError> {
        self.typed("dep.tree", &TreeParams { id: id.into(), direction })
    }

    /// What waits for others.
    pub fn blocked(&mut self, limit: Option<u32>) -> Result<Vec<Blocked>, ClientError> {
        self.typed("blocked", &LimitParams { limit })
    }

    /// How many issues are what.
    pub fn stats(&mut self) -> Result<Stats, ClientError> {
        self.typed("stats", &json!({}))
    }

    /// What could be started on.
    pub fn ready(&mut self, limit: Option<u32>) -> Result<Vec<Issue>, ClientError> {
        self.typed("ready", &LimitParams { limit })
    }
}
