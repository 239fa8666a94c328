//! Imports: an item that breaks a rule is rejected with its index, reason and field, and the others are brought in.

use social_proto::v1;
use social_proto::v1::import_follow::{Followee, Follower};
use social_proto::v1::import_post::Author;

use crate::support::{House, Person, request_id};
use crate::table::NOBODY;

/// What a rejection must say: reason and field.
type Expected = (&'static str, &'static str);

async fn import<A: prost::Message + Default>(house: &House, method: &str, message: &impl prost::Message) -> A {
    let method = format!("AdminService/{method}");
    let asked = house.admin.call(&method, Some(&house.admin_token), message);
    asked.await.unwrap()
}

/// Asserts that the first item came in and each other one was rejected as expected; how many those were.
fn assert_rejected(progress: Option<v1::ImportProgress>, expected: &[Expected]) -> usize {
    let progress = progress.unwrap();
    assert_eq!(progress.rejections.len(), expected.len(), "{progress:?}");
    for ((index, rejection), (reason, field)) in (1..).zip(&progress.rejections).zip(expected) {
        assert_eq!(
            (rejection.index, rejection.reason.as_str()),
            (index, *reason),
            "{rejection:?}"
        );
        // A handle that is taken may be named as the field at fault, or not.
        let names = rejection.field == *field || (*reason == "HANDLE_TAKEN" && rejection.field.is_empty());
        assert!(names, "{field}: {rejection:?}");
    }
    let counts = (progress.imported, progress.rejected, progress.next_offset);
    assert_eq!(counts, (1, expected.len() as i64, expected.len() as i64 + 1));
    expected.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_items_are_rejected_and_the_others_come_in() {
    let house = House::open().await;
    let alice = house.person("alice").await;
    let mut rejected = users(&house, &alice).await;
    rejected += posts(&house, &alice).await;
    rejected += follows(&house, &alice).await;
    println!("{rejected} bad items of imports, each rejected with index, reason and field");
}

fn long_ago() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1, nanos: 0 })
}

fn in_the_future() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: 9_999_999_999,
        nanos: 0,
    })
}

async fn users(house: &House, alice: &Person) -> usize {
    let good = v1::ImportUser {
        handle: "Brought_In".to_owned(),
        ..Default::default()
    };
    let user = |handle: &str| v1::ImportUser {
        handle: handle.to_owned(),
        ..Default::default()
    };
    let other = || user("another_one");
    let cases = [
        (user(""), ("INVALID_FIELD", "handle")),
        (user("@x"), ("INVALID_FIELD", "handle")),
        (user(&alice.handle), ("HANDLE_TAKEN", "handle")),
        (user("brought_in"), ("HANDLE_TAKEN", "handle")),
        (
            v1::ImportUser {
                display_name: "a\nb".to_owned(),
                ..other()
            },
            ("INVALID_FIELD", "display_name"),
        ),
        (
            v1::ImportUser {
                bio: "x".repeat(501),
                ..other()
            },
            ("INVALID_FIELD", "bio"),
        ),
        (
            v1::ImportUser {
                password_hash: "secret".to_owned(),
                ..other()
            },
            ("INVALID_FIELD", "password_hash"),
        ),
        (
            v1::ImportUser {
                create_time: long_ago(),
                ..other()
            },
            ("INVALID_FIELD", "create_time"),
        ),
        (
            v1::ImportUser {
                create_time: in_the_future(),
                ..other()
            },
            ("INVALID_FIELD", "create_time"),
        ),
    ];
    let (items, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let message = v1::ImportUsersRequest {
        import_id: request_id(),
        offset: 0,
        users: [vec![good], items].concat(),
    };
    let answer: v1::ImportUsersResponse = import(house, "ImportUsers", &message).await;
    let count = assert_rejected(answer.progress.clone(), &expected);
    // Sent again it is passed over, and nothing changes.
    let again: v1::ImportUsersResponse = import(house, "ImportUsers", &message).await;
    assert_eq!(again.skipped, message.users.len() as i64);
    assert_eq!(again.progress.unwrap().imported, 1);
    count
}

async fn posts(house: &House, alice: &Person) -> usize {
    let good = v1::ImportPost {
        author: Some(Author::AuthorId(alice.id.clone())),
        content: "from elsewhere".to_owned(),
        ..Default::default()
    };
    let by = |author| v1::ImportPost { author, ..good.clone() };
    let cases = [
        (by(None), ("INVALID_FIELD", "author")),
        (
            by(Some(Author::AuthorId("x".to_owned()))),
            ("INVALID_FIELD", "author_id"),
        ),
        (
            by(Some(Author::AuthorHandle("@".to_owned()))),
            ("INVALID_FIELD", "author_handle"),
        ),
        (
            by(Some(Author::AuthorId(NOBODY.to_owned()))),
            ("USER_NOT_FOUND", "author"),
        ),
        (
            by(Some(Author::AuthorHandle("nobody_here".to_owned()))),
            ("USER_NOT_FOUND", "author"),
        ),
        (
            v1::ImportPost {
                content: String::new(),
                ..good.clone()
            },
            ("INVALID_FIELD", "content"),
        ),
        (
            v1::ImportPost {
                content: "x".repeat(5_001),
                ..good.clone()
            },
            ("INVALID_FIELD", "content"),
        ),
        (
            v1::ImportPost {
                title: "a\u{1b}b".to_owned(),
                ..good.clone()
            },
            ("INVALID_FIELD", "title"),
        ),
        (
            v1::ImportPost {
                visibility: 9,
                ..good.clone()
            },
            ("INVALID_FIELD", "visibility"),
        ),
        (
            v1::ImportPost {
                in_reply_to_id: "x".to_owned(),
                ..good.clone()
            },
            ("INVALID_FIELD", "in_reply_to_id"),
        ),
        (
            v1::ImportPost {
                create_time: in_the_future(),
                ..good.clone()
            },
            ("INVALID_FIELD", "create_time"),
        ),
    ];
    let (items, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let message = v1::ImportPostsRequest {
        import_id: request_id(),
        offset: 0,
        posts: [vec![good.clone()], items].concat(),
    };
    let answer: v1::ImportPostsResponse = import(house, "ImportPosts", &message).await;
    let count = assert_rejected(answer.progress, &expected);
    assert_eq!(alice.posts_of(&house.line, &alice.id).await.unwrap().len(), 1);
    assert_eq!(alice.home(&house.line).await.unwrap().len(), 1);
    count
}

async fn follows(house: &House, alice: &Person) -> usize {
    let follower = Some(Follower::FollowerHandle("brought_in".to_owned()));
    let followee = Some(Followee::FolloweeId(alice.id.clone()));
    let good = v1::ImportFollow {
        follower: follower.clone(),
        followee: followee.clone(),
        create_time: None,
    };
    let cases = [
        (
            v1::ImportFollow {
                follower: None,
                ..good.clone()
            },
            ("INVALID_FIELD", "follower"),
        ),
        (
            v1::ImportFollow {
                followee: None,
                ..good.clone()
            },
            ("INVALID_FIELD", "followee"),
        ),
        (
            v1::ImportFollow {
                follower: Some(Follower::FollowerId("x".to_owned())),
                ..good.clone()
            },
            ("INVALID_FIELD", "follower_id"),
        ),
        (
            v1::ImportFollow {
                followee: Some(Followee::FolloweeHandle("nobody_here".to_owned())),
                ..good.clone()
            },
            ("USER_NOT_FOUND", "followee"),
        ),
        (
            v1::ImportFollow {
                follower: Some(Follower::FollowerId(alice.id.clone())),
                ..good.clone()
            },
            ("INVALID_FIELD", "followee"),
        ),
        (
            v1::ImportFollow {
                create_time: long_ago(),
                ..good.clone()
            },
            ("INVALID_FIELD", "create_time"),
        ),
    ];
    let (items, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let message = v1::ImportFollowsRequest {
        import_id: request_id(),
        offset: 0,
        follows: [vec![good], items].concat(),
    };
    let answer: v1::ImportFollowsResponse = import(house, "ImportFollows", &message).await;
    assert_rejected(answer.progress, &expected)
}
