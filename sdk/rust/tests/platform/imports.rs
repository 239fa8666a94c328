//! Bringing people, posts and follows in, with interruptions.

use futures::stream;
use social_sdk::{AdminClient, Timestamp, Uuid, v1};

use crate::house::House;
use crate::wait::{eventually, in_time};

/// Of [`HASH`].
const PASSWORD: &str = "analytical-engine-1843";
/// argon2id, as another platform would have kept it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29jaWFsLWRlbW8tc2FsdA$c0rPtaNyDvvIK7gJ4HykgXJ/UymbGpe3LSqdKvSXiHQ";
/// 2012-01-01, long before this platform.
const THEN: i64 = 1_325_376_000;

fn then(seconds: usize) -> Option<Timestamp> {
    let seconds = THEN + i64::try_from(seconds).unwrap();
    Some(Timestamp { seconds, nanos: 0 })
}

fn user(number: usize) -> v1::ImportUser {
    v1::ImportUser {
        handle: format!("person_{number}"),
        password_hash: if number == 0 { HASH.into() } else { String::new() },
        create_time: then(number),
        ..Default::default()
    }
}

fn post(number: usize, authors: usize) -> v1::ImportPost {
    let author = format!("person_{}", 1 + number % authors);
    v1::ImportPost {
        author: Some(v1::import_post::Author::AuthorHandle(author)),
        content: format!("Post {number}"),
        create_time: then(100_000 + number),
        ..Default::default()
    }
}

fn follow(number: usize) -> v1::ImportFollow {
    v1::ImportFollow {
        follower: Some(v1::import_follow::Follower::FollowerHandle("person_0".into())),
        followee: Some(v1::import_follow::Followee::FolloweeHandle(format!("person_{number}"))),
        create_time: then(200_000 + number),
    }
}

async fn import_users(
    admin: &AdminClient,
    id: Uuid,
    users: impl Iterator<Item = v1::ImportUser> + Send,
) -> v1::ImportProgress {
    admin.import_users(id).run(stream::iter(users)).await.unwrap()
}

#[tokio::test]
async fn a_platform_moves_in() {
    let house = House::open().await;
    let admin = house.admin();
    let users = Uuid::new_v4();
    // The first run breaks off in the middle of a message.
    let part = import_users(&admin, users, (0..1_500).map(user)).await;
    assert_eq!((part.imported, part.next_offset), (1_500, 1_500));
    // The second one begins at the first item again, and brings in what is missing.
    let all = (0..2_000).map(|number| match number {
        1_700 => v1::ImportUser {
            handle: "no handle".into(),
            ..user(number)
        },
        1_800 => user(7),
        _ => user(number),
    });
    let whole = import_users(&admin, users, all).await;
    assert_eq!((whole.imported, whole.rejected, whole.next_offset), (1_998, 2, 2_000));
    let rejections: Vec<_> = whole
        .rejections
        .iter()
        .map(|one| (one.index, one.reason.as_str()))
        .collect();
    assert_eq!(rejections, [(1_700, "INVALID_FIELD"), (1_800, "HANDLE_TAKEN")]);
    assert_eq!(admin.import_progress(users).await.unwrap(), whole);

    let posts = admin.import_posts(Uuid::new_v4());
    let posts = posts
        .run(stream::iter((0..300).map(|number| post(number, 3))))
        .await
        .unwrap();
    let id = Uuid::new_v4();
    let follows = async |until| {
        admin
            .import_follows(id)
            .run(stream::iter((1..=until).map(follow)))
            .await
            .unwrap()
    };
    assert_eq!(follows(2).await.next_offset, 2);
    let follows = follows(3).await;
    assert_eq!((posts.imported, follows.imported), (300, 3));

    // Who came with a password logs in with it, and finds everything in place.
    let client = house.anonymous();
    let me = client.auth().login("person_0", PASSWORD).await.unwrap();
    assert_eq!(me.counts.unwrap_or_default().following, 3);
    let person = crate::people::Person {
        client,
        id: me.id,
        handle: me.handle,
    };
    assert_eq!(person.home().await.len(), 300);
    let page = person.client.timeline().home().page_size(1).page().await.unwrap();
    let newest = page.items[0].post.clone().unwrap();
    assert_eq!(
        (newest.content.as_str(), newest.create_time),
        ("Post 299", then(100_299))
    );
    let locked = house.anonymous().auth().login("person_1", PASSWORD).await;
    assert_eq!(
        crate::people::refused(locked).reason(),
        social_sdk::Reason::CredentialsInvalid
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_survives_a_killed_server() {
    const POSTS: usize = 12_000;
    let mut house = House::open().await;
    let admin = house.admin();
    import_users(&admin, Uuid::new_v4(), (0..11).map(user)).await;
    let id = Uuid::new_v4();
    let running = tokio::spawn({
        let import = admin.import_posts(id);
        import.run(stream::iter((0..POSTS).map(|number| post(number, 10))))
    });
    let before = eventually("the first messages", async || {
        let progress = admin.import_posts(id).progress().await.unwrap()?;
        (progress.next_offset > 0).then_some(progress.next_offset)
    })
    .await;
    house.kill().await;
    assert!(!running.is_finished(), "it was to be killed in between");
    house.start().await;

    // The client has kept what was not acknowledged, and sends it again by itself.
    let done = in_time("the import", running).await.unwrap().unwrap();
    assert_eq!((done.imported, done.rejected), (i64::try_from(POSTS).unwrap(), 0));
    let anonymous = house.anonymous();
    let mut found = 0;
    for number in 1..=10 {
        let user = anonymous
            .users()
            .get_by_handle(format!("person_{number}"))
            .await
            .unwrap();
        found += user.counts.unwrap().posts;
    }
    assert_eq!(found, i64::try_from(POSTS).unwrap(), "each once");
    println!("killed after {before} of {POSTS} posts");

    // Run once more, it brings in nothing.
    let again = admin
        .import_posts(id)
        .run(stream::iter((0..POSTS).map(|number| post(number, 10))));
    assert_eq!(again.await.unwrap(), done);
}
