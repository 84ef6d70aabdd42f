//! What comes out: the program's own output as it is, and ours for people, programs and collectors.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use watertight_report::watch::Line;
use watertight_suites::command::Said;
use watertight_suites::{Ending, wait_for};

use crate::{Place, Subject, UNSTEADY, anywhere, binary, only, watertight};

const BYTES: usize = 10 << 20;

/// Every byte there is, in no order, without a line's end at the end.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn what_the_program_prints_goes_through_byte_for_byte() -> Ending {
    let place = Place::new()?;
    let (out, err) = (noise(BYTES), noise(BYTES / 2 + 1));
    let write = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, bytes).map(|()| path)
    };
    let (out_file, err_file) = (write("out", &out)?, write("err", &err)?);
    let script =
        format!("cat {} & cat {} >&2; wait; exit 7", out_file.display(), err_file.display());
    let said = watertight(["run", "--quiet", "--", "sh", "-c", &script]).end()?;
    assert_eq!(said.code, Some(7), "the program's own code");
    assert!(said.raw_out == out, "{} bytes of {}", said.raw_out.len(), out.len());
    // The verdict comes after it.
    assert!(said.raw_err.starts_with(&err), "{} bytes of {}", said.raw_err.len(), err.len());
    Ok(())
}

#[test]
fn half_a_line_is_seen_at_once() -> Ending {
    let script = "printf half; read go; printf ' and half'";
    let mut run = watertight(["run", "--quiet", "--", "sh", "-c", script]).with_input().start()?;
    wait_for("it is seen", || Ok(run.out() == "half"))?;
    run.end_input();
    let said = run.end()?;
    assert_eq!(said.out, "half and half");
    Ok(())
}

/// Each line of stdout, valid by the schema that is published.
#[track_caller]
fn lines(said: &Said) -> Vec<Line> {
    let schema = include_str!("../../../reports/schema/watch.schema.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let line = |text: &str| {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let faults: Vec<String> =
            schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}: {text}");
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    said.out.lines().map(line).collect()
}

#[test]
fn json_is_as_its_schema_says() -> Ending {
    let words =
        ["run", "--json", "--interval", "50ms", "--", "sh", "-c", "echo mine; sleep 1; sleep 1"];
    let said = watertight(words).end()?;
    let lines = lines(&said);
    assert!(said.err.contains("mine\n"), "the program's stdout makes room; {said}");
    let samples = lines.iter().filter(|line| matches!(line, Line::Sample(it) if it.is_main));
    assert!(samples.count() >= 10, "{said}");
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Event(event) => Some(event.kind.as_str()),
            _ => None,
        })
        .collect();
    for kind in ["attached", "forked", "descendant_ended", "ended"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}; {said}");
    }
    let Some(Line::Trial(last)) = lines.last() else { panic!("the record is last; {said}") };
    assert_eq!(**last, only(&said), "the ledger has the same");
    Ok(())
}

#[test]
fn once_is_what_it_has_now() -> Ending {
    let subject = Subject::unsteady("files", "20ms")?;
    let opened = || Ok(fs::read_dir(format!("/proc/{}/fd", subject.pid()))?.count() >= 20);
    wait_for("it has opened some", opened)?;
    let pid = subject.pid().to_string();
    let said = watertight(["watch", &pid, "--once"]).end()?;
    assert_eq!(said.code, Some(0), "{said}");
    for word in ["unsteady files 20ms", "descriptors", "/etc/passwd", &pid] {
        assert!(said.out.contains(word), "{word}; {said}");
    }
    assert!(!said.ledger.exists() || said.trials().is_empty(), "one look is no verdict");
    let said = watertight(["watch", &pid, "--once", "--json"]).end()?;
    assert!(matches!(lines(&said)[..], [Line::Sample(_)]), "{said}");
    Ok(())
}

#[test]
fn the_trace_is_whole() -> Ending {
    let place = Place::new()?;
    let path = place.path().join("trace.json");
    let words = ["run", "--interval", "50ms", "--for", "1s", "--trace"].map(Into::into).into_iter();
    let words = words.chain([path.clone().into_os_string()]);
    let said = watertight(words.chain(["--", UNSTEADY, "files", "50ms"].map(Into::into)))
        .with_input()
        .end()?;
    assert_eq!(said.code, Some(0), "{said}");
    let trace: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    let events = trace.as_array().or_else(|| trace["traceEvents"].as_array());
    let events = events.unwrap_or_else(|| panic!("an array of events: {trace}"));
    let counters = events.iter().filter(|event| event["ph"] == "C").count();
    assert!(counters >= 10, "{counters} of {}", events.len());
    assert!(events.iter().all(|event| event["ph"].is_string() && event["pid"].is_u64()), "{trace}");
    Ok(())
}

/// A reader finds the end in whatever file it opens.
#[test]
fn metrics_are_replaced_whole() -> Ending {
    let place = Place::new()?;
    let path = place.path().join("metrics.prom");
    let subject = Subject::unsteady("files", "50ms")?;
    let words = ["watch", &subject.pid().to_string(), "--interval", "50ms", "--openmetrics"];
    let words = words.map(Into::into).into_iter().chain([path.clone().into_os_string()]);
    let watch = watertight(words).start()?;
    wait_for("there are metrics", || Ok(path.exists()))?;
    let mut seen = std::collections::BTreeSet::new();
    wait_for("it is replaced", || {
        let text = fs::read_to_string(&path)?;
        anyhow::ensure!(text.ends_with("# EOF\n"), "cut: {text}");
        seen.insert((fs::metadata(&path)?.ino(), text));
        Ok(seen.len() >= 10)
    })?;
    let last = fs::read_to_string(&path)?;
    assert!(last.lines().any(|line| line.starts_with("process_open_fds{")), "{last}");
    drop(subject);
    let said = watch.end()?;
    assert_eq!(said.code, Some(0), "{said}");
    assert!(fs::read_to_string(&path)?.ends_with("# EOF\n"));
    assert_eq!(others(place.path(), &path)?, 0, "nothing is left beside it");
    Ok(())
}

fn others(folder: &Path, path: &Path) -> std::io::Result<usize> {
    Ok(fs::read_dir(folder)?.flatten().filter(|entry| entry.path() != path).count())
}

#[test]
fn a_reader_who_has_seen_enough_is_no_fault() -> Ending {
    let subject = Subject::unsteady("quiet", "1s")?;
    let binary = binary().display();
    let watch = format!("watch {} --interval 50ms --for 1s", subject.pid());
    for script in [
        format!("{binary} watertight {watch} | head -1"),
        format!("{binary} watertight {watch} --json | head -1"),
        format!("{binary} watertight run --quiet --for 1s -- seq 1 300000 | head -1"),
    ] {
        let said = anywhere().by("sh", ["-c", &script]).end()?;
        assert_eq!((said.code, said.out.lines().count()), (Some(0), 1), "{script}: {said}");
        for word in ["panicked", "Broken pipe", "error"] {
            assert!(!said.err.contains(word), "{script}: {said}");
        }
        assert_eq!(said.trials().len(), 1, "the record is written all the same: {said}");
    }
    Ok(())
}

#[test]
fn ticks_come_by_a_descriptor_of_their_own() -> Ending {
    let script = "for tick in 1 2 3 4 5 6 7; do echo $tick >&5; echo loud; sleep 0.1; done";
    let said =
        watertight(["run", "--tick-fd", "5", "--interval", "50ms", "--", "sh", "-c", script])
            .end()?;
    assert_eq!(only(&said).rounds, 7, "{said}");
    assert_eq!(said.out, "loud\n".repeat(7), "{said}");
    Ok(())
}

/// What is wrong from the start is said before the program is started.
#[test]
fn a_file_that_cannot_be_written() -> Ending {
    let place = Place::new()?;
    let started = place.path().join("started");
    let script = format!("echo > {}", started.display());
    for option in ["--trace", "--openmetrics", "--ledger"] {
        let path = "/proc/none/here";
        let said = watertight(["run", option, path, "--", "sh", "-c", &script]).end()?;
        assert!(
            matches!(said.code, Some(2 | 3)) && said.err.contains("/proc/none"),
            "{option}: {said}"
        );
        assert!(!started.exists(), "{option}: the program was started; {said}");
    }
    let said = watertight(["run", "--", "sh", "-c", &script]).end()?;
    assert!(said.code == Some(0) && started.exists(), "it can be started: {said}");
    Ok(())
}

/// What goes wrong later is said at the end, and the watch goes on.
#[test]
fn a_file_that_cannot_be_written_any_more() -> Ending {
    let place = Place::new()?;
    let folder = place.path().join("metrics");
    fs::create_dir(&folder)?;
    let path = folder.join("metrics.prom").display().to_string();
    let words =
        ["run", "--interval", "50ms", "--openmetrics", &path, "--", UNSTEADY, "quiet", "50ms"];
    let mut run = watertight(words).with_input().start()?;
    wait_for("it is watched", || Ok(run.out().contains("tick 3")))?;
    fs::rename(&folder, place.path().join("elsewhere"))?;
    // Else the folder is made anew.
    fs::write(&folder, "")?;
    let ticks = || run.out().lines().count();
    let before = ticks();
    wait_for("the program goes on", || Ok(ticks() >= before + 10))?;
    run.end_input();
    let said = run.end()?;
    assert_eq!(only(&said).message.as_deref(), Some("it ended: exit code 0"), "{said}");
    assert!(said.err.contains(&format!("cannot write {path}; name another file")), "{said}");
    assert_eq!(said.code, Some(3), "{said}");
    Ok(())
}
