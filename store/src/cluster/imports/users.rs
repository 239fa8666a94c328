//! Imported accounts.

use std::collections::HashSet;

use async_trait::async_trait;
use social_core::import::ImportKind;
use social_core::users::NewUser;
use social_core::{Error, Result, UserId};

use super::{Item, Places, Reserved, Slot, each};
use crate::cluster::accounts;
use crate::cluster::change::{Change, Verdict};
use crate::cluster::truth::Truth;

#[async_trait]
impl Item for NewUser {
    const KIND: ImportKind = ImportKind::Users;
    const MOVES_TIMELINES: bool = false;

    /// Of several with one handle the first one is to have it. Whether a handle is another's is found out by claiming it.
    async fn check(_truth: &Truth, items: &[Slot<'_, Self>]) -> Result<Vec<Result<bool>>> {
        let mut handles = HashSet::new();
        let decide = |slot: &Slot<'_, Self>| {
            let new = slot.item.as_ref().map_err(Clone::clone)?;
            if handles.insert(new.handle.clone()) {
                Ok(true)
            } else {
                Err(Error::handle_taken())
            }
        };
        Ok(items.iter().map(decide).collect())
    }

    async fn reserve(truth: &Truth, items: &[&Self]) -> Result<Vec<Reserved>> {
        let mut reserved = Vec::with_capacity(items.len());
        for _ in items {
            reserved.push(Reserved {
                id: truth.ids.mint().await?,
                stamp: truth.ids.stamp(),
                places: Places::None,
            });
        }
        Ok(reserved)
    }

    async fn store(truth: &Truth, items: &[(&Self, &Reserved)]) -> Result<Vec<Result<()>>> {
        Ok(each(items.iter().map(|(new, reserved)| truth.store_user(new, reserved))).await)
    }
}

impl Truth {
    async fn store_user(&self, new: &NewUser, reserved: &Reserved) -> Result<()> {
        let change = accounts::new_account(UserId(reserved.id), new.clone(), self.now());
        // Filed first: where this is cut off, a sweep brings it to its end, and no handle stays claimed for nobody.
        let ticket = self.ticket().await?;
        let intent = Change::Account(Box::new(change)).into();
        let stored = self.commit_at(ticket, intent, reserved.stamp).await;
        match self.conclude(ticket, stored).await? {
            Verdict::Stored => Ok(()),
            Verdict::Lost => Err(Error::handle_taken()),
        }
    }
}
