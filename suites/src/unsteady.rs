//! Programs to be watched: each does a little at every tick, and some of that stays.
//!
//! `unsteady HABIT EVERY`, where EVERY is the time between two ticks as `300ms`. It prints `tick 1`, `tick 2`
//! and so on, and ends with its input.
//!
//! | habit | at every tick | stays |
//! |---|---|---|
//! | `files` | opens a file | for ever |
//! | `sockets` | a client comes and hangs up | the connection, in CLOSE_WAIT |
//! | `threads` | starts a thread | for ever |
//! | `zombies` | a child ends, and nobody asks how | for ever |
//! | `children` | starts a child | until the program ends |
//! | `heap`, `mappings` | 256 KiB from malloc, or from mmap | for ever |
//! | `sawtooth` | opens a file, takes a block | until the eighth tick, which gives all back |
//! | `warm-up` | the same | for ever, but only the first sixteen do it |
//! | `pool` | opens a file, ever less often | for ever, and there are at most eight |
//! | `clients` | connections come and go | until they go |
//! | `quiet` | nothing | |

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use memmap2::MmapMut;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What is taken at once: enough to be told from noise.
const BLOCK: usize = 256 << 10;
/// Ticks of a sawtooth's tooth.
const TOOTH: u64 = 8;
/// Ticks of a warm-up.
const WARM_UP: u64 = 16;
/// What a pool holds at most.
const POOL_MAX: usize = 8;
/// Clients at once.
const CLIENTS_MAX: u64 = 6;

/// What the program holds.
#[derive(Debug)]
struct Held {
    files: Vec<File>,
    connections: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
    children: Vec<Child>,
    blocks: Vec<Vec<u8>>,
    mappings: Vec<MmapMut>,
    server: TcpListener,
    /// The input of its children, which end with it.
    input: (PipeReader, PipeWriter),
}

type Tick = fn(&mut Held, u64) -> Result<()>;

/// The program.
///
/// # Errors
/// Another habit than those, or what the system says.
pub fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let habit = arguments.next().context("which habit?")?;
    let every = arguments.next().context("how often?")?;
    let (habit, every) = (named(&habit)?, humantime::parse_duration(&every)?);
    let mut held = Held {
        files: Vec::new(),
        connections: Vec::new(),
        threads: Vec::new(),
        children: Vec::new(),
        blocks: Vec::new(),
        mappings: Vec::new(),
        server: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        input: pipe()?,
    };
    let stdin = std::io::stdin();
    let mut next = Instant::now();
    for tick in 1.. {
        next += every;
        if has_ended(&stdin, next)? {
            break;
        }
        habit(&mut held, tick)?;
        writeln!(std::io::stdout(), "tick {tick}")?;
    }
    end(held)
}

fn named(habit: &str) -> Result<Tick> {
    Ok(match habit {
        "files" => files,
        "sockets" => sockets,
        "threads" => threads,
        "zombies" => zombies,
        "children" => children,
        "heap" => heap,
        "mappings" => mappings,
        "sawtooth" => sawtooth,
        "warm-up" => warm_up,
        "pool" => pool,
        "clients" => clients,
        "quiet" => |_, _| Ok(()),
        other => bail!("no habit is called {other:?}"),
    })
}

/// Waits for the next tick; true where the input has ended instead.
fn has_ended(input: &std::io::Stdin, next: Instant) -> Result<bool> {
    let left = next.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::try_from(left)?)? > 0)
}

/// Children end with their input.
fn end(held: Held) -> Result<()> {
    drop(held.input);
    for mut child in held.children {
        child.wait()?;
    }
    for thread in held.threads {
        thread.thread().unpark();
        if thread.join().is_err() {
            bail!("a thread has panicked");
        }
    }
    Ok(())
}

fn files(held: &mut Held, _tick: u64) -> Result<()> {
    held.files.push(File::open("/etc/passwd")?); // LEAK files
    Ok(())
}

/// The client hangs up, and the server never does.
fn sockets(held: &mut Held, _tick: u64) -> Result<()> {
    drop(TcpStream::connect(held.server.local_addr()?)?);
    let (connection, _) = held.server.accept()?; // LEAK sockets
    held.connections.push(connection);
    Ok(())
}

fn threads(held: &mut Held, _tick: u64) -> Result<()> {
    let builder = std::thread::Builder::new().name("left-behind".to_owned());
    held.threads.push(builder.spawn(std::thread::park)?); // LEAK threads
    Ok(())
}

fn zombies(held: &mut Held, _tick: u64) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the leak")]
    held.children.push(Command::new("true").spawn()?); // LEAK zombies
    Ok(())
}

fn children(held: &mut Held, _tick: u64) -> Result<()> {
    let input = Stdio::from(held.input.0.try_clone()?);
    #[expect(clippy::disallowed_methods, reason = "the leak; they end with their input")]
    held.children.push(Command::new("cat").stdin(input).spawn()?); // LEAK children
    Ok(())
}

fn heap(held: &mut Held, _tick: u64) -> Result<()> {
    held.blocks.push(vec![1; BLOCK]); // LEAK heap
    Ok(())
}

fn mappings(held: &mut Held, _tick: u64) -> Result<()> {
    let mut mapping = MmapMut::map_anon(BLOCK)?; // LEAK mappings
    mapping.fill(1);
    held.mappings.push(mapping);
    Ok(())
}

fn sawtooth(held: &mut Held, tick: u64) -> Result<()> {
    if tick.is_multiple_of(TOOTH) {
        held.files.clear();
        held.blocks.clear();
        return Ok(());
    }
    files(held, tick)?;
    heap(held, tick)
}

fn warm_up(held: &mut Held, tick: u64) -> Result<()> {
    if tick > WARM_UP {
        return Ok(());
    }
    files(held, tick)?;
    heap(held, tick)
}

/// At the ticks 1, 2, 4, 7, 11 and so on.
fn pool(held: &mut Held, tick: u64) -> Result<()> {
    let many = held.files.len() as u64;
    match tick == 1 + many * (many + 1) / 2 && held.files.len() < POOL_MAX {
        true => files(held, tick),
        false => Ok(()),
    }
}

/// As many as chance says, the same in every run.
fn clients(held: &mut Held, tick: u64) -> Result<()> {
    let chance = tick.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let wanted = chance % (CLIENTS_MAX + 1);
    // A client and its connection.
    while held.connections.len() as u64 > 2 * wanted {
        held.connections.drain(..2);
    }
    while (held.connections.len() as u64) < 2 * wanted {
        held.connections.push(TcpStream::connect(held.server.local_addr()?)?);
        held.connections.push(held.server.accept()?.0);
    }
    Ok(())
}
