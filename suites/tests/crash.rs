//! The crash proof with as many rounds as a test has time for; the bin `crash` has more.

use watertight_suites::Ending;
use watertight_suites::crash::{Crashes, Programs, Round, Tally, Work};

const SEED: u64 = 7;
const ROUNDS: u64 = 40;
/// Rounds in which a defect that is hit by half of the kills has to show.
const ROUNDS_OF_A_DOUBLE: u64 = 12;

fn programs() -> Programs {
    Programs {
        tracker: env!("CARGO_BIN_EXE_tracker-under-test").into(),
        writer: env!("CARGO_BIN_EXE_write-many").into(),
        careless: None,
    }
}

#[test]
fn nothing_is_lost_cut_or_left_by_a_kill() -> Ending {
    let mut crashes = Crashes::rehearse(programs(), SEED)?;
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for number in 0..ROUNDS {
        let round = crashes.round(number)?;
        tally.add(&round);
        if !round.broken.is_empty() {
            broken.push(format!("round {number}: {round:#?}"));
        }
    }
    println!("{tally}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(tally.killed() as u64 > ROUNDS / 2, "too few died in the middle of it:\n{tally}");
    Ok(())
}

/// What a program that is careless on purpose is accused of.
fn accusations(work: Work) -> anyhow::Result<Vec<String>> {
    let careless = Some(env!("CARGO_BIN_EXE_careless").into());
    let mut crashes = Crashes::rehearse(Programs { careless, ..programs() }, SEED)?;
    let mut said = Vec::new();
    for number in 0..ROUNDS_OF_A_DOUBLE {
        let Round { broken, .. } = crashes.round_of(work, number)?;
        said.extend(broken);
    }
    Ok(said)
}

#[test]
fn a_writer_that_acknowledges_before_the_commit_is_caught() -> Ending {
    let said = accusations(Work::Create)?;
    assert!(said.iter().any(|said| said.contains("acknowledged writes are lost")), "{said:#?}");
    Ok(())
}

#[test]
fn an_export_over_the_old_file_is_caught() -> Ending {
    let said = accusations(Work::Export)?;
    assert!(said.iter().any(|said| said.contains("the file is cut")), "{said:#?}");
    Ok(())
}
