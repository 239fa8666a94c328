//! How posts and their revisions look.

use serde::Serialize;
use social_sdk::v1;

use crate::output::wire::Wire;
use crate::output::{Cell, Column, Now, Output, Show, text};
use crate::user::at;

/// Counts in a line: `3 likes, 1 comment, 0 replies`; `about` where they are not exact.
pub(crate) fn counts_line(counts: &v1::PostCounts) -> String {
    let some =
        |count: i64, one: &str, many: &str| format!("{} {}", text::number(count), if count == 1 { one } else { many });
    let line = [
        some(counts.likes, "like", "likes"),
        some(counts.comments, "comment", "comments"),
        some(counts.replies, "reply", "replies"),
    ]
    .join(", ");
    if counts.exact { line } else { format!("about {line}") }
}

/// `public`, `followers` or `private`.
fn visibility_name(visibility: v1::Visibility) -> String {
    text::enum_name(visibility.as_str_name(), "VISIBILITY_")
}

/// A post on one line, for what comes live: `@ada  text  (id)`.
pub(crate) fn one_line(output: &Output, post: &v1::Post) -> String {
    let title = if post.title.is_empty() {
        String::new()
    } else {
        format!("{} - ", text::line(&post.title))
    };
    format!(
        "{}  {title}{}  {}",
        output.strong(&text::line(&at(post.author.as_ref()))),
        text::line(&post.content),
        output.dim(&format!("({})", text::line(&post.id))),
    )
}

/// The text of a post in a table: the title in front, and what is special about the post.
fn summary(post: &v1::Post) -> String {
    let mut line = String::new();
    if post.delete_time.is_some() {
        line.push_str("[deleted] ");
    }
    if post.visibility() != v1::Visibility::Public {
        line.push_str(&format!("[{}] ", visibility_name(post.visibility())));
    }
    if !post.in_reply_to_id.is_empty() {
        line.push_str("[reply] ");
    }
    if !post.title.is_empty() {
        line.push_str(&format!("{} - ", post.title));
    }
    line + &post.content
}

impl Show for v1::Post {
    const COLUMNS: &'static [Column] = &[
        Column::name("AUTHOR"),
        Column::text("TEXT"),
        Column::number("LIKES"),
        Column::number("COMM").or("comments"),
        Column::number("REPL").or("replies"),
        Column::fixed("AGE"),
        Column::fixed("ID"),
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        let counts = self.counts.unwrap_or_default();
        vec![
            Cell::strong(at(self.author.as_ref())),
            Cell::plain(summary(self)),
            Cell::number(counts.likes),
            Cell::number(counts.comments),
            Cell::number(counts.replies),
            Cell::age(now, self.create_time),
            Cell::dim(&self.id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card = vec![("author", Cell::strong(at(self.author.as_ref())))];
        if !self.title.is_empty() {
            card.push(("title", Cell::strong(&self.title)));
        }
        card.push(("text", Cell::plain(&self.content)));
        card.push(("visibility", Cell::plain(visibility_name(self.visibility()))));
        if !self.in_reply_to_id.is_empty() {
            card.push(("replies to", Cell::dim(&self.in_reply_to_id)));
        }
        card.push(("counts", Cell::plain(counts_line(&self.counts.unwrap_or_default()))));
        if self.viewer.is_some_and(|viewer| viewer.liked) {
            card.push(("you", Cell::plain("like it")));
        }
        let times = [
            ("posted", &self.create_time),
            ("edited", &self.edit_time),
            ("deleted", &self.delete_time),
        ];
        for (label, time) in times {
            if let Some(time) = time {
                card.push((label, Cell::plain(text::age(now, time.seconds))));
            }
        }
        if self.revision_count > 1 {
            card.push(("revisions", Cell::number(self.revision_count)));
        }
        card.push(("etag", Cell::dim(&self.etag)));
        card.push(("id", Cell::dim(&self.id)));
        card
    }
}

impl Show for v1::PostRevision {
    const COLUMNS: &'static [Column] = &[
        Column::number("NO"),
        Column::text("TEXT"),
        Column::fixed("VISIBILITY"),
        Column::fixed("AGE"),
    ];

    fn id(&self) -> String {
        self.number.to_string()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        let title = if self.title.is_empty() {
            String::new()
        } else {
            format!("{} - ", self.title)
        };
        vec![
            Cell::number(self.number),
            Cell::plain(title + &self.content),
            Cell::plain(visibility_name(self.visibility())),
            Cell::age(now, self.create_time),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        ["no", "text", "visibility", "age"]
            .into_iter()
            .zip(self.row(now))
            .collect()
    }
}
