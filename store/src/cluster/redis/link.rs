//! A connection and whether asking over it is worth it.
//!
//! Once a call found Redis away, further calls do not wait for it at all: a watch asks in the background, and reopens the link
//! when every server answered.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, KeysInterface};
use fred::types::config::Server;
use futures::future;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::redacted;

/// How long a link stays shut after Redis was slow, at least: it may be slow again at once.
const REST: Duration = Duration::from_secs(1);
/// Time between questions whether Redis is back.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Redis is away, or too slow: whether the command ran is not known.
    Away,
    /// Redis answered that it will not.
    Refused(Error),
}

/// Whether Redis answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// Whether it does.
    pub(super) up: bool,
    /// How often it came back so far.
    pub(super) returns: u64,
}

/// A connection with a watch over it.
pub(super) struct Link {
    client: Client,
    patience: Duration,
    state: watch::Sender<State>,
}

impl Link {
    /// Watches over a client until the token is cancelled.
    pub(super) fn over(
        client: Client,
        patience: Duration,
        probes: Vec<String>,
        closed: CancellationToken,
    ) -> Arc<Self> {
        let up = client.is_connected();
        let link = Arc::new(Self {
            patience,
            state: watch::Sender::new(State { up, returns: 0 }),
            client,
        });
        let (watched, events) = (Arc::clone(&link), Events::of(&link.client));
        let task = async move { watched.watch(&probes, events).await };
        tokio::spawn(async move { closed.run_until_cancelled_owned(task).await });
        link
    }

    /// The client, for making the command of a [`call`](Self::call).
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// How long a call waits.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether a call is worth it now.
    pub(super) fn is_up(&self) -> bool {
        if !self.state.borrow().up {
            return false;
        }
        let connected = self.client.is_connected();
        if !connected {
            self.trip("the connection is lost");
        }
        connected
    }

    /// Changes of the state.
    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits until Redis answers.
    pub(super) async fn wait_up(&self) {
        let mut state = self.state();
        // The sender lives as long as `self`.
        let _ = state.wait_for(|state| state.up).await;
    }

    /// Runs a command, no longer than patience lasts.
    pub(super) async fn call<T>(&self, command: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        if !self.is_up() {
            return Err(Failure::Away);
        }
        let mut state = self.state();
        let answer = tokio::select! {
            biased;
            answer = timeout(self.patience, command) => answer,
            // Another call, or the watch, knows by now.
            _ = state.wait_for(|state| !state.up) => return Err(Failure::Away),
        };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_away(&error) => {
                self.trip(&redacted(&error));
                Err(Failure::Away)
            }
            Ok(Err(error)) => Err(Failure::Refused(error)),
            Err(_) => {
                self.trip("it does not answer in time");
                Err(Failure::Away)
            }
        }
    }

    /// Runs commands in one trip: each with its own answer, all or none of them in time.
    pub(super) async fn all<T>(
        &self,
        commands: impl IntoIterator<Item = impl Future<Output = Result<T, Error>>>,
    ) -> Result<Vec<Result<T, Error>>, Failure> {
        // Polled in order, so fred writes them in order and flushes once.
        let joined = future::join_all(commands);
        let answers = self.call(async { Ok(joined.await) }).await?;
        match answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .find(|error| is_away(error))
        {
            Some(error) => {
                self.trip(&redacted(error));
                Err(Failure::Away)
            }
            None => Ok(answers),
        }
    }

    fn trip(&self, why: &str) {
        let fell = self
            .state
            .send_if_modified(|state| std::mem::replace(&mut state.up, false));
        if fell {
            tracing::warn!(why, "Redis is away; going on without it");
        }
    }

    async fn watch(&self, probes: &[String], mut events: Events) {
        let mut state = self.state();
        loop {
            let was_slow = tokio::select! {
                _ = state.wait_for(|state| !state.up) => self.client.is_connected(),
                // After it there may be another server, or one that forgot everything: whoever relies on the old one
                // must learn of it.
                why = events.next() => {
                    self.trip(why);
                    false
                }
            };
            if was_slow {
                sleep(REST).await;
            }
            while !self.answers(probes).await {
                sleep(ASK_EVERY).await;
            }
            events.skip();
            self.state.send_modify(|state| {
                state.up = true;
                state.returns += 1;
            });
            tracing::info!("Redis answers");
        }
    }

    async fn answers(&self, probes: &[String]) -> bool {
        if !self.client.is_connected() {
            return false;
        }
        let asked = probes.iter().map(|key| self.client.exists::<i64, _>(key.as_str()));
        let answers = timeout(self.patience, future::try_join_all(asked)).await;
        matches!(answers, Ok(Ok(_)))
    }
}

/// What the client tells of its connections.
struct Events {
    made: broadcast::Receiver<Server>,
    lost: broadcast::Receiver<(Error, Option<Server>)>,
}

impl Events {
    fn of(client: &Client) -> Self {
        Self {
            made: client.reconnect_rx(),
            lost: client.error_rx(),
        }
    }

    /// The next one. Cancel-safe.
    async fn next(&mut self) -> &'static str {
        // Closed: the client has ended, and so will this task.
        tokio::select! {
            made = self.made.recv() => match made {
                Err(RecvError::Closed) => future::pending().await,
                _ => "the connection is new",
            },
            lost = self.lost.recv() => match lost {
                Err(RecvError::Closed) => future::pending().await,
                _ => "the connection is lost",
            },
        }
    }

    /// Forgets those of connections before the one that answers.
    fn skip(&mut self) {
        while !matches!(self.made.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
        while !matches!(self.lost.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
    }
}

/// Whether an error tells of a server that cannot answer now, rather than of a command that it will not run.
fn is_away(error: &Error) -> bool {
    /// What a server says that is starting, stopping, changing its role or busy with a script.
    const STATES: [&str; 7] = [
        "LOADING",
        "BUSY",
        "MASTERDOWN",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",
        "NOREPLICAS",
    ];
    match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::NotFound | ErrorKind::Parse => false,
        ErrorKind::Unknown => {
            // A server's refusal begins with its kind in capitals; anything else is fred's.
            let kind = error.details().split(' ').next().unwrap_or_default();
            let is_refusal = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_uppercase());
            !is_refusal || STATES.contains(&kind)
        }
        _ => true,
    }
}
