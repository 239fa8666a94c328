//! `ratio cluster-fanout`: rows of home timelines that fan-out writes a second, against the bare driver inserting the same rows into the same store.

use std::time::SystemTime;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use social_sdk::Client;

use crate::Common;
use crate::bare::Bare;
use crate::cpu::Meter;
use crate::failure::{During as _, Failure, Result};
use crate::people::People;
use crate::platform::{Platform, Settings, Store};
use crate::posting::{self, Delivered};
use crate::report::{Goal, Ratio};
use crate::runs::{best, interleave};

const GOAL: Goal = Goal::AtLeast(0.8);
/// Connections that posts are sent on.
const CONNECTIONS: usize = 8;
/// Posts on their way at once, tried first.
const POSTS_AT_ONCE: [usize; 3] = [1, 2, 4];
/// Inserts of the driver on their way at once, tried first.
const INSERTS_AT_ONCE: [usize; 6] = [32, 64, 128, 256, 512, 1_024];

/// What is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Followers of the author, each with a home timeline
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    followers: u32,
    /// Posts a turn
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    posts: u32,
    /// Rounds, each with a turn of both sides
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Tasks of the worker that drive fan-out [default: the server's]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Option<u32>,
}

pub(crate) async fn run(options: Options, common: &Common) -> Result<()> {
    let mut platform = Platform::start(&Settings {
        store: Store::Cluster,
        server: common.server.clone(),
        extra: options
            .workers
            .map(|workers| format!("workers = {workers}"))
            .unwrap_or_default(),
        connection: String::new(),
    })?;
    let mut bare = Bare::open(&platform.cql()?, platform.keyspace_beside()).await?;
    let measured = measure(&options, &mut platform, &mut bare).await;
    // Also after a failure: the stores may be somebody else's.
    let closed = (bare.close().await, platform.close().await);
    measured?.print(common.json)?;
    closed.0.and(closed.1)
}

async fn measure(options: &Options, platform: &mut Platform, bare: &mut Bare) -> Result<Ratio> {
    let (followers, posts) = (options.followers as usize, options.posts as usize);
    let connections = platform.client()?.connections(CONNECTIONS).build().during("a client")?;
    let fans = People {
        word: "fan",
        count: followers,
    };
    let author = fans.gather_around(platform, &connections, "author").await?;
    eprintln!("looking for the best concurrency of each, rows/s");
    let inserts_at_once = best("inserts of the driver at once", &INSERTS_AT_ONCE, async |at_once| {
        bare.turn(followers, posts, at_once).await
    })
    .await?;
    let most = POSTS_AT_ONCE.iter().rposition(|at_once| *at_once <= posts).unwrap_or(0);
    let posts_at_once = best("posts at once", &POSTS_AT_ONCE[..=most], async |at_once| {
        turn(&author, followers, posts, at_once).await
    })
    .await?;
    eprintln!("in turns, rows/s");
    let processes = platform.processes()?;
    let (mut ours, mut reference) = (Meter::new(&processes), Meter::new(&processes));
    let rounds = interleave(
        options.rounds as usize,
        async || ours.around(turn(&author, followers, posts, posts_at_once)).await,
        async || reference.around(bare.turn(followers, posts, inserts_at_once)).await,
    )
    .await?;
    let rows = followers * posts * rounds.len();
    let details = json!({
        "followers": followers,
        "posts_a_turn": posts,
        "posts_at_once": posts_at_once,
        "inserts_at_once": inserts_at_once,
        "cpu_us_a_row": { "ours": ours.micros_each(rows), "reference": reference.micros_each(rows) },
    });
    Ok(Ratio::new(
        "cluster-fanout",
        GOAL,
        "rows/s",
        rounds,
        details,
        platform.memory()?,
    ))
}

/// From the first post to the end of the last fan-out; rows a second.
async fn turn(author: &Client, followers: usize, posts: usize, at_once: usize) -> Result<f64> {
    // The server is on this machine, and goes by the same clock.
    let began = SystemTime::now();
    let done: Vec<Delivered> = stream::iter(0..posts)
        .map(|number| posting::fan_out(author, format!("post {number} of a turn")))
        .buffer_unordered(at_once)
        .try_collect()
        .await?;
    let rows: i64 = done.iter().map(|done| done.delivered).sum();
    if rows != (followers * posts) as i64 {
        return Err(Failure::new(format!(
            "{rows} of {} rows were written",
            followers * posts
        )));
    }
    let ended = done.iter().map(|done| done.ended).max().unwrap_or(began);
    let took = ended.duration_since(began).during("the clock was set back")?;
    Ok(rows as f64 / took.as_secs_f64())
}
