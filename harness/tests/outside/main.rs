//! Processes that know nothing of us, looked at from outside: each test starts its own.

mod planted;

mod ending;
mod event;
mod held;
mod opening;
