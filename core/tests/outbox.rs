//! What waits in the event log, as operators page through it.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod world;

use social_core::admin::{self, OutboxPage};
use social_core::cursor::PageRequest;
use social_core::{Reason, Result, limits};
use world::World;

async fn list(world: &World, size: i32, token: &str) -> Result<OutboxPage> {
    admin::list_outbox(&world.backend, PageRequest { size, token }).await
}

#[tokio::test]
async fn pages_follow_each_other_and_the_first_one_counts() {
    let world = World::new();
    let ann = world.user("ann").await;
    for _ in 0..5 {
        world.post(&ann, "text").await;
    }
    let waiting = world.pending().await;
    world.tick(limits::EVENT_STALE.as_millis() as u64 + 1);
    world.post(&ann, "a new one").await;
    let (mut listed, mut token, mut counts) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = list(&world, 2, &token).await.unwrap();
        assert!(page.listed.items.len() <= 2);
        counts.push(page.counts);
        listed.extend(
            page.listed
                .items
                .into_iter()
                .map(|pending| (pending.event.id, pending.is_stalled(page.now))),
        );
        token = page.listed.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let ids: Vec<_> = listed.iter().map(|(id, _)| *id).collect();
    assert_eq!((ids.len(), &ids[..5]), (6, waiting.as_slice()));
    let stalled: Vec<bool> = listed.iter().map(|(_, is_stalled)| *is_stalled).collect();
    assert_eq!(stalled, [true, true, true, true, true, false]);
    let first = counts.remove(0).unwrap();
    assert_eq!((first.pending, first.stalled, first.dead, first.exact), (6, 5, 0, true));
    assert!(counts.iter().all(Option::is_none), "later pages do not count again");
}

#[tokio::test]
async fn a_token_of_another_list_is_refused() {
    let world = World::new();
    let ann = world.user("ann").await;
    for _ in 0..3 {
        world.post(&ann, "text").await;
    }
    for event in world.pending().await {
        for _ in 0..limits::EVENT_ATTEMPTS {
            world.backend.store.record_failure(event, "internal").await.unwrap();
        }
    }
    let request = PageRequest { size: 2, token: "" };
    let letters = admin::list_dead_letters(&world.backend, request).await.unwrap();
    let refused = list(&world, 2, &letters.next_page_token).await.unwrap_err();
    assert_eq!(refused.reason, Reason::PageTokenInvalid);
    let none = list(&world, 2, "").await.unwrap();
    assert_eq!(none.counts.unwrap().dead, 3);
    assert!(none.listed.items.is_empty() && none.listed.next_page_token.is_empty());
    assert_eq!(list(&world, -1, "").await.unwrap_err().reason, Reason::InvalidField);
}
