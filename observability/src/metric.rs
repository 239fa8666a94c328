//! The name of every metric, once. Labels take few values by construction: never an id, a handle or an address.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Requests answered, by `method` and status `code`.
pub const RPCS: &str = "social_rpcs_total";
/// Seconds from a request's arrival to its answer, by `method`. Streams count until their first message.
pub const RPC_SECONDS: &str = "social_rpc_seconds";
/// Requests in which a handler panicked, by `method`.
pub const PANICS: &str = "social_panics_total";
/// Requests refused by a rate limit, by `scope` (user, address) and method `class`.
pub const RATE_LIMITED: &str = "social_rate_limited_total";
/// Requests refused because the server has enough in hand.
pub const OVERLOADED: &str = "social_overloaded_total";

/// Accounts made.
pub const USERS_REGISTERED: &str = "social_users_registered_total";
/// Logins granted.
pub const LOGINS: &str = "social_logins_total";
/// Logins refused, by `reason`.
pub const LOGINS_REFUSED: &str = "social_logins_refused_total";
/// Sessions revoked, by `reason`.
pub const SESSIONS_REVOKED: &str = "social_sessions_revoked_total";
/// Refresh tokens that were used a second time.
pub const REFRESH_TOKENS_REUSED: &str = "social_refresh_tokens_reused_total";

/// Posts created, by `visibility` and fan-out `mode`.
pub const POSTS_CREATED: &str = "social_posts_created_total";
/// Posts edited, deleted or undeleted, by `change`.
pub const POSTS_CHANGED: &str = "social_posts_changed_total";
/// Comments created.
pub const COMMENTS_CREATED: &str = "social_comments_created_total";
/// Likes set and taken back, by `active`.
pub const LIKES_SET: &str = "social_likes_set_total";
/// Follows, blocks and mutes set and taken back, by `edge` and `active`.
pub const EDGES_SET: &str = "social_edges_set_total";

/// Steps of fan-outs done, by `mode`.
pub const FANOUT_STEPS: &str = "social_fanout_steps_total";
/// Seconds that one step took, by `mode`.
pub const FANOUT_STEP_SECONDS: &str = "social_fanout_step_seconds";
/// Home timelines reached by one step, by `mode`.
pub const FANOUT_STEP_ROWS: &str = "social_fanout_step_rows";
/// Fan-outs finished, by `mode`.
pub const FANOUTS: &str = "social_fanouts_total";
/// Seconds from a post's ack to the end of its fan-out, by `mode`.
pub const FANOUT_LAG_SECONDS: &str = "social_fanout_lag_seconds";
/// Steps that failed and will be tried again.
pub const FANOUT_RETRIES: &str = "social_fanout_retries_total";
/// Events that are not done yet.
pub const EVENTS_PENDING: &str = "social_events_pending";
/// Age in seconds of the oldest event that is not done yet; 0 without one.
pub const EVENTS_OLDEST_SECONDS: &str = "social_events_oldest_age_seconds";
/// Events put aside after failing for good.
pub const DEAD_LETTERS: &str = "social_dead_letters_total";
/// Dead letters handed out again by an operator.
pub const DEAD_LETTERS_REPLAYED: &str = "social_dead_letters_replayed_total";

/// Home timelines rebuilt from truth.
pub const TIMELINES_REBUILT: &str = "social_timelines_rebuilt_total";
/// Seconds that a rebuild took.
pub const TIMELINE_REBUILD_SECONDS: &str = "social_timeline_rebuild_seconds";
/// Streams open now, by `method`.
pub const STREAMS_OPEN: &str = "social_streams_open";
/// Streams ended, by `method` and `reason`.
pub const STREAMS_CLOSED: &str = "social_streams_closed_total";
/// Gaps told to subscribers that were too slow, by `method`.
pub const STREAM_GAPS: &str = "social_stream_gaps_total";
/// Cursors too old to be resumed from, by `method`.
pub const STREAM_RESETS: &str = "social_stream_resets_total";

/// Items imported, by `kind`.
pub const IMPORTED: &str = "social_imported_total";
/// Items refused in imports, by `kind`.
pub const IMPORTS_REJECTED: &str = "social_imports_rejected_total";
/// Backups handed out to their end.
pub const BACKUPS_TAKEN: &str = "social_backups_taken_total";
/// Failures of the store, by `class`.
pub const STORE_FAILURES: &str = "social_store_failures_total";
/// Log lines dropped because nobody read them fast enough.
pub const LOG_LINES_DROPPED: &str = "social_log_lines_dropped_total";

/// Counters and their help text.
const COUNTERS: &[(&str, &str)] = &[
    (RPCS, "Requests answered, by method and status code"),
    (PANICS, "Requests in which a handler panicked, by method"),
    (
        RATE_LIMITED,
        "Requests refused by a rate limit, by scope and method class",
    ),
    (OVERLOADED, "Requests refused because the server has enough in hand"),
    (USERS_REGISTERED, "Accounts made"),
    (LOGINS, "Logins granted"),
    (LOGINS_REFUSED, "Logins refused, by reason"),
    (SESSIONS_REVOKED, "Sessions revoked, by reason"),
    (REFRESH_TOKENS_REUSED, "Refresh tokens used a second time"),
    (POSTS_CREATED, "Posts created, by visibility and fan-out mode"),
    (POSTS_CHANGED, "Posts edited, deleted or undeleted, by change"),
    (COMMENTS_CREATED, "Comments created"),
    (LIKES_SET, "Likes set and taken back, by active"),
    (
        EDGES_SET,
        "Follows, blocks and mutes set and taken back, by edge and active",
    ),
    (FANOUT_STEPS, "Steps of fan-outs done, by mode"),
    (FANOUTS, "Fan-outs finished, by mode"),
    (FANOUT_RETRIES, "Steps that failed and will be tried again"),
    (DEAD_LETTERS, "Events put aside after failing for good, by kind"),
    (DEAD_LETTERS_REPLAYED, "Dead letters handed out again"),
    (TIMELINES_REBUILT, "Home timelines rebuilt from truth"),
    (STREAMS_CLOSED, "Streams ended, by method and reason"),
    (STREAM_GAPS, "Gaps told to slow subscribers, by method"),
    (STREAM_RESETS, "Cursors too old to be resumed from, by method"),
    (IMPORTED, "Items imported, by kind"),
    (IMPORTS_REJECTED, "Items refused in imports, by kind"),
    (BACKUPS_TAKEN, "Backups handed out to their end"),
    (STORE_FAILURES, "Failures of the store, by class"),
    (
        LOG_LINES_DROPPED,
        "Log lines dropped because nobody read them fast enough",
    ),
];

/// Gauges, their unit and help text.
const GAUGES: &[(&str, Unit, &str)] = &[
    (EVENTS_PENDING, Unit::Count, "Events that are not done yet"),
    (
        EVENTS_OLDEST_SECONDS,
        Unit::Seconds,
        "Age of the oldest event that is not done yet",
    ),
    (STREAMS_OPEN, Unit::Count, "Streams open now, by method"),
];

/// Histograms, their unit and help text. The end of a name chooses its buckets: `_seconds` or `_rows`.
const HISTOGRAMS: &[(&str, Unit, &str)] = &[
    (
        RPC_SECONDS,
        Unit::Seconds,
        "From a request's arrival to its answer, by method",
    ),
    (
        FANOUT_STEP_SECONDS,
        Unit::Seconds,
        "Time that one fan-out step took, by mode",
    ),
    (
        FANOUT_STEP_ROWS,
        Unit::Count,
        "Home timelines reached by one fan-out step, by mode",
    ),
    (
        FANOUT_LAG_SECONDS,
        Unit::Seconds,
        "From a post's ack to the end of its fan-out, by mode",
    ),
    (
        TIMELINE_REBUILD_SECONDS,
        Unit::Seconds,
        "Time that the rebuild of a home timeline took",
    ),
];

/// Tells the recorder what every metric means, for the help lines of the metrics page.
pub(crate) fn describe_all() {
    for &(name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for &(name, unit, help) in GAUGES {
        describe_gauge!(name, unit, help);
    }
    for &(name, unit, help) in HISTOGRAMS {
        describe_histogram!(name, unit, help);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every name of this file is described, once, and follows the conventions of Prometheus.
    #[test]
    fn every_metric_is_described_once() {
        let described: Vec<&str> = (COUNTERS.iter().map(|counter| counter.0))
            .chain(GAUGES.iter().map(|gauge| gauge.0))
            .chain(HISTOGRAMS.iter().map(|histogram| histogram.0))
            .collect();
        let unique: HashSet<&str> = described.iter().copied().collect();
        assert_eq!(unique.len(), described.len());
        let named = include_str!("metric.rs")
            .lines()
            .filter(|line| line.starts_with("pub const "))
            .count();
        assert_eq!(described.len(), named);
        assert!(described.iter().all(|name| name.starts_with("social_")));
        assert!(COUNTERS.iter().all(|(name, _)| name.ends_with("_total")));
        assert!(
            HISTOGRAMS
                .iter()
                .all(|(name, ..)| name.ends_with("_seconds") || name.ends_with("_rows"))
        );
    }
}
