//! The rows of a failure block: one per finding, and below it what is known of it.

use anstyle::AnsiColor;

use super::{Block, strong};
use crate::metric::{self, Unit};
use crate::model::{Finding, Forecast, Frame, Holder, Mode, ProcessState, Resource, Status, Trial};
use crate::render::sentence::{per_round, place, repeats};
use crate::render::{holder, text};

/// Findings shown in one block; the ledger has them all.
pub(super) const SHOWN_MAX: usize = 20;
/// Parts shown below one finding.
const PARTS_MAX: usize = 8;
/// Frames shown of one stack: deep recursion repeats itself.
const FRAMES_MAX: usize = 64;
/// Where the lines below a row start.
const BELOW: &str = "        ";

impl Block<'_> {
    pub(super) fn findings(&mut self, trial: &Trial, findings: &[&Finding]) {
        self.rows(trial, findings, |_, _| {});
    }

    /// The rows of `findings`, and below each what `more` has to say of it.
    pub(super) fn rows(
        &mut self,
        trial: &Trial,
        findings: &[&Finding],
        more: impl Fn(&mut Self, usize),
    ) {
        let shown = &findings[..findings.len().min(self.most)];
        let cells: Vec<[String; 3]> = shown.iter().map(|finding| cells(trial, finding)).collect();
        let width =
            |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second, third) = (width(0), width(1), width(2));
        for (index, (finding, [resource, growth, each])) in shown.iter().zip(&cells).enumerate() {
            let colour =
                if finding.status == Status::Leak { AnsiColor::Red } else { AnsiColor::Yellow };
            // Padded first: an escape has no width, but `format!` would count it.
            let resource = self.paint(strong(colour), &format!("{resource:<first$}"));
            let gap = if third > 0 { "  " } else { "" };
            let status = match finding.status {
                Status::Leak => "",
                Status::Unconfirmed => "(unconfirmed) ",
                Status::Accepted => "(accepted) ",
                Status::Step => "(step) ",
            };
            let what = text::name(&finding.what);
            self.lines.push(String::new());
            self.row(format!("  {resource}  {growth:>second$}{gap}{each:<third$}  {status}{what}"));
            if !trial.is_of_program(&finding.subject) && finding.subject != finding.what {
                self.below(&format!("in {}", text::quoted(&finding.subject)));
            }
            self.details(trial, finding);
            more(self, index);
        }
        if findings.len() > shown.len() {
            let more = metric::count((findings.len() - shown.len()) as u64);
            self.lines.push(String::new());
            self.lines.push(format!("  {more} more findings are in the ledger"));
        }
    }

    /// What is known of a finding, below its row.
    pub(super) fn details(&mut self, trial: &Trial, finding: &Finding) {
        if let Some(process) = &finding.process {
            let mut facts = format!("pid {}", process.pid);
            facts.push_str(match process.state {
                ProcessState::Outlived => ", killed",
                ProcessState::Zombie => ", a zombie",
            });
            if let Some(age) = process.age_ms {
                facts.push_str(&format!(", {} old", metric::duration_ms(age)));
            }
            if let Some(cwd) = &process.cwd {
                facts.push_str(&format!(", in {}", text::name(cwd)));
            }
            self.below(&facts);
        }
        for (how, frame) in [("at", &finding.site), ("via", &finding.via)] {
            if let Some(frame) = frame {
                let shown = self.frame(frame);
                self.below(&format!("{how:<3} {shown}"));
            }
        }
        self.parts(trial, finding);
        if let Some(holder) = &finding.holder {
            // Of a watched program nobody counts rounds.
            let is_watched = trial.mode == Mode::Watch || finding.trend.is_some();
            self.holder(holder, (!is_watched).then_some("rounds"));
        }
        // What all places of a watched program meet together stands in their row.
        if let Some(forecast) = finding.forecast.as_ref().filter(|_| finding.trend.is_none()) {
            self.below(&format!("at this rate {}", met(finding.resource, forecast)));
        }
        for by in &finding.accepted {
            let (reason, expires) = (text::escape(&by.reason), text::escape(&by.expires));
            let resource = by.resource.name();
            self.below(&format!("{resource} accepted until {expires}: {reason}"));
        }
        if let Some(note) = &finding.note {
            self.below(&format!("note: {}", text::escape(note)));
        }
        if self.style.stacks {
            self.stack(&finding.stack);
        }
    }

    /// What else was made under the finding's site.
    fn parts(&mut self, trial: &Trial, finding: &Finding) {
        let own = finding.parts.first().is_some_and(|part| {
            (part.resource, &part.what, part.growth)
                == (finding.resource, &finding.what, finding.growth)
        });
        let others = &finding.parts[usize::from(own)..];
        for part in others.iter().take(PARTS_MAX) {
            let each = match repeats(trial, finding) {
                true => a_round(trial, part.resource, per_round(finding, part)),
                false => String::new(),
            };
            let growth = metric::growth(part.resource, part.growth);
            let what = text::name(&part.what);
            let cells = [part.resource.name(), &growth, &each, &what];
            let told: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
            self.below(&format!("with {}", told.join("  ")));
        }
        if others.len() > PARTS_MAX {
            let more = metric::count((others.len() - PARTS_MAX) as u64);
            self.below(&format!("with {more} more, in the ledger"));
        }
    }

    /// Who keeps the finding's blocks.
    fn holder(&mut self, holder: &Holder, rounds: Option<&str>) {
        let cyan = AnsiColor::Cyan.on_default();
        for line in holder::lines(holder, rounds, |place| self.paint(cyan, place)) {
            self.below(&line);
        }
    }

    fn stack(&mut self, stack: &[Frame]) {
        for (index, frame) in stack.iter().take(FRAMES_MAX).enumerate() {
            let shown = self.frame(frame);
            self.below(&format!("{index:>4}  {shown}"));
        }
        if stack.len() > FRAMES_MAX {
            let more = metric::count((stack.len() - FRAMES_MAX) as u64);
            self.below(&format!("      {more} more frames are in the ledger"));
        }
    }

    /// `file:line  function`, as far as they are known.
    fn frame(&self, frame: &Frame) -> String {
        if frame.file.is_empty() {
            return match frame.function.as_str() {
                "" => "an unknown place".to_owned(),
                function => format!("{} (line not known)", text::name(function)),
            };
        }
        let cyan = AnsiColor::Cyan.on_default();
        let shown = format!("{}  {}", self.paint(cyan, &place(frame)), text::name(&frame.function));
        shown.trim_end().to_owned()
    }

    /// A line below a row.
    pub(super) fn below(&mut self, text: &str) {
        self.lines.push(format!("{BELOW}{text}"));
    }
}

/// When the growth meets its limit.
fn met(resource: Resource, forecast: &Forecast) -> String {
    let limit = text::name(&forecast.limit);
    let value = Unit::from(resource).show(forecast.value);
    let at = metric::count(forecast.at);
    match forecast.unit.as_str() {
        "test" => format!("the suite meets {limit} ({value}) at test {at}"),
        "second" => {
            let after = metric::duration_ms(forecast.at.saturating_mul(1_000));
            format!("it meets {limit} ({value}) after {after}")
        }
        unit => format!("it meets {limit} ({value}) at {} {at}", text::name(unit)),
    }
}

/// Resource, growth, and growth a round where there was more than one; of a watched program the trend.
fn cells(trial: &Trial, finding: &Finding) -> [String; 3] {
    let each = match &finding.trend {
        Some(trend) => text::escape(&trend.show(finding.resource.into())),
        None if repeats(trial, finding) => a_round(trial, finding.resource, finding.per_round),
        None => String::new(),
    };
    let growth = metric::growth(finding.resource, finding.growth);
    [finding.resource.name().to_owned(), growth, each]
}

fn a_round(trial: &Trial, resource: Resource, per_round: i64) -> String {
    let round = if trial.mode == Mode::Shared { "pass" } else { "round" };
    format!("{} a {round}", metric::growth(resource, per_round))
}
