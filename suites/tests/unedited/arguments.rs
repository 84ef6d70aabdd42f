//! What stands behind `--` chooses the tests that plain libtest would choose, and what is wrong with it is
//! said as plain cargo says it.

use std::collections::BTreeSet;

use watertight_suites::Ending;
use watertight_suites::command::{Project, Said};

const TESTS: &str = "
#[cfg(test)]
mod parser {
    #[test] fn reads() {}
    #[test] fn reads_long() {}
    #[test] #[ignore] fn slow() {}
    mod deep { #[test] fn reads() {} }
}
#[cfg(test)]
mod store {
    #[test] fn reads() {}
    #[test] fn prints() { println!(\"{}\", std::env::args().count()); }
}
";

fn project() -> Project {
    crate::library("arguments", TESTS)
}

/// The tests of which plain libtest says how they ended. In its quiet form it names none.
fn ran(said: &Said) -> BTreeSet<String> {
    let test = |line: &str| {
        let (name, word) = line.strip_prefix("test ")?.split_once(" ... ")?;
        (word == "ok").then(|| name.trim_end().to_owned())
    };
    said.out.lines().filter_map(test).collect()
}

/// `test result: ok. 2 passed; ... 3 filtered out`, without the time that it took.
fn results(said: &Said) -> Vec<String> {
    let results = said.out.lines().filter(|line| line.starts_with("test result: "));
    results.filter_map(|line| Some(line.rsplit_once("; finished")?.0.to_owned())).collect()
}

#[test]
fn tests_are_chosen_as_by_libtest() -> Ending {
    let project = project();
    let choices: [&[&str]; 10] = [
        &[],
        &["reads"],
        &["parser::", "store::prints"],
        &["--exact", "parser::reads"],
        &["--exact", "reads"],
        &["--skip", "deep", "--skip=long"],
        &["--ignored"],
        &["--include-ignored", "parser"],
        &["--test-threads=1"],
        &["nothing-is-called-so"],
    ];
    for words in choices {
        let words: Vec<&str> = ["test", "--lib", "--"].iter().chain(words).copied().collect();
        let plain = project.cargo(&words).end()?;
        let ours = project.watertight(&words).end()?;
        assert_eq!(ours.code, plain.code, "{words:?}: {ours}");
        assert_eq!(ran(&ours), ran(&plain), "{words:?}: {ours}");
        assert_eq!(results(&ours), results(&plain), "{words:?}");
        assert_eq!(results(&ours).len(), 1, "{ours}");
        let recorded: BTreeSet<String> = match ran(&plain).is_empty() {
            // Nobody has had a reason to write.
            true => BTreeSet::new(),
            false => ours.trials().into_iter().map(|trial| trial.case).collect(),
        };
        assert_eq!(recorded, ran(&plain), "{words:?}");
    }
    // A filter before `--` is cargo's, and reaches the tests all the same.
    let ours = project.watertight(["test", "--lib", "prints"]).end()?;
    assert_eq!(ran(&ours), BTreeSet::from(["store::prints".to_owned()]), "{ours}");
    Ok(())
}

#[test]
fn one_thread_is_one_after_the_other_in_their_order() -> Ending {
    let words = ["test", "--lib", "--", "--test-threads=1"];
    let plain = project().cargo(words).end()?;
    let ours = project().watertight(words).end()?;
    let order = |said: &Said| -> Vec<String> {
        let named =
            said.out.lines().filter(|line| line.starts_with("test ") && line.contains(" ... "));
        named.map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect()
    };
    // Those that do not run are told first, as they take no turn.
    let ran = |said: &Said| -> Vec<String> {
        order(said).into_iter().filter(|name| name != "parser::slow").collect()
    };
    assert_eq!(ran(&ours), ran(&plain), "{ours}");
    let recorded: Vec<String> = ours.trials().into_iter().map(|trial| trial.case).collect();
    assert_eq!(recorded, ran(&plain));
    Ok(())
}

#[test]
fn quiet_is_quiet() -> Ending {
    for words in [["test", "--lib", "-q"].as_slice(), &["test", "--lib", "--", "-q"]] {
        let plain = project().cargo(words).end()?;
        let ours = project().watertight(words).end()?;
        assert_eq!(ours.code, plain.code, "{ours}");
        assert!(!ours.out.contains("store::prints"), "{ours}");
        assert_eq!(results(&ours), results(&plain), "{ours}");
        assert_eq!(ours.trials().len(), 5, "{ours}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_said_by_whom_it_concerns() -> Ending {
    let project = project();
    let wrong: [&[&str]; 5] = [
        &["test", "--lib", "--", "--nonsense"],
        &["test", "--lib", "--", "--test-threads=none"],
        // Known, and refused all the same without -Z.
        &["test", "--lib", "--", "--report-time"],
        &["test", "--nonsense"],
        &["test", "-p", "nobody"],
    ];
    for words in wrong {
        let plain = project.cargo(words).end()?;
        let ours = project.watertight(words).end()?;
        assert_eq!(ours.code, plain.code, "{words:?}: {plain}\n{ours}");
        assert_ne!(ours.code, Some(0), "{words:?}");
        let errors = |said: &Said| -> Vec<String> {
            let is_error = |line: &&str| line.to_lowercase().starts_with("error");
            let all = said.err.lines().chain(said.out.lines());
            all.filter(is_error).map(str::to_owned).collect()
        };
        assert_eq!(errors(&ours), errors(&plain), "{words:?}: {ours}");
        assert!(!errors(&ours).is_empty(), "{ours}");
    }
    Ok(())
}

#[test]
fn help_starts_with_examples() -> Ending {
    for verb in ["test", "nextest"] {
        let said = project().watertight([verb, "--help"]).end()?;
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.out.starts_with(&format!("Examples:\n  cargo watertight {verb}")), "{said}");
        assert!(said.out.contains("Usage: cargo watertight"), "{said}");
    }
    // Behind the first argument of cargo's own, help is cargo's.
    let said = project().watertight(["test", "--lib", "--", "--help"]).end()?;
    assert!(said.out.contains("--include-ignored"), "{said}");
    Ok(())
}
