//! Whole platforms as records. A page is read from one snapshot; a batch is one commit, with the progress.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use fjall::UserValue;
use social_core::archive::{self, Batch, EdgeRecord, Part, Person, Progress, Record, Restored};
use social_core::backend::{ArchiveStore, ExportStart, Exported};
use social_core::comments::Comment;
use social_core::graph::EdgeKind;
use social_core::likes::Like;
use social_core::posts::{Post, Revision};
use social_core::users::User;
use social_core::{PostId, Result, UserId};

use super::accounts;
use super::comments;
use super::effects::Effect;
use super::events::POLICY_ROW;
use super::graph;
use super::keys::{self, Key};
use super::likes;
use super::posts;
use super::rows::{self, Row};
use super::tables::Table;
use super::truth::{Truth, View};
use super::tx::Tx;

/// The row of table `meta` that says how far an archive has come that was brought in.
const ARCHIVE_ROW: &[u8] = b"archive";
/// Bytes of rows after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

#[async_trait]
impl ArchiveStore for Truth {
    async fn begin_export(&self) -> Result<ExportStart> {
        Ok(ExportStart {
            source: "embedded",
            bound: self.caches.events().horizon().visible.0 + 1,
        })
    }

    async fn export(&self, part: Part, after: Option<&[u8]>, limit: usize) -> Result<Exported> {
        let view = self.snapshot();
        let Some(table) = table_of(part) else {
            let records = vec![Record::Policy(self.caches.policy())];
            return Ok(Exported { records, next: None });
        };
        let mut page = Exported::default();
        let mut bytes = 0;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        for row in view.behind(table, after) {
            let (key, value) = row?;
            bytes += value.len();
            page.records.push(record(&view, part, &key, &value)?);
            if page.records.len() >= limit || bytes >= PAGE_BYTES {
                page.next = Some(key.to_vec());
                break;
            }
        }
        Ok(page)
    }

    async fn archive(&self) -> Result<Option<Progress>> {
        self.row(Table::Meta, &Key::from(ARCHIVE_ROW))
    }

    async fn restore(&self, batch: Batch) -> Result<Restored> {
        self.writer.run(move |tx| restore_batch(tx, batch)).await
    }
}

/// The table whose rows are the records of a part; the policy is a row by itself.
fn table_of(part: Part) -> Option<Table> {
    match part {
        Part::Policy => None,
        Part::Users => Some(Table::Users),
        Part::Posts => Some(Table::Posts),
        Part::Revisions => Some(Table::Revisions),
        Part::Comments => Some(Table::Comments),
        Part::Likes => Some(Table::Likes),
        Part::Edges => Some(Table::Edges),
    }
}

fn record(view: &View<'_>, part: Part, key: &[u8], value: &UserValue) -> Result<Record> {
    Ok(match part {
        Part::Policy => Record::Policy(decode(Table::Meta, value)?),
        Part::Users => person(view, decode(Table::Users, value)?)?,
        Part::Posts => Record::Post(Arc::new(decode::<Post>(Table::Posts, value)?)),
        Part::Revisions => Record::Revision {
            post: PostId(first(key)),
            revision: decode::<Revision>(Table::Revisions, value)?,
        },
        Part::Comments => Record::Comment(decode(Table::Comments, value)?),
        Part::Likes => Record::Like(Like {
            post: PostId(first(key)),
            user: UserId(keys::last(key)),
            since: number(Table::Likes, value)?,
        }),
        Part::Edges => Record::Edge(edge(key, value)?),
    })
}

fn person(view: &View<'_>, user: User) -> Result<Record> {
    let key = keys::id(user.id.0);
    let account = view.row(Table::Accounts, &key)?;
    Ok(Record::User(Box::new(Person {
        account: account.ok_or_else(|| rows::Unreadable::Corrupt.report(Table::Accounts.name()))?,
        marker: view.row(Table::Markers, &key)?.unwrap_or_default(),
        user,
    })))
}

fn edge(key: &[u8], value: &[u8]) -> Result<EdgeRecord> {
    let broken = || rows::Unreadable::Corrupt.report(Table::Edges.name());
    let (kind, ends) = key.split_first().ok_or_else(broken)?;
    Ok(EdgeRecord {
        kind: keys::edge_kind(*kind).ok_or_else(broken)?,
        from: UserId(first(ends)),
        to: UserId(keys::last(ends)),
        since: number(Table::Edges, value)?,
    })
}

fn decode<T: Row>(table: Table, value: &[u8]) -> Result<T> {
    rows::decode(value).map_err(|error| error.report(table.name()))
}

fn number(table: Table, value: &[u8]) -> Result<u64> {
    rows::decode_u64(value).map_err(|error| error.report(table.name()))
}

/// The number that a key begins with.
fn first(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn restore_batch(tx: &mut Tx<'_>, batch: Batch) -> Result<Restored> {
    let key = Key::from(ARCHIVE_ROW);
    let mut progress = match tx.row(Table::Meta, &key)? {
        Some(progress) => progress,
        None => begin(tx, &batch)?,
    };
    let skipped = progress.skip(&batch)?;
    progress.note(&batch, tx.now());
    for record in batch.records.into_iter().skip(skipped).flatten() {
        let name = record.name();
        if !restore(tx, record)? {
            return Err(archive::conflict(name));
        }
    }
    tx.put_row(Table::Meta, key, &progress)?;
    Ok(Restored {
        progress,
        skipped: skipped as u64,
    })
}

/// An archive of which nothing is stored. Ids go on above it.
fn begin(tx: &mut Tx<'_>, batch: &Batch) -> Result<Progress> {
    let (low, high) = keys::bounds(&[], 0, u64::MAX);
    if !tx.range(Table::Users, &low, &high, 1)?.is_empty() {
        return Err(archive::not_empty());
    }
    tx.raise_ids(batch.header.bound.saturating_sub(1));
    Ok(Progress::new(batch.header.clone(), tx.now()))
}

/// Stores a record, or finds it stored; whether another one is in its place.
fn restore(tx: &mut Tx<'_>, record: Record) -> Result<bool> {
    match record {
        Record::Policy(policy) => {
            tx.put_row(Table::Meta, Key::from(POLICY_ROW), &policy)?;
            tx.effect(Effect::Policy(policy));
            Ok(true)
        }
        Record::User(person) => restore_person(tx, *person),
        Record::Post(post) => restore_post(tx, &post),
        Record::Revision { post, revision } => {
            let key = keys::pair(post.0, u64::from(revision.number));
            restore_row(tx, Table::Revisions, key, &revision)
        }
        Record::Comment(comment) => restore_comment(tx, comment),
        Record::Like(like) => match tx.number(Table::Likes, &keys::pair(like.post.0, like.user.0))? {
            Some(since) => Ok(since == like.since),
            None => likes::add(tx, like).map(|()| true),
        },
        Record::Edge(edge) => restore_edge(tx, edge),
    }
}

fn restore_row<T: Row + PartialEq>(tx: &mut Tx<'_>, table: Table, key: Key, row: &T) -> Result<bool> {
    match tx.row::<T>(table, &key)? {
        Some(there) => Ok(there == *row),
        None => tx.put_row(table, key, row).map(|()| true),
    }
}

fn restore_person(tx: &mut Tx<'_>, person: Person) -> Result<bool> {
    let Person { user, account, marker } = person;
    if let Some(owner) = accounts::owner(tx, &user.handle)?
        && owner != user.id
    {
        return Err(archive::conflict(format!("handle {}", user.handle)));
    }
    let key = keys::id(user.id.0);
    if let Some(there) = tx.row::<User>(Table::Users, &key)? {
        return Ok(there == user);
    }
    if marker.version > 0 {
        tx.put_row(Table::Markers, key, &marker)?;
    }
    accounts::insert(tx, user, &account).map(|_| true)
}

fn restore_post(tx: &mut Tx<'_>, post: &Post) -> Result<bool> {
    match posts::load(tx, post.id)? {
        Some(there) => Ok(there == *post),
        None => posts::insert(tx, post.clone()).map(|_| true),
    }
}

fn restore_comment(tx: &mut Tx<'_>, comment: Comment) -> Result<bool> {
    match tx.row::<Comment>(Table::Comments, &keys::id(comment.id.0))? {
        Some(there) => {
            let replies = there.replies;
            Ok(there == Comment { replies, ..comment })
        }
        None => comments::insert(tx, comment).map(|()| true),
    }
}

fn restore_edge(tx: &mut Tx<'_>, edge: EdgeRecord) -> Result<bool> {
    let EdgeRecord { kind, from, to, since } = edge;
    if let Some(there) = tx.number(Table::Edges, &keys::edge(kind, from, to.0))? {
        return Ok(there == since);
    }
    match kind {
        EdgeKind::Follow if graph::is_blocked(tx, from, to)? => return Ok(true),
        EdgeKind::Block => graph::end_follows(tx, from, to)?,
        EdgeKind::Follow | EdgeKind::Mute => {}
    }
    graph::insert(tx, kind, from, to, since).map(|()| true)
}
