//! Imported follows.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use social_core::graph::Relation;
use social_core::import::{ImportFollow, ImportKind};
use social_core::{Error, Reason, Result, UserId, limits};

use super::past::Series;
use super::{Item, Places, Reserved, Slot, each};
use crate::cluster::graph::{EdgeSet, Ends, Kind};
use crate::cluster::truth::Truth;

#[async_trait]
impl Item for ImportFollow {
    const KIND: ImportKind = ImportKind::Follows;
    const MOVES_TIMELINES: bool = true;

    async fn check(truth: &Truth, items: &[Slot<'_, Self>]) -> Result<Vec<Result<bool>>> {
        let follows: Vec<_> = items.iter().filter_map(|slot| slot.item.as_ref().ok()).collect();
        let users = follows.iter().flat_map(|follow| [follow.follower, follow.followee]);
        let known = truth.known_users(users).await?;
        let looks = follows.iter().map(|follow| truth.look_at_follow(**follow));
        let looks: Vec<Look> = each(looks).await.into_iter().collect::<Result<_>>()?;
        let mut room = truth.room_for_follows(&follows, &looks).await?;
        let (mut looks, mut new) = (looks.into_iter(), HashSet::new());
        let decide = |slot: &Slot<'_, Self>| {
            let follow = slot.item.as_ref().map_err(Clone::clone)?;
            let look = looks.next().ok_or_else(Error::internal)?;
            check_ends(follow, &known)?;
            let ends = (follow.follower, follow.followee);
            // What an earlier attempt began is brought to its end, whatever became of it since.
            if slot.reserved.is_some() {
                new.insert(ends);
                return Ok(true);
            }
            if look.is_there || new.contains(&ends) {
                return Ok(false);
            }
            look.blocks.refuse_blocked()?;
            take_room(&mut room, follow.follower)?;
            new.insert(ends);
            Ok(true)
        };
        Ok(items.iter().map(decide).collect())
    }

    async fn reserve(truth: &Truth, items: &[&Self]) -> Result<Vec<Reserved>> {
        let times: Vec<_> = items.iter().map(|follow| follow.created_at).collect();
        let begun = truth.imports.past.give(&truth.db, Series::Follows, &times).await?;
        let places = items.iter().zip(begun).map(|(follow, since)| async move {
            let before = truth.edge(ends(follow)).await?;
            let buckets = truth.place_edge(ends(follow), since, before.as_ref()).await?;
            Ok((since, buckets, before.map_or(0, |row| row.stamp)))
        });
        let places: Vec<_> = each(places).await.into_iter().collect::<Result<_>>()?;
        // One for all of them: they are written together.
        let newest = places.iter().map(|(_, _, stamp)| *stamp).max();
        let stamp = truth.ids.stamp_after(newest.unwrap_or(0));
        let reserved = places.into_iter().map(|(id, buckets, _)| Reserved {
            id,
            stamp,
            places: Places::Follow(buckets),
        });
        Ok(reserved.collect())
    }

    async fn store(truth: &Truth, items: &[(&Self, &Reserved)]) -> Result<Vec<Result<()>>> {
        let edges = items.iter().map(|(follow, reserved)| {
            let Places::Follow(buckets) = reserved.places else {
                return Err(Error::internal());
            };
            Ok((reserved.stamp, EdgeSet::begin(ends(follow), reserved.id, buckets)))
        });
        truth.import_edges(edges.collect::<Result<Vec<_>>>()?).await?;
        Ok(items.iter().map(|_| Ok(())).collect())
    }
}

/// What there is of a follow.
struct Look {
    is_there: bool,
    blocks: Relation,
}

impl Truth {
    async fn look_at_follow(&self, follow: ImportFollow) -> Result<Look> {
        let (from, to) = (follow.follower, follow.followee);
        let edge = |kind, from, to| async move {
            let row = self.edge(Ends { kind, from, to }).await?;
            Ok::<_, Error>(row.is_some_and(|row| row.active))
        };
        let (is_there, blocking, blocked_by) = tokio::try_join!(
            edge(Kind::Follow, from, to),
            edge(Kind::Block, from, to),
            edge(Kind::Block, to, from),
        )?;
        let blocks = Relation {
            blocking,
            blocked_by,
            ..Relation::default()
        };
        Ok(Look { is_there, blocks })
    }

    /// How many more users those may follow who are to follow somebody new.
    async fn room_for_follows(&self, follows: &[&ImportFollow], looks: &[Look]) -> Result<HashMap<UserId, u64>> {
        let new = follows.iter().zip(looks).filter(|(_, look)| !look.is_there);
        let followers: HashSet<UserId> = new.map(|(follow, _)| follow.follower).collect();
        let counts = followers.into_iter().map(|follower| async move {
            let count = self.following_count(follower).await?;
            Ok((follower, limits::FOLLOWING.saturating_sub(count)))
        });
        each(counts).await.into_iter().collect()
    }
}

fn ends(follow: &ImportFollow) -> Ends {
    Ends {
        kind: Kind::Follow,
        from: follow.follower,
        to: follow.followee,
    }
}

fn check_ends(follow: &ImportFollow, known: &HashSet<UserId>) -> Result<()> {
    if follow.follower == follow.followee {
        return Err(Error::new(Reason::SelfReference, "nobody follows themselves"));
    }
    if known.contains(&follow.follower) && known.contains(&follow.followee) {
        return Ok(());
    }
    Err(Error::user_not_found())
}

/// Takes a place among those that a user may follow. LIMIT_REACHED.
fn take_room(room: &mut HashMap<UserId, u64>, user: UserId) -> Result<()> {
    let left = room.get_mut(&user).filter(|left| **left > 0);
    let left = left.ok_or_else(|| {
        let message = format!("you can follow at most {} users", limits::FOLLOWING);
        Error::new(Reason::LimitReached, message.clone()).quota(format!("user:{user}"), message)
    })?;
    *left -= 1;
    Ok(())
}
