//! Node numbers by lease, and the register of processes.
//!
//! Two live processes never share a node number. A process holds one by a row that it renews by compare-and-set; it stops minting when its
//! own clock, which counts suspension, says that the lease ran out, and others take the number over only a while later. The row also holds
//! a floor reserved ahead: who starts mints above the floors of all who ended, whatever the clocks did.
//!
//! A process whose clock differs from the store's keeps its number and does nothing: it mints no id, and the register shows it as [`PAUSED`], so that
//! others sweep its part of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::seq::IndexedRandom as _;
use social_core::id::{IMPORT_NODE, floor_at};
use social_core::{Clock, Result, Time};
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::Error;
use super::db::{Db, statements};
use super::ids::lease_lost;
use super::wall::{Wall, suspended_ms};

/// How long a lease lasts without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How often it is renewed, and how soon again after that failed.
const RENEW_EVERY: Duration = Duration::from_secs(3);
const RENEW_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long each step of a renewal may take, so that a lost answer leaves time for another attempt.
const RENEW_WITHIN: Duration = Duration::from_secs(2);
/// How long after its end others leave a lease alone: clocks may differ by a second, and a renewal may be under way.
const GRACE: Duration = Duration::from_secs(5);
/// How long the register may take before a sweep goes by what it said last.
const REGISTER_WITHIN: Duration = Duration::from_secs(2);
/// How far ahead ids are reserved.
const RESERVE: Duration = Duration::from_secs(8);

statements!(Statements {
    all: Read "SELECT node, holder, name, roles, started_at, expires_at, floor FROM nodes",
    own: Read "SELECT node FROM nodes WHERE node = ?",
    one: Serial "SELECT holder, expires_at, floor FROM nodes WHERE node = ?",
    insert: Conditional "INSERT INTO nodes (node, holder, name, roles, started_at, expires_at, floor) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS",
    take: Conditional "UPDATE nodes SET holder = ?, name = ?, roles = ?, started_at = ?, expires_at = ?, floor = ? WHERE node = ? IF holder = ? AND expires_at = ?",
    renew: Conditional "UPDATE nodes SET roles = ?, expires_at = ?, floor = ? WHERE node = ? IF holder = ? AND floor < ?",
    release: Conditional "UPDATE nodes SET holder = ?, roles = ?, expires_at = 0, floor = ? WHERE node = ? IF holder = ?",
});

/// The role of processes that drive events.
pub(super) const WORKER: &str = "worker";
/// Stands in the register for the roles of a process whose clock is wrong: it does nothing until it is right.
pub const PAUSED: &str = "paused";

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A name for operators, as in `api-1:4711`.
    pub name: String,
    /// What it does, as in `api,worker`.
    pub roles: String,
}

/// A process of the cluster, as the register shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its node number.
    pub(super) node: u16,
    /// Its name.
    pub(super) name: String,
    /// What it does: its roles, or [`PAUSED`].
    pub(super) roles: String,
    /// When it started.
    pub(super) started_at: Time,
    /// When its lease ends unless it is renewed.
    pub(super) expires_at: Time,
}

/// A leased node number.
pub(super) struct Lease {
    db: Arc<Db>,
    statements: Statements,
    clock: Clock,
    wall: Arc<Wall>,
    node: u16,
    holder: Uuid,
    roles: String,
    floor: u64,
    reserved: AtomicU64,
    /// On the clock that counts suspension, in milliseconds.
    valid_until: AtomicU64,
    /// One renewal at a time, so that what is stored is never below what was promised; what the last one asked to reserve.
    renewing: Mutex<u64>,
    /// The workers that lived when the register was read last.
    workers: parking_lot::Mutex<Option<Vec<u16>>>,
}

/// A row of the register: who holds a number, until when, and what is reserved of it.
type Row = (i16, Uuid, String, String, i64, i64, i64);

impl Lease {
    /// Leases a number: `fixed`, or any that is free.
    pub(super) async fn take(
        db: Arc<Db>,
        (clock, wall): (Clock, Arc<Wall>),
        identity: &Identity,
        fixed: Option<u16>,
    ) -> Result<Self, Error> {
        let statements = Statements::prepare(&db).await?;
        // One for each attempt: an earlier one may yet come to the store, and would be taken for this one.
        let mut holders = Vec::new();
        for _ in 0..ATTEMPTS {
            let rows: Vec<Row> = db.rows(&statements.all, ()).await?;
            let now = wall.now_ms();
            let (node, before) = choose(&rows, fixed, now, &holders)?;
            let floor = rows
                .iter()
                .filter(|row| has_ended(row, now))
                .map(|row| row.6 as u64)
                .max()
                .unwrap_or(0);
            let began = suspended_ms();
            let reserved = reserve_from(&clock, floor);
            let holder = Uuid::new_v4();
            holders.push(holder);
            if claim(&db, &statements, identity, holder, (node, before), (reserved, now)).await? {
                let lease = Self {
                    db,
                    statements,
                    clock,
                    wall,
                    node,
                    holder,
                    roles: identity.roles.clone(),
                    floor,
                    reserved: AtomicU64::new(reserved),
                    valid_until: AtomicU64::new(began + LEASE.as_millis() as u64),
                    renewing: Mutex::new(reserved),
                    workers: parking_lot::Mutex::default(),
                };
                return Ok(lease);
            }
        }
        Err(Error::NoNode)
    }

    pub(super) fn node(&self) -> u16 {
        self.node
    }

    /// Ids up to this one may have been minted by processes that ended.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Ids below this one may be minted.
    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    /// STORE_UNAVAILABLE where the lease ran out, or the clock differs from the store's: others go by their clocks.
    pub(super) fn check(&self) -> Result<()> {
        if self.holds() && self.clock_is_right() {
            Ok(())
        } else {
            Err(lease_lost())
        }
    }

    /// Whether the lease holds.
    pub(super) fn holds(&self) -> bool {
        suspended_ms() < self.valid_until.load(Ordering::Acquire)
    }

    /// Whether the system's clock agrees with the store's.
    pub(super) fn clock_is_right(&self) -> bool {
        self.wall.is_right()
    }

    /// Reserves ids above `id`.
    pub(super) async fn reserve(&self, id: u64) -> Result<()> {
        let mut asked = self.renewing.lock().await;
        if id < self.reserved() {
            return self.check();
        }
        self.renew_to(&mut asked, reserve_from(&self.clock, id)).await
    }

    /// Renews the lease until the process ends. A lease that another took over is never renewed again: the process stays unable to write.
    pub(super) async fn keep(&self) {
        let mut pause = RENEW_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            // Without an answer the clocks are as they were when it came last.
            let _ = timeout(RENEW_WITHIN, self.wall.compare()).await;
            let mut asked = self.renewing.lock().await;
            // What is reserved already stays; only the clock moves it on, so that it never runs away from that.
            let ahead = floor_at(self.clock.now().plus(RESERVE));
            pause = match self.renew_to(&mut asked, ahead).await {
                Ok(()) => RENEW_EVERY,
                Err(error) => {
                    tracing::warn!(
                        ?error,
                        node = self.node,
                        "the lease of the node number could not be renewed"
                    );
                    RENEW_AGAIN_AFTER
                }
            };
        }
    }

    /// Gives the number back at the end of the process, which mints nothing from here on above `last`, asked for when that is so.
    pub(super) async fn release(&self, last: impl FnOnce() -> u64) -> Result<()> {
        // A renewal under way would make the lease hold again.
        let _alone = self.renewing.lock().await;
        self.valid_until.store(0, Ordering::Release);
        let last = last();
        // A holder that nobody is: a renewal that comes late finds another than it was of.
        let nobody = Uuid::new_v4();
        let values = (nobody, &self.roles, last as i64 + 1, self.node as i16, self.holder);
        self.db
            .compare_and_set(&self.statements.release, values)
            .await
            .map(drop)
    }

    /// Every process in the register, live ones and those that ended lately.
    pub(super) async fn processes(&self) -> Result<Vec<Process>> {
        let rows: Vec<Row> = self.db.rows(&self.statements.all, ()).await?;
        let process = |(node, _, name, roles, started_at, expires_at, _): Row| Process {
            node: node as u16,
            name,
            roles,
            started_at: Time::from_unix_ms(started_at as u64),
            expires_at: Time::from_unix_ms(expires_at as u64),
        };
        Ok(rows.into_iter().map(process).collect())
    }

    /// Reads the row of this process. A scan of the register would wait for a node of the store that stands still, as long as others take it for alive.
    pub(super) async fn look(&self) -> Result<()> {
        let row: Option<(i16,)> = self.db.row(&self.statements.own, (self.node as i16,)).await?;
        row.map(drop).ok_or_else(lease_lost)
    }

    /// Whether any other process may be running.
    pub(super) async fn has_others(&self) -> Result<bool> {
        let rows: Vec<Row> = self.db.rows(&self.statements.all, ()).await?;
        let now = self.wall.now_ms();
        Ok(rows.iter().any(|row| row.0 as u16 != self.node && !has_ended(row, now)))
    }

    /// Node numbers of the processes that work and whose lease has not run out; where the register does not answer soon, those known last.
    pub(super) async fn live_workers(&self) -> Result<Vec<u16>> {
        let processes = match timeout(REGISTER_WITHIN, self.processes()).await {
            Ok(Ok(processes)) => processes,
            Ok(Err(_)) | Err(_) => return self.workers.lock().clone().ok_or_else(social_core::Error::unavailable),
        };
        let live = live_workers(&processes, self.wall_time());
        *self.workers.lock() = Some(live.clone());
        Ok(live)
    }

    /// Now, by the clock that leases are compared by, also where ids are minted on another.
    pub(super) fn wall_time(&self) -> Time {
        Time::from_unix_ms(u64::try_from(self.wall.now_ms()).unwrap_or_default())
    }

    async fn renew_to(&self, asked: &mut u64, reserved: u64) -> Result<()> {
        // More each time: by that the store refuses a renewal that comes to it late, which would bring an old end of the lease back.
        let reserved = reserved.max(*asked + 1);
        *asked = reserved;
        let began = suspended_ms();
        let expires_at = self.wall.now_ms() + LEASE.as_millis() as i64;
        let roles = if self.clock_is_right() {
            self.roles.as_str()
        } else {
            PAUSED
        };
        let floor = reserved as i64;
        let values = (roles, expires_at, floor, self.node as i16, self.holder, floor);
        let renewal = self.db.compare_and_set(&self.statements.renew, values);
        let renewed = match timeout(RENEW_WITHIN, renewal).await {
            Ok(Ok(true)) => true,
            _ => timeout(RENEW_WITHIN, self.is_stored(expires_at, reserved))
                .await
                .map_err(|_| lease_lost())??,
        };
        if !renewed {
            self.valid_until.store(0, Ordering::Release);
            return Err(lease_lost());
        }
        self.reserved.fetch_max(reserved, Ordering::AcqRel);
        self.valid_until
            .fetch_max(began + LEASE.as_millis() as u64, Ordering::AcqRel);
        Ok(())
    }

    /// Whether a renewal of unknown outcome, or one that was refused, took effect.
    async fn is_stored(&self, expires_at: i64, reserved: u64) -> Result<bool> {
        let row: Option<(Uuid, i64, i64)> = self.db.row(&self.statements.one, (self.node as i16,)).await?;
        let row = row.ok_or_else(lease_lost)?;
        if row == (self.holder, expires_at, reserved as i64) {
            return Ok(true);
        }
        // Still ours, and not renewed: the next attempt may.
        if row.0 == self.holder {
            Err(lease_lost())
        } else {
            Ok(false)
        }
    }
}

/// Node numbers of those of the processes that work and whose lease holds.
pub(super) fn live_workers(processes: &[Process], now: Time) -> Vec<u16> {
    let works = |process: &&Process| process.roles.split(',').any(|role| role == WORKER);
    let live = processes
        .iter()
        .filter(|process| process.expires_at > now)
        .filter(works);
    live.map(|process| process.node).collect()
}

/// How often another number is tried when others are quicker.
const ATTEMPTS: usize = 16;

/// The number to try, and its row where it has one. Those of `ours` are claims of this process that came to the store late.
fn choose<'a>(rows: &'a [Row], fixed: Option<u16>, now: i64, ours: &[Uuid]) -> Result<(u16, Option<&'a Row>), Error> {
    let row_of = |node: u16| rows.iter().find(|row| row.0 as u16 == node);
    let is_free = |node: &u16| row_of(*node).is_none_or(|row| has_ended(row, now) || ours.contains(&row.1));
    if let Some(node) = fixed {
        return match row_of(node) {
            Some(row) if !is_free(&node) => Err(Error::NodeInUse {
                node,
                name: row.2.clone(),
            }),
            row => Ok((node, row)),
        };
    }
    let free: Vec<u16> = (1..IMPORT_NODE).filter(is_free).collect();
    let node = free.choose(&mut rand::rng()).copied().ok_or(Error::NoNode)?;
    Ok((node, row_of(node)))
}

/// Whether the process of a row has ended, as far as others may tell.
fn has_ended(row: &Row, now: i64) -> bool {
    row.5 == 0 || row.5 + GRACE.as_millis() as i64 <= now
}

async fn claim(
    db: &Db,
    statements: &Statements,
    identity: &Identity,
    holder: Uuid,
    (node, before): (u16, Option<&Row>),
    (reserved, now): (u64, i64),
) -> Result<bool> {
    let expires_at = now + LEASE.as_millis() as i64;
    let (name, roles, reserved) = (&identity.name, &identity.roles, reserved as i64);
    let claimed = match before {
        None => {
            let values = (node as i16, holder, name, roles, now, expires_at, reserved);
            db.compare_and_set(&statements.insert, values).await
        }
        Some(row) => {
            let values = (
                holder,
                name,
                roles,
                now,
                expires_at,
                reserved,
                node as i16,
                row.1,
                row.5,
            );
            db.compare_and_set(&statements.take, values).await
        }
    };
    if claimed == Ok(true) {
        return claimed;
    }
    let row: Option<(Uuid, i64, i64)> = db.row(&statements.one, (node as i16,)).await?;
    Ok(row.is_some_and(|row| row.0 == holder))
}

fn reserve_from(clock: &Clock, id: u64) -> u64 {
    let ahead = floor_at(clock.now().plus(RESERVE));
    ahead.max(
        id + (floor_at(Time::from_unix_ms(
            social_core::id::EPOCH_UNIX_MS + RESERVE.as_millis() as u64,
        ))),
    )
}
