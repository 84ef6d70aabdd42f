//! What can be said to a daemon, by clients of every kind.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use watertight::Failed;
use watertight_suites::{
    Daemon, Embedded, Ending, RawClient, Workspace, options, wait_for, workspace,
};
use watertight_tracker::client::{Client, ClientError, Endpoint, TcpEndpoint};
use watertight_tracker::daemon::Options;
use watertight_tracker::exit_code::Exit;
use watertight_tracker::issue::{DependencyKind, IssuePatch, NewIssue, Status};
use watertight_tracker::protocol::{LINE_BYTES_MAX, PROTOCOL_VERSION};

const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;

/// Codes of JSON-RPC.
const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

const CLIENTS: usize = 16;
const CALLS_EACH: usize = 10;
const CALLS_OF_ONE: usize = 500;
/// What stays once in each is then more than any cache would keep.
const REPETITIONS: u32 = 12;

watertight::main!();

// Well-behaved clients.

#[watertight::test]
fn every_verb_makes_the_round_trip() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    let hello = client.hello(None)?;
    assert_eq!((hello.protocol, hello.pid), (PROTOCOL_VERSION, daemon.pid()));
    client.ping()?;

    let tap = client.create(&NewIssue::titled("the tap drips"))?;
    let washer = client.create(&NewIssue { priority: Some(0), ..NewIssue::titled("a washer") })?;
    let edge = client.add_dependency(&tap.id, &washer.id, DependencyKind::Blocks)?;
    assert_eq!((&edge.issue_id, &edge.depends_on_id), (&tap.id, &washer.id));
    assert_eq!(ids(&client.list(None)?), [washer.id.as_str(), &tap.id]);
    assert_eq!(ids(&client.list(Some(1))?), [&washer.id]);
    assert_eq!(ids(&client.ready(None)?), [&washer.id]);

    assert_eq!(client.close_issue(&washer.id)?.status, Status::Closed);
    assert_eq!(ids(&client.ready(None)?), [&tap.id]);
    assert_eq!(client.reopen_issue(&washer.id)?.status, Status::Open);
    let patch = IssuePatch { title: Some("two washers".into()), ..IssuePatch::default() };
    assert_eq!(client.update(&washer.id, patch)?.title, "two washers");
    assert_eq!(client.show(&washer.id)?.title, "two washers");
    assert_eq!(client.delete(&washer.id)?.id, washer.id);
    assert_eq!(ids(&client.ready(None)?), [&tap.id], "what is deleted blocks nobody");

    client.sync()?;
    assert_eq!(workspace.exported_titles()?, ["the tap drips"]);
    let status = client.status()?;
    assert_eq!((status.pid, status.connections, status.last_error), (daemon.pid(), 1, None));
    client.shutdown()?;
    assert_eq!(daemon.wait()?.code(), Some(0));
    Ok(())
}

#[watertight::test]
fn many_clients_are_answered_at_once() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let made: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| create_and_ask(&workspace))).collect();
        clients.into_iter().map(|client| client.join()).collect()
    });
    let mut all = BTreeSet::new();
    for made in made {
        all.insert(made.map_err(|_| anyhow!("a client panicked"))??);
    }
    assert_eq!(all.len(), CLIENTS, "every id is a new one");
    let listed: BTreeSet<_> =
        workspace.client()?.list(None)?.into_iter().map(|issue| issue.id).collect();
    assert_eq!(listed, all);
    daemon.stop()
}

#[watertight::test]
fn one_client_may_call_as_often_as_it_likes() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    let id = client.create(&NewIssue::titled("the same one"))?.id;
    for _ in 0..CALLS_OF_ONE {
        assert_eq!(client.show(&id)?.title, "the same one");
    }
    assert_eq!(client.status()?.connections, 1);
    ensure!(client.status()?.requests > CALLS_OF_ONE as u64, "not every call was counted");
    daemon.stop()
}

#[watertight::test]
fn a_client_that_leaves_takes_everything_with_it(cx: &watertight::Context) -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "1h"])?;
    let mut watcher = workspace.client()?;
    wait_for("the first pass", || Ok(watcher.status()?.passes == 1))?;
    cx.watch(&daemon.pid());
    let steady = cx.steady(REPETITIONS, || {
        Client::connect(workspace.paths())?.ping()?;
        // The daemon notices in its own time that somebody has left.
        wait_for("its place is free", || Ok(watcher.status()?.connections == 1))
            .map_err(|error| Failed::new(error.to_string()))
    });
    steady.map_err(|failed| anyhow!("{failed}"))?;
    daemon.stop()
}

#[watertight::test]
fn a_refusal_carries_the_exit_code() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    let a = client.create(&NewIssue::titled("a"))?.id;
    let b = client.create(&NewIssue::titled("b"))?.id;
    client.add_dependency(&a, &b, DependencyKind::Blocks)?;
    let exit = |refused: ClientError| match refused {
        ClientError::Refused(error) => Ok(error.exit()),
        other => Err(other),
    };
    let missing = client.show("tt-nothing").err().context("shown")?;
    assert_eq!(exit(missing)?, Exit::NotFound);
    let untitled = client.create(&NewIssue::titled(" ")).err().context("created")?;
    assert_eq!(exit(untitled)?, Exit::Validation);
    let cycle = client.add_dependency(&b, &a, DependencyKind::Blocks).err().context("added")?;
    assert_eq!(exit(cycle)?, Exit::Conflict);
    client.ping()?;
    daemon.stop()
}

// Slow and dying ones.

#[watertight::test]
fn a_half_closed_client_still_gets_its_answer() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = RawClient::connect(&workspace)?;
    client.send(PING)?;
    client.finish()?;
    assert_eq!(client.answer()?["id"], 7, "the end of its half ends the line too");
    client.expect_end()?;
    daemon.stop()
}

#[watertight::test]
fn a_slow_client_keeps_nobody_waiting() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut slow = RawClient::connect(&workspace)?;
    let (half, rest) = PING.split_at(PING.len() / 2);
    slow.send(half)?;
    workspace.client()?.ping()?;
    workspace.client()?.create(&NewIssue::titled("meanwhile"))?;
    assert_eq!(slow.ask(rest)?["id"], 7);
    daemon.stop()
}

#[watertight::test]
fn a_line_that_never_ends_is_given_up() -> Ending {
    let workspace = workspace!()?;
    let patience = Duration::from_millis(50);
    let daemon = Embedded::start(&workspace, Options { request_timeout: patience, ..options() })?;
    let mut stuck = RawClient::connect(&workspace)?;
    stuck.send(&PING[..10])?;
    let answer = stuck.answer()?;
    assert_eq!(answer["error"]["code"], INVALID_REQUEST, "{answer}");
    stuck.expect_end()?;
    workspace.client()?.ping()?;
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

#[watertight::test]
fn a_client_that_dies_in_the_handshake_frees_its_place() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "20ms", "--tcp", "127.0.0.1:0"])?;
    let address = TcpEndpoint::of(workspace.paths())?.address;
    let mut watcher = workspace.client()?;
    let mut dying = RawClient::connect_tcp(address)?;
    dying.send(r#"{"jsonrpc":"2.0","id":1,"method":"hel"#)?;
    wait_for("both are connected", || Ok(watcher.status()?.connections == 2))?;
    drop(dying);
    wait_for("its place is free", || Ok(watcher.status()?.connections == 1))?;
    daemon.stop()
}

#[watertight::test]
fn a_client_too_many_is_told_so() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, Options { connections_max: 1, ..options() })?;
    let mut first = workspace.client()?;
    first.ping()?;
    let refused = workspace.client().err().context("there was no room")?;
    ensure!(refused.to_string().contains("all the connections"), "{refused}");
    drop(first);
    wait_for("there is room again", || Ok(workspace.client().is_ok()))?;
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

// Wrong ones.

#[watertight::test]
fn malformed_requests_are_answered_and_the_connection_lives() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = RawClient::connect(&workspace)?;
    assert_eq!(client.refusal("{")?, PARSE_ERROR);
    assert_eq!(client.refusal(&"[".repeat(10_000))?, PARSE_ERROR, "nesting is bounded");
    assert_eq!(client.refusal("[]")?, INVALID_REQUEST);
    assert_eq!(client.refusal("null")?, INVALID_REQUEST);
    assert_eq!(client.refusal(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#)?, INVALID_REQUEST);
    client.send(b"\xff\xfe\n")?;
    assert_eq!(client.answer()?["error"]["code"], PARSE_ERROR, "bytes that are no text");
    client.send("\n\n")?;
    assert_eq!(client.ask(PING)?["id"], 7, "after all that, and two empty lines");
    daemon.stop()
}

#[watertight::test]
fn unknown_methods_and_parameters_are_refused_by_name() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = RawClient::connect(&workspace)?;
    let answer = client.ask(r#"{"jsonrpc":"2.0","id":"a","method":"frobnicate"}"#)?;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&"a".into(), &METHOD_NOT_FOUND.into()));
    let misspelt = r#"{"jsonrpc":"2.0","id":2,"method":"show","params":{"idd":"tt-1"}}"#;
    assert_eq!(client.refusal(misspelt)?, INVALID_PARAMS);
    assert_eq!(client.ask(PING)?["id"], 7);
    daemon.stop()
}

#[watertight::test]
fn an_oversized_request_costs_its_connection_only() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = RawClient::connect(&workspace)?;
    client.send(vec![b'x'; LINE_BYTES_MAX + 1])?;
    let answer = client.answer()?;
    assert_eq!(answer["error"]["code"], INVALID_REQUEST, "{answer}");
    client.expect_end()?;
    workspace.client()?.ping()?;
    daemon.stop()
}

#[watertight::test]
fn a_notification_is_carried_out_and_not_answered() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = RawClient::connect(&workspace)?;
    client
        .send("{\"jsonrpc\":\"2.0\",\"method\":\"create\",\"params\":{\"title\":\"quiet\"}}\n")?;
    assert_eq!(client.ask(PING)?["id"], 7, "the next answer is to the next request");
    assert_eq!(workspace.client()?.list(None)?.len(), 1);
    daemon.stop()
}

// Who may be there.

#[watertight::test]
fn nobody_else_gets_at_socket_token_and_log() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "20ms", "--tcp", "127.0.0.1:0"])?;
    let paths = workspace.paths();
    for (path, expected) in [
        (paths.run_dir(), 0o700),
        (paths.socket(), 0o600),
        (paths.tcp_file(), 0o600),
        (paths.pidfile(), 0o600),
        (paths.log(), 0o600),
    ] {
        let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
        ensure!(mode == expected, "{} has mode {mode:o}", path.display());
    }
    let elsewhere = workspace.tracker(["daemon", "restart", "--tcp", "0.0.0.0:0"])?;
    assert_eq!(elsewhere.status, Some(2), "{elsewhere:?}");
    assert_eq!(workspace.client()?.status()?.pid, daemon.pid(), "it has been ended for nothing");
    daemon.stop()
}

// The second transport.

#[watertight::test]
fn tcp_answers_to_the_token() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, with_tcp())?;
    let published = TcpEndpoint::of(workspace.paths())?;
    assert_eq!(Some(&published), daemon.tcp());
    let mut client = Client::connect_tcp(workspace.paths())?;
    let made = client.create(&NewIssue::titled("over TCP"))?;
    assert_eq!(workspace.client()?.show(&made.id)?, made, "both transports lead to one store");
    drop(client);
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    ensure!(!workspace.paths().tcp_file().exists(), "the token outlived the daemon");
    Ok(())
}

#[watertight::test]
fn tcp_answers_nobody_without_the_token() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, with_tcp())?;
    let endpoint = TcpEndpoint::of(workspace.paths())?;
    let wrong = TcpEndpoint { token: "0".repeat(endpoint.token.len()), ..endpoint.clone() };
    let refused = Client::connect_to(&Endpoint::Tcp(wrong)).err().context("let in")?;
    ensure!(refused.to_string().contains("token"), "{refused}");
    let mut forgetful = RawClient::connect_tcp(endpoint.address)?;
    let answer = forgetful.ask(PING)?;
    ensure!(answer.get("error").is_some(), "answered without a token: {answer}");
    forgetful.expect_end()?;
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

fn with_tcp() -> Options {
    Options { tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), ..options() }
}

/// One client's life: it makes an issue and asks for it again and again.
fn create_and_ask(workspace: &Workspace) -> anyhow::Result<String> {
    let mut client = workspace.client()?;
    let made = client.create(&NewIssue::titled("one of many"))?;
    for _ in 0..CALLS_EACH {
        assert_eq!(client.show(&made.id)?, made);
    }
    Ok(made.id)
}

fn ids(issues: &[watertight_tracker::issue::Issue]) -> Vec<&str> {
    issues.iter().map(|issue| issue.id.as_str()).collect()
}
