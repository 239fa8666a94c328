//! Registration, login, tokens and sessions, on the reference store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

mod login;
mod sessions;
mod withdrawn;
mod world;
