//! What was read of one process so far, in bounded room: a series for each metric, and some censuses.

use std::collections::BTreeMap;
use std::time::Duration;

use watertight_report::metric::{self, Unit};
use watertight_report::model::Reading;
use watertight_report::trend::{self, Limit, Question, Series, Trend};

use super::census::Census;

/// Metrics that are judged, the surest first.
pub(crate) const JUDGED: [&str; 10] = [
    metric::DESCRIPTOR,
    metric::FD,
    metric::SOCKET,
    metric::THREAD,
    metric::PROCESS,
    metric::HEAP_BYTES,
    metric::MEMORY_BYTES,
    metric::MAPPING,
    metric::VIRTUAL_BYTES,
    metric::TIME_WAIT,
];

/// Censuses that are kept: enough for one near to any moment.
const CENSUSES_MAX: usize = 16;

/// The past of one process.
#[derive(Default)]
pub(crate) struct History {
    tracks: BTreeMap<&'static str, Track>,
    censuses: Vec<Census>,
    /// So many seconds lie between two censuses; doubled when there are too many.
    stride_s: f64,
}

/// One metric's past.
struct Track {
    series: Series,
    first: u64,
    now: u64,
    peak: u64,
    limit: Option<Limit>,
}

impl History {
    /// `metric` was read; `limit` is where it ends.
    pub(crate) fn push(
        &mut self,
        metric: &'static str,
        at: Duration,
        value: u64,
        limit: Option<Limit>,
    ) {
        let track = self.tracks.entry(metric).or_insert_with(|| Track {
            series: Series::default(),
            first: value,
            now: value,
            peak: value,
            limit: None,
        });
        track.series.push(at, value as f64);
        (track.now, track.limit) = (value, limit);
        track.peak = track.peak.max(value);
    }

    /// The program has ticked `times` more.
    pub(crate) fn tick(&mut self, times: u64) {
        for track in self.tracks.values_mut() {
            for _ in 0..times {
                track.series.tick();
            }
        }
    }

    /// Whether a census is due, one having cost `cost` of CPU time: it may take one part in 400.
    pub(crate) fn census_is_due(&self, at_s: f64, cost: Duration) -> bool {
        let dear_s = 400.0 * cost.as_secs_f64();
        let last = self.censuses.last();
        last.is_none_or(|last| at_s - last.at_s >= self.stride_s.max(dear_s))
    }

    /// Keeps a census; where there are too many, every second one gives way.
    pub(crate) fn keep(&mut self, census: Census) {
        let last = census.at_s;
        self.censuses.push(census);
        if self.censuses.len() > CENSUSES_MAX {
            let first = self.censuses[0].at_s;
            self.stride_s = 2.0 * (last - first) / CENSUSES_MAX as f64;
            let mut at = 0;
            self.censuses.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
    }

    /// The census nearest to the moment since which growth is counted, the last one, and one halfway between.
    pub(crate) fn around(&self, since_s: f64) -> Option<(&Census, Option<&Census>, &Census)> {
        let last = self.censuses.last()?;
        let to = self.censuses.len() - 1;
        let far = |at: &usize| (self.censuses[*at].at_s - since_s).abs();
        let from = (0..=to).min_by(|a, b| far(a).total_cmp(&far(b)))?;
        let halfway = (self.censuses[from].at_s + last.at_s) / 2.0;
        let between = self.censuses[from..to].iter().skip(1);
        let middle =
            between.min_by(|a, b| (a.at_s - halfway).abs().total_cmp(&(b.at_s - halfway).abs()));
        (from < to).then_some((&self.censuses[from], middle, last))
    }

    /// What each judged metric says, and its last value.
    pub(crate) fn trends(&self, warm_up: Duration) -> Vec<(&'static str, u64, Trend)> {
        let judged = JUDGED.iter().filter_map(|metric| Some((*metric, self.tracks.get(metric)?)));
        let trend = |metric: &'static str, track: &Track| {
            let mut question = Question::new(Unit::of(metric)).warm_up(warm_up);
            question.limit = track.limit.clone();
            (metric, track.now, trend::judge(&track.series, &question))
        };
        judged.map(|(metric, track)| trend(metric, track)).collect()
    }

    /// The limit of its descriptors, where that is reached.
    pub(crate) fn reached(&self) -> Option<Limit> {
        let track = self.tracks.get(metric::DESCRIPTOR)?;
        track.limit.clone().filter(|limit| track.now as f64 >= limit.value)
    }

    /// By how much a metric has grown since a second of its series.
    pub(crate) fn grown_since(&self, metric: &str, since_s: f64) -> u64 {
        let Some(track) = self.tracks.get(metric) else { return 0 };
        let from = track.series.samples().iter().find(|sample| sample.at_s >= since_s);
        track.now.saturating_sub(from.map_or(track.first, |sample| sample.value as u64))
    }

    /// Every metric at first and last, and at its highest.
    pub(crate) fn readings(&self) -> BTreeMap<String, Reading> {
        let reading = |track: &Track| {
            let mut reading = Reading::new(track.first, track.now);
            reading.peak = Some(track.peak);
            reading
        };
        self.tracks.iter().map(|(metric, track)| ((*metric).to_owned(), reading(track))).collect()
    }

    /// How often it was looked at, as far as is remembered.
    pub(crate) fn looks(&self) -> usize {
        self.tracks.values().map(|track| track.series.samples().len()).max().unwrap_or(0)
    }

    /// Whether so much was seen that something may be said.
    pub(crate) fn is_long(&self) -> bool {
        self.looks() >= trend::SAMPLES_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn censuses_stay_few_and_spread_over_the_whole_time() {
        let mut history = History::default();
        for second in 0..86_400 {
            let at_s = f64::from(second);
            if history.census_is_due(at_s, Duration::ZERO) {
                history.keep(Census { at_s, ..Census::default() });
            }
            assert!(history.censuses.len() <= CENSUSES_MAX);
        }
        let times: Vec<f64> = history.censuses.iter().map(|census| census.at_s).collect();
        assert_eq!(times[0], 0.0);
        assert!(times.len() >= CENSUSES_MAX / 2, "{times:?}");
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.fold(0.0, f64::max) < 3.0 * 86_400.0 / CENSUSES_MAX as f64, "{times:?}");
    }

    /// Of one process; nothing is shared between processes, of which there are so many at most as are followed.
    #[test]
    fn a_day_of_samples_is_kept_in_the_room_of_half_an_hour() {
        use watertight_report::trend::series::KEPT_MAX;

        let mut history = History::default();
        for second in 0..86_400 {
            for (number, metric) in JUDGED.into_iter().enumerate() {
                history.push(
                    metric,
                    Duration::from_secs(second),
                    second * number as u64 % 997,
                    None,
                );
            }
            history.tick(1);
        }
        assert_eq!(history.tracks.len(), JUDGED.len());
        for (metric, track) in &history.tracks {
            let samples = track.series.samples();
            let kept = samples.len();
            assert!(kept <= KEPT_MAX, "{metric}: {kept}");
            let span_s = samples[kept - 1].at_s - samples[0].at_s;
            assert!(span_s > 0.95 * 86_400.0, "{metric}: the whole day is remembered, {span_s} s");
        }
    }

    #[test]
    fn growth_is_counted_from_the_census_nearest_to_it() {
        let mut history = History::default();
        for at_s in [0.0, 10.0, 20.0, 30.0, 40.0] {
            history.keep(Census { at_s, ..Census::default() });
        }
        let (from, middle, to) = history.around(12.0).unwrap();
        assert_eq!((from.at_s, middle.map(|it| it.at_s), to.at_s), (10.0, Some(20.0), 40.0));
        let (from, ..) = history.around(-1.0).unwrap();
        assert_eq!(from.at_s, 0.0);
        assert!(history.around(40.0).is_none());
    }

    #[test]
    fn a_dear_census_is_taken_less_often() {
        let mut history = History::default();
        history.keep(Census::default());
        assert!(history.census_is_due(1.0, Duration::from_millis(2)));
        assert!(!history.census_is_due(30.0, Duration::from_millis(100)));
    }

    #[test]
    fn a_leak_is_told_with_what_it_has_added() {
        let mut history = History::default();
        for second in 0..60 {
            let limit = Some(Limit::new("RLIMIT_NOFILE", 1024.0));
            history.push(metric::DESCRIPTOR, Duration::from_secs(second), 10 + second / 5, limit);
            history.push(metric::THREAD, Duration::from_secs(second), 4, None);
        }
        let trends = history.trends(Duration::ZERO);
        assert!(
            matches!(&trends[0], (metric::DESCRIPTOR, 21, trend) if trend.is_growing()),
            "{trends:?}"
        );
        assert!(matches!(&trends[1], (metric::THREAD, 4, Trend::Flat { .. })), "{trends:?}");
        assert_eq!(history.grown_since(metric::DESCRIPTOR, 0.0), 11);
        assert_eq!(history.reached(), None);
        history.push(metric::DESCRIPTOR, Duration::from_secs(60), 21, Some(Limit::new("x", 21.0)));
        assert_eq!(history.reached(), Some(Limit::new("x", 21.0)));
        let reading = &history.readings()[metric::DESCRIPTOR];
        assert_eq!((reading.before, reading.after, reading.peak), (10, 21, Some(21)));
    }
}
