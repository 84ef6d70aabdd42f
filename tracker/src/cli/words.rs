//! Values that a person types: read here where they are only of the command line, and by the model
//! where it has rules for them. A value that the model refuses is a validation error, exit 4.

use std::io::Read;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::output::Trouble;
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::issue::PRIORITY_MAX;

/// A priority, as `1` or as `P1`.
pub(crate) fn priority(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix(['P', 'p']).unwrap_or(text);
    digits.parse().map_err(|_| NO_PRIORITY.into())
}

const NO_PRIORITY: &str = "not a priority; 0 (now) to 4 (some day)";

/// Priorities from the most to the least urgent: `1`, `0-2`, `-2`, `3-`.
pub(crate) fn priorities(text: &str) -> Result<(Option<u8>, Option<u8>), String> {
    let Some((most, least)) = text.split_once('-') else {
        let only = priority(text)?;
        return match only <= PRIORITY_MAX {
            true => Ok((Some(only), Some(only))),
            false => Err(NO_PRIORITY.into()),
        };
    };
    let end = |text: &str| if text.is_empty() { Ok(None) } else { priority(text).map(Some) };
    match (end(most)?, end(least)?) {
        (Some(most), Some(least)) if most > least => {
            Err(format!("no priorities; the more urgent one first: {least}-{most}"))
        }
        (most, least) if most.max(least) > Some(PRIORITY_MAX) => Err(NO_PRIORITY.into()),
        span => Ok(span),
    }
}

/// A time: RFC 3339, a day (UTC), or how long ago, such as `36h`, `7d` or `2w`.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<Date>() {
        let midnight = day.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        return Ok(midnight.timestamp());
    }
    let ago = humantime::parse_duration(text)
        .ok()
        .and_then(|ago| SignedDuration::try_from(ago).ok())
        .and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    ago.ok_or_else(|| "not a time; 2026-01-31, 2026-01-31T12:00:00Z or how long ago: 7d".into())
}

/// What was typed, or standard input where that is `-`.
pub(crate) fn text(typed: String) -> Result<String, Trouble> {
    if typed != "-" {
        return Ok(typed);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(|error| {
        let hint = "give text, in UTF-8";
        Failure::new(Exit::Failure, "input", format!("standard input: {error}"), hint)
    })?;
    Ok(text.trim_end_matches('\n').into())
}

/// Who says something: `TRACKER_AUTHOR`, or whoever is logged in.
pub(crate) fn author() -> String {
    ["TRACKER_AUTHOR", "USER", "LOGNAME"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|name| !name.trim().is_empty())
        .or_else(|| {
            let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok()??;
            Some(user.name)
        })
        .unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_one_or_a_span() {
        assert_eq!(priorities("P1"), Ok((Some(1), Some(1))));
        assert_eq!(priorities("0-2"), Ok((Some(0), Some(2))));
        assert_eq!(priorities("3-"), Ok((Some(3), None)));
        assert_eq!(priorities("-p2"), Ok((None, Some(2))));
        for none in ["high", "3-1", "5", "2-9"] {
            assert!(priorities(none).is_err(), "{none}");
        }
    }

    #[test]
    fn times_are_moments_days_or_ago() {
        assert_eq!(time("2026-01-31").unwrap(), "2026-01-31T00:00:00Z".parse().unwrap());
        assert_eq!(time("2026-01-31T12:00:00+02:00").unwrap().to_string(), "2026-01-31T10:00:00Z");
        let week_ago = time("1w").unwrap();
        assert_eq!(Timestamp::now().duration_since(week_ago).as_hours(), 7 * 24);
        assert!(time("tomorrow").unwrap_err().contains("7d"));
    }
}
