//! What all `watch` verbs share: when they end.

use std::pin::pin;
use std::time::Duration;

use clap::Args;
use social_sdk::{Error, Reconnect, Stream, TryStreamExt as _};
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::failure::{Exit, Failure, Result};
use crate::output::text;

/// When a `watch` ends by itself.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Until {
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds; with --count it is a failure (exit 8) when there were fewer events
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
}

/// The time of a watch that has no bound.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Until {
    /// Hands out events until it is time to end. `handle` says whether an event counts.
    pub(crate) async fn follow<E>(
        self,
        app: &App,
        events: impl Stream<Item = Result<E, Error>>,
        mut handle: impl FnMut(E) -> Result<bool>,
    ) -> Result<()> {
        if app.has_deadline() {
            return Err(Failure::usage("--deadline bounds a call, and a watch is none")
                .hint("--timeout SECONDS ends it after so many seconds"));
        }
        let mut events = pin!(events);
        let deadline = Instant::now() + self.timeout.map_or(FOREVER, Duration::from_secs);
        let mut seen = 0;
        loop {
            let Ok(event) = timeout_at(deadline, events.try_next()).await else {
                return self.timed_out(seen);
            };
            let Some(event) = event? else { return Ok(()) };
            seen += u64::from(handle(event)?);
            if self.count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
    }

    fn timed_out(self, seen: u64) -> Result<()> {
        match self.count {
            Some(count) => Err(Failure::new(
                Exit::Unavailable,
                format!("{seen} of {count} events within {} s", self.timeout.unwrap_or_default()),
            )),
            None => Ok(()),
        }
    }
}

/// Says that a connection was lost.
pub(crate) fn note_reconnecting(app: &App, reconnect: &Reconnect) -> Result<()> {
    let Reconnect { delay, cause, .. } = reconnect;
    app.output.note(&format!(
        "connection lost ({}); trying again {}",
        cause.message(),
        soon(*delay)
    ))
}

fn soon(delay: Duration) -> String {
    match delay.as_millis() {
        0 => "at once".to_owned(),
        _ => format!("in {}", text::duration(delay)),
    }
}

/// Says that a connection is there.
pub(crate) fn note_connected(app: &App, what: &str, reconnected: bool) -> Result<()> {
    let verb = if reconnected {
        "connected again, watching"
    } else {
        "watching"
    };
    app.output.note(&format!("{verb} {what}; Ctrl-C ends it"))
}

/// The event as JSON.
pub(crate) fn reconnecting_json(reconnect: &Reconnect) -> serde_json::Value {
    serde_json::json!({
        "attempt": reconnect.attempt,
        "delay_ms": u64::try_from(reconnect.delay.as_millis()).unwrap_or(u64::MAX),
        "cause": reconnect.cause.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_as_one() {
        let told = [0, 40, 2_500].map(|ms| soon(Duration::from_millis(ms)));
        assert_eq!(told, ["at once", "in 40 ms", "in 2.5 s"]);
    }
}
