//! `graph`: follows, blocks and mutes.

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::{Call, Client, Mutation, TryStreamExt as _, UserId, v1};

use crate::app::{App, UserRef};
use crate::args::Paging;
use crate::failure::{Exit, Failure, Result};
use crate::output::wire::{Page, Wire};
use crate::output::{Cell, Column, Format, Now, Show, pretty};
use crate::user::{Named, since};
use crate::{progress, several};

/// Verbs of `graph`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Follow users
    #[command(after_help = "Examples:\n  socialctl graph follow @grace\n  socialctl graph follow @grace @linus ada")]
    Follow(Others),
    /// Stop following users
    #[command(after_help = "Examples:\n  socialctl graph unfollow @grace")]
    Unfollow(Others),
    /// Make users stop following you
    #[command(after_help = "Examples:\n  socialctl graph remove-follower @mallory")]
    RemoveFollower(Others),
    /// List who follows a user, latest follow first
    #[command(
        after_help = "Examples:\n  socialctl graph followers\n  socialctl graph followers @grace --page-size 200"
    )]
    Followers(Listing),
    /// List whom a user follows, latest follow first
    #[command(after_help = "Examples:\n  socialctl graph following\n  socialctl graph following @grace --all -o id")]
    Following(Listing),
    /// Write out all followers of a user, however many there are
    #[command(after_help = "\
Streams, so that a list of any length is no matter; use -o jsonl or -o id for long ones. An export that was cut short tells how to go on.

Examples:
  socialctl graph export @grace -o jsonl > followers.jsonl
  socialctl graph export me -o id | wc -l")]
    Export {
        /// `@HANDLE`, `HANDLE`, an id, or `me`
        #[arg(default_value = "me")]
        user: UserRef,
        /// Go on where an export was cut short
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Block users: neither sees the other, and follows between you end
    #[command(after_help = "Examples:\n  socialctl graph block @mallory")]
    Block(Others),
    /// Lift blocks
    #[command(after_help = "Examples:\n  socialctl graph unblock @mallory")]
    Unblock(Others),
    /// Mute users: their posts leave your home timeline, and they are not told
    #[command(after_help = "Examples:\n  socialctl graph mute @noisy")]
    Mute(Others),
    /// Lift mutes
    #[command(after_help = "Examples:\n  socialctl graph unmute @noisy")]
    Unmute(Others),
    /// List whom you block, latest first
    #[command(after_help = "Examples:\n  socialctl graph blocks\n  socialctl graph blocks --all -o id")]
    Blocks(Paging),
    /// List whom you mute, latest first
    #[command(after_help = "Examples:\n  socialctl graph mutes\n  socialctl graph mutes --all -o id")]
    Mutes(Paging),
}

/// Whom a change is about.
#[derive(Debug, Args)]
pub(crate) struct Others {
    /// Users: `@HANDLE`, `HANDLE` or an id
    #[arg(required = true)]
    users: Vec<UserRef>,
}

/// A list of somebody's edges.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// `@HANDLE`, `HANDLE`, an id, or `me`
    #[arg(default_value = "me")]
    user: UserRef,
    #[command(flatten)]
    paging: Paging,
}

/// Runs a verb of `graph`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    let client = app.client()?;
    let graph = client.graph();
    match command {
        Command::Follow(others) => change(app, &client, &others, |id| graph.follow(id)).await,
        Command::Unfollow(others) => change(app, &client, &others, |id| graph.unfollow(id)).await,
        Command::RemoveFollower(others) => change(app, &client, &others, |id| graph.remove_follower(id)).await,
        Command::Block(others) => change(app, &client, &others, |id| graph.block(id)).await,
        Command::Unblock(others) => change(app, &client, &others, |id| graph.unblock(id)).await,
        Command::Mute(others) => change(app, &client, &others, |id| graph.mute(id)).await,
        Command::Unmute(others) => change(app, &client, &others, |id| graph.unmute(id)).await,
        Command::Followers(Listing { user, paging }) => {
            app.list(graph.list_followers(user.id(&client).await?), "followers", &paging)
                .await
        }
        Command::Following(Listing { user, paging }) => {
            app.list(graph.list_following(user.id(&client).await?), "following", &paging)
                .await
        }
        Command::Blocks(paging) => app.list(graph.list_blocks(), "blocks", &paging).await,
        Command::Mutes(paging) => app.list(graph.list_mutes(), "mutes", &paging).await,
        Command::Export { user, cursor } => export(app, &client, &user, cursor).await,
    }
}

/// Makes the change for each user in turn.
async fn change<M: Mutation>(
    app: &App,
    client: &Client,
    others: &Others,
    call: impl Fn(UserId) -> Call<M, v1::Relationship>,
) -> Result<()> {
    several::each("users", &others.users, async |user| {
        let relationship = call(user.id(client).await?).await?;
        app.output.item(&Named {
            handle: user.to_string(),
            relationship,
        })
    })
    .await
}

async fn export(app: &App, client: &Client, user: &UserRef, cursor: Option<String>) -> Result<()> {
    let export = client.graph().stream_followers(user.id(client).await?);
    let export = if let Some(cursor) = cursor {
        export.resume_from(cursor)
    } else {
        export
    };
    let mut chunks = export.chunks();
    let spinner = progress::spinner(&app.output, "exporting");
    let lines = matches!(app.output.format(), Format::Jsonl | Format::Id);
    let mut gathered: Vec<v1::GraphEdge> = Vec::new();
    let mut behind = String::new();
    let mut count = 0_usize;
    loop {
        let chunk = match chunks.try_next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Err(cut_short(&error, &behind, lines)),
        };
        count += chunk.followers.len();
        spinner.set_message(format!("exporting: {count} followers"));
        if lines {
            app.output.list("followers", &chunk.followers, "")?;
        } else {
            gathered.extend(chunk.followers);
        }
        behind = chunk.resume_cursor;
    }
    spinner.finish_and_clear();
    match app.output.format() {
        Format::Json => {
            let items = gathered.iter().map(Wire).collect();
            app.output.print(&pretty(&Page {
                field: "followers",
                items,
                more: Vec::new(),
                next_page_token: "",
            })?)
        }
        Format::Table => app.output.list("followers", &gathered, ""),
        Format::Jsonl | Format::Id => Ok(()),
    }
}

fn cut_short(error: &social_sdk::Error, behind: &str, lines: bool) -> Failure {
    let failure = Failure::from(error);
    if lines && !behind.is_empty() && failure.exit() != Exit::Usage {
        failure
            .because("the export was cut short")
            .hint(format!("go on with --cursor {behind}"))
    } else {
        failure
    }
}

impl Show for v1::GraphEdge {
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
