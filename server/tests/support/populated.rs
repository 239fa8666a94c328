//! A platform with a world in it: the demo's people, and some who did what those do not.

use social_core::Backend;
use social_proto::v1;
use social_server::dev;

use super::archive::{Archive, Desk};
use super::walker::{Viewer, differences, walk};
use super::{Line, PATIENCE, Person, request_id};

/// People of the demo's world.
const USERS: u32 = 16;
const SEED: u64 = 7;

/// Those whose own view is compared.
pub struct Populated {
    pub people: Vec<Person>,
}

impl Populated {
    /// Puts the demo's world into a store.
    pub async fn prepare(backend: &Backend) {
        dev::populate(backend, SEED, USERS).await.unwrap();
    }

    /// Has some people do one of everything.
    pub async fn make(line: &Line, desk: &Desk) -> Self {
        let mut people = Vec::new();
        for name in ["ann", "bob", "cat"] {
            people.push(Person::register(line, name).await);
        }
        let [ann, bob, cat] = &people[..] else { panic!("three") };
        ann.follow(line, bob).await;
        ann.follow(line, cat).await;
        bob.follow(line, ann).await;
        cat.follow(line, bob).await;
        let policy = v1::SetFanoutPolicyRequest {
            mode: v1::FanoutMode::Hybrid.into(),
            celebrity_threshold: 2,
            request_id: request_id(),
            ..Default::default()
        };
        let token = Some(desk.token.as_str());
        let _: v1::SetFanoutPolicyResponse = desk
            .admin
            .call("AdminService/SetFanoutPolicy", token, &policy)
            .await
            .unwrap();
        // Bob is pulled now, and ann is pushed.
        let pulled = bob.post_id(line, "pulled, for @ann #one").await;
        let edited = ann.post_id(line, "first").await;
        for number in 0..3 {
            edit(line, ann, &edited, &format!("edit {number} for @bob")).await;
        }
        for visibility in [v1::Visibility::Followers, v1::Visibility::Private] {
            let request = v1::CreatePostRequest {
                content: "not for all".to_owned(),
                title: "a title".to_owned(),
                visibility: visibility.into(),
                in_reply_to_id: pulled.clone(),
                request_id: request_id(),
            };
            let _: v1::CreatePostResponse = ann.call(line, "PostService/CreatePost", &request).await.unwrap();
        }
        let gone = cat.post_id(line, "gone").await;
        cat.delete(line, &gone).await;
        let back = cat.post_id(line, "back").await;
        cat.delete(line, &back).await;
        let undelete = v1::UndeletePostRequest {
            post_id: back.clone(),
            request_id: request_id(),
            ..Default::default()
        };
        let _: v1::UndeletePostResponse = cat.call(line, "PostService/UndeletePost", &undelete).await.unwrap();
        let comment = ann.comment(line, &pulled, "so it is").await;
        let deleted = bob.comment(line, &pulled, "no").await;
        let delete = v1::DeleteCommentRequest {
            comment_id: deleted,
            request_id: request_id(),
            ..Default::default()
        };
        let _: v1::DeleteCommentResponse = bob.call(line, "CommentService/DeleteComment", &delete).await.unwrap();
        let answer = v1::CreateCommentRequest {
            post_id: pulled.clone(),
            parent_id: comment,
            content: "indeed".to_owned(),
            request_id: request_id(),
        };
        let _: v1::CreateCommentResponse = cat.call(line, "CommentService/CreateComment", &answer).await.unwrap();
        for person in &people {
            person.like(line, &pulled).await;
            person.like(line, &edited).await;
        }
        let unlike = v1::UnlikePostRequest {
            post_id: edited,
            request_id: request_id(),
        };
        let _: v1::UnlikePostResponse = bob.call(line, "LikeService/UnlikePost", &unlike).await.unwrap();
        let mute = v1::MuteRequest {
            user_id: cat.id.clone(),
            request_id: request_id(),
        };
        let _: v1::MuteResponse = ann.call(line, "GraphService/Mute", &mute).await.unwrap();
        let marker = v1::SetMarkerRequest {
            last_read_post_id: pulled,
            request_id: request_id(),
            ..Default::default()
        };
        let _: v1::SetMarkerResponse = ann.call(line, "TimelineService/SetMarker", &marker).await.unwrap();
        bob.block(line, cat).await;
        Self { people }
    }

    /// Everybody who looks: logged in where they look.
    async fn viewers(&self, line: &Line) -> Vec<Viewer> {
        let mut viewers = vec![Viewer::nobody()];
        for person in &self.people {
            viewers.push(Viewer::person(&person.log_in(line).await));
        }
        viewers
    }
}

async fn edit(line: &Line, person: &Person, post: &str, content: &str) {
    let request = v1::UpdatePostRequest {
        post_id: post.to_owned(),
        content: content.to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["content".to_owned()],
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let _: v1::UpdatePostResponse = person.call(line, "PostService/UpdatePost", &request).await.unwrap();
}

/// Asserts that two platforms tell everybody the same, once their counts are exact.
pub async fn answer_alike(source: (&Line, &Desk), target: (&Line, &Desk), people: &Populated, archive: &Archive) {
    let ids = archive.ids();
    let (there, here) = (people.viewers(source.0).await, people.viewers(target.0).await);
    let began = std::time::Instant::now();
    loop {
        let was = walk(source.0, source.1, &there, &ids).await;
        let is = walk(target.0, target.1, &here, &ids).await;
        let differing = differences(&was, &is);
        if differing.is_empty() {
            println!("{} questions were answered alike by both", was.len());
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {} answers differ:\n{}",
            differing.len(),
            was.len(),
            differing[..differing.len().min(5)].join("\n")
        );
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
