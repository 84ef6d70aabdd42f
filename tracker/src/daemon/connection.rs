//! One connection: read a line, answer it, until either side has had enough.
//!
//! Whatever a client does wrong costs its own connection at most.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::time::timeout;

use super::Shared;
use super::dispatch::{dispatch, done, to_json};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::protocol::{self, Call, Outcome, RpcError, answer_line};

/// After a refusal we read and drop what the client still sends, so that the kernel does not throw
/// away our answer together with its data; but not for ever.
const LINGER: Duration = Duration::from_secs(1);
/// A line's buffer that grew beyond this is not kept for the next line.
const BUFFER_KEPT_BYTES: usize = 64 * 1024;
/// What a line is counted as that is no call we know.
const UNREADABLE: &str = "unknown";

/// Serves one client to the end.
pub(super) async fn serve<S>(shared: Arc<Shared>, stream: S, token: Option<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection {
        shared: &shared,
        reader: BufReader::new(reader),
        writer,
        token: token.as_deref(),
    };
    if let Err(error) = connection.talk().await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Tells a client that there are too many, in the same words a request would be refused in.
pub(super) async fn refuse<S>(stream: S, request_timeout: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failure = Failure::new(
        Exit::Busy,
        "too_many_connections",
        "the daemon has all the connections it allows",
        "close one, or try again",
    );
    let (reader, mut writer) = tokio::io::split(stream);
    let line = answer_line(&Value::Null, &Err(failure.into()));
    let _gone_already = timeout(request_timeout, writer.write_all(&line)).await;
    linger(reader, writer).await;
}

struct Connection<'a, R, W> {
    shared: &'a Arc<Shared>,
    reader: R,
    writer: W,
    /// What `hello` must present before anything else; `None` once it has, or if nobody asks.
    token: Option<&'a str>,
}

/// What came before the next newline.
enum Line {
    Complete,
    TooLong,
    TooSlow,
    End,
}

impl<R: AsyncBufRead + Unpin, W: AsyncWrite + Unpin> Connection<'_, R, W> {
    async fn talk(&mut self) -> std::io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            line.shrink_to(BUFFER_KEPT_BYTES);
            let stopping = self.shared.stopping.clone();
            let options = &self.shared.options;
            let read = read_line(
                &mut self.reader,
                &mut line,
                options.line_bytes_max,
                options.request_timeout,
            );
            // A silent client is left alone, but not one of whom we do not know whether it may
            // be here: a place is all that it needs to keep others out.
            let is_stranger = self.token.is_some();
            let read = async {
                match is_stranger {
                    true => timeout(options.request_timeout, read).await.unwrap_or(Ok(Line::End)),
                    false => read.await,
                }
            };
            // Between requests a shutdown ends the connection; a request that is here is answered.
            let Some(read) = stopping.run_until_cancelled(read).await else { return Ok(()) };
            let refused = match read? {
                Line::End => return Ok(()),
                Line::TooLong => {
                    let max = self.shared.options.line_bytes_max;
                    format!("the line is longer than {max} bytes")
                }
                Line::TooSlow => "the line did not end in time".into(),
                Line::Complete => {
                    if self.answer(&line).await? {
                        continue;
                    }
                    return Ok(());
                }
            };
            self.shared.counters.answered(UNREADABLE, true);
            self.send(&Value::Null, &Err(RpcError::invalid_request(refused))).await?;
            linger(&mut self.reader, &mut self.writer).await;
            return Ok(());
        }
    }

    /// Answers one line; `false` if the connection is to end with it.
    async fn answer(&mut self, line: &[u8]) -> std::io::Result<bool> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(true);
        }
        let request = match protocol::parse_request(line) {
            Ok(request) => request,
            Err((id, error)) => {
                self.shared.counters.answered(UNREADABLE, true);
                self.send(&id, &Err(error)).await?;
                return Ok(true);
            }
        };
        let call = Call::parse(&request.method, request.params);
        let method = call.as_ref().map_or(UNREADABLE, Call::method);
        let (outcome, goes_on) = match call {
            Ok(Call::Hello(params)) => self.hello(params.token.as_deref()),
            _ if self.token.is_some() => (Err(unauthorised()), false),
            Ok(Call::Shutdown) => (done(), false),
            Ok(call) => (dispatch(self.shared, call).await, true),
            Err(error) => (Err(error), true),
        };
        let ends_daemon = !goes_on && outcome.is_ok();
        self.shared.counters.answered(method, outcome.is_err());
        if let Some(id) = request.id {
            self.send(&id, &outcome).await?;
        }
        if ends_daemon {
            self.shared.stop(super::StopReason::Asked);
        }
        Ok(goes_on)
    }

    fn hello(&mut self, token: Option<&str>) -> (Outcome, bool) {
        if let Some(expected) = self.token {
            if !token.is_some_and(|token| is_same(token, expected)) {
                return (Err(unauthorised()), false);
            }
            self.token = None;
        }
        (to_json(&self.shared.hello()), true)
    }

    async fn send(&mut self, id: &Value, outcome: &Outcome) -> std::io::Result<()> {
        // A client that does not read its answers is not waited for longer than a request.
        let line = answer_line(id, outcome);
        timeout(self.shared.options.request_timeout, self.writer.write_all(&line)).await?
    }
}

/// Reads up to the next newline into `line`. A silent client is left alone; one that has begun a
/// line must end it in time.
async fn read_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
    bytes_max: usize,
    patience: Duration,
) -> std::io::Result<Line> {
    if reader.fill_buf().await?.is_empty() {
        return Ok(Line::End);
    }
    let rest = async {
        // One more than allowed, to tell a full line from one that is too long.
        let mut bounded = reader.take(bytes_max as u64 + 1);
        bounded.read_until(b'\n', line).await
    };
    match timeout(patience, rest).await {
        Err(_) => Ok(Line::TooSlow),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) if line.len() > bytes_max => Ok(Line::TooLong),
        // Without a newline at the end of the stream too: a client may close its half to say so.
        Ok(Ok(_)) => Ok(Line::Complete),
    }
}

async fn linger(mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) {
    let drain = async {
        writer.shutdown().await?;
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await
    };
    let _however_it_ended = timeout(LINGER, drain).await;
}

fn unauthorised() -> RpcError {
    Failure::new(
        Exit::Busy,
        "unauthorised",
        "the first request must be `hello` with the token",
        "read address and token from .tracker/run/daemon.tcp",
    )
    .into()
}

/// Compares without telling by its time how much was right.
fn is_same(given: &str, expected: &str) -> bool {
    let differences = given.bytes().zip(expected.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == expected.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], max: usize) -> Vec<String> {
        let mut reader = BufReader::with_capacity(4, input);
        let mut seen = Vec::new();
        loop {
            let mut line = Vec::new();
            match read_line(&mut reader, &mut line, max, Duration::from_secs(60)).await.unwrap() {
                Line::End => return seen,
                Line::Complete => seen.push(String::from_utf8(line).unwrap()),
                Line::TooLong => {
                    seen.push("too long".into());
                    return seen;
                }
                Line::TooSlow => panic!("nothing is slow here"),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_needs_no_newline() {
        assert_eq!(lines(b"abc\nd", 4).await, ["abc\n", "d"]);
        assert_eq!(lines(b"abcd\n", 4).await, ["too long"]);
        assert_eq!(lines(&[b'x'; 4096], 100).await, ["too long"]);
    }

    #[tokio::test]
    async fn half_a_line_is_not_waited_for_for_ever() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"{\"json").await.unwrap();
        let mut line = Vec::new();
        let read =
            read_line(&mut BufReader::new(server), &mut line, 100, Duration::from_millis(10)).await;
        assert!(matches!(read, Ok(Line::TooSlow)));
    }
}
