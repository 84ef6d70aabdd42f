//! Two versions of one issue become one: by what they hold, never by the time of a file.

use jiff::{SignedDuration, Timestamp};

use super::{Comment, Issue};

/// What is left out of a time by who writes it in seconds.
const CREATED_ROUNDED_MAX: SignedDuration = SignedDuration::from_secs(1);

/// What an issue is to be, where `here` is our version and `there` that of a file.
///
/// The one that changed later counts, and the file's where both changed at once: somebody may have
/// edited it by hand. Comments of both stay, for they are only ever added. A deletion stands
/// against whatever a file holds, but for an issue that was restored after it.
pub fn merged(here: &Issue, there: Issue, now: Timestamp) -> Issue {
    let ours = match (here.is_tombstone(), there.is_tombstone()) {
        (true, false) => !is_restored_after(&there, here),
        (false, true) => there.is_expired(now) || is_restored_after(here, &there),
        _ => here.updated_at > there.updated_at,
    };
    let (mut winner, loser) = if ours { (here.clone(), there) } else { (there, here.clone()) };
    add_missing(&mut winner.comments, loser.comments);
    winner
}

impl Issue {
    /// Whether this is no version of `other` but another issue, which somebody who did not know of
    /// that one gave the same id: such short ids are the same now and then ([`crate::id`]).
    ///
    /// The time an issue was made never changes, but other trackers round it, and a person may
    /// write anything: so it takes another title too.
    pub(crate) fn is_another(&self, other: &Self) -> bool {
        let apart = self.created_at.duration_since(other.created_at).abs();
        apart > CREATED_ROUNDED_MAX && self.title != other.title
    }

    /// The same issue under the id it gets where an older one has its own.
    pub(crate) fn moved(mut self) -> Self {
        self.id = crate::id::moved(&self.id, self.created_at);
        for dependency in &mut self.dependencies {
            dependency.issue_id.clone_from(&self.id);
        }
        for comment in &mut self.comments {
            comment.issue_id.clone_from(&self.id);
        }
        self
    }
}

fn is_restored_after(alive: &Issue, dead: &Issue) -> bool {
    match (alive.restored_at, dead.deleted_at) {
        (Some(restored), Some(deleted)) => restored > deleted,
        (restored, _) => restored.is_some(),
    }
}

fn add_missing(comments: &mut Vec<Comment>, more: Vec<Comment>) {
    let is_same = |a: &Comment, b: &Comment| {
        (a.created_at, &a.author, &a.text) == (b.created_at, &b.author, &b.text)
    };
    let missing: Vec<_> =
        more.into_iter().filter(|new| !comments.iter().any(|old| is_same(old, new))).collect();
    if !missing.is_empty() {
        comments.extend(missing);
        comments.sort_by_key(|comment| comment.created_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(fields: &str) -> Issue {
        let times = r#""created_at":"2026-01-01T00:00:00Z""#;
        serde_json::from_str(&format!(r#"{{"id":"a","title":"t",{times},{fields}}}"#)).unwrap()
    }

    fn at(day: u8) -> String {
        format!("2026-01-{day:02}T00:00:00Z")
    }

    fn titled(title: &str, day: u8) -> Issue {
        Issue { title: title.into(), ..issue(&format!(r#""updated_at":"{}""#, at(day))) }
    }

    fn dead(day: u8) -> Issue {
        let at = at(day);
        issue(&format!(r#""status":"tombstone","deleted_at":"{at}","updated_at":"{at}""#))
    }

    fn restored(day: u8) -> Issue {
        let at = at(day);
        issue(&format!(r#""restored_at":"{at}","updated_at":"{at}""#))
    }

    fn merged_soon(here: &Issue, there: &Issue) -> Issue {
        merged(here, there.clone(), at(28).parse().unwrap())
    }

    #[test]
    fn the_later_change_counts_and_the_file_at_a_tie() {
        assert_eq!(merged_soon(&titled("old", 1), &titled("new", 2)).title, "new");
        assert_eq!(merged_soon(&titled("new", 2), &titled("old", 1)).title, "new");
        assert_eq!(merged_soon(&titled("here", 1), &titled("there", 1)).title, "there");
    }

    #[test]
    fn comments_of_both_sides_stay() {
        let comment = |day: u8, text: &str| {
            let at = at(day);
            format!(r#"{{"id":1,"author":"me","text":"{text}","created_at":"{at}"}}"#)
        };
        let with = |comments: &[String], day: u8| {
            let comments = comments.join(",");
            issue(&format!(r#""updated_at":"{}","comments":[{comments}]"#, at(day)))
        };
        let here = with(&[comment(1, "a"), comment(3, "here")], 3);
        let there = with(&[comment(1, "a"), comment(2, "there")], 2);
        let texts = |issue: Issue| {
            issue.comments.into_iter().map(|comment| comment.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(merged_soon(&here, &there)), ["a", "there", "here"]);
        assert_eq!(texts(merged_soon(&there, &here)), ["a", "there", "here"]);
    }

    #[test]
    fn a_deletion_stands_unless_somebody_restored_it_later() {
        let (alive, dead) = (titled("alive", 9), dead(5));
        assert!(merged_soon(&dead, &alive).is_tombstone(), "never resurrected by a file");
        assert!(merged_soon(&alive, &dead).is_tombstone(), "deleted there is deleted here");
        assert!(!merged_soon(&dead, &restored(6)).is_tombstone());
        assert!(!merged_soon(&restored(6), &dead).is_tombstone());
        assert!(merged_soon(&restored(4), &dead).is_tombstone(), "deleted again since");
    }

    #[test]
    fn a_deletion_that_need_not_be_remembered_deletes_nothing() {
        let late = "2026-03-01T00:00:00Z".parse().unwrap();
        assert!(!merged(&titled("alive", 9), dead(5), late).is_tombstone());
    }
}
