//! What counts look like in Redis, and the scripts over them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{HashesInterface, KeysInterface, LuaInterface};
use fred::types::Value;
use futures::{Stream, TryStreamExt};
use rand::random;
use social_core::posts::PostCounts;
use social_core::users::UserCounts;
use social_core::{PostId, UserId};

use super::super::link::{Failure, Link};
use super::super::{Redis, spread};

// Sent whole rather than by their hashes: few and short, and so a server that restarted empty needs no second trip.
const BEGIN: &str = include_str!("begin.lua");
const DELTA: &str = include_str!("delta.lua");
const INSTALL: &str = include_str!("install.lua");
const TAKE: &str = include_str!("take.lua");

/// Hash tags that counts are spread over, as a power of two.
const SHARD_BITS: u32 = 4;
/// Hash tags that counts are spread over.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
/// How long a count lives: bounds both memory and how long an unseen mistake can last.
const LIFE: Duration = Duration::from_secs(24 * 3_600);
/// How long a hash lives that never got its counts.
const EMPTY_LIFE: Duration = Duration::from_secs(300);
/// How long a count rests before it is counted anew, so that changes in a row are counted once.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a count that was taken is left to its taker.
const LEASE: Duration = Duration::from_secs(15);
/// Keys of a page when every count is dropped.
const SCANNED: u32 = 500;
/// Keys that are dropped at once then.
const AT_ONCE: usize = 64;
/// A count that should have been counted anew so long ago was forgotten.
const OVERDUE: Duration = Duration::from_secs(30);

/// Whose counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    kind: Kind,
    id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Post,
    User,
}

impl Kind {
    const fn letter(self) -> char {
        match self {
            Self::Post => 'p',
            Self::User => 'u',
        }
    }

    const fn fields(self) -> [&'static str; 3] {
        match self {
            Self::Post => ["likes", "comments", "replies"],
            Self::User => ["posts", "followers", "following"],
        }
    }
}

/// What a key is written as in the set of dirty ones, and at the end of its hash's key.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.letter(), self.id)
    }
}

/// Whose counts, for who counts.
pub(super) enum Whose {
    Post(PostId),
    User(UserId),
}

impl Key {
    pub(super) fn post(id: PostId) -> Self {
        Self {
            kind: Kind::Post,
            id: id.0,
        }
    }

    pub(super) fn user(id: UserId) -> Self {
        Self {
            kind: Kind::User,
            id: id.0,
        }
    }

    pub(super) fn whose(self) -> Whose {
        match self.kind {
            Kind::Post => Whose::Post(PostId(self.id)),
            Kind::User => Whose::User(UserId(self.id)),
        }
    }

    pub(super) fn shard(self) -> usize {
        spread(self.id, SHARD_BITS)
    }

    fn parse(member: &str) -> Option<Self> {
        let (letter, id) = member.split_once(':')?;
        let kind = match letter {
            "p" => Kind::Post,
            "u" => Kind::User,
            _ => return None,
        };
        Some(Self {
            kind,
            id: id.parse().ok()?,
        })
    }
}

/// Three counts of a post or a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) values: [u64; 3],
    pub(super) exact: bool,
}

impl From<PostCounts> for Tally {
    fn from(counts: PostCounts) -> Self {
        Self {
            values: [counts.likes, counts.comments, counts.replies],
            exact: counts.exact,
        }
    }
}

impl From<UserCounts> for Tally {
    fn from(counts: UserCounts) -> Self {
        Self {
            values: [counts.posts, counts.followers, counts.following],
            exact: counts.exact,
        }
    }
}

impl From<Tally> for PostCounts {
    fn from(tally: Tally) -> Self {
        let [likes, comments, replies] = tally.values;
        Self {
            likes,
            comments,
            replies,
            exact: tally.exact,
        }
    }
}

impl From<Tally> for UserCounts {
    fn from(tally: Tally) -> Self {
        let [posts, followers, following] = tally.values;
        Self {
            posts,
            followers,
            following,
            exact: tally.exact,
        }
    }
}

/// Counts as they stand in Redis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    counts: [i64; 3],
    pub(super) exact: bool,
    /// When it was to be counted anew, in Unix milliseconds.
    due_ms: u64,
}

impl Row {
    /// The counts, where none is below zero.
    pub(super) fn values(&self) -> Option<[u64; 3]> {
        let [a, b, c] = self.counts.map(u64::try_from);
        Some([a.ok()?, b.ok()?, c.ok()?])
    }

    /// The counts, none below zero, as good as nothing better is known.
    pub(super) fn clamped(&self) -> Tally {
        Tally {
            values: self.counts.map(|count| u64::try_from(count).unwrap_or_default()),
            exact: false,
        }
    }

    /// Whether it is not exact and nobody counts it: the set of dirty ones was lost.
    pub(super) fn is_overdue(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        !self.exact && now > Duration::from_millis(self.due_ms) + OVERDUE
    }
}

/// What is known before a count from truth.
pub(super) struct Begun {
    version: String,
    /// The counts so far.
    pub(super) row: Option<Row>,
}

/// The connection and the names of keys.
pub(super) struct Rows {
    link: Arc<Link>,
    names: Names,
    clustered: bool,
}

struct Names {
    /// Matches every key of counts.
    pattern: String,
    /// What every hash's key begins with, by shard.
    hashes: Vec<String>,
    /// The set of dirty ones, by shard.
    dirty: Vec<String>,
}

impl Names {
    fn new(redis: &Redis) -> Self {
        let each = |rest: &str| {
            (0..SHARDS)
                .map(|shard| redis.key(format_args!("c{shard}"), rest))
                .collect()
        };
        Self {
            pattern: redis.key("c*", "*"),
            hashes: each(""),
            dirty: each("dirty"),
        }
    }

    fn hash(&self, key: Key) -> String {
        format!("{}{key}", self.hashes[key.shard()])
    }
}

impl Rows {
    pub(super) async fn new(redis: &Redis) -> Self {
        let names = Names::new(redis);
        Self {
            link: redis.link(redis.shared.patience, names.dirty.clone()).await,
            names,
            clustered: redis.is_clustered(),
        }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// How long a caller waits for Redis.
    pub(super) fn patience(&self) -> Duration {
        self.link.patience()
    }

    fn client(&self) -> &Client {
        self.link.client()
    }

    /// What Redis knows of each key, in one trip: nothing while it is away.
    pub(super) async fn read(&self, keys: &[Key]) -> Vec<Option<Row>> {
        let reads = keys.iter().map(|key| {
            let [a, b, c] = key.kind.fields();
            self.client()
                .hmget(self.names.hash(*key), vec![a, b, c, "exact", "due"])
        });
        match self.link.all(reads).await {
            Ok(rows) => rows.into_iter().map(|row| row.ok().and_then(row_of)).collect(),
            Err(_) => vec![None; keys.len()],
        }
    }

    /// Reads the version that a count from truth is to be installed over.
    pub(super) async fn begin(&self, key: Key) -> Result<Begun, Failure> {
        let [a, b, c] = key.kind.fields();
        // 53 bits, so that it stays a whole number wherever it is read, and steps never bring it to another's.
        let nonce = (random::<u64>() >> 11).to_string();
        let arguments = vec![nonce, seconds(EMPTY_LIFE), a.into(), b.into(), c.into()];
        let answer = self
            .link
            .call(self.client().eval(BEGIN, self.names.hash(key), arguments));
        let (version, a, b, c, exact): Begin = answer.await?;
        let counts = a.zip(b).zip(c).map(|((a, b), c)| [a, b, c]);
        Ok(Begun {
            version,
            row: counts.map(|counts| Row {
                counts,
                exact: exact == Some(1),
                due_ms: 0,
            }),
        })
    }

    /// Puts in counts from truth; whether they are exact. Not counted anew before `pause` is over.
    pub(super) async fn install(
        &self,
        key: Key,
        begun: &Begun,
        values: [u64; 3],
        pause: Duration,
    ) -> Result<bool, Failure> {
        let keys = vec![self.names.dirty[key.shard()].clone(), self.names.hash(key)];
        let nonce = (random::<u64>() >> 11).to_string();
        let mut arguments = vec![
            begun.version.clone(),
            seconds(LIFE),
            pause.as_millis().to_string(),
            key.to_string(),
            nonce,
        ];
        for (field, value) in key.kind.fields().into_iter().zip(values) {
            arguments.extend([field.to_owned(), value.to_string()]);
        }
        let exact: i64 = self.link.call(self.client().eval(INSTALL, keys, arguments)).await?;
        Ok(exact == 1)
    }

    /// Moves counts, each key once. The commands are under way when this was polled once.
    pub(super) async fn deltas(&self, moved: &[(Key, [i64; 3])]) -> Result<(), Failure> {
        let mut shards: Vec<Vec<_>> = vec![Vec::new(); SHARDS];
        for step in moved {
            shards[step.0.shard()].push(step);
        }
        let scripts = shards.into_iter().enumerate().filter(|(_, steps)| !steps.is_empty());
        let commands = scripts.map(|(shard, steps)| {
            let mut keys = vec![self.names.dirty[shard].clone()];
            let mut arguments = vec![SETTLE.as_millis().to_string()];
            for (key, by) in steps {
                keys.push(self.names.hash(*key));
                arguments.push(key.to_string());
                for (field, step) in key.kind.fields().into_iter().zip(by) {
                    arguments.extend([field.to_owned(), step.to_string()]);
                }
            }
            self.client().eval::<i64, _, _, _>(DELTA, keys, arguments)
        });
        for answer in self.link.all(commands).await? {
            answer.map_err(Failure::Refused)?;
        }
        Ok(())
    }

    /// Takes keys that are due to be counted anew, some from each shard.
    pub(super) async fn take(&self, each: usize) -> Result<Vec<Key>, Failure> {
        let commands = self.names.dirty.iter().map(|dirty| {
            let arguments = vec![each.to_string(), LEASE.as_millis().to_string()];
            self.client()
                .eval::<Vec<String>, _, _, _>(TAKE, dirty.as_str(), arguments)
        });
        let mut due = Vec::new();
        for answer in self.link.all(commands).await? {
            let members = answer.map_err(Failure::Refused)?;
            due.extend(members.iter().filter_map(|member| Key::parse(member)));
        }
        Ok(due)
    }

    /// Drops every count there is; whether that is done.
    pub(super) async fn forget_all(&self) -> bool {
        let pattern = self.names.pattern.as_str();
        let forgotten = if self.clustered {
            let pages = self.client().scan_cluster_buffered(pattern, Some(SCANNED), None);
            self.forget(pages).await
        } else {
            let pages = self.client().scan_buffered(pattern, Some(SCANNED), None);
            self.forget(pages).await
        };
        forgotten.is_ok()
    }

    async fn forget(&self, keys: impl Stream<Item = Result<fred::types::Key, Error>>) -> Result<(), Error> {
        keys.try_for_each_concurrent(AT_ONCE, async |key| self.client().unlink(key).await)
            .await
    }
}

/// The answer to [`BEGIN`].
type Begin = (String, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

fn row_of(answer: Value) -> Option<Row> {
    let fields: Vec<Option<i64>> = answer.convert().ok()?;
    match fields[..] {
        [Some(a), Some(b), Some(c), exact, due] => Some(Row {
            counts: [a, b, c],
            exact: exact == Some(1),
            due_ms: u64::try_from(due.unwrap_or_default()).unwrap_or_default(),
        }),
        _ => None,
    }
}

fn seconds(duration: Duration) -> String {
    duration.as_secs().to_string()
}
