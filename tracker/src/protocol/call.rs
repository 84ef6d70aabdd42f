//! What a client can ask for: each method, its parameters and how they are read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HelloParams, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError};
use crate::issue::{DependencyKind, IssuePatch, NewIssue};

/// What a client can ask for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// `hello {token?}`: who are you, and may I?
    Hello(HelloParams),
    /// `ping`: are you there?
    Ping,
    /// `status`: how are you?
    Status,
    /// `create {title, ...}`.
    Create(NewIssue),
    /// `list {limit?}`.
    List(LimitParams),
    /// `show {id}`.
    Show(IdParams),
    /// `update {id, ...}`.
    Update(UpdateParams),
    /// `close {id}`.
    Close(IdParams),
    /// `reopen {id}`.
    Reopen(IdParams),
    /// `delete {id}`.
    Delete(IdParams),
    /// `dep.add {id, depends_on, type?}`.
    DepAdd(DepParams),
    /// `ready {limit?}`.
    Ready(LimitParams),
    /// `sync`: now, not at the next tick.
    Sync,
    /// `metrics`: numbers, as OpenMetrics text.
    Metrics,
    /// `shutdown`: end, after answering.
    Shutdown,
}

impl Call {
    /// The call a method and its parameters mean.
    pub fn parse(method: &str, params: Value) -> Result<Self, RpcError> {
        // No parameters, `null` and `{}` are the same to a caller.
        let params = if params.is_null() { Value::Object(Default::default()) } else { params };
        Ok(match method {
            "hello" => Self::Hello(parse_params(params)?),
            "ping" => Self::Ping,
            "status" => Self::Status,
            "create" => Self::Create(parse_params(params)?),
            "list" => Self::List(parse_params(params)?),
            "show" => Self::Show(parse_params(params)?),
            "update" => Self::Update(parse_params(params)?),
            "close" => Self::Close(parse_params(params)?),
            "reopen" => Self::Reopen(parse_params(params)?),
            "delete" => Self::Delete(parse_params(params)?),
            "dep.add" => Self::DepAdd(parse_params(params)?),
            "ready" => Self::Ready(parse_params(params)?),
            "sync" => Self::Sync,
            "metrics" => Self::Metrics,
            "shutdown" => Self::Shutdown,
            other => {
                let message = format!("no method `{other}`");
                return Err(RpcError { code: METHOD_NOT_FOUND, message, data: None });
            }
        })
    }

    /// The method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ping => "ping",
            Self::Status => "status",
            Self::Create(_) => "create",
            Self::List(_) => "list",
            Self::Show(_) => "show",
            Self::Update(_) => "update",
            Self::Close(_) => "close",
            Self::Reopen(_) => "reopen",
            Self::Delete(_) => "delete",
            Self::DepAdd(_) => "dep.add",
            Self::Ready(_) => "ready",
            Self::Sync => "sync",
            Self::Metrics => "metrics",
            Self::Shutdown => "shutdown",
        }
    }
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
        assert_eq!(Call::parse("list", Value::Null), Ok(Call::List(LimitParams::default())));
        assert_eq!(Call::parse("nope", Value::Null).unwrap_err().code, METHOD_NOT_FOUND);
        let missing = Call::parse("show", Value::Null).unwrap_err();
        assert!(missing.message.contains("`id`"), "{missing}");
        let misspelt = Call::parse("create", serde_json::json!({"title": "a", "prio": 1}));
        assert!(misspelt.unwrap_err().message.contains("prio"));
    }
}
