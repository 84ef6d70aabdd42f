//! OpenMetrics, read by a parser of the specification's grammar and rules.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use watertight_report::metric;
use watertight_report::render::openmetrics::openmetrics;

use crate::any_record::text;
use crate::samples::{daemon, samples, worker};

type Labels = BTreeMap<String, String>;

/// A family with what was said of it, and its samples.
#[derive(Debug, Default)]
struct Family {
    name: String,
    /// The keywords of its descriptors, in their order.
    said: Vec<String>,
    kind: String,
    unit: String,
    samples: Vec<(Labels, f64)>,
}

/// Reads an exposition; the complaint of what breaks the specification.
fn parse(text: &str) -> Result<Vec<Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no end")?;
    let mut families: Vec<Family> = Vec::new();
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("a line does not end".to_owned());
    }
    // Not `lines`: what ends a line is LF alone.
    for line in body.split_terminator('\n') {
        match line.strip_prefix("# ") {
            Some(descriptor) => describe(&mut families, descriptor)?,
            None => sample(families.last_mut().ok_or("a sample of no family")?, line)?,
        }
    }
    let names: BTreeSet<&String> = families.iter().map(|family| &family.name).collect();
    if names.len() < families.len() {
        return Err("families are interleaved".to_owned());
    }
    for family in &families {
        if !["TYPE HELP", "TYPE UNIT HELP"].contains(&family.said.join(" ").as_str()) {
            return Err(format!("{} is described by {:?}", family.name, family.said));
        }
        if !family.unit.is_empty() && !family.name.ends_with(&format!("_{}", family.unit)) {
            return Err(format!("{} does not end in its unit", family.name));
        }
        let labels: BTreeSet<&Labels> = family.samples.iter().map(|(labels, _)| labels).collect();
        if family.samples.is_empty() || labels.len() < family.samples.len() {
            return Err(format!("{} has no sample, or one twice", family.name));
        }
    }
    Ok(families)
}

fn describe(families: &mut Vec<Family>, descriptor: &str) -> Result<(), String> {
    let words: Vec<&str> = descriptor.splitn(3, ' ').collect();
    let [keyword, name, rest] = words[..] else { return Err(format!("{descriptor}: no words")) };
    if !is_metric_name(name) {
        return Err(format!("{name} is no name"));
    }
    if families.last().is_none_or(|family| family.name != name) {
        families.push(Family { name: name.to_owned(), ..Family::default() });
    }
    let family = families.last_mut().ok_or("none")?;
    if !family.samples.is_empty() {
        return Err(format!("{name} is described after its samples"));
    }
    family.said.push(keyword.to_owned());
    match keyword {
        "TYPE" if ["counter", "gauge"].contains(&rest) => family.kind = rest.to_owned(),
        "UNIT" if is_metric_name(rest) => family.unit = rest.to_owned(),
        "HELP" if !rest.is_empty() && unescaped(rest).is_some() => {}
        _ => return Err(format!("# {descriptor}")),
    }
    Ok(())
}

fn sample(family: &mut Family, line: &str) -> Result<(), String> {
    let complain = |what: &str| format!("{what}: {line}");
    let (name, rest) = line.split_once('{').ok_or_else(|| complain("no labels"))?;
    let suffix = if family.kind == "counter" { "_total" } else { "" };
    if name != format!("{}{suffix}", family.name) {
        return Err(complain("not of its family"));
    }
    // A brace may stand in a value, so the labels are read to their end.
    let (mut labels, mut rest) = (Labels::new(), rest);
    loop {
        let (label, value) = rest.split_once("=\"").ok_or_else(|| complain("no label"))?;
        let is_name = is_metric_name(label) && !label.contains(':');
        let end = end_of(value).ok_or_else(|| complain("no end of a value"))?;
        let read = unescaped(&value[..end]).ok_or_else(|| complain("not escaped"))?;
        if !is_name || labels.insert(label.to_owned(), read).is_some() {
            return Err(complain("no label name, or one twice"));
        }
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let number = rest.strip_prefix("} ").ok_or_else(|| complain("labels do not end"))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) {
        return Err(complain("no number"));
    }
    let is_float = number.contains('.');
    if is_float != (family.unit == "seconds") {
        return Err(complain("seconds alone have a point"));
    }
    family.samples.push((labels, number.parse().map_err(|_| complain("no number"))?));
    Ok(())
}

fn is_metric_name(name: &str) -> bool {
    let initial = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(initial) && name.chars().all(|c| initial(c) || c.is_ascii_digit())
}

/// Where the quote is that ends a value.
fn end_of(value: &str) -> Option<usize> {
    let mut escaped = false;
    value.char_indices().find_map(|(at, c)| {
        if c == '"' && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
        None
    })
}

/// An escaped string as it was; none where something is not escaped, or an escape is not defined.
fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                _ => return None,
            },
            '"' | '\n' => return None,
            c => c,
        });
    }
    Some(out)
}

#[test]
fn golden() {
    let text = openmetrics(&[worker(500), daemon(500), daemon(5_500), worker(5_500)]);
    parse(&text).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(text));
}

#[test]
fn defects_are_caught() {
    let text = openmetrics(&[daemon(5_500), worker(5_500)]);
    for (right, wrong) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n\n"),
        ("# EOF\n", "process_threads{pid=\"9\",name=\"x\"} 4\n# EOF\n"),
        ("process_cpu_seconds_total{", "process_cpu_seconds{"),
        ("# UNIT process_cpu_seconds seconds", "# UNIT process_cpu_seconds minutes"),
        ("# TYPE process_threads gauge", "# TYPE process_open_fds gauge"),
        ("# TYPE process_threads gauge\n", ""),
        ("} 1.204", "} 1204"),
        ("} 15", "} 15.0"),
        ("} 15", "} fifteen"),
        ("\\\"a\\\\b\\\"", "\"a\\b\""),
        ("a\\\\b", "a\\b"),
        (",name=", ",pid="),
        ("pid=\"77\",name=\"git commit -m \\\"a\\\\b\\\"\"", "pid=\"4021\",name=\"leaky-daemon\""),
        ("\n# TYPE process_max_fds", "\r\n# TYPE process_max_fds"),
    ] {
        let defect = text.replacen(right, wrong, 1);
        assert_ne!(defect, text, "{right} is not in it");
        assert!(parse(&defect).is_err(), "{right} -> {wrong}");
    }
}

/// The value of the only sample of a family with this pid.
fn value(families: &[Family], name: &str, pid: u32) -> Option<f64> {
    let family = families.iter().find(|family| family.name == name)?;
    let of = family.samples.iter().find(|(labels, _)| labels["pid"] == pid.to_string())?;
    Some(of.1)
}

#[test]
fn the_latest_of_each_process_is_told() {
    // In any order.
    let families = parse(&openmetrics(&[worker(900), daemon(5_500), daemon(500)])).unwrap();
    assert_eq!(value(&families, "process_open_fds", 4_021), Some(15.0));
    assert_eq!(value(&families, "process_open_fds", 77), Some(4.0));
    assert_eq!(value(&families, "process_cpu_seconds", 4_021), Some(1.204));
    assert_eq!(value(&families, "process_start_time_seconds", 4_021), Some(1_759_999_990.25));
    assert_eq!(value(&families, "watertight_ticks", 4_021), Some(1.0));
    // What was not read is not there, not 0.
    assert_eq!(value(&families, "process_threads", 77), None);
}

#[test]
fn every_metric_of_a_program_has_a_family() {
    let mut sample = daemon(0);
    let metrics = [
        metric::DESCRIPTOR,
        metric::FD,
        metric::SOCKET,
        metric::TIME_WAIT,
        metric::THREAD,
        metric::TASK,
        metric::PROCESS,
        metric::HEAP_BYTES,
        metric::HEAP_BLOCKS,
        metric::MAPPING,
        metric::MAPPING_BYTES,
        metric::LOCK,
        metric::INOTIFY_WATCH,
        metric::MEMORY_BYTES,
        metric::RSS_BYTES,
        metric::PSS_BYTES,
        metric::VIRTUAL_BYTES,
        "gauge:stores",
    ];
    sample.values.clear();
    for (metric, value) in metrics.into_iter().zip(90_001..) {
        sample.values.insert(metric.into(), value);
    }
    let text = openmetrics(&[sample]);
    for value in 90_001..90_001 + metrics.len() {
        assert_eq!(text.matches(&format!("}} {value}\n")).count(), 1, "{value}: {text}");
    }
}

#[test]
fn every_limit_of_a_program_has_a_family() {
    let mut sample = daemon(0);
    (sample.values, sample.sockets) = Default::default();
    let limits = [metric::DESCRIPTOR, metric::MAPPING, metric::MEMORY_BYTES, metric::TIME_WAIT];
    sample.limits = limits.map(str::to_owned).into_iter().zip(90_001..).collect();
    let text = openmetrics(&[sample]);
    for value in 90_001..90_001 + limits.len() {
        assert_eq!(text.matches(&format!("}} {value}\n")).count(), 1, "{value}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_are_told_by_the_grammar(samples in samples()) {
        let text = openmetrics(&samples);
        prop_assert!(parse(&text).is_ok(), "{:?}: {text}", parse(&text));
    }

    #[test]
    fn any_name_is_read_back(subject in text(), gauge in text(), value in any::<u64>()) {
        let mut sample = daemon(0);
        sample.subject = subject.clone();
        sample.values.insert(metric::gauge(&gauge), value);
        let families = parse(&openmetrics(&[sample])).unwrap();
        for family in &families {
            prop_assert!(family.samples.iter().all(|(labels, _)| labels["name"] == subject));
        }
        let gauges = families.iter().find(|family| family.name == "watertight_gauge").unwrap();
        let read = gauges.samples.iter().find(|(labels, _)| labels["gauge"] == gauge);
        prop_assert_eq!(read.map(|(_, read)| *read), Some(value as f64));
    }
}
