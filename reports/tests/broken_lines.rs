//! Lines that cannot be read, anywhere in a ledger: each is said, and costs no other. The envelope of a line
//! says what the whole line says.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use watertight_report::ledger::{Envelope, Kind, LineError, Records};
use watertight_report::model::{Finding, Record, Resource, Run, SCHEMA, Trial};

/// Any text at all: names come from the system and may hold control characters.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..8).prop_map(|chars| chars.into_iter().collect())
}

fn record() -> impl Strategy<Value = Record> {
    let trial = (text(), text(), text(), 0..4_u32, option_of_finding());
    let trial = trial.prop_map(|(run, suite, case, attempt, finding)| {
        let mut trial = Trial::default();
        (trial.run, trial.suite, trial.case) = (run, suite, case);
        // As a reader sees it: the first attempt is not written.
        trial.attempt = if attempt == 1 { 0 } else { attempt };
        trial.findings.extend(finding);
        Record::Trial(Box::new(trial))
    });
    let run = (text(), any::<u64>()).prop_map(|(id, started_ms)| {
        let mut run = Run::default();
        (run.run, run.started_ms) = (id, started_ms);
        Record::Run(run)
    });
    prop_oneof![1 => run, 4 => trial]
}

fn option_of_finding() -> impl Strategy<Value = Option<Finding>> {
    let finding = (text(), any::<i64>());
    proptest::option::of(
        finding.prop_map(|(what, growth)| Finding::leak(Resource::Fd, what, growth)),
    )
}

fn line(record: &Record) -> String {
    serde_json::to_string(record).unwrap()
}

/// What may go wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Truncated,
    Malformed,
    Newer,
    UnknownType,
}

/// A line that is no record, and why.
fn broken() -> impl Strategy<Value = (Vec<u8>, Fault)> {
    let truncated = (record(), any::<Index>()).prop_map(|(record, at)| {
        let bytes = line(&record).into_bytes();
        let cut = 1 + at.index(bytes.len() - 1);
        (bytes[..cut].to_vec(), Fault::Truncated)
    });
    let words = [
        "null",
        "[1]",
        "\"run\"",
        "}",
        "{} {}",
        "{\"type\":5}",
        "{\"type\":\"trial\",\"rounds\":\"two\"}",
        "running 4 tests",
    ];
    let malformed = select(words.to_vec()).prop_map(|word| (word.into(), Fault::Malformed));
    let noise = vec(any::<u8>().prop_filter("a line", |byte| *byte != b'\n'), 0..20)
        .prop_map(|noise| ([b"\xff".as_slice(), &noise].concat(), Fault::Malformed));
    let newer = (select(vec!["run", "trial"]), SCHEMA + 1..).prop_map(|(kind, schema)| {
        let line = format!(r#"{{"type":"{kind}","schema":{schema},"verdict":"unheard of"}}"#);
        (line.into(), Fault::Newer)
    });
    let unknown = (0..3_u32).prop_map(|schema| {
        (format!(r#"{{"type":"holder","schema":{schema}}}"#).into(), Fault::UnknownType)
    });
    prop_oneof![truncated, malformed, noise, newer, unknown]
}

fn fault(error: &LineError) -> Fault {
    match error {
        LineError::Truncated { .. } => Fault::Truncated,
        LineError::Malformed { .. } => Fault::Malformed,
        LineError::NewerSchema { .. } => Fault::Newer,
        LineError::UnknownType { .. } => Fault::UnknownType,
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_line_costs_itself_alone(
        lines in vec(prop_oneof![record().prop_map(Ok), broken().prop_map(Err)], 0..12),
        ends_in_newline in any::<bool>(),
    ) {
        let mut bytes: Vec<u8> = Vec::new();
        for (at, one) in lines.iter().enumerate() {
            if at > 0 {
                bytes.push(b'\n');
            }
            match one {
                Ok(record) => bytes.extend(line(record).into_bytes()),
                Err((broken, _)) => bytes.extend(broken),
            }
        }
        if ends_in_newline {
            bytes.push(b'\n');
        }
        let read: Vec<Result<Record, LineError>> = Records::new(&*bytes).collect();
        prop_assert_eq!(read.len(), lines.len());
        for (at, (read, made)) in read.into_iter().zip(lines).enumerate() {
            match (read, made) {
                (Ok(read), Ok(made)) => prop_assert_eq!(read, made),
                (Err(error), Err((_, why))) => {
                    prop_assert_eq!(error.line(), at as u64 + 1);
                    prop_assert_eq!(fault(&error), why, "{}", error);
                }
                (read, made) => prop_assert!(false, "{read:?} of {made:?}"),
            }
        }
    }

    #[test]
    fn an_envelope_says_what_its_record_says(record in record(), id in text(), space in any::<bool>()) {
        let mut written = line(&record);
        if space {
            // As others may write it: the meaning is the same.
            written = format!("  {} ", written.replacen(r#"{"type":"#, r#"{ "type" : "#, 1));
        }
        let envelope = Envelope::read(written.as_bytes(), 1).unwrap();
        let mut wanted = record.clone();
        match (&mut wanted, envelope.kind()) {
            (Record::Run(run), Kind::Run(told)) => {
                prop_assert_eq!(&*run, &**told);
                run.run.clone_from(&id);
            }
            (Record::Trial(trial), Kind::Trial { suite, case, attempt }) => {
                prop_assert_eq!((&trial.suite[..], &trial.case[..]), (&**suite, &**case));
                prop_assert_eq!(trial.attempt.max(1), *attempt);
                trial.run.clone_from(&id);
            }
            (record, kind) => prop_assert!(false, "{record:?} is {kind:?}"),
        }
        let mut passed_on = Vec::new();
        envelope.write_as(&id, &mut passed_on).unwrap();
        let read: Result<Vec<Record>, _> = Records::new(&*passed_on).collect();
        prop_assert_eq!(read.unwrap(), [wanted]);
    }

    /// Who passes lines on loses none that a reader of records could have read.
    #[test]
    fn what_is_a_record_has_an_envelope(
        record in record(),
        at in any::<Index>(),
        byte in any::<u8>().prop_filter("a line", |byte| *byte != b'\n'),
    ) {
        let mut bytes = line(&record).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let read = Records::new(&*bytes).next().unwrap();
        let envelope = Envelope::read(&bytes, 1);
        match (&read, &envelope) {
            (Ok(_), Err(error)) => prop_assert!(false, "{error}"),
            (Err(error), Err(other)) => prop_assert_eq!(error.to_string(), other.to_string()),
            // What is odd inside a whole line is for those to find who read it.
            (Ok(_) | Err(_), Ok(_)) => {}
        }
    }
}

/// Fields that a later version adds are passed on, to the byte.
#[test]
fn unknown_fields_pass() {
    let line = br#"{"type":"trial","schema":1,"later":[1.50,{"a":null}],"run":"old","case":"c"}"#;
    let mut out = Vec::new();
    Envelope::read(line, 1).unwrap().write_as("new \"id\"", &mut out).unwrap();
    let wanted =
        r#"{"type":"trial","schema":1,"later":[1.50,{"a":null}],"run":"new \"id\"","case":"c"}"#;
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn a_trial_without_a_run_gets_one() {
    let mut out = Vec::new();
    Envelope::read(br#"{"type":"trial","case":"c"}"#, 1).unwrap().write_as("id", &mut out).unwrap();
    let mut wanted = Trial::default();
    (wanted.run, wanted.case) = ("id".into(), "c".into());
    let read: Result<Vec<Record>, _> = Records::new(&*out).collect();
    assert_eq!(read.unwrap(), [Record::Trial(Box::new(wanted))]);
}
