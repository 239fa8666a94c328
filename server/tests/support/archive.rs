//! Platforms in archives: taken, cut short, resumed, brought in.

use prost::Message as _;
use social_core::fanout::Policy;
use social_core::{Backend, Time, archive};
use social_proto::v1;
use social_proto::v1::archive_record::Record;

use super::{Failure, Line};

/// Records of one message.
const BATCH: usize = 100;

/// The archive of [`begun`].
pub const BEGUN: &str = "6f1c2b1e-7c0a-4d3e-9f51-2f3f5f0a9f10";

/// The first message of an archive: the policy as it is anyway.
pub fn begun() -> v1::ImportArchiveRequest {
    let policy = v1::ArchivePolicy {
        mode: v1::FanoutMode::Hybrid.into(),
        celebrity_threshold: 10_000,
        version: 1,
        update_time: None,
    };
    v1::ImportArchiveRequest {
        import_id: BEGUN.to_owned(),
        offset: 0,
        records: vec![v1::ArchiveRecord {
            record: Some(Record::Policy(policy)),
        }],
        header: Some(v1::ArchiveHeader {
            archive_id: BEGUN.to_owned(),
            format: 1,
            source: "embedded".to_owned(),
            bound_id: "0000000000001".to_owned(),
            create_time: Some(prost_types::Timestamp::default()),
        }),
        last: false,
    }
}

/// Begins the import of [`begun`], which must be before anybody is there.
pub async fn begin(backend: &Backend) {
    let header = archive::Header {
        archive: BEGUN.parse().unwrap(),
        format: 1,
        source: "embedded".to_owned(),
        bound: 1,
        created_at: Time::default(),
    };
    let batch = archive::Batch {
        header,
        offset: 0,
        records: vec![Some(archive::Record::Policy(Policy::default()))],
        last: false,
    };
    archive::restore(backend, batch).await.unwrap();
}

/// A platform as its operator sees it.
#[derive(Clone)]
pub struct Desk {
    pub admin: Line,
    pub token: String,
}

/// A whole archive.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    pub header: Option<v1::ArchiveHeader>,
    pub records: Vec<v1::ArchiveRecord>,
}

/// Ids of what is in an archive.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    pub users: Vec<String>,
    pub handles: Vec<String>,
    pub posts: Vec<String>,
    /// With the post of each.
    pub comments: Vec<(String, String)>,
}

impl Archive {
    pub fn ids(&self) -> Ids {
        let mut ids = Ids::default();
        for record in self.records.iter().flat_map(|record| &record.record) {
            match record {
                Record::User(user) => {
                    ids.users.push(user.id.clone());
                    ids.handles.push(user.handle.clone());
                }
                Record::Post(post) => ids.posts.push(post.id.clone()),
                Record::Comment(comment) => ids.comments.push((comment.id.clone(), comment.post_id.clone())),
                _ => {}
            }
        }
        ids
    }

    /// Its records in an order that does not depend on where it was taken.
    pub fn sorted(&self) -> Vec<Vec<u8>> {
        let mut records: Vec<_> = self.records.iter().map(|record| record.encode_to_vec()).collect();
        records.sort();
        records
    }

    fn message(&self, from: usize, to: usize) -> v1::ImportArchiveRequest {
        let header = self.header.clone().unwrap();
        v1::ImportArchiveRequest {
            import_id: header.archive_id.clone(),
            offset: from as i64,
            records: self.records[from..to].to_vec(),
            header: Some(header),
            last: to == self.records.len(),
        }
    }
}

impl Desk {
    /// Takes an archive. The connection is given up behind each `cut` messages, and the export goes on from the last position; what
    /// was read behind that is read again.
    pub async fn export(&self, cut: usize) -> Archive {
        let mut archive = Archive::default();
        let mut position = Vec::new();
        let (mut streams, mut ended) = (0, false);
        while !ended {
            streams += 1;
            let request = v1::StreamArchiveRequest {
                position: position.clone(),
            };
            let path = "/social.v1.AdminService/StreamArchive";
            let messages = vec![request.encode_to_vec()];
            let mut stream = self.admin.open(path, Some(&self.token), messages).await.unwrap();
            let mut held = Vec::new();
            for _ in 0..cut {
                let bytes = stream.message().await.unwrap().unwrap();
                assert!(bytes.len() <= 1 << 20);
                let message = v1::StreamArchiveResponse::decode(bytes.as_slice()).unwrap();
                if let Some(header) = message.header {
                    // The archive is the same one, however often it was resumed.
                    assert_eq!(*archive.header.get_or_insert(header.clone()), header);
                }
                let Some(stretch) = message.stretch else { continue };
                assert_eq!(stretch.offset as usize, archive.records.len() + held.len());
                held.extend(stretch.records);
                if !stretch.position.is_empty() {
                    position = stretch.position;
                    archive.records.append(&mut held);
                }
                if message.last {
                    ended = true;
                    break;
                }
            }
        }
        println!("exported {} records over {streams} streams", archive.records.len());
        archive
    }

    /// Brings an archive in. The stream is cut short in the middle of it, and the import goes on where the server says.
    pub async fn import(&self, archive: &Archive) -> v1::ArchiveImport {
        let half = archive.records.len() / 2;
        let begun = self.send(archive, 0, half).await.unwrap().progress.unwrap();
        assert!(!begun.complete && begun.next_offset as usize == half);
        let progress = self.progress(archive).await.unwrap();
        assert_eq!(progress, begun);
        // From a little before: what is there is passed over.
        let from = half.saturating_sub(BATCH / 2);
        let answer = self.send(archive, from, archive.records.len()).await.unwrap();
        assert_eq!(answer.skipped as usize, half - from);
        let progress = answer.progress.unwrap();
        assert!(progress.complete && progress.next_offset as usize == archive.records.len());
        progress
    }

    pub async fn send(&self, archive: &Archive, from: usize, to: usize) -> Result<v1::ImportArchiveResponse, Failure> {
        let begins = (from..to).step_by(BATCH);
        let messages = begins.map(|begin| archive.message(begin, (begin + BATCH).min(to)).encode_to_vec());
        let path = "/social.v1.AdminService/ImportArchive";
        let answer = self.admin.raw(path, Some(&self.token), messages.collect()).await?;
        Ok(v1::ImportArchiveResponse::decode(answer.as_slice()).unwrap())
    }

    pub async fn progress(&self, archive: &Archive) -> Result<v1::ArchiveImport, Failure> {
        let request = v1::GetArchiveImportRequest {
            import_id: archive.header.clone().unwrap().archive_id,
        };
        let answer: v1::GetArchiveImportResponse = self
            .admin
            .call("AdminService/GetArchiveImport", Some(&self.token), &request)
            .await?;
        Ok(answer.progress.unwrap())
    }
}
