//! What imports share: items are packed into messages of bounded size, and these are sent in segments that can be repeated.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use crate::call::present;
use crate::core::{Core, Unary, Upload};
use crate::rpc::Rpc;
use crate::{Error, Reason};

/// Items in one message.
pub(crate) const MESSAGE_ITEMS: usize = 1_000;
/// Bytes of the items in one message; servers take 1 MiB.
const MESSAGE_BYTES: usize = 900 << 10;
/// Bound of one segment.
const SEGMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// Makes a message of items, the first of which has this index.
type Make<T, M> = Box<dyn Fn(i64, Vec<T>) -> M + Send>;

/// Packs items into messages.
pub(crate) struct Packer<T, M> {
    message: Make<T, M>,
    /// Index in the whole import of the first of `items`.
    offset: i64,
    /// Of the message that is being filled.
    items: Vec<T>,
    bytes: usize,
    /// Full ones.
    pub(crate) messages: Vec<M>,
}

impl<T: Message, M> Packer<T, M> {
    /// Packs items, the first of which has the index `offset`, into what `message` makes of them.
    pub(crate) fn new(offset: i64, message: impl Fn(i64, Vec<T>) -> M + Send + 'static) -> Self {
        Self {
            message: Box::new(message),
            offset,
            items: Vec::new(),
            bytes: 0,
            messages: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        // Key and length in front of each item take at most 6 bytes.
        let bytes = item.encoded_len() + 6;
        let is_full = self.items.len() >= MESSAGE_ITEMS || self.bytes + bytes > MESSAGE_BYTES;
        if is_full && !self.items.is_empty() {
            self.seal();
        }
        self.bytes += bytes;
        self.items.push(item);
    }

    /// Makes a message of the items that are not in one yet, also of none.
    pub(crate) fn seal(&mut self) {
        let items = std::mem::take(&mut self.items);
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        self.messages.push((self.message)(self.offset, items));
        self.offset += count;
        self.bytes = 0;
    }

    /// Nothing is left to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.messages.is_empty()
    }

    /// The messages that are left, if any.
    pub(crate) fn finish(mut self) -> Vec<M> {
        if !self.items.is_empty() {
            self.seal();
        }
        self.messages
    }
}

/// Is told how far an import has come.
type Told<P> = Box<dyn FnMut(&P) + Send>;

/// Sends an import, and hears how far it has come: `P`.
pub(crate) struct Sender<P> {
    core: Arc<Core>,
    /// Of each segment, its retries included.
    pub(crate) timeout: Duration,
    /// Is told after each segment.
    pub(crate) on_progress: Option<Told<P>>,
}

impl<P> Sender<P> {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: core.clone(),
            timeout: SEGMENT_TIMEOUT,
            on_progress: None,
        }
    }

    /// Asks where an import stands: None when it has not begun.
    pub(crate) fn progress<M: Rpc>(
        &self,
        request: M,
        read: fn(M::Response) -> Option<P>,
    ) -> impl Future<Output = Result<Option<P>, Error>> + Send + use<M, P> {
        // Without `self`, which is not to be shared between threads: who waits may be a task that moves.
        let core = self.core.clone();
        async move {
            match core.call(&Unary(request), core.transport.timeout).await {
                Ok(answer) => present("progress", read(answer)).map(Some),
                Err(error) if error.reason() == Reason::ImportNotFound => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    /// Sends a segment; gives where the import stands after it.
    pub(crate) async fn send<M: Rpc>(
        &mut self,
        segment: Vec<M>,
        read: fn(M::Response) -> Option<P>,
    ) -> Result<P, Error> {
        let answer = self.core.call(&Upload(segment), self.timeout).await?;
        let progress = present("progress", read(answer))?;
        if let Some(told) = &mut self.on_progress {
            told(&progress);
        }
        Ok(progress)
    }
}
