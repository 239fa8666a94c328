//! `subscribers`: what an idle subscriber of a home timeline holds in the process that serves it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use social_sdk::{Client, HomeEvent, HomeStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Common;
use crate::failure::{During as _, Failure, Result};
use crate::memory::Memory;
use crate::people::{self, People};
use crate::platform::{Platform, Settings, Store};
use crate::report::{self, bare_table, megabytes, memory_table};
use crate::runs::slope;

/// Streams of one address: the server's bound. Each group of subscribers comes from an address of its own.
const GROUP: usize = 2_000;
/// So that none of them has more than 200 streams, the server's bound.
const CONNECTIONS_A_GROUP: usize = 12;
/// Subscriptions that are opened at once.
const OPENED_AT_ONCE: usize = 32;
/// The server computes few passwords at once.
const LOGINS_AT_ONCE: usize = 4;
/// The longest that the server takes.
const HEARTBEAT_MS: u32 = 60_000;

/// What is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// What the platform keeps everything in
    #[arg(long, value_enum, default_value_t = Store::Embedded)]
    store: Store,
    /// How many subscribers there are when memory is read, at least twice
    #[arg(long, value_delimiter = ',', default_value = "10000,25000,50000,100000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    counts: Vec<u32>,
    /// Subscriptions of one user, at most 20
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=20))]
    per_user: u32,
    /// Seconds of rest before memory is read
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=600))]
    settle: u32,
}

/// What was held at a count.
#[derive(Clone, Copy, Debug, Serialize)]
struct Point {
    subscribers: usize,
    resident_bytes: u64,
}

/// What a run says.
#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    store: Store,
    /// By how much memory grows with each subscriber, its share of a connection included.
    bytes_each: f64,
    unit: &'static str,
    subscriptions_a_user: u32,
    points: Vec<Point>,
    memory: Vec<Memory>,
}

pub(crate) async fn run(mut options: Options, common: &Common) -> Result<()> {
    options.counts.sort_unstable();
    options.counts.dedup();
    let most = options.counts.last().copied().unwrap_or(0);
    if options.counts.len() < 2 {
        return Err(Failure::new(
            "--counts needs two different numbers, since their difference is measured",
        ));
    }
    let mut platform = Platform::start(&Settings {
        store: options.store,
        server: common.server.clone(),
        extra: format!("heartbeat_ms = {HEARTBEAT_MS}"),
        connection: format!("max_streams = {most}"),
    })?;
    let measured = measure(&options, most as usize, &mut platform).await;
    let closed = platform.close().await;
    let report = measured?;
    report::print(common.json, || report.table(), &report)?;
    closed
}

async fn measure(options: &Options, most: usize, platform: &mut Platform) -> Result<Report> {
    let users = log_in(platform, most, options.per_user as usize).await?;
    // Not without any: what the logins took goes back to the system only by and by.
    let mut points = Vec::new();
    let mut crowd = Crowd::default();
    for count in options.counts.iter().map(|count| *count as usize) {
        let began = Instant::now();
        crowd.grow(&users, options.per_user as usize, count).await?;
        eprintln!("{count} subscribers after {:.1} s", began.elapsed().as_secs_f64());
        points.push(point(platform, count, options).await?);
        crowd.is_whole()?;
    }
    let line: Vec<(f64, f64)> = points
        .iter()
        .map(|point| (point.subscribers as f64, point.resident_bytes as f64))
        .collect();
    Ok(Report {
        name: "subscribers",
        store: options.store,
        bytes_each: slope(&line).round(),
        unit: "bytes",
        subscriptions_a_user: options.per_user,
        points,
        memory: platform.memory()?,
    })
}

/// Logs in as many users as that many subscriptions need, in groups with connections and an address of their own.
async fn log_in(platform: &Platform, subscriptions: usize, per_user: usize) -> Result<Vec<Client>> {
    let began = Instant::now();
    let people = People {
        word: "viewer",
        count: subscriptions.div_ceil(per_user),
    };
    people.import(&platform.admin()?).await?;
    let users_a_group = GROUP / per_user;
    let groups: Vec<Client> = (0..people.count.div_ceil(users_a_group))
        .map(|group| group_client(platform, group))
        .collect::<Result<_>>()?;
    let users: Vec<Client> = stream::iter(0..people.count)
        .map(|number| people::login(&groups[number / users_a_group], people.handle(number)))
        .buffered(LOGINS_AT_ONCE)
        .try_collect()
        .await?;
    eprintln!(
        "{} users logged in in {:.1} s",
        users.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(users)
}

fn group_client(platform: &Platform, group: usize) -> Result<Client> {
    let address = format!("10.{}.{}.{}", group >> 16 & 0xff, group >> 8 & 0xff, group & 0xff);
    let client = platform
        .client()?
        .connections(CONNECTIONS_A_GROUP)
        .headers(move |headers| {
            if let Ok(address) = address.parse() {
                headers.insert("x-forwarded-for", address);
            }
        });
    client.build().during("a client")
}

/// What the serving process holds once it has come to rest.
async fn point(platform: &mut Platform, subscribers: usize, options: &Options) -> Result<Point> {
    sleep(Duration::from_secs(options.settle.into())).await;
    let memory = platform.memory()?;
    let serving = memory.first().ok_or_else(|| Failure::new("no process serves"))?;
    Ok(Point {
        subscribers,
        resident_bytes: serving.resident_bytes,
    })
}

/// Subscribers with an open stream each.
#[derive(Default)]
struct Crowd {
    count: usize,
    /// Streams that broke.
    lost: Arc<AtomicUsize>,
    idling: JoinSet<()>,
}

impl Crowd {
    /// Opens streams until there are so many.
    async fn grow(&mut self, users: &[Client], per_user: usize, count: usize) -> Result<()> {
        let mut opened = stream::iter(self.count..count)
            .map(|number| people::subscribe(&users[number / per_user]))
            .buffer_unordered(OPENED_AT_ONCE);
        while let Some(stream) = opened.try_next().await? {
            self.idling.spawn(idle(stream, Arc::clone(&self.lost)));
        }
        self.count = count;
        Ok(())
    }

    /// A stream that broke is connected again by the SDK, but what it held before is not what is asked for.
    fn is_whole(&self) -> Result<()> {
        match self.lost.load(Ordering::Relaxed) {
            0 => Ok(()),
            lost => Err(Failure::new(format!("{lost} of {} subscriptions broke", self.count))),
        }
    }
}

async fn idle(mut stream: HomeStream, lost: Arc<AtomicUsize>) {
    while let Some(Ok(event)) = stream.next().await {
        if matches!(event, HomeEvent::Reconnecting(_)) {
            break;
        }
    }
    lost.fetch_add(1, Ordering::Relaxed);
}

impl Report {
    fn table(&self) -> String {
        let mut table = bare_table();
        table.set_header(["subscribers", "resident"]);
        for point in &self.points {
            table.add_row([point.subscribers.to_string(), megabytes(point.resident_bytes)]);
        }
        let mut text = format!("idle subscribers of home timelines, {:?}\n{table}\n", self.store);
        let _ = writeln!(text, "{:.0} bytes each (slope)", self.bytes_each);
        let _ = write!(text, "{}", memory_table(&self.memory));
        text
    }
}
