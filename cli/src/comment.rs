//! `comment`: comments on posts, and replies to them.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::{CommentId, PostId, Uuid, v1};

use crate::app::App;
use crate::args::Paging;
use crate::content;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Facts, Now, Output, Show, text};
use crate::several;
use crate::user::at;

/// Verbs of `comment`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Comment on a post, or reply to a comment
    #[command(after_help = "\
Examples:
  socialctl comment create 2q3k5v7x9z1aa 'Well said'
  socialctl comment create 2q3k5v7x9z1aa 'Thank you' --reply-to 2q3k5v7x9z1bb
  fortune | socialctl comment create 2q3k5v7x9z1aa -")]
    Create(Create),
    /// Change the text of a comment of yours
    #[command(
        after_help = "Examples:\n  socialctl comment edit 2q3k5v7x9z1bb 'Well put'\n  socialctl comment edit 2q3k5v7x9z1bb - < better.txt"
    )]
    Edit {
        /// Id of the comment
        comment: CommentId,
        /// New text, 1 to 2,000 characters, or `-` for stdin
        #[arg(value_name = "TEXT|-")]
        text: String,
        /// Fail when the comment is no longer this version
        #[arg(long)]
        etag: Option<String>,
    },
    /// Delete a comment of yours for good
    #[command(after_help = "Examples:\n  socialctl comment delete 2q3k5v7x9z1bb")]
    Delete {
        /// Id of the comment
        comment: CommentId,
        /// Fail when the comment is no longer this version
        #[arg(long)]
        etag: Option<String>,
    },
    /// List the comments on a post, oldest first, or the replies to one of them
    #[command(after_help = "\
Examples:
  socialctl comment list 2q3k5v7x9z1aa
  socialctl comment list 2q3k5v7x9z1aa --reply-to 2q3k5v7x9z1bb --all")]
    List {
        /// Id of the post
        post: PostId,
        /// Id of a comment: list the replies to it instead
        #[arg(long, alias = "parent", value_name = "COMMENT")]
        reply_to: Option<CommentId>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show comments by id
    #[command(
        after_help = "Examples:\n  socialctl comment get 2q3k5v7x9z1bb\n  socialctl comment get 2q3k5v7x9z1bb 2q3k5v7x9z1cc -o json"
    )]
    Get {
        /// 1 to 100 ids of comments
        #[arg(required = true, num_args = 1..=100)]
        comments: Vec<CommentId>,
    },
}

/// `comment create`
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Id of the post
    post: PostId,
    /// The text, 1 to 2,000 characters, or `-` for stdin
    #[arg(value_name = "TEXT|-")]
    text: String,
    /// Id of the comment on the same post to reply to
    #[arg(long, alias = "parent", value_name = "COMMENT")]
    reply_to: Option<CommentId>,
    /// Key of this comment: the same key with the same text makes no second comment, for 48 hours
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// Runs a verb of `comment`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    let comments = app.client()?.comments();
    match command {
        Command::Create(args) => {
            let mut call = comments.create(args.post, content::read(args.text).await?);
            if let Some(comment) = args.reply_to {
                call = call.parent(comment);
            }
            if let Some(request_id) = args.request_id {
                call = call.request_id(request_id);
            }
            app.output.item(&call.await?)
        }
        Command::Edit { comment, text, etag } => {
            let call = comments.update(comment, content::read(text).await?);
            let comment = if let Some(etag) = etag {
                call.etag(etag).await?
            } else {
                call.await?
            };
            app.output.item(&comment)
        }
        Command::Delete { comment, etag } => {
            let call = comments.delete(comment);
            let time = if let Some(etag) = etag {
                call.etag(etag).await?
            } else {
                call.await?
            };
            let deleted = Cell::age(SystemTime::now(), time);
            let time = time.map(|time| time.to_string());
            let facts = Facts::new(comment).labelled("comment_id", "comment", comment.as_str());
            app.output.item(&facts.shown("delete_time", time, "deleted", deleted))
        }
        Command::List { post, reply_to, paging } => {
            let list = comments.list(post);
            let list = if let Some(comment) = reply_to {
                list.parent(comment)
            } else {
                list
            };
            app.list(list, "comments", &paging).await
        }
        Command::Get { comments: ids } => get(app, &ids).await,
    }
}

async fn get(app: &App, ids: &[CommentId]) -> Result<()> {
    let answer = app.client()?.comments().batch_get(ids).await?;
    match (answer.comments.as_slice(), answer.not_found_ids.as_slice()) {
        ([comment], []) if ids.len() == 1 => app.output.item(comment),
        ([], missing) => several::all_there("comment", missing),
        (comments, missing) => {
            let more = vec![("not_found_ids", missing.into())];
            app.output.list_with("comments", comments, "", more)?;
            several::all_there("comment", missing)
        }
    }
}

/// A comment on one line, for what comes live.
pub(crate) fn one_line(output: &Output, comment: &v1::Comment) -> String {
    let who = at(comment.author.as_ref());
    let id = output.dim(&format!("({})", text::line(&comment.id)));
    format!(
        "{}  {}  {id}",
        output.strong(&text::line(&who)),
        text::line(&comment.content)
    )
}

impl Show for v1::Comment {
    const COLUMNS: &'static [Column] = &[
        Column::name("AUTHOR"),
        Column::text("TEXT"),
        Column::number("REPLIES"),
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
        let text = if self.delete_time.is_some() {
            Cell::dim("[deleted]")
        } else {
            Cell::plain(&self.content)
        };
        vec![
            Cell::strong(at(self.author.as_ref())),
            text,
            Cell::number(self.reply_count),
            Cell::age(now, self.create_time),
            Cell::dim(&self.id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let mut card: Vec<_> = ["author", "text", "replies", "age"]
            .into_iter()
            .zip(self.row(now))
            .collect();
        if let Some(time) = &self.edit_time {
            card.push(("edited", Cell::plain(text::age(now, time.seconds))));
        }
        card.push(("post", Cell::dim(&self.post_id)));
        if !self.parent_id.is_empty() {
            card.push(("replies to", Cell::dim(&self.parent_id)));
        }
        card.push(("etag", Cell::dim(&self.etag)));
        card.push(("id", Cell::dim(&self.id)));
        card
    }
}
