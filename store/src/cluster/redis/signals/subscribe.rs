//! Receives wakes of other processes, where someone listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::SubscriberClient;
use fred::error::Error;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ClusterStateChange, Message as Received};
use social_core::backend::{Channel, Listener, Wake};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::Redis;
use super::super::link::{Link, State};
use super::message::{Message, SHARDS, shard};
use super::publish::{TAGS, channels};
use crate::signals::{Board, LocalListener};

/// Time between questions whether the connection lives, and between looks for what nobody listens to.
const EVERY: Duration = Duration::from_secs(5);
/// How long such a question may take.
const ANSWER: Duration = Duration::from_secs(1);
/// Time between tries to subscribe.
const AGAIN: Duration = Duration::from_millis(100);

/// How many listen on each message channel.
pub(super) struct Interest {
    listening: [AtomicUsize; SHARDS],
    more: Notify,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            listening: std::array::from_fn(|_| AtomicUsize::new(0)),
            more: Notify::new(),
        }
    }
}

impl Interest {
    fn add(&self, channel: Channel) {
        if self.listening[shard(channel)].fetch_add(1, Ordering::SeqCst) == 0 {
            self.more.notify_one();
        }
    }

    fn remove(&self, channel: Channel) {
        self.listening[shard(channel)].fetch_sub(1, Ordering::SeqCst);
    }

    fn wanted(&self, shard: usize) -> bool {
        self.listening[shard].load(Ordering::SeqCst) > 0
    }
}

/// A listener whose channels are subscribed to.
pub(super) struct RemoteListener {
    local: LocalListener,
    interest: Arc<Interest>,
}

impl RemoteListener {
    pub(super) fn new(local: LocalListener, interest: Arc<Interest>) -> Self {
        Self { local, interest }
    }
}

#[async_trait]
impl Listener for RemoteListener {
    fn watch(&mut self, channel: Channel) {
        if self.local.add(channel) {
            self.interest.add(channel);
        }
    }

    fn unwatch(&mut self, channel: Channel) {
        if self.local.remove(channel) {
            self.interest.remove(channel);
        }
    }

    async fn next(&mut self) -> Wake {
        self.local.next().await
    }
}

impl Drop for RemoteListener {
    fn drop(&mut self) {
        for channel in self.local.channels() {
            self.interest.remove(channel);
        }
    }
}

/// What this process is subscribed to.
pub(super) struct Subscriptions {
    board: Arc<Board>,
    interest: Arc<Interest>,
    channels: Vec<String>,
    sharded: bool,
}

/// What may have undone subscriptions, or lost wakes.
struct Changes {
    connections: broadcast::Receiver<Server>,
    servers: broadcast::Receiver<Vec<ClusterStateChange>>,
    link: watch::Receiver<State>,
    /// How often the link came back until now.
    returns: u64,
}

impl Changes {
    fn of(client: &SubscriberClient, link: &Link) -> Self {
        let link = link.state();
        let returns = link.borrow().returns;
        Self {
            connections: client.reconnect_rx(),
            servers: client.cluster_change_rx(),
            returns,
            link,
        }
    }

    /// Waits for a change. Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.connections.recv() => {}
            _ = self.servers.recv() => {}
            // Whoever publishes found Redis away too, and dropped wakes.
            _ = self.link.wait_for(|state| state.returns > self.returns) => {}
        }
        self.returns = self.link.borrow().returns;
        while self.connections.try_recv().is_ok() {}
        while self.servers.try_recv().is_ok() {}
    }
}

impl Subscriptions {
    pub(super) fn new(redis: &Redis, board: Arc<Board>, interest: Arc<Interest>) -> Self {
        Self {
            board,
            interest,
            channels: channels(redis),
            sharded: redis.is_clustered(),
        }
    }

    /// Receives until Redis is closed.
    pub(super) async fn begin(self, redis: &Redis, link: &Link, origin: u64) {
        let client = redis.subscriber().await;
        redis.run(receive(client.message_rx(), Arc::clone(&self.board), origin));
        let changes = Changes::of(&client, link);
        redis.run(self.keep(client, changes));
    }

    /// Holds subscriptions to what is listened to.
    async fn keep(self, client: SubscriberClient, mut changes: Changes) {
        let mut subscribed = [false; SHARDS];
        let mut look = Instant::now() + EVERY;
        loop {
            let complete = self.subscribe(&client, &mut subscribed).await.is_ok();
            tokio::select! {
                () = changes.next() => {
                    subscribed = [false; SHARDS];
                    // First the subscriptions, so that nothing is lost after listeners looked.
                    let _ = self.subscribe(&client, &mut subscribed).await;
                    self.board.miss_all();
                }
                () = self.interest.more.notified() => {}
                () = sleep(AGAIN), if !complete => {}
                () = sleep_until(look) => {
                    look = Instant::now() + EVERY;
                    self.check(&client).await;
                    let _ = self.unsubscribe(&client, &mut subscribed).await;
                }
            }
        }
    }

    /// A connection that only receives cannot be told from a dead one.
    async fn check(&self, client: &SubscriberClient) {
        let lives = timeout(ANSWER, client.ping::<fred::types::Value>(None)).await;
        if client.is_connected() && !matches!(lives, Ok(Ok(_))) {
            let _ = timeout(ANSWER, client.force_reconnection()).await;
        }
    }

    async fn subscribe(&self, client: &SubscriberClient, subscribed: &mut [bool; SHARDS]) -> Result<(), Error> {
        let missing = (0..SHARDS).filter(|shard| self.interest.wanted(*shard) && !subscribed[*shard]);
        for shards in self.together(missing) {
            let names = self.names(&shards);
            if self.sharded {
                client.ssubscribe(names).await?;
            } else {
                client.subscribe(names).await?;
            }
            shards.into_iter().for_each(|shard| subscribed[shard] = true);
        }
        Ok(())
    }

    async fn unsubscribe(&self, client: &SubscriberClient, subscribed: &mut [bool; SHARDS]) -> Result<(), Error> {
        let idle: Vec<_> = (0..SHARDS)
            .filter(|shard| subscribed[*shard] && !self.interest.wanted(*shard))
            .collect();
        for shards in self.together(idle.into_iter()) {
            let names = self.names(&shards);
            // Before the command: whoever listens meanwhile subscribes again after it.
            shards.into_iter().for_each(|shard| subscribed[shard] = false);
            if self.sharded {
                client.sunsubscribe(names).await?;
            } else {
                client.unsubscribe(names).await?;
            }
        }
        Ok(())
    }

    fn names(&self, shards: &[usize]) -> Vec<String> {
        shards.iter().map(|shard| self.channels[*shard].clone()).collect()
    }

    /// What one command can name: everything, or channels of one hash tag.
    fn together(&self, shards: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut together: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for shard in shards {
            let tag = if self.sharded { shard % TAGS } else { 0 };
            together.entry(tag).or_default().push(shard);
        }
        together.into_values().collect()
    }
}

/// Posts what other processes send.
async fn receive(mut messages: broadcast::Receiver<Received>, board: Arc<Board>, origin: u64) {
    loop {
        match messages.recv().await {
            Ok(message) => {
                if let Some(bytes) = message.value.as_bytes() {
                    Message::deliver(bytes, origin, &board);
                }
            }
            Err(RecvError::Lagged(_)) => board.miss_all(),
            Err(RecvError::Closed) => return,
        }
    }
}
