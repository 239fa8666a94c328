//! Reading and changing profiles.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Handle, ProfileEdit, User, UserCounts};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::graph::Relation;
use crate::id::UserId;
use crate::limits;
use crate::request::{Caller, RequestKey, Viewer};
use crate::text;

/// Which user is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// The one of this id.
    Id(UserId),
    /// The one of this handle.
    Handle(Handle),
}

/// A user as a viewer sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// The user.
    pub user: Arc<User>,
    /// The user's counts.
    pub counts: UserCounts,
    /// How the viewer stands to the user; absent for an anonymous viewer and for the viewer's own profile.
    pub relation: Option<Relation>,
}

/// What a batch found, and what it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What there is, in the order of the request.
    pub found: Vec<T>,
    /// Ids of which there is no user, in the order of the request.
    pub not_found: Vec<UserId>,
}

/// One user. USER_NOT_FOUND. Profiles are open to everybody, across blocks too.
pub async fn get(backend: &Backend, viewer: Viewer, which: &UserRef) -> Result<UserView> {
    let id = match which {
        UserRef::Id(id) => Some(*id),
        UserRef::Handle(handle) => backend
            .store
            .user_ids(std::slice::from_ref(handle))
            .await?
            .first()
            .copied()
            .flatten(),
    };
    let id = id.ok_or_else(Error::user_not_found)?;
    let user = backend
        .store
        .users(&[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::user_not_found)?;
    view(backend, viewer, vec![user])
        .await?
        .pop()
        .ok_or_else(Error::internal)
}

/// Up to [`limits::BATCH`] users; an id given twice counts once. INVALID_FIELD `user_ids`.
pub async fn batch_get(backend: &Backend, viewer: Viewer, ids: &[UserId]) -> Result<Found<UserView>> {
    let Found { found, not_found } = existing(backend, ids).await?;
    Ok(Found {
        found: view(backend, viewer, found).await?,
        not_found,
    })
}

/// Changes the caller's profile. An edit without a field is INVALID_FIELD `update_mask`. ETAG_MISMATCH where `expected_version` names
/// another version than the one there is.
pub async fn update_profile(
    backend: &Backend,
    caller: &Caller,
    edit: ProfileEdit,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<UserView> {
    let user = caller.user()?;
    let edit = ProfileEdit {
        display_name: edit.display_name.map(text::tidied),
        bio: edit.bio.map(text::tidied),
    };
    let content = fingerprint(&edit, expected_version);
    let content: Vec<&[u8]> = content.iter().map(Vec::as_slice).collect();
    let request = RequestKey::new(caller, "UpdateProfile", request_id, &content)?;
    check_edit(&edit)?;
    let user = backend
        .store
        .update_profile(user, edit, expected_version, request)
        .await?
        .value;
    view(backend, caller.viewer, vec![user])
        .await?
        .pop()
        .ok_or_else(Error::internal)
}

/// How the caller stands to up to [`limits::BATCH`] users; to oneself, in no way. An id given twice counts once. INVALID_FIELD `user_ids`.
pub async fn relationships(backend: &Backend, caller: &Caller, ids: &[UserId]) -> Result<Found<(UserId, Relation)>> {
    let viewer = caller.user()?;
    let Found { found, not_found } = existing(backend, ids).await?;
    let ids: Vec<UserId> = found.iter().map(|user| user.id).collect();
    let relations = backend.store.relations(viewer, &ids).await?;
    Ok(Found {
        found: ids.into_iter().zip(relations).collect(),
        not_found,
    })
}

/// Users as a viewer sees them, in their order: one read of counts and one of relations for all.
pub async fn view(backend: &Backend, viewer: Viewer, users: Vec<Arc<User>>) -> Result<Vec<UserView>> {
    let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    let counts = backend.counters.users(&ids).await?;
    let relations = match viewer.user() {
        Some(viewer) => backend
            .store
            .relations(viewer, &ids)
            .await?
            .into_iter()
            .map(Some)
            .collect(),
        None => vec![None; ids.len()],
    };
    let views = users
        .into_iter()
        .zip(counts)
        .zip(relations)
        .map(|((user, counts), relation)| {
            let relation = relation.filter(|_| !viewer.is(user.id));
            UserView { user, counts, relation }
        });
    Ok(views.collect())
}

async fn existing(backend: &Backend, ids: &[UserId]) -> Result<Found<Arc<User>>> {
    if ids.is_empty() || ids.len() > limits::BATCH {
        return Err(Error::field(
            "user_ids",
            format!("must have 1 to {} ids, and has {}", limits::BATCH, ids.len()),
        ));
    }
    let mut seen = HashSet::new();
    let ids: Vec<UserId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
    let users = backend.store.users(&ids).await?;
    let not_found = ids
        .iter()
        .zip(&users)
        .filter(|(_, user)| user.is_none())
        .map(|(id, _)| *id)
        .collect();
    Ok(Found {
        found: users.into_iter().flatten().collect(),
        not_found,
    })
}

/// Refuses an id that no account has. USER_NOT_FOUND.
pub(crate) async fn require(backend: &Backend, id: UserId) -> Result<()> {
    let found = backend.store.users(&[id]).await?.pop().flatten();
    found.map(drop).ok_or_else(Error::user_not_found)
}

fn check_edit(edit: &ProfileEdit) -> Result<()> {
    if edit.display_name.is_none() && edit.bio.is_none() {
        return Err(Error::field("update_mask", "must name `display_name`, `bio` or both"));
    }
    if let Some(display_name) = &edit.display_name {
        text::display_name("display_name", display_name)?;
    }
    edit.bio.as_deref().map_or(Ok(()), |bio| text::bio("bio", bio))
}

/// The parts of an edit, such that a field left alone and one set to nothing differ.
fn fingerprint(edit: &ProfileEdit, expected_version: Option<u64>) -> [Vec<u8>; 3] {
    let text = |field: &Option<String>| {
        field
            .as_ref()
            .map_or_else(Vec::new, |text| [b"=", text.as_bytes()].concat())
    };
    let version = expected_version.map_or_else(Vec::new, |version| version.to_le_bytes().to_vec());
    [text(&edit.display_name), text(&edit.bio), version]
}
