//! Fan-out policy, processes, the event log and its dead letters, and figures on the wire.

mod cluster;
mod outbox;

pub(crate) use cluster::cluster;
pub(crate) use outbox::outbox;

use social_core::admin::Stats;
use social_core::backend::{RowCount, TableStats};
use social_core::fanout::{Event, Payload, Policy, Strategy};
use social_core::{PostId, Time, UserId, etag};
use social_proto::v1;

use super::timeline::strategy;
use super::{Fields, count, millis, optional_id, timestamp};

/// How posts get to followers.
pub(crate) fn policy(policy: &Policy) -> v1::FanoutPolicy {
    let changed = Some(policy.updated_at).filter(|time| *time != Time::default());
    v1::FanoutPolicy {
        mode: strategy(policy.strategy).into(),
        celebrity_threshold: count(policy.celebrity_threshold),
        update_time: changed.map(timestamp),
        etag: etag::format(policy.version),
    }
}

/// How posts may be said to get to followers.
pub(super) const STRATEGIES: [(i32, &str, Strategy); 3] = [
    (v1::FanoutMode::Push as i32, "FANOUT_MODE_PUSH", Strategy::Push),
    (v1::FanoutMode::Pull as i32, "FANOUT_MODE_PULL", Strategy::Pull),
    (v1::FanoutMode::Hybrid as i32, "FANOUT_MODE_HYBRID", Strategy::Hybrid),
];

/// Reads how posts are to get to followers.
pub(crate) fn read_strategy(fields: &mut Fields, value: i32) -> Strategy {
    fields.choice("mode", value, &STRATEGIES).unwrap_or(Strategy::Hybrid)
}

/// The name of a policy, for logs and metrics.
pub(crate) fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Push => "push",
        Strategy::Pull => "pull",
        Strategy::Hybrid => "hybrid",
    }
}

/// Reads the followers from which on posts are pulled: 0 leaves them as they are.
pub(crate) fn read_threshold(fields: &mut Fields, value: i64) -> Option<u64> {
    Some(fields.natural("celebrity_threshold", value)).filter(|threshold| *threshold > 0)
}

/// An event that was given up.
pub(crate) fn dead_letter(event: Event) -> v1::DeadLetter {
    let (kind, post, actor) = subject(&event.payload);
    v1::DeadLetter {
        event_id: event.id.to_string(),
        kind: kind.to_owned(),
        post_id: optional_id(post),
        actor_id: actor.to_string(),
        attempts: i32::try_from(event.attempts).unwrap_or(i32::MAX),
        error_class: event.last_error.unwrap_or_default(),
        create_time: Some(timestamp(event.filed_at)),
        dead_time: event.finished_at.map(timestamp),
        trace_id: event.trace.map_or_else(String::new, |trace| trace.trace_id_hex()),
    }
}

/// What an event is about: its kind, the post, and who caused it.
fn subject(payload: &Payload) -> (&'static str, Option<PostId>, UserId) {
    match *payload {
        Payload::Post { post, author, .. } => ("post_created", Some(post), author),
        Payload::Restore { post, author } => ("post_restored", Some(post), author),
        Payload::Follow { follower, .. } => ("followed", None, follower),
    }
}

/// What the server holds. `resident_memory_bytes` is the process's.
pub(crate) fn storage_stats(stats: &Stats, resident_memory_bytes: u64) -> v1::GetStorageStatsResponse {
    let mut tables: Vec<_> = stats.storage.tables.iter().map(table_stats).collect();
    tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    v1::GetStorageStatsResponse {
        backend: stats.storage.backend.to_owned(),
        disk_bytes: count(stats.storage.disk_bytes),
        tables,
        timeline_rings: count(stats.timelines),
        timeline_entries: count(stats.timeline_entries),
        pending_events: count(stats.storage.pending_events),
        oldest_pending_age_ms: millis(stats.oldest_pending),
        resident_memory_bytes: count(resident_memory_bytes),
    }
}

fn table_stats(table: &TableStats) -> v1::TableStats {
    let (rows, exact) = match table.rows {
        RowCount::Exact(rows) => (rows, true),
        RowCount::About(rows) => (rows, false),
        RowCount::Unknown => (0, false),
    };
    v1::TableStats {
        name: table.name.to_owned(),
        rows: count(rows),
        exact,
        disk_bytes: count(table.disk_bytes),
        unknown: table.rows == RowCount::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use social_core::EventId;
    use social_core::backend::StorageStats;
    use social_core::fanout::Mode;
    use social_core::request::TraceContext;

    use super::*;

    #[test]
    fn a_policy_that_was_never_changed_has_no_time() {
        let fresh = policy(&Policy::default());
        assert_eq!(
            (fresh.mode(), fresh.celebrity_threshold),
            (v1::FanoutMode::Hybrid, 10_000)
        );
        assert_eq!((fresh.update_time, fresh.etag.as_str()), (None, "e1"));
        let changed = policy(&Policy {
            updated_at: Time::from_unix_ms(3_000),
            ..Policy::default()
        });
        assert_eq!(changed.update_time.unwrap().seconds, 3);
    }

    #[test]
    fn strategies_go_over_the_wire_and_back() {
        for (number, name, choice) in STRATEGIES {
            assert_eq!(strategy(choice).as_str_name(), name);
            let mut fields = Fields::new();
            assert_eq!(read_strategy(&mut fields, number), choice);
            assert_eq!(fields.check(), Ok(()));
        }
        for bad in [0, 4, -1] {
            let mut fields = Fields::new();
            read_strategy(&mut fields, bad);
            assert_eq!(fields.check().unwrap_err().violations[0].field, "mode");
        }
    }

    #[test]
    fn thresholds_may_be_left_out_and_are_never_negative() {
        for (value, expected) in [(0, None), (1, Some(1)), (i64::MAX, Some(i64::MAX as u64))] {
            let mut fields = Fields::new();
            assert_eq!(read_threshold(&mut fields, value), expected);
            assert_eq!(fields.check(), Ok(()));
        }
        let mut fields = Fields::new();
        read_threshold(&mut fields, -1);
        assert_eq!(fields.check().unwrap_err().violations[0].field, "celebrity_threshold");
    }

    #[test]
    fn dead_letters_say_what_they_are_about() {
        let (post, author, follower) = (PostId(1), UserId(2), UserId(3));
        for (payload, kind, post_id, actor) in [
            (
                Payload::Post {
                    post,
                    author,
                    mode: Mode::Push,
                },
                "post_created",
                post.to_string(),
                author,
            ),
            (
                Payload::Restore { post, author },
                "post_restored",
                post.to_string(),
                author,
            ),
            (
                Payload::Follow {
                    follower,
                    followee: author,
                },
                "followed",
                String::new(),
                follower,
            ),
        ] {
            let trace = TraceContext {
                trace_id: [0xab; 16],
                span_id: [1; 8],
                flags: 1,
            };
            let letter = dead_letter(Event {
                attempts: 5,
                last_error: Some("payload_invalid".to_owned()),
                finished_at: Some(Time::from_unix_ms(2_000)),
                ..Event::new(EventId(9), payload, Time::from_unix_ms(1_000), Some(trace))
            });
            assert_eq!(
                (letter.kind.as_str(), letter.post_id, letter.actor_id),
                (kind, post_id, actor.to_string())
            );
            assert_eq!((letter.attempts, letter.error_class.as_str()), (5, "payload_invalid"));
            assert_eq!(letter.trace_id, "ab".repeat(16));
            assert_eq!(
                (letter.create_time.unwrap().seconds, letter.dead_time.unwrap().seconds),
                (1, 2)
            );
        }
    }

    #[test]
    fn rows_are_counted_estimated_or_unknown() {
        let told = |rows| {
            let stats = table_stats(&TableStats {
                name: "posts",
                rows,
                disk_bytes: 0,
            });
            (stats.rows, stats.exact, stats.unknown)
        };
        assert_eq!(told(RowCount::Exact(7)), (7, true, false));
        assert_eq!(told(RowCount::About(7)), (7, false, false));
        assert_eq!(told(RowCount::Unknown), (0, false, true));
    }

    #[test]
    fn tables_ascend_by_name() {
        let table = |name| TableStats {
            name,
            rows: RowCount::Exact(1),
            disk_bytes: 2,
        };
        let storage = StorageStats {
            backend: "memory",
            tables: vec![table("users"), table("posts")],
            ..StorageStats::default()
        };
        let stats = Stats {
            storage,
            timelines: 3,
            timeline_entries: 4,
            oldest_pending: Duration::from_millis(5),
        };
        let wire = storage_stats(&stats, 6);
        assert_eq!(
            wire.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(),
            ["posts", "users"]
        );
        assert_eq!(
            (
                wire.timeline_rings,
                wire.oldest_pending_age_ms,
                wire.resident_memory_bytes
            ),
            (3, 5, 6)
        );
    }
}
