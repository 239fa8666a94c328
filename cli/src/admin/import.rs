//! `admin import`: users, posts and follows from files of JSON lines.

mod lines;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use social_sdk::{AdminClient, Import, Importable, Reason, Uuid, v1};

use super::archive;
use super::show::Imported;
use crate::app::App;
use crate::failure::{Exit, Failure, Result};
use crate::output::Facts;
use crate::progress;
use lines::{FollowLine, Line, Lines, PostLine, UserLine};

/// Verbs of `admin import`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring users in from a file
    #[command(after_help = "\
One JSON object a line: handle; display_name, bio, password_hash (argon2id in PHC form; without one nobody can log in), create_time \
(RFC 3339). Nobody is told of imported things. An import that was cut short goes on where it stopped when it is run again.

Examples:
  socialctl admin import users users.jsonl
  echo '{\"handle\":\"ada\",\"display_name\":\"Ada Lovelace\"}' > one.jsonl && socialctl admin import users one.jsonl")]
    Users(File),
    /// Bring posts in from a file; they are not fanned out, home timelines are rebuilt
    #[command(after_help = "\
One JSON object a line: author_handle or author_id, content; title, visibility (public, followers, private), in_reply_to_id, create_time \
(RFC 3339).

Examples:
  socialctl admin import posts posts.jsonl
  echo '{\"author_handle\":\"ada\",\"content\":\"Hello\",\"create_time\":\"2025-06-01T12:00:00Z\"}' > one.jsonl
  socialctl admin import posts one.jsonl -o json")]
    Posts(File),
    /// Bring follows in from a file
    #[command(after_help = "\
One JSON object a line: follower_handle or follower_id, followee_handle or followee_id; create_time (RFC 3339).

Examples:
  socialctl admin import follows follows.jsonl
  echo '{\"follower_handle\":\"ada\",\"followee_handle\":\"grace\"}' > one.jsonl && socialctl admin import follows one.jsonl")]
    Follows(File),
    /// Bring a whole platform in from a file that `admin export` wrote
    #[command(after_help = "\
The platform must be new and empty, of whatever backend; nobody should use it before the import is complete. Users keep their ids, handles \
and passwords, posts their ids, and so on; people log in again. An import that was cut short goes on where it stopped when it is run again.

Examples:
  socialctl admin import platform platform.archive
  socialctl admin import platform platform.archive --admin-endpoint http://127.0.0.1:7072 -o json")]
    Platform(archive::Import),
    /// Tell how far an import has come
    #[command(after_help = "Examples:\n  socialctl admin import status 6f1c2b1e-7c0a-4d3e-9f51-2f3f5f0a9f10")]
    Status {
        /// Id of the import
        import: Uuid,
    },
}

/// What to import.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// File of JSON lines
    file: PathBuf,
    /// Id of the import. By default one that belongs to what the file holds: the same file goes on where it stopped, a changed one
    /// begins anew
    #[arg(long, value_name = "UUID")]
    import_id: Option<Uuid>,
}

/// Runs a verb of `admin import`.
pub(super) async fn run(app: &App, admin: &AdminClient, command: Command) -> Result<()> {
    match command {
        Command::Users(file) => import::<UserLine>(app, &file, "users", |id| admin.import_users(id)).await,
        Command::Posts(file) => import::<PostLine>(app, &file, "posts", |id| admin.import_posts(id)).await,
        Command::Follows(file) => import::<FollowLine>(app, &file, "follows", |id| admin.import_follows(id)).await,
        Command::Platform(import) => archive::import(app, admin, import).await,
        Command::Status { import } => app.output.item(&admin.import_progress(import).await?),
    }
}

async fn import<L: Line>(
    app: &App,
    file: &File,
    what: &'static str,
    begin: impl FnOnce(Uuid) -> Import<L::Item>,
) -> Result<()>
where
    L::Item: Importable,
{
    // All lines are looked at before the first is sent: half an import is worse than none.
    let checked = lines::check::<L>(&file.file)?;
    if checked.lines == 0 {
        return nothing(app, what);
    }
    let id = file.import_id.unwrap_or(checked.id);
    let bar = progress::bar(&app.output, what, checked.lines);
    let told = bar.clone();
    let import = begin(id).on_progress(move |progress| told.set_position(progress.next_offset.unsigned_abs()));
    let lines = Lines::<L>::open(&file.file)?;
    let trouble = lines.trouble();
    let outcome = import.run(futures::stream::iter(lines)).await;
    bar.finish_and_clear();
    if let Some(failure) = trouble.take() {
        return Err(failure.hint(format!("what was sent stays; run it again with --import-id {id}")));
    }
    let progress = outcome.map_err(|error| go_on(&error, id))?;
    let lines = lines::places(&file.file, &progress.rejections)?;
    let imported = Imported { progress, lines };
    app.output.item(&imported)?;
    rejected(&imported.progress)
}

/// Says that a file holds no items. The server is not asked: it knows no import without any.
fn nothing(app: &App, what: &str) -> Result<()> {
    app.output.item(
        &Facts::new(what)
            .with("kind", what)
            .with("imported", 0)
            .with("rejected", 0),
    )?;
    app.output.note("the file holds no items")
}

fn go_on(error: &social_sdk::Error, id: Uuid) -> Failure {
    let failure = Failure::from(error);
    match failure.exit() {
        Exit::Unavailable | Exit::Exhausted => failure.hint(format!(
            "what was committed stays: run the same command again, and it goes on (import {id})"
        )),
        _ if error.reason() == Reason::InvalidField => failure.hint("an import id is good for one kind and one file"),
        _ => failure,
    }
}

/// Items that were not brought in are a failure of some of many.
fn rejected(progress: &v1::ImportProgress) -> Result<()> {
    match progress.rejected {
        0 => Ok(()),
        rejected => Err(Failure::new(
            Exit::Internal,
            format!("{rejected} of {} items were rejected", progress.next_offset),
        )
        .hint("the reasons stand above; import what was corrected from another file")),
    }
}
