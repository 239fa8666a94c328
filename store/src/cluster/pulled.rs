//! Stretches of pulled posts: what an author wrote that readers merge for themselves.
//!
//! An author's stretches are one document. Who has any is noted twice: for good in one of [`PARTS`], and for a while in the part of the minute, so that
//! every process learns of new ones by reading a few short partitions a second.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use parking_lot::{Mutex, RwLock};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use social_core::graph::{Following, PulledAuthor};
use social_core::page::{Order, Range};
use social_core::{Error, PostId, Result, Time, UserId, limits};
use std::sync::Arc;
use tokio::sync::OnceCell;

use super::change::Act;
use super::db::{Db, statements};
use super::docs::{Docs, Put};
use super::fresh::Demand;
use super::lists::{List, spread};
use super::looks::Looks;
use super::outbox::minute_of;
use super::truth::Truth;
use crate::rows::Row;

/// How long a process goes by what it read: another's pulled posts are known that late at the most.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Partitions of all authors who have stretches.
const PARTS: u64 = 64;
/// Partitions of those who were added lately, a minute each, in turn.
const MINUTES: i64 = 64;
/// Minutes around the present one in which an addition since the last look, which was in this minute or the one before, can be noted: clocks
/// may be a minute apart, and writing takes seconds.
const LATELY: std::ops::RangeInclusive<i64> = -3..=1;
/// Bytes of stretches kept in memory.
const CACHE_BYTES: u64 = 32 << 20;
/// Authors expected in the cache.
const CACHE_ENTRIES: usize = 50_000;
/// Locks that authors are spread over.
const LOCKS: usize = 256;
/// How often a change is tried anew when others come first.
const ATTEMPTS: usize = 32;
/// Documents read at once.
const AT_ONCE: usize = 128;
/// Posts of an author that are kept in memory.
const NEWEST: usize = 128;
/// Authors whose stretches are read anew for readers to come.
const RENEWED: usize = 2_000;

statements!(Statements {
    add: Write "INSERT INTO pulled_authors (part, author) VALUES (?, ?) USING TIMESTAMP ?",
    // The part of a minute is used again after MINUTES, when what was in it has long expired.
    add_lately: Write "INSERT INTO pulled_authors (part, author) VALUES (?, ?) USING TIMESTAMP ? AND TTL 900",
    authors: Read "SELECT author FROM pulled_authors WHERE part = ?",
});

/// An author's pulled stretches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Stretches {
    /// From one post to a later one, both inclusive, ascending.
    list: Vec<(PostId, PostId)>,
    /// Whether the last one goes on with the next pulled post.
    open: bool,
}

impl Row for Stretches {}

impl Stretches {
    /// With a pulled post. One that is in a stretch already changes nothing but the version of the document.
    fn with(&self, post: PostId) -> Self {
        let mut next = self.clone();
        if self.list.iter().any(|(from, to)| (*from..=*to).contains(&post)) {
            return next;
        }
        match next.list.last_mut() {
            Some((_, to)) if self.open && *to < post => *to = post,
            // A later post was quicker.
            Some((_, to)) if *to > post => {
                let at = next.list.partition_point(|stretch| stretch.0 < post);
                next.list.insert(at, (post, post));
            }
            _ => {
                next.list.push((post, post));
                next.open = true;
            }
        }
        if next.list.len() > limits::PULLED_STRETCHES {
            let (_, to) = next.list.remove(1);
            next.list[0].1 = to;
        }
        next
    }

    /// With the last stretch ended by a pushed post; `None` where there is nothing to end.
    fn ended_by(&self, post: PostId) -> Option<Self> {
        let is_behind = self.list.last().is_some_and(|(_, to)| *to < post);
        (self.open && is_behind).then(|| Self {
            open: false,
            ..self.clone()
        })
    }
}

/// Stretches as they were read or written.
struct Known {
    /// 0 where there is no document yet.
    version: u64,
    stretches: Stretches,
    at: Instant,
    /// By readers.
    wanted: Arc<Demand>,
    posts: Arc<OnceCell<Newest>>,
}

/// An author's newest posts, deleted ones too, as of a version of the stretches: each pulled post raises that, after it was listed.
struct Newest {
    /// Newest first.
    posts: Vec<PostId>,
    /// The smallest id that `posts` speaks for.
    from: PostId,
}

impl Newest {
    fn new(posts: Vec<PostId>) -> Self {
        let from = match posts.last() {
            Some(last) if posts.len() == NEWEST => *last,
            _ => PostId(0),
        };
        Self { posts, from }
    }

    /// Those of a range, newest first; `None` where others may belong to it.
    fn range(&self, range: &Range) -> Option<Vec<PostId>> {
        let Some((low, high)) = range.bounds() else {
            return Some(Vec::new());
        };
        let within = self.posts.iter().filter(|post| (low..=high).contains(&post.0));
        let posts: Vec<PostId> = within.take(range.limit).copied().collect();
        (posts.len() == range.limit || low >= self.from.0).then_some(posts)
    }
}

#[derive(Clone, Copy)]
struct Weigh;

impl Weighter<UserId, Arc<Known>> for Weigh {
    fn weight(&self, _: &UserId, known: &Arc<Known>) -> u64 {
        200 + 16 * known.stretches.list.len() as u64 + 8 * NEWEST as u64
    }
}

/// Authors whose posts are, or were, left to readers.
pub(super) struct Pulled {
    statements: Statements,
    docs: Docs,
    authors: RwLock<HashSet<UserId>>,
    /// In which minute the set of authors was read.
    looks: Looks<i64>,
    wanted: Demand,
    known: Cache<UserId, Arc<Known>, Weigh>,
    filling: Mutex<()>,
    locks: Box<[tokio::sync::Mutex<()>]>,
}

impl Pulled {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            docs: Docs::prepare(db, "stretches").await?,
            authors: RwLock::default(),
            looks: Looks::default(),
            wanted: Demand::default(),
            known: Cache::with_weighter(CACHE_ENTRIES, CACHE_BYTES, Weigh),
            filling: Mutex::default(),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
        })
    }

    /// Learns who was added since it last looked, if that is a while ago.
    async fn refresh(&self, db: &Db, now: Time) -> Result<()> {
        self.wanted.note();
        self.look(db, now, KNOWN_FOR).await
    }

    /// Looks who was added, where the last look is older than so much.
    async fn look(&self, db: &Db, now: Time, known_for: Duration) -> Result<()> {
        let minute = minute_of(now);
        let look = |last| async move {
            let parts = parts_to_read(last, minute).into_iter();
            let reads = parts.map(|part| db.all_rows(&self.statements.authors, (part,)));
            let added: Vec<Vec<(i64,)>> = try_join_all(reads).await?;
            let added = added.into_iter().flatten().map(|(author,)| UserId(author as u64));
            self.authors.write().extend(added);
            Ok(minute)
        };
        self.looks.refresh(known_for, look).await
    }

    /// Notes durably that an author has stretches.
    async fn add(&self, db: &Db, author: UserId, stamp: i64, now: Time) -> Result<()> {
        if self.authors.read().contains(&author) {
            return Ok(());
        }
        let id = author.0 as i64;
        let (part, lately) = (part_of(author), part_of_minute(minute_of(now)));
        tokio::try_join!(
            db.run(&self.statements.add, (part, id, stamp)),
            db.run(&self.statements.add_lately, (lately, id, stamp)),
        )?;
        self.authors.write().insert(author);
        Ok(())
    }

    /// The followees who have stretches, as far as this process knows. Walks the smaller of the two sets.
    fn candidates(&self, following: &Following) -> Vec<UserId> {
        let (authors, followees) = (self.authors.read(), &following.followees);
        if followees.len() < authors.len() {
            followees.keys().copied().filter(|id| authors.contains(id)).collect()
        } else {
            authors
                .iter()
                .copied()
                .filter(|id| followees.contains_key(id))
                .collect()
        }
    }

    async fn lately(&self, db: &Db, author: UserId) -> Result<Arc<Known>> {
        let known = match self.known.get(&author) {
            Some(known) if known.at.elapsed() < KNOWN_FOR => known,
            _ => self.now(db, author).await?,
        };
        known.wanted.note();
        Ok(known)
    }

    /// Reads the stretches anew that readers asked for lately.
    async fn renewed(&self, db: &Db) -> Result<Vec<(UserId, Arc<Known>)>> {
        let wanted = self.known.iter().filter(|(_, known)| known.wanted.is_there());
        let authors: Vec<u64> = wanted.map(|(author, _)| author.0).take(RENEWED).collect();
        let at = Instant::now();
        let mut docs = self.docs.get_many::<Stretches>(db, &authors).await?;
        let renewed = authors.into_iter().map(|author| {
            let doc = docs.remove(&author);
            let (version, stretches) = doc.map(|doc| (doc.version, doc.row)).unwrap_or_default();
            (UserId(author), self.remember(UserId(author), version, stretches, at))
        });
        Ok(renewed.collect())
    }

    async fn now(&self, db: &Db, author: UserId) -> Result<Arc<Known>> {
        let at = Instant::now();
        let doc = self.docs.get::<Stretches>(db, author.0).await?;
        let (version, stretches) = doc.map(|doc| (doc.version, doc.row)).unwrap_or_default();
        Ok(self.remember(author, version, stretches, at))
    }

    /// Keeps what was read or written, unless a newer version is kept by now: the newer of the two.
    fn remember(&self, author: UserId, version: u64, stretches: Stretches, at: Instant) -> Arc<Known> {
        let _alone = self.filling.lock();
        let kept = self.known.get(&author);
        let wanted = kept.as_ref().map(|kept| Arc::clone(&kept.wanted)).unwrap_or_default();
        let same = kept.as_ref().filter(|kept| kept.version == version);
        let known = Arc::new(Known {
            version,
            stretches,
            at,
            wanted,
            posts: same.map(|kept| Arc::clone(&kept.posts)).unwrap_or_default(),
        });
        match kept {
            Some(kept) if kept.version > version => kept,
            _ => {
                self.known.insert(author, Arc::clone(&known));
                known
            }
        }
    }

    /// Changes an author's stretches to what `decide` makes of them; `None` leaves them.
    async fn change(
        &self,
        db: &Db,
        (author, event): (UserId, u64),
        decide: impl Fn(&Stretches) -> Option<Stretches> + Send,
    ) -> Result<()> {
        let _alone = self.locks[(spread(author.0) % LOCKS as u64) as usize].lock().await;
        for _ in 0..ATTEMPTS {
            let at = Instant::now();
            let before = self.docs.get::<Stretches>(db, author.0).await?;
            let version = before.as_ref().map_or(0, |doc| doc.version);
            let present = before.as_ref().map(|doc| doc.row.clone()).unwrap_or_default();
            let is_done = before.as_ref().is_some_and(|doc| doc.events.contains(&event));
            let Some(next) = decide(&present).filter(|_| !is_done) else {
                self.remember(author, version, present, at);
                return Ok(());
            };
            let put = self.docs.put(db, author.0, before.as_ref(), event, &next).await?;
            if put == Put::Stored {
                self.remember(author, version + 1, next, at);
                return Ok(());
            }
        }
        Err(Error::unavailable())
    }
}

impl Truth {
    /// Looks at stretches for those who ask for them next, where somebody did lately.
    pub(super) async fn refresh_pulled(&self) -> Result<()> {
        if !self.pulled.wanted.is_there() {
            return Ok(());
        }
        self.pulled.look(&self.db, self.now(), Duration::ZERO).await?;
        for (author, known) in self.pulled.renewed(&self.db).await? {
            self.newest(author, &known).await?;
        }
        Ok(())
    }

    /// Followees some of whose posts are pulled. Another process's are known a second late at the most.
    pub(super) async fn pulled_among(&self, following: &Following) -> Result<Arc<Vec<PulledAuthor>>> {
        self.pulled.refresh(&self.db, self.now()).await?;
        let mut authors = self.pulled.candidates(following);
        authors.sort_unstable();
        let mut among = Vec::with_capacity(authors.len());
        for some in authors.chunks(AT_ONCE) {
            let known = try_join_all(some.iter().map(|author| self.pulled.lately(&self.db, *author))).await?;
            let pulled = some.iter().zip(known).map(|(author, known)| PulledAuthor {
                author: *author,
                stretches: known.stretches.list.clone(),
            });
            // One who was only just noted has no stretch yet.
            among.extend(pulled.filter(|pulled| !pulled.stretches.is_empty()));
        }
        Ok(Arc::new(among))
    }

    /// Of an author's posts those of a range, newest first, as they were when the stretches were read; `None` where they are not in memory.
    pub(super) async fn lately_pulled(&self, author: UserId, range: &Range) -> Result<Option<Vec<PostId>>> {
        if range.order != Order::NewestFirst {
            return Ok(None);
        }
        let known = self.pulled.lately(&self.db, author).await?;
        Ok(self.newest(author, &known).await?.range(range))
    }

    async fn newest<'a>(&self, author: UserId, known: &'a Known) -> Result<&'a Newest> {
        let load = async || {
            let posts = self.listed_posts(List::AllUserPosts, author, Range::newest(None, NEWEST));
            posts.await.map(Newest::new)
        };
        known.posts.get_or_try_init(load).await
    }

    /// Whether a pushed post of the author ends a stretch.
    pub(super) async fn has_open_stretch(&self, author: UserId) -> Result<bool> {
        self.pulled.refresh(&self.db, self.now()).await?;
        if !self.pulled.authors.read().contains(&author) {
            return Ok(false);
        }
        Ok(self.pulled.now(&self.db, author).await?.stretches.open)
    }

    /// Notes a pulled post in its author's stretches, or finds it noted.
    pub(super) async fn note_pulled(&self, act: Act, author: UserId, post: PostId) -> Result<()> {
        let now = self.now();
        tokio::try_join!(
            self.pulled.add(&self.db, author, act.stamp, now),
            self.pulled
                .change(&self.db, (author, act.event), |stretches| Some(stretches.with(post))),
        )
        .map(drop)
    }

    /// Ends the author's open stretch before a pushed post.
    pub(super) async fn end_stretch(&self, act: Act, author: UserId, post: PostId) -> Result<()> {
        let end = |stretches: &Stretches| stretches.ended_by(post);
        self.pulled.change(&self.db, (author, act.event), end).await
    }
}

/// What to read to know everybody, when all were known in the minute `last`.
fn parts_to_read(last: Option<i64>, minute: i64) -> Vec<i8> {
    let is_near = |last: i64| (0..=1).contains(&(minute - last));
    match last {
        // All anew with every turn of the minutes: what a clock far off kept from us is not missed for good.
        Some(last) if is_near(last) && last / MINUTES == minute / MINUTES => {
            LATELY.map(|offset| part_of_minute(minute + offset)).collect()
        }
        _ => (0..PARTS as i8).collect(),
    }
}

fn part_of(author: UserId) -> i8 {
    (spread(author.0) % PARTS) as i8
}

fn part_of_minute(minute: i64) -> i8 {
    (PARTS as i64 + minute.rem_euclid(MINUTES)) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(stretches: &Stretches, post: u64) -> Stretches {
        stretches.with(PostId(post))
    }

    fn list(pairs: &[(u64, u64)]) -> Vec<(PostId, PostId)> {
        pairs.iter().map(|(from, to)| (PostId(*from), PostId(*to))).collect()
    }

    #[test]
    fn stretches_continue_until_a_post_is_pushed() {
        let stretches = pulled(&pulled(&Stretches::default(), 1), 2);
        let ended = stretches.ended_by(PostId(3)).unwrap();
        assert_eq!(ended.ended_by(PostId(4)), None, "once");
        assert_eq!(pulled(&ended, 5).list, list(&[(1, 2), (5, 5)]));
    }

    #[test]
    fn what_is_repeated_or_comes_late_is_covered_once() {
        let stretches = pulled(&pulled(&Stretches::default(), 10), 20);
        assert_eq!(pulled(&stretches, 10), stretches);
        assert_eq!(pulled(&stretches, 15), stretches);
        assert_eq!(stretches.ended_by(PostId(15)), None, "a later post is pulled");
        let late = pulled(&stretches, 5);
        assert_eq!(late.list, list(&[(5, 5), (10, 20)]));
        assert_eq!(
            pulled(&late, 30).list,
            list(&[(5, 5), (10, 30)]),
            "the last is open still"
        );
        let ended = stretches.ended_by(PostId(21)).unwrap();
        assert!(!pulled(&ended, 4).open, "an old post opens nothing");
    }

    #[test]
    fn past_the_bound_the_two_oldest_are_merged() {
        let mut stretches = Stretches::default();
        for post in 1..=limits::PULLED_STRETCHES as u64 + 1 {
            stretches = pulled(&stretches, post * 10);
            stretches.open = false;
        }
        assert_eq!(stretches.list.len(), limits::PULLED_STRETCHES);
        assert_eq!(stretches.list[..2], list(&[(10, 20), (30, 30)]));
    }

    #[test]
    fn additions_of_the_last_minutes_are_read_while_they_are_known_to_be_all() {
        assert_eq!(parts_to_read(None, 640).len(), PARTS as usize);
        assert_eq!(parts_to_read(Some(641), 642), [127, 64, 65, 66, 67]);
        assert_eq!(parts_to_read(Some(641), 643).len(), PARTS as usize, "too long ago");
        assert_eq!(
            parts_to_read(Some(642), 641).len(),
            PARTS as usize,
            "the clock went back"
        );
        assert_eq!(parts_to_read(Some(639), 640).len(), PARTS as usize, "a new turn");
    }
}
