//! Cases of GraphService.

use prost::Message;
use social_proto::v1;
use tonic::Code;

use crate::table::{Maker, Refusal, Table, id};
use crate::world::World;

/// The cases of a mutation towards another user.
macro_rules! towards {
    ($world:expr, $method:literal, $request:ident) => {{
        let right = v1::$request {
            user_id: $world.bob.id.clone(),
            request_id: id(),
        };
        let oneself = Refusal::of(Code::FailedPrecondition, "SELF_REFERENCE").at("user_id");
        Maker::new($world, concat!("GraphService/", $method), right)
            .id("user_id", |m| &mut m.user_id)
            .unknown("USER_NOT_FOUND", |m| &mut m.user_id)
            .case("oneself", oneself, |m| m.user_id.clone_from(&$world.alice.id))
            .request_id(|m| &mut m.request_id)
    }};
}

/// The cases of a list of a user's edges.
macro_rules! edges {
    ($world:expr, $method:literal, $request:ident) => {{
        let right = v1::$request {
            user_id: $world.bob.id.clone(),
            ..Default::default()
        };
        Maker::new($world, concat!("GraphService/", $method), right)
            .id("user_id", |m| &mut m.user_id)
            .unknown("USER_NOT_FOUND", |m| &mut m.user_id)
            .page(|m| &mut m.page_size, |m| &mut m.page_token)
            .done()
    }};
}

pub(crate) fn tables(world: &World) -> Vec<Table> {
    let blocked = Refusal::of(Code::PermissionDenied, "BLOCKED");
    vec![
        towards!(world, "Follow", FollowRequest)
            .case("somebody behind a block", blocked, |m| {
                m.user_id.clone_from(&world.shut.id);
            })
            .done(),
        towards!(world, "Unfollow", UnfollowRequest).done(),
        towards!(world, "RemoveFollower", RemoveFollowerRequest).done(),
        towards!(world, "Block", BlockRequest).done(),
        towards!(world, "Unblock", UnblockRequest).done(),
        towards!(world, "Mute", MuteRequest).done(),
        towards!(world, "Unmute", UnmuteRequest).done(),
        edges!(world, "ListFollowers", ListFollowersRequest),
        edges!(world, "ListFollowing", ListFollowingRequest),
        own(
            Maker::new(world, "GraphService/ListBlocks", v1::ListBlocksRequest::default())
                .page(|m| &mut m.page_size, |m| &mut m.page_token),
        ),
        own(
            Maker::new(world, "GraphService/ListMutes", v1::ListMutesRequest::default())
                .page(|m| &mut m.page_size, |m| &mut m.page_token),
        ),
        stream_followers(world),
    ]
}

fn own<M: Message + Clone>(maker: Maker<'_, M>) -> Table {
    maker.done()
}

fn stream_followers(world: &World) -> Table {
    let right = v1::StreamFollowersRequest {
        user_id: world.bob.id.clone(),
        ..Default::default()
    };
    let mut maker = Maker::new(world, "GraphService/StreamFollowers", right)
        .id("user_id", |m| &mut m.user_id)
        .unknown("USER_NOT_FOUND", |m| &mut m.user_id);
    let bad = world.bad_tokens("").into_iter().chain(world.bad_cursors());
    for (what, bad) in bad {
        let refused = Refusal::of(Code::InvalidArgument, "CURSOR_INVALID").at("resume_cursor");
        maker = maker.case(&format!("a cursor: {what}"), refused, |m| m.resume_cursor = bad);
    }
    maker.done()
}
