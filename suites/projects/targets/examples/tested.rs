//! An example with a test of its own.

fn main() {
    println!("{}", targets::next(1));
}

#[test]
fn of_the_example() {
    assert_eq!(targets::next(3), 4);
}
