//! What end-to-end tests share: a server in this process or as the real binary, people on it, calls of any method, and refusals as
//! data.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test file uses its part of it"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

pub mod archive;
pub mod house;
pub mod people;
pub mod populated;
pub mod process;
pub mod served;
pub mod walker;
pub mod wire;

use std::time::{Duration, Instant};

pub use house::House;
pub use people::Person;
pub use process::{Exited, Process};
pub use wire::{Failure, Line, assert_refused, refused};

/// Longer than anything here takes on a slow machine; who waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A new request_id.
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Asks until there is an answer, at most for [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What comes within [`PATIENCE`].
pub async fn in_time<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, coming).await {
        Ok(came) => came,
        Err(_) => panic!("waited too long for {what}"),
    }
}
