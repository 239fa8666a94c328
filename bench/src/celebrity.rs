//! `ratio celebrity-post`: how late others' posts become visible while an author with many followers posts, against quiet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use serde_json::json;
use social_sdk::{Client, HomeEvent, HomeStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Common;
use crate::failure::{During as _, Failure, Result};
use crate::people::{self, People};
use crate::platform::{Platform, Settings, Store};
use crate::posting::{self, Delivered};
use crate::report::{Goal, Ratio, rounded};
use crate::runs::{interleave, median};
use crate::schedule;

const GOAL: Goal = Goal::AtMost(2.0);
/// Connections that posts are sent on, and streams are open on.
const CONNECTIONS: usize = 8;
/// A post that nobody saw for so long is taken for lost.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);
/// Until the first post of a phase.
const LEAD: Duration = Duration::from_millis(100);
/// Arrivals that wait to be noted; streams wait for room.
const ARRIVALS: usize = 4_096;
/// Followers who log in at once to look whether they have everything; the server computes few passwords at once.
const LOGINS_AT_ONCE: usize = 4;
/// What takes longer is noted as if it took so long.
const LONGEST_US: u64 = 3_600_000_000;
/// The largest page of a home timeline.
const PAGE: u32 = 100;

/// What is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// What the platform keeps everything in
    #[arg(long, value_enum, default_value_t = Store::Cluster)]
    store: Store,
    /// Followers of the author, each with a home timeline
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    followers: u32,
    /// Others who post, each with one follower who watches
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    writers: u32,
    /// Posts a second of all others together
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    per_second: u32,
    /// Seconds of each phase, quiet or not
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Rounds, each with a phase of both kinds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Followers who log in in the end, to look whether they have every post
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    sample: u32,
}

pub(crate) async fn run(options: Options, common: &Common) -> Result<()> {
    let mut platform = Platform::start(&Settings {
        store: options.store,
        server: common.server.clone(),
        extra: String::new(),
        connection: String::new(),
    })?;
    let measured = measure(&options, &mut platform).await;
    let closed = platform.close().await;
    measured?.print(common.json)?;
    closed
}

async fn measure(options: &Options, platform: &mut Platform) -> Result<Ratio> {
    let connections = platform.client()?.connections(CONNECTIONS).build().during("a client")?;
    let fans = People {
        word: "fan",
        count: options.followers as usize,
    };
    let star = Arc::new(Star::rise(platform, &connections, fans).await?);
    let others = Others::gather(&connections, options).await?;
    eprintln!("in turns, p99 in ms");
    // What is done for the first time is slower.
    others.phase(options).await?;
    let lateness = Mutex::new(Vec::new());
    let note = |phase: Phase| {
        let mut noted = lateness.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        noted.push(phase.late_ms);
        phase.visible_ms
    };
    let rounds = interleave(
        options.rounds as usize,
        async || {
            let over = Arc::new(AtomicBool::new(false));
            let posting = tokio::spawn(Arc::clone(&star).post_until(Arc::clone(&over)));
            let phase = others.phase(options).await;
            over.store(true, Ordering::Relaxed);
            posting.await.during("the author with many followers")??;
            phase.map(note)
        },
        async || others.phase(options).await.map(note),
    )
    .await?;
    let lateness = median(lateness.into_inner().unwrap_or_default());
    let quiet = median(rounds.iter().map(|round| round.reference));
    if lateness > quiet / 2.0 {
        return Err(Failure::new(format!(
            "refused: posts were sent {lateness:.1} ms late (p99), which is too much beside {quiet:.1} ms; the machine is too busy"
        )));
    }
    let told = star.told();
    let missing = star.missing(&connections, fans, options.sample as usize).await?;
    let details = json!({
        "store": options.store,
        "followers": options.followers,
        "posts_a_second": options.per_second,
        "seconds_a_phase": options.seconds,
        "sent_late_ms_p99": rounded(lateness),
        "posts_to_all_followers": told.posts,
        "delivered": told.delivered,
        "skipped": told.skipped,
        "missing": told.owed - told.delivered,
        "sampled_followers": missing.looked_at,
        "missing_in_sample": missing.posts,
    });
    let all_there = told.owed == told.delivered && missing.posts == 0;
    let mut ratio = Ratio::new("celebrity-post", GOAL, "ms p99", rounds, details, platform.memory()?);
    if !all_there {
        ratio.refuse();
    }
    Ok(ratio)
}

/// The author with many followers.
struct Star {
    client: Client,
    followers: usize,
    posts: Mutex<Vec<Delivered>>,
}

/// What fan-outs say of themselves.
struct Told {
    posts: usize,
    owed: i64,
    delivered: i64,
    skipped: i64,
}

/// What followers do not have.
struct Missing {
    looked_at: usize,
    posts: usize,
}

impl Star {
    async fn rise(platform: &Platform, connections: &Client, fans: People) -> Result<Self> {
        Ok(Self {
            client: fans.gather_around(platform, connections, "star").await?,
            followers: fans.count,
            posts: Mutex::default(),
        })
    }

    /// Posts, one fan-out after another, until it is over; the last one is waited for.
    async fn post_until(self: Arc<Self>, over: Arc<AtomicBool>) -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let done = posting::fan_out(&self.client, "to all of you".to_owned()).await?;
            self.done().push(done);
        }
        Ok(())
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Vec<Delivered>> {
        self.posts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn told(&self) -> Told {
        let posts = self.done();
        Told {
            posts: posts.len(),
            owed: (posts.len() * self.followers) as i64,
            delivered: posts.iter().map(|post| post.delivered).sum(),
            skipped: posts.iter().map(|post| post.skipped).sum(),
        }
    }

    /// Has followers log in, spread over all of them, and look whether their home timeline has every post.
    async fn missing(&self, connections: &Client, fans: People, sample: usize) -> Result<Missing> {
        let posts: Vec<String> = self.done().iter().map(|done| done.post.clone()).collect();
        let looked_at = sample.min(fans.count);
        let missing = stream::iter(0..looked_at)
            .map(|number| missing_at(connections, fans.handle(number * fans.count / looked_at), &posts))
            .buffer_unordered(LOGINS_AT_ONCE)
            .try_fold(0, async |sum, missing| Ok(sum + missing))
            .await?;
        Ok(Missing {
            looked_at,
            posts: missing,
        })
    }
}

async fn missing_at(connections: &Client, handle: String, posts: &[String]) -> Result<usize> {
    let client = people::login(connections, handle).await?;
    let mut shown = Vec::new();
    let mut home = client.timeline().home().page_size(PAGE).stream();
    while shown.len() < posts.len()
        && let Some(item) = home.try_next().await.during("a home timeline")?
    {
        shown.extend(item.post.map(|post| post.id));
    }
    Ok(posts.iter().filter(|post| !shown.contains(post)).count())
}

/// What one phase came to, both p99 in ms.
struct Phase {
    /// From when a post was due to when its follower saw it.
    visible_ms: f64,
    /// From when a post was due to when it was sent.
    late_ms: f64,
}

/// A follower saw a post.
struct Arrival {
    number: u64,
    at: Instant,
}

/// Those whose posts are watched.
struct Others {
    writers: Vec<Client>,
    arrivals: tokio::sync::Mutex<mpsc::Receiver<Result<Arrival>>>,
    next: AtomicU64,
    _watching: JoinSet<()>,
}

impl Others {
    async fn gather(connections: &Client, options: &Options) -> Result<Self> {
        let (arrived, arrivals) = mpsc::channel(ARRIVALS);
        let mut watching = JoinSet::new();
        let mut writers = Vec::new();
        for number in 0..options.writers {
            let writer = people::register(connections, &format!("writer_{number}")).await?;
            let reader = people::register(connections, &format!("reader_{number}")).await?;
            let id = writer.user_id().ok_or_else(|| Failure::new("nobody is logged in"))?;
            reader.graph().follow(id).await.during("a follow")?;
            watching.spawn(watch(people::subscribe(&reader).await?, arrived.clone()));
            writers.push(writer);
        }
        Ok(Self {
            writers,
            arrivals: tokio::sync::Mutex::new(arrivals),
            next: AtomicU64::new(0),
            _watching: watching,
        })
    }

    /// Posts as scheduled, whatever becomes of earlier posts, and waits until all were seen.
    async fn phase(&self, options: &Options) -> Result<Phase> {
        let first = self.next.load(Ordering::Relaxed);
        let length = Duration::from_secs(options.seconds.into());
        let times = schedule::poisson(options.per_second.into(), length, first)?;
        if times.is_empty() {
            return Err(Failure::new("nothing is to be sent in so short a phase"));
        }
        self.next.fetch_add(times.len() as u64, Ordering::Relaxed);
        let start = Instant::now() + LEAD;
        let due: Vec<Instant> = times.into_iter().map(|time| start + time).collect();
        let (late, visible) = futures::try_join!(self.send(first, &due), self.see(first, &due))?;
        Ok(Phase {
            visible_ms: p99_ms(&visible),
            late_ms: p99_ms(&late),
        })
    }

    async fn send(&self, first: u64, due: &[Instant]) -> Result<Histogram<u64>> {
        let mut late = histogram()?;
        let mut sending = JoinSet::new();
        for (number, at) in (first..).zip(due) {
            sleep_until(*at).await;
            late.saturating_record(at.elapsed().as_micros() as u64);
            let writer = self.writers[number as usize % self.writers.len()].clone();
            sending.spawn(async move { writer.posts().create(number.to_string()).await });
        }
        while let Some(sent) = sending.join_next().await {
            sent.during("a post")?.during("a post")?;
        }
        Ok(late)
    }

    async fn see(&self, first: u64, due: &[Instant]) -> Result<Histogram<u64>> {
        let mut visible = histogram()?;
        let mut arrivals = self.arrivals.lock().await;
        let end = due.last().copied().unwrap_or_else(Instant::now);
        while (visible.len() as usize) < due.len() {
            let patience = end.saturating_duration_since(Instant::now()) + VISIBLE_WITHIN;
            let arrival = timeout(patience, arrivals.recv()).await.map_err(|_| {
                let missing = due.len() - visible.len() as usize;
                Failure::new(format!(
                    "{missing} posts were not seen within {} s",
                    VISIBLE_WITHIN.as_secs()
                ))
            })?;
            let arrival = arrival.ok_or_else(|| Failure::new("nobody watches any more"))??;
            // Of a phase that failed before.
            if let Some(at) = arrival
                .number
                .checked_sub(first)
                .and_then(|index| due.get(index as usize))
            {
                visible.saturating_record(arrival.at.saturating_duration_since(*at).as_micros() as u64);
            }
        }
        Ok(visible)
    }
}

/// Notes when posts arrive, which hold their number as text.
async fn watch(mut stream: HomeStream, arrived: mpsc::Sender<Result<Arrival>>) {
    loop {
        let event = stream.try_next().await;
        let at = Instant::now();
        let noted = match event {
            Ok(Some(HomeEvent::Added { item, .. })) => {
                let number = item.post.and_then(|post| post.content.parse().ok());
                match number {
                    Some(number) => Ok(Arrival { number, at }),
                    None => continue,
                }
            }
            Ok(Some(_)) => continue,
            Ok(None) => Err(Failure::new("a subscription ended")),
            Err(error) => Err(Failure::new(format!("a subscription: {error}"))),
        };
        let is_over = noted.is_err();
        if arrived.send(noted).await.is_err() || is_over {
            return;
        }
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).during("a histogram")
}

fn p99_ms(of: &Histogram<u64>) -> f64 {
    of.value_at_quantile(0.99) as f64 / 1_000.0
}
