//! `admin outbox`: what waits in the event log.

use std::time::Duration;

use serde::Serialize;
use social_sdk::{AdminClient, List, v1};

use crate::app::App;
use crate::args::Paging;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Format, Now, Show, text};

/// Runs `admin outbox`.
pub(super) async fn run(app: &App, admin: &AdminClient, paging: &Paging) -> Result<()> {
    let list: List<v1::ListOutboxEventsRequest> = admin.list_outbox_events();
    if paging.all {
        return app.list(list, "events", paging).await;
    }
    let page = paging.apply(list).page().await?;
    let next = page.next_page_token.as_str();
    // What comes first says how much there is in all.
    if let (Some(counts), Format::Table) = (&page.counts, app.output.format()) {
        app.output.note(&summary(counts))?;
    }
    let counts = serde_json::to_value(page.counts.as_ref().map(Wire)).unwrap_or_default();
    app.output
        .list_with("events", &page.events, next, vec![("counts", counts)])?;
    app.more(next)
}

/// How many events have not ended, in a line.
fn summary(counts: &v1::OutboxCounts) -> String {
    let least = if counts.exact { "" } else { "at least " };
    let number = |count: i64| text::number(count);
    let oldest = match counts.pending {
        0 => String::new(),
        _ => {
            let age = Duration::from_millis(counts.oldest_pending_age_ms.unsigned_abs());
            format!(", the oldest for {}", text::duration(age))
        }
    };
    format!(
        "{least}{} pending{oldest}; {least}{} of them stalled; {} dead",
        number(counts.pending),
        number(counts.stalled),
        number(counts.dead)
    )
}

impl Show for v1::OutboxEvent {
    const COLUMNS: &'static [Column] = &[
        Column::fixed("KIND"),
        Column::fixed("MODE"),
        Column::fixed("HAPPENED"),
        Column::fixed("LAST STEP"),
        Column::fixed("STATE"),
        Column::number("DELIVERED"),
        Column::number("FAILURES"),
        Column::fixed("TRACE"),
        Column::fixed("ID"),
    ];

    fn id(&self) -> String {
        self.event_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        let mode = match self.mode() {
            v1::FanoutMode::Unspecified => "-".to_owned(),
            mode => text::enum_name(mode.as_str_name(), "FANOUT_MODE_"),
        };
        let trace = if self.trace_id.is_empty() { "-" } else { &self.trace_id };
        vec![
            Cell::strong(&self.kind),
            Cell::plain(mode),
            Cell::age(now, self.create_time),
            Cell::age(now, self.progress_time),
            Cell::plain(if self.stalled { "stalled" } else { "at work" }),
            Cell::number(self.delivered),
            Cell::number(self.attempts),
            Cell::dim(trace),
            Cell::dim(&self.event_id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        [
            "kind",
            "mode",
            "happened",
            "last step",
            "state",
            "delivered",
            "failures",
            "trace",
            "id",
        ]
        .into_iter()
        .zip(self.row(now))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_waits() {
        let counts = v1::OutboxCounts {
            pending: 1_200,
            stalled: 3,
            dead: 1,
            oldest_pending_age_ms: 61_000,
            exact: true,
        };
        assert_eq!(
            summary(&counts),
            "1,200 pending, the oldest for 1 min 1 s; 3 of them stalled; 1 dead"
        );
        let many = v1::OutboxCounts { exact: false, ..counts };
        assert!(summary(&many).starts_with("at least 1,200 pending"));
        let none = v1::OutboxCounts {
            exact: true,
            ..Default::default()
        };
        assert_eq!(summary(&none), "0 pending; 0 of them stalled; 0 dead");
    }
}
