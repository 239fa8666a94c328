//! A valid request for each method, as each kind of caller would send it.

use prost::Message;
use social_core::Backend;
use social_core::access::Who;
use social_core::posts::{self, NewPost, Visibility};
use social_core::request::{Caller, RequestKey, Viewer};
use social_core::users::NewUser;
use social_core::{EventId, SessionId, limits};
use social_proto::v1;

use crate::Cast;
use crate::support::archive;
use crate::support::people::PASSWORD;
use crate::support::{House, Person, request_id};

/// A request, and how to see in its answer whether it shows the object that it is about.
pub(crate) struct Asked {
    pub(crate) messages: Vec<Vec<u8>>,
    /// The token of a session that the call may end, instead of the caller's usual one.
    pub(crate) token: Option<String>,
    /// What the answer is to show; empty where nothing is.
    pub(crate) object: String,
    /// Whether an answer shows the object. Set for all methods that can hide it.
    pub(crate) shows: Option<Shows>,
}

type Shows = fn(&[u8], &str) -> bool;

impl Asked {
    fn new(message: &impl Message) -> Self {
        Self {
            messages: vec![message.encode_to_vec()],
            token: None,
            object: String::new(),
            shows: None,
        }
    }

    fn about(self, object: &str, shows: Shows) -> Self {
        Self {
            object: object.to_owned(),
            shows: Some(shows),
            ..self
        }
    }

    fn by(self, session: &Person) -> Self {
        Self {
            token: Some(session.access.clone()),
            ..self
        }
    }
}

fn id() -> String {
    request_id()
}

fn decoded<A: Message + Default>(bytes: &[u8]) -> A {
    A::decode(bytes).unwrap()
}

fn mask(path: &str) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask {
        paths: vec![path.to_owned()],
    })
}

/// The request of one cell. Objects that the call would change or end are made for it.
pub(crate) async fn of(house: &House, cast: &Cast, path: &str, who: Who) -> Asked {
    let (service, method) = path["/social.v1.".len()..].split_once('/').unwrap();
    match service {
        "AuthService" => of_auth(house, cast, method, who).await,
        "UserService" => of_user(cast, method),
        "PostService" => of_post(house, cast, method).await,
        "CommentService" => of_comment(house, cast, method).await,
        "LikeService" => of_like(house, cast, method).await,
        "GraphService" => of_graph(cast, method),
        "TimelineService" => of_timeline(house, cast, method).await,
        "AdminService" => of_admin(house, cast, method).await,
        _ => unknown(path),
    }
}

fn unknown(method: &str) -> ! {
    panic!("{method} has no request in the matrix: write one")
}

async fn of_auth(house: &House, cast: &Cast, method: &str, who: Who) -> Asked {
    let line = &house.line;
    // Whose own things the call is about; nobody's in particular where no person calls.
    let caller = cast.person(who).unwrap_or(&cast.owner);
    match method {
        "Register" => Asked::new(&v1::RegisterRequest {
            handle: format!("m{}", &id().replace('-', "")[..20]),
            password: PASSWORD.to_owned(),
            request_id: id(),
            ..Default::default()
        }),
        "Login" => Asked::new(&v1::LoginRequest {
            handle: cast.owner.handle.clone(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        }),
        "RefreshToken" => Asked::new(&v1::RefreshTokenRequest {
            refresh_token: cast.owner.log_in(line).await.refresh,
            request_id: id(),
        }),
        "Logout" => Asked::new(&v1::LogoutRequest { request_id: id() }).by(&caller.log_in(line).await),
        // The session that calls goes on, and nobody here has another one.
        "ChangePassword" => Asked::new(&v1::ChangePasswordRequest {
            current_password: PASSWORD.to_owned(),
            new_password: PASSWORD.to_owned(),
            request_id: id(),
        }),
        "ListSessions" => Asked::new(&v1::ListSessionsRequest::default()).about(&caller.session, |bytes, object| {
            let answer: v1::ListSessionsResponse = decoded(bytes);
            answer.sessions.iter().any(|session| session.id == object)
        }),
        "RevokeSession" => Asked::new(&v1::RevokeSessionRequest {
            session_id: cast.owner.log_in(line).await.session,
            request_id: id(),
        }),
        _ => unknown(method),
    }
}

fn of_user(cast: &Cast, method: &str) -> Asked {
    let owner = &cast.owner.id;
    match method {
        "GetUser" => Asked::new(&v1::GetUserRequest {
            user: Some(v1::get_user_request::User::Id(owner.clone())),
        })
        .about(owner, |bytes, object| {
            decoded::<v1::GetUserResponse>(bytes)
                .user
                .is_some_and(|user| user.id == object)
        }),
        "BatchGetUsers" => Asked::new(&v1::BatchGetUsersRequest {
            user_ids: vec![owner.clone()],
        })
        .about(owner, |bytes, object| {
            decoded::<v1::BatchGetUsersResponse>(bytes)
                .users
                .iter()
                .any(|user| user.id == object)
        }),
        "UpdateProfile" => Asked::new(&v1::UpdateProfileRequest {
            bio: "so it is".to_owned(),
            update_mask: mask("bio"),
            request_id: id(),
            ..Default::default()
        }),
        "BatchGetRelationships" => Asked::new(&v1::BatchGetRelationshipsRequest {
            user_ids: vec![owner.clone()],
        }),
        _ => unknown(method),
    }
}

async fn of_post(house: &House, cast: &Cast, method: &str) -> Asked {
    let line = &house.line;
    let post = cast.owner.post_id(line, "a post of the owner").await;
    match method {
        "CreatePost" => Asked::new(&v1::CreatePostRequest {
            content: "a reply".to_owned(),
            in_reply_to_id: post,
            request_id: id(),
            ..Default::default()
        }),
        "GetPost" => Asked::new(&v1::GetPostRequest {
            post_id: post,
            include_deleted: false,
        }),
        "BatchGetPosts" => Asked::new(&v1::BatchGetPostsRequest {
            post_ids: vec![post.clone()],
        })
        .about(&post, |bytes, object| {
            let answer: v1::BatchGetPostsResponse = decoded(bytes);
            let found = answer.posts.iter().any(|post| post.id == object);
            assert_ne!(found, answer.not_found_ids.contains(&object.to_owned()));
            found
        }),
        "UpdatePost" => Asked::new(&v1::UpdatePostRequest {
            post_id: post,
            content: "another text".to_owned(),
            update_mask: mask("content"),
            request_id: id(),
            ..Default::default()
        }),
        "DeletePost" => Asked::new(&v1::DeletePostRequest {
            post_id: post,
            request_id: id(),
            ..Default::default()
        }),
        "UndeletePost" => {
            cast.owner.delete(line, &post).await;
            Asked::new(&v1::UndeletePostRequest {
                post_id: post,
                request_id: id(),
                ..Default::default()
            })
        }
        "ListPostRevisions" => Asked::new(&v1::ListPostRevisionsRequest {
            post_id: post,
            ..Default::default()
        }),
        "ListUserPosts" => Asked::new(&v1::ListUserPostsRequest {
            user_id: cast.owner.id.clone(),
            ..Default::default()
        })
        .about(&post, |bytes, object| {
            decoded::<v1::ListUserPostsResponse>(bytes)
                .posts
                .iter()
                .any(|post| post.id == object)
        }),
        "SubscribePost" => Asked::new(&v1::SubscribePostRequest { post_id: post }),
        _ => unknown(method),
    }
}

async fn of_comment(house: &House, cast: &Cast, method: &str) -> Asked {
    let line = &house.line;
    let post = cast.owner.post_id(line, "a post with a comment").await;
    let comment = cast.owner.comment(line, &post, "a comment of the owner").await;
    match method {
        "CreateComment" => Asked::new(&v1::CreateCommentRequest {
            post_id: post,
            content: "so it is".to_owned(),
            request_id: id(),
            ..Default::default()
        }),
        "UpdateComment" => Asked::new(&v1::UpdateCommentRequest {
            comment_id: comment,
            content: "so it was".to_owned(),
            update_mask: mask("content"),
            request_id: id(),
            ..Default::default()
        }),
        "DeleteComment" => Asked::new(&v1::DeleteCommentRequest {
            comment_id: comment,
            request_id: id(),
            ..Default::default()
        }),
        "ListComments" => Asked::new(&v1::ListCommentsRequest {
            post_id: post,
            ..Default::default()
        })
        .about(&comment, |bytes, object| {
            decoded::<v1::ListCommentsResponse>(bytes)
                .comments
                .iter()
                .any(|comment| comment.id == object)
        }),
        "BatchGetComments" => Asked::new(&v1::BatchGetCommentsRequest {
            comment_ids: vec![comment.clone()],
        })
        .about(&comment, |bytes, object| {
            let answer: v1::BatchGetCommentsResponse = decoded(bytes);
            let found = answer.comments.iter().any(|comment| comment.id == object);
            assert_ne!(found, answer.not_found_ids.contains(&object.to_owned()));
            found
        }),
        _ => unknown(method),
    }
}

async fn of_like(house: &House, cast: &Cast, method: &str) -> Asked {
    let line = &house.line;
    let post = cast.owner.post_id(line, "a post that is liked").await;
    cast.owner.like(line, &post).await;
    match method {
        "LikePost" => Asked::new(&v1::LikePostRequest {
            post_id: post,
            request_id: id(),
        }),
        "UnlikePost" => Asked::new(&v1::UnlikePostRequest {
            post_id: post,
            request_id: id(),
        }),
        "ListPostLikers" => Asked::new(&v1::ListPostLikersRequest {
            post_id: post,
            ..Default::default()
        }),
        "ListUserLikes" => Asked::new(&v1::ListUserLikesRequest {
            user_id: cast.owner.id.clone(),
            ..Default::default()
        })
        .about(&post, |bytes, object| {
            let answer: v1::ListUserLikesResponse = decoded(bytes);
            let liked = answer.likes.iter().filter_map(|like| like.post.as_ref());
            liked.into_iter().any(|post| post.id == object)
        }),
        "BatchGetCounts" => Asked::new(&v1::BatchGetCountsRequest {
            post_ids: vec![post.clone()],
        })
        .about(&post, |bytes, object| {
            let answer: v1::BatchGetCountsResponse = decoded(bytes);
            let found = answer.counts.iter().any(|entry| entry.post_id == object);
            assert_ne!(found, answer.not_found_ids.contains(&object.to_owned()));
            found
        }),
        "SubscribeCounts" => Asked::new(&v1::SubscribeCountsRequest {
            post_ids: vec![post.clone()],
        })
        .about(&post, |bytes, object| {
            let answer: v1::SubscribeCountsResponse = decoded(bytes);
            let Some(v1::subscribe_counts_response::Event::Snapshot(snapshot)) = answer.event else {
                panic!("the first message is a snapshot");
            };
            let found = snapshot.counts.iter().any(|entry| entry.post_id == object);
            assert_ne!(found, snapshot.not_found_ids.contains(&object.to_owned()));
            found
        }),
        _ => unknown(method),
    }
}

fn of_graph(cast: &Cast, method: &str) -> Asked {
    let (user_id, request_id) = (cast.owner.id.clone(), id());
    match method {
        "Follow" => Asked::new(&v1::FollowRequest { user_id, request_id }),
        "Unfollow" => Asked::new(&v1::UnfollowRequest { user_id, request_id }),
        "RemoveFollower" => Asked::new(&v1::RemoveFollowerRequest { user_id, request_id }),
        "ListFollowers" => Asked::new(&v1::ListFollowersRequest {
            user_id,
            ..Default::default()
        }),
        "ListFollowing" => Asked::new(&v1::ListFollowingRequest {
            user_id,
            ..Default::default()
        }),
        "StreamFollowers" => Asked::new(&v1::StreamFollowersRequest {
            user_id,
            ..Default::default()
        }),
        "Block" => Asked::new(&v1::BlockRequest { user_id, request_id }),
        "Unblock" => Asked::new(&v1::UnblockRequest { user_id, request_id }),
        "Mute" => Asked::new(&v1::MuteRequest { user_id, request_id }),
        "Unmute" => Asked::new(&v1::UnmuteRequest { user_id, request_id }),
        "ListBlocks" => Asked::new(&v1::ListBlocksRequest::default()),
        "ListMutes" => Asked::new(&v1::ListMutesRequest::default()),
        _ => unknown(method),
    }
}

async fn of_timeline(house: &House, cast: &Cast, method: &str) -> Asked {
    let posted = cast.owner.post(&house.line, "a post on its way").await;
    match method {
        "GetHomeTimeline" => Asked::new(&v1::GetHomeTimelineRequest::default()),
        "GetMarker" => Asked::new(&v1::GetMarkerRequest {}),
        "SetMarker" => Asked::new(&v1::SetMarkerRequest {
            last_read_post_id: posted.post.unwrap().id,
            request_id: id(),
            ..Default::default()
        }),
        "GetFanoutStatus" => Asked::new(&v1::GetFanoutStatusRequest {
            fanout_id: posted.fanout_id,
        }),
        "SubscribeHomeTimeline" => Asked::new(&v1::SubscribeHomeTimelineRequest::default()),
        _ => unknown(method),
    }
}

async fn of_admin(house: &House, cast: &Cast, method: &str) -> Asked {
    match method {
        "GetFanoutPolicy" => Asked::new(&v1::GetFanoutPolicyRequest {}),
        "SetFanoutPolicy" => Asked::new(&v1::SetFanoutPolicyRequest {
            mode: v1::FanoutMode::Hybrid.into(),
            request_id: id(),
            ..Default::default()
        }),
        "RebuildTimeline" => Asked::new(&v1::RebuildTimelineRequest {
            user_id: cast.owner.id.clone(),
            request_id: id(),
        }),
        "RecountPost" => Asked::new(&v1::RecountPostRequest {
            post_id: cast.owner.post_id(&house.line, "counted anew").await,
            request_id: id(),
        }),
        "ListDeadLetters" => Asked::new(&v1::ListDeadLettersRequest::default()),
        "ReplayDeadLetter" => Asked::new(&v1::ReplayDeadLetterRequest {
            event_id: a_dead_letter(house).await,
            request_id: id(),
        }),
        "ListOutboxEvents" => Asked::new(&v1::ListOutboxEventsRequest::default()),
        "GetCluster" => Asked::new(&v1::GetClusterRequest {}),
        "StreamBackup" => Asked::new(&v1::StreamBackupRequest {}),
        "GetStorageStats" => Asked::new(&v1::GetStorageStatsRequest {}),
        "ImportUsers" => Asked::new(&import_of(&format!("i{}", &id().replace('-', "")[..20]), id())),
        "ImportPosts" => Asked::new(&v1::ImportPostsRequest {
            import_id: id(),
            offset: 0,
            posts: vec![v1::ImportPost {
                author: Some(v1::import_post::Author::AuthorId(cast.owner.id.clone())),
                content: "from elsewhere".to_owned(),
                ..Default::default()
            }],
        }),
        "ImportFollows" => Asked::new(&v1::ImportFollowsRequest {
            import_id: id(),
            offset: 0,
            follows: vec![v1::ImportFollow {
                follower: Some(v1::import_follow::Follower::FollowerId(cast.other.id.clone())),
                followee: Some(v1::import_follow::Followee::FolloweeHandle(cast.owner.handle.clone())),
                create_time: None,
            }],
        }),
        "StreamArchive" => Asked::new(&v1::StreamArchiveRequest::default()),
        // The one that was begun when nobody was there yet.
        "ImportArchive" => Asked::new(&archive::begun()),
        "GetArchiveImport" => Asked::new(&v1::GetArchiveImportRequest {
            import_id: archive::BEGUN.to_owned(),
        }),
        "GetImport" => {
            let import = id();
            let message = import_of(&format!("g{}", &id().replace('-', "")[..20]), import.clone());
            let token = Some(house.admin_token.as_str());
            let _: v1::ImportUsersResponse = house
                .admin
                .call("AdminService/ImportUsers", token, &message)
                .await
                .unwrap();
            Asked::new(&v1::GetImportRequest { import_id: import })
        }
        _ => unknown(method),
    }
}

fn import_of(handle: &str, import_id: String) -> v1::ImportUsersRequest {
    v1::ImportUsersRequest {
        import_id,
        offset: 0,
        users: vec![v1::ImportUser {
            handle: handle.to_owned(),
            ..Default::default()
        }],
    }
}

/// A dead letter that is still there; empty once none is, which only the admin's cell would notice.
async fn a_dead_letter(house: &House) -> String {
    let request = v1::ListDeadLettersRequest::default();
    let token = Some(house.admin_token.as_str());
    let answer: v1::ListDeadLettersResponse = house
        .admin
        .call("AdminService/ListDeadLetters", token, &request)
        .await
        .unwrap();
    answer.dead_letters[0].event_id.clone()
}

/// Puts a dead letter into a store that nobody works on yet: only a bug makes one otherwise.
pub(crate) async fn dead_letters(backend: &Backend) {
    // As long as nobody is there.
    archive::begin(backend).await;
    let nobody = Caller::default();
    let new = NewUser {
        handle: "unlucky".parse().unwrap(),
        display_name: "Unlucky".to_owned(),
        bio: String::new(),
        password: None,
        created_at: None,
    };
    let request = RequestKey::new(&nobody, "test", &id(), &[]).unwrap();
    let user = backend.store.create_user(new, request).await.unwrap().value;
    let caller = Caller {
        viewer: Viewer::User {
            id: user.id,
            session: SessionId(1),
        },
        ..nobody
    };
    let post = NewPost {
        content: "never gets there".to_owned(),
        title: String::new(),
        visibility: Visibility::Public,
        in_reply_to: None,
    };
    let posted = posts::create(backend, &caller, post, &id()).await.unwrap();
    let event: EventId = posted.fanout.unwrap();
    for _ in 0..limits::EVENT_ATTEMPTS {
        backend.store.record_failure(event, "payload_invalid").await.unwrap();
    }
}
