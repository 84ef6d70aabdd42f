//! Annotations, read as the runner reads them.

use proptest::collection::vec;
use proptest::prelude::*;
use watertight_report::model::Frame;
use watertight_report::render::github::{self, ANNOTATIONS_MAX, Github};
use watertight_report::report::Kind;

use crate::any_record::record;
use crate::ledgers::{records, store, trial};
use crate::{report_of, text};

/// A command as it is taken apart: level, properties, message.
#[derive(Debug)]
struct Command {
    level: String,
    properties: Vec<(String, String)>,
    message: String,
}

/// As the runner does it: the first `::` after the properties ends them, `,` parts them, `=` their names.
fn parse(line: &str) -> Option<Command> {
    let (head, message) = line.strip_prefix("::")?.split_once("::")?;
    let (level, properties) = head.split_once(' ')?;
    let properties: Option<Vec<(String, String)>> = (properties.split(','))
        .map(|property| {
            let (name, value) = property.split_once('=')?;
            let value = value.replace("%3A", ":").replace("%2C", ",");
            Some((name.to_owned(), data(&value)))
        })
        .collect();
    Some(Command { level: level.to_owned(), properties: properties?, message: data(message) })
}

fn data(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}

#[test]
fn nine_and_how_many_more() {
    let leaks = |many: u32| {
        let trials = (1..=many).map(|line| {
            let mut finding = store("/a");
            finding.site = Some(Frame::new("src/a,b:c.rs", line, "a::b"));
            trial(&line.to_string(), vec![finding])
        });
        let records = records(trials.collect()).split_off(1);
        let text = text!(&records, Github::new);
        text.lines().map(|line| parse(line).unwrap()).collect::<Vec<Command>>()
    };
    assert_eq!(leaks(9).len(), ANNOTATIONS_MAX);
    let twelve = leaks(12);
    assert_eq!(twelve.len(), 10);
    assert!(twelve[9].message.starts_with("3 more"), "{:?}", twelve[9]);
    assert!(twelve.iter().all(|command| command.level == "error"));
    let file = ("file".to_owned(), "src/a,b:c.rs".to_owned());
    assert!(twelve[..9].iter().all(|command| command.properties[0] == file), "{twelve:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_makes_a_command_of_its_own(records in vec(record(), 0..5)) {
        let written = text!(&records, Github::new);
        let report = report_of(&records);
        let lines: Vec<&str> = written.split_terminator('\n').collect();
        prop_assert_eq!(lines.len(), github::count(&report).min(ANNOTATIONS_MAX + 1));
        let leaks: Vec<_> = report.of(Kind::Leak).collect();
        for (line, leak) in lines.iter().zip(leaks.iter().take(ANNOTATIONS_MAX)) {
            let command = parse(line).unwrap();
            prop_assert_eq!(command.level, "error");
            let file = command.properties.iter().find(|(name, _)| name == "file");
            let site = leak.finding.site.as_ref().filter(|site| !site.file.is_empty());
            prop_assert_eq!(file.map(|(_, file)| file), site.map(|site| &site.file));
        }
        for line in lines {
            prop_assert!(parse(line).is_some_and(|it| ["error", "warning"].contains(&it.level.as_str())));
            prop_assert!(!line.contains('\r'));
        }
    }
}
