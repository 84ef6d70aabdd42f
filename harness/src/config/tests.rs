//! What the files say, and who beats whom.

use std::path::Path;
use std::time::Duration;

use watertight_report::model::Resource;

use super::{Config, Settings, Severity, profile};
use crate::case::{Case, Net};

const FILE: &str = ".config/watertight.toml";

/// Every key once, in every place.
const WHOLE: &str = r#"
[profile.default]
unmeasured = "warn"
unsettled = "fail"
deadline = "2m"
rounds = 6
settle = "500ms"
net = "host"
rss_max = "64 MiB"
[profile.default.allow]
fd = 1
heap = "4 KiB"

[[profile.default.overrides]]
case = "slow::*"
deadline = "10m"
allow = { fd = 7, thread = 2 }

[[profile.default.overrides]]
case = "*"
suite = "other*"
rounds = 99
deadline = "99m"

[[profile.default.overrides]]
case = "*"
suite = "st*"
deadline = "9m"
rounds = 1

[profile.ci]
unmeasured = "fail"
net = "private"

[[profile.ci.overrides]]
case = "stores::slow::first"
rss_max = 1
rounds = 4
"#;

fn case(name: &str) -> Case {
    Case::new(name, |_cx| Ok(()))
}

/// A case of the suite `stores` under a profile of a file.
fn applied(text: &str, profile: &str, declared: &Settings, case: Case) -> Case {
    let (profiles, unknown) = profile::parse(Path::new(FILE), text).unwrap();
    assert_eq!(unknown, []);
    let mut cases = [case];
    Config::choose(profile, profiles).unwrap().apply("stores", declared, &mut cases);
    let [case] = cases;
    case
}

#[test]
fn without_a_file_everything_is_as_built_in() {
    for (profile, severity) in [("default", Severity::Warn), ("ci", Severity::Fail)] {
        let case = applied("", profile, &Settings::default(), case("a"));
        assert_eq!((case.unmeasured, case.unsettled), (severity, severity));
        assert_eq!((case.deadline, case.rounds, case.settle, case.net), (None, None, None, None));
        assert_eq!(case.budget, Default::default());
    }
}

#[test]
fn the_nearer_declaration_is_stronger() {
    let under =
        |profile: &str, name: &str| applied(WHOLE, profile, &Settings::default(), case(name));
    let minutes = |many: u64| Some(Duration::from_secs(many * 60));

    let plain = under("ci", "plain");
    assert_eq!((plain.unmeasured, plain.net), (Severity::Fail, Some(Net::Private)), "the profile");
    assert_eq!(plain.unsettled, Severity::Fail, "the profile as built in beats profile.default");
    assert_eq!(plain.settle, Some(Duration::from_millis(500)), "profile.default");
    assert_eq!((plain.deadline, plain.rounds), (minutes(9), Some(1)), "an override of the suite");
    assert_eq!(plain.budget.rss_max, Some(64 << 20));
    assert_eq!(plain.budget.allowed(Resource::Heap), 4096);

    let slow = under("default", "slow::first");
    assert_eq!((slow.unmeasured, slow.unsettled), (Severity::Warn, Severity::Fail));
    assert_eq!((slow.deadline, slow.rounds), (minutes(10), Some(1)), "the first override wins");
    let allowed = [Resource::Fd, Resource::Thread, Resource::Heap, Resource::TimeWait]
        .map(|resource| slow.budget.allowed(resource));
    assert_eq!(allowed, [7, 2, 4096, 8], "each resource by itself");

    let of_ci = under("ci", "slow::first");
    assert_eq!(
        (of_ci.rounds, of_ci.deadline),
        (Some(4), minutes(10)),
        "overrides of both profiles"
    );
    assert_eq!(of_ci.budget.rss_max, Some(1));
}

#[test]
fn code_has_its_place_among_them() {
    let suite = crate::Suite::new("stores")
        .allow(Resource::Fd, 3)
        .allow(Resource::Heap, 3)
        .rss_max(3)
        .deadline(Duration::from_secs(3))
        .rounds(3)
        .net(Net::Private);
    let under = |case: Case| applied(WHOLE, "default", &suite.declared, case);
    let plain = under(case("plain"));
    assert_eq!(plain.budget.allowed(Resource::Heap), 3, "the suite beats the profile");
    assert_eq!((plain.budget.rss_max, plain.net), (Some(3), Some(Net::Private)));
    assert_eq!((plain.rounds, plain.deadline), (Some(1), Some(Duration::from_secs(540))));
    let slow = under(case("slow::first"));
    assert_eq!(slow.budget.allowed(Resource::Fd), 7, "an override beats the suite");
    let own = case("slow::first").allow(Resource::Fd, 0).rounds(2).net(Net::Host);
    let own = under(own.deadline(Duration::from_secs(1)).rss_max(5));
    assert_eq!(own.budget.allowed(Resource::Fd), 0, "the case beats all");
    assert_eq!((own.rounds, own.net, own.budget.rss_max), (Some(2), Some(Net::Host), Some(5)));
    assert_eq!(own.deadline, Some(Duration::from_secs(1)));
}

#[test]
fn an_unknown_profile_says_which_there_are() {
    let choose = |name: &str, text: &str| {
        let (profiles, _) = profile::parse(Path::new(FILE), text).unwrap();
        Config::choose(name, profiles).map(|config| config.profile)
    };
    assert_eq!(choose("nightly", "profile.nightly = {}"), Ok("nightly".to_owned()));
    assert_eq!(
        choose("nightli", "profile.nightly = {}"),
        Err(["ci", "default", "nightly"].map(str::to_owned).to_vec())
    );
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let texts = [
        "profile = 3",
        "profile.ci = 3",
        "[profile.ci]\nunmeasured = true",
        "[profile.ci]\nunsettled = 'error'",
        "[profile.ci]\ndeadline = 30",
        "[profile.ci]\n  deadline = '30 seconds'",
        "[profile.ci]\nrounds = 0",
        "[profile.ci]\nrounds = 1.5",
        "[profile.ci]\nsettle = '2'",
        "[profile.ci]\nnet = 'none'",
        "[profile.ci]\nrss_max = '64 mb'",
        "[profile.ci]\nallow = 1",
        "[profile.ci.allow]\nfd = '1 KiB'",
        "[profile.ci.allow]\nheap = '1 page'",
        "[profile.ci.overrides]\ncase = 'a'",
        "[[profile.ci.overrides]]\nsuite = 'a'",
        "[[profile.ci.overrides]]\ncase = 'a'\n[[profile.ci.overrides]]\ncase = 'é' # é\nrounds = []",
        "[profile.ci\n",
    ];
    let said = texts
        .map(|text| profile::parse(Path::new(FILE), text).expect_err(text).to_string())
        .join("\n");
    insta::assert_snapshot!(said);
}

#[test]
fn unknown_keys_are_said() {
    let text = "[profile.ci]\nunmesured = 'fail'\nretries = 2\nallow.fds = 1\ncase = '*'\n\
                [[profile.ci.overrides]]\ncase = '*'\noverrides = []\n[profil.ci]\n";
    let (_, unknown) = profile::parse(Path::new(FILE), text).unwrap();
    let said: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"));
}
