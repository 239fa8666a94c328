//! Whole platforms as records.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::archive::{self, Batch, EdgeRecord, Part, Person, Progress, Record, Restored};
use social_core::backend::{ArchiveStore, ExportStart, Exported};
use social_core::comments::Comment;
use social_core::graph::EdgeKind;
use social_core::likes::Like;
use social_core::posts::{Post, Revision};
use social_core::{PostId, Result, UserId, id};

use super::{Memory, Rows};

#[async_trait]
impl ArchiveStore for Memory {
    async fn begin_export(&self) -> Result<ExportStart> {
        Ok(ExportStart {
            source: "memory",
            bound: self.rows().last_id + 1,
        })
    }

    async fn export(&self, part: Part, after: Option<&[u8]>, limit: usize) -> Result<Exported> {
        let rows = self.rows();
        let keyed = rows.part(part);
        let behind = keyed
            .into_iter()
            .filter(|(key, _)| after.is_none_or(|after| &key[..] > after));
        let mut page: Vec<(Vec<u8>, Record)> = behind.collect();
        page.sort_by(|one, other| one.0.cmp(&other.0));
        let is_all = page.len() <= limit;
        page.truncate(limit);
        let next = page.last().filter(|_| !is_all).map(|(key, _)| key.clone());
        Ok(Exported {
            records: page.into_iter().map(|(_, record)| record).collect(),
            next,
        })
    }

    async fn archive(&self) -> Result<Option<Progress>> {
        Ok(self.rows().archive.clone())
    }

    async fn restore(&self, batch: Batch) -> Result<Restored> {
        let mut rows = self.rows();
        let mut progress = rows.open_archive(&batch)?;
        let skipped = progress.skip(&batch)?;
        for record in batch.records.iter().skip(skipped).flatten() {
            rows.check_record(record)?;
            rows.restore(record.clone());
        }
        progress.note(&batch, rows.now());
        rows.archive = Some(progress.clone());
        Ok(Restored {
            progress,
            skipped: skipped as u64,
        })
    }
}

fn key(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

impl Rows {
    /// The records of a part, by key.
    fn part(&self, part: Part) -> Vec<(Vec<u8>, Record)> {
        match part {
            Part::Policy => vec![(key(&[0]), Record::Policy(self.policy))],
            Part::Users => self
                .users
                .keys()
                .filter_map(|id| Some((key(&[id.0]), self.person(*id)?)))
                .collect(),
            Part::Posts => {
                let posts = self.posts.values();
                posts
                    .map(|post| (key(&[post.id.0]), Record::Post(Arc::clone(post))))
                    .collect()
            }
            Part::Revisions => {
                let record = |(&(post, number), revision): (&(PostId, u64), &Revision)| {
                    let revision = revision.clone();
                    (key(&[post.0, number]), Record::Revision { post, revision })
                };
                self.revisions.iter().map(record).collect()
            }
            Part::Comments => {
                let comments = self.comments.values();
                comments
                    .map(|comment| (key(&[comment.id.0]), Record::Comment(comment.clone())))
                    .collect()
            }
            Part::Likes => {
                let likes = self.likes.iter();
                likes
                    .map(|(&(user, post), &since)| (key(&[user.0, post.0]), Record::Like(Like { user, post, since })))
                    .collect()
            }
            Part::Edges => self.edge_records(),
        }
    }

    fn person(&self, id: UserId) -> Option<Record> {
        Some(Record::User(Box::new(Person {
            user: self.users.get(&id)?.as_ref().clone(),
            account: self.accounts.get(&id)?.clone(),
            marker: self.markers.get(&id).copied().unwrap_or_default(),
        })))
    }

    fn edge_records(&self) -> Vec<(Vec<u8>, Record)> {
        let kinds = [EdgeKind::Follow, EdgeKind::Block, EdgeKind::Mute].into_iter().zip(1..);
        let records = kinds.flat_map(|(kind, number)| {
            let edges = self.graph.edges(kind).all();
            edges.map(move |(from, to, since)| {
                let edge = EdgeRecord { kind, from, to, since };
                (key(&[number, from.0, to.0]), Record::Edge(edge))
            })
        });
        records.collect()
    }

    /// How far the batch's archive has come, or a new one where the platform is empty.
    fn open_archive(&mut self, batch: &Batch) -> Result<Progress> {
        if let Some(progress) = &self.archive {
            return Ok(progress.clone());
        }
        if !self.users.is_empty() {
            return Err(archive::not_empty());
        }
        let floor = batch.header.bound.saturating_sub(1);
        self.ids.raise(floor);
        self.last_id = self.last_id.max(floor);
        Ok(Progress::new(batch.header.clone(), self.now()))
    }

    /// ARCHIVE_CONFLICT where another row is in the record's place.
    fn check_record(&self, record: &Record) -> Result<()> {
        let is_free = match record {
            Record::Policy(_) => true,
            Record::User(person) => {
                let (id, handle) = (person.user.id, &person.user.handle);
                if self.handles.get(handle).is_some_and(|owner| *owner != id) {
                    return Err(archive::conflict(format!("handle {handle}")));
                }
                self.users.get(&id).is_none_or(|user| **user == person.user)
            }
            Record::Post(post) => self.posts.get(&post.id).is_none_or(|there| there == post),
            Record::Revision { post, revision } => self
                .revisions
                .get(&(*post, u64::from(revision.number)))
                .is_none_or(|there| there == revision),
            Record::Comment(comment) => {
                let there = self.comments.get(&comment.id);
                there.is_none_or(|there| without_replies(there) == without_replies(comment))
            }
            Record::Like(like) => {
                let there = self.likes.get(&(like.user, like.post));
                there.is_none_or(|since| *since == like.since)
            }
            Record::Edge(edge) => {
                let there = self.graph.edges(edge.kind).since(edge.from, edge.to);
                there.is_none_or(|since| since == edge.since)
            }
        };
        if is_free {
            Ok(())
        } else {
            Err(archive::conflict(record.name()))
        }
    }

    fn restore(&mut self, record: Record) {
        match record {
            Record::Policy(policy) => self.policy = policy,
            Record::User(person) => self.restore_person(*person),
            Record::Post(post) => self.restore_post(post),
            Record::Revision { post, revision } => {
                self.revisions.insert((post, u64::from(revision.number)), revision);
            }
            Record::Comment(comment) => {
                self.comments.insert(comment.id, without_replies(&comment));
            }
            Record::Like(like) => {
                self.likes.insert((like.user, like.post), like.since);
            }
            Record::Edge(edge) => self.restore_edge(edge),
        }
    }

    fn restore_person(&mut self, person: Person) {
        let Person { user, account, marker } = person;
        self.handles.insert(user.handle.clone(), user.id);
        self.accounts.insert(user.id, account);
        self.markers.insert(user.id, marker);
        self.users.insert(user.id, Arc::new(user));
    }

    fn restore_post(&mut self, post: Arc<Post>) {
        if let Some((base, given)) = id::import_given(post.id.0) {
            self.past_posts.note(base, given);
        }
        self.posts.insert(post.id, post);
    }

    fn restore_edge(&mut self, edge: EdgeRecord) {
        let EdgeRecord { kind, from, to, since } = edge;
        if let Some((base, given)) = id::import_given(since) {
            self.past_follows.note(base, given);
        }
        let (is_blocked, graph) = (self.graph.is_blocked(from, to), &mut self.graph);
        match kind {
            EdgeKind::Follow if is_blocked => return,
            EdgeKind::Block => graph.end_follows(from, to),
            EdgeKind::Follow | EdgeKind::Mute => {}
        }
        graph.edges_mut(kind).add(from, to, since);
    }
}

fn without_replies(comment: &Comment) -> Comment {
    Comment {
        replies: 0,
        ..comment.clone()
    }
}
