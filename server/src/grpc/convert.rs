//! The only place where messages of the wire become values of the domain, and the other way round: a file a noun.
//!
//! What comes in is read by [`Fields`], which gathers every field at fault, so that one refusal names them all. What goes out is
//! written by plain functions named after the message that they make.

pub(crate) mod admin;
pub(crate) mod archive;
pub(crate) mod auth;
pub(crate) mod comment;
mod fields;
pub(crate) mod graph;
pub(crate) mod import;
pub(crate) mod like;
pub(crate) mod post;
pub(crate) mod timeline;
pub(crate) mod user;

pub(crate) use fields::Fields;

use std::fmt::Display;
use std::time::Duration;

use prost_types::Timestamp;
use social_core::Time;
use social_proto::v1;

/// A moment, to the millisecond.
pub(crate) fn timestamp(time: Time) -> Timestamp {
    let ms = time.unix_ms();
    Timestamp {
        seconds: count(ms / 1_000),
        // Below 1,000,000,000.
        nanos: (ms % 1_000) as i32 * 1_000_000,
    }
}

/// A count, which the wire has as a signed number.
pub(crate) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A small count, which the wire has as a signed number of 32 bits.
pub(crate) fn small_count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// An id that may be absent; absent is empty.
pub(crate) fn optional_id(id: Option<impl Display>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}

/// The sign of life of a stream that keeps no cursor. `interval` is how long the stream stays silent at the most.
pub(crate) fn heartbeat(now: Time, interval: Duration) -> v1::Heartbeat {
    v1::Heartbeat {
        time: Some(timestamp(now)),
        interval_ms: interval_ms(interval),
    }
}

/// A stream's interval in milliseconds, above 0.
pub(crate) fn interval_ms(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// What a batch found, in order, and the ids that it did not find.
pub(crate) fn split_found<I: Display, T>(ids: &[I], found: Vec<Option<T>>) -> (Vec<T>, Vec<String>) {
    let mut there = Vec::with_capacity(found.len());
    let mut missing = Vec::new();
    for (id, found) in ids.iter().zip(found) {
        match found {
            Some(found) => there.push(found),
            None => missing.push(id.to_string()),
        }
    }
    (there, missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use social_core::PostId;

    #[test]
    fn times_keep_their_milliseconds() {
        for (ms, seconds, nanos) in [
            (0, 0, 0),
            (999, 0, 999_000_000),
            (1_700_000_000_001, 1_700_000_000, 1_000_000),
        ] {
            assert_eq!(timestamp(Time::from_unix_ms(ms)), Timestamp { seconds, nanos });
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_the_largest_that_do() {
        assert_eq!((count(7), count(u64::MAX)), (7, i64::MAX));
        assert_eq!((small_count(7), small_count(usize::MAX)), (7, i32::MAX));
        assert_eq!(millis(Duration::from_secs(2)), 2_000);
        assert_eq!(
            [Duration::ZERO, Duration::from_secs(15), Duration::MAX].map(interval_ms),
            [1, 15_000, u32::MAX]
        );
    }

    #[test]
    fn what_a_batch_misses_is_named_in_order() {
        let ids = [PostId(1), PostId(2), PostId(3)];
        let (found, missing) = split_found(&ids, vec![None, Some("two"), None]);
        assert_eq!(found, ["two"]);
        assert_eq!(missing, [PostId(1).to_string(), PostId(3).to_string()]);
    }
}
