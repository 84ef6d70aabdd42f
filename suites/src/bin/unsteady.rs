//! A program to be watched: see `watertight_suites::unsteady`.

fn main() -> anyhow::Result<()> {
    watertight_suites::unsteady::main()
}
