//! What a client can ask for: each method, its parameters and how they are read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HelloParams, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError};
use crate::issue::{DependencyKind, IssuePatch, NewIssue};
use crate::query::{Direction, Filter};

macro_rules! calls {
    ($($(#[$doc:meta])* $method:literal => $call:ident $(($params:ty))?,)+) => {
        /// What a client can ask for.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Call {
            $($(#[$doc])* $call $(($params))?,)+
        }

        impl Call {
            /// Every method.
            pub const METHODS: &[&str] = &[$($method),+];

            /// The call a method and its parameters mean.
            pub fn parse(method: &str, params: Value) -> Result<Self, RpcError> {
                // No parameters, `null` and `{}` are the same to a caller.
                let params =
                    if params.is_null() { Value::Object(Default::default()) } else { params };
                match method {
                    $($method => Ok(Self::$call $((parse_params::<$params>(params)?))?),)+
                    other => {
                        let methods = Self::METHODS.join(", ");
                        let message = format!("no method `{other}`; there are {methods}");
                        Err(RpcError { code: METHOD_NOT_FOUND, message, data: None })
                    }
                }
            }

            /// The method.
            pub fn method(&self) -> &'static str {
                match self {
                    $(calls!(@pattern $call $(($params))?) => $method,)+
                }
            }
        }
    };
    (@pattern $call:ident) => { Self::$call };
    (@pattern $call:ident ($params:ty)) => { Self::$call(_) };
}

calls! {
    /// Who are you, and may I?
    "hello" => Hello(HelloParams),
    /// Are you there?
    "ping" => Ping,
    /// How are you?
    "status" => Status,
    /// A new issue.
    "create" => Create(NewIssue),
    /// Issues that are like this.
    "list" => List(Box<Filter>),
    /// Issues with these words.
    "search" => Search(SearchParams),
    /// One issue.
    "show" => Show(IdParams),
    /// Another title, status, label ...
    "update" => Update(Box<UpdateParams>),
    /// It is done.
    "close" => Close(ReasonParams),
    /// It is not.
    "reopen" => Reopen(IdParams),
    /// It should not be there.
    "delete" => Delete(ReasonParams),
    /// It should.
    "restore" => Restore(IdParams),
    /// A remark.
    "comment" => Comment(CommentParams),
    /// One issue depends on another.
    "dep.add" => DepAdd(DepParams),
    /// It does not any more.
    "dep.remove" => DepRemove(DepRemoveParams),
    /// What an issue depends on, or what depends on it, as a tree.
    "dep.tree" => DepTree(TreeParams),
    /// Dependencies that go in a circle.
    "dep.cycles" => DepCycles,
    /// What could be started on.
    "ready" => Ready(LimitParams),
    /// What waits for others.
    "blocked" => Blocked(LimitParams),
    /// Labels, and how many issues have them.
    "labels" => Labels,
    /// How many issues are what.
    "stats" => Stats,
    /// Now, not at the next tick.
    "sync" => Sync,
    /// Numbers, as OpenMetrics text.
    "metrics" => Metrics,
    /// End, after answering.
    "shutdown" => Shutdown,
}

/// Parameters that are an id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdParams {
    /// An id or its unique start.
    pub id: String,
}

/// Parameters of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitParams {
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Parameters of `close` and `delete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonParams {
    /// An id or its unique start.
    pub id: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Parameters of `search`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// The words.
    pub text: String,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Parameters of `comment`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommentParams {
    /// An id or its unique start.
    pub id: String,
    /// Who says it.
    pub author: String,
    /// What is said.
    pub text: String,
}

/// Parameters of `update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateParams {
    /// An id or its unique start.
    pub id: String,
    /// What to change.
    #[serde(flatten)]
    pub patch: IssuePatch,
}

/// Parameters of `dep.add`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepParams {
    /// The issue that waits.
    pub id: String,
    /// What it waits for.
    pub depends_on: String,
    /// What the edge means.
    #[serde(default, rename = "type")]
    pub kind: DependencyKind,
}

/// Parameters of `dep.remove`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepRemoveParams {
    /// The issue that waits.
    pub id: String,
    /// What it is to wait for no more.
    pub depends_on: String,
    /// Only edges of this kind; all if it is absent.
    #[serde(default, rename = "type")]
    pub kind: Option<DependencyKind>,
}

/// Parameters of `dep.tree`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeParams {
    /// The root.
    pub id: String,
    /// Which way it grows.
    #[serde(default)]
    pub direction: Direction,
}

fn parse_params<T: serde::de::DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    serde_json::from_value(params).map_err(|error| RpcError {
        code: INVALID_PARAMS,
        message: format!("invalid params: {error}"),
        data: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_name_what_is_wrong_with_them() {
        assert_eq!(Call::parse("list", Value::Null), Ok(Call::List(Box::default())));
        assert_eq!(Call::parse("nope", Value::Null).unwrap_err().code, METHOD_NOT_FOUND);
        let missing = Call::parse("show", Value::Null).unwrap_err();
        assert!(missing.message.contains("`id`"), "{missing}");
        let misspelt = Call::parse("create", serde_json::json!({"title": "a", "prio": 1}));
        assert!(misspelt.unwrap_err().message.contains("prio"));
    }
}
