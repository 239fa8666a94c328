//! Cases of PostService and LikeService.

use social_core::limits;
use social_proto::v1;
use tonic::Code;

use crate::table::{Bounds, Maker, Refusal, Table, id, mask};
use crate::world::World;

const CONTENT: Bounds = Bounds::prose(limits::POST_CONTENT_CHARS, limits::POST_CONTENT_BYTES);
const TITLE: Bounds = Bounds::line(limits::POST_TITLE_CHARS, limits::POST_TITLE_BYTES).optional();

pub(crate) fn tables(world: &World) -> Vec<Table> {
    vec![
        create_post(world),
        get_post(world),
        batch_get_posts(world),
        update_post(world),
        delete_post(world),
        undelete_post(world),
        list_post_revisions(world),
        list_user_posts(world),
        subscribe_post(world),
        like_post(world),
        unlike_post(world),
        list_post_likers(world),
        list_user_likes(world),
        batch_get_counts(world),
        subscribe_counts(world),
    ]
}

fn no_post() -> Refusal {
    Refusal::not_found("POST_NOT_FOUND")
}

fn create_post(world: &World) -> Table {
    let right = v1::CreatePostRequest {
        content: "hello".to_owned(),
        title: "A title".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    let blocked = Refusal::of(Code::PermissionDenied, "BLOCKED").at("content");
    Maker::new(world, "PostService/CreatePost", right)
        .text("content", CONTENT, |m| &mut m.content)
        .text("title", TITLE, |m| &mut m.title)
        .field("visibility", "unknown", |m| m.visibility = 9)
        .field("visibility", "negative", |m| m.visibility = -1)
        .optional_id("in_reply_to_id", |m| &mut m.in_reply_to_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.in_reply_to_id)
        .case("a reply to what is hidden", no_post(), |m| {
            m.in_reply_to_id.clone_from(&world.hidden);
        })
        .case("a reply to what is deleted", no_post(), |m| {
            m.in_reply_to_id.clone_from(&world.deleted);
        })
        .case("a mention across a block", blocked, |m| {
            m.content = format!("hello @{}", world.shut.handle);
        })
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.create_post, |m| &mut m.request_id)
        .done()
}

fn get_post(world: &World) -> Table {
    let right = v1::GetPostRequest {
        post_id: world.post.clone(),
        include_deleted: false,
    };
    Maker::new(world, "PostService/GetPost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .case("a post that is deleted", no_post(), |m| {
            m.post_id.clone_from(&world.deleted);
        })
        .done()
}

fn batch_get_posts(world: &World) -> Table {
    let right = v1::BatchGetPostsRequest {
        post_ids: vec![world.post.clone()],
    };
    Maker::new(world, "PostService/BatchGetPosts", right)
        .ids("post_ids", |m| &mut m.post_ids)
        .done()
}

fn update_post(world: &World) -> Table {
    let right = v1::UpdatePostRequest {
        post_id: world.post.clone(),
        content: "hello again".to_owned(),
        update_mask: mask("content"),
        request_id: id(),
        ..Default::default()
    };
    let denied = Refusal::of(Code::PermissionDenied, "PERMISSION_DENIED");
    let deleted = Refusal::of(Code::FailedPrecondition, "POST_DELETED");
    let content = Maker::new(world, "PostService/UpdatePost", right.clone())
        .text("content", CONTENT, |m| &mut m.content)
        .mask(|m| &mut m.update_mask)
        .etag(|m| &mut m.etag)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .case("a post of bob", denied, |m| m.post_id.clone_from(&world.bobs_post))
        .case("a post that is deleted", deleted, |m| {
            m.post_id.clone_from(&world.deleted);
        })
        .field("visibility", "unset, though it is to change", |m| {
            m.update_mask = mask("visibility");
        })
        .field("visibility", "unknown, and to change", |m| {
            m.update_mask = mask("visibility");
            m.visibility = 9;
        })
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.update_post, |m| &mut m.request_id);
    let right = v1::UpdatePostRequest {
        title: "A title".to_owned(),
        update_mask: mask("title"),
        ..right
    };
    let title = Maker::new(world, "PostService/UpdatePost", right)
        .text("title", TITLE, |m| &mut m.title)
        .done();
    content.and(title).done()
}

fn delete_post(world: &World) -> Table {
    let right = v1::DeletePostRequest {
        post_id: world.post.clone(),
        request_id: id(),
        ..Default::default()
    };
    let denied = Refusal::of(Code::PermissionDenied, "PERMISSION_DENIED");
    let deleted = Refusal::of(Code::FailedPrecondition, "POST_DELETED");
    Maker::new(world, "PostService/DeletePost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post of bob", denied, |m| m.post_id.clone_from(&world.bobs_post))
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .case("a post that is deleted", deleted, |m| {
            m.post_id.clone_from(&world.deleted);
        })
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.delete_post, |m| &mut m.request_id)
        .done()
}

fn undelete_post(world: &World) -> Table {
    let right = v1::UndeletePostRequest {
        post_id: world.deleted.clone(),
        request_id: id(),
        ..Default::default()
    };
    let denied = Refusal::of(Code::PermissionDenied, "PERMISSION_DENIED");
    Maker::new(world, "PostService/UndeletePost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post of bob", denied, |m| m.post_id.clone_from(&world.bobs_post))
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .done()
}

fn list_post_revisions(world: &World) -> Table {
    let right = v1::ListPostRevisionsRequest {
        post_id: world.post.clone(),
        ..Default::default()
    };
    Maker::new(world, "PostService/ListPostRevisions", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done()
}

fn list_user_posts(world: &World) -> Table {
    let right = v1::ListUserPostsRequest {
        user_id: world.bob.id.clone(),
        ..Default::default()
    };
    let foreign = || Refusal::of(Code::InvalidArgument, "PAGE_TOKEN_INVALID").at("page_token");
    let token = world
        .bad_tokens("")
        .into_iter()
        .find(|(what, _)| *what == "of another list");
    let token = token.map(|(_, token)| token).unwrap_or_default();
    Maker::new(world, "PostService/ListUserPosts", right)
        .id("user_id", |m| &mut m.user_id)
        .unknown("USER_NOT_FOUND", |m| &mut m.user_id)
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .case("a page token of another user's list", foreign(), |m| {
            m.user_id.clone_from(&world.alice.id);
            m.page_token.clone_from(&token);
        })
        .case("a page token of another filter", foreign(), |m| {
            m.exclude_replies = true;
            m.page_token.clone_from(&token);
        })
        .case("a page token of a list without deleted posts", foreign(), |m| {
            m.include_deleted = true;
            m.page_token.clone_from(&token);
        })
        .done()
}

fn subscribe_post(world: &World) -> Table {
    let right = v1::SubscribePostRequest {
        post_id: world.post.clone(),
    };
    Maker::new(world, "PostService/SubscribePost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .done()
}

fn like_post(world: &World) -> Table {
    let right = v1::LikePostRequest {
        post_id: world.post.clone(),
        request_id: id(),
    };
    Maker::new(world, "LikeService/LikePost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .case("a post that is deleted", no_post(), |m| {
            m.post_id.clone_from(&world.deleted);
        })
        .request_id(|m| &mut m.request_id)
        .done()
}

fn unlike_post(world: &World) -> Table {
    let right = v1::UnlikePostRequest {
        post_id: world.post.clone(),
        request_id: id(),
    };
    Maker::new(world, "LikeService/UnlikePost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", no_post(), |m| {
            m.post_id.clone_from(&world.hidden);
        })
        .request_id(|m| &mut m.request_id)
        .done()
}

fn list_post_likers(world: &World) -> Table {
    let right = v1::ListPostLikersRequest {
        post_id: world.post.clone(),
        ..Default::default()
    };
    Maker::new(world, "LikeService/ListPostLikers", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done()
}

fn list_user_likes(world: &World) -> Table {
    let right = v1::ListUserLikesRequest {
        user_id: world.bob.id.clone(),
        ..Default::default()
    };
    Maker::new(world, "LikeService/ListUserLikes", right)
        .id("user_id", |m| &mut m.user_id)
        .unknown("USER_NOT_FOUND", |m| &mut m.user_id)
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done()
}

fn batch_get_counts(world: &World) -> Table {
    let right = v1::BatchGetCountsRequest {
        post_ids: vec![world.post.clone()],
    };
    Maker::new(world, "LikeService/BatchGetCounts", right)
        .ids("post_ids", |m| &mut m.post_ids)
        .done()
}

fn subscribe_counts(world: &World) -> Table {
    let right = v1::SubscribeCountsRequest {
        post_ids: vec![world.post.clone()],
    };
    Maker::new(world, "LikeService/SubscribeCounts", right)
        .ids("post_ids", |m| &mut m.post_ids)
        .done()
}
