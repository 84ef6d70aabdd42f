//! OpenMetrics 1.0 text: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
//!
//! Families, each with its type, unit and help, then their samples, then `# EOF`. A unit is the end
//! of the family's name, the sample of a counter ends in `_total`, and whole numbers have no point.

use std::fmt::Write;

/// What kind of numbers a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Summary,
    Info,
}

/// The text, as far as it is written.
#[derive(Debug)]
pub(super) struct Exposition {
    text: String,
}

/// A family whose samples are being written.
pub(super) struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Exposition {
    pub(super) fn new() -> Self {
        Self { text: String::new() }
    }

    /// Begins a family, whose samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Summary => "summary",
            Kind::Info => "info",
        };
        let unit =
            ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        push(&mut self.text, format_args!("# TYPE {name} {kind}\n"));
        if let Some(unit) = unit {
            push(&mut self.text, format_args!("# UNIT {name} {unit}\n"));
        }
        push(&mut self.text, format_args!("# HELP {name} {help}\n"));
        Family { name, text: &mut self.text }
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

impl Family<'_> {
    /// One sample. Labels are our own words, which need no escapes.
    pub(super) fn sample(self, suffix: &str, labels: &[(&str, &str)], value: f64) -> Self {
        let pairs: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = match pairs.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", pairs.join(",")),
        };
        push(self.text, format_args!("{}{suffix}{labels} {value}\n", self.name));
        self
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _infallible = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_type_unit_and_help_once() {
        let mut out = Exposition::new();
        out.family("process_cpu_seconds", Kind::Counter, "CPU time.").sample("_total", &[], 1.5);
        out.family("calls", Kind::Counter, "Calls.")
            .sample("_total", &[("method", "ping")], 3.0)
            .sample("_total", &[("method", "show"), ("by", "me")], 4.0);
        let expected = "\
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
# HELP process_cpu_seconds CPU time.
process_cpu_seconds_total 1.5
# TYPE calls counter
# HELP calls Calls.
calls_total{method=\"ping\"} 3
calls_total{method=\"show\",by=\"me\"} 4
# EOF
";
        assert_eq!(out.finish(), expected);
    }
}
