//! How subscriptions end, or go on differently, and say so.

use futures::TryStreamExt as _;
use social_sdk::{CountsEvent, Error, HomeEvent, HomeStream, Reason, Uuid, v1};

use crate::house::House;
use crate::people::{PASSWORD, refused};
use crate::wait::{eventually, in_time};

/// The next event that `pick` takes, within a fair time.
async fn next_of<T>(stream: &mut HomeStream, what: &str, pick: impl Fn(HomeEvent) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = stream.try_next().await.unwrap().expect("it goes on");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    };
    in_time(what, search).await
}

async fn first_checkpoint(stream: &mut HomeStream) -> String {
    next_of(stream, "a checkpoint", |event| match event {
        HomeEvent::Checkpoint { cursor } => Some(cursor),
        _ => None,
    })
    .await
}

/// Reads until the stream ends, which must be by an error.
async fn end_of(stream: &mut HomeStream) -> Error {
    let error = in_time("the end", async {
        loop {
            match stream.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without an error"),
                Err(error) => return error,
            }
        }
    })
    .await;
    assert!(stream.try_next().await.unwrap().is_none(), "an error is the end");
    error
}

#[tokio::test]
async fn a_revoked_session_ends_its_subscription() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let phone = house.anonymous();
    phone.auth().login("ann", PASSWORD).await.unwrap();
    let mut stream = phone.timeline().subscribe().stream();
    first_checkpoint(&mut stream).await;

    let session_id = phone.credentials().unwrap().session_id();
    ann.client.auth().revoke_session(session_id).await.unwrap();
    let error = end_of(&mut stream).await;
    assert_eq!(error.reason(), Reason::SessionRevoked);
    assert!(error.is_logged_out());
    assert!(phone.credentials().is_none());
}

#[tokio::test]
async fn a_logout_and_a_new_password_end_subscriptions() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let (phone, tablet) = (house.anonymous(), house.anonymous());
    let mut streams = Vec::new();
    for device in [&phone, &tablet] {
        device.auth().login("ann", PASSWORD).await.unwrap();
        let mut stream = device.timeline().subscribe().stream();
        first_checkpoint(&mut stream).await;
        streams.push(stream);
    }
    phone.auth().logout().await.unwrap();
    assert!(end_of(&mut streams[0]).await.is_logged_out());
    ann.client
        .auth()
        .change_password(PASSWORD, "a better password")
        .await
        .unwrap();
    assert_eq!(end_of(&mut streams[1]).await.reason(), Reason::SessionRevoked);
}

#[tokio::test]
async fn a_cursor_of_somebody_else_is_refused() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let mut stream = ann.client.timeline().subscribe().stream();
    let cursor = first_checkpoint(&mut stream).await;
    for wrong in [cursor, "not a cursor".to_owned()] {
        let mut refused = bob.client.timeline().subscribe().resume_from(wrong).stream();
        let error = end_of(&mut refused).await;
        assert_eq!(error.reason(), Reason::CursorInvalid);
        assert_eq!(error.field_violations()[0].field, "resume_cursor");
    }
}

#[tokio::test]
async fn an_import_makes_cursors_start_over() {
    let house = House::open().await;
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    let mut stream = fan.client.timeline().subscribe().stream();
    let cursor = first_checkpoint(&mut stream).await;
    drop(stream);

    let post = v1::ImportPost {
        author: Some(v1::import_post::Author::AuthorHandle("ann".into())),
        content: "From elsewhere".into(),
        ..Default::default()
    };
    let import = house.admin().import_posts(Uuid::new_v4());
    assert_eq!(import.run(futures::stream::iter([post])).await.unwrap().imported, 1);

    let mut stream = fan.client.timeline().subscribe().resume_from(&*cursor).stream();
    next_of(&mut stream, "the reset", |event| {
        matches!(event, HomeEvent::Reset).then_some(())
    })
    .await;
    let page = fan.client.timeline().home().newer_than(&*cursor).page().await.unwrap();
    assert!(page.reset);
    assert_eq!(page.items.len(), 1);

    // From here on it tells what happens.
    let posted = ann.post("From here").await;
    let added = next_of(&mut stream, "the new post", |event| match event {
        HomeEvent::Added { item, .. } => item.post,
        _ => None,
    });
    assert_eq!(added.await.id, posted.id);
}

#[tokio::test]
async fn too_many_streams_are_refused() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = ann.client.timeline().subscribe().stream();
        first_checkpoint(&mut stream).await;
        open.push(stream);
    }
    let mut one_more = ann.client.timeline().subscribe().stream();
    assert_eq!(end_of(&mut one_more).await.reason(), Reason::TooManyStreams);

    // Dropping one makes room, as soon as the server knows.
    drop(open.pop());
    eventually("room for another stream", async || {
        let mut stream = ann.client.timeline().subscribe().stream();
        stream.try_next().await.ok().flatten()
    })
    .await;
}

#[tokio::test]
async fn counts_are_followed_live() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let (first, second) = (ann.post("One").await, ann.post("Two").await);
    let mut events = bob.client.likes().subscribe_counts([&first.id, &second.id]);
    let mut next = async |what: &str| in_time(what, events.try_next()).await.unwrap().expect("it goes on");
    assert!(matches!(next("the connection").await, CountsEvent::Connected { .. }));
    let CountsEvent::Snapshot(snapshot) = next("the snapshot").await else {
        panic!("no snapshot");
    };
    let told: Vec<_> = snapshot.counts.iter().map(|entry| entry.post_id.as_str()).collect();
    assert_eq!(told, [first.id.as_str(), second.id.as_str()]);

    bob.client.likes().like(&second.id).await.unwrap();
    let CountsEvent::Changed(changed) = next("the like").await else {
        panic!("no change");
    };
    assert_eq!(changed.counts[0].post_id, second.id);
    assert_eq!(changed.counts[0].counts.unwrap().likes, 1);
    ann.client.posts().delete(&first.id).await.unwrap();
    let CountsEvent::Changed(changed) = next("the deletion").await else {
        panic!("no change");
    };
    assert_eq!(changed.removed_post_ids, [first.id]);
    let nothing: [&str; 0] = [];
    let mut none = bob.client.likes().subscribe_counts(nothing);
    assert_eq!(refused(none.try_next().await).reason(), Reason::InvalidField);
}
