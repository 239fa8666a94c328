//! Follows, blocks and mutes.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::GraphStore;
use social_core::error::Reason;
use social_core::fanout::Payload;
use social_core::graph::{Direction, Edge, EdgeChange, EdgeKind, Following, Relation, Sources};
use social_core::page::Range;
use social_core::request::TraceContext;
use social_core::{Error, EventId, Result, UserId, limits};

use super::caches::Reader;
use super::counts::{self, step};
use super::effects::Effect;
use super::events;
use super::keys;
use super::rows::{self, UserTotals};
use super::tables::Table;
use super::truth::{Truth, with_numbers};
use super::tx::Tx;

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
        self.writer.run(move |tx| set(tx, kind, from, to, active, trace)).await
    }

    async fn edges(&self, kind: EdgeKind, direction: Direction, user: UserId, range: Range) -> Result<Vec<Edge>> {
        let table = match direction {
            Direction::Outgoing => Table::EdgesOut,
            Direction::Incoming => Table::EdgesIn,
        };
        let rows = with_numbers(table, self.list(table, &keys::edge_list(kind, user), range)?)?;
        Ok(rows
            .into_iter()
            .map(|(since, other)| Edge {
                user: UserId(other),
                since,
            })
            .collect())
    }

    async fn relations(&self, viewer: UserId, users: &[UserId]) -> Result<Vec<Relation>> {
        users.iter().map(|user| self.relation(viewer, *user)).collect()
    }

    async fn following(&self, viewer: UserId) -> Result<Arc<Following>> {
        Ok(self.reader(viewer)?.following.clone())
    }

    async fn sources(&self, viewer: UserId) -> Result<Sources> {
        let reader = self.reader(viewer)?;
        Ok(Sources {
            following: reader.following.clone(),
            pulled: self.caches.pulled_followees(&reader),
        })
    }

    async fn fanout_followers(&self, author: UserId, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>> {
        let range = Range::oldest(after.map(|user| user.0), limit);
        let rows = self.list(Table::Followers, &keys::id(author.0), range)?;
        Ok(rows.into_iter().map(|(follower, _)| UserId(follower)).collect())
    }
}

impl Truth {
    fn reader(&self, viewer: UserId) -> Result<Arc<Reader>> {
        self.caches.reader(viewer, || self.load_reader(viewer))
    }

    fn load_reader(&self, viewer: UserId) -> Result<Arc<Reader>> {
        let view = self.snapshot();
        let mut following = Following::default();
        view.each(Table::Edges, &keys::edge_list(EdgeKind::Follow, viewer), |to, since| {
            let since = rows::decode_u64(since).map_err(|error| error.report(Table::Edges.name()))?;
            following.followees.insert(UserId(to), since);
            Ok(())
        })?;
        view.each(Table::Edges, &keys::edge_list(EdgeKind::Mute, viewer), |to, _| {
            following.muted.insert(UserId(to));
            Ok(())
        })?;
        Ok(Reader::new(following))
    }

    /// The viewer's own side of follows and mutes may be in memory; where it is not, single rows cost less than all of it:
    /// it went out of memory with the viewer's last follow.
    fn relation(&self, viewer: UserId, user: UserId) -> Result<Relation> {
        let edge = |kind, from, to: UserId| self.has(Table::Edges, &keys::edge(kind, from, to.0));
        let (following, muting) = match self.caches.known_reader(viewer) {
            Some(own) => (
                own.following.followees.contains_key(&user),
                own.following.muted.contains(&user),
            ),
            None => (
                edge(EdgeKind::Follow, viewer, user)?,
                edge(EdgeKind::Mute, viewer, user)?,
            ),
        };
        Ok(Relation {
            following,
            followed_by: edge(EdgeKind::Follow, user, viewer)?,
            blocking: edge(EdgeKind::Block, viewer, user)?,
            blocked_by: edge(EdgeKind::Block, user, viewer)?,
            muting,
        })
    }
}

fn set(
    tx: &mut Tx<'_>,
    kind: EdgeKind,
    from: UserId,
    to: UserId,
    active: bool,
    trace: Option<TraceContext>,
) -> Result<EdgeChange> {
    if has(tx, kind, from, to)? == active {
        return Ok(EdgeChange {
            active,
            changed: false,
            event: None,
        });
    }
    if !active {
        remove(tx, kind, from, to)?;
        return Ok(EdgeChange {
            active,
            changed: true,
            event: None,
        });
    }
    let since = tx.mint();
    add(tx, kind, from, to, since)?;
    // One id for both: while the backfill is pending, the follow is not below the settled horizon.
    let event = (kind == EdgeKind::Follow).then_some(EventId(since));
    if let Some(id) = event {
        let payload = Payload::Follow {
            follower: from,
            followee: to,
        };
        events::file(tx, id, payload, trace)?;
    }
    Ok(EdgeChange {
        active,
        changed: true,
        event,
    })
}

/// Whether there is an edge in this commit.
pub(super) fn has(tx: &Tx<'_>, kind: EdgeKind, from: UserId, to: UserId) -> Result<bool> {
    tx.has(Table::Edges, &keys::edge(kind, from, to.0))
}

/// Adds an edge that is not there. BLOCKED, LIMIT_REACHED.
pub(super) fn add(tx: &mut Tx<'_>, kind: EdgeKind, from: UserId, to: UserId, since: u64) -> Result<()> {
    match kind {
        EdgeKind::Follow => refuse_across_block(tx, from, to)?,
        EdgeKind::Block => end_follows(tx, from, to)?,
        EdgeKind::Mute => {}
    }
    refuse_past_limit(tx, kind, from)?;
    insert(tx, kind, from, to, since)
}

/// Writes an edge that is not there, with its indexes and counts.
pub(super) fn insert(tx: &mut Tx<'_>, kind: EdgeKind, from: UserId, to: UserId, since: u64) -> Result<()> {
    tx.put_number(Table::Edges, keys::edge(kind, from, to.0), since);
    tx.put_number(Table::EdgesOut, keys::edge(kind, from, since), to.0);
    tx.put_number(Table::EdgesIn, keys::edge(kind, to, since), from.0);
    if kind == EdgeKind::Follow {
        tx.mark(Table::Followers, keys::pair(to.0, from.0));
    }
    moved(tx, kind, from, to, true)
}

fn remove(tx: &mut Tx<'_>, kind: EdgeKind, from: UserId, to: UserId) -> Result<()> {
    let key = keys::edge(kind, from, to.0);
    let Some(since) = tx.number(Table::Edges, &key)? else {
        return Ok(());
    };
    tx.delete(Table::Edges, key);
    tx.delete(Table::EdgesOut, keys::edge(kind, from, since));
    tx.delete(Table::EdgesIn, keys::edge(kind, to, since));
    if kind == EdgeKind::Follow {
        tx.delete(Table::Followers, keys::pair(to.0, from.0));
    }
    moved(tx, kind, from, to, false)
}

/// Counts the edge that came or went, and tells memory.
fn moved(tx: &mut Tx<'_>, kind: EdgeKind, from: UserId, to: UserId, up: bool) -> Result<()> {
    counts::move_user(tx, from, |totals| step(count_of(kind, totals), up))?;
    if kind == EdgeKind::Follow {
        counts::move_user(tx, to, |totals| step(&mut totals.followers, up))?;
    }
    tx.effect(Effect::Edge(kind, from));
    Ok(())
}

fn count_of(kind: EdgeKind, totals: &mut UserTotals) -> &mut u64 {
    match kind {
        EdgeKind::Follow => &mut totals.following,
        EdgeKind::Block => &mut totals.blocks,
        EdgeKind::Mute => &mut totals.mutes,
    }
}

/// Whether one of the two blocks the other.
pub(super) fn is_blocked(tx: &Tx<'_>, one: UserId, other: UserId) -> Result<bool> {
    Ok(blocks(tx, one, other)?.is_blocked())
}

fn refuse_across_block(tx: &Tx<'_>, from: UserId, to: UserId) -> Result<()> {
    blocks(tx, from, to)?.refuse_blocked()
}

fn blocks(tx: &Tx<'_>, from: UserId, to: UserId) -> Result<Relation> {
    Ok(Relation {
        blocking: has(tx, EdgeKind::Block, from, to)?,
        blocked_by: has(tx, EdgeKind::Block, to, from)?,
        ..Relation::default()
    })
}

fn refuse_past_limit(tx: &Tx<'_>, kind: EdgeKind, from: UserId) -> Result<()> {
    let (limit, what) = match kind {
        EdgeKind::Follow => (limits::FOLLOWING, "follow"),
        EdgeKind::Block => (limits::BLOCKS, "block"),
        EdgeKind::Mute => (limits::MUTES, "mute"),
    };
    if *count_of(kind, &mut counts::totals(tx, from)?) < limit {
        return Ok(());
    }
    let message = format!("you can {what} at most {limit} users");
    Err(Error::new(Reason::LimitReached, message.clone()).quota(format!("user:{from}"), message))
}

/// Ends follows in both directions.
pub(super) fn end_follows(tx: &mut Tx<'_>, one: UserId, other: UserId) -> Result<()> {
    remove(tx, EdgeKind::Follow, one, other)?;
    remove(tx, EdgeKind::Follow, other, one)
}
