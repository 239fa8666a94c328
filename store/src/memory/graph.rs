//! Follows, blocks and mutes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::GraphStore;
use social_core::fanout::Payload;
use social_core::graph::{Direction, Edge, EdgeChange, EdgeKind, Following, PulledAuthor, Relation, Sources};
use social_core::page::Range;
use social_core::request::TraceContext;
use social_core::{Error, EventId, Reason, Result, UserId, limits};

use super::{Memory, Rows, select_unsorted};

/// Edges of one kind, from either end.
#[derive(Default)]
pub(super) struct Edges {
    by_from: BTreeMap<(UserId, UserId), u64>,
    by_to: BTreeMap<(UserId, UserId), u64>,
}

impl Edges {
    pub(super) fn has(&self, from: UserId, to: UserId) -> bool {
        self.by_from.contains_key(&(from, to))
    }

    /// Since when there is an edge.
    pub(super) fn since(&self, from: UserId, to: UserId) -> Option<u64> {
        self.by_from.get(&(from, to)).copied()
    }

    /// Every edge: from whom, to whom, since when.
    pub(super) fn all(&self) -> impl Iterator<Item = (UserId, UserId, u64)> {
        self.by_from.iter().map(|(&(from, to), &since)| (from, to, since))
    }

    pub(super) fn outgoing(&self, user: UserId) -> impl Iterator<Item = Edge> {
        ends(&self.by_from, user)
    }

    pub(super) fn incoming(&self, user: UserId) -> impl Iterator<Item = Edge> {
        ends(&self.by_to, user)
    }

    pub(super) fn len(&self) -> usize {
        self.by_from.len()
    }

    pub(super) fn add(&mut self, from: UserId, to: UserId, since: u64) {
        self.by_from.insert((from, to), since);
        self.by_to.insert((to, from), since);
    }

    fn remove(&mut self, from: UserId, to: UserId) {
        self.by_from.remove(&(from, to));
        self.by_to.remove(&(to, from));
    }
}

fn ends(edges: &BTreeMap<(UserId, UserId), u64>, user: UserId) -> impl Iterator<Item = Edge> {
    let all = (user, UserId(0))..=(user, UserId(u64::MAX));
    edges.range(all).map(|(&(_, user), &since)| Edge { user, since })
}

#[derive(Default)]
pub(super) struct Graph {
    pub(super) follows: Edges,
    pub(super) blocks: Edges,
    pub(super) mutes: Edges,
}

impl Graph {
    pub(super) fn edges(&self, kind: EdgeKind) -> &Edges {
        match kind {
            EdgeKind::Follow => &self.follows,
            EdgeKind::Block => &self.blocks,
            EdgeKind::Mute => &self.mutes,
        }
    }

    pub(super) fn edges_mut(&mut self, kind: EdgeKind) -> &mut Edges {
        match kind {
            EdgeKind::Follow => &mut self.follows,
            EdgeKind::Block => &mut self.blocks,
            EdgeKind::Mute => &mut self.mutes,
        }
    }

    /// Whether one of the two blocks the other.
    pub(super) fn is_blocked(&self, one: UserId, other: UserId) -> bool {
        self.relation(one, other).is_blocked()
    }

    /// Ends follows in both directions.
    pub(super) fn end_follows(&mut self, one: UserId, other: UserId) {
        self.follows.remove(one, other);
        self.follows.remove(other, one);
    }

    fn relation(&self, viewer: UserId, other: UserId) -> Relation {
        Relation {
            following: self.follows.has(viewer, other),
            followed_by: self.follows.has(other, viewer),
            blocking: self.blocks.has(viewer, other),
            blocked_by: self.blocks.has(other, viewer),
            muting: self.mutes.has(viewer, other),
        }
    }

    /// Refuses a new edge across a block or past the bound of its kind.
    pub(super) fn check_new(&self, kind: EdgeKind, from: UserId, to: UserId) -> Result<()> {
        let (limit, what) = match kind {
            EdgeKind::Follow => (limits::FOLLOWING, "follow"),
            EdgeKind::Block => (limits::BLOCKS, "block"),
            EdgeKind::Mute => (limits::MUTES, "mute"),
        };
        if kind == EdgeKind::Follow {
            self.relation(from, to).refuse_blocked()?;
        }
        if self.edges(kind).outgoing(from).count() as u64 >= limit {
            return Err(Error::new(
                Reason::LimitReached,
                format!("you can {what} at most {limit} users"),
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl GraphStore for Memory {
    async fn set_edge(
        &self,
        kind: EdgeKind,
        from: UserId,
        to: UserId,
        active: bool,
        trace: Option<TraceContext>,
    ) -> Result<EdgeChange> {
        let mut rows = self.rows();
        if rows.graph.edges(kind).has(from, to) == active {
            return Ok(EdgeChange {
                active,
                changed: false,
                event: None,
            });
        }
        let event = if active {
            rows.add_edge(kind, from, to, trace)?
        } else {
            None
        };
        if !active {
            rows.graph.edges_mut(kind).remove(from, to);
        }
        Ok(EdgeChange {
            active,
            changed: true,
            event,
        })
    }

    async fn edges(&self, kind: EdgeKind, direction: Direction, user: UserId, range: Range) -> Result<Vec<Edge>> {
        let rows = self.rows();
        let edges = rows.graph.edges(kind);
        let keyed = |edge: Edge| (edge.since, edge);
        Ok(match direction {
            Direction::Outgoing => select_unsorted(edges.outgoing(user).map(keyed), &range),
            Direction::Incoming => select_unsorted(edges.incoming(user).map(keyed), &range),
        })
    }

    async fn relations(&self, viewer: UserId, users: &[UserId]) -> Result<Vec<Relation>> {
        let rows = self.rows();
        Ok(users.iter().map(|other| rows.graph.relation(viewer, *other)).collect())
    }

    async fn following(&self, viewer: UserId) -> Result<Arc<Following>> {
        let rows = self.rows();
        Ok(Arc::new(Following {
            followees: rows
                .graph
                .follows
                .outgoing(viewer)
                .map(|edge| (edge.user, edge.since))
                .collect(),
            muted: rows.graph.mutes.outgoing(viewer).map(|edge| edge.user).collect(),
        }))
    }

    async fn sources(&self, viewer: UserId) -> Result<Sources> {
        let following = self.following(viewer).await?;
        let rows = self.rows();
        let pulled = rows.graph.follows.outgoing(viewer).filter_map(|edge| {
            let stretches = rows.stretches.get(&edge.user)?.clone();
            Some(PulledAuthor {
                author: edge.user,
                stretches,
            })
        });
        let pulled = Arc::new(pulled.collect());
        Ok(Sources { following, pulled })
    }

    async fn fanout_followers(&self, author: UserId, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>> {
        let rows = self.rows();
        let after = after.map_or(Bound::Included((author, UserId(0))), |user| {
            Bound::Excluded((author, user))
        });
        let followers = rows
            .graph
            .follows
            .by_to
            .range((after, Bound::Included((author, UserId(u64::MAX)))));
        Ok(followers.take(limit).map(|((_, follower), _)| *follower).collect())
    }
}

impl Rows {
    fn add_edge(
        &mut self,
        kind: EdgeKind,
        from: UserId,
        to: UserId,
        trace: Option<TraceContext>,
    ) -> Result<Option<EventId>> {
        self.graph.check_new(kind, from, to)?;
        let since = self.mint();
        self.graph.edges_mut(kind).add(from, to, since);
        if kind == EdgeKind::Block {
            self.graph.end_follows(from, to);
        }
        if kind != EdgeKind::Follow {
            return Ok(None);
        }
        // One id for both: while the backfill is pending, the follow is not below the settled horizon.
        let event = EventId(since);
        self.file(
            event,
            Payload::Follow {
                follower: from,
                followee: to,
            },
            trace,
        );
        Ok(Some(event))
    }
}
