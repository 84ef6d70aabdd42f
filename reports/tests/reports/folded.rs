//! Folded stacks, read by inferno.

use inferno::flamegraph::{self, Options};
use proptest::collection::vec;
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use watertight_report::model::{Frame, Record};
use watertight_report::render::folded::{Counted, Folded};

use crate::any_record::record;
use crate::ledgers::{everything, records, store, trial};
use crate::text;

/// Every frame of the flame graph, as `name` and its samples.
fn frames(folded: &str) -> Vec<(String, u64)> {
    let mut options = Options::default();
    (options.min_width, options.no_javascript, options.deterministic) = (0.0, true, true);
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut svg).unwrap();
    let svg = String::from_utf8(svg).unwrap();
    let mut reader = Reader::from_str(&svg);
    let (mut frames, mut title) = (Vec::new(), None::<String>);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) if tag.name().as_ref() == b"title" => title = Some(String::new()),
            Event::Text(text) => {
                title.iter_mut().for_each(|title| title.push_str(&text.decode().unwrap()));
            }
            Event::GeneralRef(name) => {
                let name = name.decode().unwrap();
                let resolved =
                    quick_xml::escape::unescape(&format!("&{name};")).unwrap().into_owned();
                title.iter_mut().for_each(|title| title.push_str(&resolved));
            }
            Event::End(tag) if tag.name().as_ref() == b"title" => {
                // `name (1,234 samples, 5.00%)`
                let title = title.take().unwrap();
                let (name, samples) = title.rsplit_once(" (").unwrap();
                let (samples, _) = samples.split_once(" samples").unwrap();
                frames.push((name.to_owned(), samples.replace(',', "").parse().unwrap()));
            }
            Event::Eof => return frames,
            _ => {}
        }
    }
}

#[test]
fn inferno_draws_what_was_left() {
    let folded = text!(&everything(), |out| Folded::new(out, Counted::Bytes));
    let frames = frames(&folded);
    let samples =
        |name: &str| frames.iter().find(|(frame, _)| frame == name).map(|(_, many)| *many);
    assert_eq!(samples("all"), Some(41 * 231_036 + 70_000));
    assert_eq!(samples("app::store::open"), Some(41 * 231_036));
    assert_eq!(samples("sqlite3_open_v2"), Some(41 * 231_036));
    assert_eq!(samples("app::cache::fill"), Some(70_000));
    // Root first.
    assert!(folded.contains("stores::main;app::store::open;db::Connection::open;sqlite3_open_v2 "));
}

#[test]
fn names_that_look_like_the_format_stay_names() {
    let names = ["f 12", "f 12.5", "# comment", "a;b", " spaced ", "\u{3000}wide\n", "", "g -1"];
    let trials = names.map(|name| {
        let mut finding = store("/a");
        finding.stack = vec![Frame::new("src/a.rs", 7, name)];
        trial(name, vec![finding])
    });
    let folded = text!(&records(trials.to_vec()), |out| Folded::new(out, Counted::Descriptors));
    let mut frames = frames(&folded);
    frames.sort();
    let wanted = ["_ comment", "a:b", "f_12", "f_12.5", "g -1", "spaced", "src/a.rs:7", "wide\\n"];
    let mut wanted: Vec<(String, u64)> = wanted.map(|name| (name.to_owned(), 3)).to_vec();
    wanted.insert(1, ("all".to_owned(), 24));
    wanted.sort();
    assert_eq!(frames, wanted, "{folded}");
}

/// The sums of a flame graph are its reader's, and fit into 64 bits.
fn bounded(mut record: Record) -> Record {
    if let Record::Trial(trial) = &mut record {
        for finding in &mut trial.findings {
            finding.growth %= 1_000_000;
            finding.parts.iter_mut().for_each(|part| part.growth %= 1_000_000);
        }
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_breaks_a_line(
        records in vec(record().prop_map(bounded), 0..5),
        counted in prop_oneof![Just(Counted::Bytes), Just(Counted::Descriptors)],
    ) {
        let folded = text!(&records, |out| Folded::new(out, counted));
        let mut total = 0;
        let mut depth_of_all = 0;
        for line in folded.split_terminator('\n') {
            let (stack, samples) = line.rsplit_once(' ').unwrap();
            total += samples.parse::<u64>().unwrap();
            depth_of_all += stack.split(';').count();
            prop_assert!(stack.split(';').all(|frame| !frame.is_empty() && frame.trim() == frame));
        }
        if total > 0 {
            let frames = frames(&folded);
            let all = frames.iter().find(|(name, _)| name == "all").map(|(_, many)| *many);
            prop_assert_eq!(all, Some(total), "{}", folded);
            prop_assert!(frames.len() <= depth_of_all + 1);
        }
    }
}
