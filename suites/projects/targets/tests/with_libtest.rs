//! An integration test like most, one of whose tests starts the project's program.

#[test]
fn of_the_integration() {
    assert_eq!(targets::next(4), 5);
}

#[test]
fn starts_the_program() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_targets")).output().unwrap();
    assert_eq!(output.stdout, b"2\n");
}
