//! Home timelines that are kept ready.

pub(super) mod arrivals;

use futures::{StreamExt as _, stream};
use social_core::backend::{Append, Filled, Position, Since, TimelineSlice};
use social_core::{PostId, UserId, limits};

use super::subject::at_once;
use super::{Subject, cases};

/// So many viewers that a store may treat them otherwise than a few.
const MANY: u64 = 250;

cases!["timeline":
    an_absent_timeline_is_no_empty_one,
    a_filled_timeline_is_read_newest_first,
    a_timeline_is_read_page_by_page,
    filling_is_begun_once,
    one_of_many_begins_the_filling,
    a_post_appended_before_the_fill_is_kept,
    a_post_brought_by_both_is_there_once,
    a_timeline_being_filled_is_not_read,
    a_fill_speaks_for_its_range_only,
    a_fill_that_covers_everything_says_so,
    a_full_timeline_drops_the_oldest_and_says_so,
    a_fill_beyond_the_bound_keeps_the_newest,
    a_forgotten_timeline_is_gone,
    a_fill_of_an_older_generation_is_ignored,
    a_second_fill_is_ignored,
    a_post_to_many_meets_those_who_came_and_went,
    everything_can_be_forgotten,
    viewers_do_not_meet,
    statistics_count_ready_timelines,
];

pub(super) const ANN: UserId = UserId(101);

pub(super) const BOB: UserId = UserId(102);

pub(super) fn post(number: u64) -> PostId {
    PostId(1_000 + number)
}

pub(super) fn posts(numbers: impl IntoIterator<Item = u64>) -> Vec<PostId> {
    numbers.into_iter().map(post).collect()
}

/// Makes the viewer's timeline ready with these posts, covering everything.
pub(super) async fn fill(t: &Subject, viewer: UserId, numbers: impl IntoIterator<Item = u64>) {
    fill_from(t, viewer, numbers, PostId(0)).await;
}

pub(super) async fn fill_from(
    t: &Subject,
    viewer: UserId,
    numbers: impl IntoIterator<Item = u64>,
    covers_from: PostId,
) {
    let generation = begin(t, viewer).await;
    let mut posts = posts(numbers);
    posts.sort_by(|a, b| b.cmp(a));
    t.timelines()
        .fill(viewer, generation, &posts, covers_from)
        .await
        .unwrap();
}

pub(super) async fn begin(t: &Subject, viewer: UserId) -> u64 {
    match t.timelines().begin(viewer).await.unwrap() {
        Filled::Begun(generation) => generation,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn read(t: &Subject, viewer: UserId) -> TimelineSlice {
    t.timelines()
        .read(viewer, None, 10_000)
        .await
        .unwrap()
        .expect("the timeline is ready")
}

pub(super) async fn head(t: &Subject, viewer: UserId) -> Position {
    read(t, viewer).await.head
}

pub(super) async fn arrived(t: &Subject, viewer: UserId, position: Position) -> TimelineSlice {
    match t.timelines().since(viewer, position).await.unwrap() {
        Some(Since::Arrived(slice)) => slice,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn append(t: &Subject, viewers: &[UserId], number: u64) -> Append {
    t.timelines().append(viewers, post(number)).await.unwrap()
}

async fn an_absent_timeline_is_no_empty_one(t: &Subject) {
    let position = Position {
        generation: 1,
        sequence: 0,
    };
    assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
    assert_eq!(t.timelines().since(ANN, position).await.unwrap(), None);
    assert!(!t.timelines().insert(ANN, &posts([1])).await.unwrap());
    assert_eq!(
        append(t, &[ANN], 1).await,
        Append {
            delivered: 0,
            skipped: 1
        }
    );
    assert_eq!(
        t.timelines().renew(&[ANN], post(1)).await.unwrap(),
        Append {
            delivered: 0,
            skipped: 1
        }
    );
    assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
}

async fn a_filled_timeline_is_read_newest_first(t: &Subject) {
    fill(t, ANN, [1, 3, 2]).await;
    assert_eq!(read(t, ANN).await.posts, posts([3, 2, 1]));
    fill(t, BOB, []).await;
    assert!(read(t, BOB).await.posts.is_empty());
}

async fn a_timeline_is_read_page_by_page(t: &Subject) {
    fill(t, ANN, 1..=9).await;
    let mut seen = Vec::new();
    let mut before = None;
    for number in 10.. {
        let page = t.timelines().read(ANN, before, 4).await.unwrap().unwrap();
        append(t, &[ANN], number).await;
        let Some(last) = page.posts.last() else { break };
        before = Some(*last);
        seen.extend(page.posts);
    }
    assert_eq!(seen, posts((1..=9).rev()));
}

async fn filling_is_begun_once(t: &Subject) {
    let generation = begin(t, ANN).await;
    assert_eq!(t.timelines().begin(ANN).await.unwrap(), Filled::UnderWay);
    t.timelines()
        .fill(ANN, generation, &posts([1]), PostId(0))
        .await
        .unwrap();
    assert_eq!(t.timelines().begin(ANN).await.unwrap(), Filled::Ready);
    assert_eq!(read(t, ANN).await.head.generation, generation);
}

async fn one_of_many_begins_the_filling(t: &Subject) {
    let answers = at_once(24, |_| {
        let timelines = t.timelines();
        async move { timelines.begin(ANN).await.unwrap() }
    })
    .await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| matches!(answer, Filled::Begun(_)))
            .count(),
        1
    );
    assert_eq!(answers.iter().filter(|answer| **answer == Filled::UnderWay).count(), 23);
}

async fn a_post_appended_before_the_fill_is_kept(t: &Subject) {
    let generation = begin(t, ANN).await;
    assert_eq!(append(t, &[ANN], 5).await.delivered, 1);
    assert!(t.timelines().insert(ANN, &posts([2])).await.unwrap());
    t.timelines()
        .fill(ANN, generation, &posts([4, 3]), PostId(0))
        .await
        .unwrap();
    assert_eq!(read(t, ANN).await.posts, posts([5, 4, 3, 2]));
}

async fn a_post_brought_by_both_is_there_once(t: &Subject) {
    let generation = begin(t, ANN).await;
    append(t, &[ANN], 4).await;
    t.timelines()
        .fill(ANN, generation, &posts([4, 3]), PostId(0))
        .await
        .unwrap();
    append(t, &[ANN], 3).await;
    assert_eq!(read(t, ANN).await.posts, posts([4, 3]));
}

async fn a_timeline_being_filled_is_not_read(t: &Subject) {
    let generation = begin(t, ANN).await;
    append(t, &[ANN], 1).await;
    assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
    let position = Position {
        generation,
        sequence: 0,
    };
    assert_eq!(t.timelines().since(ANN, position).await.unwrap(), None);
}

async fn a_fill_speaks_for_its_range_only(t: &Subject) {
    let generation = begin(t, ANN).await;
    append(t, &[ANN], 3).await;
    append(t, &[ANN], 12).await;
    t.timelines()
        .fill(ANN, generation, &posts([11, 10]), post(10))
        .await
        .unwrap();
    let slice = read(t, ANN).await;
    assert_eq!(slice.posts, posts([12, 11, 10]), "below the range truth is asked");
    assert_eq!(slice.covers_from, post(10));
    assert_eq!(arrived(t, ANN, slice.head).await.covers_from, post(10));
}

async fn a_fill_that_covers_everything_says_so(t: &Subject) {
    fill(t, ANN, [2]).await;
    assert_eq!(read(t, ANN).await.covers_from, PostId(0));
    append(t, &[ANN], 1).await;
    assert_eq!(read(t, ANN).await.posts, posts([2, 1]));
}

async fn a_full_timeline_drops_the_oldest_and_says_so(t: &Subject) {
    let bound = limits::TIMELINE_ENTRIES as u64;
    fill(t, ANN, 1..=bound).await;
    assert_eq!(read(t, ANN).await.covers_from, PostId(0));
    append(t, &[ANN], bound + 1).await;
    append(t, &[ANN], bound + 2).await;
    let slice = read(t, ANN).await;
    assert_eq!(slice.posts, posts((3..=bound + 2).rev()));
    assert!(
        post(2) < slice.covers_from && slice.covers_from <= post(3),
        "the hole is no end"
    );
    assert_eq!(append(t, &[ANN], 1).await.delivered, 0);
    assert_eq!(read(t, ANN).await.posts.len() as u64, bound);
}

async fn a_fill_beyond_the_bound_keeps_the_newest(t: &Subject) {
    let bound = limits::TIMELINE_ENTRIES as u64;
    fill(t, ANN, 1..=bound + 5).await;
    let slice = read(t, ANN).await;
    assert_eq!(slice.posts, posts((6..=bound + 5).rev()));
    assert!(post(5) < slice.covers_from && slice.covers_from <= post(6));
}

async fn a_forgotten_timeline_is_gone(t: &Subject) {
    fill(t, ANN, [1, 2]).await;
    let position = head(t, ANN).await;
    t.timelines().forget(ANN).await.unwrap();
    t.timelines().forget(ANN).await.unwrap();
    assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
    assert_eq!(append(t, &[ANN], 3).await.skipped, 1);
    fill(t, ANN, [3]).await;
    assert_eq!(read(t, ANN).await.posts, posts([3]));
    assert_eq!(
        t.timelines().since(ANN, position).await.unwrap(),
        Some(Since::OtherGeneration)
    );
}

async fn a_fill_of_an_older_generation_is_ignored(t: &Subject) {
    let old = begin(t, ANN).await;
    t.timelines().forget(ANN).await.unwrap();
    t.timelines().fill(ANN, old, &posts([1]), PostId(0)).await.unwrap();
    assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
    let new = begin(t, ANN).await;
    assert_ne!(old, new);
    t.timelines().fill(ANN, old, &posts([1]), PostId(0)).await.unwrap();
    assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
    t.timelines().fill(ANN, new, &posts([2]), PostId(0)).await.unwrap();
    assert_eq!(read(t, ANN).await.posts, posts([2]));
}

async fn a_second_fill_is_ignored(t: &Subject) {
    let generation = begin(t, ANN).await;
    t.timelines()
        .fill(ANN, generation, &posts([5, 4]), PostId(0))
        .await
        .unwrap();
    let before = read(t, ANN).await;
    t.timelines().fill(ANN, generation, &posts([6]), post(6)).await.unwrap();
    assert_eq!(read(t, ANN).await, before);
}

/// A store may remember who of so many has a timeline, and which one.
async fn a_post_to_many_meets_those_who_came_and_went(t: &Subject) {
    let viewers: Vec<UserId> = (1_000..1_000 + MANY).map(UserId).collect();
    let [comes, changes, goes] = [viewers[3], viewers[77], viewers[149]];
    let delivered = |delivered| Append {
        delivered,
        skipped: MANY - delivered,
    };
    stream::iter(viewers.clone())
        .map(|viewer| fill(t, viewer, []))
        .buffer_unordered(16)
        .collect::<()>()
        .await;
    assert_eq!(append(t, &viewers, 1).await, delivered(MANY));
    assert_eq!(append(t, &viewers, 2).await, delivered(MANY));
    t.timelines().forget(comes).await.unwrap();
    t.timelines().forget(goes).await.unwrap();
    assert_eq!(append(t, &viewers, 3).await, delivered(MANY - 2));
    // From its beginning on, not only once it is filled.
    let generation = begin(t, comes).await;
    assert_eq!(append(t, &viewers, 4).await, delivered(MANY - 1));
    t.timelines()
        .fill(comes, generation, &posts([3]), PostId(0))
        .await
        .unwrap();
    assert_eq!(read(t, comes).await.posts, posts([4, 3]));
    t.timelines().forget(changes).await.unwrap();
    fill(t, changes, []).await;
    assert_eq!(append(t, &viewers, 5).await, delivered(MANY - 1));
    assert_eq!(read(t, changes).await.posts, posts([5]));
    t.timelines().forget_all().await.unwrap();
    assert_eq!(append(t, &viewers, 6).await, delivered(0));
    fill(t, changes, []).await;
    assert_eq!(append(t, &viewers, 7).await, delivered(1));
    assert_eq!(read(t, changes).await.posts, posts([7]));
}

async fn everything_can_be_forgotten(t: &Subject) {
    fill(t, ANN, [1]).await;
    let generation = begin(t, BOB).await;
    let position = head(t, ANN).await;
    t.timelines().forget_all().await.unwrap();
    t.timelines()
        .fill(BOB, generation, &posts([1]), PostId(0))
        .await
        .unwrap();
    for viewer in [ANN, BOB] {
        assert_eq!(t.timelines().read(viewer, None, 10).await.unwrap(), None);
    }
    assert_eq!(t.timelines().stats().await.unwrap(), (0, 0));
    fill(t, ANN, [1]).await;
    assert_eq!(
        t.timelines().since(ANN, position).await.unwrap(),
        Some(Since::OtherGeneration)
    );
}

async fn viewers_do_not_meet(t: &Subject) {
    fill(t, ANN, [1]).await;
    fill(t, BOB, [2]).await;
    append(t, &[ANN], 3).await;
    t.timelines().insert(BOB, &posts([4])).await.unwrap();
    t.timelines().forget(UserId(7)).await.unwrap();
    assert_eq!(read(t, ANN).await.posts, posts([3, 1]));
    assert_eq!(read(t, BOB).await.posts, posts([4, 2]));
}

async fn statistics_count_ready_timelines(t: &Subject) {
    assert_eq!(t.timelines().stats().await.unwrap(), (0, 0));
    fill(t, ANN, 1..=4).await;
    fill(t, BOB, [1]).await;
    append(t, &[ANN, BOB], 9).await;
    assert_eq!(t.timelines().stats().await.unwrap(), (2, 7));
    t.timelines().forget(BOB).await.unwrap();
    assert_eq!(t.timelines().stats().await.unwrap(), (1, 5));
}
