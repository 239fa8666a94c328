//! Rows that end by themselves: request keys, events that ended, dead sessions.

use social_core::auth::Session;
use social_core::error::Reason;
use social_core::fanout::State;
use social_core::{EventId, Result, SessionId};

use super::events;
use super::keys::{self, Expiring, Key};
use super::rows::RequestRow;
use super::tables::Table;
use super::tx::Tx;

/// Removes up to `limit` rows whose time has come; answers how many.
pub(super) fn expire(tx: &mut Tx<'_>, limit: usize) -> Result<usize> {
    let past = tx.now().unix_ms() + 1;
    let (first, last) = (Key::from([]), Key::from(past.to_be_bytes()));
    let mut removed = 0;
    while removed < limit {
        let due = tx.range(Table::Expiry, &first, &last, limit - removed)?;
        if due.is_empty() {
            break;
        }
        for (key, _) in due {
            removed += usize::from(expire_one(tx, key)?);
        }
    }
    Ok(removed)
}

/// Looks at one row of the index; whether what it points to was removed. A row that was renewed since then stays.
fn expire_one(tx: &mut Tx<'_>, key: Key) -> Result<bool> {
    let what = keys::parse_expiry(&key);
    tx.delete(Table::Expiry, key);
    let removed = match what {
        Some(Expiring::Request(request)) => expire_request(tx, request),
        Some(Expiring::Event(event)) => expire_event(tx, event),
        Some(Expiring::Session(session)) => expire_session(tx, session),
        None => Ok(false),
    };
    match removed {
        // One row that cannot be read must not keep all others from ending; it stays, and is in the log.
        Err(error) if error.reason == Reason::Internal => Ok(false),
        removed => removed,
    }
}

fn expire_request(tx: &mut Tx<'_>, request: [u8; 16]) -> Result<bool> {
    let key = Key::from(request);
    let row: Option<RequestRow> = tx.row(Table::Requests, &key)?;
    // Used again after its time: that use has a row of its own in the index.
    let ended = row.is_some_and(|row| row.is_past(tx.now()));
    if ended {
        tx.delete(Table::Requests, key);
    }
    Ok(ended)
}

fn expire_event(tx: &mut Tx<'_>, id: EventId) -> Result<bool> {
    let ended = events::load(tx, id)?.is_some_and(|event| event.state == State::Done);
    if ended {
        tx.delete(Table::Events, keys::id(id.0));
    }
    Ok(ended)
}

fn expire_session(tx: &mut Tx<'_>, id: SessionId) -> Result<bool> {
    let Some(session) = tx.row::<Session>(Table::Sessions, &keys::id(id.0))? else {
        return Ok(false);
    };
    if session.is_live(tx.now()) {
        // Refreshed since: looked at again when it ends now.
        tx.expire_at(session.expires_at(), Expiring::Session(id));
        return Ok(false);
    }
    tx.delete(Table::Sessions, keys::id(id.0));
    tx.delete(Table::UserSessions, keys::user_session(session.user, id));
    Ok(true)
}
