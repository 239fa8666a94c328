//! Cases of AdminService.

use social_core::limits;
use social_proto::v1;
use social_proto::v1::archive_record::Record;

use crate::support::archive;
use crate::table::{Maker, NOBODY, Refusal, Table, id};
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
        stream_archive(world),
        import_archive(world),
        get_archive_import(world),
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

fn stream_archive(world: &World) -> Table {
    Maker::new(world, "AdminService/StreamArchive", v1::StreamArchiveRequest::default())
        .field("position", "that is none", |m| m.position = b"somewhere".to_vec())
        .field("position", "too long", |m| m.position = vec![1; 1 << 19])
        .done()
}

fn import_archive(world: &World) -> Table {
    let mut table = Maker::new(world, "AdminService/ImportArchive", archive::begun())
        .uuid("import_id", |m| &mut m.import_id)
        .field("import_id", "of another archive than the header", |m| {
            m.import_id = id();
        })
        .field("offset", "negative", |m| m.offset = -1)
        .field("offset", "behind a hole", |m| m.offset = 2)
        .field("offset", "beyond all", |m| m.offset = i64::MAX)
        .field("records", "of more than 1,000", |m| {
            m.records = vec![m.records[0].clone(); limits::IMPORT_BATCH + 1];
        })
        .field("header", "unset", |m| m.header = None)
        .field("header", "that changed", |m| header(m).source = "cluster".to_owned())
        .field("header.format", "of a later version", |m| header(m).format = 2)
        .field("header.format", "negative", |m| header(m).format = -1)
        .field("header.source", "too long", |m| header(m).source = "x".repeat(33))
        .field("header.create_time", "unset", |m| header(m).create_time = None)
        .field("header.bound_id", "that is none", |m| {
            header(m).bound_id = "x".to_owned();
        })
        .field("header.bound_id", "of the future", |m| {
            header(m).bound_id = "7zzzzzzzzzzzz".to_owned();
        })
        .case(
            "another archive",
            Refusal::of(tonic::Code::FailedPrecondition, "PLATFORM_NOT_EMPTY"),
            |m| {
                let other = id();
                m.import_id.clone_from(&other);
                header(m).archive_id = other;
            },
        )
        .field("records[0].record", "of no kind", |m| m.records[0].record = None)
        .field("records[0].policy.mode", "unknown", |m| policy(m).mode = 9)
        .field("records[0].policy.version", "of 0", |m| policy(m).version = 0)
        .done();
    for (field, what, record) in records() {
        let case = Maker::new(world, "AdminService/ImportArchive", archive::begun()).field(field, what, |m| {
            m.offset = 1;
            m.records = vec![v1::ArchiveRecord { record: Some(record) }];
        });
        // The cases of all methods are in the table already.
        table.cases.extend(case.done().cases.pop());
    }
    table.cases.push(crate::Case {
        what: "a stream without a message".to_owned(),
        sent: crate::Sent::Own,
        messages: Vec::new(),
        expected: Refusal::field("import_id"),
    });
    table
}

fn header(message: &mut v1::ImportArchiveRequest) -> &mut v1::ArchiveHeader {
    message.header.as_mut().unwrap()
}

fn policy(message: &mut v1::ImportArchiveRequest) -> &mut v1::ArchivePolicy {
    match &mut message.records[0].record {
        Some(Record::Policy(policy)) => policy,
        other => panic!("{other:?}"),
    }
}

/// Records at fault: the field, what is wrong with it, and the record.
fn records() -> Vec<(&'static str, &'static str, Record)> {
    let time = Some(prost_types::Timestamp::default());
    let zero = || "0000000000000".to_owned();
    let user = v1::ArchiveUser {
        id: zero(),
        handle: "nobody".to_owned(),
        version: 1,
        create_time: time,
        update_time: time,
        password_time: time,
        ..Default::default()
    };
    let post = v1::ArchivePost {
        id: zero(),
        author_id: zero(),
        content: "hello".to_owned(),
        visibility: v1::Visibility::Public.into(),
        version: 1,
        revision: 1,
        visible_since_id: zero(),
        create_time: time,
        ..Default::default()
    };
    let edge = v1::ArchiveEdge {
        kind: v1::ArchiveEdgeKind::Follow.into(),
        from_id: zero(),
        to_id: zero(),
        since_id: zero(),
    };
    let like = v1::ArchiveLike {
        user_id: zero(),
        post_id: zero(),
        since_id: zero(),
    };
    vec![
        (
            "records[0].user.handle",
            "with a space",
            Record::User(v1::ArchiveUser {
                handle: "no body".to_owned(),
                ..user.clone()
            }),
        ),
        (
            "records[0].user.password_hash",
            "in the clear",
            Record::User(v1::ArchiveUser {
                password_hash: "hunter2".to_owned(),
                ..user.clone()
            }),
        ),
        (
            "records[0]",
            "above the bound",
            Record::User(v1::ArchiveUser {
                id: NOBODY.to_owned(),
                ..user
            }),
        ),
        ("records[0].post.author_id", "of nobody", Record::Post(post.clone())),
        (
            "records[0].post.visibility",
            "unset",
            Record::Post(v1::ArchivePost { visibility: 0, ..post }),
        ),
        ("records[0].like.post_id", "of nothing", Record::Like(like)),
        ("records[0].edge.to_id", "of the same user", Record::Edge(edge.clone())),
        (
            "records[0].edge.kind",
            "unset",
            Record::Edge(v1::ArchiveEdge { kind: 0, ..edge }),
        ),
    ]
}

fn get_archive_import(world: &World) -> Table {
    let right = v1::GetArchiveImportRequest {
        import_id: archive::BEGUN.to_owned(),
    };
    Maker::new(world, "AdminService/GetArchiveImport", right)
        .uuid("import_id", |m| &mut m.import_id)
        .case("an archive of elsewhere", Refusal::not_found("IMPORT_NOT_FOUND"), |m| {
            m.import_id = id();
        })
        .done()
}
