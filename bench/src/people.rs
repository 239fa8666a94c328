//! Who is on the platform: imported in numbers, with home timelines that are kept ready.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use social_sdk::{AdminClient, Client, HomeEvent, HomeStream, MemoryTokenStore, Uuid, v1};

use crate::failure::{During as _, Failure, Result};
use crate::platform::Platform;
use crate::posting;

/// Of [`HASH`].
const PASSWORD: &str = "analytical-engine-1843";
/// argon2id at nearly the lowest cost that an import takes.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29jaWFsLWRlbW8tc2FsdA$c0rPtaNyDvvIK7gJ4HykgXJ/UymbGpe3LSqdKvSXiHQ";
/// Some thousand follows on a busy machine.
const SEGMENT: Duration = Duration::from_secs(900);
/// Calls of one operator at once; the server lets one caller have 64.
const AT_ONCE: usize = 48;

/// People whose handles are a word and a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct People {
    pub(crate) word: &'static str,
    pub(crate) count: usize,
}

impl People {
    pub(crate) fn handle(&self, number: usize) -> String {
        format!("{}_{number}", self.word)
    }

    /// Makes an author whom all of them follow, each with a home timeline. Every post is pushed into those, however many they are.
    pub(crate) async fn gather_around(self, platform: &Platform, connections: &Client, author: &str) -> Result<Client> {
        let admin = platform.admin()?;
        posting::push_always(&admin).await?;
        let client = register(connections, author).await?;
        self.import(&admin).await?;
        self.follow(&admin, author).await?;
        make_timelines(&admin, &client).await?;
        Ok(client)
    }

    /// Brings them in. All have the same password.
    pub(crate) async fn import(self, admin: &AdminClient) -> Result<()> {
        let began = Instant::now();
        let people = (0..self.count).map(move |number| v1::ImportUser {
            handle: self.handle(number),
            password_hash: HASH.to_owned(),
            ..Default::default()
        });
        let import = admin.import_users(Uuid::new_v4()).segment_timeout(SEGMENT);
        let done = import.run(stream::iter(people)).await;
        self.check("imported", done.during("the import of people")?.imported, began)
    }

    /// Has all of them follow one user.
    async fn follow(self, admin: &AdminClient, followee: &str) -> Result<()> {
        let began = Instant::now();
        let followee = followee.to_owned();
        let follows = (0..self.count).map(move |number| v1::ImportFollow {
            follower: Some(v1::import_follow::Follower::FollowerHandle(self.handle(number))),
            followee: Some(v1::import_follow::Followee::FolloweeHandle(followee.clone())),
            ..Default::default()
        });
        let import = admin.import_follows(Uuid::new_v4()).segment_timeout(SEGMENT);
        let done = import.run(stream::iter(follows)).await;
        self.check(
            "follows imported",
            done.during("the import of follows")?.imported,
            began,
        )
    }

    fn check(self, what: &str, imported: i64, began: Instant) -> Result<()> {
        if imported != self.count as i64 {
            return Err(Failure::new(format!("{imported} of {} {what}", self.count)));
        }
        eprintln!("{imported} {what} in {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Makes the home timelines of a user's followers, so that from now on fan-out brings them what is new. An import forgets them.
async fn make_timelines(admin: &AdminClient, user: &Client) -> Result<()> {
    let began = Instant::now();
    let id = user.user_id().ok_or_else(|| Failure::new("nobody is logged in"))?;
    let made = user
        .graph()
        .stream_followers(id)
        .stream()
        .map(|edge| edge.during("the followers"))
        .map_ok(|edge| rebuild(admin, edge.user.unwrap_or_default().id))
        .try_buffer_unordered(AT_ONCE)
        .try_fold(0_u64, async |made, ()| Ok(made + 1))
        .await?;
    eprintln!("{made} home timelines made in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn rebuild(admin: &AdminClient, user: String) -> Result<()> {
    admin.rebuild_timeline(user).await.during("a home timeline").map(drop)
}

/// Makes an account and logs it in, on the connections of a client.
pub(crate) async fn register(connections: &Client, handle: &str) -> Result<Client> {
    let client = another(connections)?;
    client
        .auth()
        .register(handle, PASSWORD)
        .await
        .during("a registration")?;
    Ok(client)
}

/// Logs in one of [`People`].
pub(crate) async fn login(connections: &Client, handle: String) -> Result<Client> {
    let client = another(connections)?;
    client.auth().login(handle, PASSWORD).await.during("a login")?;
    Ok(client)
}

/// Opens a user's home timeline as a live stream, and waits until it is connected.
pub(crate) async fn subscribe(user: &Client) -> Result<HomeStream> {
    let mut stream = user.timeline().subscribe().stream();
    while let Some(event) = stream.try_next().await.during("a subscription")? {
        if matches!(event, HomeEvent::Checkpoint { .. }) {
            return Ok(stream);
        }
    }
    Err(Failure::new("a subscription ended"))
}

fn another(connections: &Client) -> Result<Client> {
    connections.with_token_store(MemoryTokenStore::new()).during("a client")
}
