//! I2: every event ends done, rejected or dead-lettered.

use std::collections::BTreeSet;
use std::sync::Arc;

use social_core::EventId;
use social_core::page::Range;
use social_store::faulty::{self, Plan};

use crate::cql::{APPLIED, DEAD, DONE, Logged, REJECTED};
use crate::site::Site;
use crate::support::{draft, key};
use crate::work::{drive, sweep_until};
use crate::world::{World, post};

/// Broken where the sweep passes over an event: one that nobody marked, one that was filed a minute late, one whose work was not done, one whose
/// claim is another's, one whose work fails for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_every_event_ends_however_it_was_left() {
    let site = Site::new().await;
    let writer = site.open("writer").await;
    let backend = &writer.backend;
    let world = World::rich(backend).await;
    let author = world.users[0];
    let poisoned = post(backend, draft(author, "nobody can deliver this")).await;
    let half_way = post(backend, draft(author, "half delivered")).await;
    let request = key();
    let taken_over = backend
        .store
        .create_post(draft(author, "claimed by another"), request, None);
    let taken_over = taken_over.await.unwrap().value.post.id;
    writer.close().await;

    // The writer died before it marked any of them, and every other one took it into the next minute to file.
    let log = site.cql.log().await;
    site.cql.truncate(&["outbox", "outbox_watermarks"]).await;
    for (number, logged) in log.iter().enumerate() {
        let late = number % 2 == 1;
        let filed = if late { logged.a_minute_late() } else { logged.clone() };
        site.cql.file(&filed).await;
        if logged.event == half_way.0 {
            site.cql.set_stage(&filed, APPLIED).await;
        }
    }
    let hex: String = request.key.iter().map(|byte| format!("{byte:02x}")).collect();
    let take = format!("UPDATE requests SET event = 7 WHERE key = 0x{hex} IF EXISTS");
    site.cql.run(&take).await;

    let worker = site.open("worker").await;
    let plan = Arc::new(Plan::new(1));
    plan.poison(poisoned);
    let working = faulty::wrap(worker.backend.clone(), &plan);
    let is_open = |logged: &Logged| ![DONE, REJECTED, DEAD].contains(&logged.stage);
    sweep_until(&working, async || !site.cql.log().await.iter().any(is_open)).await;

    let ended = site.cql.log().await;
    let of_stage = |stage| -> BTreeSet<u64> {
        let all = ended.iter().filter(|logged| logged.stage == stage);
        all.map(|logged| logged.event).collect()
    };
    assert_eq!(ended.len(), log.len(), "none is gone");
    assert_eq!(of_stage(DEAD), BTreeSet::from([poisoned.0]));
    // Nobody follows across a block, whichever of the two came first.
    assert_eq!(of_stage(REJECTED), BTreeSet::from([taken_over.0, world.blocked.0]));
    let store = &worker.backend.store;
    let dead = store.dead_letters(Range::newest(None, 9)).await.unwrap();
    assert_eq!(dead.iter().map(|event| event.id).collect::<Vec<_>>(), [poisoned.into()]);
    println!("{} events, of which {} done", ended.len(), of_stage(DONE).len());

    // And a dead letter is not the end for ever.
    plan.heal(poisoned);
    let replayed = store.replay_dead_letter(poisoned.into()).await.unwrap();
    drive(&working, &replayed).await;
    sweep_until(&working, async || {
        store.horizon().await.unwrap().settled > EventId(ended.last().unwrap().event)
    })
    .await;
    worker.close().await;
    site.end().await;
}
