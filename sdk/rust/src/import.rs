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

use crate::Error;
use crate::bulk::{Packer, Sender};
use crate::core::Core;
use crate::rpc::Rpc;

/// Messages in one segment, which is kept in memory until it is durable. Home timelines are rebuilt after each.
const SEGMENT_MESSAGES: usize = 16;

/// Something that can be brought in.
pub trait Importable: Message + Clone + Default + sealed::Item + 'static {}

impl<T: Message + Clone + Default + sealed::Item + 'static> Importable for T {}

mod sealed {
    use super::{Rpc, v1};

    pub trait Item: Sized {
        type Request: Rpc;

        fn request(import_id: String, offset: i64, items: Vec<Self>) -> Self::Request;
        fn progress(answer: <Self::Request as Rpc>::Response) -> Option<v1::ImportProgress>;
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

                fn progress(answer: <Self::Request as Rpc>::Response) -> Option<v1::ImportProgress> {
                    answer.progress
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
    import_id: Uuid,
    sender: Sender<v1::ImportProgress>,
    items: PhantomData<fn(T)>,
}

impl<T: Importable> Import<T> {
    pub(crate) fn new(core: &Arc<Core>, import_id: Uuid) -> Self {
        Self {
            import_id,
            sender: Sender::new(core),
            items: PhantomData,
        }
    }

    /// Is told how far the import has come, about every 16,000 items.
    pub fn on_progress(mut self, told: impl FnMut(&v1::ImportProgress) + Send + 'static) -> Self {
        self.sender.on_progress = Some(Box::new(told));
        self
    }

    /// Bounds each segment of about 16,000 items, its retries included. Default 2 minutes.
    pub fn segment_timeout(mut self, timeout: Duration) -> Self {
        self.sender.timeout = timeout;
        self
    }

    /// Where the import stands: None when it has not begun. `next_offset` is how many items are durable.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn progress(&self) -> impl Future<Output = Result<Option<v1::ImportProgress>, Error>> + Send + use<T> {
        let request = v1::GetImportRequest {
            import_id: self.import_id.to_string(),
        };
        self.sender.progress(request, |answer| answer.progress)
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
        let mut packer = packer(self.import_id, progress.next_offset);
        while let Some(item) = items.next().await {
            packer.push(item);
            if packer.messages.len() >= SEGMENT_MESSAGES {
                let segment = std::mem::take(&mut packer.messages);
                progress = self.sender.send(segment, T::progress).await?;
            }
        }
        let rest = packer.finish();
        if !rest.is_empty() {
            progress = self.sender.send(rest, T::progress).await?;
        }
        Ok(progress)
    }
}

/// Packs the items from `offset` on.
fn packer<T: Importable>(import_id: Uuid, offset: i64) -> Packer<T, T::Request> {
    Packer::new(offset, move |offset, items| {
        T::request(import_id.to_string(), offset, items)
    })
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
    use crate::bulk::MESSAGE_ITEMS;

    #[test]
    fn messages_are_bounded_in_items_and_bytes() {
        let mut packer = packer::<v1::ImportPost>(Uuid::nil(), 7);
        for number in 0..2_500_u32 {
            let content = if number < 1_500 {
                "x".to_owned()
            } else {
                "x".repeat(40_000)
            };
            packer.push(v1::ImportPost {
                content,
                ..Default::default()
            });
        }
        let messages = packer.finish();
        let mut offset = 7;
        for message in &messages {
            assert_eq!(message.offset, offset);
            assert!(message.posts.len() <= MESSAGE_ITEMS && message.encoded_len() <= 1 << 20);
            offset += i64::try_from(message.posts.len()).expect("fits");
        }
        assert_eq!(offset, 2_507);
        assert!(messages.len() > SEGMENT_MESSAGES);
    }
}
