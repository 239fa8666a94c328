//! `post`: write, read, edit, delete and watch posts.

mod show;
mod watch;

use clap::{Args, Subcommand, ValueEnum};
use serde::ser::{Serialize, SerializeMap, Serializer};
use social_sdk::{Client, EventId, PostId, Published, Uuid, v1};

use crate::app::{App, UserRef};
use crate::args::Paging;
use crate::content;
use crate::failure::{Exit, Failure, Result};
use crate::fanout;
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Now, Show, text};
use crate::watch::Until;

pub(crate) use show::{counts_line, one_line};

/// Verbs of `post`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a post
    #[command(after_help = "\
Examples:
  socialctl post create 'Hello, @grace! #first'
  socialctl post create - --title Notes --visibility followers < notes.txt
  socialctl post create 'I agree' --reply-to 2q3k5v7x9z1aa
  socialctl post create 'Everybody has it when this returns' --wait
  POST=$(socialctl post create 'For a script' -o id)")]
    Create(Create),
    /// Show a post
    #[command(
        after_help = "Examples:\n  socialctl post get 2q3k5v7x9z1aa\n  socialctl post get 2q3k5v7x9z1aa --include-deleted -o json"
    )]
    Get {
        /// Id of the post
        post: PostId,
        /// Show your own post also when it is deleted
        #[arg(long)]
        include_deleted: bool,
    },
    /// List the posts of a user, newest first
    #[command(after_help = "\
Examples:
  socialctl post list @ada
  socialctl post list --exclude-replies --page-size 50
  socialctl post list @ada --all -o jsonl | jq -r .content")]
    List {
        /// `@HANDLE`, `HANDLE`, an id, or `me`
        #[arg(default_value = "me")]
        user: UserRef,
        /// Leave out posts that reply to another
        #[arg(long)]
        exclude_replies: bool,
        #[command(flatten)]
        paging: Paging,
    },
    /// Change a post of yours; what it was stays as a revision
    #[command(after_help = "\
Examples:
  socialctl post edit 2q3k5v7x9z1aa 'Better now'
  socialctl post edit 2q3k5v7x9z1aa --visibility public --wait
  socialctl post edit 2q3k5v7x9z1aa --title '' --etag e3")]
    Edit(Edit),
    /// Delete a post of yours; it can be brought back for 30 days
    #[command(
        after_help = "Examples:\n  socialctl post delete 2q3k5v7x9z1aa\n  socialctl post delete 2q3k5v7x9z1aa --etag e3"
    )]
    Delete {
        /// Id of the post
        post: PostId,
        /// Fail when the post is no longer this version
        #[arg(long)]
        etag: Option<String>,
    },
    /// Bring a deleted post back
    #[command(
        after_help = "Examples:\n  socialctl post undelete 2q3k5v7x9z1aa\n  socialctl post undelete 2q3k5v7x9z1aa --wait"
    )]
    Undelete {
        /// Id of the post
        post: PostId,
        /// Fail when the post is no longer this version
        #[arg(long)]
        etag: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// List what a post was before its edits, newest first
    #[command(
        after_help = "Examples:\n  socialctl post revisions 2q3k5v7x9z1aa\n  socialctl post revisions 2q3k5v7x9z1aa --all -o json"
    )]
    Revisions {
        /// Id of the post
        post: PostId,
        #[command(flatten)]
        paging: Paging,
    },
    /// Watch a post live: counts, comments, edits, deletion
    #[command(after_help = "\
Ends with Ctrl-C (exit 130). Reconnects by itself.

Examples:
  socialctl post watch 2q3k5v7x9z1aa
  socialctl post watch 2q3k5v7x9z1aa --count 1 --timeout 60 -o jsonl")]
    Watch {
        /// Id of the post
        post: PostId,
        #[command(flatten)]
        until: Until,
    },
}

/// `post create`
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The text, 1 to 5,000 characters, or `-` for stdin; @handle mentions a user, #tag a topic
    #[arg(value_name = "TEXT|-")]
    text: String,
    /// A title, at most 200 characters
    #[arg(long)]
    title: Option<String>,
    /// Who sees it
    #[arg(long, value_enum, default_value_t = Visibility::Public)]
    visibility: Visibility,
    /// Id of the post to reply to
    #[arg(long, value_name = "POST")]
    reply_to: Option<PostId>,
    #[command(flatten)]
    wait: Wait,
    /// Key of this post: the same key with the same text makes no second post, for 48 hours
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// `post edit`
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Id of the post
    post: PostId,
    /// New text, 1 to 5,000 characters, or `-` for stdin
    #[arg(value_name = "TEXT|-", conflicts_with = "content")]
    text: Option<String>,
    /// New text as an option: the same as behind the id
    #[arg(long, value_name = "TEXT|-")]
    content: Option<String>,
    /// New title; an empty one removes it
    #[arg(long)]
    title: Option<String>,
    /// Who sees it from now on
    #[arg(long, value_enum)]
    visibility: Option<Visibility>,
    /// Fail when the post is no longer this version
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Whether to wait for a fan-out, and how long.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// Wait until all followers have it, and tell how many do
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    limit: fanout::Limit,
}

/// Who sees a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Visibility {
    /// Everybody
    Public,
    /// You and your followers
    Followers,
    /// You alone
    Private,
}

impl From<Visibility> for v1::Visibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Public => Self::Public,
            Visibility::Followers => Self::Followers,
            Visibility::Private => Self::Private,
        }
    }
}

/// Runs a verb of `post`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(app, args).await,
        Command::Get { post, include_deleted } => {
            let call = app.client()?.posts().get(post);
            let post = if include_deleted {
                call.include_deleted().await?
            } else {
                call.await?
            };
            app.output.item(&post)
        }
        Command::List {
            user,
            exclude_replies,
            paging,
        } => {
            let client = app.client()?;
            let list = client.posts().list_by_user(user.id(&client).await?);
            let list = if exclude_replies { list.exclude_replies() } else { list };
            app.list(list, "posts", &paging).await
        }
        Command::Edit(args) => edit(app, args).await,
        Command::Delete { post, etag } => delete(app, post, etag).await,
        Command::Undelete { post, etag, wait } => {
            let client = app.client()?;
            let call = client.posts().undelete(post);
            let published = if let Some(etag) = etag {
                call.etag(etag).await?
            } else {
                call.await?
            };
            wait.finish(app, &client, published).await
        }
        Command::Revisions { post, paging } => {
            app.list(app.client()?.posts().list_revisions(post), "revisions", &paging)
                .await
        }
        Command::Watch { post, until } => watch::run(app, post, until).await,
    }
}

async fn create(app: &App, args: Create) -> Result<()> {
    let client = app.client()?;
    let mut call = client
        .posts()
        .create(content::read(args.text).await?)
        .visibility(args.visibility.into());
    if let Some(title) = args.title {
        call = call.title(title);
    }
    if let Some(post) = args.reply_to {
        call = call.in_reply_to(post);
    }
    if let Some(request_id) = args.request_id {
        call = call.request_id(request_id);
    }
    let published = call.await?;
    args.wait.finish(app, &client, published).await
}

async fn edit(app: &App, args: Edit) -> Result<()> {
    let content = args.text.or(args.content);
    if content.is_none() && args.title.is_none() && args.visibility.is_none() {
        return Err(
            Failure::usage("nothing to change").hint("give a new text, --title, --visibility, or several of them")
        );
    }
    let client = app.client()?;
    let mut call = client.posts().update(args.post);
    if let Some(text) = content {
        call = call.content(content::read(text).await?);
    }
    if let Some(title) = args.title {
        call = call.title(title);
    }
    if let Some(visibility) = args.visibility {
        call = call.visibility(visibility.into());
    }
    if let Some(etag) = args.etag {
        call = call.etag(etag);
    }
    let published = call.await?;
    args.wait.finish(app, &client, published).await
}

async fn delete(app: &App, post: PostId, etag: Option<String>) -> Result<()> {
    let call = app.client()?.posts().delete(post);
    let deleted = if let Some(etag) = etag {
        call.etag(etag).await?
    } else {
        call.await?
    };
    let undelete_expire_time = deleted.undelete_expire_time;
    app.output.item(&v1::DeletePostResponse {
        post: Some(deleted.post),
        undelete_expire_time,
    })
}

/// A post that was published, and its fan-out where that was waited for.
struct Outcome {
    post: v1::Post,
    fanout_id: String,
    fanout: Option<v1::GetFanoutStatusResponse>,
}

impl Wait {
    /// Waits if that is wanted, and prints. The post is printed also when the waiting fails: it is there.
    async fn finish(self, app: &App, client: &Client, published: Published) -> Result<()> {
        let fanout_id = published.fanout_id.unwrap_or_default();
        let mut outcome = Outcome {
            post: published.post,
            fanout_id,
            fanout: None,
        };
        if !self.wait || outcome.fanout_id.is_empty() {
            return app.output.item(&outcome);
        }
        let id: EventId = outcome
            .fanout_id
            .parse()
            .map_err(|error| Failure::new(Exit::Internal, format!("fanout_id of the server's answer {error}")))?;
        match self.limit.wait(app, client, id).await {
            Ok(status) => {
                outcome.fanout = Some(status);
                app.output.item(&outcome)?;
                outcome.fanout.as_ref().map_or(Ok(()), fanout::check)
            }
            Err(failure) => {
                app.output.item(&outcome)?;
                Err(failure)
            }
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("post", &Wire(&self.post))?;
        object.serialize_entry("fanout_id", &self.fanout_id)?;
        if let Some(fanout) = &self.fanout {
            object.serialize_entry("fanout", &Wire(fanout))?;
        }
        object.end()
    }
}

impl Show for Outcome {
    const COLUMNS: &'static [Column] = v1::Post::COLUMNS;

    fn id(&self) -> String {
        self.post.id.clone()
    }

    fn wire(&self) -> impl Serialize {
        self
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        self.post.row(now)
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card = self.post.card(now);
        match &self.fanout {
            Some(fanout) => card.push(("fan-out", Cell::plain(fanout::summary(fanout)))),
            None if !self.fanout_id.is_empty() => card.push(("fan-out id", Cell::dim(&self.fanout_id))),
            None => {}
        }
        card
    }
}

impl Show for v1::DeletePostResponse {
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
        if let Some(time) = &self.undelete_expire_time {
            card.push((
                "can come back",
                Cell::plain(format!(
                    "for {} more",
                    text::age(now, time.seconds).trim_start_matches("in ")
                )),
            ));
        }
        card
    }
}
