//! The daemons that the cases of `traps` start.

fn main() -> anyhow::Result<()> {
    watertight_suites::traps::serve(std::env::args().skip(1))
}
