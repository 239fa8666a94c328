//! Dev mode: a small world, made once, so that there is something to look at.
//!
//! The world goes in by the operations that imports and people use. It can be cut off anywhere: the next start goes on where this one
//! stopped, since each part of it is idempotent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use social_core::error::Result as DomainResult;
use social_core::import::{self, FollowItem, PostItem, UserItem, Who};
use social_core::page::Range;
use social_core::posts::Visibility;
use social_core::request::{Caller, Viewer};
use social_core::users::Handle;
use social_core::{Backend, PostId, SessionId, Time, UserId, comments, likes, limits};
use social_demo::{PASSWORD, PASSWORD_HASH, World};
use uuid::Uuid;

use crate::{Bound, Config, Error, Server};

/// The file of the data folder that says when the world was begun, and whether it is done.
const MARKER: &str = "demo-world";
/// Authors whose comments and likes go in at once: enough for a group commit to be worth its sync.
const AT_ONCE: usize = 64;

/// Makes the world of dev mode, with a progress bar, unless this data folder has it already.
///
/// # Errors
/// When the store refuses it, or the marker cannot be written.
pub async fn seed(server: &Server) -> Result<(), Error> {
    let config = server.config();
    let path = config.data_dir.join(MARKER);
    let backend = server.backend();
    let Some(marker) = Marker::open(&path, backend.clock.now())? else {
        return Ok(());
    };
    let (seed, users) = (config.dev.seed, config.dev.users);
    let made = make(backend, seed, users, marker.begun).await;
    made.map_err(|error| Error::Seed(Box::new(error)))?;
    marker.finish()
}

/// Puts the world of a seed into a store, as [`seed`] does: for tests that need something in it.
///
/// # Errors
/// When the store refuses it.
pub async fn populate(backend: &Backend, seed: u64, users: u32) -> DomainResult<()> {
    make(backend, seed, users, backend.clock.now()).await
}

async fn make(backend: &Backend, seed: u64, users: u32, now: Time) -> DomainResult<()> {
    let world = World::new(seed, users);
    let seeding = Seeding {
        backend,
        world: &world,
        seed,
        now,
    };
    seeding.run().await
}

/// What to tell whoever started dev mode: logins, and commands worth trying.
#[must_use]
pub fn welcome(bound: &Bound) -> String {
    // Not `-q`: the first one compiles, and would be silent for minutes.
    let ctl = "cargo run --release -p socialctl --";
    let endpoint = bound.endpoint().unwrap_or_default();
    // Clients look for a server at its default address by themselves.
    let elsewhere = match bound.address() == Some(Config::default().listen) {
        true => String::new(),
        false => format!("  export SOCIALCTL_ENDPOINT={endpoint}\n"),
    };
    let lines = [
        String::new(),
        "A small world is up.".to_owned(),
        String::new(),
        format!("  public port  {endpoint}"),
        format!(
            "  admin port   {}  (token in {})",
            bound.admin_endpoint(),
            bound.admin_token_file().display()
        ),
        format!("  logins       ada and grace, password {PASSWORD}"),
        String::new(),
        "Worth trying in a second terminal (the first one compiles: minutes, the first time):".to_owned(),
        String::new(),
        format!("{elsewhere}  SOCIALCTL_PASSWORD={PASSWORD} {ctl} auth login ada"),
        format!("  {ctl} timeline home"),
        format!("  {ctl} timeline watch"),
        String::new(),
        "Stop it with Ctrl-C. The world stays in its folder; remove that to have a new one.".to_owned(),
    ];
    lines.join("\n")
}

/// How far the world is: its file holds when it was begun, and `done` once it is.
struct Marker {
    path: PathBuf,
    begun: Time,
}

impl Marker {
    /// The marker of a world to be made or gone on with; none where it is done.
    fn open(path: &Path, now: Time) -> Result<Option<Self>, Error> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut words = text.split_whitespace();
        let begun = words.next().and_then(|ms| ms.parse().ok()).map(Time::from_unix_ms);
        if words.next() == Some("done") {
            return Ok(None);
        }
        let marker = Self {
            path: path.to_owned(),
            begun: begun.unwrap_or(now),
        };
        marker.write("")?;
        Ok(Some(marker))
    }

    fn finish(&self) -> Result<(), Error> {
        self.write(" done")
    }

    fn write(&self, state: &str) -> Result<(), Error> {
        let text = format!("{}{state}\n", self.begun.unix_ms());
        std::fs::write(&self.path, text).map_err(|reason| Error::Write {
            path: self.path.clone(),
            reason,
        })
    }
}

/// A world on its way into a store.
struct Seeding<'a> {
    backend: &'a Backend,
    world: &'a World,
    seed: u64,
    /// What ages count back from. The same after a restart, so that posts keep their order.
    now: Time,
}

/// The three imports, each with an id of its own.
#[derive(Clone, Copy)]
enum Part {
    Users = 1,
    Follows,
    Posts,
}

impl Seeding<'_> {
    async fn run(&self) -> DomainResult<()> {
        self.users().await?;
        self.follows().await?;
        self.posts().await?;
        import::finish(self.backend).await?;
        self.echo().await
    }

    async fn users(&self) -> DomainResult<()> {
        let items = self.world.users().map(|user| UserItem {
            handle: user.handle,
            display_name: user.display_name,
            bio: user.bio.to_owned(),
            password_hash: if user.can_log_in {
                PASSWORD_HASH.to_owned()
            } else {
                String::new()
            },
            created_at: Some(self.back(user.age)),
        });
        let bar = bar("people", self.world.size().into());
        for (offset, items) in batches(items) {
            import::users(self.backend, self.import(Part::Users), offset, items).await?;
            bar.set_position(offset);
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn follows(&self) -> DomainResult<()> {
        let who = |user| Ok(Who::Handle(handle(self.world, user)?));
        let items: Vec<_> = self.world.follows().collect();
        let bar = bar("follows", items.len() as u64);
        let items = items.into_iter().map(|follow| FollowItem {
            follower: who(follow.follower),
            followee: who(follow.followee),
            created_at: Some(self.back(follow.age)),
        });
        for (offset, items) in batches(items) {
            import::follows(self.backend, self.import(Part::Follows), offset, items).await?;
            bar.set_position(offset);
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn posts(&self) -> DomainResult<()> {
        let bar = bar("posts", 5 * u64::from(self.world.size()));
        let items = self.world.posts().map(|post| PostItem {
            author: handle(self.world, post.place.author).map(Who::Handle),
            title: post.title.unwrap_or_default().to_owned(),
            content: post.content,
            visibility: Ok(visibility(post.visibility)),
            in_reply_to: Ok(None),
            created_at: Some(self.back(post.age)),
        });
        for (offset, items) in batches(items) {
            import::posts(self.backend, self.import(Part::Posts), offset, items).await?;
            bar.set_position(offset);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Comments and likes, as people write them.
    async fn echo(&self) -> DomainResult<()> {
        let people = self.people().await?;
        let bar = bar("comments and likes", people.len() as u64);
        let work = (0..self.world.size()).map(|author| self.echo_of(author, &people));
        stream::iter(work)
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |()| {
                bar.inc(1);
                Ok(())
            })
            .await?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Everybody's id, by place.
    async fn people(&self) -> DomainResult<Vec<UserId>> {
        let mut people = Vec::with_capacity(self.world.size() as usize);
        let handles = (0..self.world.size())
            .map(|user| handle(self.world, user))
            .collect::<DomainResult<Vec<_>>>()?;
        for handles in handles.chunks(limits::IMPORT_BATCH) {
            for id in self.backend.store.user_ids(handles).await? {
                people.push(id.ok_or_else(social_core::Error::user_not_found)?);
            }
        }
        Ok(people)
    }

    async fn echo_of(&self, author: u32, people: &[UserId]) -> DomainResult<()> {
        let Some(&id) = people.get(author as usize) else {
            return Ok(());
        };
        let posts: Vec<_> = self.world.posts_of(author).collect();
        // Newest first, as the world names them.
        let ids = self
            .backend
            .store
            .user_posts(id, Range::newest(None, posts.len().max(1)))
            .await?;
        for (post, id) in posts
            .iter()
            .zip(ids)
            .filter(|(post, _)| post.visibility == social_demo::Visibility::Public)
        {
            self.comments_on(post.place, id, people).await?;
            self.likes_of(post.place, id, people).await?;
        }
        Ok(())
    }

    async fn comments_on(&self, place: social_demo::PostPlace, post: PostId, people: &[UserId]) -> DomainResult<()> {
        let mut written = Vec::new();
        for (nth, comment) in self.world.comments_on(place).into_iter().enumerate() {
            let parent = comment.parent.and_then(|parent| written.get(parent as usize).copied());
            let request_id = self.request_id(place, nth as u32);
            let caller = caller(people, comment.author);
            let content = comment.content.to_owned();
            let view = comments::create(self.backend, &caller, post, parent, content, &request_id).await?;
            written.push(view.comment.id);
        }
        Ok(())
    }

    async fn likes_of(&self, place: social_demo::PostPlace, post: PostId, people: &[UserId]) -> DomainResult<()> {
        let likes = self.world.likes_of(place).into_iter().map(async |like| {
            let request_id = self.request_id(place, u32::MAX);
            likes::set(self.backend, &caller(people, like.user), post, true, &request_id)
                .await
                .map(|_| ())
        });
        stream::iter(likes).buffer_unordered(AT_ONCE).try_collect().await
    }

    fn back(&self, age: Duration) -> Time {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Time::from_unix_ms(self.now.unix_ms().saturating_sub(age_ms))
    }

    fn import(&self, part: Part) -> Uuid {
        Uuid::from_u64_pair(part as u64, self.seed)
    }

    /// The same for the same comment, so that it is written once however often seeding is begun.
    fn request_id(&self, place: social_demo::PostPlace, nth: u32) -> String {
        let place = u64::from(place.author) << 32 | u64::from(place.nth);
        Uuid::from_u64_pair(place, self.seed << 32 | u64::from(nth) | 1 << 63).to_string()
    }
}

fn caller(people: &[UserId], user: u32) -> Caller {
    let viewer = people.get(user as usize).map_or(Viewer::Anonymous, |id| Viewer::User {
        id: *id,
        session: SessionId::default(),
    });
    Caller {
        viewer,
        ..Caller::default()
    }
}

fn handle(world: &World, user: u32) -> DomainResult<Handle> {
    world.handle(user).parse()
}

fn visibility(visibility: social_demo::Visibility) -> Visibility {
    match visibility {
        social_demo::Visibility::Public => Visibility::Public,
        social_demo::Visibility::Followers => Visibility::Followers,
        social_demo::Visibility::Private => Visibility::Private,
    }
}

/// Batches as imports take them, with the offset of each.
fn batches<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = (u64, Vec<T>)> {
    let mut items = items.peekable();
    let mut offset = 0;
    std::iter::from_fn(move || {
        items.peek()?;
        let batch: Vec<T> = items.by_ref().take(limits::IMPORT_BATCH).collect();
        let begin = offset;
        offset += batch.len() as u64;
        Some((begin, batch))
    })
}

/// A progress bar on stderr; it draws nothing where that is no terminal.
fn bar(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("making a small world  {msg:20} [{bar:30}] {pos}/{len}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(what)
}
