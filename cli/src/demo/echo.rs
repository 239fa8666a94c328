//! Comments and likes of a demo world: written by some of its people, as people write them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use social_demo::{PASSWORD, PostPlace, Visibility};
use social_sdk::{Client, MemoryTokenStore, Reason, Uuid, v1};

use super::{Part, Seeding, Stage, back};
use crate::failure::Result;
use crate::progress;

/// Posts of one author that are commented on and liked, the newest first: so that more authors have some.
const POSTS_PER_AUTHOR: usize = 6;
/// Authors whose posts are looked up at once.
const LOOKUPS: usize = 8;
/// Posts that are worked on at once.
const POSTS_AT_ONCE: usize = 16;
/// Logins at once; each costs the server a hash.
const LOGINS: usize = 4;
/// How long a login that the rate limit refuses is tried again.
const LOGIN_PATIENCE: Duration = Duration::from_secs(60);

/// A post that is there, and what the world has to say to it.
struct Target {
    id: String,
    place: PostPlace,
    comments: Vec<social_demo::Comment>,
    /// Places of active people.
    likes: Vec<u32>,
}

/// What may still be written.
struct Left {
    comments: usize,
    likes: usize,
}

impl Seeding<'_> {
    /// Writes comments and likes.
    pub(super) async fn echo(&self, begun_ms: i64) -> Result<[Stage; 2]> {
        let people = self.log_in().await?;
        let start = Instant::now();
        let planned = u64::from(self.args.comments) + u64::from(self.args.likes);
        let bar = progress::bar(&self.app.output, "echo", planned);
        let (comments, likes) = (AtomicI64::new(0), AtomicI64::new(0));
        let written = (&comments, &likes);
        let mut left = Left {
            comments: self.args.comments as usize,
            likes: self.args.likes as usize,
        };
        let (people, bar) = (people.as_slice(), &bar);
        stream::iter(0..self.world.size())
            .map(|author| self.posts_of(author, begun_ms, people))
            .buffered(LOOKUPS)
            .map_ok(|found| {
                let targets: Vec<_> = found
                    .into_iter()
                    .map(|(place, post)| self.target(place, &post, &mut left))
                    .collect();
                let more = left.comments > 0 || left.likes > 0;
                (targets, more)
            })
            // Deterministic, whatever the order of the answers: what is planned depends on the order of authors alone.
            .scan(true, |go, found| {
                let was = std::mem::replace(go, found.as_ref().is_ok_and(|(_, more)| *more));
                std::future::ready(was.then_some(found))
            })
            .map_ok(|(targets, _)| stream::iter(targets.into_iter().map(Ok)))
            .try_flatten()
            .try_for_each_concurrent(POSTS_AT_ONCE, |target| self.write(target, people, written, bar))
            .await?;
        bar.finish_and_clear();
        self.log_out(people).await;
        let took = start.elapsed();
        let stage = |what, count: &AtomicI64| Stage {
            what,
            count: count.load(Ordering::Relaxed),
            rejected: 0,
            took,
        };
        Ok([stage("comments", &comments), stage("likes", &likes)])
    }

    /// A client for each active person, by place.
    async fn log_in(&self) -> Result<Vec<Client>> {
        let active = self.args.active.min(self.world.size());
        let bar = progress::bar(&self.app.output, "logins", active.into());
        let logins = stream::iter(0..active).map(async |user| {
            let client = self.client.with_token_store(MemoryTokenStore::new())?;
            log_in(&client, &self.world.handle(user)).await?;
            bar.inc(1);
            Ok(client)
        });
        let people = logins.buffered(LOGINS).try_collect().await;
        bar.finish_and_clear();
        people
    }

    /// Nobody needs these sessions any more. One that stays ends by itself.
    async fn log_out(&self, people: &[Client]) {
        stream::iter(people)
            .for_each_concurrent(LOGINS, async |client| {
                let _ = client.auth().logout().await;
            })
            .await;
    }

    /// The newest public posts of an author that are there.
    async fn posts_of(&self, author: u32, begun_ms: i64, people: &[Client]) -> Result<Vec<(PostPlace, v1::Post)>> {
        let wanted: Vec<_> = self
            .world
            .posts_of(author)
            .filter(|post| post.visibility == Visibility::Public)
            .take(POSTS_PER_AUTHOR)
            .collect();
        let Some(client) = people
            .get(author as usize % people.len().max(1))
            .filter(|_| !wanted.is_empty())
        else {
            return Ok(Vec::new());
        };
        let user = client.users().get_by_handle(self.world.handle(author)).await?;
        let page = client.posts().list_by_user(user.id).page_size(100).page().await?;
        // The world knows posts by author and time, the server by id.
        let key = |time: social_sdk::Timestamp| (time.seconds, time.nanos / 1_000_000);
        let mut posts: HashMap<_, _> = page
            .posts
            .into_iter()
            .filter_map(|post| Some((key(post.create_time?), post)))
            .collect();
        let found = wanted
            .into_iter()
            .filter_map(|post| Some((post.place, posts.remove(&key(back(begun_ms, post.age)))?)));
        Ok(found.collect())
    }

    /// What is to be written under a post, within what is left.
    fn target(&self, place: PostPlace, post: &v1::Post, left: &mut Left) -> Target {
        let active = self.args.active.min(self.world.size());
        let there = post.counts.unwrap_or_default();
        let mut comments = self.world.comments_on(place);
        comments.truncate(left.comments);
        left.comments -= comments.len();
        let likes: BTreeSet<u32> = self
            .world
            .likes_of(place)
            .into_iter()
            .map(|like| like.user % active)
            .collect();
        let mut likes: Vec<u32> = likes
            .into_iter()
            .filter(|user| *user != place.author)
            .take(left.likes)
            .collect();
        left.likes -= likes.len();
        // Request keys keep a rerun from doubling comments for two days only; their count does so for good.
        let done = |count: i64, planned: usize| count >= i64::try_from(planned).unwrap_or(i64::MAX);
        if done(there.comments, comments.len()) {
            comments.clear();
        }
        if done(there.likes, likes.len()) {
            likes.clear();
        }
        Target {
            id: post.id.clone(),
            place,
            comments,
            likes,
        }
    }

    async fn write(
        &self,
        target: Target,
        people: &[Client],
        written: (&AtomicI64, &AtomicI64),
        bar: &ProgressBar,
    ) -> Result<()> {
        let count = |counter: &AtomicI64| {
            counter.fetch_add(1, Ordering::Relaxed);
            bar.inc(1);
        };
        let person = |user: u32| people.get(user as usize % people.len().max(1));
        let mut ids: Vec<String> = Vec::with_capacity(target.comments.len());
        for comment in &target.comments {
            let Some(client) = person(comment.author) else { continue };
            let mut call = client.comments().create(&target.id, comment.content);
            if let Some(parent) = comment.parent.and_then(|parent| ids.get(parent as usize)) {
                call = call.parent(parent);
            }
            let created = call.request_id(self.request_id(target.place, ids.len())).await?;
            ids.push(created.id);
            count(written.0);
        }
        for user in &target.likes {
            let Some(client) = person(*user) else { continue };
            client.likes().like(&target.id).await?;
            count(written.1);
        }
        Ok(())
    }

    /// The same for the same comment, so that a rerun does not write it again.
    fn request_id(&self, place: PostPlace, nth: usize) -> Uuid {
        let (world, part) = self.import_id(Part::Comments).as_u64_pair();
        let comment = (u64::from(place.author) << 24) + (u64::from(place.nth) << 12) + nth as u64;
        Uuid::from_u64_pair(world ^ part.rotate_left(17), comment)
    }
}

async fn log_in(client: &Client, handle: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        match client
            .auth()
            .login(handle, PASSWORD)
            .device_name("socialctl demo seed")
            .await
        {
            Ok(_) => return Ok(()),
            // The SDK never repeats a login by itself, as it cannot know that nothing happened; here it was refused.
            Err(error) if error.reason() == Reason::RateLimited && start.elapsed() < LOGIN_PATIENCE => {
                tokio::time::sleep(error.retry_delay().unwrap_or(Duration::from_secs(1))).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
