//! Whether what the platform shows is what it acknowledged, and after how long.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use social_proto::v1;

use crate::crowd::Crowd;
use crate::load::{Load, Totals};
use crate::site::{PATIENCE, Site, Store};
use crate::support::Person;

/// Posts of a page, and ids of a request for counts.
const PAGE: usize = 100;
/// Before something is looked at again.
const PAUSE: Duration = Duration::from_millis(50);
/// Homes and lists that are read at once.
const AT_ONCE: usize = 4;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
}

impl Found {
    /// Counts what of `owed` is not shown, and what is shown twice or was never acknowledged: a second post of a repeated call.
    pub(crate) fn compare(owed: &HashSet<&str>, shown: &[String]) -> Self {
        let distinct: HashSet<&str> = shown.iter().map(String::as_str).collect();
        Self {
            lost: owed.difference(&distinct).count(),
            doubled: shown.len() - distinct.len() + distinct.difference(owed).count(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

/// What is to be seen of a load that is over.
pub(crate) struct Checked {
    pub(crate) found: Found,
    /// From the last acknowledgement until all homes were whole, and until all counts were right, too.
    pub(crate) homes_after: Duration,
    pub(crate) counts_after: Duration,
    /// Counts that were wrong and said to be exact.
    pub(crate) pretended: usize,
}

/// Prints what a fault did, and asserts that it did no harm. `back` is when everything was there again; bounds count from the last
/// acknowledgement, which came later.
pub(crate) async fn conclude(site: &Site<impl Store>, fault: &str, load: &Load, back: Instant, note: &str) -> Checked {
    let ended = Instant::now();
    let checked = everything(&site.crowd, load, ended).await;
    let healed = ended.duration_since(back) + checked.counts_after;
    let Totals {
        operations,
        acked,
        repeats,
        caught,
        slowest,
    } = load.totals();
    let Checked {
        found,
        homes_after,
        counts_after,
        pretended,
    } = &checked;
    println!(
        "{fault}: operations {operations}, acked {acked}, lost {}, doubled {}, healed in {:.1} s (after the last ack: homes {:.1} s, counts \
         {:.1} s; repeated calls {repeats}, posts among them that were written {caught}; slowest call {:.1} s; wrong counts called exact {pretended}{note})",
        found.lost,
        found.doubled,
        healed.as_secs_f64(),
        homes_after.as_secs_f64(),
        counts_after.as_secs_f64(),
        slowest.as_secs_f64(),
    );
    assert_eq!((found.lost, found.doubled), (0, 0), "lost and doubled");
    assert_eq!(acked, operations, "every call was answered");
    site.settled().await;
    checked
}

/// Looks at everything until it is whole, at most for [`PATIENCE`].
async fn everything(crowd: &Crowd, load: &Load, back: Instant) -> Checked {
    let before = crowd.newest.lock().unwrap().clone();
    let posts = load.posts();
    let owed: HashSet<&str> = posts.iter().map(|post| post.id.as_str()).collect();
    let homes = async |api: usize| {
        let viewers = crowd.viewers().enumerate().map(|(number, viewer)| {
            let (api, before, owed) = (api + number, &before, &owed);
            async move {
                until_whole(back, owed, &viewer.handle, async || {
                    home(crowd, viewer, before, api).await
                })
                .await
            }
        });
        together(viewers).await
    };
    let mut found = homes(0).await;
    let homes_after = back.elapsed();
    let mut pretended = 0;
    found.lost += likes(crowd, load, back, &mut pretended).await;
    found.lost += figures(crowd, back, &mut pretended).await;
    let counts_after = back.elapsed();
    // The other process shows the same.
    found.add(homes(1).await);
    let lists = crowd.clients.iter().enumerate().map(|(number, client)| {
        let own = posts.iter().filter(move |post| post.author == number);
        let own: HashSet<&str> = own.map(|post| post.id.as_str()).collect();
        let before = &before;
        async move {
            until_whole(back, &own, &client.handle, async || {
                list(crowd, client, before, number).await
            })
            .await
        }
    });
    found.add(together(lists).await);
    let newest = posts.iter().map(|post| &post.id).max();
    crowd.newest.lock().unwrap().clone_from(newest.unwrap_or(&before));
    Checked {
        found,
        homes_after,
        counts_after,
        pretended,
    }
}

/// What several looks find, some of them at once.
async fn together(looks: impl Iterator<Item = impl Future<Output = Found>>) -> Found {
    let mut found = Found::default();
    let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some(one) = looks.next().await {
        found.add(one);
    }
    found
}

/// Reads ids until none is missing. What is doubled is doubled for good.
async fn until_whole(back: Instant, owed: &HashSet<&str>, whose: &str, read: impl AsyncFn() -> Vec<String>) -> Found {
    loop {
        let found = Found::compare(owed, &read().await);
        if found == Found::default() {
            return found;
        }
        if found.doubled > 0 || back.elapsed() > PATIENCE {
            println!("{whose}: {found:?} of {}", owed.len());
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Of a home timeline what is newer than `before`, newest first.
async fn home(crowd: &Crowd, viewer: &Person, before: &str, api: usize) -> Vec<String> {
    let mut request = v1::GetHomeTimelineRequest {
        page_size: PAGE as i32,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let line = crowd.line(api);
        let answer = viewer.call::<v1::GetHomeTimelineResponse>(&line, "TimelineService/GetHomeTimeline", &request);
        let page = answer.await.unwrap();
        ids.extend(page.items.into_iter().filter_map(|item| item.post).map(|post| post.id));
        assert!(ids.is_sorted_by(|a, b| a >= b), "newest first: {}", viewer.handle);
        request.page_token = page.next_page_token;
        if is_read(&mut ids, &request.page_token, before) {
            return ids;
        }
    }
}

/// Of an author's posts those newer than `before`, newest first.
async fn list(crowd: &Crowd, author: &Person, before: &str, api: usize) -> Vec<String> {
    let mut request = v1::ListUserPostsRequest {
        user_id: author.id.clone(),
        page_size: PAGE as i32,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let line = crowd.line(api);
        let answer = author.call::<v1::ListUserPostsResponse>(&line, "PostService/ListUserPosts", &request);
        let page = answer.await.unwrap();
        ids.extend(page.posts.into_iter().map(|post| post.id));
        request.page_token = page.next_page_token;
        if is_read(&mut ids, &request.page_token, before) {
            return ids;
        }
    }
}

/// Whether no further page has anything newer than `before`; what is older is left out.
fn is_read(ids: &mut Vec<String>, next_page: &str, before: &str) -> bool {
    let newer = ids.iter().take_while(|id| id.as_str() > before).count();
    let is_read = newer < ids.len() || next_page.is_empty();
    ids.truncate(newer);
    is_read
}

/// Waits until the likes of each post are those that were acknowledged, through both api processes; how many never are.
async fn likes(crowd: &Crowd, load: &Load, back: Instant, pretended: &mut usize) -> usize {
    let expected = load.likes();
    let ids: Vec<String> = expected.keys().cloned().collect();
    let mut wrong = 0;
    for (api, post_ids) in (0..2).flat_map(|api| ids.chunks(PAGE).map(move |ids| (api, ids.to_vec()))) {
        let request = v1::BatchGetCountsRequest { post_ids };
        wrong += until_right(back, pretended, async || {
            let line = crowd.line(api);
            let reader = &crowd.readers[0];
            let answer = reader.call::<v1::BatchGetCountsResponse>(&line, "LikeService/BatchGetCounts", &request);
            let answer = answer.await.unwrap();
            assert_eq!(answer.counts.len(), request.post_ids.len());
            let entries = answer.counts.into_iter();
            entries
                .map(|entry| {
                    let counts = entry.counts.unwrap();
                    let shown = (counts.likes, counts.comments, counts.replies);
                    Count::new(
                        &format!("counts of post {}", entry.post_id),
                        shown,
                        (expected[&entry.post_id], 0, 0),
                        counts.exact,
                    )
                })
                .collect()
        })
        .await;
    }
    wrong
}

/// Waits until posts, followers and followed users of everybody are those that were acknowledged; of how many they never are.
async fn figures(crowd: &Crowd, back: Instant, pretended: &mut usize) -> usize {
    let mut wrong = 0;
    for (number, (person, expected)) in crowd.figures().into_iter().enumerate() {
        let request = v1::GetUserRequest {
            user: Some(v1::get_user_request::User::Id(person.id.clone())),
        };
        wrong += until_right(back, pretended, async || {
            let line = crowd.line(number);
            let answer = person.call::<v1::GetUserResponse>(&line, "UserService/GetUser", &request);
            let counts = answer.await.unwrap().user.unwrap().counts.unwrap();
            let shown = (counts.posts, counts.followers, counts.following);
            vec![Count::new(&person.handle, shown, expected, counts.exact)]
        })
        .await;
    }
    wrong
}

/// Counts as they are shown, and as they have to be.
struct Count {
    of: String,
    shown: (i64, i64, i64),
    expected: (i64, i64, i64),
    exact: bool,
}

impl Count {
    fn new(of: &str, shown: (i64, i64, i64), expected: (i64, i64, i64), exact: bool) -> Self {
        Self {
            of: of.to_owned(),
            shown,
            expected,
            exact,
        }
    }

    fn is_right(&self) -> bool {
        self.exact && self.shown == self.expected
    }
}

/// Reads counts until all are right; how many never are.
async fn until_right(back: Instant, pretended: &mut usize, read: impl AsyncFn() -> Vec<Count>) -> usize {
    let mut is_first = true;
    loop {
        let counts = read().await;
        let wrong: Vec<&Count> = counts.iter().filter(|count| !count.is_right()).collect();
        if is_first {
            *pretended += wrong.iter().filter(|count| count.exact).count();
            is_first = false;
        }
        if wrong.is_empty() {
            return 0;
        }
        if back.elapsed() > PATIENCE {
            for Count {
                of,
                shown,
                expected,
                exact,
            } in &wrong
            {
                println!("{of}: {shown:?} instead of {expected:?}, exact: {exact}");
            }
            return wrong.len();
        }
        tokio::time::sleep(PAUSE).await;
    }
}
