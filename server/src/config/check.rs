//! What a configuration must keep to beyond the types of its values.

use social_core::limits;
use social_observability::check_filter;

use super::{Config, Connection, Error, Rate, Role, Store, Tls};

/// The largest world that dev mode makes, in people.
const DEV_USERS_MAX: u32 = 100_000;

impl Config {
    /// Refuses what cannot be used: every problem at once, each with its key and what would be right.
    ///
    /// # Errors
    /// [`Error::Unusable`] with one line a problem.
    pub fn validate(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        self.check_ports(&mut problems);
        self.check_times(&mut problems);
        if self.store == Store::Cluster {
            self.cluster.check(&mut problems);
        }
        self.connection.check(&mut problems);
        for (class, rate) in self.rate_limits.classes() {
            rate.check(class, &mut problems);
        }
        if let Some(Err(reason)) = self.telemetry.filter.as_deref().map(check_filter) {
            problems.push(format!("telemetry.filter: {reason}"));
        }
        for origin in &self.cors_origins {
            if !is_origin(origin) {
                problems.push(format!(
                    "cors_origins: `{origin}` is no origin; write scheme://host or scheme://host:port, without a path, \
                     as in https://app.example.org (or http://localhost:* for any port)"
                ));
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Unusable(problems))
        }
    }

    fn check_ports(&self, problems: &mut Vec<String>) {
        self.tls.check("tls", problems);
        self.admin.tls.check("admin.tls", problems);
        if self.has(Role::Api) && self.listen == self.admin.listen && self.listen.port() != 0 {
            problems.push(format!(
                "admin.listen: {} is the public port's address too; give it another",
                self.listen
            ));
        }
        if !self.admin.listen.ip().is_loopback() && self.admin.tls.files().is_none() {
            problems.push(format!(
                "admin.listen: {} can be reached from other machines; set admin.tls.cert and admin.tls.key, or use 127.0.0.1",
                self.admin.listen
            ));
        }
        if self.data_dir.as_os_str().is_empty() {
            problems.push("data_dir: is empty; name a folder".into());
        }
    }

    fn check_times(&self, problems: &mut Vec<String>) {
        within("workers", self.workers as u64, 1..=64, problems);
        within("heartbeat_ms", self.heartbeat_ms, 100..=60_000, problems);
        within("drain_grace_ms", self.drain_grace_ms, 0..=600_000, problems);
        within("dev.users", self.dev.users.into(), 10..=DEV_USERS_MAX.into(), problems);
    }
}

impl Connection {
    fn check(&self, problems: &mut Vec<String>) {
        within("connection.max", self.max as u64, 1..=1_000_000, problems);
        within(
            "connection.max_streams",
            self.max_streams as u64,
            1..=limits::STREAMS_MAX as u64,
            problems,
        );
        within("connection.max_age_s", self.max_age_s, 1..=604_800, problems);
        within(
            "connection.keepalive_timeout_s",
            self.keepalive_timeout_s,
            1..=30,
            problems,
        );
        within("connection.stall_timeout_s", self.stall_timeout_s, 2..=600, problems);
        within(
            "connection.handshake_timeout_s",
            self.handshake_timeout_s,
            1..=30,
            problems,
        );
        within(
            "connection.keepalive_interval_s",
            self.keepalive_interval_s,
            1..=3_600,
            problems,
        );
    }
}

impl Rate {
    fn check(self, class: &str, problems: &mut Vec<String>) {
        let buckets = [
            ("user", self.user_per_second, self.user_burst),
            ("address", self.address_per_second, self.address_burst),
        ];
        for (whose, per_second, burst) in buckets {
            if per_second > 0 && burst == 0 {
                problems.push(format!(
                    "rate_limits.{class}.{whose}_burst: is 0, so no call would pass; at least 1"
                ));
            }
        }
    }
}

impl super::RateLimits {
    fn classes(&self) -> [(&'static str, Rate); 4] {
        [
            ("read", self.read),
            ("write", self.write),
            ("auth", self.auth),
            ("stream", self.stream),
        ]
    }
}

impl Tls {
    fn check(&self, section: &str, problems: &mut Vec<String>) {
        let missing = match (&self.cert, &self.key) {
            (Some(_), None) => "key",
            (None, Some(_)) => "cert",
            _ => return,
        };
        problems.push(format!(
            "{section}.{missing}: is missing; TLS needs both {section}.cert and {section}.key"
        ));
    }
}

fn within(key: &str, value: u64, range: std::ops::RangeInclusive<u64>, problems: &mut Vec<String>) {
    if !range.contains(&value) {
        problems.push(format!(
            "{key}: is {value}; it must be from {} to {}",
            range.start(),
            range.end()
        ));
    }
}

/// Whether the text is an origin as browsers send it, perhaps with `*` for its port.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let host_is_plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:".contains(&b));
    let port_is_right = port.is_empty() || port == "*" || port.parse::<u16>().is_ok();
    matches!(scheme, "http" | "https") && host_is_plain && port_is_right && !rest.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config
            .validate()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn the_defaults_are_usable() {
        Config::default().validate().unwrap();
        Config::dev().validate().unwrap();
    }

    #[test]
    fn each_problem_names_its_key() {
        assert!(problems_of(|c| c.tls.cert = Some("a".into())).contains("tls.key: is missing"));
        assert!(problems_of(|c| c.admin.listen = ([0, 0, 0, 0], 1).into()).contains("admin.tls.cert"));
        assert!(problems_of(|c| c.admin.listen = c.listen).contains("admin.listen"));
        let streams = problems_of(|c| c.connection.max_streams = 0);
        assert!(streams.contains("connection.max_streams: is 0; it must be from 1 to 1000000"));
        assert!(problems_of(|c| c.workers = 0).contains("workers: is 0; it must be from 1 to 64"));
        assert!(problems_of(|c| c.rate_limits.write.user_burst = 0).contains("rate_limits.write.user_burst"));
        let filter = problems_of(|c| c.telemetry.filter = Some("info,,=x".into()));
        assert!(filter.contains("telemetry.filter: has an empty part"), "{filter}");
        let two = problems_of(|c| {
            c.workers = 0;
            c.heartbeat_ms = 1;
        });
        assert!(two.contains("workers") && two.contains("heartbeat_ms"), "{two}");
    }

    #[test]
    fn origins_are_told_from_other_texts() {
        for right in [
            "http://localhost",
            "http://localhost:*",
            "https://a.example.org:8443",
            "http://[::1]:3000",
        ] {
            assert!(is_origin(right), "{right}");
        }
        for wrong in [
            "*",
            "localhost",
            "https://",
            "https://a/b",
            "https://a/",
            "ftp://a",
            "http://a:",
            "http://a:99999",
        ] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }
}
