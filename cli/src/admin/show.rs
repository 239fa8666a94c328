//! How the answers of the AdminService look.

use std::time::Duration;

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
        vec![
            Cell::strong(&self.kind),
            Cell::plain(&self.error_class),
            Cell::number(self.attempts),
            Cell::age(now, self.create_time),
            Cell::age(now, self.dead_time),
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
        vec![Cell::strong(&self.backend), Cell::plain(size(self.disk_bytes))]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        let tables: Vec<String> = self.tables.iter().map(|table| table_line(self, table)).collect();
        vec![
            ("backend", Cell::strong(&self.backend)),
            ("on disk", Cell::plain(size(self.disk_bytes))),
            ("in memory", Cell::plain(size(self.resident_memory_bytes))),
            (
                "home timelines",
                Cell::plain(format!(
                    "{} with {} entries",
                    text::number(self.timeline_rings),
                    text::number(self.timeline_entries)
                )),
            ),
            ("queue", Cell::plain(queue_line(self))),
            ("tables", Cell::plain(tables.join("\n"))),
        ]
    }
}

/// A size, of which 0 means that nobody knows it.
fn size(bytes: i64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => text::bytes(bytes),
    }
}

fn queue_line(stats: &v1::GetStorageStatsResponse) -> String {
    let waiting = Duration::from_millis(stats.oldest_pending_age_ms.unsigned_abs());
    match stats.pending_events {
        0 => "empty".to_owned(),
        1 => format!("1 event, for {}", text::duration(waiting)),
        events => format!(
            "{} events, the oldest for {}",
            text::number(events),
            text::duration(waiting)
        ),
    }
}

/// Name of the table that holds the queue.
const QUEUE_TABLE: &str = "pending";

fn table_line(stats: &v1::GetStorageStatsResponse, table: &v1::TableStats) -> String {
    // An estimate counts what was deleted a moment ago. What is in the queue is known exactly, and told above.
    let rows = match (table.name.as_str(), table.exact, table.unknown) {
        (QUEUE_TABLE, ..) => text::number(stats.pending_events),
        // Too many to be counted for this, and the store has not estimated them yet.
        (_, _, true) => "unknown".to_owned(),
        (_, true, _) => text::number(table.rows),
        (_, false, _) => format!("about {}", text::number(table.rows)),
    };
    let line = format!("{:20} {rows:>16} rows", text::line(&table.name));
    // A backend that accounts for none of its tables gets no column of dashes.
    if stats.tables.iter().all(|table| table.disk_bytes == 0) {
        line
    } else {
        format!("{line}  {:>10}", size(table.disk_bytes))
    }
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
        let mut card: Vec<_> = ["import", "kind", "imported", "rejected", "items done"]
            .into_iter()
            .zip(self.row(now))
            .collect();
        // People count from 1.
        let place = |rejection: &v1::ImportRejection| format!("item {}", text::number(rejection.index + 1));
        if let Some(rejections) = rejections(self, place) {
            card.push(rejections);
        }
        card
    }
}

/// What an import of a file came to.
pub(super) struct Imported {
    pub(super) progress: v1::ImportProgress,
    /// Numbers of the lines that the rejected items stand in, in their order.
    pub(super) lines: Vec<Option<usize>>,
}

impl Show for Imported {
    const COLUMNS: &'static [Column] = v1::ImportProgress::COLUMNS;

    fn id(&self) -> String {
        self.progress.id()
    }

    fn wire(&self) -> impl Serialize {
        Wire(&self.progress)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        self.progress.row(now)
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card = self.progress.card(now);
        let mut lines = self.lines.iter();
        let place = |rejection: &v1::ImportRejection| match lines.next() {
            Some(Some(line)) => format!("line {line}"),
            _ => format!("item {}", text::number(rejection.index + 1)),
        };
        if let Some(rejections) = rejections(&self.progress, place) {
            card.pop();
            card.push(rejections);
        }
        card
    }
}

fn rejections(
    progress: &v1::ImportProgress,
    mut place: impl FnMut(&v1::ImportRejection) -> String,
) -> Option<(&'static str, Cell)> {
    let line = |rejection: &v1::ImportRejection| {
        let field = if rejection.field.is_empty() {
            String::new()
        } else {
            format!(" ({})", rejection.field)
        };
        format!("{}: {}{field}", place(rejection), rejection.reason)
    };
    let lines: Vec<_> = progress.rejections.iter().map(line).collect();
    (!lines.is_empty()).then(|| ("first rejections", Cell::plain(lines.join("\n"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(card: Vec<(&'static str, Cell)>) -> String {
        crate::output::table::card(
            card,
            crate::output::table::Surface {
                width: None,
                colour: false,
            },
        )
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_the_queue_is_told_once() {
        let table = |name: &str, rows, disk_bytes| v1::TableStats {
            name: name.to_owned(),
            rows,
            exact: false,
            disk_bytes,
            unknown: name == "likes",
        };
        let stats = v1::GetStorageStatsResponse {
            backend: "embedded".to_owned(),
            tables: vec![table("likes", 0, 0), table("pending", 6, 0), table("posts", 7, 2048)],
            ..Default::default()
        };
        let text = text_of(stats.card(Now::now()));
        assert!(text.contains("queue           empty"), "{text}");
        let line = |name: &str| {
            text.lines()
                .find(|line| line.contains(name))
                .unwrap_or_default()
                .to_owned()
        };
        assert!(
            line("pending").contains(" 0 rows") && line("pending").ends_with('-'),
            "{text}"
        );
        assert!(
            line("posts").contains("about 7 rows") && line("posts").ends_with("2.0 KiB"),
            "{text}"
        );
        assert!(line("likes").contains("  unknown rows"), "{text}");
        assert!(!text.contains("0 B"), "{text}");
    }

    #[test]
    fn rejections_are_counted_from_one_or_told_by_line() {
        let progress = v1::ImportProgress {
            rejections: vec![v1::ImportRejection {
                index: 2,
                reason: "HANDLE_TAKEN".to_owned(),
                field: "handle".to_owned(),
            }],
            ..Default::default()
        };
        assert!(text_of(progress.card(Now::now())).contains("item 3: HANDLE_TAKEN (handle)"));
        let imported = Imported {
            progress,
            lines: vec![Some(5)],
        };
        let text = text_of(imported.card(Now::now()));
        assert!(
            text.contains("line 5: HANDLE_TAKEN") && !text.contains("item 3"),
            "{text}"
        );
    }
}
