//! UserService.

use social_core::users::{self, ProfileEdit};
use social_core::{Backend, Result, text};
use social_proto::v1;
use social_proto::v1::user_service_server::{UserService, UserServiceServer};
use tonic::{Request, Response, Status};

use super::convert::{self, Fields};
use super::reply::{answer, open};

/// The service over a backend.
pub fn service(backend: Backend) -> UserServiceServer<impl UserService> {
    UserServiceServer::new(Users { backend })
}

struct Users {
    backend: Backend,
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<v1::GetUserRequest>) -> Result<Response<v1::GetUserResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let which = convert::user::read_user_ref(message.user.as_ref())?;
            let view = users::get(&self.backend, caller.viewer, &which).await?;
            Ok(v1::GetUserResponse {
                user: Some(convert::user::user(&view)),
            })
        })
        .await
    }

    async fn batch_get_users(
        &self,
        request: Request<v1::BatchGetUsersRequest>,
    ) -> Result<Response<v1::BatchGetUsersResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let ids = fields.ids("user_ids", &message.user_ids);
            fields.check()?;
            let batch = users::batch_get(&self.backend, caller.viewer, &ids).await?;
            Ok(v1::BatchGetUsersResponse {
                users: batch.found.iter().map(convert::user::user).collect(),
                not_found_ids: convert::user::user_ids(&batch.not_found),
            })
        })
        .await
    }

    async fn update_profile(
        &self,
        request: Request<v1::UpdateProfileRequest>,
    ) -> Result<Response<v1::UpdateProfileResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            let [display_name, bio] = fields.mask(message.update_mask.as_ref(), ["display_name", "bio"]);
            if display_name {
                fields.also(|| text::display_name("display_name", &message.display_name));
            }
            if bio {
                fields.also(|| text::bio("bio", &message.bio));
            }
            fields.check()?;
            let edit = ProfileEdit {
                display_name: display_name.then_some(message.display_name),
                bio: bio.then_some(message.bio),
            };
            let view = users::update_profile(&self.backend, &caller, edit, expected, &message.request_id).await?;
            Ok(v1::UpdateProfileResponse {
                user: Some(convert::user::user(&view)),
            })
        })
        .await
    }

    async fn batch_get_relationships(
        &self,
        request: Request<v1::BatchGetRelationshipsRequest>,
    ) -> Result<Response<v1::BatchGetRelationshipsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let ids = fields.ids("user_ids", &message.user_ids);
            fields.check()?;
            let batch = users::relationships(&self.backend, &caller, &ids).await?;
            let relationships = batch
                .found
                .into_iter()
                .map(|(user, relation)| convert::user::relationship(user, relation));
            Ok(v1::BatchGetRelationshipsResponse {
                relationships: relationships.collect(),
                not_found_ids: convert::user::user_ids(&batch.not_found),
            })
        })
        .await
    }
}
