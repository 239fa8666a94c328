//! What is there when bad input comes in, and all that could show that some of it was taken.

use prost::Message;
use social_proto::v1;

use crate::support::{House, Person, archive, eventually, request_id};
use crate::table::mask;

/// A small world with something of every kind in it. Alice makes the calls.
pub(crate) struct World {
    pub(crate) house: House,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    pub(crate) shut: Person,
    pub(crate) post: String,
    pub(crate) deleted: String,
    pub(crate) bobs_post: String,
    /// A post of bob's that alice cannot see.
    pub(crate) hidden: String,
    pub(crate) comment: String,
    pub(crate) bobs_comment: String,
    pub(crate) deleted_comment: String,
    pub(crate) bobs_fanout: String,
    pub(crate) import: String,
    /// request_ids of alice's, by method.
    pub(crate) used: Used,
    cursors: Cursors,
    tokens: Vec<(&'static str, &'static str, String)>,
}

/// request_ids that were used.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) create_post: String,
    pub(crate) update_post: String,
    pub(crate) delete_post: String,
    pub(crate) update_profile: String,
    pub(crate) create_comment: String,
    pub(crate) update_comment: String,
    pub(crate) delete_comment: String,
    pub(crate) register: String,
}

/// Cursors of home timelines that were issued for something else.
struct Cursors {
    of_bob: String,
    without_replies: String,
}

/// What there is to see.
pub(crate) struct Dump {
    /// What was asked, and what was answered.
    pub(crate) answers: Vec<(String, String)>,
    pub(crate) writes: Writes,
}

/// Each table of truth, and how often its rows were written.
pub(crate) type Writes = Vec<(String, i64)>;

impl World {
    pub(crate) async fn new() -> Self {
        let house = House::open_with(|_| {}, archive::begin).await;
        let line = &house.line;
        let (alice, bob, shut) = tokio::join!(house.person("alice"), house.person("bob"), house.person("shut"));
        alice.follow(line, &bob).await;
        alice.follow(line, &shut).await;
        bob.follow(line, &alice).await;
        let mut used = Used {
            create_post: request_id(),
            ..Used::default()
        };
        let post = posted(&house, &alice, "hello", v1::Visibility::Public, &used.create_post).await;
        let post = post.post.unwrap().id;
        let deleted = alice.post_id(line, "gone").await;
        let bobs = bob.post(line, "hello, alice").await;
        let bobs_post = bobs.post.unwrap().id;
        bob.post_id(line, "another one").await;
        let hidden = posted(&house, &bob, "for me", v1::Visibility::Private, &request_id()).await;
        let hidden = hidden.post.unwrap().id;
        for post in [&post, &bobs_post] {
            alice.like(line, post).await;
            bob.like(line, post).await;
        }
        let bobs_comment = bob.comment(line, &post, "so it is").await;
        let deleted_comment = alice.comment(line, &post, "so it was").await;
        let comment = alice.comment(line, &post, "and so on").await;
        used.write(&house, &alice, [&post, &deleted, &comment, &deleted_comment])
            .await;
        alice.log_in(line).await;
        // Blocks and mutes come last, so that they hide nothing above but what is to be hidden.
        alice.block(line, &shut).await;
        let import = imported(&house).await;
        let mut world = Self {
            alice,
            bob,
            shut,
            post,
            deleted,
            bobs_post,
            hidden,
            comment,
            bobs_comment,
            deleted_comment,
            bobs_fanout: bobs.fanout_id,
            import,
            used,
            cursors: Cursors {
                of_bob: String::new(),
                without_replies: String::new(),
            },
            tokens: Vec::new(),
            house,
        };
        world.quiet().await;
        world.issue_tokens().await;
        world
    }

    /// Waits until nothing is done in the background any more.
    async fn quiet(&self) {
        eventually("quiet", async || (self.stats().await.pending_events == 0).then_some(())).await;
    }

    async fn issue_tokens(&mut self) {
        let (line, alice, bob) = (&self.house.line, &self.alice, &self.bob);
        let posts = v1::ListUserPostsRequest {
            user_id: bob.id.clone(),
            page_size: 1,
            ..Default::default()
        };
        let of_alice: v1::ListUserPostsResponse = alice.call(line, "PostService/ListUserPosts", &posts).await.unwrap();
        let of_bob: v1::ListUserPostsResponse = bob.call(line, "PostService/ListUserPosts", &posts).await.unwrap();
        let home = |exclude_replies| v1::GetHomeTimelineRequest {
            page_size: 1,
            exclude_replies,
            ..Default::default()
        };
        let method = "TimelineService/GetHomeTimeline";
        let whole: v1::GetHomeTimelineResponse = alice.call(line, method, &home(false)).await.unwrap();
        let part: v1::GetHomeTimelineResponse = alice.call(line, method, &home(true)).await.unwrap();
        let bobs: v1::GetHomeTimelineResponse = bob.call(line, method, &home(false)).await.unwrap();
        let followers = v1::ListPostLikersRequest {
            post_id: self.post.clone(),
            page_size: 1,
            ..Default::default()
        };
        let likers: v1::ListPostLikersResponse = alice
            .call(line, "LikeService/ListPostLikers", &followers)
            .await
            .unwrap();
        self.cursors = Cursors {
            of_bob: bobs.head_cursor,
            without_replies: part.head_cursor,
        };
        self.tokens = vec![
            ("ListUserPosts", "of another list", of_alice.next_page_token),
            ("", "of another viewer's list of posts", of_bob.next_page_token),
            ("GetHomeTimeline", "of a home timeline", whole.next_page_token),
            ("", "of a home timeline without replies", part.next_page_token),
            ("", "of another viewer's home timeline", bobs.next_page_token),
            ("ListPostLikers", "of a list of likers", likers.next_page_token),
            ("", "that is a cursor", whole.head_cursor),
        ];
        for (_, what, token) in &self.tokens {
            assert!(!token.is_empty(), "a page token {what}");
        }
    }

    /// Page tokens that a method must refuse, and what they are.
    pub(crate) fn bad_tokens(&self, path: &str) -> Vec<(&'static str, String)> {
        let mut bad = vec![
            ("a word", "more".to_owned()),
            ("not base64", "!!!!".to_owned()),
            ("empty in base64", "=".to_owned()),
            ("too long", "A".repeat(10_000)),
            ("zeros", "A".repeat(24)),
        ];
        let foreign = self
            .tokens
            .iter()
            .filter(|(own, ..)| own.is_empty() || !path.ends_with(own));
        bad.extend(foreign.map(|(_, what, token)| (*what, token.clone())));
        // One of its own kind, with a bit turned.
        let mut turned = self.tokens[0].2.clone().into_bytes();
        turned[5] = if turned[5] == b'A' { b'B' } else { b'A' };
        bad.push(("that was tampered with", String::from_utf8(turned).unwrap()));
        bad
    }

    /// Cursors that alice's whole home timeline must refuse, and what they are.
    pub(crate) fn bad_cursors(&self) -> Vec<(&'static str, String)> {
        vec![
            ("a word", "now".to_owned()),
            ("not base64", "!!!!".to_owned()),
            ("too long", "A".repeat(10_000)),
            ("of another viewer", self.cursors.of_bob.clone()),
            ("of another filter", self.cursors.without_replies.clone()),
            ("that is a page token", self.tokens[2].2.clone()),
        ]
    }

    async fn stats(&self) -> v1::GetStorageStatsResponse {
        let token = Some(self.house.admin_token.as_str());
        let request = v1::GetStorageStatsRequest {};
        let asked = self.house.admin.call("AdminService/GetStorageStats", token, &request);
        asked.await.unwrap()
    }

    /// How often rows of each table were written: the embedded store counts a row once for each version of it.
    pub(crate) async fn writes(&self) -> Writes {
        let stats = self.stats().await;
        stats.tables.into_iter().map(|table| (table.name, table.rows)).collect()
    }

    /// What everybody can see.
    pub(crate) async fn dump(&self) -> Dump {
        let mut answers = Vec::new();
        for person in [&self.alice, &self.bob, &self.shut] {
            for (method, request) in self.questions(person) {
                let path = format!("/social.v1.{method}");
                let answer = self.house.line.raw(&path, person.token(), vec![request]).await;
                let what = format!("{method} of {}", person.handle);
                answers.push((what, format!("{answer:02x?}")));
            }
            let home = person.home(&self.house.line).await;
            answers.push((format!("home of {}", person.handle), format!("{home:?}")));
        }
        let policy = self
            .house
            .admin
            .raw(
                "/social.v1.AdminService/GetFanoutPolicy",
                Some(&self.house.admin_token),
                vec![Vec::new()],
            )
            .await;
        answers.push(("policy".to_owned(), format!("{policy:?}")));
        Dump {
            answers,
            writes: self.writes().await,
        }
    }

    fn questions(&self, person: &Person) -> Vec<(&'static str, Vec<u8>)> {
        let user = || person.id.clone();
        let posts = vec![self.post.clone(), self.deleted.clone(), self.bobs_post.clone()];
        vec![
            (
                "UserService/GetUser",
                encoded(&v1::GetUserRequest {
                    user: Some(v1::get_user_request::User::Id(user())),
                }),
            ),
            ("AuthService/ListSessions", Vec::new()),
            (
                "PostService/ListUserPosts",
                encoded(&v1::ListUserPostsRequest {
                    user_id: user(),
                    ..Default::default()
                }),
            ),
            (
                "PostService/BatchGetPosts",
                encoded(&v1::BatchGetPostsRequest { post_ids: posts }),
            ),
            (
                "PostService/ListPostRevisions",
                encoded(&v1::ListPostRevisionsRequest {
                    post_id: if person.id == self.shut.id {
                        self.bobs_post.clone()
                    } else {
                        self.post.clone()
                    },
                    ..Default::default()
                }),
            ),
            (
                "LikeService/ListUserLikes",
                encoded(&v1::ListUserLikesRequest {
                    user_id: user(),
                    ..Default::default()
                }),
            ),
            (
                "CommentService/BatchGetComments",
                encoded(&v1::BatchGetCommentsRequest {
                    comment_ids: vec![
                        self.comment.clone(),
                        self.bobs_comment.clone(),
                        self.deleted_comment.clone(),
                    ],
                }),
            ),
            (
                "GraphService/ListFollowers",
                encoded(&v1::ListFollowersRequest {
                    user_id: user(),
                    ..Default::default()
                }),
            ),
            (
                "GraphService/ListFollowing",
                encoded(&v1::ListFollowingRequest {
                    user_id: user(),
                    ..Default::default()
                }),
            ),
            ("GraphService/ListBlocks", Vec::new()),
            ("GraphService/ListMutes", Vec::new()),
            ("TimelineService/GetMarker", Vec::new()),
        ]
    }
}

impl Used {
    /// Makes the other mutations that a request_id is kept of.
    async fn write(&mut self, house: &House, alice: &Person, ids: [&String; 4]) {
        let [post, deleted, comment, deleted_comment] = ids.map(Clone::clone);
        let line = &house.line;
        let id = request_id;
        (self.update_post, self.delete_post, self.update_profile) = (id(), id(), id());
        (self.create_comment, self.update_comment, self.delete_comment) = (id(), id(), id());
        self.register = id();
        let update = v1::UpdatePostRequest {
            post_id: post.clone(),
            content: "hello, all".to_owned(),
            update_mask: mask("content"),
            request_id: self.update_post.clone(),
            ..Default::default()
        };
        let _: v1::UpdatePostResponse = alice.call(line, "PostService/UpdatePost", &update).await.unwrap();
        let delete = v1::DeletePostRequest {
            post_id: deleted,
            request_id: self.delete_post.clone(),
            ..Default::default()
        };
        let _: v1::DeletePostResponse = alice.call(line, "PostService/DeletePost", &delete).await.unwrap();
        let profile = v1::UpdateProfileRequest {
            bio: "here I am".to_owned(),
            update_mask: mask("bio"),
            request_id: self.update_profile.clone(),
            ..Default::default()
        };
        let _: v1::UpdateProfileResponse = alice.call(line, "UserService/UpdateProfile", &profile).await.unwrap();
        let create = v1::CreateCommentRequest {
            post_id: post,
            content: "once more".to_owned(),
            request_id: self.create_comment.clone(),
            ..Default::default()
        };
        let _: v1::CreateCommentResponse = alice.call(line, "CommentService/CreateComment", &create).await.unwrap();
        let update = v1::UpdateCommentRequest {
            comment_id: comment,
            content: "and so on, and on".to_owned(),
            update_mask: mask("content"),
            request_id: self.update_comment.clone(),
            ..Default::default()
        };
        let _: v1::UpdateCommentResponse = alice.call(line, "CommentService/UpdateComment", &update).await.unwrap();
        let delete = v1::DeleteCommentRequest {
            comment_id: deleted_comment,
            request_id: self.delete_comment.clone(),
            ..Default::default()
        };
        let _: v1::DeleteCommentResponse = alice.call(line, "CommentService/DeleteComment", &delete).await.unwrap();
        let register = v1::RegisterRequest {
            handle: "registered".to_owned(),
            password: "correct horse".to_owned(),
            request_id: self.register.clone(),
            ..Default::default()
        };
        let _: v1::RegisterResponse = line.call("AuthService/Register", None, &register).await.unwrap();
    }
}

fn encoded(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

async fn posted(
    house: &House,
    person: &Person,
    content: &str,
    visibility: v1::Visibility,
    request_id: &str,
) -> v1::CreatePostResponse {
    let request = v1::CreatePostRequest {
        content: content.to_owned(),
        visibility: visibility.into(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    person
        .call(&house.line, "PostService/CreatePost", &request)
        .await
        .unwrap()
}

async fn imported(house: &House) -> String {
    let import_id = request_id();
    let message = v1::ImportUsersRequest {
        import_id: import_id.clone(),
        offset: 0,
        users: vec![v1::ImportUser {
            handle: "brought_in".to_owned(),
            ..Default::default()
        }],
    };
    let token = Some(house.admin_token.as_str());
    let asked = house.admin.call("AdminService/ImportUsers", token, &message);
    let _: v1::ImportUsersResponse = asked.await.unwrap();
    import_id
}
