//! `demo`: a world to try things on.

mod echo;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use futures::stream;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use social_demo::World;
use social_sdk::{Client, Import, Importable, Reason, RetryPolicy, Timestamp, Uuid, v1};

use crate::app::App;
use crate::args::AdminAccess;
use crate::failure::{Exit, Failure, Result};
use crate::operator::Operator;
use crate::output::{Cell, Column, Now, Show, text};
use crate::progress;

/// `socialctl demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    access: AdminAccess,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a world: people of ten languages, follows by a power law, posts, threads of comments, likes
    #[command(after_help = "\
The same seed and number of people make the same world. People, follows and posts come in by the AdminService, comments and likes by \
some of the people, who are logged in for it with the password of the demonstration, and out again. Cut short, it goes on where it \
stopped when it is run again with the same numbers.

Examples:
  socialctl demo seed --users 1000 --admin-token-file social-data/admin.token
  socialctl demo seed --users 10000 --seed 7
  socialctl auth login ada        # password: analytical-engine-1843")]
    Seed(Seed),
}

/// `demo seed`
#[derive(Clone, Copy, Debug, Args)]
struct Seed {
    /// How many people
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    users: u32,
    /// Seed of the world: the same one makes the same people and posts
    #[arg(long, value_name = "S", default_value_t = 42)]
    seed: u64,
    /// How many of the people have a password, and write the comments and likes
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=100))]
    active: u32,
    /// How many comments at most
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    comments: u32,
    /// How many likes at most
    #[arg(long, value_name = "N", default_value_t = 6_000)]
    likes: u32,
}

/// Runs a verb of `demo`.
pub(crate) async fn run(app: &App, demo: Demo) -> Result<()> {
    let Verb::Seed(args) = demo.verb;
    let operator = Operator::new(app, &demo.access)?;
    // Many calls share one budget of retries, and the rate limit of one address: it is waited for, not given up on.
    let policy = RetryPolicy::default().max_attempts(20).budget(1.0, 1_000, 1_000.0);
    let selected = app.place()?;
    let client = app
        .builder(&selected.context, &selected.context.endpoint)?
        .retry(policy)
        .timeout(Duration::from_secs(60))
        .build()?;
    let seeding = Seeding {
        app,
        operator,
        client,
        world: World::new(args.seed, args.users),
        args,
    };
    let summary = seeding.run().await?;
    app.output.item(&summary)
}

/// A world on its way to a server.
struct Seeding<'a> {
    app: &'a App,
    operator: Operator,
    client: Client,
    world: World,
    args: Seed,
}

/// The imports, each with an id of its own.
#[derive(Clone, Copy)]
enum Part {
    Users = 1,
    Follows,
    Posts,
    Comments,
}

impl Seeding<'_> {
    async fn run(&self) -> Result<Summary> {
        let start = Instant::now();
        let begun_ms = self.begun_ms().await?;
        let mut summary = Summary {
            seed: self.args.seed,
            stages: Vec::new(),
            took: Duration::ZERO,
        };
        summary.stages.push(self.users(begun_ms).await?);
        summary.stages.push(self.follows(begun_ms).await?);
        summary.stages.push(self.posts(begun_ms).await?);
        summary.stages.extend(self.echo(begun_ms).await?);
        summary.took = start.elapsed();
        Ok(summary)
    }

    /// What ages count back from, in Unix milliseconds: when this world was begun. A rerun reads it from the age of the first person, so
    /// that it goes on with the same world. Refused where the world is new and its people would meet others of their names.
    async fn begun_ms(&self) -> Result<i64> {
        let begun = self
            .operator
            .client
            .import_users(self.import_id(Part::Users))
            .progress()
            .await;
        let is_new = begun.map_err(|error| self.operator.explain(error.into()))?.is_none();
        let first = self.world.handle(social_demo::ADA);
        match self.client.users().get_by_handle(&first).await {
            Ok(_) if is_new => Err(taken(&format!("there is a @{first} already, who is not of this world"))),
            Ok(user) => {
                let age = self.world.users().next().map(|user| user.age).unwrap_or_default();
                let time = user.create_time.unwrap_or_default();
                Ok(time.seconds * 1_000
                    + i64::from(time.nanos) / 1_000_000
                    + i64::try_from(age.as_millis()).unwrap_or_default())
            }
            Err(error) if error.reason() == Reason::UserNotFound => Ok(now_ms()),
            Err(error) => Err(error.into()),
        }
    }

    async fn users(&self, begun_ms: i64) -> Result<Stage> {
        let items = self.world.users().zip(0..).map(|(user, place)| v1::ImportUser {
            handle: user.handle,
            display_name: user.display_name,
            bio: user.bio.to_owned(),
            password_hash: if place < self.args.active {
                social_demo::PASSWORD_HASH.to_owned()
            } else {
                String::new()
            },
            create_time: Some(back(begun_ms, user.age)),
        });
        let import = self.operator.client.import_users(self.import_id(Part::Users));
        let stage = self.import("people", self.world.size() as usize, import, items).await?;
        match stage.rejected {
            0 => Ok(stage),
            rejected => Err(taken(&format!("{rejected} handles of this world are taken by others"))),
        }
    }

    async fn follows(&self, begun_ms: i64) -> Result<Stage> {
        use v1::import_follow::{Followee, Follower};
        let handles: Vec<String> = (0..self.world.size()).map(|user| self.world.handle(user)).collect();
        let handle = |user: u32| handles.get(user as usize).cloned().unwrap_or_default();
        let total = self.world.follows().count();
        let items = self.world.follows().map(|follow| v1::ImportFollow {
            follower: Some(Follower::FollowerHandle(handle(follow.follower))),
            followee: Some(Followee::FolloweeHandle(handle(follow.followee))),
            create_time: Some(back(begun_ms, follow.age)),
        });
        self.import(
            "follows",
            total,
            self.operator.client.import_follows(self.import_id(Part::Follows)),
            items,
        )
        .await
    }

    async fn posts(&self, begun_ms: i64) -> Result<Stage> {
        use v1::import_post::Author;
        let total = self.world.posts().count();
        let items = self.world.posts().map(|post| v1::ImportPost {
            author: Some(Author::AuthorHandle(self.world.handle(post.place.author))),
            content: post.content,
            title: post.title.unwrap_or_default().to_owned(),
            visibility: visibility(post.visibility).into(),
            in_reply_to_id: String::new(),
            create_time: Some(back(begun_ms, post.age)),
        });
        self.import(
            "posts",
            total,
            self.operator.client.import_posts(self.import_id(Part::Posts)),
            items,
        )
        .await
    }

    async fn import<T: Importable>(
        &self,
        what: &'static str,
        total: usize,
        import: Import<T>,
        items: impl Iterator<Item = T> + Send,
    ) -> Result<Stage> {
        let start = Instant::now();
        let bar = progress::bar(&self.app.output, what, total as u64);
        let told = bar.clone();
        let import = import.on_progress(move |progress| told.set_position(progress.next_offset.unsigned_abs()));
        let done = import
            .run(stream::iter(items))
            .await
            .map_err(|error| self.operator.explain(error.into()))?;
        bar.finish_and_clear();
        Ok(Stage {
            what,
            count: done.imported,
            rejected: done.rejected,
            took: start.elapsed(),
        })
    }

    /// The same for the same part of the same world.
    fn import_id(&self, part: Part) -> Uuid {
        Uuid::from_u64_pair(self.args.seed, part as u64 * (1 << 32) + u64::from(self.world.size()))
    }
}

fn taken(what: &str) -> Failure {
    Failure::new(Exit::Conflict, what).hint("seed a server that has no other world: start one on an empty data folder")
}

fn back(begun_ms: i64, age: Duration) -> Timestamp {
    let ms = begun_ms - i64::try_from(age.as_millis()).unwrap_or_default();
    let nanos = i32::try_from(ms.rem_euclid(1_000)).unwrap_or_default() * 1_000_000;
    Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos,
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn visibility(visibility: social_demo::Visibility) -> v1::Visibility {
    match visibility {
        social_demo::Visibility::Public => v1::Visibility::Public,
        social_demo::Visibility::Followers => v1::Visibility::Followers,
        social_demo::Visibility::Private => v1::Visibility::Private,
    }
}

/// What a part of the work came to.
#[derive(Clone, Copy, Debug)]
struct Stage {
    what: &'static str,
    count: i64,
    rejected: i64,
    took: Duration,
}

impl Stage {
    fn per_second(&self) -> i64 {
        (self.count as f64 / self.took.as_secs_f64().max(0.001)) as i64
    }
}

/// What the whole work came to.
#[derive(Debug)]
struct Summary {
    seed: u64,
    stages: Vec<Stage>,
    took: Duration,
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("seed", &self.seed)?;
        for stage in &self.stages {
            let value = serde_json::json!({
                "count": stage.count,
                "rejected": stage.rejected,
                "seconds": stage.took.as_secs_f64(),
                "per_second": stage.per_second(),
            });
            object.serialize_entry(stage.what, &value)?;
        }
        object.serialize_entry("seconds", &self.took.as_secs_f64())?;
        object.end()
    }
}

impl Show for Summary {
    const COLUMNS: &'static [Column] = &[Column::fixed("SEED")];

    fn id(&self) -> String {
        self.seed.to_string()
    }

    fn wire(&self) -> impl Serialize {
        self
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        vec![Cell::plain(self.seed.to_string())]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        let line = |stage: &Stage| {
            let rejected = if stage.rejected == 0 {
                String::new()
            } else {
                format!(", {} rejected", text::number(stage.rejected))
            };
            let (count, rate) = (text::number(stage.count), text::number(stage.per_second()));
            Cell::plain(format!(
                "{count} in {} ({rate}/s){rejected}",
                text::duration(stage.took)
            ))
        };
        let mut card: Vec<_> = self.stages.iter().map(|stage| (stage.what, line(stage))).collect();
        card.push(("all of it", Cell::strong(text::duration(self.took))));
        card.push((
            "logins",
            Cell::plain(format!("ada and grace, password {}", social_demo::PASSWORD)),
        ));
        card
    }
}
