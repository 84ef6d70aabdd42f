//! A service that shuts down its listener and forgets the sessions: their tasks wait for a word that
//! never comes, and each holds its connection.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use watertight::{Case, Failed};
use watertight_tracker::protocol::{Response, parse_request};

use super::Scratch;

/// Clients of one test.
const CLIENTS: usize = 3;

/// The case, whose shutdown joins the sessions or does not.
pub fn case(name: &str, joins: bool) -> Case {
    Case::new_async(name, 0, move |_cx| Box::pin(serve_some(joins)))
        .package(env!("CARGO_MANIFEST_DIR"))
}

async fn serve_some(joins: bool) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let listener = UnixListener::bind(scratch.workspace.socket())?;
    let stopping = CancellationToken::new();
    let sessions = TaskTracker::new();
    let acceptor = TaskTracker::new();
    let accepting = accept(listener, stopping.clone(), sessions.clone());
    let stop_accepting = CancellationToken::new();
    acceptor.spawn(stop_accepting.clone().run_until_cancelled_owned(accepting));
    for _ in 0..CLIENTS {
        ping(UnixStream::connect(scratch.workspace.socket()).await?).await?;
    }
    stop_accepting.cancel();
    acceptor.close();
    acceptor.wait().await;
    if joins {
        stopping.cancel();
        sessions.close();
        sessions.wait().await;
    }
    Ok(())
}

async fn accept(listener: UnixListener, stopping: CancellationToken, sessions: TaskTracker) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return }; // LEAK connection
        sessions.spawn(session(stream, stopping.clone())); // LEAK task
    }
}

/// Answers a call, then keeps the connection for the next one until the service stops.
async fn session(stream: UnixStream, stopping: CancellationToken) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).await.is_ok()
        && let Ok(request) = parse_request(&line)
    {
        let answer = Response::new(request.id.unwrap_or_default(), Ok("pong".into()));
        // A client that has gone needs no answer.
        let _ = stream.write_all(&answer.to_line()).await;
    }
    stopping.cancelled().await;
}

/// A client's whole conversation.
async fn ping(stream: UnixStream) -> Result<(), Failed> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    match answer.contains("pong") {
        true => Ok(()),
        false => Err(Failed::new(format!("answered {answer:?}"))),
    }
}
