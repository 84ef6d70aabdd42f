//! JUnit files are what Jenkins takes.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use watertight_report::model::Record;
use watertight_report::render::junit::Junit;

use crate::any_record::record;
use crate::jenkins::{self, Case};
use crate::ledgers::everything;
use crate::text;

#[test]
fn every_case_is_there_once_with_what_became_of_it() {
    let cases = jenkins::read(&text!(&everything(), |out| Junit::new(out, false))).unwrap();
    assert_eq!(cases.len(), 56);
    let holds = |name: &str| {
        let of: Vec<&Case> = cases.iter().filter(|case| case.name == name).collect();
        let [case] = of.as_slice() else { panic!("{name}: {of:?}") };
        case.holds.clone()
    };
    assert_eq!(holds("opens_00"), ["failure"]);
    assert_eq!(holds("wrong"), ["failure"]);
    assert_eq!(holds("aborts"), ["error"]);
    assert_eq!(holds("not_today"), ["skipped"]);
    assert_eq!(holds("still_falling"), ["system-err"]);
    assert_eq!(holds("static_one"), ["system-err"]);
    assert_eq!(holds("clean_0"), [""; 0]);
    assert_eq!(holds("fills"), [""; 0]);
    // A leak in the first of two attempts, and a failure that was none in the second.
    assert_eq!(holds("flaky"), ["failure"]);
    assert_eq!(holds("slow"), ["flakyError"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jenkins_takes_any_report(records in vec(record(), 0..5), all in any::<bool>()) {
        let file = text!(&records, |out| Junit::new(out, all));
        let cases = jenkins::read(&file);
        prop_assert!(cases.is_ok(), "{cases:?}\n{file}");
        let wanted: BTreeSet<_> = (records.iter())
            .filter_map(|record| match record {
                Record::Trial(trial) => Some((&trial.run, &trial.suite, &trial.case)),
                _ => None,
            })
            .collect();
        prop_assert_eq!(cases.unwrap().len(), wanted.len());
    }
}
