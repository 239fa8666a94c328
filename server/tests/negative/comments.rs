//! Cases of CommentService.

use social_core::limits;
use social_proto::v1;
use tonic::Code;

use crate::table::{Bounds, Maker, Refusal, Table, id, mask};
use crate::world::World;

const CONTENT: Bounds = Bounds::prose(limits::COMMENT_CHARS, limits::COMMENT_BYTES);

pub(crate) fn tables(world: &World) -> Vec<Table> {
    vec![
        create_comment(world),
        update_comment(world),
        delete_comment(world),
        list_comments(world),
        batch_get_comments(world),
    ]
}

fn no_comment() -> Refusal {
    Refusal::not_found("COMMENT_NOT_FOUND")
}

fn create_comment(world: &World) -> Table {
    let right = v1::CreateCommentRequest {
        post_id: world.post.clone(),
        content: "so it is".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    let hidden = Refusal::not_found("POST_NOT_FOUND");
    let blocked = Refusal::of(Code::PermissionDenied, "BLOCKED").at("content");
    Maker::new(world, "CommentService/CreateComment", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .case("a post that is hidden", hidden, |m| m.post_id.clone_from(&world.hidden))
        .optional_id("parent_id", |m| &mut m.parent_id)
        .unknown("COMMENT_NOT_FOUND", |m| &mut m.parent_id)
        .case("a parent on another post", no_comment(), |m| {
            m.post_id.clone_from(&world.bobs_post);
            m.parent_id.clone_from(&world.bobs_comment);
        })
        .case("a parent that is deleted", no_comment(), |m| {
            m.parent_id.clone_from(&world.deleted_comment);
        })
        .case("a mention across a block", blocked, |m| {
            m.content = format!("hello @{}", world.shut.handle);
        })
        .text("content", CONTENT, |m| &mut m.content)
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.create_comment, |m| &mut m.request_id)
        .done()
}

fn update_comment(world: &World) -> Table {
    let right = v1::UpdateCommentRequest {
        comment_id: world.comment.clone(),
        content: "so it was".to_owned(),
        update_mask: mask("content"),
        request_id: id(),
        ..Default::default()
    };
    let denied = Refusal::of(Code::PermissionDenied, "PERMISSION_DENIED");
    Maker::new(world, "CommentService/UpdateComment", right)
        .id("comment_id", |m| &mut m.comment_id)
        .unknown("COMMENT_NOT_FOUND", |m| &mut m.comment_id)
        .case("a comment of bob", denied, |m| {
            m.comment_id.clone_from(&world.bobs_comment);
        })
        .case("a comment that is deleted", no_comment(), |m| {
            m.comment_id.clone_from(&world.deleted_comment);
        })
        .text("content", CONTENT, |m| &mut m.content)
        .mask(|m| &mut m.update_mask)
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.update_comment, |m| &mut m.request_id)
        .done()
}

fn delete_comment(world: &World) -> Table {
    let right = v1::DeleteCommentRequest {
        comment_id: world.comment.clone(),
        request_id: id(),
        ..Default::default()
    };
    let denied = Refusal::of(Code::PermissionDenied, "PERMISSION_DENIED");
    Maker::new(world, "CommentService/DeleteComment", right)
        .id("comment_id", |m| &mut m.comment_id)
        .unknown("COMMENT_NOT_FOUND", |m| &mut m.comment_id)
        .case("a comment of bob", denied, |m| {
            m.comment_id.clone_from(&world.bobs_comment);
        })
        .case("a comment that is deleted", no_comment(), |m| {
            m.comment_id.clone_from(&world.deleted_comment);
        })
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.delete_comment, |m| &mut m.request_id)
        .done()
}

fn list_comments(world: &World) -> Table {
    let right = v1::ListCommentsRequest {
        post_id: world.post.clone(),
        ..Default::default()
    };
    Maker::new(world, "CommentService/ListComments", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .optional_id("parent_id", |m| &mut m.parent_id)
        .unknown("COMMENT_NOT_FOUND", |m| &mut m.parent_id)
        .case("a parent on another post", no_comment(), |m| {
            m.post_id.clone_from(&world.bobs_post);
            m.parent_id.clone_from(&world.bobs_comment);
        })
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done()
}

fn batch_get_comments(world: &World) -> Table {
    let right = v1::BatchGetCommentsRequest {
        comment_ids: vec![world.comment.clone()],
    };
    Maker::new(world, "CommentService/BatchGetComments", right)
        .ids("comment_ids", |m| &mut m.comment_ids)
        .done()
}
