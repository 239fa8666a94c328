//! `fanout`: how far a post has got on its way to the followers.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::{Client, EventId, Origin, v1};

use crate::app::App;
use crate::failure::{Exit, Failure, Result};
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Now, Show, text};
use crate::progress;

/// Verbs of `fanout`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell where the fan-out of one of your posts stands
    #[command(after_help = "\
Examples:
  socialctl fanout status 2q3k5v7x9z1aa
  socialctl fanout status 2q3k5v7x9z1aa --wait --wait-timeout 60")]
    Status {
        /// Id of the fan-out, as `post create` prints it
        fanout: EventId,
        /// Wait until it is done
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        limit: Limit,
    },
}

/// How long to wait for a fan-out.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Limit {
    /// Seconds to wait for the fan-out at most
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait_timeout: u64,
}

/// Runs a verb of `fanout`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    let Command::Status { fanout, wait, limit } = command;
    let client = app.client()?;
    let status = if wait {
        limit.wait(app, &client, fanout).await?
    } else {
        client.timeline().fanout_status(fanout).await?
    };
    app.output.item(&status)?;
    check(&status)
}

impl Limit {
    /// Waits until a fan-out is over.
    pub(crate) async fn wait(self, app: &App, client: &Client, fanout: EventId) -> Result<v1::GetFanoutStatusResponse> {
        let spinner = progress::spinner(&app.output, "waiting for the fan-out");
        let waited = client
            .timeline()
            .wait_for_fanout(fanout, Duration::from_secs(self.wait_timeout))
            .await;
        spinner.finish_and_clear();
        waited.map_err(|error| match error.origin() {
            Origin::Deadline => Failure::new(
                Exit::Unavailable,
                format!("the fan-out is not done after {} s", self.wait_timeout),
            )
            .hint(format!(
                "it goes on by itself: `socialctl fanout status {fanout} --wait` waits on"
            )),
            _ => Failure::from(error),
        })
    }
}

/// A fan-out that was given up is a failure.
pub(crate) fn check(status: &v1::GetFanoutStatusResponse) -> Result<()> {
    if status.state() != v1::FanoutState::DeadLettered {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Internal,
        format!("the fan-out was given up after {} failures", status.attempts),
    )
    .because(format!(
        "class of the last failure: {}",
        text::line(&status.last_error_class)
    ))
    .hint(format!(
        "an operator can take it up again: `socialctl admin deadletter replay {}`",
        status.fanout_id
    )))
}

fn lag(status: &v1::GetFanoutStatusResponse) -> String {
    text::duration(Duration::from_millis(status.lag_ms.unsigned_abs()))
}

/// Where a fan-out stands, in a line.
pub(crate) fn summary(status: &v1::GetFanoutStatusResponse) -> String {
    let state = text::enum_name(status.state().as_str_name(), "FANOUT_STATE_");
    let mode = text::enum_name(status.mode().as_str_name(), "FANOUT_MODE_");
    format!(
        "{state} by {mode}: {} delivered, {} skipped, {} pending, after {}",
        text::number(status.delivered),
        text::number(status.skipped),
        text::number(status.pending),
        lag(status),
    )
}

impl Show for v1::GetFanoutStatusResponse {
    const COLUMNS: &'static [Column] = &[Column::fixed("ID"), Column::text("STATE")];

    fn id(&self) -> String {
        self.fanout_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![Cell::dim(&self.fanout_id), Cell::plain(summary(self))]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        let mut card = vec![
            (
                "state",
                Cell::strong(text::enum_name(self.state().as_str_name(), "FANOUT_STATE_")),
            ),
            (
                "mode",
                Cell::plain(text::enum_name(self.mode().as_str_name(), "FANOUT_MODE_")),
            ),
            ("delivered", Cell::number(self.delivered)),
            ("skipped", Cell::number(self.skipped)),
            ("pending", Cell::number(self.pending)),
            ("lag", Cell::plain(lag(self))),
            ("attempts failed", Cell::number(self.attempts)),
        ];
        let rest = [
            ("last failure", &self.last_error_class),
            ("trace", &self.trace_id),
            ("post", &self.post_id),
            ("id", &self.fanout_id),
        ];
        card.extend(
            rest.into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(label, value)| (label, Cell::dim(value))),
        );
        card
    }
}
