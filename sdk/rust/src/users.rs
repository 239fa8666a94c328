//! Profiles.

use std::sync::Arc;

use social_proto::v1;

use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::{Call, IntoId, UserId};

/// Reads and changes profiles. See `social/v1/user.proto`.
#[derive(Clone, Debug)]
pub struct Users {
    core: Arc<Core>,
}

impl Users {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    /// One user, by id. Needs no login.
    pub fn get(&self, user_id: impl IntoId<UserId>) -> Call<v1::GetUserRequest, v1::User> {
        let id = wire("user_id", user_id);
        self.get_call().set(id, |request, id| {
            request.user = Some(v1::get_user_request::User::Id(id));
        })
    }

    /// One user, by handle, without `@`. Needs no login.
    pub fn get_by_handle(&self, handle: impl Into<String>) -> Call<v1::GetUserRequest, v1::User> {
        let handle = v1::get_user_request::User::Handle(handle.into());
        self.get_call()
            .set(Ok(handle), |request, handle| request.user = Some(handle))
    }

    /// Up to 100 users; those that do not exist are listed. Needs no login.
    pub fn batch_get<I: IntoId<UserId>>(
        &self,
        user_ids: impl IntoIterator<Item = I>,
    ) -> Call<v1::BatchGetUsersRequest> {
        let ids = user_ids.into_iter().map(|id| wire("user_ids", id)).collect();
        Call::new(&self.core, v1::BatchGetUsersRequest::default(), Ok).set(ids, |request, ids| request.user_ids = ids)
    }

    /// Changes the caller's profile: what is set on the call, and nothing else.
    pub fn update_profile(&self) -> Call<v1::UpdateProfileRequest, v1::User> {
        Call::new(&self.core, v1::UpdateProfileRequest::default(), |answer| {
            present("user", answer.user)
        })
    }

    /// How the caller stands to up to 100 users; those that do not exist are listed.
    pub fn batch_get_relationships<I: IntoId<UserId>>(
        &self,
        user_ids: impl IntoIterator<Item = I>,
    ) -> Call<v1::BatchGetRelationshipsRequest> {
        let ids = user_ids.into_iter().map(|id| wire("user_ids", id)).collect();
        Call::new(&self.core, v1::BatchGetRelationshipsRequest::default(), Ok)
            .set(ids, |request, ids| request.user_ids = ids)
    }

    fn get_call(&self) -> Call<v1::GetUserRequest, v1::User> {
        Call::new(&self.core, v1::GetUserRequest::default(), |answer| {
            present("user", answer.user)
        })
    }
}

impl Call<v1::UpdateProfileRequest, v1::User> {
    /// Changes the name to show: 1 to 50 characters.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.request.display_name = name.into();
        self.masked("display_name")
    }

    /// Changes what the user says of themselves: at most 500 characters; empty removes it.
    pub fn bio(mut self, bio: impl Into<String>) -> Self {
        self.request.bio = bio.into();
        self.masked("bio")
    }

    /// Fails when the profile is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }

    fn masked(mut self, path: &str) -> Self {
        self.request
            .update_mask
            .get_or_insert_default()
            .paths
            .push(path.to_owned());
        self
    }
}
