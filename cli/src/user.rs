//! `user`: profiles, and how the viewer stands to others.

pub(crate) mod since;

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::{UserId, v1};

use crate::app::{App, UserRef};
use crate::content;
use crate::failure::{Exit, Failure, Result};
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Format, Now, Show, pretty, text};
use crate::several;

/// Verbs of `user`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a profile
    #[command(
        after_help = "Examples:\n  socialctl user get @ada\n  socialctl user get me -o json\n  socialctl user get ada -o id"
    )]
    Get {
        /// `@HANDLE`, `HANDLE`, an id, or `me`
        #[arg(default_value = "me")]
        user: UserRef,
    },
    /// Change your profile
    #[command(after_help = "\
Examples:
  socialctl user update --display-name 'Ada L.'
  socialctl user update --bio - < bio.txt
  socialctl user update --bio '' --etag \"$(socialctl user get me -o json | jq -r .etag)\"")]
    Update(Update),
    /// Tell how you stand to users: follows, blocks, mutes
    #[command(
        after_help = "Users who are not there are told, and make it end with 5.\n\nExamples:\n  socialctl user relationships @grace @linus\n  socialctl user relationships @grace -o json"
    )]
    Relationships {
        /// 1 to 100 users: `@HANDLE`, `HANDLE` or an id
        #[arg(required = true, num_args = 1..=100)]
        users: Vec<UserRef>,
    },
}

/// `user update`
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// New name to show, 1 to 50 characters
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// New bio, at most 500 characters; `-` reads it from stdin, an empty one removes it
    #[arg(long, value_name = "TEXT|-")]
    bio: Option<String>,
    /// Fail when the profile is no longer this version
    #[arg(long)]
    etag: Option<String>,
}

/// Runs a verb of `user`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    match command {
        Command::Get { user } => {
            let user = user.profile(&app.client()?).await?;
            app.output.item(&user)
        }
        Command::Update(args) => update(app, args).await,
        Command::Relationships { users } => relationships(app, &users).await,
    }
}

async fn update(app: &App, args: Update) -> Result<()> {
    if args.display_name.is_none() && args.bio.is_none() {
        return Err(Failure::usage("nothing to change").hint("give --display-name, --bio, or both"));
    }
    let mut call = app.client()?.users().update_profile();
    if let Some(name) = args.display_name {
        call = call.display_name(name);
    }
    if let Some(bio) = args.bio {
        call = call.bio(content::read(bio).await?);
    }
    if let Some(etag) = args.etag {
        call = call.etag(etag);
    }
    app.output.item(&call.await?)
}

/// A relationship, and whom it is with.
pub(crate) struct Named {
    pub(crate) handle: String,
    pub(crate) relationship: v1::Relationship,
}

/// Prints how the viewer stands to those who are there, and fails for the others.
async fn relationships(app: &App, users: &[UserRef]) -> Result<()> {
    let client = app.client()?;
    let mut known = Vec::with_capacity(users.len());
    let mut missing = Vec::new();
    for user in users {
        match user.id(&client).await {
            Ok(id) => known.push((id, user.to_string())),
            Err(failure) if failure.exit() == Exit::NotFound => missing.push(user.to_string()),
            Err(failure) => return Err(failure.because(format!("about {user}"))),
        }
    }
    let ids: Vec<_> = known.iter().map(|(id, _)| *id).collect();
    let answer = if ids.is_empty() {
        v1::BatchGetRelationshipsResponse::default()
    } else {
        client.users().batch_get_relationships(&ids).await?
    };
    missing.extend(answer.not_found_ids.iter().cloned());
    print_relationships(app, answer, &known)?;
    several::all_there("user", &missing)
}

fn print_relationships(app: &App, answer: v1::BatchGetRelationshipsResponse, known: &[(UserId, String)]) -> Result<()> {
    if app.output.format() == Format::Json {
        return app.output.print(&pretty(&Wire(&answer))?);
    }
    let named = |relationship: v1::Relationship| {
        let user = known.iter().find(|(id, _)| id.as_str() == relationship.user_id);
        Named {
            handle: user.map(|(_, handle)| handle.clone()).unwrap_or_default(),
            relationship,
        }
    };
    let found: Vec<_> = answer.relationships.into_iter().map(named).collect();
    app.output.list("relationships", &found, "")
}

/// How somebody stands to another, in words.
pub(crate) fn standing(relationship: &v1::Relationship) -> String {
    let words = [
        (relationship.following, "you follow them"),
        (relationship.followed_by, "they follow you"),
        (relationship.blocking, "you block them"),
        (relationship.blocked_by, "they block you"),
        (relationship.muting, "you mute them"),
    ];
    let words: Vec<_> = words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
    if words.is_empty() {
        "strangers".to_owned()
    } else {
        words.join(", ")
    }
}

/// `@handle` of somebody, or nothing where nobody is told.
pub(crate) fn at(user: Option<&v1::UserSummary>) -> String {
    user.map(|user| format!("@{}", user.handle)).unwrap_or_default()
}

impl Show for Named {
    const COLUMNS: &'static [Column] = &[
        Column::fixed("USER"),
        Column::fixed("FOLLOWING"),
        Column::fixed("FOLLOWED BY"),
        Column::fixed("BLOCKING"),
        Column::fixed("BLOCKED BY"),
        Column::fixed("MUTING"),
    ];

    fn id(&self) -> String {
        self.relationship.user_id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(&self.relationship)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        let Self { handle, relationship } = self;
        let flags = [
            relationship.following,
            relationship.followed_by,
            relationship.blocking,
            relationship.blocked_by,
            relationship.muting,
        ];
        std::iter::once(Cell::strong(handle))
            .chain(flags.map(Cell::yes_no))
            .collect()
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        let handle = Cell::strong(&self.handle);
        vec![
            ("user", handle),
            ("now", Cell::plain(standing(&self.relationship))),
            ("id", Cell::dim(self.id())),
        ]
    }
}

impl Show for v1::User {
    const COLUMNS: &'static [Column] = &[
        Column::fixed("HANDLE"),
        Column::text("NAME"),
        Column::number("POSTS"),
        Column::number("FOLLOWERS"),
        Column::fixed("ID"),
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        let counts = self.counts.unwrap_or_default();
        vec![
            Cell::strong(format!("@{}", self.handle)),
            Cell::plain(&self.display_name),
            Cell::number(counts.posts),
            Cell::number(counts.followers),
            Cell::dim(&self.id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        let counts = self.counts.unwrap_or_default();
        let mut card = vec![
            ("handle", Cell::strong(format!("@{}", self.handle))),
            ("name", Cell::plain(&self.display_name)),
        ];
        if !self.bio.is_empty() {
            card.push(("bio", Cell::plain(&self.bio)));
        }
        card.push(("posts", Cell::number(counts.posts)));
        card.push(("followers", Cell::number(counts.followers)));
        card.push(("following", Cell::number(counts.following)));
        if let Some(relationship) = &self.viewer_relationship {
            card.push(("to you", Cell::plain(standing(relationship))));
        }
        if let Some(time) = &self.create_time {
            card.push(("joined", Cell::plain(text::age(now, time.seconds))));
        }
        card.push(("id", Cell::dim(&self.id)));
        card
    }
}
