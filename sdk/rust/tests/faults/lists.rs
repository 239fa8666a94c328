//! Lists across pages.

use social_sdk::{Code, Error, Origin, TryStreamExt, v1};
use tonic::Request;

use crate::fake::{Fake, Seen, USER, client, refusal};

fn page(posts: &[&str], next: &str) -> v1::ListUserPostsResponse {
    let posts = posts
        .iter()
        .map(|id| v1::Post {
            id: (*id).to_owned(),
            ..Default::default()
        })
        .collect();
    v1::ListUserPostsResponse {
        posts,
        next_page_token: next.to_owned(),
    }
}

/// Three pages, the middle one empty; `broken` fails once before the last.
fn pages(fake: &Fake) -> Seen<v1::ListUserPostsRequest> {
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::ListUserPostsRequest>(move |request: Request<v1::ListUserPostsRequest>| {
        let request = request.into_inner();
        let nth = notes.note(request.clone());
        async move {
            match request.page_token.as_str() {
                "" => Ok(page(&["a", "b"], "second")),
                "second" => Ok(page(&[], "third")),
                "third" if nth == 3 => Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE")),
                "third" => Ok(page(&["c"], "")),
                "loop" => Ok(page(&["x"], "loop")),
                _ => Err(refusal(Code::InvalidArgument, "PAGE_TOKEN_INVALID")),
            }
        }
    });
    seen
}

#[tokio::test]
async fn items_come_across_pages_until_the_empty_token() {
    let fake = Fake::default();
    let seen = pages(&fake);
    let client = client(fake.start().await);
    let list = client.posts().list_by_user(USER).page_size(2).exclude_replies();
    let ids: Vec<String> = list.stream().map_ok(|post| post.id).try_collect().await.expect("all");
    assert_eq!(ids, ["a", "b", "c"]);
    let requests = seen.all();
    assert_eq!(requests.len(), 4, "three pages, one of them tried twice");
    assert!(
        requests
            .iter()
            .all(|request| request.page_size == 2 && request.exclude_replies && request.user_id == USER)
    );
}

#[tokio::test]
async fn pages_can_be_had_one_by_one() {
    let fake = Fake::default();
    pages(&fake);
    let client = client(fake.start().await);
    let first = client.posts().list_by_user(USER).page().await.expect("a page");
    assert_eq!((first.posts.len(), first.next_page_token.as_str()), (2, "second"));
    let rest: Vec<_> = client
        .posts()
        .list_by_user(USER)
        .page_token("second")
        .pages()
        .try_collect()
        .await
        .expect("all");
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn an_error_is_the_end_of_a_list() {
    let fake = Fake::default();
    pages(&fake);
    let client = client(fake.start().await);
    let mut foreign = client.posts().list_by_user(USER).page_token("foreign").stream();
    let error = foreign.try_next().await.expect_err("refused");
    assert_eq!(error.reason(), social_sdk::Reason::PageTokenInvalid);
    assert!(foreign.try_next().await.expect("ended").is_none());
    let outcome: Result<Vec<_>, Error> = client.posts().list_by_user("no id").stream().try_collect().await;
    assert_eq!(outcome.expect_err("no id").origin(), Origin::Client);
    let endless: Result<Vec<_>, Error> = client
        .posts()
        .list_by_user(USER)
        .page_token("loop")
        .stream()
        .try_collect()
        .await;
    assert_eq!(endless.expect_err("a loop").origin(), Origin::Protocol);
}
