//! Where a run's ledger lies when nobody has named one, and who finds it there.

use std::fs;

use watertight_suites::Ending;
use watertight_suites::command::Call;

const TESTS: &str = "
#[test]
fn leaks() {
    std::mem::forget(std::fs::File::open(\"/dev/null\").unwrap());
}
";

#[test]
fn the_last_run_is_found_by_itself() -> Ending {
    let project = crate::library("last-run", TESTS);
    let folder = project.target.join("watertight");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let unnamed = |call: Call| call.env_remove("WATERTIGHT_LEDGER").end();
    let none = unnamed(project.watertight(["gate"]))?;
    assert_eq!(none.code, Some(2), "there is no run yet: {none}");
    assert!(none.err.contains("cargo watertight test"), "{none}");

    let leaking = unnamed(project.watertight(["test", "--lib"]))?;
    assert_eq!(leaking.code, Some(101), "{leaking}");
    let latest = fs::canonicalize(folder.join("latest"))?;
    assert_eq!(latest.parent(), Some(folder.canonicalize()?.as_path()));
    let gate = unnamed(project.watertight(["gate"]))?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains("1 case leaks"), "{gate}");

    // A run that could not be built is the last one, and proves nothing.
    let broken = unnamed(project.watertight(["test", "--test", "nobody"]))?;
    assert_eq!(broken.code, Some(101), "{broken}");
    assert_ne!(fs::canonicalize(folder.join("latest"))?, latest);
    let gate = unnamed(project.watertight(["gate"]))?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains("cargo ended with code 101"), "{gate}");
    Ok(())
}

#[test]
fn a_ledger_that_is_no_file_is_refused() -> Ending {
    let project = crate::library("last-run-device", TESTS);
    let device = project.watertight(["test", "--lib"]).env("WATERTIGHT_LEDGER", "/dev/full");
    let ended = device.end()?;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.err.contains("/dev/full, which is no file"), "{ended}");
    Ok(())
}
