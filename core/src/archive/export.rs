//! Taking an archive of a platform while it serves.
//!
//! Each record is as it was read, at some moment after the export began. What came into being since then is left out by its id, and so is what
//! points to such a thing: no record of an archive points to one that is not in it.

use uuid::Uuid;

use super::position::Position;
use super::{FORMAT, Header, Part, Record};
use crate::backend::{Backend, ExportStart};
use crate::error::Result;
use crate::id::PostId;

/// An export under way.
pub struct Export {
    backend: Backend,
    position: Position,
}

/// Consecutive records of an archive.
#[derive(Debug, Clone)]
pub struct ExportPage {
    /// Index of the first one in the whole archive.
    pub offset: u64,
    /// The records; may be none, and more follow.
    pub records: Vec<Record>,
    /// Where to resume behind them.
    pub position: Vec<u8>,
    /// Whether the archive ends here.
    pub last: bool,
}

impl Export {
    /// Begins an export, which may wait some seconds until everything that was acknowledged before is sure to be in it.
    pub async fn begin(backend: Backend) -> Result<Self> {
        let created_at = backend.clock.now();
        let ExportStart { source, bound } = backend.store.begin_export().await?;
        let header = Header {
            archive: Uuid::new_v4(),
            format: FORMAT,
            source: source.to_owned(),
            bound,
            created_at,
        };
        let position = Position {
            header,
            offset: 0,
            part: Some(Part::Policy),
            after: None,
        };
        Ok(Self { backend, position })
    }

    /// Goes on with an export of this platform that was cut short. INVALID_FIELD `position`.
    pub fn resume(backend: Backend, position: &[u8]) -> Result<Self> {
        let position = Position::read(position)?;
        Ok(Self { backend, position })
    }

    /// What the archive is.
    pub fn header(&self) -> &Header {
        &self.position.header
    }

    /// Whether everything was taken: nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.position.part.is_none()
    }

    /// The next records; `None` behind the last ones. After an error it can be asked again.
    pub async fn next(&mut self) -> Result<Option<ExportPage>> {
        let Some(part) = self.position.part else {
            return Ok(None);
        };
        let after = self.position.after.as_deref();
        let exported = self.backend.store.export(part, after, part.page_rows()).await?;
        let bound = self.position.header.bound;
        let mut records = exported.records;
        records.retain(|record| record.newest_id() < bound);
        for record in &mut records {
            if let Record::User(person) = record {
                // What was read after the export began is not in it.
                let newest = PostId(bound.saturating_sub(1));
                person.marker.last_read = person.marker.last_read.map(|post| post.min(newest));
            }
        }
        let offset = self.position.offset;
        self.position.offset += records.len() as u64;
        self.position.part = match &exported.next {
            Some(_) => Some(part),
            None => part.next(),
        };
        self.position.after = exported.next;
        Ok(Some(ExportPage {
            offset,
            records,
            position: self.position.write(),
            last: self.position.part.is_none(),
        }))
    }
}
