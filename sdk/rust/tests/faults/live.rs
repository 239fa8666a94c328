//! Subscriptions: they reconnect, resume without a hole, drop repeats, and end when they must.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use social_sdk::v1::subscribe_home_timeline_response::Event;
use social_sdk::{Code, Error, HomeEvent, HomeStream, v1};

use crate::fake::{Fake, MINUTES, Seen, Step, hurried, later, logged_in, play, refusal, script, token_of, tokens};

type HomeStep = Step<v1::SubscribeHomeTimelineResponse>;

fn home_script(fake: &Fake, scripts: Vec<Vec<HomeStep>>) -> Seen<v1::SubscribeHomeTimelineRequest> {
    script(fake, scripts)
}

fn home(event: Event) -> HomeStep {
    Step::Send(v1::SubscribeHomeTimelineResponse { event: Some(event) })
}

fn added(ids: &[&str]) -> HomeStep {
    let items = ids.iter().map(|id| {
        let post = v1::Post {
            id: (*id).to_owned(),
            ..Default::default()
        };
        let item = v1::TimelineItem {
            post: Some(post),
            ..Default::default()
        };
        v1::HomeTimelineAddedItem {
            item: Some(item),
            late: false,
        }
    });
    home(Event::Added(v1::HomeTimelineAdded { items: items.collect() }))
}

fn removed(id: &str) -> HomeStep {
    home(Event::Removed(v1::HomeTimelineRemoved {
        post_ids: vec![id.to_owned()],
    }))
}

fn checkpoint(cursor: &str, interval_ms: u32) -> HomeStep {
    home(Event::Checkpoint(v1::HomeTimelineCheckpoint {
        cursor: cursor.to_owned(),
        time: None,
        interval_ms,
    }))
}

fn away() -> HomeStep {
    Step::Fail(refusal(Code::Unavailable, "SHUTTING_DOWN"))
}

/// A short name of each event, until `last` came or the stream ended.
async fn names_until(stream: &mut HomeStream, last: &str) -> Vec<String> {
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != last) {
        match tokio::time::timeout(Duration::from_secs(5), stream.next())
            .await
            .expect("in time")
        {
            Some(event) => names.push(name(event)),
            None => break,
        }
    }
    names
}

fn name(event: Result<HomeEvent, Error>) -> String {
    match event {
        Ok(HomeEvent::Connected { reconnected: false }) => "connected".into(),
        Ok(HomeEvent::Connected { reconnected: true }) => "again".into(),
        Ok(HomeEvent::Reconnecting(_)) => "lost".into(),
        Ok(HomeEvent::Added { item, late }) => {
            format!(
                "{}{}",
                item.post.unwrap_or_default().id,
                if late { " late" } else { "" }
            )
        }
        Ok(HomeEvent::Removed(ids)) => format!("-{}", ids.join(",")),
        Ok(HomeEvent::Checkpoint { cursor }) => format!("@{cursor}"),
        Ok(HomeEvent::Gap) => "gap".into(),
        Ok(HomeEvent::Reset) => "reset".into(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("!{}", error.reason_name()),
    }
}

fn cursors(seen: &Seen<v1::SubscribeHomeTimelineRequest>) -> Vec<String> {
    seen.all().into_iter().map(|request| request.resume_cursor).collect()
}

#[tokio::test]
async fn a_broken_stream_resumes_from_its_last_cursor_without_repeats() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let seen = home_script(
        &fake,
        vec![
            vec![
                checkpoint("c1", 0),
                added(&["a", "b"]),
                checkpoint("c2", 0),
                added(&["c"]),
                Step::Cut(fake.clone()),
            ],
            vec![away()],
            vec![checkpoint("c2", 0), added(&["c", "d"]), checkpoint("c3", 0)],
            vec![checkpoint("c3", 0), added(&["e"]), Step::Hang],
        ],
    );
    let mut stream = client.timeline().subscribe().exclude_replies().stream();
    let names = names_until(&mut stream, "e").await;
    let expected = [
        "connected",
        "@c1",
        "a",
        "b",
        "@c2",
        "c",
        "lost",
        "lost",
        "again",
        "@c2",
        "d",
        "@c3",
        "lost",
        "again",
        "@c3",
        "e",
    ];
    assert_eq!(names, expected);
    assert_eq!(cursors(&seen), ["", "c2", "c2", "c3"]);
    assert!(seen.all().iter().all(|request| request.exclude_replies));
}

#[tokio::test]
async fn the_cursor_moves_only_when_its_items_were_handled() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    home_script(
        &fake,
        vec![vec![
            checkpoint("c1", 0),
            added(&["a"]),
            checkpoint("c2", 0),
            added(&["b"]),
            Step::Hang,
        ]],
    );
    let mut stream = client.timeline().subscribe().resume_from("c0").stream();
    assert_eq!(stream.cursor(), Some("c0"));
    names_until(&mut stream, "@c1").await;
    assert_eq!(
        stream.cursor(),
        Some("c0"),
        "c1 was handed out, and may not be handled yet"
    );
    names_until(&mut stream, "a").await;
    assert_eq!(stream.cursor(), Some("c1"));
    names_until(&mut stream, "@c2").await;
    assert_eq!(stream.cursor(), Some("c1"));
    names_until(&mut stream, "b").await;
    assert_eq!(stream.cursor(), Some("c2"));
}

#[tokio::test]
async fn what_was_removed_may_come_back() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    home_script(
        &fake,
        vec![vec![
            checkpoint("c1", 0),
            added(&["a"]),
            removed("a"),
            added(&["a"]),
            added(&["a", "b"]),
        ]],
    );
    let mut stream = client.timeline().subscribe().stream();
    assert_eq!(
        names_until(&mut stream, "b").await,
        ["connected", "@c1", "a", "-a", "a", "b"]
    );
}

#[tokio::test]
async fn gap_and_reset_are_told_and_survived() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let gap = home(Event::Gap(v1::HomeTimelineGap {
        resume_cursor: "g".into(),
    }));
    let reset = home(Event::Reset(v1::HomeTimelineReset {}));
    let seen = home_script(
        &fake,
        vec![
            vec![checkpoint("c1", 0), added(&["a"]), gap],
            vec![checkpoint("c2", 0), reset, added(&["a", "b"]), Step::Hang],
        ],
    );
    let mut stream = client.timeline().subscribe().stream();
    let names = names_until(&mut stream, "b").await;
    assert_eq!(
        names,
        ["connected", "@c1", "a", "gap", "again", "@c2", "reset", "a", "b"]
    );
    assert_eq!(cursors(&seen), ["", "g"]);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_left() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let seen = home_script(
        &fake,
        vec![
            vec![checkpoint("c1", 40), Step::Hang],
            vec![checkpoint("c2", 5_000), Step::Hang],
        ],
    );
    let mut stream = client.timeline().subscribe().stream();
    assert_eq!(
        names_until(&mut stream, "@c2").await,
        ["connected", "@c1", "lost", "again", "@c2"]
    );
    assert_eq!(cursors(&seen), ["", "c1"]);
    let more = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
    assert!(more.is_err(), "the interval is 5 s now");
}

#[tokio::test]
async fn it_ends_when_the_session_is_revoked() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let revoked = Step::Fail(refusal(Code::Unauthenticated, "SESSION_REVOKED"));
    let seen = home_script(&fake, vec![vec![checkpoint("c1", 0), revoked]]);
    let mut stream = client.timeline().subscribe().stream();
    assert_eq!(
        names_until(&mut stream, "").await,
        ["connected", "@c1", "!SESSION_REVOKED"]
    );
    assert!(stream.next().await.is_none());
    assert_eq!(seen.count(), 1);
    assert!(client.credentials().is_none());
}

#[tokio::test]
async fn an_expired_token_is_exchanged_for_a_stream_too() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    fake.unary::<v1::RefreshTokenRequest>(async |_| {
        Ok(v1::RefreshTokenResponse {
            tokens: Some(tokens(1, MINUTES)),
        })
    });
    fake.stream::<v1::SubscribeHomeTimelineRequest, _>(|request| {
        if token_of(&request) != "access-1" {
            return Err(refusal(Code::Unauthenticated, "TOKEN_EXPIRED"));
        }
        Ok(play(vec![checkpoint("c1", 0), Step::Hang]))
    });
    let mut stream = client.timeline().subscribe().stream();
    assert_eq!(names_until(&mut stream, "@c1").await, ["connected", "@c1"]);
}

#[tokio::test]
async fn the_first_connection_is_tried_for_as_long_as_a_call() {
    let fake = Fake::default();
    let client = hurried(&fake).await;
    let seen = home_script(&fake, vec![vec![away()]]);
    let start = std::time::Instant::now();
    let mut stream = client.timeline().subscribe().stream();
    let names = names_until(&mut stream, "").await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(400) && took < Duration::from_secs(2),
        "{took:?}"
    );
    assert_eq!(names.last().map(String::as_str), Some("!SHUTTING_DOWN"));
    assert!(
        names.len() > 10 && names[..names.len() - 1].iter().all(|name| name == "lost"),
        "{names:?}"
    );
    assert_eq!(seen.count(), names.len());
}

#[tokio::test]
async fn reconnects_can_be_bounded() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    home_script(&fake, vec![vec![checkpoint("c1", 0)], vec![away()]]);
    let mut stream = client.timeline().subscribe().max_reconnects(2).stream();
    assert_eq!(
        names_until(&mut stream, "").await,
        ["connected", "@c1", "lost", "lost", "!SHUTTING_DOWN"]
    );
}

#[tokio::test]
async fn refusals_wait_as_asked_or_end_it() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let busy = Step::Fail(later("OVERLOADED", Duration::from_millis(200)));
    home_script(&fake, vec![vec![busy], vec![checkpoint("c1", 0), Step::Hang]]);
    let start = std::time::Instant::now();
    let mut stream = client.timeline().subscribe().stream();
    assert_eq!(names_until(&mut stream, "@c1").await, ["lost", "connected", "@c1"]);
    assert!(start.elapsed() >= Duration::from_millis(200));

    let many = Step::Fail(refusal(Code::ResourceExhausted, "TOO_MANY_STREAMS"));
    home_script(&fake, vec![vec![many]]);
    let mut stream = client.timeline().subscribe().stream();
    assert_eq!(names_until(&mut stream, "").await, ["!TOO_MANY_STREAMS"]);
}

#[tokio::test]
async fn a_cursor_of_the_callers_that_is_refused_is_an_error_and_one_of_the_servers_a_reset() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let refused = || Step::Fail(refusal(Code::InvalidArgument, "CURSOR_INVALID"));
    home_script(&fake, vec![vec![refused()]]);
    let mut stream = client.timeline().subscribe().resume_from("bad").stream();
    assert_eq!(names_until(&mut stream, "").await, ["!CURSOR_INVALID"]);

    let scripts = vec![
        vec![checkpoint("c1", 0), added(&["a"]), away()],
        vec![refused()],
        vec![checkpoint("c9", 0), added(&["b"]), Step::Hang],
    ];
    let seen = home_script(&fake, scripts);
    let mut stream = client.timeline().subscribe().stream();
    let names = names_until(&mut stream, "b").await;
    assert_eq!(names, ["connected", "@c1", "a", "lost", "reset", "again", "@c9", "b"]);
    assert_eq!(cursors(&seen), ["", "c1", ""]);
}

#[tokio::test]
async fn dropping_it_ends_the_stream_on_the_server() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let (gone, mut told) = tokio::sync::mpsc::unbounded_channel();
    fake.stream::<v1::SubscribeHomeTimelineRequest, _>(move |_| {
        let guard = Guard(gone.clone());
        Ok(play(vec![checkpoint("c1", 0), Step::Hang]).inspect(move |_| {
            let _kept = &guard;
        }))
    });
    let mut stream = client.timeline().subscribe().stream();
    names_until(&mut stream, "@c1").await;
    assert!(told.recv().now_or_never().is_none());
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), told.recv())
        .await
        .expect("in time")
        .expect("told");
}

struct Guard(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}
