//! How the answers of the AdminService look.

use serde::Serialize;
use social_sdk::{PostId, v1};

use crate::output::wire::Wire;
use crate::output::{Cell, Column, Now, Show, text};
use crate::post::counts_line;

/// What a recount of a post found.
pub(super) struct Recount {
    pub(super) post: PostId,
    pub(super) answer: v1::RecountPostResponse,
}

impl Show for Recount {
    const COLUMNS: &'static [Column] = &[Column::fixed("ID")];

    fn id(&self) -> String {
        self.post.to_string()
    }

    fn wire(&self) -> impl Serialize {
        Wire(&self.answer)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![Cell::plain(self.id())]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        vec![
            (
                "before",
                Cell::plain(counts_line(&self.answer.before.unwrap_or_default())),
            ),
            ("now", Cell::plain(counts_line(&self.answer.after.unwrap_or_default()))),
            ("post", Cell::dim(self.id())),
        ]
    }
}

impl Show for v1::FanoutPolicy {
    const COLUMNS: &'static [Column] = &[Column::fixed("MODE"), Column::number("CELEBRITY THRESHOLD")];

    fn id(&self) -> String {
        self.etag.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        let mode = text::enum_name(self.mode().as_str_name(), "FANOUT_MODE_");
        vec![Cell::strong(mode), Cell::number(self.celebrity_threshold)]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card: Vec<_> = ["mode", "celebrity threshold"].into_iter().zip(self.row(now)).collect();
        let changed = self
            .update_time
            .map_or_else(|| "never".to_owned(), |time| text::age(now, time.seconds));
        card.push(("changed", Cell::plain(changed)));
        card.push(("etag", Cell::dim(&self.etag)));
        card
    }
}

impl Show for v1::DeadLetter {
    const COLUMNS: &'static [Column] = &[
        Column::fixed("KIND"),
        Column::fixed("ERROR"),
        Column::number("ATTEMPTS"),
        Column::fixed("HAPPENED"),
        Column::fixed("GIVEN UP"),
        Column::fixed("POST"),
        Column::fixed("ID"),
    ];

    fn id(&self) -> String {
        self.event_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        let age = |seconds: Option<i64>| Cell::dim(seconds.map(|seconds| text::age(now, seconds)).unwrap_or_default());
        vec![
            Cell::strong(&self.kind),
            Cell::plain(&self.error_class),
            Cell::number(self.attempts),
            age(self.create_time.map(|time| time.seconds)),
            age(self.dead_time.map(|time| time.seconds)),
            Cell::dim(&self.post_id),
            Cell::dim(&self.event_id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        ["kind", "error", "attempts", "happened", "given up", "post", "id"]
            .into_iter()
            .zip(self.row(now))
            .collect()
    }
}

impl Show for v1::GetStorageStatsResponse {
    const COLUMNS: &'static [Column] = &[Column::fixed("BACKEND"), Column::number("DISK")];

    fn id(&self) -> String {
        self.backend.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![Cell::strong(&self.backend), Cell::plain(text::bytes(self.disk_bytes))]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        let queue = match self.pending_events {
            0 => "empty".to_owned(),
            events => format!(
                "{} events, the oldest for {} ms",
                text::number(events),
                text::number(self.oldest_pending_age_ms)
            ),
        };
        let tables: Vec<String> = self.tables.iter().map(table_line).collect();
        vec![
            ("backend", Cell::strong(&self.backend)),
            ("on disk", Cell::plain(text::bytes(self.disk_bytes))),
            ("in memory", Cell::plain(text::bytes(self.resident_memory_bytes))),
            (
                "home timelines",
                Cell::plain(format!(
                    "{} with {} entries",
                    text::number(self.timeline_rings),
                    text::number(self.timeline_entries)
                )),
            ),
            ("queue", Cell::plain(queue)),
            ("tables", Cell::plain(tables.join("\n"))),
        ]
    }
}

fn table_line(table: &v1::TableStats) -> String {
    let about = if table.exact { "" } else { "about " };
    let rows = format!("{about}{}", text::number(table.rows));
    format!(
        "{:20} {rows:>16} rows  {:>10}",
        text::line(&table.name),
        text::bytes(table.disk_bytes)
    )
}

impl Show for v1::ImportProgress {
    const COLUMNS: &'static [Column] = &[
        Column::fixed("IMPORT"),
        Column::fixed("KIND"),
        Column::number("IMPORTED"),
        Column::number("REJECTED"),
        Column::number("NEXT"),
    ];

    fn id(&self) -> String {
        self.import_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![
            Cell::dim(&self.import_id),
            Cell::plain(text::enum_name(self.kind().as_str_name(), "IMPORT_KIND_")),
            Cell::number(self.imported),
            Cell::number(self.rejected),
            Cell::number(self.next_offset),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card: Vec<_> = ["import", "kind", "imported", "rejected", "next offset"]
            .into_iter()
            .zip(self.row(now))
            .collect();
        let rejection = |rejection: &v1::ImportRejection| {
            let field = if rejection.field.is_empty() {
                String::new()
            } else {
                format!(" ({})", rejection.field)
            };
            format!("item {}: {}{field}", rejection.index, rejection.reason)
        };
        if !self.rejections.is_empty() {
            let lines: Vec<_> = self.rejections.iter().map(rejection).collect();
            card.push(("first rejections", Cell::plain(lines.join("\n"))));
        }
        card
    }
}
