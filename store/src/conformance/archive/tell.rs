//! What a platform answers, read by every method that reads truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use social_core::graph::{Direction, EdgeKind};
use social_core::page::Range;
use social_core::posts::Post;

use super::World;
use crate::conformance::Subject;

const RANGES: [fn() -> Range; 3] = [
    || Range::oldest(None, 10_000),
    || Range::newest(None, 10_000),
    || Range::newest(None, 2),
];

/// The answers, each behind its question.
struct Answers(BTreeMap<String, String>);

impl Answers {
    fn note(&mut self, question: impl Into<String>, answer: impl Debug) {
        let question = question.into();
        let before = self.0.insert(question.clone(), format!("{answer:?}"));
        assert!(before.is_none(), "{question} is asked twice");
    }
}

/// Everything.
pub(super) async fn all(t: &Subject, world: &World) -> BTreeMap<String, String> {
    let mut answers = Answers(BTreeMap::new());
    users(t, world, &mut answers).await;
    posts(t, world, &mut answers).await;
    comments(t, world, &mut answers).await;
    likes(t, world, &mut answers).await;
    graph(t, world, &mut answers).await;
    answers.note("policy", t.store().policy().await.unwrap());
    answers.0
}

/// Everything but ids and times of what was made here: those are of each platform.
pub(super) async fn but_times(t: &Subject, world: &World) -> BTreeMap<String, String> {
    let mut answers = Answers(BTreeMap::new());
    let store = t.store();
    for id in &world.users {
        let user = store.users(&[*id]).await.unwrap().remove(0).unwrap();
        let account = store.account(*id).await.unwrap().unwrap();
        let marker = store.marker(*id).await.unwrap();
        let told = (&user.handle, &user.bio, user.version, &account.password);
        answers.note(format!("user {id}"), (told, marker.last_read, marker.version));
        answers.note(format!("counts of user {id}"), t.user_counts(*id).await);
        for range in RANGES.map(|range| range()) {
            let listed = store.user_posts(*id, range).await.unwrap();
            answers.note(format!("posts of {id} {range:?}"), listed);
        }
        let likes = store.user_likes(*id, RANGES[0]()).await.unwrap();
        let liked: BTreeSet<_> = likes.iter().map(|like| like.post).collect();
        answers.note(format!("likes of {id}"), liked);
        answers.note(
            format!("relations of {id}"),
            store.relations(*id, &world.users).await.unwrap(),
        );
    }
    for id in &world.posts {
        let post = t.row(*id).await;
        let told = (
            &post.content,
            post.version,
            post.revision,
            post.is_deleted(),
            post.visibility,
        );
        answers.note(format!("post {id}"), told);
        let revisions = store.post_revisions(*id, RANGES[0]()).await.unwrap();
        let revisions: Vec<_> = revisions
            .into_iter()
            .map(|revision| (revision.number, revision.content))
            .collect();
        answers.note(format!("revisions of {id}"), revisions);
        answers.note(format!("counts of {id}"), t.post_counts(*id).await);
        let likers = store.likers(*id, RANGES[0]()).await.unwrap();
        let likers: BTreeSet<_> = likers.iter().map(|like| like.user).collect();
        answers.note(format!("likers of {id}"), likers);
    }
    for id in &world.comments {
        let comment = store.comments(&[*id]).await.unwrap().remove(0).unwrap();
        let told = (&comment.content, comment.version, comment.is_deleted(), comment.replies);
        answers.note(format!("comment {id}"), told);
    }
    answers.0
}

async fn users(t: &Subject, world: &World, answers: &mut Answers) {
    let store = t.store();
    answers.note("users", store.users(&world.users).await.unwrap());
    let handles: Vec<_> = world.handles.iter().map(|handle| handle.parse().unwrap()).collect();
    answers.note("handles", store.user_ids(&handles).await.unwrap());
    for id in &world.users {
        let account = store.account(*id).await.unwrap().unwrap();
        let hash = account.password.as_ref().map(|hash| hash.as_phc().to_owned());
        answers.note(format!("account of {id}"), (hash, account.changed_at));
        answers.note(format!("marker of {id}"), store.marker(*id).await.unwrap());
        answers.note(format!("counts of user {id}"), t.user_counts(*id).await);
    }
}

async fn posts(t: &Subject, world: &World, answers: &mut Answers) {
    let store = t.store();
    let rows = store.posts(&world.posts).await.unwrap();
    // A clone has no room taken by an encoding.
    let rows: Vec<Post> = rows.into_iter().map(|row| Post::clone(&row.unwrap())).collect();
    answers.note("posts", rows);
    for range in RANGES.map(|range| range()) {
        for id in &world.posts {
            let revisions = store.post_revisions(*id, range).await.unwrap();
            answers.note(format!("revisions of {id} {range:?}"), revisions);
        }
        for id in &world.users {
            let listed = store.user_posts(*id, range).await.unwrap();
            answers.note(format!("posts of {id} {range:?}"), listed);
            let all = store.all_user_posts(*id, range).await.unwrap();
            answers.note(format!("all posts of {id} {range:?}"), all);
        }
    }
    for id in &world.posts {
        answers.note(format!("counts of {id}"), t.post_counts(*id).await);
    }
}

async fn comments(t: &Subject, world: &World, answers: &mut Answers) {
    let store = t.store();
    answers.note("comments", store.comments(&world.comments).await.unwrap());
    let parents = world.comments.iter().copied().map(Some).chain([None]);
    for parent in parents {
        for range in RANGES.map(|range| range()) {
            let listed = store.list_comments(world.posts[0], parent, range).await.unwrap();
            answers.note(format!("answers to {parent:?} {range:?}"), listed);
        }
    }
}

async fn likes(t: &Subject, world: &World, answers: &mut Answers) {
    let store = t.store();
    for range in RANGES.map(|range| range()) {
        for id in &world.posts {
            let likers = store.likers(*id, range).await.unwrap();
            answers.note(format!("likers of {id} {range:?}"), likers);
        }
        for id in &world.users {
            let likes = store.user_likes(*id, range).await.unwrap();
            answers.note(format!("likes of {id} {range:?}"), likes);
        }
    }
    for id in &world.users {
        answers.note(format!("liked by {id}"), store.liked(*id, &world.posts).await.unwrap());
    }
}

async fn graph(t: &Subject, world: &World, answers: &mut Answers) {
    let store = t.store();
    for id in &world.users {
        for kind in [EdgeKind::Follow, EdgeKind::Block, EdgeKind::Mute] {
            for direction in [Direction::Outgoing, Direction::Incoming] {
                for range in RANGES.map(|range| range()) {
                    let edges = store.edges(kind, direction, *id, range).await.unwrap();
                    answers.note(format!("{kind:?} {direction:?} of {id} {range:?}"), edges);
                }
            }
        }
        let relations = store.relations(*id, &world.users).await.unwrap();
        answers.note(format!("relations of {id}"), relations);
        let following = store.following(*id).await.unwrap();
        let followees: BTreeMap<_, _> = following.followees.iter().collect();
        let muted: BTreeSet<_> = following.muted.iter().collect();
        answers.note(format!("following of {id}"), (followees, muted));
        let followers = store.fanout_followers(*id, None, 100).await.unwrap();
        let followers: BTreeSet<_> = followers.into_iter().collect();
        answers.note(format!("fan-out of {id}"), followers);
    }
}
