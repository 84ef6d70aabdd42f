//! A program that brings jemalloc as its malloc: it must start and work under the agent.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    watertight_suites::guest::main("guest-jemalloc")
}
