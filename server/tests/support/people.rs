//! People, and what they do all the time.

use std::sync::atomic::{AtomicU64, Ordering};

use social_proto::v1;

use super::{Failure, Line, request_id};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// How often, and after what pause, a call that was told to wait is repeated.
const ADMISSION_TRIES: usize = 600;
const ADMISSION_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The answer to a call that hashes a password. Many make one at once from one address, of which the server serves a few: who is told
/// to wait does.
async fn admitted<A: prost::Message + Default>(line: &Line, method: &str, request: &impl prost::Message) -> A {
    for _ in 0..ADMISSION_TRIES {
        match line.call::<A>(method, None, request).await {
            Err(failure) if failure.reason == "OVERLOADED" => tokio::time::sleep(ADMISSION_PAUSE).await,
            answer => return answer.unwrap_or_else(|failure| panic!("{failure}")),
        }
    }
    panic!("{method} was never admitted")
}

/// Somebody with an account, logged in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub handle: String,
    pub access: String,
    pub refresh: String,
    pub session: String,
}

impl Person {
    /// Registers an account whose handle begins with `name`.
    pub async fn register(line: &Line, name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let request = v1::RegisterRequest {
            handle: format!("{name}_{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            password: PASSWORD.to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let answer: v1::RegisterResponse = admitted(line, "AuthService/Register", &request).await;
        Self::of(answer.user.unwrap(), answer.tokens.unwrap())
    }

    fn of(user: v1::User, tokens: v1::TokenPair) -> Self {
        Self {
            id: user.id,
            handle: user.handle,
            access: tokens.access_token,
            refresh: tokens.refresh_token,
            session: tokens.session_id,
        }
    }

    /// Another session of the same account.
    pub async fn log_in(&self, line: &Line) -> Self {
        let request = v1::LoginRequest {
            handle: self.handle.clone(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        let answer: v1::LoginResponse = admitted(line, "AuthService/Login", &request).await;
        Self::of(answer.user.unwrap(), answer.tokens.unwrap())
    }

    pub fn token(&self) -> Option<&str> {
        Some(&self.access)
    }

    /// Calls a method as this person.
    pub async fn call<A: prost::Message + Default>(
        &self,
        line: &Line,
        method: &str,
        message: &impl prost::Message,
    ) -> Result<A, Failure> {
        line.call(method, self.token(), message).await
    }

    /// Publishes a public post.
    pub async fn post(&self, line: &Line, content: &str) -> v1::CreatePostResponse {
        let request = v1::CreatePostRequest {
            content: content.to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        self.call(line, "PostService/CreatePost", &request).await.unwrap()
    }

    /// Publishes a public post; its id.
    pub async fn post_id(&self, line: &Line, content: &str) -> String {
        self.post(line, content).await.post.unwrap().id
    }

    /// Deletes a post of theirs.
    pub async fn delete(&self, line: &Line, post_id: &str) -> v1::DeletePostResponse {
        let request = v1::DeletePostRequest {
            post_id: post_id.to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        self.call(line, "PostService/DeletePost", &request).await.unwrap()
    }

    /// Comments on a post; the comment's id.
    pub async fn comment(&self, line: &Line, post_id: &str, content: &str) -> String {
        let request = v1::CreateCommentRequest {
            post_id: post_id.to_owned(),
            content: content.to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let answer: v1::CreateCommentResponse =
            self.call(line, "CommentService/CreateComment", &request).await.unwrap();
        answer.comment.unwrap().id
    }

    pub async fn like(&self, line: &Line, post_id: &str) -> v1::LikePostResponse {
        let request = v1::LikePostRequest {
            post_id: post_id.to_owned(),
            request_id: request_id(),
        };
        self.call(line, "LikeService/LikePost", &request).await.unwrap()
    }

    pub async fn follow(&self, line: &Line, user: &Person) {
        let request = v1::FollowRequest {
            user_id: user.id.clone(),
            request_id: request_id(),
        };
        let _: v1::FollowResponse = self.call(line, "GraphService/Follow", &request).await.unwrap();
    }

    pub async fn block(&self, line: &Line, user: &Person) {
        let request = v1::BlockRequest {
            user_id: user.id.clone(),
            request_id: request_id(),
        };
        let _: v1::BlockResponse = self.call(line, "GraphService/Block", &request).await.unwrap();
    }

    /// The whole home timeline, newest first: ids of posts.
    pub async fn home(&self, line: &Line) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        let mut request = v1::GetHomeTimelineRequest {
            page_size: 100,
            ..Default::default()
        };
        loop {
            let page: v1::GetHomeTimelineResponse =
                self.call(line, "TimelineService/GetHomeTimeline", &request).await?;
            ids.extend(page.items.into_iter().filter_map(|item| item.post).map(|post| post.id));
            if page.next_page_token.is_empty() {
                return Ok(ids);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// All of a user's posts that this person sees, newest first.
    pub async fn posts_of(&self, line: &Line, user_id: &str) -> Result<Vec<v1::Post>, Failure> {
        let mut posts = Vec::new();
        let mut request = v1::ListUserPostsRequest {
            user_id: user_id.to_owned(),
            page_size: 100,
            ..Default::default()
        };
        loop {
            let page: v1::ListUserPostsResponse = self.call(line, "PostService/ListUserPosts", &request).await?;
            posts.extend(page.posts);
            if page.next_page_token.is_empty() {
                return Ok(posts);
            }
            request.page_token = page.next_page_token;
        }
    }
}
