//! `admin`: operation of a server.

mod archive;
mod backup;
mod cluster;
mod import;
mod outbox;
mod show;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use social_sdk::{AdminClient, EventId, PostId, v1};

use crate::app::{App, UserRef};
use crate::args::{AdminAccess, Paging};
use crate::failure::Result;
use crate::operator::Operator;
use crate::output::{Cell, Facts, text};
use crate::several;

/// `socialctl admin`
#[derive(Debug, Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    access: AdminAccess,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show or change how posts get to followers: push, pull or hybrid
    #[command(subcommand)]
    Policy(Policy),
    /// Repair home timelines
    #[command(subcommand)]
    Timeline(Timeline),
    /// Repair counts of posts
    #[command(subcommand)]
    Post(Post),
    /// Show the processes of the platform: what each does, how long it is counted on, which part of the event log it takes up
    #[command(after_help = "\
A process is `lost` when it was killed, is frozen, or cannot reach the store; its shards go over to the other workers. The lag is how far behind now \
the oldest event lies that has not ended; on a cluster it is some seconds at rest.

Examples:
  socialctl admin cluster
  socialctl admin cluster -o json | jq -r '.processes[] | select(.state == \"PROCESS_STATE_LOST\") | .name'")]
    Cluster,
    /// List events that wait to be worked on, oldest first, and count those that have not ended
    #[command(after_help = "\
An event is `stalled` when nobody has brought it further for 2 seconds: workers take it up again. One that failed five times is a dead letter.

Examples:
  socialctl admin outbox
  socialctl admin outbox -o json | jq .counts
  socialctl admin outbox --all -o jsonl | jq -r 'select(.stalled) | .event_id'")]
    Outbox(Paging),
    /// List, or take up again, events that were given up
    #[command(subcommand)]
    Deadletter(DeadLetters),
    /// Write a copy of everything in the server's data folder to a file, while it serves
    #[command(after_help = "\
`social-server restore --from FILE --data-dir DIR` makes a data folder of it. It holds all that was acknowledged before it began, hashes of passwords \
among it, but neither the signing keys nor the admin token: keep it private, and a copy of the data folder's `keys` apart from it. Without them \
everybody has to log in again. The processes of a cluster have no data folder: back up their CQL store.

Examples:
  socialctl admin backup social.backup
  socialctl admin backup \"social-$(date +%F).backup\" --replace")]
    Backup(backup::Target),
    /// Tell what the server stores, and what it has in memory and in its queue
    #[command(after_help = "Examples:\n  socialctl admin stats\n  socialctl admin stats -o json | jq .pending_events")]
    Stats,
    /// Write the whole platform into a file, while it goes on serving
    #[command(after_help = "\
Everything that was stored when the export began: users with the hashes of their passwords, posts with their revisions, comments, likes, \
follows, blocks, mutes, the fan-out policy. Sessions are not in it. An export that was cut short goes on where it stopped when it is run \
again. `socialctl admin import platform FILE` brings the file into an empty platform, of either backend.

Examples:
  socialctl admin export platform.archive
  socialctl admin export platform.archive -o json")]
    Export(archive::Export),
    /// Bring a whole platform in, or users, posts or follows from files
    #[command(subcommand)]
    Import(import::Command),
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Show the policy
    #[command(after_help = "Examples:\n  socialctl admin policy get")]
    Get,
    /// Change the policy, for posts from now on
    #[command(after_help = "\
Examples:
  socialctl admin policy set --mode hybrid --celebrity-threshold 5000
  socialctl admin policy set --mode push --etag \"$(socialctl admin policy get -o json | jq -r .etag)\"")]
    Set {
        /// push: written to all followers; pull: read when they look; hybrid: pull for authors with many followers only
        #[arg(long, value_enum)]
        mode: Mode,
        /// Authors with so many followers or more are those that `hybrid` pulls from
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        celebrity_threshold: Option<i64>,
        /// Fail when the policy is no longer this version
        #[arg(long)]
        etag: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Push,
    Pull,
    Hybrid,
}

#[derive(Debug, Subcommand)]
enum Timeline {
    /// Build a user's home timeline anew from the stored follows and posts
    #[command(
        after_help = "Examples:\n  socialctl admin timeline rebuild @ada --admin-token-file social-data/admin.token"
    )]
    Rebuild {
        /// `@HANDLE`, `HANDLE`, an id, or `me`
        user: UserRef,
    },
}

#[derive(Debug, Subcommand)]
enum Post {
    /// Count a post's likes, comments and replies anew
    #[command(after_help = "Examples:\n  socialctl admin post recount 2q3k5v7x9z1aa")]
    Recount {
        /// Id of the post
        post: PostId,
    },
}

#[derive(Debug, Subcommand)]
enum DeadLetters {
    /// List events that were given up, oldest first
    #[command(
        after_help = "Examples:\n  socialctl admin deadletter list\n  socialctl admin deadletter list --all -o id"
    )]
    List(Paging),
    /// Take events back into the queue
    #[command(after_help = "\
Examples:
  socialctl admin deadletter replay 2q3k5v7x9z1aa
  socialctl admin deadletter list --all -o id | xargs socialctl admin deadletter replay")]
    Replay {
        /// Ids of the events
        #[arg(required = true)]
        events: Vec<EventId>,
    },
}

/// Runs a verb of `admin`.
pub(crate) async fn run(app: &App, admin: Admin) -> Result<()> {
    let operator = Operator::new(app, &admin.access)?;
    dispatch(app, &operator.client, admin.verb)
        .await
        .map_err(|failure| operator.explain(failure))
}

async fn dispatch(app: &App, admin: &AdminClient, verb: Verb) -> Result<()> {
    match verb {
        Verb::Policy(Policy::Get) => app.output.item(&admin.fanout_policy().await?),
        Verb::Policy(Policy::Set {
            mode,
            celebrity_threshold,
            etag,
        }) => {
            let mut call = admin.set_fanout_policy(match mode {
                Mode::Push => v1::FanoutMode::Push,
                Mode::Pull => v1::FanoutMode::Pull,
                Mode::Hybrid => v1::FanoutMode::Hybrid,
            });
            if let Some(followers) = celebrity_threshold {
                call = call.celebrity_threshold(followers);
            }
            if let Some(etag) = etag {
                call = call.etag(etag);
            }
            app.output.item(&call.await?)
        }
        Verb::Timeline(Timeline::Rebuild { user }) => {
            // Handles are looked up on the public port: the AdminService knows ids only.
            let id = user.id(&app.client()?).await?;
            let answer = admin.rebuild_timeline(id).await?;
            let took = Duration::from_millis(answer.elapsed_ms.unsigned_abs());
            let facts = Facts::new(id)
                .shown("user_id", id.as_str(), "user", Cell::plain(user.to_string()))
                .with("entries", answer.entries)
                .shown(
                    "elapsed_ms",
                    answer.elapsed_ms,
                    "took",
                    Cell::plain(text::duration(took)),
                );
            app.output.item(&facts)
        }
        Verb::Post(Post::Recount { post }) => {
            let answer = admin.recount_post(post).await?;
            app.output.item(&show::Recount { post, answer })
        }
        Verb::Cluster => cluster::run(app, admin).await,
        Verb::Outbox(paging) => outbox::run(app, admin, &paging).await,
        Verb::Backup(target) => backup::run(app, admin, &target).await,
        Verb::Deadletter(DeadLetters::List(paging)) => {
            app.list(admin.list_dead_letters(), "dead_letters", &paging).await
        }
        Verb::Deadletter(DeadLetters::Replay { events }) => {
            several::each("events", &events, async |event| {
                admin.replay_dead_letter(*event).await?;
                app.output.item(
                    &Facts::new(*event)
                        .labelled("event_id", "event", event.as_str())
                        .with("replayed", true),
                )
            })
            .await
        }
        Verb::Stats => app.output.item(&admin.storage_stats().await?),
        Verb::Export(export) => archive::export(app, admin, export).await,
        Verb::Import(command) => import::run(app, admin, command).await,
    }
}
