//! Averages that a few wild samples do not move.

/// The share at either end that [`trimmed_mean`] leaves out.
const TRIMMED: f64 = 0.2;

/// The middle value; of an even number the mean of the two in the middle. 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let half = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if !is_even {
        return *upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(*upper);
    lower.midpoint(*upper)
}

/// The value below which this `share` of the values is, found in place: there may be many. 0 of none.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let index = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

/// The mean of the middle: as deaf to outliers as a median nearly, but not bound to the integers,
/// so that a staircase of a block shows how far its step is. 0 of none.
pub(super) fn trimmed_mean(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let cut = (values.len() as f64 * TRIMMED) as usize;
    let kept = &values[cut..values.len() - cut];
    if kept.is_empty() { 0.0 } else { kept.iter().sum::<f64>() / kept.len() as f64 }
}

/// The running median of `width` values, an odd number, which removes what is shorter than half of
/// it and leaves edges where they are. At the ends it stays what it is half a width from them.
pub(super) fn running_median(values: &[f64], width: usize) -> Vec<f64> {
    let width = width.min(values.len());
    (0..values.len())
        .map(|index| {
            let begin = index.saturating_sub(width / 2).min(values.len() - width);
            median(values[begin..begin + width].to_vec())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn quantiles_go_from_the_least_to_the_greatest() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        let shown = [0.0, 0.25, 0.5, 1.0].map(|share| quantile(&mut values.to_vec(), share));
        assert_eq!(shown, [1.0, 2.0, 3.0, 5.0]);
    }

    #[test]
    fn a_trimmed_mean_leaves_out_a_fifth_at_either_end() {
        assert_eq!(trimmed_mean(vec![1e9, 1.0, 2.0, 3.0, -1e9]), 2.0);
        assert_eq!(trimmed_mean(vec![0.0, 0.0, 1.0, 1.0]), 0.5);
        assert_eq!(trimmed_mean(vec![]), 0.0);
    }

    #[test]
    fn a_running_median_removes_spikes_and_leaves_edges() {
        let values = [0.0, 0.0, 7.0, 0.0, 0.0, 5.0, 5.0, 5.0];
        assert_eq!(running_median(&values, 3), [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0]);
    }
}
