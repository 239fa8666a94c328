//! `like`: likes, and counts of posts.

use clap::Subcommand;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;
use social_sdk::{CountsEvent, PostId, v1};

use crate::app::{App, UserRef};
use crate::args::Paging;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Facts, Format, Now, Show, compact, pretty, text};
use crate::post::counts_line;
use crate::several;
use crate::user::since;
use crate::watch::{Until, note_connected, note_reconnecting, reconnecting_json};

/// Verbs of `like`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Like a post
    #[command(after_help = "Examples:\n  socialctl like add 2q3k5v7x9z1aa")]
    Add {
        /// Id of the post
        post: PostId,
    },
    /// Take your like back
    #[command(after_help = "Examples:\n  socialctl like remove 2q3k5v7x9z1aa")]
    Remove {
        /// Id of the post
        post: PostId,
    },
    /// List who likes a post, latest like first
    #[command(
        after_help = "Examples:\n  socialctl like likers 2q3k5v7x9z1aa\n  socialctl like likers 2q3k5v7x9z1aa --all -o id"
    )]
    Likers {
        /// Id of the post
        post: PostId,
        #[command(flatten)]
        paging: Paging,
    },
    /// List the posts that a user likes, latest like first
    #[command(after_help = "Examples:\n  socialctl like list\n  socialctl like list @ada --page-size 50")]
    List {
        /// `@HANDLE`, `HANDLE`, an id, or `me`
        #[arg(default_value = "me")]
        user: UserRef,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show the counts of posts
    #[command(
        after_help = "Posts that are not there, or hidden from you, are told, and make it end with 5.\n\nExamples:\n  socialctl like counts 2q3k5v7x9z1aa 2q3k5v7x9z1bb -o json"
    )]
    Counts {
        /// 1 to 100 ids of posts
        #[arg(required = true, num_args = 1..=100)]
        posts: Vec<PostId>,
    },
    /// Watch the counts of posts live
    #[command(after_help = "\
Ends with Ctrl-C (exit 130). Reconnects by itself.

Examples:
  socialctl like watch 2q3k5v7x9z1aa
  socialctl like watch 2q3k5v7x9z1aa 2q3k5v7x9z1bb --count 1 --timeout 60 -o jsonl")]
    Watch {
        /// 1 to 100 ids of posts
        #[arg(required = true, num_args = 1..=100)]
        posts: Vec<PostId>,
        #[command(flatten)]
        until: Until,
    },
}

/// Runs a verb of `like`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    let client = app.client()?;
    let likes = client.likes();
    match command {
        Command::Add { post } => {
            let answer = likes.like(post).await?;
            liked(app, post, answer.liked, answer.counts)
        }
        Command::Remove { post } => {
            let answer = likes.unlike(post).await?;
            liked(app, post, answer.liked, answer.counts)
        }
        Command::Likers { post, paging } => app.list(likes.list_likers(post), "likers", &paging).await,
        Command::List { user, paging } => {
            app.list(likes.list_by_user(user.id(&client).await?), "likes", &paging)
                .await
        }
        Command::Counts { posts } => {
            let answer = likes.batch_get_counts(&posts).await?;
            let more = vec![("not_found_ids", answer.not_found_ids.as_slice().into())];
            app.output.list_with("counts", &answer.counts, "", more)?;
            several::all_there("post", &answer.not_found_ids)
        }
        Command::Watch { posts, until } => {
            let events = likes.subscribe_counts(&posts);
            let counts = |event: &CountsEvent| matches!(event, CountsEvent::Changed(_));
            until
                .follow(app, events, |event| {
                    print(app, &event)?;
                    Ok(counts(&event))
                })
                .await
        }
    }
}

fn liked(app: &App, post: PostId, liked: bool, counts: Option<v1::PostCounts>) -> Result<()> {
    let counts = counts.unwrap_or_default();
    let value = serde_json::to_value(Wire(&counts)).unwrap_or_default();
    let facts = Facts::new(post)
        .labelled("post_id", "post", post.as_str())
        .with("liked", liked)
        .shown("counts", value, "counts", Cell::plain(counts_line(&counts)));
    app.output.item(&facts)
}

fn note_missing(app: &App, ids: &[String]) -> Result<()> {
    if ids.is_empty() {
        Ok(())
    } else {
        app.output.note(&format!("no such post: {}", ids.join(" ")))
    }
}

fn note_removed(app: &App, ids: &[String]) -> Result<()> {
    if ids.is_empty() {
        Ok(())
    } else {
        app.output.note(&format!("deleted or hidden: {}", ids.join(" ")))
    }
}

fn print(app: &App, event: &CountsEvent) -> Result<()> {
    match app.output.format() {
        Format::Table => people(app, event),
        Format::Json => app.output.print(&pretty(&Named(event))?),
        Format::Jsonl => app.output.print(&compact(&Named(event))?),
        Format::Id => match event {
            CountsEvent::Changed(changed) => {
                let ids: String = changed
                    .counts
                    .iter()
                    .map(|entry| text::line(&entry.post_id) + "\n")
                    .collect();
                app.output.print(&ids)
            }
            _ => Ok(()),
        },
    }
}

fn people(app: &App, event: &CountsEvent) -> Result<()> {
    let line = |entry: &v1::PostCountsEntry| {
        let counts = counts_line(&entry.counts.unwrap_or_default());
        format!("{}  {counts}\n", app.output.dim(&text::line(&entry.post_id)))
    };
    match event {
        CountsEvent::Connected { reconnected } => note_connected(app, "the counts", *reconnected),
        CountsEvent::Reconnecting(reconnect) => note_reconnecting(app, reconnect),
        CountsEvent::Snapshot(snapshot) => {
            app.output
                .print(&snapshot.counts.iter().map(line).collect::<String>())?;
            note_missing(app, &snapshot.not_found_ids)
        }
        CountsEvent::Changed(changed) => {
            app.output.print(&changed.counts.iter().map(line).collect::<String>())?;
            note_removed(app, &changed.removed_post_ids)
        }
        _ => Ok(()),
    }
}

/// An event as the contract names it: `{"changed": {...}}`.
struct Named<'a>(&'a CountsEvent);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        let written = match self.0 {
            CountsEvent::Connected { reconnected } => {
                object.serialize_entry("connected", &json!({ "reconnected": reconnected }))
            }
            CountsEvent::Reconnecting(reconnect) => {
                object.serialize_entry("reconnecting", &reconnecting_json(reconnect))
            }
            CountsEvent::Snapshot(snapshot) => object.serialize_entry("snapshot", &Wire(snapshot)),
            CountsEvent::Changed(changed) => object.serialize_entry("changed", &Wire(changed)),
            _ => Ok(()),
        };
        written?;
        object.end()
    }
}

impl Show for v1::PostLiker {
    const COLUMNS: &'static [Column] = since::COLUMNS;

    fn id(&self) -> String {
        since::id(self.user.as_ref())
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        since::row(self.user.as_ref(), self.create_time, now)
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        since::card(self.user.as_ref(), self.create_time, now)
    }
}

impl Show for v1::UserLike {
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
        self.post.as_ref().map(|post| post.card(now)).unwrap_or_default()
    }
}

impl Show for v1::PostCountsEntry {
    const COLUMNS: &'static [Column] = &[
        Column::number("LIKES"),
        Column::number("COMMENTS"),
        Column::number("REPLIES"),
        Column::fixed("EXACT"),
        Column::fixed("ID"),
    ];

    fn id(&self) -> String {
        self.post_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        let counts = self.counts.unwrap_or_default();
        vec![
            Cell::number(counts.likes),
            Cell::number(counts.comments),
            Cell::number(counts.replies),
            Cell::yes_no(counts.exact),
            Cell::dim(&self.post_id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        ["likes", "comments", "replies", "exact", "id"]
            .into_iter()
            .zip(self.row(now))
            .collect()
    }
}
