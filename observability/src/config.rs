//! What can be configured about telemetry.

use std::io::IsTerminal as _;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What is logged when nothing else is asked for.
pub(crate) const DEFAULT_FILTER: &str = "info";

/// How telemetry behaves. The default logs text at `info` to stderr and serves no metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The shape of a log line.
    pub format: Format,
    /// Which lines are logged: levels, and targets with a level, between commas (`info,social_server=debug`), as
    /// [`check_filter`](crate::check_filter) takes them.
    /// Without it `RUST_LOG` counts, and without that `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Where Prometheus finds the metrics, over plain HTTP; port 0 picks a free one. Without it nothing is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people: one line an event, coloured on a terminal.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Whether text lines are coloured: on a terminal whose user did not refuse it.
pub(crate) fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let config = Config {
            format: Format::Json,
            filter: Some("debug".into()),
            metrics_listen: Some(([127, 0, 0, 1], 9464).into()),
        };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn refuses_an_unknown_key() {
        assert!(serde_json::from_str::<Config>(r#"{"fromat":"json"}"#).is_err());
    }
}
