//! The metrics page for Prometheus, on a port and a thread of its own: it answers also while the server is busy.

use std::net::{SocketAddr, TcpListener};
use std::thread;

use metrics_exporter_prometheus::{BuildError, ExporterFuture, Matcher, PrometheusBuilder, PrometheusRecorder};
use tokio::runtime::{Builder, Runtime};

use crate::{Error, metric};

/// Seconds, from a cached read to a fan-out that waits for a store.
const SECONDS: [f64; 15] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// Rows or entries handled at once.
const ROWS: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 10_000.0];
/// How often a port that was free a moment ago may turn out taken.
const PORT_ATTEMPTS: u32 = 8;

/// Serves the metrics at `address` and answers the address bound (its port where 0 was asked for).
pub(crate) fn serve(address: SocketAddr) -> Result<SocketAddr, Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (recorder, exporter, bound) = bind(address, &runtime)?;
    metrics::set_global_recorder(recorder).map_err(|_| Error::AlreadyCounting)?;
    metric::describe_all();
    thread::Builder::new().name("metrics".into()).spawn(move || {
        // It serves until the process ends; an end before that is worth a line, and no more.
        if runtime.block_on(exporter).is_err() {
            tracing::error!(address = %bound, "the metrics page ended");
        }
    })?;
    Ok(bound)
}

/// The exporter binds by itself and does not tell its port, so a free one is looked up first. Another process may take
/// it in between: then the next one is tried.
fn bind(address: SocketAddr, runtime: &Runtime) -> Result<(PrometheusRecorder, ExporterFuture, SocketAddr), Error> {
    let refused = |reason: String| Error::MetricsListen { address, reason };
    let mut reason = String::new();
    for _ in 0..PORT_ATTEMPTS {
        let candidate = free_port(address).map_err(|error| refused(error.to_string()))?;
        let _entered = runtime.enter();
        match builder(candidate).and_then(PrometheusBuilder::build) {
            Ok((recorder, exporter)) => return Ok((recorder, exporter, candidate)),
            Err(error) => reason = error.to_string(),
        }
        if address.port() != 0 {
            break;
        }
    }
    Err(refused(reason))
}

fn free_port(address: SocketAddr) -> std::io::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    TcpListener::bind(address)?.local_addr()
}

fn builder(address: SocketAddr) -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".into()), &ROWS)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::event;

    fn scrape(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    // One test: the recorder is one a process.
    #[test]
    fn serves_what_was_counted_on_a_port_of_its_own() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = serve(taken.local_addr().unwrap()).unwrap_err();
        assert!(matches!(refused, Error::MetricsListen { .. }), "{refused}");

        let bound = serve(([127, 0, 0, 1], 0).into()).unwrap();
        assert_ne!(bound.port(), 0);
        event::post_created(&1, &2, "public", "push");
        event::fanout_step_done(&1, "push", 7, Duration::from_millis(3));
        let page = scrape(bound);
        assert!(
            page.contains("social_posts_created_total{visibility=\"public\",mode=\"push\"} 1"),
            "{page}"
        );
        assert!(
            page.contains("social_fanout_step_rows_bucket{mode=\"push\",le=\"10\"} 1"),
            "{page}"
        );
        assert!(page.contains("# HELP social_fanout_step_seconds "), "{page}");

        assert!(matches!(serve(([127, 0, 0, 1], 0).into()), Err(Error::AlreadyCounting)));
    }
}
