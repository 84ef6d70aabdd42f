//! Pages, read by a parser of GitHub's Markdown that is not ours.

use proptest::collection::vec;
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use watertight_report::model::{Frame, Record};
use watertight_report::render::markdown::{BYTES_MAX, Markdown};

use crate::any_record::record;
use crate::ledgers::{everything, records, store, trial};
use crate::text;

/// Tags of HTML that a page of ours holds, and nothing else.
const TAGS: [&str; 8] =
    ["<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>", "<pre>", "</pre>"];

/// Why a page is not whole: it holds what a name has brought in, or a construct that was cut.
fn complaint(page: &str) -> Option<String> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM
        | Options::ENABLE_MATH;
    let (mut cells, mut html) = (None, String::new());
    for event in Parser::new_ext(page, options) {
        match event {
            Event::Start(Tag::TableRow | Tag::TableHead) => cells = Some(0),
            Event::Start(Tag::TableCell) => cells = cells.map(|many| many + 1),
            Event::End(pulldown_cmark::TagEnd::TableRow) if cells != Some(4) => {
                return Some(format!("a row of {cells:?} cells"));
            }
            Event::Start(Tag::Heading { level, .. }) if level as u32 == 1 => {
                return Some("a heading that is not ours".to_owned());
            }
            Event::Start(
                Tag::Paragraph
                | Tag::Heading { .. }
                | Tag::Table(_)
                | Tag::HtmlBlock
                | Tag::Item
                | Tag::List(None),
            )
            | Event::End(_)
            | Event::Text(_)
            | Event::SoftBreak => {}
            Event::Html(text) | Event::InlineHtml(text) => html.push_str(&text),
            // Our own, in the note on broken lines.
            other => return Some(format!("{other:?}")),
        }
    }
    tags(&html)
}

/// Whether every tag is one of ours and closed in its turn.
fn tags(html: &str) -> Option<String> {
    let mut open = Vec::new();
    for part in html.split('<').skip(1) {
        let tag = format!("<{}>", part.split('>').next().unwrap_or_default());
        if !TAGS.contains(&tag.as_str()) {
            return Some(format!("the tag {tag}"));
        }
        match tag.strip_prefix("</") {
            Some(name) if open.pop() != Some(name.to_owned()) => {
                return Some(format!("{tag} alone"));
            }
            Some(_) => {}
            None => open.push(tag[1..].to_owned()),
        }
    }
    (!open.is_empty()).then(|| format!("{open:?} not closed"))
}

#[test]
fn a_page_is_whole() {
    let page = text!(&everything(), |out| Markdown::new(out, BYTES_MAX, false));
    assert_eq!(complaint(&page), None);
    assert!(page.contains("| 41 |"), "{page}");
}

#[test]
fn the_check_sees_what_is_broken() {
    for bad in [
        "[a](b)\n",
        "# a\n",
        "a <b>c</b>\n",
        "<details>\n\nx\n",
        "| a | b |\n|---|---|\n| c | d |\n",
    ] {
        assert!(complaint(bad).is_some(), "{bad}");
    }
}

/// Far more than fits: every site another, every name long, every stack deep.
fn large() -> Vec<Record> {
    let trials = (0..3_000).map(|n| {
        let mut finding = store(&format!("/tmp/{}", "a|".repeat(60)));
        finding.note = Some("|<b>`".repeat(100));
        finding.site = Some(Frame::new(format!("src/{n}.rs"), 1, "a::<b>::c".repeat(20)));
        finding.stack = (0..40).map(|line| Frame::new("src/a.rs", line, "f<&'_ T>::g")).collect();
        trial(&format!("case_{n}"), vec![finding])
    });
    records(trials.collect())
}

#[test]
fn a_page_is_cut_between_things() {
    for (limit, all) in
        [(BYTES_MAX, false), (BYTES_MAX, true), (100_000, true), (6_000, false), (0, true)]
    {
        let page = text!(&large(), |out| Markdown::new(out, limit, all));
        // With no room at all it is still said what was found.
        assert!(page.len() <= limit.max(5_000), "{} of {limit}", page.len());
        assert_eq!(complaint(&page), None);
        assert!(page.contains("3,000 leaks in 3,000 of 3,000 cases"));
        assert!(page.contains("more are left out here"));
        if limit == BYTES_MAX {
            assert!(page.len() > BYTES_MAX / 2, "{}", page.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_is_markdown(
        records in vec(record(), 0..5),
        limit in prop_oneof![Just(BYTES_MAX), 0..20_000_usize],
        all in any::<bool>(),
    ) {
        let page = text!(&records, |out| Markdown::new(out, limit, all));
        prop_assert_eq!(complaint(&page), None, "{}", page);
        prop_assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
    }
}
