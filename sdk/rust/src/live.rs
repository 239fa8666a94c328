//! The engine of subscriptions: connects, watches for signs of life, reconnects, resumes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Streaming};

use crate::core::{Core, Pass};
use crate::rpc::Rpc;
use crate::{Error, Origin, Reason};

/// Until the server tells its own interval.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Signs of life that may be late, in tenths of an interval: 2.5 intervals without any are too many.
const PATIENCE_TENTHS: u32 = 25;
/// Faults of the server in a row that are put up with.
const MAX_FAULTS: u32 = 5;
/// Ids that are remembered to drop repeats.
const RECENT: usize = 4_096;

/// A subscription lost its connection and is about to connect again.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// Failures in a row, from 1.
    pub attempt: u32,
    /// How long until it is tried again. The wait begins when the next event is asked for.
    pub delay: Duration,
    /// What went wrong.
    pub cause: Error,
}

/// What one kind of subscription knows of itself.
pub(crate) trait Feed: Send + 'static {
    type Request: Rpc;
    type Event: Send + 'static;

    /// A stream that lived this long was a success: the next failure starts to count anew.
    const SETTLED: Duration = Duration::from_secs(10);

    /// Every connection, not only the first, must be there within the timeout of a call, or the stream ends.
    const HURRIED: bool = false;

    /// What to ask for now, cursor included. Only called when all events handed out before were handled.
    fn request(&self) -> Self::Request;

    /// Makes events of a message.
    fn take(&mut self, message: <Self::Request as Rpc>::Response, events: &mut VecDeque<Self::Event>) -> Next;

    /// The first message of a stream is there.
    fn connected(&mut self, reconnected: bool, events: &mut VecDeque<Self::Event>);

    /// Whether what came over this connection makes its end the first failure again.
    fn has_advanced(&self) -> bool {
        true
    }

    /// The connection was lost.
    fn reconnecting(&mut self, reconnect: Reconnect, events: &mut VecDeque<Self::Event>);

    /// May mend an error that would be final, by asking for something else; true when it did.
    fn mend(&mut self, _error: &Error, _events: &mut VecDeque<Self::Event>) -> bool {
        false
    }
}

/// How a stream goes on after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// With the next message.
    Go,
    /// With the next message, within this interval.
    Within(Duration),
    /// With a new stream, at once.
    Reopen,
    /// Not at all: everything is there.
    End,
}

/// Runs a feed. Dropping the stream ends the subscription.
pub(crate) fn run<F: Feed>(
    core: &Arc<Core>,
    feed: Result<F, Error>,
    max_reconnects: Option<u32>,
) -> BoxStream<'static, Result<F::Event, Error>> {
    match feed {
        Ok(feed) => {
            let driver = Driver::new(core.clone(), feed, max_reconnects);
            stream::unfold(driver, |mut driver| async move {
                driver.next().await.map(|event| (event, driver))
            })
            .fuse()
            .boxed()
        }
        Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
    }
}

struct Driver<F: Feed> {
    core: Arc<Core>,
    feed: F,
    /// Made but not handed out. Nothing else is done before they are.
    events: VecDeque<F::Event>,
    open: Option<Open<F>>,
    interval: Duration,
    /// Failures in a row.
    failures: u32,
    max_reconnects: Option<u32>,
    wait_until: Option<Instant>,
    /// Until when a connection is tried for that must be there in time; set by the first attempt.
    open_until: Option<Instant>,
    was_connected: bool,
    /// The token was renewed since the last message, and doing so again would not help.
    renewed: bool,
    done: bool,
}

/// A stream that is open.
struct Open<F: Feed> {
    messages: Streaming<<F::Request as Rpc>::Response>,
    pass: Pass,
    since: Instant,
    /// No message came yet.
    silent: bool,
}

impl<F: Feed> Driver<F> {
    fn new(core: Arc<Core>, feed: F, max_reconnects: Option<u32>) -> Self {
        Self {
            core,
            feed,
            events: VecDeque::new(),
            open: None,
            interval: HEARTBEAT,
            failures: 0,
            max_reconnects,
            wait_until: None,
            open_until: None,
            was_connected: false,
            renewed: false,
            done: false,
        }
    }

    async fn next(&mut self) -> Option<Result<F::Event, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.done {
                return None;
            }
            let step = match self.open.take() {
                Some(open) => self.receive(open).await,
                None => self.connect().await,
            };
            if let Err(error) = step {
                self.done = true;
                return Some(Err(error));
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        if let Some(until) = self.wait_until.take() {
            sleep_until(until).await;
        }
        let deadline = self.opening_deadline();
        let pass = match self.core.pass(<F::Request as Rpc>::ACCESS).await {
            Ok(pass) => pass,
            Err(error) => return self.failed(error, Pass::Nobody).await,
        };
        let opening = self
            .core
            .transport
            .server_streaming(self.feed.request(), pass.bearer(), deadline);
        match opening.await {
            Ok(messages) => {
                self.open = Some(Open {
                    messages,
                    pass,
                    since: Instant::now(),
                    silent: true,
                });
                Ok(())
            }
            Err(error) => self.failed(error, pass).await,
        }
    }

    /// Whether the next connection may be tried for as long as it takes.
    fn may_take_long(&self) -> bool {
        self.was_connected && !F::HURRIED
    }

    /// The first connection is a call, and bounded like one. Later ones get as long each.
    fn opening_deadline(&mut self) -> Instant {
        let fresh = Instant::now() + self.core.transport.timeout;
        if self.may_take_long() {
            fresh
        } else {
            *self.open_until.get_or_insert(fresh)
        }
    }

    async fn receive(&mut self, mut open: Open<F>) -> Result<(), Error> {
        // The first message comes at once, whatever the interval is.
        let limit = if open.silent {
            self.core.transport.timeout
        } else {
            self.interval * PATIENCE_TENTHS / 10
        };
        let error = match timeout(limit, open.messages.message()).await {
            Ok(Ok(Some(message))) => {
                self.take(message, open);
                return Ok(());
            }
            Ok(Ok(None)) => Error::stream_ended(),
            Ok(Err(status)) => Error::from_status(status, limit),
            Err(_) => Error::silent(limit),
        };
        if !open.silent && open.since.elapsed() >= F::SETTLED && self.feed.has_advanced() {
            self.failures = 0;
        }
        self.failed(error, open.pass).await
    }

    fn take(&mut self, message: <F::Request as Rpc>::Response, mut open: Open<F>) {
        if std::mem::take(&mut open.silent) {
            self.feed.connected(self.was_connected, &mut self.events);
            self.was_connected = true;
            self.renewed = false;
            self.open_until = None;
        }
        match self.feed.take(message, &mut self.events) {
            Next::Go => self.open = Some(open),
            Next::Within(interval) => {
                self.interval = interval;
                self.open = Some(open);
            }
            Next::Reopen => {}
            Next::End => self.done = true,
        }
    }

    /// Decides what becomes of the subscription.
    async fn failed(&mut self, error: Error, pass: Pass) -> Result<(), Error> {
        if error.wants_refresh() && !std::mem::replace(&mut self.renewed, true) {
            let deadline = Instant::now() + self.core.transport.timeout;
            match self.core.renew(&pass, deadline).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(cause) => return self.retry(cause),
            }
        }
        self.core.leave_if_ended(&pass, &error).await;
        if self.feed.mend(&error, &mut self.events) {
            return Ok(());
        }
        self.retry(error)
    }

    fn retry(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        let delay = match self.delay(&error) {
            Some(delay) if self.may_reconnect(&error) => delay,
            _ => return Err(error),
        };
        self.wait_until = Some(Instant::now() + delay);
        self.feed.reconnecting(
            Reconnect {
                attempt: self.failures,
                delay,
                cause: error,
            },
            &mut self.events,
        );
        Ok(())
    }

    /// How long to wait before the next attempt; None when the first connection would come too late.
    fn delay(&self, error: &Error) -> Option<Duration> {
        let policy = &self.core.transport.policy;
        if self.may_take_long() {
            return Some(policy.wait(error, self.failures));
        }
        let until = self
            .open_until
            .unwrap_or_else(|| Instant::now() + self.core.transport.timeout);
        let left = until.saturating_duration_since(Instant::now());
        policy.wait_within(error, self.failures, left)
    }

    fn may_reconnect(&self, error: &Error) -> bool {
        let bound = if self.was_connected {
            self.max_reconnects
        } else {
            Some(self.core.transport.policy.max_attempts.saturating_sub(1))
        };
        if bound.is_some_and(|bound| self.failures > bound) {
            return false;
        }
        match error.origin() {
            Origin::Transport | Origin::Deadline => true,
            Origin::Client | Origin::TokenStore | Origin::Protocol => false,
            Origin::Server => match error.code() {
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted | Code::Ok => true,
                // The server may not have noticed yet that our last stream is dead.
                Code::ResourceExhausted if error.reason() == Reason::TooManyStreams => self.was_connected,
                Code::ResourceExhausted => error.retry_delay().is_some(),
                Code::Internal | Code::Unknown => self.failures <= MAX_FAULTS,
                _ => false,
            },
        }
    }
}

/// Ids that were handed out lately, bounded.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Id to the number of its latest insertion.
    ids: HashMap<String, u64>,
    order: VecDeque<(u64, String)>,
    count: u64,
}

impl Recent {
    /// False when the id is there already.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        if self.ids.contains_key(id) {
            return false;
        }
        self.count += 1;
        self.ids.insert(id.to_owned(), self.count);
        self.order.push_back((self.count, id.to_owned()));
        while self.order.len() > RECENT {
            self.drop_oldest();
        }
        true
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.ids.remove(id);
    }

    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.order.clear();
    }

    fn drop_oldest(&mut self) {
        // An id that was removed and came back has a later insertion, which stays.
        if let Some((number, id)) = self.order.pop_front()
            && self.ids.get(&id) == Some(&number)
        {
            self.ids.remove(&id);
        }
    }
}

/// The interval that a server announced.
pub(crate) fn within(interval_ms: u32) -> Next {
    if interval_ms == 0 {
        Next::Go
    } else {
        Next::Within(Duration::from_millis(interval_ms.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_known_until_they_are_removed_or_too_many() {
        let mut recent = Recent::default();
        assert!(recent.insert("a") && !recent.insert("a"));
        recent.remove("a");
        assert!(recent.insert("a"));
        for number in 0..RECENT - 2 {
            assert!(recent.insert(&number.to_string()));
        }
        // The first insertion of "a" went, the second one counts.
        assert!(!recent.insert("a"));
        recent.insert("x");
        recent.insert("y");
        assert!(recent.insert("a"));
        assert!(recent.ids.len() <= RECENT && recent.order.len() <= RECENT);
        recent.clear();
        assert!(recent.insert("x"));
    }
}
