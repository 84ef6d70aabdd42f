//! A daemon that keeps the session of every call, long after its client has hung up.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use serde_json::{Value, json};
use watertight::{Context, Failed};
use watertight_tracker::client::Client;
use watertight_tracker::daemon::FileId;
use watertight_tracker::paths::Workspace;
use watertight_tracker::protocol::{Call, Hello, PROTOCOL_VERSION, Response, parse_request};
use watertight_tracker::store::Store;

use super::{Scratch, daemon};

/// Calls that the test makes, each with a connection of its own.
const CALLS: u32 = 12;

/// A test of the daemon that keeps its sessions.
pub fn leaky(cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    call_often(cx, &scratch, daemon("session-leaky", &scratch)?)
}

/// The same test of the daemon that ends a session with its call.
pub fn clean(cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    call_often(cx, &scratch, daemon("session-clean", &scratch)?)
}

/// Starts the daemon, calls it, ends it.
fn call_often(
    cx: &Context,
    scratch: &Scratch,
    mut command: std::process::Command,
) -> Result<(), Failed> {
    command.stdout(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "asked to end and waited for below")]
    let mut child = command.spawn()?;
    cx.watch(&child);
    let mut ready = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready)?;
    }
    let called = cx.steady(CALLS, || Ok(Client::connect(&scratch.workspace)?.ping()?));
    let asked = Client::connect(&scratch.workspace).and_then(|mut client| client.shutdown());
    if asked.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    called?;
    match status.success() {
        true => Ok(()),
        false => Err(Failed::new(format!("the daemon ended with {status}"))),
    }
}

/// The daemon: answers one call of each client until it is asked to shut down. The sessions of
/// `is_leaky` stay.
///
/// # Errors
/// What the store or the socket says.
pub fn serve(workspace: &Workspace, is_leaky: bool) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&workspace.database())?;
    let listener = UnixListener::bind(workspace.socket())?;
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        workspace: workspace.dir().display().to_string(),
        identity: Some(FileId::of(workspace.dir())?),
    };
    println!("ready");
    let mut sessions = Vec::new();
    loop {
        let (stream, _) = listener.accept()?; // LEAK
        let mut session = Session { stream: BufReader::new(stream), calls: 0, is_last: false };
        while session.serve(&mut store, &hello)? {}
        if session.is_last {
            break;
        }
        if is_leaky {
            sessions.push(session);
        }
    }
    store.close()?;
    Ok(())
}

/// One client's conversation.
struct Session {
    stream: BufReader<UnixStream>,
    calls: u32,
    /// It has asked for the end.
    is_last: bool,
}

impl Session {
    /// Answers a greeting or a call; false where nothing follows.
    fn serve(&mut self, store: &mut Store, hello: &Hello) -> anyhow::Result<bool> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        self.calls += 1;
        let mut goes_on = false;
        let (id, outcome) = match parse_request(&line) {
            Err((id, error)) => (id, Err(error)),
            Ok(request) => {
                let outcome = Call::parse(&request.method, request.params).map(|call| match call {
                    Call::Hello(_) => json!(hello),
                    _ => json!({ "issues": store.count().unwrap_or(0) }),
                });
                self.is_last = request.method == "shutdown";
                // A greeting is followed by the call; nobody waits for more.
                goes_on = request.method == "hello";
                (request.id.unwrap_or(Value::Null), outcome)
            }
        };
        self.stream.get_mut().write_all(&Response::new(id, outcome).to_line())?;
        Ok(goes_on)
    }
}
