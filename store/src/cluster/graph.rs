//! Follows, blocks and mutes.

mod apply;
mod bounds;
mod known;
mod lately;
mod rows;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use social_core::backend::GraphStore;
use social_core::fanout::Payload;
use social_core::graph::{Direction, Edge, EdgeChange, EdgeKind, Following, Relation, Sources};
use social_core::page::{Order, Range};
use social_core::request::TraceContext;
use social_core::{Error, EventId, Reason, Result, UserId, limits};

pub(super) use apply::{EdgeChanges, EdgeSet};
pub(super) use lately::{Lately, Made, Noted};
pub(super) use rows::{Buckets, EdgeRow, Ends, Kind};

use super::change::{Change, Verdict};
use super::db::Db;
use super::lists::{BUCKET_ENTRIES, Entry, List, spread};
use super::redis::UserDelta;
use super::truth::{Intent, Ticket, Truth};
use bounds::Bounds;
use known::{KnownCounts, KnownFollowing};
use rows::Rows;

/// Rows that are read at the same time.
const AT_ONCE: usize = 128;
/// Rows that one statement asks for by their keys: what ScyllaDB allows.
const KEYS_AT_ONCE: usize = 100;

/// The graph's rows, and what is remembered of them.
pub(super) struct Graph {
    rows: Rows,
    pub(super) lately: Lately,
    bounds: Bounds,
    following: KnownFollowing,
    followers: KnownCounts,
}

impl Graph {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            rows: Rows::prepare(db).await?,
            lately: Lately::prepare(db).await?,
            bounds: Bounds::new(),
            following: KnownFollowing::new(),
            followers: KnownCounts::new(),
        })
    }
}

/// How the store numbers a kind of edge.
pub(super) fn number(kind: EdgeKind) -> i8 {
    Kind::from(kind) as i8
}

/// The kind of edge that the store numbers so.
pub(super) fn kind_of(number: i8) -> Option<EdgeKind> {
    let kinds = [EdgeKind::Follow, EdgeKind::Block, EdgeKind::Mute];
    kinds.into_iter().find(|kind| self::number(*kind) == number)
}

#[async_trait]
impl GraphStore for Truth {
    async fn set_edge(
        &self,
        kind: EdgeKind,
        from: UserId,
        to: UserId,
        active: bool,
        trace: Option<TraceContext>,
    ) -> Result<EdgeChange> {
        let kind = Kind::from(kind);
        let ends = Ends { kind, from, to };
        let _turn = self.lock(pair(from, to)).await;
        let before = self.edge(ends).await?;
        match before {
            Some(row) if row.active => {
                if !active {
                    self.end_edge(ends, &row, trace).await?;
                }
                Ok(changed(active, !active, None))
            }
            _ if active => {
                let since = self.make_edge(ends, before.as_ref(), trace).await?;
                Ok(changed(true, true, (kind == Kind::Follow).then_some(EventId(since))))
            }
            _ => Ok(changed(false, false, None)),
        }
    }

    async fn edges(&self, kind: EdgeKind, direction: Direction, user: UserId, range: Range) -> Result<Vec<Edge>> {
        let kind = Kind::from(kind);
        match (direction, kind) {
            (Direction::Outgoing, Kind::Follow) => {
                let following = self.following(user).await?;
                let edge = |(&user, &since): (&UserId, &u64)| Edge { user, since };
                Ok(page(following.followees.iter().map(edge), &range))
            }
            (Direction::Outgoing, _) => {
                let edges = self.graph.rows.outgoing(&self.db, kind, user).await?;
                Ok(page(edges.into_iter(), &range))
            }
            (Direction::Incoming, _) => {
                let entries = self.lists.range(&self.db, kind.incoming(), user.0, &range).await?;
                let edge = |entry: Entry| Edge {
                    user: UserId(entry.member),
                    since: entry.key,
                };
                Ok(entries.into_iter().map(edge).collect())
            }
        }
    }

    async fn relations(&self, viewer: UserId, users: &[UserId]) -> Result<Vec<Relation>> {
        let to_viewer = |kind| {
            let edges = stream::iter(users.to_vec()).map(move |user| self.has_edge(kind, user, viewer));
            edges.buffered(AT_ONCE).try_collect::<Vec<bool>>()
        };
        let (following, blocking, muting, followed_by, blocked_by) = tokio::try_join!(
            self.among(Kind::Follow, viewer, users),
            self.among(Kind::Block, viewer, users),
            self.among(Kind::Mute, viewer, users),
            to_viewer(Kind::Follow),
            to_viewer(Kind::Block),
        )?;
        let relation = |(user, (followed_by, blocked_by)): (&UserId, (bool, bool))| Relation {
            following: following.contains(user),
            followed_by,
            blocking: blocking.contains(user),
            blocked_by,
            muting: muting.contains(user),
        };
        let to_viewer = followed_by.into_iter().zip(blocked_by);
        Ok(users.iter().zip(to_viewer).map(relation).collect())
    }

    async fn following(&self, viewer: UserId) -> Result<Arc<Following>> {
        // Before the edges: a change in between raises it, and what was loaded is not used again.
        let version = self.graph.rows.version(&self.db, viewer).await?;
        let load = self.graph.rows.following(&self.db, viewer);
        self.graph.following.get(viewer, version, load).await
    }

    async fn sources(&self, viewer: UserId) -> Result<Sources> {
        let following = self.following(viewer).await?;
        let pulled = self.pulled_among(&following).await?;
        Ok(Sources { following, pulled })
    }

    async fn fanout_followers(&self, author: UserId, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>> {
        let after = match after {
            Some(follower) => {
                let ends = Ends {
                    kind: Kind::Follow,
                    from: follower,
                    to: author,
                };
                self.edge(ends).await?.map(|row| (row.buckets.fan_out, follower.0))
            }
            None => None,
        };
        let followers = self.lists.walk(&self.db, List::FanOut, author.0, after, limit).await?;
        Ok(followers.into_iter().map(|(_, entry)| UserId(entry.member)).collect())
    }
}

impl Truth {
    /// An edge, also one that ended.
    pub(super) async fn edge(&self, ends: Ends) -> Result<Option<EdgeRow>> {
        self.graph.rows.edge(&self.db, ends).await
    }

    /// How many follow an author, or some number from `enough` up: what this process did is in it, what others did within some seconds may not
    /// be. Of a million followers only as many are counted as it takes to know.
    pub(super) async fn follower_count(&self, author: UserId, enough: u64) -> Result<u64> {
        // With room for those who leave while the count is gone by.
        let enough = enough.saturating_add(BUCKET_ENTRIES as u64);
        let count = self.lists.count_to(&self.db, List::FanOut, author.0, enough);
        self.graph.followers.get(author, count).await
    }

    /// How many a user follows.
    pub(super) async fn following_count(&self, user: UserId) -> Result<u64> {
        self.graph.rows.count(&self.db, Kind::Follow, user).await
    }

    /// Where a new edge goes in the lists of the user that it arrives at.
    pub(super) async fn place_edge(&self, ends: Ends, since: u64, before: Option<&EdgeRow>) -> Result<Buckets> {
        let list = self.lists.place(&self.db, ends.kind.incoming(), ends.to.0, since);
        let fan_out = async {
            match before {
                Some(row) => Ok(row.buckets.fan_out),
                None if ends.kind != Kind::Follow => Ok(0),
                None => {
                    let place = self.lists.place(&self.db, List::FanOut, ends.to.0, ends.from.0);
                    place.await.map(|place| place.bucket)
                }
            }
        };
        let (list, fan_out) = tokio::try_join!(list, fan_out)?;
        Ok(Buckets {
            list: list.bucket,
            fan_out,
        })
    }

    /// Makes an edge that is not there; since when it is. BLOCKED, LIMIT_REACHED.
    async fn make_edge(&self, ends: Ends, before: Option<&EdgeRow>, trace: Option<TraceContext>) -> Result<u64> {
        let ended = match ends.kind {
            Kind::Follow if self.is_blocked(ends).await? => return Err(across_block()),
            Kind::Block => self.follows_between(ends).await?,
            _ => Vec::new(),
        };
        let change = self.take_room(ends).await?;
        let ticket = self.ticket().await?;
        let filed = async {
            let buckets = self.place_edge(ends, ticket.event, before).await?;
            let made = EdgeSet::begin(ends, ticket.event, buckets);
            let ended_sets = ended.iter().map(|(ends, row)| EdgeSet::end(*ends, row));
            let sets = [made].into_iter().chain(ended_sets).collect();
            let rows = ended.iter().map(|(_, row)| row).chain(before);
            self.file_edges(ticket, sets, rows.map(|row| row.stamp).max(), trace)
                .await
        };
        let filed = filed.await;
        self.conclude(ticket, filed).await?;
        change.leave(0);
        Ok(ticket.event)
    }

    async fn end_edge(&self, ends: Ends, row: &EdgeRow, trace: Option<TraceContext>) -> Result<()> {
        let change = self.graph.bounds.change(ends.kind, ends.from).await;
        let ticket = self.ticket().await?;
        let sets = vec![EdgeSet::end(ends, row)];
        let filed = self.file_edges(ticket, sets, Some(row.stamp), trace).await;
        self.conclude(ticket, filed).await?;
        change.leave(1);
        Ok(())
    }

    /// Files edges, and tells what they moved. The first one is what was asked for.
    async fn file_edges(
        &self,
        ticket: Ticket,
        sets: Vec<EdgeSet>,
        newest: Option<i64>,
        trace: Option<TraceContext>,
    ) -> Result<()> {
        let stamp = self.ids.stamp_after(newest.unwrap_or(0));
        let intent = Intent {
            payload: sets.first().and_then(backfill),
            change: Change::Edges(EdgeChanges { sets: sets.clone() }),
            trace,
        };
        if self.commit_at(ticket, intent, stamp).await? == Verdict::Lost {
            return Err(across_block());
        }
        for set in sets.iter().filter(|set| set.ends.kind == Kind::Follow) {
            self.tell_follow(set);
        }
        for ended in sets.iter().skip(1) {
            self.graph.bounds.forget(ended.ends.kind, ended.ends.from);
        }
        Ok(())
    }

    fn tell_follow(&self, set: &EdgeSet) {
        let by = if set.active { 1 } else { -1 };
        let following = UserDelta {
            following: by,
            ..UserDelta::default()
        };
        let followers = UserDelta {
            followers: by,
            ..UserDelta::default()
        };
        self.moves.user(set.ends.from, following);
        self.moves.user(set.ends.to, followers);
        self.graph.followers.moved(set.ends.to, by);
    }

    async fn take_room(&self, ends: Ends) -> Result<bounds::Change> {
        let Ends { kind, from, .. } = ends;
        let (limit, what) = match kind {
            Kind::Follow => (limits::FOLLOWING, "follow"),
            Kind::Block => (limits::BLOCKS, "block"),
            Kind::Mute => (limits::MUTES, "mute"),
        };
        let count = || self.graph.rows.count(&self.db, kind, from);
        let room = self.graph.bounds.add(kind, from, limit, count).await?;
        room.ok_or_else(|| {
            let message = format!("you can {what} at most {limit} users");
            Error::new(Reason::LimitReached, message.clone()).quota(format!("user:{from}"), message)
        })
    }

    async fn has_edge(&self, kind: Kind, from: UserId, to: UserId) -> Result<bool> {
        let row = self.edge(Ends { kind, from, to }).await?;
        Ok(row.is_some_and(|row| row.active))
    }

    /// To whom of some users a user has an edge.
    async fn among(&self, kind: Kind, from: UserId, users: &[UserId]) -> Result<HashSet<UserId>> {
        let ids: Vec<i64> = users.iter().map(|user| user.0 as i64).collect();
        let parts = ids
            .chunks(KEYS_AT_ONCE)
            .map(|ids| self.graph.rows.among(&self.db, kind, from, ids));
        let parts = try_join_all(parts).await?;
        Ok(parts.into_iter().flatten().collect())
    }
}

/// What a lock of two users goes by, whichever of them acts.
fn pair(one: UserId, other: UserId) -> u64 {
    spread(one.0.min(other.0)) ^ one.0.max(other.0)
}

fn changed(active: bool, changed: bool, event: Option<EventId>) -> EdgeChange {
    EdgeChange { active, changed, event }
}

/// The work that follows from an edge. The event has the follow's key: while the backfill is pending, the follow is not below the settled horizon.
fn backfill(set: &EdgeSet) -> Option<Payload> {
    (set.active && set.ends.kind == Kind::Follow).then_some(Payload::Follow {
        follower: set.ends.from,
        followee: set.ends.to,
    })
}

fn across_block() -> Error {
    Error::new(Reason::Blocked, "one of you blocks the other")
}

/// The edges of a range, in its order.
fn page(edges: impl Iterator<Item = Edge>, range: &Range) -> Vec<Edge> {
    let Some((low, high)) = range.bounds() else {
        return Vec::new();
    };
    let mut edges: Vec<Edge> = edges.filter(|edge| (low..=high).contains(&edge.since)).collect();
    match range.order {
        Order::NewestFirst => edges.sort_unstable_by_key(|edge| std::cmp::Reverse(edge.since)),
        Order::OldestFirst => edges.sort_unstable_by_key(|edge| edge.since),
    }
    edges.truncate(range.limit);
    edges
}
