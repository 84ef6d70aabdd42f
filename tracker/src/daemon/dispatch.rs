//! What each call does. None of it forks, and all of SQLite happens on a worker's thread.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::time::timeout;

use super::Shared;
use super::metrics;
use super::worker::JobLost;
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::issue::{self, IssuePatch};
use crate::protocol::{Call, Outcome, RpcError};
use crate::store::{Store, StoreError};

/// Carries out one call, within the time a request may take.
pub(super) async fn dispatch(shared: &Arc<Shared>, call: Call) -> Outcome {
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
pub(super) fn to_json(result: &impl Serialize) -> Outcome {
    to_raw_value(result).map_err(|error| internal(error.to_string()).into())
}

/// The result of what has none.
pub(super) fn done() -> Outcome {
    to_json(&serde_json::json!({}))
}

async fn carry_out(shared: &Arc<Shared>, call: Call) -> Outcome {
    match call {
        Call::Ping => done(),
        Call::Status => to_json(&shared.status()),
        Call::Metrics => to_json(&metrics::now(shared).await),
        Call::Sync => to_json(&shared.scheduler.sync().await??),
        // The connection answers these two itself: they are about the connection.
        Call::Hello(_) | Call::Shutdown => Err(internal("not a call of the store".into()).into()),
        call => {
            let daemon = Arc::clone(shared);
            shared.requests.call(move |store| on_store_in_place(&daemon, store, call)).await?
        }
    }
}

/// Carries out a call on the store, unless that is not the workspace's any more, and tells the
/// scheduler if something has changed.
fn on_store_in_place(shared: &Shared, store: &mut Store, call: Call) -> Outcome {
    if !shared.database_is_in_place() {
        return Err(shared.database_replaced().into());
    }
    let before = store.connection().total_changes();
    let outcome = on_store(store, call);
    if store.connection().total_changes() != before {
        shared.scheduler.changed();
    }
    outcome
}

fn on_store(store: &mut Store, call: Call) -> Outcome {
    match call {
        Call::Create(new) => answer(store.create(new)),
        Call::List(filter) => answer(store.find(&filter)),
        Call::Search(params) => answer(store.search(&params.text, params.limit)),
        Call::Show(params) => answer(store.show(&params.id)),
        Call::Update(params) => answer(store.update(&params.id, &params.patch)),
        Call::Close(params) => {
            let close_reason = params.reason;
            let patch = IssuePatch { close_reason, ..IssuePatch::status(issue::Status::Closed) };
            answer(store.update(&params.id, &patch))
        }
        Call::Reopen(params) => answer(store.reopen_issue(&params.id)),
        Call::Delete(params) => answer(store.delete(&params.id, params.reason.as_deref())),
        Call::Restore(params) => answer(store.restore(&params.id)),
        Call::Comment(params) => answer(store.comment(&params.id, &params.author, &params.text)),
        Call::DepAdd(params) => {
            answer(store.add_dependency(&params.id, &params.depends_on, params.kind))
        }
        Call::DepRemove(params) => {
            let kind = params.kind.as_ref();
            answer(store.remove_dependency(&params.id, &params.depends_on, kind))
        }
        Call::DepTree(params) => answer(store.tree(&params.id, params.direction)),
        Call::DepCycles => answer(store.cycles()),
        Call::Ready(params) => answer(store.ready(params.limit)),
        Call::Blocked(params) => answer(store.blocked(params.limit)),
        Call::Labels => answer(store.labels()),
        Call::Stats => answer(store.stats()),
        Call::Hello(_)
        | Call::Ping
        | Call::Status
        | Call::Metrics
        | Call::Sync
        | Call::Shutdown => Err(internal("not a call of the store".into()).into()),
    }
}

fn answer<T: Serialize>(outcome: Result<T, StoreError>) -> Outcome {
    match outcome {
        Ok(result) => to_json(&result),
        Err(error) => Err(Failure::from(&error).into()),
    }
}

/// A fault of ours.
pub(super) fn internal(what: String) -> Failure {
    Failure::new(Exit::Failure, "internal", what, "see the log: `tracker daemon logs`")
}

impl From<JobLost> for RpcError {
    fn from(lost: JobLost) -> Self {
        internal(lost.to_string()).into()
    }
}
