//! Reads everything that the API tells of a platform, as several viewers, so that two platforms can be compared.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::{StreamExt as _, stream};
use prost::Message;
use social_proto::v1;

use super::archive::{Desk, Ids};
use super::{Failure, Line, Person};

/// Questions that are asked at once.
const AT_ONCE: usize = 16;

/// What a platform answers, behind the questions.
pub type Answers = BTreeMap<String, String>;

/// Who asks.
pub struct Viewer {
    pub name: String,
    pub token: Option<String>,
}

impl Viewer {
    pub fn nobody() -> Self {
        Self {
            name: "nobody".to_owned(),
            token: None,
        }
    }

    pub fn person(person: &Person) -> Self {
        Self {
            name: person.handle.clone(),
            token: Some(person.access.clone()),
        }
    }
}

/// One viewer at one platform.
struct Walk<'a> {
    line: &'a Line,
    viewer: &'a Viewer,
}

/// Everything that these viewers can be told, and the policy.
pub async fn walk(line: &Line, desk: &Desk, viewers: &[Viewer], ids: &Ids) -> Answers {
    let mut answers = Answers::new();
    for viewer in viewers {
        let walk = Walk { line, viewer };
        walk.everything(ids, &mut answers).await;
    }
    let request = v1::GetFanoutPolicyRequest {};
    let policy: Result<v1::GetFanoutPolicyResponse, _> = desk
        .admin
        .call("AdminService/GetFanoutPolicy", Some(&desk.token), &request)
        .await;
    answers.insert("policy".to_owned(), format!("{policy:?}"));
    answers
}

impl Walk<'_> {
    async fn everything(&self, ids: &Ids, answers: &mut Answers) {
        let users = stream::iter(&ids.users).map(|id| self.of_user(id));
        let handles = stream::iter(&ids.handles).map(|handle| self.of_handle(handle));
        let posts = stream::iter(&ids.posts).map(|id| self.of_post(id));
        let comments = stream::iter(&ids.comments).map(|(id, post)| self.of_comment(id, post));
        let parts = [
            users.buffer_unordered(AT_ONCE).concat().await,
            handles.buffer_unordered(AT_ONCE).concat().await,
            posts.buffer_unordered(AT_ONCE).concat().await,
            comments.buffer_unordered(AT_ONCE).concat().await,
        ];
        for (question, answer) in parts.into_iter().flatten() {
            answers.insert(format!("{} asks {question}", self.viewer.name), answer);
        }
        if self.viewer.token.is_some() {
            for (question, answer) in self.own(ids).await {
                answers.insert(format!("{} asks {question}", self.viewer.name), answer);
            }
        }
    }

    async fn ask<A: Message + Default>(&self, method: &str, message: &impl Message) -> Result<A, String> {
        let answer = self.line.call(method, self.viewer.token.as_deref(), message).await;
        answer.map_err(|failure: Failure| failure.reason)
    }

    /// Items of a whole listing.
    async fn all<Q: Message, A: Message + Default, T: Debug>(
        &self,
        method: &str,
        page: impl Fn(String) -> Q,
        take: impl Fn(A) -> (Vec<T>, String),
    ) -> String {
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let (more, next) = match self.ask(method, &page(token)).await {
                Ok(answer) => take(answer),
                Err(reason) => return reason,
            };
            items.extend(more);
            if next.is_empty() {
                return format!("{items:?}");
            }
            token = next;
        }
    }

    async fn of_user(&self, id: &str) -> Vec<(String, String)> {
        let request = v1::GetUserRequest {
            user: Some(v1::get_user_request::User::Id(id.to_owned())),
        };
        let user: Result<v1::GetUserResponse, _> = self.ask("UserService/GetUser", &request).await;
        let posts = self.all(
            "PostService/ListUserPosts",
            |page_token| v1::ListUserPostsRequest {
                user_id: id.to_owned(),
                page_token,
                ..Default::default()
            },
            |page: v1::ListUserPostsResponse| (page.posts, page.next_page_token),
        );
        let followers = self.all(
            "GraphService/ListFollowers",
            |page_token| v1::ListFollowersRequest {
                user_id: id.to_owned(),
                page_token,
                ..Default::default()
            },
            |page: v1::ListFollowersResponse| (page.followers, page.next_page_token),
        );
        let following = self.all(
            "GraphService/ListFollowing",
            |page_token| v1::ListFollowingRequest {
                user_id: id.to_owned(),
                page_token,
                ..Default::default()
            },
            |page: v1::ListFollowingResponse| (page.following, page.next_page_token),
        );
        vec![
            (format!("for user {id}"), format!("{user:?}")),
            (format!("for posts of {id}"), posts.await),
            (format!("for followers of {id}"), followers.await),
            (format!("for whom {id} follows"), following.await),
        ]
    }

    async fn of_handle(&self, handle: &str) -> Vec<(String, String)> {
        let request = v1::GetUserRequest {
            user: Some(v1::get_user_request::User::Handle(handle.to_owned())),
        };
        let user: Result<v1::GetUserResponse, _> = self.ask("UserService/GetUser", &request).await;
        let id = user.map(|answer| answer.user.map(|user| user.id));
        vec![(format!("for handle {handle}"), format!("{id:?}"))]
    }

    async fn of_post(&self, id: &str) -> Vec<(String, String)> {
        let request = v1::GetPostRequest {
            post_id: id.to_owned(),
            include_deleted: true,
        };
        let post: Result<v1::GetPostResponse, _> = self.ask("PostService/GetPost", &request).await;
        let revisions = self.all(
            "PostService/ListPostRevisions",
            |page_token| v1::ListPostRevisionsRequest {
                post_id: id.to_owned(),
                page_token,
                ..Default::default()
            },
            |page: v1::ListPostRevisionsResponse| (page.revisions, page.next_page_token),
        );
        let likers = self.all(
            "LikeService/ListPostLikers",
            |page_token| v1::ListPostLikersRequest {
                post_id: id.to_owned(),
                page_token,
                ..Default::default()
            },
            |page: v1::ListPostLikersResponse| (page.likers, page.next_page_token),
        );
        vec![
            (format!("for post {id}"), format!("{post:?}")),
            (format!("for revisions of {id}"), revisions.await),
            (format!("for likers of {id}"), likers.await),
            (format!("for comments on {id}"), self.comments(id, "").await),
        ]
    }

    async fn of_comment(&self, id: &str, post: &str) -> Vec<(String, String)> {
        let request = v1::BatchGetCommentsRequest {
            comment_ids: vec![id.to_owned()],
        };
        let comment: Result<v1::BatchGetCommentsResponse, _> =
            self.ask("CommentService/BatchGetComments", &request).await;
        vec![
            (format!("for comment {id}"), format!("{comment:?}")),
            (format!("for answers to {id}"), self.comments(post, id).await),
        ]
    }

    async fn comments(&self, post: &str, parent: &str) -> String {
        let page = |page_token| v1::ListCommentsRequest {
            post_id: post.to_owned(),
            parent_id: parent.to_owned(),
            page_token,
            ..Default::default()
        };
        let take = |page: v1::ListCommentsResponse| (page.comments, page.next_page_token);
        self.all("CommentService/ListComments", page, take).await
    }

    /// What only the viewer is told of.
    async fn own(&self, ids: &Ids) -> Vec<(String, String)> {
        let mut answers = Vec::new();
        let page = |page_token| v1::GetHomeTimelineRequest {
            page_token,
            ..Default::default()
        };
        let take = |page: v1::GetHomeTimelineResponse| (page.items, page.next_page_token);
        let home = self.all("TimelineService/GetHomeTimeline", page, take).await;
        answers.push(("for home".to_owned(), home));
        let marker: Result<v1::GetMarkerResponse, _> =
            self.ask("TimelineService/GetMarker", &v1::GetMarkerRequest {}).await;
        answers.push(("for the marker".to_owned(), format!("{marker:?}")));
        let page = |page_token| v1::ListUserLikesRequest {
            page_token,
            ..Default::default()
        };
        let take = |page: v1::ListUserLikesResponse| (page.likes, page.next_page_token);
        answers.push((
            "for likes".to_owned(),
            self.all("LikeService/ListUserLikes", page, take).await,
        ));
        let page = |page_token| v1::ListBlocksRequest {
            page_token,
            ..Default::default()
        };
        let take = |page: v1::ListBlocksResponse| (page.blocks, page.next_page_token);
        answers.push((
            "for blocks".to_owned(),
            self.all("GraphService/ListBlocks", page, take).await,
        ));
        let page = |page_token| v1::ListMutesRequest {
            page_token,
            ..Default::default()
        };
        let take = |page: v1::ListMutesResponse| (page.mutes, page.next_page_token);
        answers.push((
            "for mutes".to_owned(),
            self.all("GraphService/ListMutes", page, take).await,
        ));
        for user_ids in ids.users.chunks(50) {
            let request = v1::BatchGetRelationshipsRequest {
                user_ids: user_ids.to_vec(),
            };
            let relations: Result<v1::BatchGetRelationshipsResponse, _> =
                self.ask("UserService/BatchGetRelationships", &request).await;
            answers.push((format!("for relations to {user_ids:?}"), format!("{relations:?}")));
        }
        answers
    }
}

/// What two platforms answer differently.
pub fn differences(one: &Answers, other: &Answers) -> Vec<String> {
    let questions = one
        .keys()
        .chain(other.keys().filter(|question| !one.contains_key(*question)));
    let differing = questions.filter(|question| one.get(*question) != other.get(*question));
    differing
        .map(|question| format!("{question}\n  {:?}\n  {:?}", one.get(question), other.get(question)))
        .collect()
}
