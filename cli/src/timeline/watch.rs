//! `timeline watch`: the home timeline, live.

use clap::Args;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;
use social_sdk::{HomeEvent, v1};

use crate::app::App;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Format, Output, compact, pretty, text};
use crate::post::{counts_line, one_line};
use crate::watch::{Until, note_connected, note_reconnecting, reconnecting_json};

/// `timeline watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Begin with what became visible after this cursor: a `head_cursor`, or one of an earlier `watch`
    #[arg(long)]
    cursor: Option<String>,
    /// Leave out posts that reply to another
    #[arg(long)]
    exclude_replies: bool,
    #[command(flatten)]
    until: Until,
}

/// Watches until it is time to end. Posts count, other events do not.
pub(super) async fn run(app: &App, args: Watch) -> Result<()> {
    let mut subscription = app.client()?.timeline().subscribe();
    if let Some(cursor) = args.cursor {
        subscription = subscription.resume_from(cursor);
    }
    if args.exclude_replies {
        subscription = subscription.exclude_replies();
    }
    let print_event = |event: HomeEvent| {
        print(app, &event)?;
        Ok(matches!(event, HomeEvent::Added { .. }))
    };
    args.until.follow(app, subscription.stream(), print_event).await
}

fn print(app: &App, event: &HomeEvent) -> Result<()> {
    match app.output.format() {
        Format::Table => people(app, event),
        Format::Json => app.output.print(&pretty(&Named(event))?),
        Format::Jsonl => app.output.print(&compact(&Named(event))?),
        Format::Id => match event {
            HomeEvent::Added {
                item: v1::TimelineItem { post: Some(post), .. },
                ..
            } => app.output.print(&(text::line(&post.id) + "\n")),
            _ => Ok(()),
        },
    }
}

fn people(app: &App, event: &HomeEvent) -> Result<()> {
    let output = &app.output;
    match event {
        HomeEvent::Connected { reconnected } => note_connected(app, "your home timeline", *reconnected),
        HomeEvent::Reconnecting(reconnect) => note_reconnecting(app, reconnect),
        HomeEvent::Added { item, .. } => match &item.post {
            Some(post) => output.print(&(one_line(output, post) + "\n")),
            None => Ok(()),
        },
        HomeEvent::Removed(ids) => ids
            .iter()
            .try_for_each(|id| output.print(&format!("removed {}\n", id_of(output, id)))),
        HomeEvent::CountsUpdated(entries) => entries.iter().try_for_each(|entry| {
            let counts = counts_line(&entry.counts.unwrap_or_default());
            output.print(&format!(
                "{} {}\n",
                id_of(output, &entry.post_id),
                output.dim(&format!("now has {counts}"))
            ))
        }),
        HomeEvent::Gap => output.note("too slow; going on where it stopped"),
        HomeEvent::Reset => output.note("what happened in between cannot be told: read `socialctl timeline home`"),
        _ => Ok(()),
    }
}

fn id_of(output: &Output, id: &str) -> String {
    output.dim(&format!("({})", text::line(id)))
}

/// An event as the contract names it: `{"added": {...}}`.
struct Named<'a>(&'a HomeEvent);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        let written = match self.0 {
            HomeEvent::Connected { reconnected } => {
                object.serialize_entry("connected", &json!({ "reconnected": reconnected }))
            }
            HomeEvent::Reconnecting(reconnect) => object.serialize_entry("reconnecting", &reconnecting_json(reconnect)),
            HomeEvent::Added { item, late } => {
                let added = v1::HomeTimelineAddedItem {
                    item: Some(item.clone()),
                    late: *late,
                };
                object.serialize_entry("added", &Wire(&added))
            }
            HomeEvent::Removed(ids) => object.serialize_entry("removed", &json!({ "post_ids": ids })),
            HomeEvent::CountsUpdated(counts) => {
                let changed = v1::HomeTimelineCountsUpdated { counts: counts.clone() };
                object.serialize_entry("counts_updated", &Wire(&changed))
            }
            HomeEvent::Checkpoint { cursor } => object.serialize_entry("checkpoint", &json!({ "cursor": cursor })),
            HomeEvent::Gap => object.serialize_entry("gap", &json!({})),
            HomeEvent::Reset => object.serialize_entry("reset", &json!({})),
            _ => Ok(()),
        };
        written?;
        object.end()
    }
}
