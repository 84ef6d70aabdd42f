//! A program with a test of its own.

fn main() {
    println!("{}", targets::next(1));
}

#[test]
fn of_the_program() {
    assert_eq!(targets::next(2), 3);
}
