//! A program that brings mimalloc as its malloc: it must start and work under the agent.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    watertight_suites::guest::main("guest-mimalloc")
}
