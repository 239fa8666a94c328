//! The methods of the contract, one row each: what the engine must know of a method, and nothing else.

use std::fmt::Debug;

use prost::Message;
use social_proto::v1;

/// A method of the contract, named by its request message. Implemented for every request of `social.v1`, and for nothing
/// else.
pub trait Rpc: Message + Default + Clone + Debug + sealed::Sealed + 'static {
    /// The answer, or one message of it where the method streams.
    type Response: Message + Default + 'static;
    /// Path on the wire: `/social.v1.PostService/CreatePost`.
    const PATH: &'static str;
    /// Which credentials go with it.
    #[doc(hidden)]
    const ACCESS: Access;

    /// Where the request_id goes, for methods that change something.
    #[doc(hidden)]
    fn request_id_mut(&mut self) -> Option<&mut String> {
        None
    }
}

/// A method that changes something, and carries a request_id.
pub trait Mutation: Rpc {}

/// A method that answers page by page.
pub trait Paged: Rpc {
    /// What a page holds.
    type Item: Send + 'static;
    #[doc(hidden)]
    fn page_size_mut(&mut self) -> &mut i32;
    #[doc(hidden)]
    fn page_token_mut(&mut self) -> &mut String;
    /// Token of the next page; empty on the last one.
    fn next_page_token(page: &Self::Response) -> &str;
    /// What the page holds.
    fn items(page: Self::Response) -> Vec<Self::Item>;
}

/// Which credentials go with a call.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// None, also when somebody is logged in.
    Anonymous,
    /// Those of the user, if somebody is logged in.
    Optional,
    /// Those of the user.
    User,
    /// Those of the operator.
    Admin,
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! rpcs {
    ($($path:literal $access:ident $kind:ident $request:ident => $response:ident;)*) => {
        $(
            impl sealed::Sealed for v1::$request {}

            impl Rpc for v1::$request {
                type Response = v1::$response;
                const PATH: &'static str = concat!("/social.v1.", $path);
                const ACCESS: Access = Access::$access;
                rpcs!(@body $kind);
            }

            rpcs!(@marker $kind $request);
        )*

        #[cfg(test)]
        const PATHS: &[&str] = &[$(<v1::$request as Rpc>::PATH),*];
    };
    (@body read) => {};
    (@body login) => {};
    (@body write) => {
        fn request_id_mut(&mut self) -> Option<&mut String> {
            Some(&mut self.request_id)
        }
    };
    (@marker read $request:ident) => {};
    (@marker login $request:ident) => {};
    (@marker write $request:ident) => { impl Mutation for v1::$request {} };
}

rpcs! {
    "AuthService/Register" Anonymous write RegisterRequest => RegisterResponse;
    // No request_id: a repetition opens another session, and one that nobody uses does no harm.
    "AuthService/Login" Anonymous login LoginRequest => LoginResponse;
    "AuthService/RefreshToken" Anonymous write RefreshTokenRequest => RefreshTokenResponse;
    "AuthService/Logout" User write LogoutRequest => LogoutResponse;
    "AuthService/ChangePassword" User write ChangePasswordRequest => ChangePasswordResponse;
    "AuthService/ListSessions" User read ListSessionsRequest => ListSessionsResponse;
    "AuthService/RevokeSession" User write RevokeSessionRequest => RevokeSessionResponse;
    "UserService/GetUser" Optional read GetUserRequest => GetUserResponse;
    "UserService/BatchGetUsers" Optional read BatchGetUsersRequest => BatchGetUsersResponse;
    "UserService/UpdateProfile" User write UpdateProfileRequest => UpdateProfileResponse;
    "UserService/BatchGetRelationships" User read BatchGetRelationshipsRequest => BatchGetRelationshipsResponse;
    "PostService/CreatePost" User write CreatePostRequest => CreatePostResponse;
    "PostService/GetPost" Optional read GetPostRequest => GetPostResponse;
    "PostService/BatchGetPosts" Optional read BatchGetPostsRequest => BatchGetPostsResponse;
    "PostService/UpdatePost" User write UpdatePostRequest => UpdatePostResponse;
    "PostService/DeletePost" User write DeletePostRequest => DeletePostResponse;
    "PostService/UndeletePost" User write UndeletePostRequest => UndeletePostResponse;
    "PostService/ListPostRevisions" Optional read ListPostRevisionsRequest => ListPostRevisionsResponse;
    "PostService/ListUserPosts" Optional read ListUserPostsRequest => ListUserPostsResponse;
    "PostService/SubscribePost" Optional read SubscribePostRequest => SubscribePostResponse;
    "CommentService/CreateComment" User write CreateCommentRequest => CreateCommentResponse;
    "CommentService/UpdateComment" User write UpdateCommentRequest => UpdateCommentResponse;
    "CommentService/DeleteComment" User write DeleteCommentRequest => DeleteCommentResponse;
    "CommentService/ListComments" Optional read ListCommentsRequest => ListCommentsResponse;
    "CommentService/BatchGetComments" Optional read BatchGetCommentsRequest => BatchGetCommentsResponse;
    "LikeService/LikePost" User write LikePostRequest => LikePostResponse;
    "LikeService/UnlikePost" User write UnlikePostRequest => UnlikePostResponse;
    "LikeService/ListPostLikers" Optional read ListPostLikersRequest => ListPostLikersResponse;
    "LikeService/ListUserLikes" User read ListUserLikesRequest => ListUserLikesResponse;
    "LikeService/BatchGetCounts" Optional read BatchGetCountsRequest => BatchGetCountsResponse;
    "LikeService/SubscribeCounts" Optional read SubscribeCountsRequest => SubscribeCountsResponse;
    "GraphService/Follow" User write FollowRequest => FollowResponse;
    "GraphService/Unfollow" User write UnfollowRequest => UnfollowResponse;
    "GraphService/RemoveFollower" User write RemoveFollowerRequest => RemoveFollowerResponse;
    "GraphService/ListFollowers" User read ListFollowersRequest => ListFollowersResponse;
    "GraphService/ListFollowing" User read ListFollowingRequest => ListFollowingResponse;
    "GraphService/StreamFollowers" User read StreamFollowersRequest => StreamFollowersResponse;
    "GraphService/Block" User write BlockRequest => BlockResponse;
    "GraphService/Unblock" User write UnblockRequest => UnblockResponse;
    "GraphService/Mute" User write MuteRequest => MuteResponse;
    "GraphService/Unmute" User write UnmuteRequest => UnmuteResponse;
    "GraphService/ListBlocks" User read ListBlocksRequest => ListBlocksResponse;
    "GraphService/ListMutes" User read ListMutesRequest => ListMutesResponse;
    "TimelineService/GetHomeTimeline" User read GetHomeTimelineRequest => GetHomeTimelineResponse;
    "TimelineService/GetMarker" User read GetMarkerRequest => GetMarkerResponse;
    "TimelineService/SetMarker" User write SetMarkerRequest => SetMarkerResponse;
    "TimelineService/GetFanoutStatus" User read GetFanoutStatusRequest => GetFanoutStatusResponse;
    "TimelineService/SubscribeHomeTimeline" User read SubscribeHomeTimelineRequest => SubscribeHomeTimelineResponse;
    "AdminService/GetFanoutPolicy" Admin read GetFanoutPolicyRequest => GetFanoutPolicyResponse;
    "AdminService/SetFanoutPolicy" Admin write SetFanoutPolicyRequest => SetFanoutPolicyResponse;
    "AdminService/RebuildTimeline" Admin write RebuildTimelineRequest => RebuildTimelineResponse;
    "AdminService/RecountPost" Admin write RecountPostRequest => RecountPostResponse;
    "AdminService/ListDeadLetters" Admin read ListDeadLettersRequest => ListDeadLettersResponse;
    "AdminService/ReplayDeadLetter" Admin write ReplayDeadLetterRequest => ReplayDeadLetterResponse;
    "AdminService/ListOutboxEvents" Admin read ListOutboxEventsRequest => ListOutboxEventsResponse;
    "AdminService/GetCluster" Admin read GetClusterRequest => GetClusterResponse;
    "AdminService/StreamBackup" Admin read StreamBackupRequest => StreamBackupResponse;
    "AdminService/GetStorageStats" Admin read GetStorageStatsRequest => GetStorageStatsResponse;
    // Messages that were committed before are skipped by their offset, so that a repetition does no harm.
    "AdminService/ImportUsers" Admin read ImportUsersRequest => ImportUsersResponse;
    "AdminService/ImportPosts" Admin read ImportPostsRequest => ImportPostsResponse;
    "AdminService/ImportFollows" Admin read ImportFollowsRequest => ImportFollowsResponse;
    "AdminService/GetImport" Admin read GetImportRequest => GetImportResponse;
    "AdminService/StreamArchive" Admin read StreamArchiveRequest => StreamArchiveResponse;
    "AdminService/ImportArchive" Admin read ImportArchiveRequest => ImportArchiveResponse;
    "AdminService/GetArchiveImport" Admin read GetArchiveImportRequest => GetArchiveImportResponse;
}

macro_rules! paged {
    ($($request:ident $field:ident: $item:ident;)*) => {
        $(
            impl Paged for v1::$request {
                type Item = v1::$item;

                fn page_size_mut(&mut self) -> &mut i32 {
                    &mut self.page_size
                }

                fn page_token_mut(&mut self) -> &mut String {
                    &mut self.page_token
                }

                fn next_page_token(page: &Self::Response) -> &str {
                    &page.next_page_token
                }

                fn items(page: Self::Response) -> Vec<Self::Item> {
                    page.$field
                }
            }
        )*
    };
}

paged! {
    ListSessionsRequest sessions: Session;
    ListPostRevisionsRequest revisions: PostRevision;
    ListUserPostsRequest posts: Post;
    ListCommentsRequest comments: Comment;
    ListPostLikersRequest likers: PostLiker;
    ListUserLikesRequest likes: UserLike;
    ListFollowersRequest followers: GraphEdge;
    ListFollowingRequest following: GraphEdge;
    ListBlocksRequest blocks: GraphEdge;
    ListMutesRequest mutes: GraphEdge;
    GetHomeTimelineRequest items: TimelineItem;
    ListDeadLettersRequest dead_letters: DeadLetter;
    ListOutboxEventsRequest events: OutboxEvent;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_method_of_the_contract_has_a_row() {
        let rows: BTreeSet<&str> = PATHS.iter().copied().collect();
        let contract: BTreeSet<&str> = social_proto::methods().iter().map(|method| method.path).collect();
        assert_eq!(rows, contract);
        assert_eq!(rows.len(), PATHS.len());
    }
}
