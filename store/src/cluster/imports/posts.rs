//! Imported posts.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::AccountStore as _;
use social_core::fanout::Mode;
use social_core::import::{ImportKind, ImportPost};
use social_core::posts::PostDraft;
use social_core::{Error, PostId, Result, UserId};

use super::past::Series;
use super::{Item, Places, Reserved, Slot, each};
use crate::cluster::posts::PostRow;
use crate::cluster::truth::Truth;

#[async_trait]
impl Item for ImportPost {
    const KIND: ImportKind = ImportKind::Posts;
    const MOVES_TIMELINES: bool = true;

    async fn check(truth: &Truth, items: &[Slot<'_, Self>]) -> Result<Vec<Result<bool>>> {
        let posts = items.iter().filter_map(|slot| slot.item.as_ref().ok());
        let known = truth.known_users(posts.map(|post| post.author)).await?;
        let decide = |slot: &Slot<'_, Self>| {
            let post = slot.item.as_ref().map_err(Clone::clone)?;
            known
                .contains(&post.author)
                .then_some(true)
                .ok_or_else(Error::user_not_found)
        };
        Ok(items.iter().map(decide).collect())
    }

    async fn reserve(truth: &Truth, items: &[&Self]) -> Result<Vec<Reserved>> {
        let times: Vec<_> = items.iter().map(|post| post.created_at).collect();
        let ids = truth.imports.past.give(&truth.db, Series::Posts, &times).await?;
        let stamp = truth.ids.stamp();
        let reserve = items.iter().zip(ids).map(|(post, id)| async move {
            let places = truth.place_post(PostId(id), post.author, post.in_reply_to).await?;
            Ok(Reserved {
                id,
                stamp,
                places: Places::Post(places),
            })
        });
        each(reserve).await.into_iter().collect()
    }

    async fn store(truth: &Truth, items: &[(&Self, &Reserved)]) -> Result<Vec<Result<()>>> {
        let stored = each(items.iter().map(|(post, reserved)| truth.store_post(post, reserved))).await;
        for (post, _) in items {
            truth.moves.recount_user(post.author);
            if let Some(target) = post.in_reply_to {
                truth.moves.recount_post(target);
            }
        }
        Ok(stored)
    }
}

impl Truth {
    async fn store_post(&self, post: &ImportPost, reserved: &Reserved) -> Result<()> {
        let Places::Post(places) = reserved.places else {
            return Err(Error::internal());
        };
        let draft = PostDraft {
            author: post.author,
            title: post.title.clone(),
            content: post.content.clone(),
            visibility: post.visibility,
            in_reply_to: post.in_reply_to,
            facets: post.facets.clone(),
        };
        let row = PostRow {
            post: Arc::new(draft.into_post(PostId(reserved.id), post.created_at)),
            places,
            stamp: reserved.stamp,
        };
        // Nobody fans it out: the mode says nothing.
        self.write_new_post(&row, Mode::Push).await
    }

    /// Those of some users who exist.
    pub(super) async fn known_users(&self, users: impl Iterator<Item = UserId> + Send) -> Result<HashSet<UserId>> {
        let users: Vec<_> = users.collect::<HashSet<_>>().into_iter().collect();
        let found = self.users(&users).await?;
        Ok(found.into_iter().flatten().map(|user| user.id).collect())
    }
}
