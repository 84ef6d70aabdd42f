//! Tests that say something.

use std::io::Write as _;

use watertight::{Case, Context, Failed};

use super::trap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("prints_lines_and_parts_of_lines", |_cx| {
            println!("a line");
            print!("a part of a line that waits in the buffer");
            eprintln!("a line on stderr");
            Ok(())
        }),
        trap("prints_10_megabytes", prints_10_megabytes),
    ]
}

fn prints_10_megabytes(_cx: &Context) -> Result<(), Failed> {
    const BYTES: usize = 10 << 20;
    let line = b"0123456789abcde\n";
    let mut out = std::io::stdout().lock();
    for _ in 0..BYTES / line.len() {
        out.write_all(line)?;
    }
    Ok(())
}
