//! What Jenkins lets into a JUnit file: the rules of `junit-10.xsd` of its xunit plugin (jenkinsci/xunit-plugin,
//! as of November 2025), as a table, so that no other program is needed to check them.
//!
//! A golden can be held against the schema itself with
//! `xmllint --noout --schema junit-10.xsd report.xml`.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// An element of the schema.
struct Element {
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// In any order and number.
    children: &'static [&'static str],
    text: bool,
}

const ELEMENTS: [Element; 14] = [
    Element {
        name: "testsuites",
        required: &[],
        optional: &["name", "time", "tests", "failures", "errors"],
        children: &["testsuite"],
        text: false,
    },
    Element {
        name: "testsuite",
        required: &["name", "tests", "failures", "errors"],
        optional: &[
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
            "version",
        ],
        children: &["testsuite", "properties", "testcase", "system-out", "system-err"],
        text: false,
    },
    Element {
        name: "testcase",
        required: &["name"],
        optional: &["time", "classname", "group"],
        // No properties.
        children: &[
            "skipped",
            "error",
            "failure",
            "rerunFailure",
            "rerunError",
            "flakyFailure",
            "flakyError",
            "system-out",
            "system-err",
        ],
        text: false,
    },
    Element {
        name: "properties",
        required: &[],
        optional: &[],
        children: &["property"],
        text: false,
    },
    Element {
        name: "property",
        required: &["name", "value"],
        optional: &[],
        children: &[],
        text: false,
    },
    bad("failure"),
    bad("error"),
    bad("skipped"),
    rerun("rerunFailure"),
    rerun("rerunError"),
    rerun("flakyFailure"),
    rerun("flakyError"),
    output("system-out"),
    output("system-err"),
];

const fn bad(name: &'static str) -> Element {
    Element { name, required: &[], optional: &["type", "message"], children: &[], text: true }
}

const fn rerun(name: &'static str) -> Element {
    let children = &["system-out", "system-err"];
    Element { name, required: &["type"], optional: &["message"], children, text: true }
}

const fn output(name: &'static str) -> Element {
    Element { name, required: &[], optional: &[], children: &[], text: true }
}

/// A case of the file: suite, name, and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) suite: String,
    pub(crate) name: String,
    pub(crate) holds: Vec<String>,
}

/// The cases of a file, or why it is not what Jenkins takes.
pub(crate) fn read(xml: &str) -> Result<Vec<Case>, String> {
    if let Some(c) = xml.chars().find(|c| !is_xml(*c)) {
        return Err(format!("{c:?} is in no XML 1.0 document"));
    }
    let mut reader = Reader::from_str(xml);
    let (mut open, mut cases): (Vec<&Element>, Vec<Case>) = (Vec::new(), Vec::new());
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(tag) => open.push(enter(&tag, &open, &mut cases)?),
            Event::Empty(tag) => drop(enter(&tag, &open, &mut cases)?),
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                if !text.trim().is_empty() && !open.last().is_some_and(|element| element.text) {
                    return Err(format!("text {text:?} where none may be"));
                }
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| error.to_string())?;
                unescaped(&format!("&{name};"))?;
            }
            Event::Eof if open.is_empty() => return Ok(cases),
            Event::Eof => return Err("it ends inside of an element".to_owned()),
            Event::Decl(_) => {}
            other => return Err(format!("{other:?} is not expected")),
        }
    }
}

fn enter(
    tag: &BytesStart<'_>,
    open: &[&Element],
    cases: &mut Vec<Case>,
) -> Result<&'static Element, String> {
    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
    let element =
        ELEMENTS.iter().find(|known| known.name == name).ok_or(format!("<{name}> is unknown"))?;
    let may_be_here = match open.last() {
        Some(parent) => parent.children.contains(&element.name),
        None => ["testsuites", "testsuite"].contains(&element.name),
    };
    if !may_be_here {
        return Err(format!("<{name}> in <{}>", open.last().map_or("", |parent| parent.name)));
    }
    let mut found = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        let value = unescaped(&String::from_utf8_lossy(&attribute.value))?;
        let known = [element.required, element.optional].concat().contains(&key.as_str());
        if !known || (key == "time" && name != "testcase" && !is_time(&value)) {
            return Err(format!("{key}={value:?} in <{name}>"));
        }
        found.push((key, value));
    }
    let value =
        |key: &str| found.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    if let Some(missing) = element.required.iter().find(|key| value(key).is_none()) {
        return Err(format!("<{name}> without {missing}"));
    }
    match name.as_str() {
        "testcase" => cases.push(Case {
            suite: value("classname").unwrap_or_default(),
            name: value("name").unwrap_or_default(),
            holds: Vec::new(),
        }),
        _ if open.last().is_some_and(|parent| parent.name == "testcase") => {
            cases.last_mut().unwrap().holds.push(name);
        }
        _ => {}
    }
    Ok(element)
}

fn unescaped(text: &str) -> Result<String, String> {
    let text = quick_xml::escape::unescape(text).map_err(|error| error.to_string())?;
    match text.chars().find(|c| !is_xml(*c)) {
        Some(c) => Err(format!("a reference to {c:?}")),
        None => Ok(text.into_owned()),
    }
}

/// The production `Char` of XML 1.0.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// `SUREFIRE_TIME`: seconds, with at most three digits behind the point.
fn is_time(text: &str) -> bool {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    digits(seconds) && digits(rest) && rest.len() <= 3
}

#[test]
fn the_rules_are_rules() {
    let suite = |inner: &str| {
        format!("<testsuite name='a' tests='1' failures='0' errors='0'>{inner}</testsuite>")
    };
    assert_eq!(read(&suite("<testcase name='b' time='1'/>")).unwrap().len(), 1);
    for (bad, why) in [
        (suite("<testcase name='b'><properties/></testcase>"), "<properties> in <testcase>"),
        (suite("<testcase/>"), "<testcase> without name"),
        (suite("<testcase name='b'><rerunFailure/></testcase>"), "without type"),
        (suite("text"), "text"),
        (suite("<testcase name='&#x1b;'/>"), "a reference to"),
        (suite("<testcase name='\u{fffe}'/>"), "in no XML 1.0"),
        ("<testsuites skipped='0'/>".to_owned(), "skipped"),
        ("<testsuites time='1.2345'/>".to_owned(), "time"),
        ("<testsuites>".to_owned(), "ends inside"),
    ] {
        let said = read(&bad).unwrap_err();
        assert!(said.contains(why), "{said}: {bad}");
    }
}
