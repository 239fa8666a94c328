//! The store does what it is asked for, and its answer does not come, or the question comes too late.

use std::time::{Duration, Instant};

use crate::Site;
use crate::check::conclude;
use crate::load::{AFTER, BEFORE, BRISK, Working};
use crate::proxy::Harm;

/// Acknowledgements while statements are harmed.
const MEANWHILE: u64 = 160;
/// How long it goes on at the most, until a post turns out to have been written by a call whose answer did not come.
const CAUGHT: Duration = Duration::from_secs(90);
/// Shares of the statements: of those that keep a call waiting until it gives up, and of those that end a connection at once.
const WAITING: f64 = 1.0 / 400.0;
const ENDING: f64 = 1.0 / 200.0;

/// Answers do not come, over connections that stay.
pub(crate) async fn lost(site: &mut Site) {
    harmed(site, "answers lost", Harm::AnswerLost, WAITING).await;
}

/// Answers come after their callers gave up.
pub(crate) async fn late(site: &mut Site) {
    harmed(site, "answers late", Harm::AnswerLate, WAITING).await;
}

/// Connections end in the middle of an answer.
pub(crate) async fn cut(site: &mut Site) {
    harmed(site, "answers cut off", Harm::AnswerCut, ENDING).await;
}

/// Statements come to the store after their callers gave up.
pub(crate) async fn requests_late(site: &mut Site) {
    harmed(site, "requests late", Harm::RequestLate, WAITING).await;
}

async fn harmed(site: &mut Site, fault: &str, harm: Harm, share: f64) {
    let mut working = Working::begin(&site.crowd, BRISK);
    working.further(BEFORE).await;
    site.store.harm(harm, share);
    working.further(MEANWHILE).await;
    working.caught_within(CAUGHT).await;
    let harmed = site.store.heal();
    let back = Instant::now();
    working.further(AFTER).await;
    let load = working.finish().await;
    let note = format!(
        "; statements harmed {}, writes by their answers {}",
        harmed.statements, harmed.writes
    );
    conclude(site, fault, &load, back, &note).await;
    assert!(harmed.statements > 0, "statements were harmed");
    assert!(harm == Harm::RequestLate || harmed.writes > 0, "writes were harmed");
    assert!(
        load.totals().caught > 0,
        "a post was written by a call without an answer"
    );
}
