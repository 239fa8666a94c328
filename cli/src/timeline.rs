//! `timeline`: the home timeline.

mod watch;

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::{PostId, TryStreamExt as _, v1};

use crate::app::App;
use crate::args::Paging;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Format, Now, Show, text};

/// Verbs of `timeline`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read your home timeline, newest first
    #[command(after_help = "\
Examples:
  socialctl timeline home
  socialctl timeline home --exclude-replies --page-size 50
  socialctl timeline home --newer-than \"$(socialctl timeline home -o json | jq -r .head_cursor)\"")]
    Home(Home),
    /// Watch your home timeline live
    #[command(after_help = "\
Ends with Ctrl-C (exit 130), after --count posts or after --timeout. Reconnects and resumes by itself, without a hole.

Examples:
  socialctl timeline watch
  socialctl timeline watch --count 1 --timeout 60 -o id
  socialctl timeline watch -o jsonl | jq -r '.added.item.post.content // empty'
  socialctl timeline watch --cursor CURSOR      # what was missed first")]
    Watch(watch::Watch),
    /// Show or move the mark of how far you have read
    #[command(subcommand)]
    Marker(Marker),
}

/// `timeline home`
#[derive(Debug, Args)]
pub(crate) struct Home {
    /// Leave out posts that reply to another
    #[arg(long)]
    exclude_replies: bool,
    /// Only what became visible after this cursor: a `head_cursor`, or one of `watch`
    #[arg(long, value_name = "CURSOR")]
    newer_than: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

/// Verbs of `timeline marker`.
#[derive(Debug, Subcommand)]
pub(crate) enum Marker {
    /// Show the newest post that you have read
    #[command(after_help = "Examples:\n  socialctl timeline marker get")]
    Get,
    /// Mark a post and all older ones as read; the marker never moves back
    #[command(after_help = "Examples:\n  socialctl timeline marker set 2q3k5v7x9z1aa")]
    Set {
        /// Id of the newest post that was read
        post: PostId,
        /// Fail when the marker is no longer this version
        #[arg(long)]
        etag: Option<String>,
    },
}

/// Runs a verb of `timeline`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    match command {
        Command::Home(args) => home(app, args).await,
        Command::Watch(args) => watch::run(app, args).await,
        Command::Marker(Marker::Get) => {
            let marker = app.client()?.timeline().marker().await?;
            app.output.item(&marker)
        }
        Command::Marker(Marker::Set { post, etag }) => {
            let call = app.client()?.timeline().set_marker(post);
            let marker = if let Some(etag) = etag {
                call.etag(etag).await?
            } else {
                call.await?
            };
            app.output.item(&marker)
        }
    }
}

async fn home(app: &App, args: Home) -> Result<()> {
    let mut list = args.paging.apply(app.client()?.timeline().home());
    if args.exclude_replies {
        list = list.exclude_replies();
    }
    if let Some(cursor) = args.newer_than {
        list = list.newer_than(cursor);
    }
    let as_they_come = args.paging.all && matches!(app.output.format(), Format::Jsonl | Format::Id);
    let mut pages = list.pages();
    let mut whole: Option<v1::GetHomeTimelineResponse> = None;
    while let Some(mut page) = pages.try_next().await? {
        if as_they_come {
            app.output.list("items", &page.items, "")?;
            page.items.clear();
        }
        whole = Some(match whole.take() {
            None => page,
            Some(mut first) => {
                first.items.append(&mut page.items);
                first.next_page_token = page.next_page_token;
                first
            }
        });
        if !args.paging.all {
            break;
        }
    }
    match whole {
        Some(page) if !as_they_come => print_page(app, &page),
        _ => Ok(()),
    }
}

/// Prints the items, and what the page says of itself.
fn print_page(app: &App, page: &v1::GetHomeTimelineResponse) -> Result<()> {
    let more = vec![
        ("head_cursor", page.head_cursor.as_str().into()),
        ("completeness", page.completeness().as_str_name().into()),
        ("reset", page.reset.into()),
    ];
    app.output
        .list_with("items", &page.items, &page.next_page_token, more)?;
    if page.reset {
        app.output
            .note("the cursor is too old to tell what is new since: these are the newest of all")?;
    }
    if page.completeness() == v1::Completeness::Rebuilding {
        app.output
            .note("the timeline is being rebuilt, and posts may be missing: read it again in a moment")?;
    }
    app.more(&page.next_page_token)
}

impl Show for v1::TimelineItem {
    const COLUMNS: &'static [Column] = v1::Post::COLUMNS;

    fn id(&self) -> String {
        self.post.as_ref().map(|post| post.id.clone()).unwrap_or_default()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        self.post.as_ref().map(|post| post.row(now)).unwrap_or_default()
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card = self.post.as_ref().map(|post| post.card(now)).unwrap_or_default();
        card.push((
            "because",
            Cell::plain(text::enum_name(self.reason().as_str_name(), "TIMELINE_REASON_")),
        ));
        card
    }
}

impl Show for v1::Marker {
    const COLUMNS: &'static [Column] = &[Column::fixed("ID")];

    fn id(&self) -> String {
        self.last_read_post_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![Cell::plain(&self.last_read_post_id)]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let read = if self.last_read_post_id.is_empty() {
            Cell::dim("nothing yet")
        } else {
            Cell::plain(&self.last_read_post_id)
        };
        let mut card = vec![("last read", read)];
        if let Some(time) = &self.update_time {
            card.push(("moved", Cell::plain(text::age(now, time.seconds))));
        }
        card.push(("etag", Cell::dim(&self.etag)));
        card
    }
}
