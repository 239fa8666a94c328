//! Cases of AdminService.

use social_core::limits;
use social_proto::v1;

use crate::table::{Maker, Refusal, Table, id};
use crate::world::World;

pub(crate) fn tables(world: &World) -> Vec<Table> {
    vec![
        Maker::new(world, "AdminService/GetFanoutPolicy", v1::GetFanoutPolicyRequest {}).done(),
        set_fanout_policy(world),
        rebuild_timeline(world),
        recount_post(world),
        Maker::new(
            world,
            "AdminService/ListDeadLetters",
            v1::ListDeadLettersRequest::default(),
        )
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done(),
        replay_dead_letter(world),
        Maker::new(
            world,
            "AdminService/ListOutboxEvents",
            v1::ListOutboxEventsRequest::default(),
        )
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done(),
        Maker::new(world, "AdminService/GetCluster", v1::GetClusterRequest {}).done(),
        Maker::new(world, "AdminService/StreamBackup", v1::StreamBackupRequest {}).done(),
        Maker::new(world, "AdminService/GetStorageStats", v1::GetStorageStatsRequest {}).done(),
        import_users(world),
        import_posts(world),
        import_follows(world),
        get_import(world),
    ]
}

fn set_fanout_policy(world: &World) -> Table {
    let right = v1::SetFanoutPolicyRequest {
        mode: v1::FanoutMode::Pull.into(),
        celebrity_threshold: 50,
        request_id: id(),
        ..Default::default()
    };
    Maker::new(world, "AdminService/SetFanoutPolicy", right)
        .field("mode", "unset", |m| m.mode = 0)
        .field("mode", "unknown", |m| m.mode = 9)
        .field("celebrity_threshold", "negative", |m| m.celebrity_threshold = -1)
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .done()
}

fn rebuild_timeline(world: &World) -> Table {
    let right = v1::RebuildTimelineRequest {
        user_id: world.bob.id.clone(),
        request_id: id(),
    };
    Maker::new(world, "AdminService/RebuildTimeline", right)
        .id("user_id", |m| &mut m.user_id)
        .unknown("USER_NOT_FOUND", |m| &mut m.user_id)
        .request_id(|m| &mut m.request_id)
        .done()
}

fn recount_post(world: &World) -> Table {
    let right = v1::RecountPostRequest {
        post_id: world.post.clone(),
        request_id: id(),
    };
    Maker::new(world, "AdminService/RecountPost", right)
        .id("post_id", |m| &mut m.post_id)
        .unknown("POST_NOT_FOUND", |m| &mut m.post_id)
        .request_id(|m| &mut m.request_id)
        .done()
}

fn replay_dead_letter(world: &World) -> Table {
    let right = v1::ReplayDeadLetterRequest {
        event_id: world.post.clone(),
        request_id: id(),
    };
    Maker::new(world, "AdminService/ReplayDeadLetter", right)
        .id("event_id", |m| &mut m.event_id)
        .unknown("DEAD_LETTER_NOT_FOUND", |m| &mut m.event_id)
        .request_id(|m| &mut m.request_id)
        .done()
}

/// The cases of one message of an import; `$other` is an import of another kind.
macro_rules! import {
    ($world:expr, $method:literal, $request:ident, $items:ident, $item:expr, $other:expr) => {{
        let right = v1::$request {
            import_id: id(),
            offset: 0,
            $items: vec![$item],
        };
        let mut maker = Maker::new($world, concat!("AdminService/", $method), right)
            .uuid("import_id", |m| &mut m.import_id)
            .field("offset", "negative", |m| m.offset = -1)
            .field("offset", "behind a hole", |m| m.offset = 1)
            .field("offset", "beyond all", |m| m.offset = i64::MAX)
            .field(stringify!($items), "none", |m| m.$items.clear())
            .field(stringify!($items), "of more than 1,000", |m| {
                m.$items = vec![$item; limits::IMPORT_BATCH + 1];
            });
        if let Some(other) = $other {
            maker = maker.field("import_id", "of another kind", |m| m.import_id.clone_from(other));
        }
        let mut table = maker.done();
        let what = "a stream without a message".to_owned();
        table.cases.push(crate::Case {
            what,
            sent: crate::Sent::Own,
            messages: Vec::new(),
            expected: Refusal::field("import_id"),
        });
        table
    }};
}

fn import_users(world: &World) -> Table {
    let item = v1::ImportUser {
        handle: "one_more".to_owned(),
        ..Default::default()
    };
    import!(
        world,
        "ImportUsers",
        ImportUsersRequest,
        users,
        item.clone(),
        None::<&String>
    )
}

fn import_posts(world: &World) -> Table {
    let item = v1::ImportPost {
        author: Some(v1::import_post::Author::AuthorId(world.bob.id.clone())),
        content: "from elsewhere".to_owned(),
        ..Default::default()
    };
    import!(
        world,
        "ImportPosts",
        ImportPostsRequest,
        posts,
        item.clone(),
        Some(&world.import)
    )
}

fn import_follows(world: &World) -> Table {
    let item = v1::ImportFollow {
        follower: Some(v1::import_follow::Follower::FollowerId(world.bob.id.clone())),
        followee: Some(v1::import_follow::Followee::FolloweeId(world.shut.id.clone())),
        create_time: None,
    };
    import!(
        world,
        "ImportFollows",
        ImportFollowsRequest,
        follows,
        item.clone(),
        Some(&world.import)
    )
}

fn get_import(world: &World) -> Table {
    let right = v1::GetImportRequest {
        import_id: world.import.clone(),
    };
    Maker::new(world, "AdminService/GetImport", right)
        .uuid("import_id", |m| &mut m.import_id)
        .case("an import of nothing", Refusal::not_found("IMPORT_NOT_FOUND"), |m| {
            m.import_id = id();
        })
        .done()
}
