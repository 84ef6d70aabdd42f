//! The daemons that the cases of `kinds` start.

fn main() -> anyhow::Result<()> {
    watertight_suites::kinds::serve(std::env::args().skip(1))
}
