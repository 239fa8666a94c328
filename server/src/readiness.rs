//! Keeps health true while a cluster's process runs: it says NOT_SERVING for as long as the process cannot serve.

use std::time::Duration;

use social_observability::event;
use social_store::cluster::{Probe, Unready};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::grpc::Drain;
use crate::health::Health;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A lease that is not back for so long, while the store answers, is another process's.
const LEASE_PATIENCE: Duration = Duration::from_secs(30);

/// Looks until the drain begins, or until it is clear that only another start helps.
pub(crate) async fn watch(probe: Probe, health: Health, drain: Drain) {
    let mut state = State::default();
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let look = async {
            tick.tick().await;
            probe.ready().await
        };
        let looked = tokio::select! {
            looked = look => looked,
            () = drain.begun() => return,
        };
        match state.note(looked.err(), Instant::now()) {
            Change::None => {}
            Change::Unready(reason) => {
                health.unready().await;
                event::became_unready(&reason);
            }
            Change::Ready(after) => {
                health.ready().await;
                event::became_ready(after);
            }
            Change::Hopeless(after) => {
                event::lease_not_regained(after);
                return;
            }
        }
    }
}

/// What was seen last: why the process cannot serve, since when, and since when for this reason.
#[derive(Default)]
struct State(Option<(Unready, Instant, Instant)>);

/// What is new.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    None,
    Unready(Unready),
    Ready(Duration),
    Hopeless(Duration),
}

impl State {
    fn note(&mut self, seen: Option<Unready>, now: Instant) -> Change {
        let before = self.0;
        match (before, seen) {
            (None, None) => Change::None,
            (Some((_, since, _)), None) => {
                self.0 = None;
                Change::Ready(now - since)
            }
            (Some((reason, _, since)), Some(seen)) if reason == seen => match seen {
                Unready::Lease { .. } if now - since >= LEASE_PATIENCE => Change::Hopeless(now - since),
                _ => Change::None,
            },
            (_, Some(seen)) => {
                let since = before.map_or(now, |(_, since, _)| since);
                self.0 = Some((seen, since, now));
                Change::Unready(seen)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Unready = Unready::Lease { node: 7 };

    #[test]
    fn each_reason_is_told_once() {
        let mut state = State::default();
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(state.note(None, at(0)), Change::None);
        assert_eq!(state.note(Some(Unready::Store), at(1)), Change::Unready(Unready::Store));
        assert_eq!(state.note(Some(Unready::Store), at(100)), Change::None);
        assert_eq!(state.note(Some(LEASE), at(101)), Change::Unready(LEASE));
        assert_eq!(state.note(Some(LEASE), at(102)), Change::None);
        assert_eq!(state.note(None, at(103)), Change::Ready(Duration::from_secs(102)));
        assert_eq!(state.note(None, at(104)), Change::None);
    }

    #[test]
    fn a_lease_that_does_not_come_back_ends_the_process_and_a_store_that_is_away_does_not() {
        let mut state = State::default();
        let start = Instant::now();
        state.note(Some(Unready::Store), start);
        assert_eq!(
            state.note(Some(Unready::Store), start + 20 * LEASE_PATIENCE),
            Change::None
        );
        // Only from when on the store answers does the lease have to come back.
        let answers = start + 20 * LEASE_PATIENCE;
        assert_eq!(state.note(Some(LEASE), answers), Change::Unready(LEASE));
        assert_eq!(state.note(Some(LEASE), answers + LEASE_PATIENCE / 2), Change::None);
        assert_eq!(
            state.note(Some(LEASE), answers + LEASE_PATIENCE),
            Change::Hopeless(LEASE_PATIENCE)
        );
    }
}
