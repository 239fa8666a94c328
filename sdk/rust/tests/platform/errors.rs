//! Refusals as callers see them: who says so, why, which field, when to come back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use social_sdk::{AdminClient, Client, Code, Origin, Reason, RetryPolicy};

use crate::house::House;
use crate::people::{PASSWORD, Person, refused};
use crate::wait::in_time;

#[tokio::test]
async fn fields_at_fault_are_named() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let (posts, post) = (ann.client.posts(), ann.post("A post").await);
    let long = "x".repeat(5_001);
    let cases = [
        (refused(posts.create("").await), "content"),
        (refused(posts.create(&*long).await), "content"),
        (refused(posts.create("fine").title("a\u{7}bell").await), "title"),
        (refused(posts.update(&post.id).content(" ").await), "content"),
        (refused(posts.update(&post.id).await), "update_mask"),
        (refused(ann.client.comments().create(&post.id, "").await), "content"),
        (
            refused(ann.client.users().update_profile().display_name("").await),
            "display_name",
        ),
        (
            refused(house.anonymous().auth().register("1st", PASSWORD).await),
            "handle",
        ),
        (
            refused(house.anonymous().auth().register("first", "short").await),
            "password",
        ),
    ];
    for (error, field) in cases {
        assert_eq!(
            (error.origin(), error.code(), error.reason()),
            (Origin::Server, Code::InvalidArgument, Reason::InvalidField),
            "{field}: {error:?}"
        );
        let violation = &error.field_violations()[0];
        assert_eq!(violation.field, field);
        assert!(!violation.description.is_empty());
        assert!(!error.is_retryable() && error.attempts() == 1);
        assert!(error.to_string().contains(field), "{error}");
    }
    // What is no id does not even leave the client.
    let error = refused(posts.get("no id").await);
    assert_eq!((error.origin(), error.reason()), (Origin::Client, Reason::InvalidField));
    assert_eq!(
        (error.field_violations()[0].field.as_str(), error.attempts()),
        ("post_id", 0)
    );
    let malformed = house.anonymous().users().get_by_handle("no handle!").await;
    assert!(!refused(malformed).field_violations().is_empty());
}

#[tokio::test]
async fn page_tokens_are_good_for_their_list_alone() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    for number in 0..3 {
        ann.post(format!("Number {number}")).await;
    }
    let posts = ann.client.posts();
    let page = posts.list_by_user(&ann.id).page_size(1).page().await.unwrap();
    let token = page.next_page_token;
    let next = posts
        .list_by_user(&ann.id)
        .page_size(2)
        .page_token(&*token)
        .page()
        .await
        .unwrap();
    assert_eq!(next.posts.len(), 2);
    let foreign = [
        refused(
            posts
                .list_by_user(&ann.id)
                .exclude_replies()
                .page_token(&*token)
                .page()
                .await,
        ),
        refused(
            bob.client
                .posts()
                .list_by_user(&ann.id)
                .page_token(&*token)
                .page()
                .await,
        ),
        refused(ann.client.timeline().home().page_token(&*token).page().await),
        refused(posts.list_by_user(&ann.id).page_token("made up").page().await),
    ];
    for error in foreign {
        assert_eq!(error.reason(), Reason::PageTokenInvalid, "{error:?}");
        assert_eq!(error.field_violations()[0].field, "page_token");
    }
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let limits = [
        ("rate-limits-write-user-per-second", "2"),
        ("rate-limits-write-user-burst", "3"),
    ];
    let house = House::open_with(&limits).await;
    let impatient = house.builder().retry(RetryPolicy::none()).build().unwrap();
    let ann = Person::register(impatient, "ann").await;
    let mut answered = 0;
    let error = loop {
        match ann.client.posts().create(format!("Number {answered}")).await {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 100, "nothing was refused");
    };
    assert!(answered >= 3, "the burst was let in");
    assert_eq!(
        (error.code(), error.reason()),
        (Code::ResourceExhausted, Reason::RateLimited)
    );
    let delay = error.retry_delay().expect("when to come back");
    assert!(delay > Duration::ZERO && delay <= Duration::from_secs(1), "{delay:?}");
    let quota = &error.quota_violations()[0];
    assert!(quota.subject.contains(&ann.id), "{quota:?}");
    assert!(error.is_retryable() && !error.is_unknown_outcome());

    // By default the SDK waits for as long as it is told, and nothing is lost.
    let patient = house.anonymous();
    patient.auth().login("ann", PASSWORD).await.unwrap();
    let began = Instant::now();
    for number in 0..6 {
        patient.posts().create(format!("Patient {number}")).await.unwrap();
    }
    assert!(
        began.elapsed() > Duration::from_secs(1),
        "it cannot have kept to the limit"
    );
    assert_eq!(ann.posts_of(&ann).await.len(), answered + 6);
}

#[tokio::test]
async fn sixteen_programs_of_one_user_share_a_rate_limit_and_none_starves() {
    let limits = [
        ("rate-limits-write-user-per-second", "10"),
        ("rate-limits-write-user-burst", "2"),
    ];
    let house = House::open_with(&limits).await;
    let ann = house.person("ann").await;
    // Each with connections and retries of its own, as separate processes have.
    let programs = (0..16).map(|program| {
        let client = house.anonymous();
        async move {
            client.auth().login("ann", PASSWORD).await.unwrap();
            let mut longest = Duration::ZERO;
            for number in 0..4 {
                let began = Instant::now();
                let post = client.posts().create(format!("Number {number} of {program}"));
                post.await.expect("it waits its turn");
                longest = longest.max(began.elapsed());
            }
            longest
        }
    });
    let longest = in_time("the posts", join_all(programs)).await;
    let longest = longest.into_iter().max().unwrap();
    println!("the longest wait of 16 programs for a tenth of a second each: {longest:.2?}");
    assert!(longest < Duration::from_secs(6), "someone starved for {longest:?}");
    assert_eq!(ann.posts_of(&ann).await.len(), 64);
}

#[tokio::test]
async fn throttled_logins_are_not_repeated() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let stranger = house.anonymous();
    let mut refusals = 0;
    let error = loop {
        let error = refused(stranger.auth().login("ann", "a guess, and wrong").await);
        assert_eq!(error.attempts(), 1);
        if error.reason() != Reason::CredentialsInvalid {
            break error;
        }
        refusals += 1;
        assert!(refusals < 20, "nobody minds guesses");
    };
    assert_eq!(error.reason(), Reason::LoginThrottled);
    assert!(error.retry_delay().is_some());
    ann.client
        .timeline()
        .marker()
        .await
        .expect("who is logged in is left alone");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_apart() {
    let mut house = House::open().await;
    let anonymous = house.anonymous();
    let error = refused(anonymous.timeline().marker().await);
    assert_eq!((error.origin(), error.reason()), (Origin::Client, Reason::TokenMissing));
    let error = refused(
        anonymous
            .users()
            .get_by_handle("ann")
            .timeout(Duration::from_micros(1))
            .await,
    );
    assert_eq!(
        (error.origin(), error.code()),
        (Origin::Deadline, Code::DeadlineExceeded)
    );

    house.kill().await;
    let builder = || house.builder().retry(RetryPolicy::default().max_attempts(3));
    let gone = builder().build().unwrap();
    let error = refused(in_time("the refusal", async { gone.users().get_by_handle("ann").await }).await);
    assert_eq!((error.origin(), error.attempts()), (Origin::Transport, 3));
    assert!(error.is_retryable() && !error.is_unknown_outcome());
    assert_eq!(error.reason(), Reason::Unknown);

    // With a second server that is there, the first one is passed over.
    let other = House::open().await;
    other.person("ann").await;
    let both = builder().endpoint(&other.endpoint).build().unwrap();
    for _ in 0..5 {
        assert_eq!(both.users().get_by_handle("ann").await.unwrap().handle, "ann");
    }
}

#[tokio::test]
async fn operators_and_users_are_kept_apart() {
    let house = House::open().await;
    let operator = |token: &str| {
        let builder = AdminClient::builder().endpoint(&house.admin_endpoint);
        builder.build_admin(token).unwrap()
    };
    let ann = house.person("ann").await;
    let access = ann.client.credentials().unwrap();
    for wrong in ["a guess", access.access_token()] {
        let error = refused(operator(wrong).fanout_policy().await);
        assert_eq!(
            (error.code(), error.reason()),
            (Code::Unauthenticated, Reason::TokenInvalid)
        );
    }
    operator(&house.admin_token())
        .fanout_policy()
        .await
        .expect("the operator is let in");

    let misled = AdminClient::builder().endpoint(&house.endpoint);
    let misled = misled.build_admin(house.admin_token()).unwrap();
    assert_eq!(refused(misled.fanout_policy().await).code(), Code::Unimplemented);
    let strayed = Client::builder().endpoint(&house.admin_endpoint).build().unwrap();
    let error = refused(strayed.users().get(&ann.id).await);
    assert_eq!((error.origin(), error.code()), (Origin::Server, Code::Unimplemented));
}
