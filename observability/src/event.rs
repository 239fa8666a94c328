//! One function a business event: it logs the event and counts it. Nothing else in the platform does either.
//!
//! Ids are passed as anything that can be shown and appear in logs only; labels of metrics are fixed words. What happens
//! with every request is logged at `debug`, what an operator wants to know at `info`, trouble at `warn` and `error`.
//! Secrets, contents, handles and addresses are never passed in.

use std::fmt::Display;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use crate::metric;

/// Why a login was refused. The caller is told less than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    /// The password is another, or nobody can log in by that handle: what guesses probe is not told apart.
    WrongPassword,
    /// Too many attempts were made; the password was not looked at.
    Throttled,
}

impl LoginRefusal {
    /// The label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::Throttled => "throttled",
        }
    }
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The client left.
    Client,
    /// Everything was sent.
    Complete,
    /// The server is shutting down.
    Drain,
    /// The session was revoked.
    Revoked,
    /// Something failed.
    Error,
}

impl StreamEnd {
    /// The label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Complete => "complete",
            Self::Drain => "drain",
            Self::Revoked => "revoked",
            Self::Error => "error",
        }
    }
}

/// The server listens: from now on it takes requests.
pub fn server_started(version: &str, listen: &dyn Display, admin_listen: &dyn Display) {
    info!(version, %listen, admin_listen = %admin_listen, "server started");
}

/// The process is a member of a cluster: what operators know it by there.
pub fn cluster_joined(name: &str, node: u16, roles: &str) {
    info!(name, node, roles, "joined the cluster");
}

/// The process cannot serve for now: health says so, and balancers look elsewhere.
pub fn became_unready(reason: &dyn Display) {
    warn!(%reason, "not ready: health says NOT_SERVING until this passes");
}

/// The process can serve again.
pub fn became_ready(after: Duration) {
    info!(after_ms = millis(after), "ready again");
}

/// The process lost its node number to another one, and ends: the next start leases another number.
pub fn lease_not_regained(after: Duration) {
    error!(
        after_ms = millis(after),
        "the lease of the node number does not come back; the process ends, to be started again"
    );
}

/// The public port is open to other machines, and nothing on it is encrypted.
pub fn listening_in_the_clear(listen: &dyn Display) {
    warn!(
        %listen,
        "the public port can be reached from other machines without TLS: passwords and tokens go over the network in the clear; \
         set tls.cert and tls.key, or let only a proxy that has TLS reach it"
    );
}

/// The server was asked to stop and no longer takes requests.
pub fn drain_started(grace: Duration) {
    info!(grace_ms = millis(grace), "draining");
}

/// The server is about to exit. Not `clean` means that work was cut off when the grace time was over.
pub fn drain_finished(took: Duration, clean: bool) {
    let took_ms = millis(took);
    if clean {
        info!(took_ms, "drained");
    } else {
        warn!(took_ms, "drain cut off at the end of the grace time");
    }
}

/// New TLS files are in use for new connections.
pub fn tls_reloaded() {
    info!("TLS files reloaded");
}

/// TLS files changed but cannot be used; the old ones stay in use.
pub fn tls_reload_failed(error: &dyn Display) {
    error!(%error, "changed TLS files refused; the old ones stay in use");
}

/// Access tokens are signed with this key from now on.
pub fn signing_key_rotated(kid: &str) {
    info!(kid, "signing key rotated");
}

/// A request was answered. `method` and `code` are the names in the contract and in gRPC.
pub fn rpc_finished(method: &'static str, code: &'static str, took: Duration) {
    debug!(method, code, took_us = took.as_micros(), "rpc");
    counter!(metric::RPCS, "method" => method, "code" => code).increment(1);
    histogram!(metric::RPC_SECONDS, "method" => method).record(took);
}

/// A handler panicked; its caller got INTERNAL and the server goes on.
pub fn handler_panicked(method: &'static str, what: &str) {
    error!(method, what, "handler panicked");
    counter!(metric::PANICS, "method" => method).increment(1);
}

/// A rate limit refused a request.
pub fn rate_limited(scope: &'static str, class: &'static str) {
    debug!(scope, class, "rate limited");
    counter!(metric::RATE_LIMITED, "scope" => scope, "class" => class).increment(1);
}

/// A request was refused because the server has enough in hand.
pub fn overloaded() {
    debug!("overloaded");
    counter!(metric::OVERLOADED).increment(1);
}

/// An account was made.
pub fn user_registered(user: &dyn Display) {
    info!(%user, "user registered");
    counter!(metric::USERS_REGISTERED).increment(1);
}

/// A login was granted.
pub fn login_granted(user: &dyn Display) {
    debug!(%user, "login");
    counter!(metric::LOGINS).increment(1);
}

/// A login was refused.
pub fn login_refused(reason: LoginRefusal) {
    info!(reason = reason.as_str(), "login refused");
    counter!(metric::LOGINS_REFUSED, "reason" => reason.as_str()).increment(1);
}

/// Sessions of a user were revoked, for a `reason` such as `logout` or `password_changed`.
pub fn sessions_revoked(user: &dyn Display, reason: &'static str, sessions: u64) {
    info!(%user, reason, sessions, "sessions revoked");
    counter!(metric::SESSIONS_REVOKED, "reason" => reason).increment(sessions);
}

/// A refresh token was used a second time: somebody else may have it, so its family was revoked.
pub fn refresh_token_reused(user: &dyn Display, session: &dyn Display) {
    warn!(%user, %session, "refresh token used twice; its session is revoked");
    counter!(metric::REFRESH_TOKENS_REUSED).increment(1);
}

/// A post was acked.
pub fn post_created(post: &dyn Display, author: &dyn Display, visibility: &'static str, mode: &'static str) {
    debug!(%post, %author, visibility, mode, "post created");
    counter!(metric::POSTS_CREATED, "visibility" => visibility, "mode" => mode).increment(1);
}

/// A post was changed: `edited`, `deleted` or `undeleted`.
pub fn post_changed(post: &dyn Display, change: &'static str) {
    debug!(%post, change, "post changed");
    counter!(metric::POSTS_CHANGED, "change" => change).increment(1);
}

/// A comment was acked.
pub fn comment_created(comment: &dyn Display, post: &dyn Display) {
    debug!(%comment, %post, "comment created");
    counter!(metric::COMMENTS_CREATED).increment(1);
}

/// A like was set or taken back.
pub fn like_set(post: &dyn Display, user: &dyn Display, active: bool) {
    debug!(%post, %user, active, "like");
    counter!(metric::LIKES_SET, "active" => word(active)).increment(1);
}

/// A `follow`, `block` or `mute` was set or taken back.
pub fn edge_set(edge: &'static str, from: &dyn Display, to: &dyn Display, active: bool) {
    debug!(edge, %from, %to, active, "edge");
    counter!(metric::EDGES_SET, "edge" => edge, "active" => word(active)).increment(1);
}

/// One step of a fan-out is durable; it reached `delivered` home timelines.
pub fn fanout_step_done(event: &dyn Display, mode: &'static str, delivered: u64, took: Duration) {
    debug!(%event, mode, delivered, took_us = took.as_micros(), "fan-out step done");
    counter!(metric::FANOUT_STEPS, "mode" => mode).increment(1);
    histogram!(metric::FANOUT_STEP_ROWS, "mode" => mode).record(delivered as f64);
    histogram!(metric::FANOUT_STEP_SECONDS, "mode" => mode).record(took);
}

/// A fan-out is finished; `lag` is the time since the post's ack.
pub fn fanout_done(event: &dyn Display, mode: &'static str, delivered: u64, lag: Duration) {
    debug!(%event, mode, delivered, lag_ms = millis(lag), "fan-out done");
    counter!(metric::FANOUTS, "mode" => mode).increment(1);
    histogram!(metric::FANOUT_LAG_SECONDS, "mode" => mode).record(lag);
}

/// A step of an event failed and will be tried again.
pub fn fanout_retried(event: &dyn Display, attempts: u32, error: &dyn Display) {
    warn!(%event, attempts, %error, "event failed; it will be tried again");
    counter!(metric::FANOUT_RETRIES).increment(1);
}

/// How much is still to be done.
pub fn backlog_measured(pending: u64, oldest_age: Duration) {
    gauge!(metric::EVENTS_PENDING).set(pending as f64);
    gauge!(metric::EVENTS_OLDEST_SECONDS).set(oldest_age.as_secs_f64());
}

/// An event failed for good and was put aside: an operator has to look at it.
pub fn dead_lettered(event: &dyn Display, kind: &'static str, attempts: u32, error: &dyn Display) {
    error!(%event, kind, attempts, %error, "event put aside as a dead letter; look at it and replay it");
    counter!(metric::DEAD_LETTERS, "kind" => kind).increment(1);
}

/// An operator handed a dead letter out again.
pub fn dead_letter_replayed(event: &dyn Display) {
    info!(%event, "dead letter replayed");
    counter!(metric::DEAD_LETTERS_REPLAYED).increment(1);
}

/// An operator changed how posts are fanned out.
pub fn fanout_policy_changed(mode: &'static str, celebrity_threshold: u64) {
    info!(mode, celebrity_threshold, "fan-out policy changed");
}

/// A home timeline was missing or partial and was rebuilt from truth.
pub fn timeline_rebuilt(user: &dyn Display, entries: usize, took: Duration) {
    debug!(%user, entries, took_us = took.as_micros(), "home timeline rebuilt");
    counter!(metric::TIMELINES_REBUILT).increment(1);
    histogram!(metric::TIMELINE_REBUILD_SECONDS).record(took);
}

/// A stream was opened. Each call is followed by one of [`stream_closed`].
pub fn stream_opened(method: &'static str) {
    debug!(method, "stream opened");
    gauge!(metric::STREAMS_OPEN, "method" => method).increment(1);
}

/// A stream ended after `age`.
pub fn stream_closed(method: &'static str, reason: StreamEnd, age: Duration) {
    debug!(method, reason = reason.as_str(), age_ms = millis(age), "stream closed");
    gauge!(metric::STREAMS_OPEN, "method" => method).decrement(1);
    counter!(metric::STREAMS_CLOSED, "method" => method, "reason" => reason.as_str()).increment(1);
}

/// A subscriber was too slow and was told of a gap.
pub fn stream_gap_sent(method: &'static str) {
    debug!(method, "gap sent to a slow subscriber");
    counter!(metric::STREAM_GAPS, "method" => method).increment(1);
}

/// A cursor was too old to be resumed from, and its holder was told to start over.
pub fn stream_reset_sent(method: &'static str) {
    debug!(method, "reset sent");
    counter!(metric::STREAM_RESETS, "method" => method).increment(1);
}

/// One message of an import of `kind` is durable.
pub fn import_committed(kind: &'static str, imported: u64, rejected: u64, next_offset: u64) {
    debug!(kind, imported, rejected, next_offset, "import committed");
    counter!(metric::IMPORTED, "kind" => kind).increment(imported);
    counter!(metric::IMPORTS_REJECTED, "kind" => kind).increment(rejected);
}

/// An operator took a backup, to its end.
pub fn backup_taken(rows: u64, bytes: u64, took: Duration) {
    info!(rows, bytes, took_ms = millis(took), "backup taken");
    counter!(metric::BACKUPS_TAKEN).increment(1);
}

/// An export of the whole platform began, or went on where it was cut short.
pub fn archive_export_begun(resumed: bool) {
    info!(resumed, "archive export begun");
}

/// One message of an archive is durable: so many records with it, and so far the archive.
pub fn archive_stored(records: u64, next_offset: u64, complete: bool) {
    debug!(records, next_offset, complete, "archive message stored");
    if complete {
        info!(records = next_offset, "archive import complete");
    }
    counter!(metric::IMPORTED, "kind" => "archive").increment(records);
}

/// The store failed in a way that its caller cannot help; `class` is the kind of failure.
pub fn store_failed(class: &'static str, error: &dyn Display) {
    error!(class, %error, "store failed");
    counter!(metric::STORE_FAILURES, "class" => class).increment(1);
}

fn word(active: bool) -> &'static str {
    if active { "true" } else { "false" }
}

/// Whole milliseconds, as logs show a time.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
