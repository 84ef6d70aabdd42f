//! What each call does. None of it forks, and all of SQLite happens on a worker's thread.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Shared;
use super::worker::JobLost;
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::protocol::{Call, RpcError};
use crate::store::{Store, StoreError};

/// Carries out one call, within the time a request may take.
pub(super) async fn dispatch(shared: &Arc<Shared>, call: Call) -> Result<Value, RpcError> {
    let patience = shared.options.request_timeout;
    match timeout(patience, carry_out(shared, call)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new(
            Exit::Busy,
            "timed_out",
            format!("no result after {}", humantime::format_duration(patience)),
            "something holds the database; try again",
        )
        .into()),
    }
}

/// A result as JSON.
pub(super) fn to_value(result: &impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| internal(error.to_string()))
}

async fn carry_out(shared: &Arc<Shared>, call: Call) -> Result<Value, RpcError> {
    match call {
        Call::Ping => Ok(json!({})),
        Call::Status => to_value(&shared.status()),
        Call::Sync => match shared.sync().await {
            Ok(Ok(report)) => to_value(&report),
            Ok(Err(error)) => Err(Failure::from(&error).into()),
            Err(lost) => Err(lost.into()),
        },
        // The connection answers these two itself: they are about the connection.
        Call::Hello(_) | Call::Shutdown => Err(internal("not a call of the store".into())),
        call => shared.requests.call(move |store| on_store(store, call)).await?,
    }
}

fn on_store(store: &mut Store, call: Call) -> Result<Value, RpcError> {
    match call {
        Call::Create(new) => answer(store.create(new)),
        Call::List(params) => answer(store.list(params.limit)),
        Call::Show(params) => answer(store.show(&params.id)),
        Call::Update(params) => answer(store.update(&params.id, &params.patch)),
        Call::Close(params) => answer(store.close_issue(&params.id)),
        Call::Reopen(params) => answer(store.reopen_issue(&params.id)),
        Call::Delete(params) => answer(store.delete(&params.id, None)),
        Call::DepAdd(params) => {
            answer(store.add_dependency(&params.id, &params.depends_on, params.kind))
        }
        Call::Ready(params) => answer(store.ready(params.limit)),
        Call::Hello(_) | Call::Ping | Call::Status | Call::Sync | Call::Shutdown => {
            Err(internal("not a call of the store".into()))
        }
    }
}

fn answer<T: Serialize>(outcome: Result<T, StoreError>) -> Result<Value, RpcError> {
    match outcome {
        Ok(result) => to_value(&result),
        Err(error) => Err(Failure::from(&error).into()),
    }
}

fn internal(what: String) -> RpcError {
    Failure::new(Exit::Failure, "internal", what, "see the daemon's log").into()
}

impl From<JobLost> for RpcError {
    fn from(lost: JobLost) -> Self {
        internal(lost.to_string())
    }
}
