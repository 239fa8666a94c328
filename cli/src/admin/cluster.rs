//! `admin cluster`: the processes of the platform.

use std::time::Duration;

use serde::Serialize;
use social_sdk::{AdminClient, v1};

use crate::app::App;
use crate::failure::Result;
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Format, Now, Show, pretty, text};

/// Runs `admin cluster`.
pub(super) async fn run(app: &App, admin: &AdminClient) -> Result<()> {
    let cluster = admin.cluster().await?;
    if app.output.format() == Format::Json {
        return app.output.print(&pretty(&Wire(&cluster))?);
    }
    app.output.list("processes", &cluster.processes, "")?;
    app.output.note(&remark(&cluster))
}

/// What the table does not tell: how the event log is shared out.
fn remark(cluster: &v1::GetClusterResponse) -> String {
    let shards = cluster.shards.len();
    let unheld = cluster.shards.iter().filter(|shard| !shard.held).count();
    let log = match (shards, unheld) {
        (1, 0) => "the event log is in one piece".to_owned(),
        (_, 0) => format!("all {shards} shards of the event log are held"),
        _ => format!("{unheld} of {shards} shards of the event log are held by nobody: start a worker"),
    };
    format!("{} backend; {log}; * answered", cluster.backend)
}

impl Show for v1::ClusterProcess {
    const COLUMNS: &'static [Column] = &[
        Column::number("NODE"),
        Column::fixed("NAME"),
        Column::fixed("ROLES"),
        Column::fixed("STATE"),
        Column::fixed("STARTED"),
        Column::fixed("LEASE").or("LEASE LEFT"),
        Column::text("SHARDS"),
        Column::fixed("LAG"),
    ];

    fn id(&self) -> String {
        self.node.to_string()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        let mark = if self.answered { " *" } else { "" };
        let roles: Vec<_> = self
            .roles()
            .map(|role| text::enum_name(role.as_str_name(), "PROCESS_ROLE_"))
            .collect();
        let shards: Vec<_> = self.shards.iter().map(ToString::to_string).collect();
        vec![
            Cell::number(self.node),
            Cell::strong(format!("{}{mark}", self.name)),
            Cell::plain(roles.join(",")),
            Cell::plain(text::enum_name(self.state().as_str_name(), "PROCESS_STATE_")),
            Cell::age(now, self.start_time),
            Cell::plain(lease(self.lease_left_ms)),
            Cell::plain(or_dash(shards.join(" "))),
            Cell::plain(if self.shards.is_empty() {
                "-".to_owned()
            } else {
                millis(self.lag_ms)
            }),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        [
            "node",
            "name",
            "roles",
            "state",
            "started",
            "lease left",
            "shards",
            "lag",
        ]
        .into_iter()
        .zip(self.row(now))
        .collect()
    }
}

fn lease(left_ms: i64) -> String {
    match left_ms {
        0 => "-".to_owned(),
        1.. => millis(left_ms),
        _ => format!("ran out {} ago", millis(left_ms)),
    }
}

fn millis(ms: i64) -> String {
    text::duration(Duration::from_millis(ms.unsigned_abs()))
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: i32, held: bool) -> v1::ClusterShard {
        v1::ClusterShard {
            number,
            held,
            ..Default::default()
        }
    }

    #[test]
    fn a_log_that_nobody_looks_after_is_told() {
        let remark_of = |shards| {
            remark(&v1::GetClusterResponse {
                backend: "cluster".to_owned(),
                shards,
                ..Default::default()
            })
        };
        assert!(remark_of(vec![shard(0, true), shard(1, true)]).contains("all 2 shards"));
        assert!(
            remark_of(vec![shard(0, true), shard(1, false)])
                .contains("1 of 2 shards of the event log are held by nobody")
        );
        assert!(remark_of(vec![shard(0, true)]).contains("in one piece"));
    }

    #[test]
    fn leases_are_told_in_words() {
        assert_eq!([0, 8_500, -2_000].map(lease), ["-", "8.5 s", "ran out 2.0 s ago"]);
    }
}
