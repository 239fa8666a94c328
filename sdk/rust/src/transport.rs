//! Connections, and single attempts on them. Knows nothing of users and retries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream;
use http::uri::PathAndQuery;
use tokio::time::{Instant, timeout_at};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::retry::{Budget, RetryPolicy};
use crate::rpc::Rpc;
use crate::{Error, Origin};

/// The greatest answer that is taken, in bytes. Servers bound theirs to half of that.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long a server that cannot be reached, is silent, or says that it cannot serve, is passed over where there are others.
const REST_MS: u64 = 2_000;
/// How much time an attempt must be given, for the lack of an answer to tell something of its server.
const SILENCE: Duration = Duration::from_secs(1);

/// `authorization` header.
pub(crate) type Bearer = MetadataValue<Ascii>;
/// Adds headers to calls.
pub(crate) type HeaderHook = Arc<dyn Fn(&mut MetadataMap) + Send + Sync>;

/// All connections of a client, with what is shared by all who use them.
pub(crate) struct Transport {
    pub(crate) policy: RetryPolicy,
    pub(crate) budget: Budget,
    /// Of a call that names none.
    pub(crate) timeout: Duration,
    lanes: Vec<Lane>,
    next: AtomicUsize,
    hook: Option<HeaderHook>,
    start: Instant,
}

struct Lane {
    channel: Channel,
    /// Milliseconds since the start of the transport, as all here.
    rests_until: AtomicU64,
    /// When the server answered last, whatever it said.
    answered_at: AtomicU64,
}

impl Lane {
    /// Takes in how an attempt ended that was `given` so long. The server rests where another may do better: it cannot be reached, drains,
    /// has lost its store, or is silent, as a machine is that is gone.
    fn note(&self, error: Option<&Error>, began_ms: u64, ended_ms: u64, given: Duration) {
        if error.is_none_or(|error| error.origin() == Origin::Server) {
            self.answered_at.store(ended_ms, Ordering::Relaxed);
        }
        let rests = error.is_some_and(|error| match error.origin() {
            Origin::Transport => error.is_unsent(),
            Origin::Server => error.code() == Code::Unavailable,
            // Where others were answered meanwhile, it is the call that takes long.
            Origin::Deadline => given >= SILENCE && self.answered_at.load(Ordering::Relaxed) <= began_ms,
            _ => false,
        });
        if rests {
            self.rests_until.store(ended_ms + REST_MS, Ordering::Relaxed);
        }
    }
}

impl Transport {
    pub(crate) fn new(
        channels: Vec<Channel>,
        policy: RetryPolicy,
        timeout: Duration,
        hook: Option<HeaderHook>,
    ) -> Self {
        let lanes = channels
            .into_iter()
            .map(|channel| Lane {
                channel,
                rests_until: AtomicU64::new(0),
                answered_at: AtomicU64::new(0),
            })
            .collect();
        let budget = Budget::new(&policy);
        Self {
            policy,
            budget,
            timeout,
            lanes,
            next: AtomicUsize::new(0),
            hook,
            start: Instant::now(),
        }
    }

    /// One attempt of a unary call.
    pub(crate) async fn unary<M: Rpc>(
        &self,
        message: M,
        bearer: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<M::Response, Error> {
        let request = self.request(message, bearer, Some(deadline));
        self.bounded::<M, _>(deadline, async move |mut grpc| {
            let response = grpc
                .unary(request, path::<M>(), ProstCodec::<M, M::Response>::default())
                .await?;
            Ok(response.into_inner())
        })
        .await
    }

    /// One attempt of a call whose request is a stream.
    pub(crate) async fn client_streaming<M: Rpc>(
        &self,
        messages: Vec<M>,
        bearer: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<M::Response, Error> {
        let request = self.request(stream::iter(messages), bearer, Some(deadline));
        self.bounded::<M, _>(deadline, async move |mut grpc| {
            let codec = ProstCodec::<M, M::Response>::default();
            Ok(grpc.client_streaming(request, path::<M>(), codec).await?.into_inner())
        })
        .await
    }

    /// Opens a stream of answers, which itself has no deadline.
    pub(crate) async fn server_streaming<M: Rpc>(
        &self,
        message: M,
        bearer: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<Streaming<M::Response>, Error> {
        let request = self.request(message, bearer, None);
        self.bounded::<M, _>(deadline, async move |mut grpc| {
            let codec = ProstCodec::<M, M::Response>::default();
            Ok(grpc.server_streaming(request, path::<M>(), codec).await?.into_inner())
        })
        .await
    }

    async fn bounded<M: Rpc, T>(
        &self,
        deadline: Instant,
        call: impl AsyncFnOnce(Grpc<Channel>) -> Result<T, Status>,
    ) -> Result<T, Error> {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(Error::deadline(left));
        }
        let lane = self.pick();
        let mut grpc = Grpc::new(lane.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let attempt = async move {
            grpc.ready().await.map_err(|error| Error::transport(Arc::new(error)))?;
            call(grpc).await.map_err(|status| Error::from_status(status, left))
        };
        let outcome = timeout_at(deadline, attempt)
            .await
            .unwrap_or_else(|_| Err(Error::deadline(left)));
        if let Err(error) = &outcome {
            tracing::debug!(rpc = M::PATH, %error, "attempt failed");
        }
        let ended = self.elapsed_ms(Instant::now());
        lane.note(outcome.as_ref().err(), self.elapsed_ms(now), ended, left);
        outcome
    }

    /// The next connection in turn that does not rest, or the next one when all do.
    fn pick(&self) -> &Lane {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let now = self.elapsed_ms(Instant::now());
        let count = self.lanes.len();
        (0..count)
            .map(|step| &self.lanes[turn.wrapping_add(step) % count])
            .find(|lane| lane.rests_until.load(Ordering::Relaxed) <= now)
            .unwrap_or(&self.lanes[turn % count])
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    fn request<B>(&self, body: B, bearer: Option<&Bearer>, deadline: Option<Instant>) -> Request<B> {
        let mut request = Request::new(body);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        if let Some(hook) = &self.hook {
            hook(request.metadata_mut());
        }
        if let Some(bearer) = bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }
}

fn path<M: Rpc>() -> PathAndQuery {
    PathAndQuery::from_static(M::PATH)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("connections", &self.lanes.len())
            .field("policy", &self.policy)
            .finish()
    }
}
