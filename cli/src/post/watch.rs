//! `post watch`: one post, live.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;
use social_sdk::{PostEvent, PostId, v1};

use super::{counts_line, one_line};
use crate::app::App;
use crate::comment;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Format, text};
use crate::watch::{Until, note_connected, note_reconnecting, reconnecting_json};

/// Watches until it is time to end.
pub(super) async fn run(app: &App, post: PostId, until: Until) -> Result<()> {
    let events = app.client()?.posts().subscribe(post);
    until
        .follow(app, events, |event| {
            print(app, &event)?;
            Ok(!matches!(
                event,
                PostEvent::Connected { .. } | PostEvent::Reconnecting(_) | PostEvent::Snapshot(_)
            ))
        })
        .await
}

fn print(app: &App, event: &PostEvent) -> Result<()> {
    match app.output.format() {
        Format::Table => people(app, event),
        Format::Json => app.output.print(&crate::output::pretty(&Named(event))?),
        Format::Jsonl => app.output.print(&crate::output::compact(&Named(event))?),
        Format::Id => match event {
            PostEvent::CommentCreated(comment) => app.output.print(&(text::line(&comment.id) + "\n")),
            _ => Ok(()),
        },
    }
}

fn people(app: &App, event: &PostEvent) -> Result<()> {
    let output = &app.output;
    let line = match event {
        PostEvent::Connected { reconnected } => return note_connected(app, "the post", *reconnected),
        PostEvent::Reconnecting(reconnect) => return note_reconnecting(app, reconnect),
        PostEvent::Gap { dropped } => {
            return output.note(&format!("{dropped} events were missed; list the comments again"));
        }
        PostEvent::Snapshot(post) => format!("now        {}\ncounts     {}", one_line(output, post), counts(post)),
        PostEvent::Counts(counts) => format!("counts     {}", counts_line(counts)),
        PostEvent::CommentCreated(comment) => format!("comment    {}", comment::one_line(output, comment)),
        PostEvent::CommentUpdated(comment) => format!("edited     {}", comment::one_line(output, comment)),
        PostEvent::CommentDeleted(deleted) => {
            format!("deleted    comment {}", output.dim(&text::line(&deleted.comment_id)))
        }
        PostEvent::Edited(post) => format!("edited     {}", one_line(output, post)),
        PostEvent::Deleted(_) => "deleted    the post; it may come back".to_owned(),
        PostEvent::Undeleted(post) => format!("came back  {}", one_line(output, post)),
        _ => return Ok(()),
    };
    output.print(&(line + "\n"))
}

fn counts(post: &v1::Post) -> String {
    counts_line(&post.counts.unwrap_or_default())
}

/// An event as the contract names it: `{"comment_created": {...}}`.
struct Named<'a>(&'a PostEvent);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        let written = match self.0 {
            PostEvent::Connected { reconnected } => {
                object.serialize_entry("connected", &json!({ "reconnected": reconnected }))
            }
            PostEvent::Reconnecting(reconnect) => object.serialize_entry("reconnecting", &reconnecting_json(reconnect)),
            PostEvent::Snapshot(post) => object.serialize_entry("snapshot", &Wire(post)),
            PostEvent::Counts(counts) => object.serialize_entry("counts", &Wire(counts)),
            PostEvent::CommentCreated(comment) => object.serialize_entry("comment_created", &Wire(comment)),
            PostEvent::CommentUpdated(comment) => object.serialize_entry("comment_updated", &Wire(comment)),
            PostEvent::CommentDeleted(deleted) => object.serialize_entry("comment_deleted", &Wire(deleted)),
            PostEvent::Edited(post) => object.serialize_entry("post_edited", &Wire(post)),
            PostEvent::Deleted(deleted) => object.serialize_entry("post_deleted", &Wire(deleted)),
            PostEvent::Undeleted(post) => object.serialize_entry("post_undeleted", &Wire(post)),
            PostEvent::Gap { dropped } => {
                object.serialize_entry("gap", &Wire(&v1::PostStreamGap { dropped: *dropped }))
            }
            _ => Ok(()),
        };
        written?;
        object.end()
    }
}
