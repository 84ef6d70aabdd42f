//! A bench with a `main` of its own. `cargo test --benches` starts it as well, with `--test` or nothing.

fn main() {
    let sum: i32 = (0..1000).map(targets::next).sum();
    println!("own_bench has run: {sum}");
}
