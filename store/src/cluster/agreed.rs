//! What all processes of a cluster must go by alike.
//!
//! A sweep looks behind by the slack that it knows, and so relies on every process giving up what took longer to file. The present figures are a
//! document; who starts with others is refused while any process goes by them.

use serde::{Deserialize, Serialize};

use super::Error;
use super::db::Db;
use super::docs::{Docs, Put};
use super::events::Timing;
use super::ids::Ids;
use super::nodes::Lease;
use crate::rows::Row;

/// The settings document of it.
const AGREED: u64 = 3;
/// How often it is tried when others start at the same time.
const ATTEMPTS: usize = 8;

/// Figures of [`Timing`] that others rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Agreed {
    filing_ms: u64,
    slack_ms: u64,
}

impl Row for Agreed {}

impl From<Timing> for Agreed {
    fn from(timing: Timing) -> Self {
        Self {
            filing_ms: timing.filing.as_millis() as u64,
            slack_ms: timing.slack.as_millis() as u64,
        }
    }
}

/// Makes sure that every process that runs goes by the same figures as this one, which holds its lease. Refuses to start where not.
pub(super) async fn agree(db: &Db, lease: &Lease, ids: &Ids, timing: Timing) -> Result<(), Error> {
    let (docs, ours) = (Docs::prepare(db, "settings").await?, Agreed::from(timing));
    for _ in 0..ATTEMPTS {
        let stored = docs.get::<Agreed>(db, AGREED).await?;
        let theirs = stored.as_ref().map(|doc| doc.row);
        if theirs == Some(ours) {
            return Ok(());
        }
        if let Some(theirs) = theirs
            && lease.has_others().await?
        {
            return Err(refusal(theirs, ours));
        }
        let event = ids.mint().await?;
        let put = docs.put(db, AGREED, stored.as_ref(), event, &ours).await?;
        if put == Put::Lost {
            continue;
        }
        // Who started in between wrote its lease first and then read the figures: perhaps those of before.
        return match theirs {
            Some(theirs) if lease.has_others().await? => {
                let event = ids.mint().await?;
                if let Some(doc) = docs.get::<Agreed>(db, AGREED).await? {
                    docs.replace(db, AGREED, &doc, event, &theirs).await?;
                }
                Err(refusal(theirs, ours))
            }
            _ => Ok(()),
        };
    }
    Err(social_core::Error::unavailable().into())
}

fn refusal(theirs: Agreed, ours: Agreed) -> Error {
    let told = |of: Agreed| format!("filing {} ms, slack {} ms", of.filing_ms, of.slack_ms);
    Error::Disagree {
        theirs: told(theirs),
        ours: told(ours),
    }
}
