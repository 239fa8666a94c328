//! Storing the records of an archive.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use social_core::archive::{self, Batch, EdgeRecord, Progress, Record, Restored};
use social_core::fanout::Mode;
use social_core::{Error, PostId, Result, UserId, id};

use super::{ARCHIVE, AT_ONCE};
use crate::cluster::comments::Places as CommentPlaces;
use crate::cluster::docs::{Doc, Put};
use crate::cluster::graph::{Buckets, EdgeSet, Ends};
use crate::cluster::likes::LikeRow;
use crate::cluster::posts::{Places as PostPlaces, PostRow};
use crate::cluster::truth::Truth;
use crate::rows::Row;

/// How often a batch is begun anew when another process brings the same archive on.
const ATTEMPTS: usize = 32;

/// An archive as it is being stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Restoring {
    pub(super) progress: Progress,
    /// What records of the batch under way are written under, from the progress's next offset on.
    placed: Vec<Placed>,
}

impl Row for Restoring {}

/// What the rows of a record are written under.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Placed {
    places: Places,
    /// The write timestamp.
    stamp: i64,
}

/// The buckets of lists that a record goes into. The order of the variants is part of the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Places {
    /// It is in no list.
    None,
    Post(PostPlaces),
    Comment(CommentPlaces),
    Like(LikeRow),
    Edge(Buckets),
}

/// A batch under way.
struct Run {
    stored: Option<Doc<Restoring>>,
    row: Restoring,
}

impl Truth {
    pub(super) async fn restore_batch(&self, batch: &Batch) -> Result<Restored> {
        for _ in 0..ATTEMPTS {
            let mut run = self.open_archive(batch).await?;
            let skipped = run.row.progress.skip(batch)?;
            let records = batch.records.get(skipped..).unwrap_or_default();
            if self.place_records(&mut run, records).await? == Put::Lost {
                continue;
            }
            self.store_records(&run.row, records).await?;
            run.row.progress.note(batch, self.now());
            run.row.placed.drain(..records.len());
            if self.save_archive(&mut run).await? == Put::Stored {
                return Ok(Restored {
                    progress: run.row.progress,
                    skipped: skipped as u64,
                });
            }
        }
        Err(Error::unavailable())
    }

    async fn open_archive(&self, batch: &Batch) -> Result<Run> {
        let stored: Option<Doc<Restoring>> = self.archives.settings.get(&self.db, ARCHIVE).await?;
        let row = match &stored {
            Some(doc) => doc.row.clone(),
            None => self.begin_archive(batch).await?,
        };
        Ok(Run { stored, row })
    }

    /// An archive of which nothing is stored. Ids of every process go on above it: those of this one at once, those of others once their clocks
    /// have come so far, which is waited for.
    async fn begin_archive(&self, batch: &Batch) -> Result<Restoring> {
        let any: Option<(i64,)> = self.db.row(&self.archives.statements.any_user, ()).await?;
        if any.is_some() {
            return Err(archive::not_empty());
        }
        let bound = batch.header.bound;
        self.ids.raise(bound.saturating_sub(1));
        // Also the next holder of this process's number begins above.
        self.ids.mint().await?;
        if !self.events.timing().slack.is_zero() {
            let ahead = id::minted_at(bound).plus(self.events.timing().skew()).since(self.now());
            tokio::time::sleep(ahead + Duration::from_millis(1)).await;
        }
        Ok(Restoring {
            progress: Progress::new(batch.header.clone(), self.now()),
            placed: Vec::new(),
        })
    }

    /// Notes what the records are written under, where that is not noted yet.
    async fn place_records(&self, run: &mut Run, records: &[Option<Record>]) -> Result<Put> {
        let new = records.get(run.row.placed.len()..).unwrap_or_default();
        if new.is_empty() {
            return Ok(Put::Stored);
        }
        let places = new.iter().map(|record| self.place_record(record.as_ref()));
        let places: Vec<(Places, i64)> = stream::iter(places.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let newest = places.iter().map(|(_, before)| *before).max();
        // One for all of them: they are written together.
        let stamp = self.ids.stamp_after(newest.unwrap_or(0));
        let placed = places.into_iter().map(|(places, _)| Placed { places, stamp });
        run.row.placed.extend(placed);
        self.save_archive(run).await
    }

    /// The lists that a record goes into, and the timestamp of the row in its place that it may replace. ARCHIVE_CONFLICT.
    async fn place_record(&self, record: Option<&Record>) -> Result<(Places, i64)> {
        let places = match record {
            None | Some(Record::Policy(_) | Record::User(_) | Record::Revision { .. }) => Places::None,
            Some(Record::Post(post)) => Places::Post(self.place_post(post.id, post.author, post.in_reply_to).await?),
            Some(Record::Comment(comment)) => {
                Places::Comment(self.place_comment(comment.id, comment.post, comment.parent).await?)
            }
            Some(Record::Like(like)) => Places::Like(self.new_like(like.user, like.post, like.since).await?),
            Some(Record::Edge(edge)) => {
                let ends = ends(edge);
                let before = self.edge(ends).await?;
                if before.is_some_and(|row| row.active && row.since != edge.since) {
                    return Err(archive::conflict(Record::Edge(*edge).name()));
                }
                let buckets = self.place_edge(ends, edge.since, before.as_ref()).await?;
                return Ok((Places::Edge(buckets), before.map_or(0, |row| row.stamp)));
            }
        };
        Ok((places, 0))
    }

    async fn store_records(&self, row: &Restoring, records: &[Option<Record>]) -> Result<()> {
        let stored = records.iter().zip(&row.placed).map(|(record, placed)| async move {
            match record {
                Some(record) => self.store_record(record, *placed).await,
                None => Ok(true),
            }
        });
        let stored: Vec<bool> = stream::iter(stored.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let in_conflict = records.iter().zip(stored).find(|(_, stored)| !stored);
        if let Some((Some(record), _)) = in_conflict {
            return Err(archive::conflict(record.name()));
        }
        self.store_edges(row, records).await?;
        self.note_past_records(records).await?;
        self.recount_after_records(records);
        Ok(())
    }

    /// Stores a record, or finds it stored; whether another one is in its place. Edges are stored together.
    async fn store_record(&self, record: &Record, placed: Placed) -> Result<bool> {
        let Placed { places, stamp } = placed;
        match (record, places) {
            (Record::Policy(policy), _) => self.restore_policy(*policy).await.map(|()| true),
            (Record::User(person), _) => self.restore_person(person, stamp).await,
            (Record::Post(post), Places::Post(places)) => {
                let row = PostRow {
                    post: Arc::clone(post),
                    places,
                    stamp,
                };
                self.restore_post(&row).await
            }
            (Record::Revision { post, revision }, _) => {
                let there = self.posts.revision(&self.db, *post, revision.number).await?;
                if there.is_some_and(|there| there != *revision) {
                    return Ok(false);
                }
                let put = self.posts.insert_revision(&self.db, *post, revision, stamp);
                put.await.map(|()| true)
            }
            (Record::Comment(comment), Places::Comment(places)) => {
                self.restore_comment(comment.clone(), places, stamp).await
            }
            (Record::Like(_), Places::Like(row)) => self.restore_like(row, stamp).await,
            (Record::Edge(_), _) => Ok(true),
            _ => Err(Error::internal()),
        }
    }

    async fn restore_post(&self, row: &PostRow) -> Result<bool> {
        let there = self.posts.first(&self.db, row.post.id).await?;
        if there.is_some_and(|there| there.row.post != row.post) {
            return Ok(false);
        }
        // Nobody fans it out: the mode says nothing.
        self.write_new_post(row, Mode::Push).await.map(|()| true)
    }

    async fn store_edges(&self, row: &Restoring, records: &[Option<Record>]) -> Result<()> {
        let edges = records.iter().zip(&row.placed).filter_map(|(record, placed)| {
            let (Some(Record::Edge(edge)), Places::Edge(buckets)) = (record, placed.places) else {
                return None;
            };
            Some((placed.stamp, EdgeSet::begin(ends(edge), edge.since, buckets)))
        });
        self.import_edges(edges).await
    }

    /// Sees to it that later imports of foreign data give no id that is in the archive.
    async fn note_past_records(&self, records: &[Option<Record>]) -> Result<()> {
        let (mut posts, mut follows) = (Vec::new(), Vec::new());
        for record in records.iter().flatten() {
            match record {
                Record::Post(post) => posts.push(post.id.0),
                Record::Edge(edge) => follows.push(edge.since),
                _ => {}
            }
        }
        self.note_past_ids(&posts, &follows).await
    }

    fn recount_after_records(&self, records: &[Option<Record>]) {
        let (mut posts, mut users) = (HashSet::<PostId>::new(), HashSet::<UserId>::new());
        for record in records.iter().flatten() {
            match record {
                Record::Post(post) => {
                    users.insert(post.author);
                    posts.extend(post.in_reply_to);
                }
                Record::Comment(comment) => drop(posts.insert(comment.post)),
                Record::Like(like) => drop(posts.insert(like.post)),
                _ => {}
            }
        }
        posts.into_iter().for_each(|post| self.moves.recount_post(post));
        users.into_iter().for_each(|user| self.moves.recount_user(user));
    }

    async fn save_archive(&self, run: &mut Run) -> Result<Put> {
        let event = self.ids.mint().await?;
        let docs = &self.archives.settings;
        docs.save(&self.db, ARCHIVE, &mut run.stored, event, &run.row).await
    }
}

fn ends(edge: &EdgeRecord) -> Ends {
    Ends {
        kind: edge.kind.into(),
        from: edge.from,
        to: edge.to,
    }
}
