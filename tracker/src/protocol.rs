//! What daemon and client say to each other: JSON-RPC 2.0, one message a line.
//!
//! ```text
//! -> {"jsonrpc":"2.0","id":1,"method":"show","params":{"id":"tt-a3f"}}
//! <- {"jsonrpc":"2.0","id":1,"result":{"id":"tt-a3f","title":"the tap drips",...}}
//! <- {"jsonrpc":"2.0","id":1,"error":{"code":-32003,"message":"no issue tt-a3f","data":{...}}}
//! ```
//!
//! A request without an id is a notification and gets no answer. Batches are refused.
//! A client's first request is `hello`: the answer says which version of this protocol the daemon
//! speaks and which workspace it serves, and a client that wants another hangs up.
//! Over TCP it must be the first, with the token; over the socket nobody who leaves it out is refused.

mod call;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::daemon::FileId;
use crate::exit_code::Exit;
use crate::failure::Failure;

pub use call::{
    Call, CommentParams, DepParams, DepRemoveParams, IdParams, LimitParams, ReasonParams,
    SearchParams, TreeParams, UpdateParams,
};

/// Raised when a message changes its meaning.
pub const PROTOCOL_VERSION: u32 = 2;
/// The longest line either side reads: room for an issue with a long description.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Codes of JSON-RPC itself.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
/// Our own codes are this one minus the exit status.
const FAILURE_BASE: i32 = -32000;

/// One message from a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Comes back in the answer; absent in a notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// What to do.
    pub method: String,
    /// With what.
    #[serde(default)]
    pub params: Value,
}

/// One message from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// The request's id, null where it could not be read.
    pub id: Value,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Or why nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

impl Response {
    /// The answer to the request with this id.
    pub fn new(id: Value, outcome: Result<Value, RpcError>) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self { jsonrpc: "2.0".into(), id, result, error }
    }

    /// The message as a line, its newline included.
    pub fn to_line(&self) -> Vec<u8> {
        // Values and strings always serialise; an empty line would be the loudest thing to do.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// What came of a request, written as JSON by whoever has the result, and never taken apart again
/// on its way into the line.
pub(crate) type Outcome = Result<Box<RawValue>, RpcError>;

/// The line that answers the request with this id; what [`Response`] reads.
pub(crate) fn answer_line(id: &Value, outcome: &Outcome) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        jsonrpc: &'static str,
        id: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a RpcError>,
    }
    let (result, error) = (outcome.as_deref().ok(), outcome.as_ref().err());
    let answer = Answer { jsonrpc: "2.0", id, result, error };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Why a request was refused, as JSON-RPC puts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// A code of JSON-RPC, or -32000 minus the exit status.
    pub code: i32,
    /// What happened.
    pub message: String,
    /// The failure as `--json` would print it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<Failure>>,
}

impl RpcError {
    /// The line is not JSON.
    pub fn parse(what: impl Into<String>) -> Self {
        Self { code: PARSE_ERROR, message: what.into(), data: None }
    }

    /// The JSON is not a request.
    pub fn invalid_request(what: impl Into<String>) -> Self {
        Self { code: INVALID_REQUEST, message: what.into(), data: None }
    }

    /// The exit status that belongs to the code.
    pub fn exit(&self) -> Exit {
        match self.code {
            METHOD_NOT_FOUND | INVALID_PARAMS | INVALID_REQUEST | PARSE_ERROR => Exit::Usage,
            code => u8::try_from(FAILURE_BASE - code).map_or(Exit::Failure, Exit::of_status),
        }
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        Self {
            code: FAILURE_BASE - i32::from(failure.exit.status()),
            message: failure.message.clone(),
            data: Some(Box::new(failure)),
        }
    }
}

/// Parameters of `hello`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HelloParams {
    /// The token of the TCP transport.
    #[serde(default)]
    pub token: Option<String>,
}

/// The answer to `hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the daemon.
    pub protocol: u32,
    /// The version of the daemon's program.
    pub version: String,
    /// The daemon's pid.
    pub pid: u32,
    /// The workspace it serves, by its own name for it.
    #[serde(default)]
    pub workspace: String,
    /// The same for a program: a directory may have several names (a mount in a container), but is
    /// only one.
    #[serde(default)]
    pub identity: Option<FileId>,
}

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The daemon's pid.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// The workspace it serves.
    pub workspace: String,
    /// Its socket.
    pub socket: String,
    /// Its second transport, if it has one.
    pub tcp: Option<SocketAddr>,
    /// How long it has been up.
    pub uptime_ms: u64,
    /// The time between two ticks.
    pub interval_ms: u64,
    /// The least time between two commits that nobody asked for.
    #[serde(default)]
    pub commit_interval_ms: u64,
    /// How long it stays when nobody needs it; for ever if this is missing.
    pub idle_timeout_ms: Option<u64>,
    /// Looks at what there is to do, so far.
    pub ticks: u64,
    /// Sync passes so far.
    pub passes: u64,
    /// Those of them that wrote the file.
    pub exports: u64,
    /// Those of them that took in what somebody else had written to the file.
    pub imports: u64,
    /// Those of them that git committed.
    pub commits: u64,
    /// Why the last pass failed, if it did.
    pub last_error: Option<String>,
    /// Why git is off for now, which is no failure.
    pub git_off: Option<String>,
    /// How long until it is tried again.
    pub retry_in_ms: Option<u64>,
    /// Connections open now.
    pub connections: u64,
    /// Requests answered so far.
    pub requests: u64,
}

/// The answer to `metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// What the text is, for an answer over HTTP.
    pub content_type: String,
    /// OpenMetrics.
    pub text: String,
}

/// A line as a request; the error goes back with the id that could be read, if any.
pub fn parse_request(line: &[u8]) -> Result<Request, (Value, RpcError)> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| (Value::Null, RpcError::parse(format!("not JSON: {error}"))))?;
    if value.is_array() {
        return Err((Value::Null, RpcError::invalid_request("batches are not supported")));
    }
    let id = value.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
    let id = id.unwrap_or_default();
    let request: Request = serde_json::from_value(value)
        .map_err(|error| (id.clone(), RpcError::invalid_request(error.to_string())))?;
    if request.jsonrpc != "2.0" {
        return Err((id, RpcError::invalid_request("`jsonrpc` must be \"2.0\"")));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_is_answered_with_the_id_it_had() {
        let code = |line: &str| parse_request(line.as_bytes()).unwrap_err();
        assert_eq!(code("{").1.code, PARSE_ERROR);
        assert_eq!(code("[]").1.code, INVALID_REQUEST);
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#).0, 7);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":"a"}"#).0, "a");
        let deep = "[".repeat(100_000);
        assert_eq!(code(&deep).1.code, PARSE_ERROR, "nesting is bounded, not recursed into");
    }

    #[test]
    fn a_failure_keeps_its_exit_across_the_wire() {
        for exit in [Exit::Failure, Exit::NotFound, Exit::Validation, Exit::Conflict, Exit::Busy] {
            let sent = RpcError::from(Failure::new(exit, "code", "what", "next"));
            let text = serde_json::to_string(&sent).unwrap();
            let got: RpcError = serde_json::from_str(&text).unwrap();
            assert_eq!(got.exit(), exit);
        }
    }
}
