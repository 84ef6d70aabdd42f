//! A report on a terminal stays text.

use proptest::collection::vec;
use proptest::prelude::*;
use watertight_report::render::terminal::{Style, Terminal};

use crate::any_record::record;
use crate::text;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_record_moves_the_cursor(records in vec(record(), 0..5), all in any::<bool>()) {
        let shown = text!(&records, |out| Terminal::new(out, Style::default(), all));
        prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}
