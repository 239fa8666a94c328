//! Imports: large numbers of users, posts or follows, in segments that can be repeated.

use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use prost::Message;
use social_proto::v1;
use uuid::Uuid;

use crate::call::present;
use crate::core::{Core, Unary, Upload};
use crate::rpc::Rpc;
use crate::{Error, Reason};

/// Items in one message.
const MESSAGE_ITEMS: usize = 1_000;
/// Bytes of the items in one message; servers take 1 MiB.
const MESSAGE_BYTES: usize = 900 << 10;
/// Messages in one segment, which is kept in memory until it is durable. Home timelines are rebuilt after each.
const SEGMENT_MESSAGES: usize = 16;
/// Bound of one segment.
const SEGMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// Something that can be brought in.
pub trait Importable: Message + Clone + Default + sealed::Item + 'static {}

impl<T: Message + Clone + Default + sealed::Item + 'static> Importable for T {}

mod sealed {
    use super::{Error, Rpc, v1};

    pub trait Item: Sized {
        type Request: Rpc;

        fn request(import_id: String, offset: i64, items: Vec<Self>) -> Self::Request;
        fn progress(answer: <Self::Request as Rpc>::Response) -> Result<v1::ImportProgress, Error>;
    }
}

macro_rules! importable {
    ($($item:ident: $request:ident $field:ident;)*) => {
        $(
            impl sealed::Item for v1::$item {
                type Request = v1::$request;

                fn request(import_id: String, offset: i64, items: Vec<Self>) -> Self::Request {
                    v1::$request { import_id, offset, $field: items }
                }

                fn progress(answer: <Self::Request as Rpc>::Response) -> Result<v1::ImportProgress, Error> {
                    present("progress", answer.progress)
                }
            }
        )*
    };
}

importable! {
    ImportUser: ImportUsersRequest users;
    ImportPost: ImportPostsRequest posts;
    ImportFollow: ImportFollowsRequest follows;
}

/// Is told how far an import has come.
type Told = Box<dyn FnMut(&v1::ImportProgress) + Send>;

/// An import that is about to run, or to go on.
///
/// ```no_run
/// # async fn f(admin: social_sdk::AdminClient, users: Vec<social_sdk::v1::ImportUser>) -> Result<(), social_sdk::Error> {
/// // The same id every time this import is run.
/// let id = "6f1c2b1e-7c0a-4d3e-9f51-2f3f5f0a9f10".parse().unwrap_or_default();
/// let done = admin
///     .import_users(id)
///     .on_progress(|progress| println!("{} are in", progress.imported))
///     .run(futures::stream::iter(users))
///     .await?;
/// println!("{} rejected", done.rejected);
/// # Ok(()) }
/// ```
#[must_use = "an import begins with `run`"]
pub struct Import<T> {
    core: Arc<Core>,
    import_id: Uuid,
    timeout: Duration,
    on_progress: Option<Told>,
    items: PhantomData<fn(T)>,
}

impl<T: Importable> Import<T> {
    pub(crate) fn new(core: &Arc<Core>, import_id: Uuid) -> Self {
        Self {
            core: core.clone(),
            import_id,
            timeout: SEGMENT_TIMEOUT,
            on_progress: None,
            items: PhantomData,
        }
    }

    /// Is told how far the import has come, about every 16,000 items.
    pub fn on_progress(mut self, told: impl FnMut(&v1::ImportProgress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(told));
        self
    }

    /// Bounds each segment of about 16,000 items, its retries included. Default 2 minutes.
    pub fn segment_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the import stands: None when it has not begun. `next_offset` is how many items are durable.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn progress(&self) -> impl Future<Output = Result<Option<v1::ImportProgress>, Error>> + Send + use<T> {
        // Without `self`, which is not to be shared between threads: who waits may be a task that moves.
        let core = self.core.clone();
        let request = v1::GetImportRequest {
            import_id: self.import_id.to_string(),
        };
        async move {
            match core.call(&Unary(request), core.transport.timeout).await {
                Ok(answer) => present("progress", answer.progress).map(Some),
                Err(error) if error.reason() == Reason::ImportNotFound => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    /// Brings the items in. They must be all items of the import, from the first, in the same order in every run: those
    /// that are durable already are skipped. Gives where the import stands in the end.
    ///
    /// # Errors
    /// When the server refuses the import, or cannot be reached for longer than a segment may take. What was durable
    /// stays; run the import again to go on.
    pub async fn run(mut self, items: impl Stream<Item = T> + Send) -> Result<v1::ImportProgress, Error> {
        let mut progress = self.progress().await?.unwrap_or_default();
        let skipped =
            usize::try_from(progress.next_offset).map_err(|_| Error::protocol("`next_offset` is negative"))?;
        let mut items = pin!(items.skip(skipped));
        let mut batch = Batch::new(self.import_id, progress.next_offset);
        while let Some(item) = items.next().await {
            batch.push(item);
            if batch.messages.len() >= SEGMENT_MESSAGES {
                progress = self.send(std::mem::take(&mut batch.messages)).await?;
            }
        }
        batch.seal();
        if !batch.messages.is_empty() {
            progress = self.send(batch.messages).await?;
        }
        Ok(progress)
    }

    async fn send(&mut self, segment: Vec<T::Request>) -> Result<v1::ImportProgress, Error> {
        let answer = self.core.call(&Upload(segment), self.timeout).await?;
        let progress = T::progress(answer)?;
        if let Some(told) = &mut self.on_progress {
            told(&progress);
        }
        Ok(progress)
    }
}

/// Packs items into messages.
struct Batch<T: Importable> {
    import_id: Uuid,
    /// Index in the whole import of the first of `items`.
    offset: i64,
    /// Of the message that is being filled.
    items: Vec<T>,
    bytes: usize,
    /// Full ones.
    messages: Vec<T::Request>,
}

impl<T: Importable> Batch<T> {
    fn new(import_id: Uuid, offset: i64) -> Self {
        Self {
            import_id,
            offset,
            items: Vec::new(),
            bytes: 0,
            messages: Vec::new(),
        }
    }

    fn push(&mut self, item: T) {
        // Key and length in front of each item take at most 6 bytes.
        let bytes = item.encoded_len() + 6;
        if self.items.len() >= MESSAGE_ITEMS || self.bytes + bytes > MESSAGE_BYTES {
            self.seal();
        }
        self.bytes += bytes;
        self.items.push(item);
    }

    fn seal(&mut self) {
        if self.items.is_empty() {
            return;
        }
        let items = std::mem::take(&mut self.items);
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        self.messages
            .push(T::request(self.import_id.to_string(), self.offset, items));
        self.offset += count;
        self.bytes = 0;
    }
}

impl<T> fmt::Debug for Import<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("import_id", &self.import_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_in_items_and_bytes() {
        let mut batch = Batch::<v1::ImportPost>::new(Uuid::nil(), 7);
        for number in 0..2_500_u32 {
            let content = if number < 1_500 {
                "x".to_owned()
            } else {
                "x".repeat(40_000)
            };
            batch.push(v1::ImportPost {
                content,
                ..Default::default()
            });
        }
        batch.seal();
        let mut offset = 7;
        for message in &batch.messages {
            assert_eq!(message.offset, offset);
            assert!(message.posts.len() <= MESSAGE_ITEMS && message.encoded_len() <= 1 << 20);
            offset += i64::try_from(message.posts.len()).expect("fits");
        }
        assert_eq!(offset, 2_507);
        assert!(batch.messages.len() > SEGMENT_MESSAGES);
    }
}
