//! Posts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::BoxStream;
use prost_types::Timestamp;
use social_proto::v1;
use social_proto::v1::subscribe_post_response::Event;

use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::live::{self, Feed, Next, Recent, Reconnect};
use crate::{Call, Error, IntoId, List, PostId, UserId};

/// Writes and reads posts. See `social/v1/post.proto`.
#[derive(Clone, Debug)]
pub struct Posts {
    core: Arc<Core>,
}

/// A post that was written, and its way to the followers.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The post.
    pub post: v1::Post,
    /// For [`Timeline::fanout_status`](crate::Timeline::fanout_status); None after a change that nobody new gets to see.
    pub fanout_id: Option<String>,
}

/// A post that was deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Deleted {
    /// The post, with its `delete_time`, and the etag that an undelete takes.
    pub post: v1::Post,
    /// Until when it can be brought back.
    pub undelete_expire_time: Option<Timestamp>,
}

impl Posts {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    /// Publishes a post, PUBLIC unless the call says otherwise.
    pub fn create(&self, content: impl Into<String>) -> Call<v1::CreatePostRequest, Published> {
        let request = v1::CreatePostRequest {
            content: content.into(),
            ..Default::default()
        };
        Call::new(&self.core, request, |answer| published(answer.post, answer.fanout_id))
    }

    /// One post. Needs no login where it is PUBLIC.
    pub fn get(&self, post_id: impl IntoId<PostId>) -> Call<v1::GetPostRequest, v1::Post> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::GetPostRequest::default(), |answer| {
            present("post", answer.post)
        })
        .set(post_id, |request, id| request.post_id = id)
    }

    /// Up to 100 posts; those that the viewer cannot see are listed. Needs no login for PUBLIC ones.
    pub fn batch_get<I: IntoId<PostId>>(
        &self,
        post_ids: impl IntoIterator<Item = I>,
    ) -> Call<v1::BatchGetPostsRequest> {
        let ids = post_ids.into_iter().map(|id| wire("post_ids", id)).collect();
        Call::new(&self.core, v1::BatchGetPostsRequest::default(), Ok).set(ids, |request, ids| request.post_ids = ids)
    }

    /// Changes a post of the caller: what is set on the call, and nothing else.
    pub fn update(&self, post_id: impl IntoId<PostId>) -> Call<v1::UpdatePostRequest, Published> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::UpdatePostRequest::default(), |answer| {
            published(answer.post, answer.fanout_id)
        })
        .set(post_id, |request, id| request.post_id = id)
    }

    /// Deletes a post of the caller. It can be brought back for 30 days.
    pub fn delete(&self, post_id: impl IntoId<PostId>) -> Call<v1::DeletePostRequest, Deleted> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::DeletePostRequest::default(), |answer| {
            let undelete_expire_time = answer.undelete_expire_time;
            Ok(Deleted {
                post: present("post", answer.post)?,
                undelete_expire_time,
            })
        })
        .set(post_id, |request, id| request.post_id = id)
    }

    /// Brings a deleted post of the caller back.
    pub fn undelete(&self, post_id: impl IntoId<PostId>) -> Call<v1::UndeletePostRequest, Published> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::UndeletePostRequest::default(), |answer| {
            published(answer.post, answer.fanout_id)
        })
        .set(post_id, |request, id| request.post_id = id)
    }

    /// What a post was before its edits and is now, newest first. Needs no login where it is PUBLIC.
    pub fn list_revisions(&self, post_id: impl IntoId<PostId>) -> List<v1::ListPostRevisionsRequest> {
        let post_id = wire("post_id", post_id);
        List::new(&self.core, v1::ListPostRevisionsRequest::default()).set(post_id, |request, id| request.post_id = id)
    }

    /// The posts of a user that the viewer can see, newest first. Needs no login for PUBLIC ones.
    pub fn list_by_user(&self, user_id: impl IntoId<UserId>) -> List<v1::ListUserPostsRequest> {
        let user_id = wire("user_id", user_id);
        List::new(&self.core, v1::ListUserPostsRequest::default()).set(user_id, |request, id| request.user_id = id)
    }

    /// Follows one post live: counts, comments, edits, deletion. Needs no login where it is PUBLIC.
    #[must_use = "streams do nothing unless polled"]
    pub fn subscribe(&self, post_id: impl IntoId<PostId>) -> PostStream {
        let feed = wire("post_id", post_id).map(|post_id| PostFeed {
            post_id,
            comments: Recent::default(),
        });
        PostStream {
            events: live::run(&self.core, feed, None),
        }
    }
}

impl Call<v1::CreatePostRequest, Published> {
    /// A title, at most 200 characters.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.request.title = title.into();
        self
    }

    /// Who sees it.
    pub fn visibility(mut self, visibility: v1::Visibility) -> Self {
        self.request.set_visibility(visibility);
        self
    }

    /// The post that this one replies to.
    pub fn in_reply_to(self, post_id: impl IntoId<PostId>) -> Self {
        self.set(wire("in_reply_to_id", post_id), |request, id| {
            request.in_reply_to_id = id;
        })
    }
}

impl Call<v1::GetPostRequest, v1::Post> {
    /// Gives the post also when it is deleted, to its author.
    pub fn include_deleted(mut self) -> Self {
        self.request.include_deleted = true;
        self
    }
}

impl Call<v1::UpdatePostRequest, Published> {
    /// Changes the title; empty removes it.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.request.title = title.into();
        self.masked("title")
    }

    /// Changes the text.
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.request.content = content.into();
        self.masked("content")
    }

    /// Changes who sees it. Where more see it than before, it is fanned out again.
    pub fn visibility(mut self, visibility: v1::Visibility) -> Self {
        self.request.set_visibility(visibility);
        self.masked("visibility")
    }

    /// Fails when the post is not the version of this etag any more.
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

impl Call<v1::DeletePostRequest, Deleted> {
    /// Fails when the post is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }
}

impl Call<v1::UndeletePostRequest, Published> {
    /// Fails when the post is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }
}

impl List<v1::ListUserPostsRequest> {
    /// Leaves out posts that reply to another.
    pub fn exclude_replies(self) -> Self {
        self.set(Ok(()), |request, ()| request.exclude_replies = true)
    }
}

fn published(post: Option<v1::Post>, fanout_id: String) -> Result<Published, Error> {
    let fanout_id = Some(fanout_id).filter(|id| !id.is_empty());
    Ok(Published {
        post: present("post", post)?,
        fanout_id,
    })
}

/// What happens on a post that is followed live.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PostEvent {
    /// The stream is connected; a snapshot follows. After a reconnect list the comments again: what happened in between is
    /// not told.
    Connected {
        /// It was connected before.
        reconnected: bool,
    },
    /// The connection was lost; the stream connects again by itself.
    Reconnecting(Reconnect),
    /// The post as it is now.
    Snapshot(v1::Post),
    /// Its counts changed.
    Counts(v1::PostCounts),
    /// A comment was written.
    CommentCreated(v1::Comment),
    /// A comment was edited.
    CommentUpdated(v1::Comment),
    /// A comment was deleted.
    CommentDeleted(v1::PostCommentDeleted),
    /// The post was edited; this is what it is now.
    Edited(v1::Post),
    /// The post was deleted. It may come back.
    Deleted(v1::PostDeleted),
    /// The post is back.
    Undeleted(v1::Post),
    /// Events were dropped, as they were read too slowly. The stream connects again by itself; list the comments again.
    Gap {
        /// How many, at least.
        dropped: i64,
    },
}

/// A post that is followed live. It connects again by itself; an error is its end. Dropping it ends the subscription.
pub struct PostStream {
    events: BoxStream<'static, Result<PostEvent, Error>>,
}

impl Stream for PostStream {
    type Item = Result<PostEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(cx)
    }
}

struct PostFeed {
    post_id: String,
    comments: Recent,
}

impl Feed for PostFeed {
    type Request = v1::SubscribePostRequest;
    type Event = PostEvent;

    fn request(&self) -> Self::Request {
        v1::SubscribePostRequest {
            post_id: self.post_id.clone(),
        }
    }

    fn take(&mut self, message: v1::SubscribePostResponse, events: &mut VecDeque<PostEvent>) -> Next {
        // An event of a later version of the contract is none that a caller could handle.
        let Some(event) = message.event else { return Next::Go };
        events.push_back(match event {
            Event::Snapshot(post) => PostEvent::Snapshot(post),
            Event::Counts(counts) => PostEvent::Counts(counts),
            Event::CommentCreated(comment) if !self.comments.insert(&comment.id) => return Next::Go,
            Event::CommentCreated(comment) => PostEvent::CommentCreated(comment),
            Event::CommentUpdated(comment) => PostEvent::CommentUpdated(comment),
            Event::CommentDeleted(deleted) => PostEvent::CommentDeleted(deleted),
            Event::PostEdited(post) => PostEvent::Edited(post),
            Event::PostDeleted(deleted) => PostEvent::Deleted(deleted),
            Event::PostUndeleted(post) => PostEvent::Undeleted(post),
            Event::Heartbeat(heartbeat) => return live::within(heartbeat.interval_ms),
            Event::Gap(gap) => {
                events.push_back(PostEvent::Gap { dropped: gap.dropped });
                return Next::Reopen;
            }
        });
        Next::Go
    }

    fn connected(&mut self, reconnected: bool, events: &mut VecDeque<PostEvent>) {
        events.push_back(PostEvent::Connected { reconnected });
    }

    fn reconnecting(&mut self, reconnect: Reconnect, events: &mut VecDeque<PostEvent>) {
        events.push_back(PostEvent::Reconnecting(reconnect));
    }
}
