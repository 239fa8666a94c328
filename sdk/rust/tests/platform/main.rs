//! The SDK against the real server: the binary, on a real socket and a folder of its own, killed where a test says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, their helpers included"
)]

mod house;
mod people;
mod wait;

mod archives;
mod auth;
mod comments;
mod errors;
mod examples;
mod fanout;
mod graph;
mod imports;
mod likes;
mod live;
mod live_ends;
mod operators;
mod posts;
mod restarts;
mod timeline;
mod tls;
mod tokens;
