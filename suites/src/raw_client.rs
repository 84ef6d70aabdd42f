//! A client without manners.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{PATIENCE, Workspace};

/// A connection on which anything can be sent.
#[derive(Debug)]
pub struct RawClient<S: Read + Write> {
    stream: BufReader<S>,
}

impl RawClient<UnixStream> {
    /// Connects to the daemon's socket.
    pub fn connect(workspace: &Workspace) -> Result<Self> {
        let stream = UnixStream::connect(workspace.paths().socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Says that nothing more will come, and goes on listening.
    pub fn finish(&self) -> Result<()> {
        Ok(self.stream.get_ref().shutdown(Shutdown::Write)?)
    }
}

impl RawClient<TcpStream> {
    /// Connects to the daemon's second transport, without presenting the token.
    pub fn connect_tcp(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl<S: Read + Write> RawClient<S> {
    /// Sends these bytes, and no newline.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes.as_ref())?)
    }

    /// The next answer.
    pub fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line)?;
        ensure!(count > 0, "the daemon closed the connection");
        Ok(serde_json::from_str(&line)?)
    }

    /// Sends a line and returns the answer to it.
    pub fn ask(&mut self, line: &str) -> Result<Value> {
        self.send(format!("{line}\n"))?;
        self.answer()
    }

    /// Sends a line and returns the code of the error that it must get.
    pub fn refusal(&mut self, line: &str) -> Result<i64> {
        code(&self.ask(line)?)
    }

    /// Waits for the end of the connection, before which nothing more may come.
    pub fn expect_end(mut self) -> Result<()> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        ensure!(rest.is_empty(), "unexpected: {}", String::from_utf8_lossy(&rest));
        Ok(())
    }
}

/// The code of an answer that is an error.
pub(crate) fn code(answer: &Value) -> Result<i64> {
    let code = answer.pointer("/error/code").and_then(Value::as_i64);
    code.ok_or_else(|| anyhow::anyhow!("not refused: {answer}"))
}
