//! Home pages made of posts that were encoded before.
//!
//! A home page is the most frequent answer, and nearly all of it is posts that thousands of other pages hold too.
//! [`HomeTimelinePage`] has the bytes of `v1::GetHomeTimelineResponse` and is put together from parts: what is the same
//! for every reader (the post's fields 1 to 12, its author) is encoded once and shared, and only counts, viewer state and
//! reason are written anew. Protobuf makes that sound: the encoding of a message is the encodings of its fields one
//! after the other.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, int32, key_len, skip_field, string,
};
use prost::{DecodeError, Message};

use crate::v1;

pub use crate::servers::timeline_service_server;

/// Field numbers of `v1::GetHomeTimelineResponse`.
mod page {
    pub(super) const ITEMS: u32 = 1;
    pub(super) const NEXT_PAGE_TOKEN: u32 = 2;
    pub(super) const HEAD_CURSOR: u32 = 3;
    pub(super) const COMPLETENESS: u32 = 4;
    pub(super) const RESET: u32 = 5;
}

/// Field numbers of `v1::TimelineItem`.
mod item {
    pub(super) const POST: u32 = 1;
    pub(super) const REASON: u32 = 2;
}

/// Field numbers of `v1::Post` behind its static ones.
mod post {
    pub(super) const AUTHOR: u32 = 13;
    pub(super) const COUNTS: u32 = 14;
    pub(super) const VIEWER: u32 = 15;
}

/// Encodes what is the same for every reader of a post, its fields 1 to 12. Author, counts and viewer state are left
/// out.
#[must_use]
pub fn encode_static_post(mut post: v1::Post) -> Bytes {
    post.author = None;
    post.counts = None;
    post.viewer = None;
    post.encode_to_vec().into()
}

/// Encodes an author.
#[must_use]
pub fn encode_author(author: &v1::UserSummary) -> Bytes {
    author.encode_to_vec().into()
}

/// One item of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct HomeTimelineItem {
    /// Fields 1 to 12 of the post, as of [`encode_static_post`].
    pub post: Bytes,
    /// The post's author, as of [`encode_author`].
    pub author: Bytes,
    /// The post's counts, captured once for this page.
    pub counts: v1::PostCounts,
    /// How the viewer stands to the post.
    pub viewer: Option<v1::PostViewerState>,
    /// Why the post is on the page.
    pub reason: v1::TimelineReason,
}

/// Everything of a page but its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeTimelineEnd {
    /// Token of the next page; empty on the last one.
    pub next_page_token: String,
    /// Cursor of what is visible now.
    pub head_cursor: String,
    /// Whether the timeline was whole.
    pub completeness: v1::Completeness,
    /// The cursor given was older than the kept range.
    pub reset: bool,
}

/// A `v1::GetHomeTimelineResponse` that can be encoded only.
///
/// It never changes after [`HomeTimelinePage::new`], so its length is worked out once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HomeTimelinePage {
    items: Vec<(HomeTimelineItem, ItemLengths)>,
    end: HomeTimelineEnd,
    encoded_len: usize,
}

impl HomeTimelinePage {
    /// Puts a page together. The order of the items is kept.
    #[must_use]
    pub fn new(items: Vec<HomeTimelineItem>, end: HomeTimelineEnd) -> Self {
        let items: Vec<_> = items
            .into_iter()
            .map(|item| {
                let lengths = ItemLengths::of(&item);
                (item, lengths)
            })
            .collect();
        let items_len: usize = items
            .iter()
            .map(|(_, lengths)| delimited_len(page::ITEMS, lengths.item))
            .sum();
        let encoded_len = items_len + end.encoded_len();
        Self {
            items,
            end,
            encoded_len,
        }
    }

    /// The items, in the order of the page.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &HomeTimelineItem> {
        self.items.iter().map(|(item, _)| item)
    }

    /// Everything but the items.
    #[must_use]
    pub fn end(&self) -> &HomeTimelineEnd {
        &self.end
    }
}

/// Encoded lengths, in bytes, of an item and of what it nests. Protobuf writes a length in front of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ItemLengths {
    item: usize,
    post: usize,
    counts: usize,
    viewer: usize,
}

impl ItemLengths {
    fn of(item: &HomeTimelineItem) -> Self {
        let counts = item.counts.encoded_len();
        let viewer = item.viewer.as_ref().map_or(0, Message::encoded_len);
        let mut post = item.post.len() + delimited_len(post::AUTHOR, item.author.len());
        post += delimited_len(post::COUNTS, counts);
        if item.viewer.is_some() {
            post += delimited_len(post::VIEWER, viewer);
        }
        let item = delimited_len(item::POST, post) + enum_len(item::REASON, item.reason as i32);
        Self {
            item,
            post,
            counts,
            viewer,
        }
    }
}

impl HomeTimelineItem {
    fn encode(&self, lengths: ItemLengths, buf: &mut impl BufMut) {
        encode_delimiter(page::ITEMS, lengths.item, buf);
        encode_delimiter(item::POST, lengths.post, buf);
        buf.put_slice(&self.post);
        encode_delimiter(post::AUTHOR, self.author.len(), buf);
        buf.put_slice(&self.author);
        encode_delimiter(post::COUNTS, lengths.counts, buf);
        self.counts.encode_raw(buf);
        if let Some(viewer) = &self.viewer {
            encode_delimiter(post::VIEWER, lengths.viewer, buf);
            viewer.encode_raw(buf);
        }
        encode_enum(item::REASON, self.reason as i32, buf);
    }
}

impl HomeTimelineEnd {
    fn encoded_len(&self) -> usize {
        string_len(page::NEXT_PAGE_TOKEN, &self.next_page_token)
            + string_len(page::HEAD_CURSOR, &self.head_cursor)
            + enum_len(page::COMPLETENESS, self.completeness as i32)
            + if self.reset { key_len(page::RESET) + 1 } else { 0 }
    }

    fn encode(&self, buf: &mut impl BufMut) {
        encode_string(page::NEXT_PAGE_TOKEN, &self.next_page_token, buf);
        encode_string(page::HEAD_CURSOR, &self.head_cursor, buf);
        encode_enum(page::COMPLETENESS, self.completeness as i32, buf);
        if self.reset {
            prost::encoding::bool::encode(page::RESET, &self.reset, buf);
        }
    }
}

/// Encoding only: a page holds parts of posts, which cannot be had back from the wire. Decode a
/// `v1::GetHomeTimelineResponse` instead.
impl Message for HomeTimelinePage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for (item, lengths) in &self.items {
            item.encode(*lengths, buf);
        }
        self.end.encode(buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        _wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        // An error of prost's has no public constructor; a group's end without its start always is one.
        skip_field(WireType::EndGroup, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Length of a nested field with its key and length, in bytes.
fn delimited_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

fn encode_delimiter(tag: u32, len: usize, buf: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(len as u64, buf);
}

// As everywhere in proto3, a field that has its default value is not written.

fn string_len(tag: u32, value: &String) -> usize {
    if value.is_empty() {
        0
    } else {
        string::encoded_len(tag, value)
    }
}

fn encode_string(tag: u32, value: &String, buf: &mut impl BufMut) {
    if !value.is_empty() {
        string::encode(tag, value, buf);
    }
}

fn enum_len(tag: u32, value: i32) -> usize {
    if value == 0 { 0 } else { int32::encoded_len(tag, &value) }
}

fn encode_enum(tag: u32, value: i32, buf: &mut impl BufMut) {
    if value != 0 {
        int32::encode(tag, &value, buf);
    }
}
