//! What a series of samples says: simulated daemons, seeded, judged as `watch` would.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

mod dice;

mod daemons;

mod alarms;

mod slopes;

mod properties;
