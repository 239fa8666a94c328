//! A small world on one backend, whose answers are told in numbers.

use std::fmt::Debug;

use social_core::comments::Comment;
use social_core::fanout::{Event, Payload, Policy, Progress};
use social_core::graph::{Direction, EdgeKind};
use social_core::likes::Like;
use social_core::page::Range;
use social_core::posts::{Post, PostDraft, PostEdit};
use social_core::request::RequestKey;
use social_core::{CommentId, EventId, PostId, Result, UserId};
use std::time::Duration;

use super::Operation;
use crate::conformance::Subject;
use crate::conformance::subject::{comment_draft, draft, text};

const ALL: Range = Range {
    order: social_core::page::Order::OldestFirst,
    after: None,
    until: None,
    limit: 10_000,
};

/// Users, posts and comments in the order they were made.
pub(super) struct World<'a> {
    t: &'a Subject,
    users: Vec<UserId>,
    posts: Vec<PostId>,
    comments: Vec<Comment>,
    last_request: Option<(PostDraft, RequestKey)>,
}

impl<'a> World<'a> {
    pub(super) async fn new(t: &'a Subject) -> Self {
        let users = t.users("user", 4).await;
        Self {
            t,
            users,
            posts: Vec::new(),
            comments: Vec::new(),
            last_request: None,
        }
    }

    /// Does it, and answers what a client can tell.
    pub(super) async fn apply(&mut self, operation: &Operation) -> String {
        let (t, store) = (self.t, self.t.store());
        match operation {
            Operation::Post {
                author,
                reply_to,
                visibility,
            } => {
                let in_reply_to = reply_to.and_then(|number| pick(&self.posts, number));
                let draft = PostDraft {
                    in_reply_to,
                    visibility: *visibility,
                    ..draft(self.user(*author), "text")
                };
                self.write(draft, t.key()).await
            }
            Operation::Repeat => match self.last_request.clone() {
                Some((draft, key)) => self.write(draft, key).await,
                None => String::new(),
            },
            Operation::EditPost {
                post,
                visibility,
                version,
            } => {
                let edit = PostEdit {
                    visibility: *visibility,
                    ..text("edited")
                };
                let Some(post) = pick(&self.posts, *post) else {
                    return String::new();
                };
                let result = store.edit_post(post, edit, *version, t.key(), None).await;
                self.told(result.map(|outcome| self.post(&outcome.value)))
            }
            Operation::DeletePost { post, version } => {
                let Some(post) = pick(&self.posts, *post) else {
                    return String::new();
                };
                let result = store.delete_post(post, *version, t.key()).await;
                self.told(result.map(|outcome| self.post(&outcome.value)))
            }
            Operation::UndeletePost { post } => {
                let Some(post) = pick(&self.posts, *post) else {
                    return String::new();
                };
                let result = store.undelete_post(post, None, t.key(), None).await;
                self.told(result.map(|outcome| self.post(&outcome.value)))
            }
            Operation::Comment { author, post, parent } => self.comment(*author, *post, *parent).await,
            Operation::EditComment { comment, version } => {
                let Some(comment) = pick(&self.comments, *comment) else {
                    return String::new();
                };
                let result = store
                    .edit_comment(comment.id, "edited".into(), vec![], *version, t.key())
                    .await;
                self.told(result.map(|outcome| self.comment_row(outcome.value)))
            }
            Operation::DeleteComment { comment, version } => {
                let Some(comment) = pick(&self.comments, *comment) else {
                    return String::new();
                };
                let result = store.delete_comment(comment.id, *version, t.key()).await;
                self.told(result.map(|outcome| self.comment_row(outcome.value)))
            }
            Operation::Like { user, post, active } => {
                let Some(post) = pick(&self.posts, *post) else {
                    return String::new();
                };
                self.told(store.set_like(self.user(*user), post, *active).await)
            }
            Operation::Edge { kind, from, to, active } => {
                let (from, to) = (self.user(*from), self.user(*to));
                if from == to {
                    return String::new();
                }
                let result = store.set_edge(*kind, from, to, *active, None).await;
                self.told(result.map(|change| (change.active, change.changed, change.event.is_some())))
            }
            _ => {
                drop(store);
                self.apply_to_events(operation).await
            }
        }
    }

    async fn apply_to_events(&mut self, operation: &Operation) -> String {
        let (t, store) = (self.t, self.t.store());
        match operation {
            Operation::Policy { strategy, threshold } => {
                let policy = Policy {
                    strategy: *strategy,
                    celebrity_threshold: *threshold,
                    ..Policy::default()
                };
                self.told(store.set_policy(policy, None).await)
            }
            Operation::Finish { event } => {
                let Some(event) = pick(&t.pending().await, *event) else {
                    return String::new();
                };
                self.told(
                    store
                        .finish(
                            event,
                            Progress {
                                delivered: 3,
                                ..Progress::default()
                            },
                        )
                        .await,
                )
            }
            Operation::Fail { event, times } => {
                let Some(event) = pick(&t.pending().await, *event) else {
                    return String::new();
                };
                let mut told = String::new();
                for _ in 0..*times {
                    told = self.told(
                        store
                            .record_failure(event, "Broken")
                            .await
                            .map(|event| self.event(event)),
                    );
                }
                told
            }
            Operation::Replay { event } => {
                let dead = store.dead_letters(ALL).await.unwrap();
                let Some(event) = pick(&dead, *event) else {
                    return String::new();
                };
                self.told(store.replay_dead_letter(event.id).await.map(|event| self.event(event)))
            }
            Operation::Marker { user, post } => {
                let Some(post) = pick(&self.posts, *post) else {
                    return String::new();
                };
                let marker = store.set_marker(self.user(*user), post, None).await.unwrap();
                format!(
                    "{:?}, version {}",
                    marker.last_read.map(|post| self.number(post)),
                    marker.version
                )
            }
            Operation::Expire => {
                while store.expire(50).await.unwrap() > 0 {}
                String::new()
            }
            Operation::Pass { seconds } => {
                t.advance(Duration::from_secs(*seconds));
                String::new()
            }
            Operation::StepBack { seconds } => {
                t.step_back(Duration::from_secs(*seconds));
                String::new()
            }
            _ => {
                drop(store);
                t.reopen().await;
                String::new()
            }
        }
    }

    async fn write(&mut self, draft: PostDraft, key: RequestKey) -> String {
        self.last_request = Some((draft.clone(), key));
        let result = self.t.store().create_post(draft, key, None).await;
        if let Ok(outcome) = &result
            && !outcome.replayed
        {
            self.posts.push(outcome.value.post.id);
        }
        self.told(result.map(|outcome| (outcome.replayed, outcome.value.mode, self.post(&outcome.value.post))))
    }

    async fn comment(&mut self, author: usize, post: usize, parent: Option<usize>) -> String {
        let Some(post) = pick(&self.posts, post) else {
            return String::new();
        };
        let parent = parent.and_then(|number| pick(&self.comments, number));
        // A parent of another post is refused, which is an answer too.
        let draft = comment_draft(self.user(author), post, parent.as_ref());
        let result = self
            .t
            .store()
            .create_comment(draft, self.t.key())
            .await
            .map(|outcome| outcome.value);
        self.comments.extend(result.clone());
        self.told(result.map(|comment| self.comment_row(comment)))
    }

    /// Everything that can be read, a line each.
    pub(super) async fn view(&self) -> Vec<String> {
        let store = self.t.store();
        let mut view = Vec::new();
        for (number, user) in self.users.iter().enumerate() {
            view.extend(self.view_of_user(number, *user).await);
        }
        for (number, post) in store.posts(&self.posts).await.unwrap().into_iter().enumerate() {
            let post = post.unwrap();
            view.push(format!("post {number}: {}", self.post(&post)));
            view.push(format!("its counts: {:?}", self.t.post_counts(post.id).await));
            view.push(format!(
                "its likers: {:?}",
                self.likes(store.likers(post.id, ALL).await.unwrap())
            ));
            let revisions = store.post_revisions(post.id, ALL).await.unwrap();
            view.push(format!("its revisions: {revisions:?}"));
            let comments = store.list_comments(post.id, None, ALL).await.unwrap();
            view.push(format!("its comments: {:?}", self.comment_rows(comments)));
        }
        for comment in &self.comments {
            let answers = store.list_comments(comment.post, Some(comment.id), ALL).await.unwrap();
            view.push(format!("answers: {:?}", self.comment_rows(answers)));
        }
        let events = store.pending_events(None, 10_000).await.unwrap();
        view.push(format!("pending: {:?}", self.events(events)));
        view.push(format!(
            "dead: {:?}",
            self.events(store.dead_letters(ALL).await.unwrap())
        ));
        view.push(format!("policy: {:?}", store.policy().await));
        view
    }

    async fn view_of_user(&self, number: usize, user: UserId) -> Vec<String> {
        let store = self.t.store();
        let posts = store.user_posts(user, ALL).await.unwrap();
        let posts: Vec<_> = posts.into_iter().map(|post| self.number(post)).collect();
        let mut view = vec![format!(
            "posts of user {number}: {posts:?}, {:?}",
            self.t.user_counts(user).await
        )];
        for (kind, direction) in [
            (EdgeKind::Follow, Direction::Outgoing),
            (EdgeKind::Follow, Direction::Incoming),
            (EdgeKind::Block, Direction::Outgoing),
            (EdgeKind::Mute, Direction::Outgoing),
        ] {
            let edges = store.edges(kind, direction, user, ALL).await.unwrap();
            let edges: Vec<_> = edges.into_iter().map(|edge| self.user_number(edge.user)).collect();
            view.push(format!("{kind:?} {direction:?}: {edges:?}"));
        }
        let liked = store.liked(user, &self.posts).await.unwrap();
        view.push(format!(
            "likes {liked:?}: {:?}",
            self.likes(store.user_likes(user, ALL).await.unwrap())
        ));
        view.push(format!("relations: {:?}", store.relations(user, &self.users).await));
        let mut fanout = store.fanout_followers(user, None, 100).await.unwrap();
        fanout.sort();
        view.push(format!(
            "fans out to {:?}",
            fanout
                .into_iter()
                .map(|user| self.user_number(user))
                .collect::<Vec<_>>()
        ));
        let pulled = store.sources(user).await.unwrap().pulled;
        let mut pulled: Vec<_> = pulled
            .iter()
            .map(|pulled| {
                let stretch = |(from, to): &(PostId, PostId)| (self.number(*from), self.number(*to));
                (
                    self.user_number(pulled.author),
                    pulled.stretches.iter().map(stretch).collect::<Vec<_>>(),
                )
            })
            .collect();
        pulled.sort();
        view.push(format!("pulls {pulled:?}"));
        view
    }

    fn told<T: Debug>(&self, result: Result<T>) -> String {
        match result {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => format!("refused: {:?}", error.reason),
        }
    }

    fn user(&self, number: usize) -> UserId {
        self.users[number % self.users.len()]
    }

    fn user_number(&self, user: UserId) -> usize {
        self.users.iter().position(|other| *other == user).unwrap()
    }

    fn number(&self, post: PostId) -> usize {
        self.posts.iter().position(|other| *other == post).unwrap()
    }

    fn post(&self, post: &Post) -> String {
        let told = Post {
            id: PostId(self.number(post.id) as u64),
            author: UserId(self.user_number(post.author) as u64),
            in_reply_to: post.in_reply_to.map(|target| PostId(self.number(target) as u64)),
            visible_since: EventId(u64::from(post.visible_since != post.id.into())),
            ..post.clone()
        };
        format!("{told:?}")
    }

    fn comment_row(&self, comment: Comment) -> String {
        let number = |id: CommentId| {
            self.comments
                .iter()
                .position(|other| other.id == id)
                .unwrap_or(self.comments.len())
        };
        let told = Comment {
            id: CommentId(number(comment.id) as u64),
            post: PostId(self.number(comment.post) as u64),
            parent: comment.parent.map(|parent| CommentId(number(parent) as u64)),
            author: UserId(self.user_number(comment.author) as u64),
            ..comment
        };
        format!("{told:?}")
    }

    fn comment_rows(&self, comments: Vec<Comment>) -> Vec<String> {
        comments.into_iter().map(|comment| self.comment_row(comment)).collect()
    }

    fn likes(&self, likes: Vec<Like>) -> Vec<(usize, usize)> {
        likes
            .into_iter()
            .map(|like| (self.user_number(like.user), self.number(like.post)))
            .collect()
    }

    fn event(&self, event: Event) -> String {
        let payload = match event.payload {
            Payload::Post { post, mode, .. } => format!("post {}, {mode:?}", self.number(post)),
            Payload::Restore { post, .. } => format!("restore {}", self.number(post)),
            Payload::Follow { follower, followee } => {
                format!("follow {} {}", self.user_number(follower), self.user_number(followee))
            }
        };
        let Event {
            state,
            progress,
            attempts,
            last_error,
            filed_at,
            ..
        } = event;
        format!("{payload}: {state:?} {progress:?} {attempts} {last_error:?} {filed_at:?}")
    }

    fn events(&self, events: Vec<Event>) -> Vec<String> {
        events.into_iter().map(|event| self.event(event)).collect()
    }
}

fn pick<T: Clone>(all: &[T], number: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[number % all.len()].clone())
}
