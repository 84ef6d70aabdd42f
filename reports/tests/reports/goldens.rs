//! One ledger with everything in it, in every medium.

use watertight_report::render::folded::{Counted, Folded};
use watertight_report::render::github::Github;
use watertight_report::render::json::Json;
use watertight_report::render::junit::Junit;
use watertight_report::render::markdown::{BYTES_MAX, Markdown};
use watertight_report::render::terminal::{Style, Terminal};

use crate::ledgers::{everything, records, trial};
use crate::text;

macro_rules! golden {
    ($name:ident, $make:expr) => {
        golden!($name, $make, everything());
    };
    ($name:ident, $make:expr, $records:expr) => {
        #[test]
        fn $name() {
            let text = text!(&$records, $make).replace('\x1b', "\\e");
            let mut settings = insta::Settings::clone_current();
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(text));
        }
    };
}

golden!(terminal, |out| Terminal::new(out, Style::default(), false));
golden!(terminal_with_every_test, |out| Terminal::new(out, Style::default(), true), {
    records(vec![trial("opens", vec![crate::ledgers::store("/a")]), trial("clean", Vec::new())])
});
golden!(terminal_in_colour, |out| {
    Terminal::new(out, Style { colour: true, ..Style::default() }, false)
});
golden!(
    terminal_without_a_trial,
    |out| Terminal::new(out, Style::default(), false),
    records(vec![])
);
golden!(terminal_clean, |out| Terminal::new(out, Style::default(), false), {
    records(vec![trial("clean", Vec::new())]).split_off(1)
});
golden!(json, |out| Json::new(out, false));
golden!(json_with_every_test, |out| Json::new(out, true), {
    records(vec![trial("opens", vec![crate::ledgers::store("/a")]), trial("clean", Vec::new())])
});
golden!(markdown, |out| Markdown::new(out, BYTES_MAX, false));
golden!(markdown_with_every_test, |out| Markdown::new(out, BYTES_MAX, true), {
    records(vec![trial("opens", Vec::new()), trial("clean", Vec::new())])
});
golden!(junit, |out| Junit::new(out, false));
golden!(junit_with_every_test, |out| Junit::new(out, true), {
    records(vec![trial("clean", Vec::new())])
});
golden!(github, Github::new);
golden!(folded_bytes, |out| Folded::new(out, Counted::Bytes));
golden!(folded_descriptors, |out| Folded::new(out, Counted::Descriptors));
