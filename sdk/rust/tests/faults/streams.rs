//! The other streams: one post, counts, exports.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use social_sdk::{Client, Code, CountsEvent, Error, Origin, PostEvent, Reason, RetryPolicy, v1};

use crate::fake::{Fake, MINUTES, Step, USER, hurried, logged_in, refusal, script};

const POST: &str = "0000000000009";

#[tokio::test]
async fn a_post_is_followed_across_connections() {
    use v1::subscribe_post_response::Event;
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let send = |event| Step::Send(v1::SubscribePostResponse { event: Some(event) });
    let comment = |id: &str| {
        Event::CommentCreated(v1::Comment {
            id: id.to_owned(),
            ..Default::default()
        })
    };
    let scripts = vec![
        vec![
            send(Event::Snapshot(v1::Post::default())),
            send(Event::Heartbeat(v1::Heartbeat {
                time: None,
                interval_ms: 50,
            })),
            send(comment("x")),
            send(comment("x")),
            send(Event::Gap(v1::PostStreamGap { dropped: 3 })),
        ],
        vec![
            send(Event::Snapshot(v1::Post::default())),
            Step::Fail(refusal(Code::NotFound, "POST_NOT_FOUND")),
        ],
    ];
    script::<v1::SubscribePostRequest>(&fake, scripts);
    let events: Vec<_> = client.posts().subscribe(POST).collect().await;
    assert!(
        matches!(
            events.as_slice(),
            [
                Ok(PostEvent::Connected { reconnected: false }),
                Ok(PostEvent::Snapshot(_)),
                Ok(PostEvent::CommentCreated(_)),
                Ok(PostEvent::Gap { dropped: 3 }),
                Ok(PostEvent::Connected { reconnected: true }),
                Ok(PostEvent::Snapshot(_)),
                Err(_),
            ]
        ),
        "{events:?}"
    );
    let mut stream = client.posts().subscribe("no id");
    assert_eq!(stream.try_next().await.expect_err("no id").origin(), Origin::Client);
}

#[tokio::test]
async fn counts_are_followed_across_connections() {
    use v1::subscribe_counts_response::Event;
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let send = |event| Step::Send(v1::SubscribeCountsResponse { event: Some(event) });
    let snapshot = || send(Event::Snapshot(v1::CountsSnapshot::default()));
    let heartbeat = send(Event::Heartbeat(v1::Heartbeat {
        time: None,
        interval_ms: 40,
    }));
    let changed = send(Event::Changed(v1::CountsChanged::default()));
    let scripts = vec![
        vec![snapshot(), changed, heartbeat, Step::Hang],
        vec![snapshot(), Step::Fail(refusal(Code::Internal, "INTERNAL"))],
        vec![Step::Fail(refusal(Code::PermissionDenied, "PERMISSION_DENIED"))],
    ];
    let seen = script::<v1::SubscribeCountsRequest>(&fake, scripts);
    let events: Vec<_> = client.likes().subscribe_counts([POST]).collect().await;
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Ok(CountsEvent::Connected { .. }) => "connected",
            Ok(CountsEvent::Snapshot(_)) => "snapshot",
            Ok(CountsEvent::Changed(_)) => "changed",
            Ok(CountsEvent::Reconnecting(_)) => "lost",
            _ => "end",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "connected",
            "snapshot",
            "changed",
            "lost",
            "connected",
            "snapshot",
            "lost",
            "end"
        ]
    );
    assert!(seen.all().iter().all(|request| request.post_ids == [POST]));
}

#[tokio::test]
async fn an_export_resumes_behind_the_last_chunk() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let chunk = |ids: &[&str], cursor: &str, last| {
        let followers = ids.iter().map(|id| {
            let user = v1::UserSummary {
                id: (*id).to_owned(),
                ..Default::default()
            };
            v1::GraphEdge {
                user: Some(user),
                create_time: None,
            }
        });
        let resume_cursor = cursor.to_owned();
        Step::Send(v1::StreamFollowersResponse {
            followers: followers.collect(),
            resume_cursor,
            last,
        })
    };
    let scripts = vec![
        vec![
            chunk(&["a", "b"], "1", false),
            chunk(&["c"], "2", false),
            Step::Cut(fake.clone()),
        ],
        // Cut short without an error.
        vec![chunk(&["d"], "3", false)],
        vec![chunk(&["e"], "4", true)],
    ];
    let seen = script::<v1::StreamFollowersRequest>(&fake, scripts);
    let ids: Vec<String> = client
        .graph()
        .stream_followers(USER)
        .resume_from("0")
        .stream()
        .map_ok(|edge| edge.user.unwrap_or_default().id)
        .try_collect()
        .await
        .expect("all");
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    let cursors: Vec<String> = seen.all().into_iter().map(|request| request.resume_cursor).collect();
    assert_eq!(cursors, ["0", "2", "3"]);
}

#[tokio::test]
async fn an_export_that_gets_nowhere_gives_up() {
    for begun in [false, true] {
        let fake = Fake::default();
        let client = hurried(&fake).await;
        let away = || Step::Fail(refusal(Code::Unavailable, "SHUTTING_DOWN"));
        let chunk = Step::Send(v1::StreamFollowersResponse::default());
        let first = if begun { vec![chunk, away()] } else { vec![away()] };
        let seen = script::<v1::StreamFollowersRequest>(&fake, vec![first, vec![away()]]);
        let start = std::time::Instant::now();
        let outcome: Result<Vec<_>, Error> = client.graph().stream_followers(USER).stream().try_collect().await;
        assert_eq!(outcome.expect_err("refused").reason(), Reason::ShuttingDown);
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(400) && took < Duration::from_secs(2),
            "{took:?}"
        );
        assert!(seen.count() > 10, "{}", seen.count());
    }
}

#[tokio::test]
async fn no_attempts_are_one_attempt() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let away = gone.local_addr().expect("an address");
    drop(gone);
    let client = Client::builder()
        .endpoint(format!("http://{away}"))
        .retry(RetryPolicy::default().max_attempts(0))
        .build()
        .expect("a client");
    let events: Vec<_> = client.posts().subscribe(POST).collect().await;
    assert!(matches!(events.as_slice(), [Err(_)]), "{events:?}");
}
