//! The same with an allocator of its own, which the agent does not see.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    watertight_suites::unsteady::main()
}
