//! What a change of edges does to truth.
//!
//! Processes do not wait for each other. Each writes its edge first and then reads what stands against it: a block against a follow, or an
//! edge that another process made at the same time. The later of two sees both, and puts things right. That is part of applying the
//! change, so that it also happens where an event is brought to its end by others.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use social_core::{Result, UserId};

use super::lately::{Made, Noted};
use super::rows::{Buckets, EdgeRow, Ends, Kind};
use crate::cluster::change::{Act, Change, Verdict};
use crate::cluster::lists::{Entry, List, Place};
use crate::cluster::truth::Truth;

/// Edges that are written at the same time.
const AT_ONCE: usize = 64;

/// Edges as they are to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cluster) struct EdgeChanges {
    pub(in crate::cluster) sets: Vec<EdgeSet>,
}

/// An edge as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::cluster) struct EdgeSet {
    pub(in crate::cluster) ends: Ends,
    pub(in crate::cluster) active: bool,
    /// Of an edge that ends: since when it was.
    pub(in crate::cluster) since: u64,
    pub(in crate::cluster) buckets: Buckets,
}

impl EdgeSet {
    /// The beginning of an edge.
    pub(in crate::cluster) fn begin(ends: Ends, since: u64, buckets: Buckets) -> Self {
        Self {
            ends,
            active: true,
            since,
            buckets,
        }
    }

    /// The end of an edge.
    pub(super) fn end(ends: Ends, row: &EdgeRow) -> Self {
        Self {
            ends,
            active: false,
            since: row.since,
            buckets: row.buckets,
        }
    }
}

impl Ends {
    fn with(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn reversed(self) -> Self {
        Self {
            kind: self.kind,
            from: self.to,
            to: self.from,
        }
    }

    /// The edges of a kind between the two users.
    fn both_ways(self, kind: Kind) -> [Self; 2] {
        [self.with(kind), self.with(kind).reversed()]
    }

    fn made(self) -> Made {
        Made {
            kind: self.kind as i32,
            user: self.from.0,
            member: self.to.0,
        }
    }
}

impl Truth {
    /// Writes edges. `Lost` where every one of them is a follow across a block.
    pub(in crate::cluster) async fn apply_edges(&self, act: Act, change: &EdgeChanges) -> Result<Verdict> {
        each(change.sets.clone(), |set| self.write_edge(set, act.stamp)).await?;
        // What is cached is told by a version that was written after the edges, and is read before them.
        let raised = self.raise_versions(change.sets.iter().flat_map(|set| set.ends.seen_by()));
        let settled = each(change.sets.clone(), |set| self.settle_edge(set, act.stamp));
        let (undone, ()) = tokio::try_join!(settled, raised)?;
        if !undone.is_empty() && undone.into_iter().all(|undone| undone) {
            return Ok(Verdict::Lost);
        }
        Ok(Verdict::Stored)
    }

    /// Writes edges that are brought in, each under the timestamp beside it, and has their ends counted anew. A follow across a block is ended,
    /// whichever of the two came first.
    pub(in crate::cluster) async fn import_edges(&self, edges: impl IntoIterator<Item = (i64, EdgeSet)>) -> Result<()> {
        let mut by_stamp: BTreeMap<i64, Vec<EdgeSet>> = BTreeMap::new();
        for (stamp, set) in edges {
            by_stamp.entry(stamp).or_default().push(set);
        }
        for (stamp, sets) in by_stamp {
            let event = sets.first().map_or(0, |set| set.since);
            let change = EdgeChanges { sets };
            let applied = self.apply_edges(Act { event, stamp }, &change).await;
            self.recount_after_edges(&change);
            applied?;
        }
        Ok(())
    }

    /// Has the counts of an edge's ends made anew.
    pub(in crate::cluster) fn recount_after_edges(&self, change: &EdgeChanges) {
        for set in change.sets.iter().filter(|set| set.ends.kind == Kind::Follow) {
            self.recount_ends(set.ends);
        }
    }

    fn recount_ends(&self, follow: Ends) {
        self.moves.recount_user(follow.from);
        self.moves.recount_user(follow.to);
        self.graph.followers.moved(follow.to, 0);
        self.graph.bounds.forget(Kind::Follow, follow.from);
    }

    async fn write_edge(&self, set: EdgeSet, stamp: i64) -> Result<()> {
        let row = EdgeRow {
            active: set.active,
            since: set.since,
            buckets: set.buckets,
            stamp,
        };
        tokio::try_join!(
            self.graph.rows.set(&self.db, set.ends, row),
            self.list_edge(&set, stamp),
            self.fan_out_edge(&set, stamp),
        )?;
        Ok(())
    }

    /// Sets the edge's entry in the list by `since`.
    async fn list_edge(&self, set: &EdgeSet, stamp: i64) -> Result<()> {
        let Ends { kind, from, to } = set.ends;
        let place = Place {
            list: kind.incoming(),
            owner: to.0,
            bucket: set.buckets.list,
        };
        let entry = Entry {
            key: set.since,
            member: from.0,
        };
        let listed = self.lists.put(&self.db, place, entry, set.active, stamp);
        let noted = Noted {
            since: set.since,
            stamp,
        };
        let noted = self
            .graph
            .lately
            .note(&self.db, set.ends.made(), noted, set.active, self.now());
        tokio::try_join!(listed, noted)?;
        Ok(())
    }

    async fn fan_out_edge(&self, set: &EdgeSet, stamp: i64) -> Result<()> {
        let Ends { kind, from, to } = set.ends;
        if kind != Kind::Follow {
            return Ok(());
        }
        let place = Place {
            list: List::FanOut,
            owner: to.0,
            bucket: set.buckets.fan_out,
        };
        let entry = Entry {
            key: from.0,
            member: from.0,
        };
        self.lists.put(&self.db, place, entry, set.active, stamp).await
    }

    /// Reads what stands against an edge that was just written; whether the edge was undone.
    async fn settle_edge(&self, set: EdgeSet, stamp: i64) -> Result<bool> {
        let follows_undone = async {
            match set.ends.kind {
                Kind::Follow if set.active => self.end_across_block(set.ends, &[set.ends]).await,
                Kind::Block if set.active => {
                    let follows = set.ends.both_ways(Kind::Follow);
                    self.end_across_block(set.ends, &follows).await.map(|_| false)
                }
                _ => Ok(false),
            }
        };
        let (undone, ()) = tokio::try_join!(follows_undone, self.drop_strays(&set, stamp))?;
        Ok(undone)
    }

    /// Ends those of some follows that are there beside a block; whether there is a block. Whenever this is done, it is right: nobody
    /// follows across a block.
    async fn end_across_block(&self, ends: Ends, follows: &[Ends]) -> Result<bool> {
        let follows = try_join_all(follows.iter().map(|ends| async move {
            let row = self.graph.rows.edge(&self.db, *ends).await?;
            Ok::<_, social_core::Error>(row.filter(|row| row.active).map(|row| (*ends, row)))
        }));
        let (is_blocked, follows) = tokio::try_join!(self.is_blocked(ends), follows)?;
        let follows: Vec<_> = follows.into_iter().flatten().collect();
        if is_blocked && !follows.is_empty() {
            let ended = follows.iter().map(|(ends, row)| async move {
                let stamp = self.ids.stamp_after(row.stamp);
                self.write_edge(EdgeSet::end(*ends, row), stamp).await?;
                self.recount_ends(*ends);
                Ok::<_, social_core::Error>(())
            });
            try_join_all(ended).await?;
            self.raise_versions(follows.iter().map(|(ends, _)| ends.from)).await?;
        }
        Ok(is_blocked)
    }

    /// Whether one of the two blocks the other.
    pub(in crate::cluster) async fn is_blocked(&self, ends: Ends) -> Result<bool> {
        let blocks = ends
            .both_ways(Kind::Block)
            .map(|block| self.graph.rows.edge(&self.db, block));
        let blocks = try_join_all(blocks).await?;
        Ok(blocks.into_iter().flatten().any(|row| row.active))
    }

    /// Follows between the two users, as they are.
    pub(super) async fn follows_between(&self, ends: Ends) -> Result<Vec<(Ends, EdgeRow)>> {
        let follows = ends.both_ways(Kind::Follow);
        let rows = try_join_all(follows.map(|ends| self.graph.rows.edge(&self.db, ends))).await?;
        let follows = follows.into_iter().zip(rows);
        Ok(follows
            .filter_map(|(ends, row)| Some((ends, row.filter(|row| row.active)?)))
            .collect())
    }

    /// Takes entries out of the lists that the edge's row does not name.
    async fn drop_strays(&self, set: &EdgeSet, stamp: i64) -> Result<()> {
        let entries = self.graph.lately.entries(&self.db, set.ends.made(), self.now());
        let (entries, row) = tokio::try_join!(entries, self.graph.rows.edge(&self.db, set.ends))?;
        let Some(row) = row else { return Ok(()) };
        let is_named = |since: u64| row.active && row.since == since;
        if set.active && !is_named(set.since) {
            self.drop_stray(set, stamp, &row).await?;
        }
        for noted in entries
            .into_iter()
            .filter(|noted| noted.since != set.since && !is_named(noted.since))
        {
            for stray in self.edges_noted(set.ends, noted, &row).await? {
                self.drop_stray(&stray, noted.stamp, &row).await?;
            }
        }
        Ok(())
    }

    /// Where an edge lies that the row does not name: its event says so, or where an import brought it, the lists themselves.
    async fn edges_noted(&self, ends: Ends, noted: Noted, row: &EdgeRow) -> Result<Vec<EdgeSet>> {
        let since = noted.since;
        if let Some(filed) = self.outbox.find(&self.db, since).await? {
            let Change::Edges(change) = filed.filing.change else {
                return Ok(Vec::new());
            };
            let is_it = |set: &EdgeSet| set.ends == ends && set.since == since;
            return Ok(change.sets.into_iter().filter(is_it).collect());
        }
        let member = ends.from.0;
        let of_follow = async {
            match ends.kind {
                Kind::Follow => {
                    let entry = Entry { key: member, member };
                    self.lists.find(&self.db, List::FanOut, ends.to.0, entry).await
                }
                _ => Ok(Vec::new()),
            }
        };
        let entry = Entry { key: since, member };
        let listed = self.lists.find(&self.db, ends.kind.incoming(), ends.to.0, entry);
        let (listed, mut fan_out) = tokio::try_join!(listed, of_follow)?;
        fan_out.retain(|bucket| *bucket != row.buckets.fan_out);
        let fan_out = fan_out.first().copied().unwrap_or(row.buckets.fan_out);
        // Without an entry there is the note to be ended.
        let listed = if listed.is_empty() { vec![0] } else { listed };
        let strays = listed.into_iter().map(|list| EdgeSet {
            ends,
            active: false,
            since,
            buckets: Buckets { list, fan_out },
        });
        Ok(strays.collect())
    }

    /// Takes an edge's entries out of the lists unless its row is only on its way.
    async fn drop_stray(&self, stray: &EdgeSet, stamp: i64, row: &EdgeRow) -> Result<()> {
        if stamp > row.stamp {
            return Ok(());
        }
        // The same whenever it is done. Nothing else is ever written under the entry's key but its end.
        let stamp = stamp + 1;
        let ended = EdgeSet {
            active: false,
            ..*stray
        };
        self.list_edge(&ended, stamp).await?;
        if stray.buckets.fan_out != row.buckets.fan_out {
            self.fan_out_edge(&ended, stamp).await?;
        }
        if stray.ends.kind == Kind::Follow {
            self.recount_ends(stray.ends);
        }
        Ok(())
    }

    /// Tells every process that what it remembers of some users' edges is old. To be done after the edges are written. The timestamp is above
    /// that of the present version, whoever's clock that is of.
    pub(in crate::cluster) async fn raise_versions(&self, users: impl Iterator<Item = UserId>) -> Result<()> {
        let users: BTreeSet<UserId> = users.collect();
        each(users, |user| async move {
            let written = self.graph.rows.version_written(&self.db, user).await?;
            let version = self.ids.mint().await?;
            let stamp = self.ids.stamp_after(written);
            self.graph.rows.raise(&self.db, user, version, stamp).await
        })
        .await
        .map(drop)
    }
}

impl Ends {
    /// Whose view of others the edge is part of.
    fn seen_by(self) -> impl Iterator<Item = UserId> {
        let other = (self.kind == Kind::Block).then_some(self.to);
        [self.from].into_iter().chain(other)
    }
}

/// Does something for each of some things, many at the same time.
async fn each<T, R, F>(things: impl IntoIterator<Item = T>, work: impl FnMut(T) -> F) -> Result<Vec<R>>
where
    F: Future<Output = Result<R>>,
{
    stream::iter(things)
        .map(work)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
