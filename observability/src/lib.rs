//! What an operator sees of the platform: logs, metrics and trace context.
//!
//! - [`init`] starts logging (and the metrics page, when configured) and returns the [`Guard`] that flushes.
//! - [`event`] has one function a business event, which logs it and counts it; no other place does either.
//! - [`metric`] names every metric once.
//! - [`TraceContext`] reads and writes the W3C `traceparent` that events keep, so that one trace can show a post's life.
//!
//! Nothing here knows the domain, the wire or a store, and nothing here ever panics or holds up the server: a log line
//! that cannot be written in time is dropped and counted.

mod config;
pub mod event;
mod filter;
pub mod metric;
mod prometheus;
mod trace;
mod writer;

use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use crate::config::{Config, Format};
pub use crate::filter::{FilterError, check_filter};
pub use crate::trace::{ParseTraceError, TraceContext};
use crate::writer::LogWriter;

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the metrics page could not be bound.
    #[error("cannot serve metrics on {address}: {reason}; choose another address or leave it out")]
    MetricsListen {
        /// The address as configured.
        address: SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// Metrics were started in this process already: the recorder is one a process.
    #[error("metrics were started in this process already")]
    AlreadyCounting,
    /// A thread of the telemetry could not be started.
    #[error("cannot start a telemetry thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Keeps telemetry alive. Dropping it writes out what is still queued, for at most one second.
#[derive(Debug)]
#[must_use = "dropping the guard ends logging"]
pub struct Guard {
    metrics_address: Option<SocketAddr>,
    writer: LogWriter,
}

impl Guard {
    /// The address on which metrics are served, with the port that was really bound.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Writes out what was logged until now, for at most one second. Answers whether all of it was written.
    pub fn flush(&self) -> bool {
        self.writer.flush(writer::FLUSH_TIMEOUT)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Starts logging to stderr, and the metrics page when [`Config::metrics_listen`] is set.
///
/// A filter that does not parse (of `RUST_LOG`, say: a setting is held to [`check_filter`] before) falls back to `info` with a warning. Where the process has a subscriber already (tests),
/// that one stays.
///
/// # Errors
/// When the metrics page cannot be served, or a thread cannot be started.
pub fn init(config: &Config) -> Result<Guard, Error> {
    let writer = LogWriter::to_stderr()?;
    let (filter, refused) = filter(config);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = writer.clone();
    let installed = match config.format {
        Format::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(move || lines.line()),
            )
            .try_init(),
        Format::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(config::colour())
                    .with_writer(move || lines.line()),
            )
            .try_init(),
    };
    if installed.is_err() {
        tracing::debug!("this process logs already; its subscriber stays");
    }
    if let Some(reason) = refused {
        tracing::warn!(%reason, "log filter not understood; logging at info");
    }
    let metrics_address = config.metrics_listen.map(prometheus::serve).transpose()?;
    Ok(Guard {
        metrics_address,
        writer,
    })
}

/// The filter to use, and why the one asked for was refused.
fn filter(config: &Config) -> (EnvFilter, Option<String>) {
    let asked = config.filter.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let fallback = || EnvFilter::new(config::DEFAULT_FILTER);
    match asked {
        None => (fallback(), None),
        Some(asked) if asked.trim().is_empty() => (fallback(), None),
        Some(asked) => match EnvFilter::try_new(&asked) {
            Ok(filter) => (filter, None),
            Err(reason) => (fallback(), Some(reason.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_falls_back() {
        let bad = Config {
            filter: Some("social=loud=louder".into()),
            ..Config::default()
        };
        let (filter, refused) = filter(&bad);
        assert_eq!(filter.to_string(), config::DEFAULT_FILTER);
        assert!(refused.is_some());
    }

    #[test]
    fn an_empty_filter_is_none() {
        let empty = Config {
            filter: Some("  ".into()),
            ..Config::default()
        };
        assert!(filter(&empty).1.is_none());
    }

    #[test]
    fn starts_twice_and_flushes() {
        let first = init(&Config::default()).unwrap();
        let second = init(&Config {
            format: Format::Json,
            ..Config::default()
        })
        .unwrap();
        tracing::info!("a line");
        assert!(first.flush());
        assert!(second.flush());
        assert_eq!(first.metrics_address(), None);
    }
}
