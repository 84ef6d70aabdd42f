//! Servers of the distribution under load for some seconds: whatever they do, they do not leak. Skipped, with a
//! word, where they are absent.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use watertight_report::metric;
use watertight_report::model::Trial;
use watertight_report::trend::Trend;
use watertight_suites::command::Said;
use watertight_suites::{Ending, wait_for};

use crate::{Place, Subject, growth, installed, leaks, only, trend, watertight};

const OPTIONS: [&str; 7] =
    ["--interval", "100ms", "--for", "8s", "--warm-up", "3s", "--fail-on-growth"];

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn answers(port: u16) -> Ending {
    wait_for("the server answers", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))
}

/// Nothing grows; a warm-up is a step, or too short.
#[track_caller]
fn assert_calm(trial: &Trial, said: &Said) {
    assert_eq!(leaks(trial).len(), 0, "{said}");
    for metric in [metric::DESCRIPTOR, metric::THREAD, metric::PROCESS] {
        let said_of_it = trend(trial, metric);
        assert!(said_of_it.is_some() && growth(said_of_it).is_none(), "{metric}: {said}");
    }
    let memory = trend(trial, metric::MEMORY_BYTES);
    let is_calm =
        matches!(memory, Some(Trend::Flat { .. } | Trend::Step(_) | Trend::TooShort { .. }));
    assert!(is_calm, "{memory:?}; {said}");
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn redis_under_load() -> Ending {
    if !["redis-server", "redis-benchmark"].into_iter().all(installed) {
        return Ok(());
    }
    let (place, port) = (Place::new()?, free_port()?.to_string());
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(place.path());
    let server = Subject::start(command)?;
    answers(port.parse()?)?;
    let watch = watertight(["watch", &server.pid().to_string()].iter().chain(&OPTIONS)).start()?;
    wait_for("it is watched", || Ok(watch.out().contains("watching process")))?;
    let mut command = Command::new("redis-benchmark");
    // For ever: it is ended with the test.
    command.args(["-p", &port, "-l", "-q", "-c", "20", "-r", "1000", "-t", "set,get,incr,hset"]);
    let _load = Subject::start(command)?;
    let said = watch.end()?;
    let trial = only(&said);
    assert_calm(&trial, &said);
    // The clients have come, so it was under load.
    assert!(
        trial.readings[metric::DESCRIPTOR].peak
            >= Some(trial.readings[metric::DESCRIPTOR].before + 10),
        "{said}"
    );
    Ok(())
}

#[test]
fn nginx_under_load() -> Ending {
    if !installed("nginx") {
        return Ok(());
    }
    let (folder, port) = (Place::new()?, free_port()?);
    let place = folder.path().display();
    let config = format!(
        "daemon off; worker_processes 2; pid {place}/pid; error_log {place}/error.log;
         events {{ worker_connections 100; }}
         http {{
             access_log off;
             client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
             fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"$request_uri\"; }} }}
         }}"
    );
    fs::write(folder.path().join("nginx.conf"), config)?;
    let folder_name = place.to_string();
    let words = ["--", "nginx", "-p", &folder_name, "-c", "nginx.conf"];
    let run =
        watertight(["run"].iter().chain(&OPTIONS).chain(&words)).env("PATH", path()).start()?;
    answers(port)?;
    let is_over = AtomicBool::new(false);
    let (said, requests) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut requests = 0;
            while !is_over.load(Relaxed) && request(port).is_ok() {
                requests += 1;
            }
            requests
        });
        let said = run.end();
        is_over.store(true, Relaxed);
        (said, load.join())
    });
    let said = said?;
    assert_calm(&only(&said), &said);
    assert!(requests.is_ok_and(|many| many > 50), "it was under load; {said}");
    let is_left = TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(!is_left, "the server has ended; {said}");
    Ok(())
}

/// Where servers are, for those who are not root.
fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

fn request(port: u16) -> std::io::Result<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(b"GET /drip HTTP/1.0\r\n\r\n")?;
    let mut reply = String::new();
    connection.read_to_string(&mut reply)?;
    match reply.ends_with("/drip") {
        true => Ok(()),
        false => Err(std::io::Error::other(reply)),
    }
}
