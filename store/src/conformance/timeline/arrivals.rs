//! What arrives, and what is told about it after a position.

use std::collections::HashSet;

use social_core::backend::{Append, Position, Since};
use social_core::{UserId, limits};

use crate::conformance::subject::at_once;
use crate::conformance::{Subject, cases};

use super::{ANN, BOB, append, arrived, begin, fill, fill_from, head, post, posts, read};

cases!["timeline":
    an_append_tells_who_has_it,
    appends_in_reversed_order_are_read_in_order,
    appends_in_reversed_order_all_arrive,
    an_append_again_is_no_arrival,
    a_renewal_is_an_arrival,
    a_renewal_of_what_is_not_there_appends_it,
    since_answers_what_arrived_and_nothing_else,
    an_insertion_arrives,
    what_is_below_the_range_is_left_out,
    since_tells_of_arrivals_that_were_dropped,
    a_position_of_another_generation_is_told,
    concurrent_appends_are_all_there_in_order,
    a_reader_among_appends_misses_nothing,
    reopening_leaves_no_position_valid,
];

async fn an_append_tells_who_has_it(t: &Subject) {
    fill(t, ANN, []).await;
    begin(t, BOB).await;
    let absent = UserId(7);
    assert_eq!(
        append(t, &[ANN, absent, BOB], 1).await,
        Append {
            delivered: 2,
            skipped: 1
        }
    );
    assert_eq!(
        append(t, &[ANN, absent], 1).await,
        Append {
            delivered: 1,
            skipped: 1
        },
        "it is there"
    );
    assert_eq!(append(t, &[], 1).await, Append::default());
}

async fn appends_in_reversed_order_are_read_in_order(t: &Subject) {
    fill(t, ANN, [50]).await;
    for number in (1..=20).rev() {
        append(t, &[ANN], number * 10).await;
    }
    assert_eq!(
        read(t, ANN).await.posts,
        posts((1..=20).rev().map(|number| number * 10))
    );
}

async fn appends_in_reversed_order_all_arrive(t: &Subject) {
    fill(t, ANN, []).await;
    append(t, &[ANN], 9).await;
    let between = head(t, ANN).await;
    append(t, &[ANN], 3).await;
    append(t, &[ANN], 6).await;
    let slice = arrived(t, ANN, between).await;
    assert_eq!(
        slice.posts,
        posts([6, 3]),
        "a cursor stands for what was visible, not for the newest id"
    );
    assert!(arrived(t, ANN, slice.head).await.posts.is_empty());
}

async fn an_append_again_is_no_arrival(t: &Subject) {
    fill(t, ANN, [1, 2]).await;
    append(t, &[ANN], 3).await;
    let position = head(t, ANN).await;
    for number in [1, 2, 3] {
        append(t, &[ANN], number).await;
    }
    t.timelines().insert(ANN, &posts([1, 3])).await.unwrap();
    assert!(arrived(t, ANN, position).await.posts.is_empty());
    assert_eq!(read(t, ANN).await.posts, posts([3, 2, 1]));
}

async fn a_renewal_is_an_arrival(t: &Subject) {
    fill(t, ANN, [1, 2, 3]).await;
    let position = head(t, ANN).await;
    assert_eq!(
        t.timelines().renew(&[ANN, BOB], post(2)).await.unwrap(),
        Append {
            delivered: 1,
            skipped: 1
        }
    );
    assert_eq!(arrived(t, ANN, position).await.posts, posts([2]));
    assert_eq!(read(t, ANN).await.posts, posts([3, 2, 1]), "its place stays");
}

async fn a_renewal_of_what_is_not_there_appends_it(t: &Subject) {
    fill(t, ANN, [1, 3]).await;
    let position = head(t, ANN).await;
    t.timelines().renew(&[ANN], post(2)).await.unwrap();
    assert_eq!(arrived(t, ANN, position).await.posts, posts([2]));
    assert_eq!(read(t, ANN).await.posts, posts([3, 2, 1]));
}

async fn since_answers_what_arrived_and_nothing_else(t: &Subject) {
    fill(t, ANN, [1, 2]).await;
    let mut positions = vec![head(t, ANN).await];
    for number in 3..=6 {
        append(t, &[ANN], number).await;
        positions.push(head(t, ANN).await);
    }
    assert!(positions.is_sorted_by(|a, b| a.sequence < b.sequence && a.generation == b.generation));
    for (index, position) in positions.iter().enumerate() {
        let slice = arrived(t, ANN, *position).await;
        assert_eq!(slice.posts, posts((3 + index as u64..=6).rev()));
        assert_eq!(slice.head, positions[4]);
    }
}

async fn an_insertion_arrives(t: &Subject) {
    fill(t, ANN, [5]).await;
    let position = head(t, ANN).await;
    assert!(t.timelines().insert(ANN, &posts([7, 3, 5])).await.unwrap());
    assert_eq!(arrived(t, ANN, position).await.posts, posts([7, 3]));
    assert_eq!(read(t, ANN).await.posts, posts([7, 5, 3]));
}

async fn what_is_below_the_range_is_left_out(t: &Subject) {
    fill_from(t, ANN, [10, 11], post(10)).await;
    let position = head(t, ANN).await;
    assert_eq!(append(t, &[ANN], 9).await.delivered, 0);
    assert_eq!(t.timelines().renew(&[ANN], post(8)).await.unwrap().delivered, 0);
    assert!(t.timelines().insert(ANN, &posts([7, 12])).await.unwrap());
    assert_eq!(read(t, ANN).await.posts, posts([12, 11, 10]));
    assert_eq!(arrived(t, ANN, position).await.posts, posts([12]));
    assert_eq!(read(t, ANN).await.covers_from, post(10));
}

async fn since_tells_of_arrivals_that_were_dropped(t: &Subject) {
    let bound = limits::TIMELINE_ENTRIES as u64;
    fill(t, ANN, []).await;
    let early = head(t, ANN).await;
    for number in 1..=bound {
        append(t, &[ANN], number).await;
    }
    assert_eq!(
        arrived(t, ANN, early).await.posts.len() as u64,
        bound,
        "all of it is there still"
    );
    let late = head(t, ANN).await;
    append(t, &[ANN], bound + 1).await;
    let now = head(t, ANN).await;
    assert_eq!(
        t.timelines().since(ANN, early).await.unwrap(),
        Some(Since::Dropped { head: now })
    );
    assert_eq!(arrived(t, ANN, late).await.posts, posts([bound + 1]));
}

async fn a_position_of_another_generation_is_told(t: &Subject) {
    fill(t, ANN, [1]).await;
    let position = head(t, ANN).await;
    let foreign = Position {
        generation: position.generation ^ 1,
        ..position
    };
    assert_eq!(
        t.timelines().since(ANN, foreign).await.unwrap(),
        Some(Since::OtherGeneration)
    );
    assert!(arrived(t, ANN, position).await.posts.is_empty());
    fill(t, BOB, [1]).await;
    assert_ne!(
        head(t, BOB).await.generation,
        position.generation,
        "no two timelines share one"
    );
}

async fn concurrent_appends_are_all_there_in_order(t: &Subject) {
    fill(t, ANN, []).await;
    fill(t, BOB, []).await;
    let start = head(t, ANN).await;
    at_once(16, |task| {
        let timelines = t.timelines();
        async move {
            for number in 0..20 {
                timelines
                    .append(&[ANN, BOB], post(task as u64 * 20 + number))
                    .await
                    .unwrap();
                // The neighbour brings the same.
                timelines
                    .append(&[BOB, ANN], post((task as u64 * 20 + number + 20) % 320))
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    for viewer in [ANN, BOB] {
        assert_eq!(read(t, viewer).await.posts, posts((0..320).rev()));
    }
    let slice = arrived(t, ANN, start).await;
    assert_eq!(slice.posts.len(), 320);
    assert!(
        arrived(t, ANN, slice.head).await.posts.is_empty(),
        "each post arrived once"
    );
}

async fn a_reader_among_appends_misses_nothing(t: &Subject) {
    fill(t, ANN, []).await;
    let timelines = t.timelines();
    let start = head(t, ANN).await;
    let writer = tokio::spawn({
        let timelines = t.timelines();
        async move {
            for number in 0..300 {
                // Ids go up and down.
                timelines.append(&[ANN], post(number ^ 7)).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let (mut seen, mut position) = (HashSet::new(), start);
    while seen.len() < 300 {
        let is_over = writer.is_finished();
        let slice = match timelines.since(ANN, position).await.unwrap() {
            Some(Since::Arrived(slice)) => slice,
            other => panic!("{other:?}"),
        };
        assert!(slice.posts.is_sorted_by(|a, b| a > b));
        for post in slice.posts {
            assert!(seen.insert(post), "once each");
        }
        position = slice.head;
        assert!(!is_over || seen.len() == 300, "{} of 300 were seen", seen.len());
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

async fn reopening_leaves_no_position_valid(t: &Subject) {
    let mut generations = HashSet::new();
    for _ in 0..4 {
        fill(t, ANN, [1, 2]).await;
        let position = head(t, ANN).await;
        assert!(generations.insert(position.generation), "no generation comes twice");
        t.reopen().await;
        assert_eq!(t.timelines().read(ANN, None, 10).await.unwrap(), None);
        fill(t, ANN, [1]).await;
        assert_eq!(
            t.timelines().since(ANN, position).await.unwrap(),
            Some(Since::OtherGeneration)
        );
        assert!(
            generations.insert(head(t, ANN).await.generation),
            "no generation comes twice"
        );
        t.timelines().forget(ANN).await.unwrap();
    }
}
