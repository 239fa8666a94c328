//! Every setting once: its key in the file gives the names of its variable and flag.

/// How a setting's text, from a variable or a flag, becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; the bare flag means `true`.
    Switch,
    /// Texts between commas; empty for none.
    List,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the file, sections before a dot: `admin.listen`.
    pub key: &'static str,
    /// How its text is read.
    pub kind: Kind,
    /// What a right value is, for error messages.
    pub expects: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Setting {
    /// Its flag without the dashes: `admin-listen`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Its variable: `SOCIAL_ADMIN_LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("SOCIAL_{}", self.key.replace('.', "_").to_uppercase())
    }
}

const ADDRESS: &str = "an address and a port, as in 127.0.0.1:50051";
const PATH: &str = "a path";
const COUNT: &str = "a whole number";

const fn setting(key: &'static str, kind: Kind, expects: &'static str, help: &'static str) -> Setting {
    Setting {
        key,
        kind,
        expects,
        help,
    }
}

/// A rate limit: the four settings of one class.
macro_rules! rate {
    ($class:literal) => {
        [
            number(
                concat!("rate_limits.", $class, ".user_per_second"),
                "Calls a second of one user; 0 for no bound",
            ),
            number(
                concat!("rate_limits.", $class, ".user_burst"),
                "Calls at once of one user",
            ),
            number(
                concat!("rate_limits.", $class, ".address_per_second"),
                "Calls a second from one address; 0 for no bound",
            ),
            number(
                concat!("rate_limits.", $class, ".address_burst"),
                "Calls at once from one address",
            ),
        ]
    };
}

const fn number(key: &'static str, help: &'static str) -> Setting {
    setting(key, Kind::Number, COUNT, help)
}

const READ: [Setting; 4] = rate!("read");
const WRITE: [Setting; 4] = rate!("write");
const AUTH: [Setting; 4] = rate!("auth");
const STREAM: [Setting; 4] = rate!("stream");

const CLUSTER: [Setting; 3] = [
    setting(
        "cluster.roles",
        Kind::List,
        "api, worker, or both between commas",
        "What the process does: serve clients (api), drive fan-out (worker)",
    ),
    number(
        "cluster.node",
        "Fixed node number, of this process alone; one that is free if left out",
    ),
    setting(
        "cluster.name",
        Kind::Text,
        "a name, as in api-1",
        "What operators know the process by; its host and process id if left out",
    ),
];

const CQL: [Setting; 7] = [
    setting(
        "cluster.cql.contact_points",
        Kind::List,
        "addresses between commas, as in 10.0.0.1:9042,10.0.0.2:9042",
        "Nodes of the CQL store to begin with",
    ),
    setting(
        "cluster.cql.keyspace",
        Kind::Text,
        "a name of a-z, 0-9 and _",
        "Keyspace that holds the platform",
    ),
    setting(
        "cluster.cql.datacenter",
        Kind::Text,
        "a name",
        "Data centre whose nodes are asked; all if left out",
    ),
    setting(
        "cluster.cql.replication",
        Kind::Text,
        "a number of copies, as in 3, or one a data centre, as in dc1:3,dc2:3",
        "Copies of each row, where `migrate` makes the keyspace",
    ),
    setting("cluster.cql.user", Kind::Text, "a name", "User to log in as"),
    setting(
        "cluster.cql.password_file",
        Kind::Text,
        PATH,
        "File of the user's password",
    ),
    setting(
        "cluster.cql.ca_file",
        Kind::Text,
        PATH,
        "PEM file of the certificates to trust; with it connections are encrypted",
    ),
];

const CONSISTENCY: [Setting; 4] = [
    consistency(
        "cluster.cql.consistency.truth_read",
        "Copies that reads of truth wait for",
    ),
    consistency(
        "cluster.cql.consistency.truth_write",
        "Copies that writes of truth wait for",
    ),
    consistency(
        "cluster.cql.consistency.timeline_read",
        "Copies that reads of home timelines wait for",
    ),
    consistency(
        "cluster.cql.consistency.timeline_write",
        "Copies that writes of home timelines wait for",
    ),
];

const fn consistency(key: &'static str, help: &'static str) -> Setting {
    setting(key, Kind::Text, "one, quorum, local_quorum or all", help)
}

const REDIS: [Setting; 4] = [
    setting(
        "cluster.redis.url",
        Kind::Text,
        "a URL without a password, as in redis://10.0.0.1:6379",
        "Where Redis is",
    ),
    setting(
        "cluster.redis.url_file",
        Kind::Text,
        PATH,
        "File of the URL, where that holds a password",
    ),
    setting(
        "cluster.redis.ca_file",
        Kind::Text,
        PATH,
        "PEM file of the certificates to trust for rediss://; the system's if left out",
    ),
    setting(
        "cluster.redis.prefix",
        Kind::Text,
        "a name",
        "What every key in Redis begins with",
    ),
];

/// Every setting, in the order of the help text.
pub const SETTINGS: &[Setting] = &[
    setting(
        "listen",
        Kind::Text,
        ADDRESS,
        "Address of the public port; port 0 picks a free one",
    ),
    setting(
        "store",
        Kind::Text,
        "embedded or cluster",
        "What holds everything: the data folder, or a CQL store and Redis",
    ),
    setting(
        "data_dir",
        Kind::Text,
        PATH,
        "Folder of everything that must not be lost; of a cluster's process, of its keys and its admin token",
    ),
    setting(
        "keys_dir",
        Kind::Text,
        PATH,
        "Folder of the signing keys, the same for all api processes of a cluster; keys in the data folder if left out",
    ),
    setting(
        "reflection",
        Kind::Switch,
        "true or false",
        "Whether clients may ask for the contract (server reflection)",
    ),
    setting(
        "cors_origins",
        Kind::List,
        "origins between commas, as in https://app.example.org,http://localhost:*",
        "Web origins whose scripts may call",
    ),
    setting(
        "trusted_proxies",
        Kind::List,
        "networks between commas, as in 10.0.0.0/8,fd00::/8",
        "Networks of the proxies before the server: a call from one counts for the client that its x-forwarded-for names",
    ),
    number("workers", "Tasks that drive fan-out"),
    number(
        "heartbeat_ms",
        "Milliseconds between two signs of life on an idle stream",
    ),
    number(
        "drain_grace_ms",
        "Milliseconds that work in hand gets to finish when the server stops",
    ),
    CLUSTER[0],
    CLUSTER[1],
    CLUSTER[2],
    CQL[0],
    CQL[1],
    CQL[2],
    CQL[3],
    CQL[4],
    CQL[5],
    CQL[6],
    CONSISTENCY[0],
    CONSISTENCY[1],
    CONSISTENCY[2],
    CONSISTENCY[3],
    REDIS[0],
    REDIS[1],
    REDIS[2],
    REDIS[3],
    setting(
        "tls.cert",
        Kind::Text,
        PATH,
        "PEM file of the certificate chain, leaf first",
    ),
    setting("tls.key", Kind::Text, PATH, "PEM file of the private key"),
    setting(
        "admin.listen",
        Kind::Text,
        ADDRESS,
        "Address of the operators' port; port 0 picks a free one",
    ),
    setting(
        "admin.token_file",
        Kind::Text,
        PATH,
        "File of the operators' token; admin.token in the data folder if left out",
    ),
    setting(
        "admin.tls.cert",
        Kind::Text,
        PATH,
        "PEM file of the operators' port's certificate chain",
    ),
    setting(
        "admin.tls.key",
        Kind::Text,
        PATH,
        "PEM file of the operators' port's private key",
    ),
    number(
        "connection.max",
        "Open connections of a port; further ones are closed at once",
    ),
    number(
        "connection.max_streams",
        "Open streams of a port; further ones are refused",
    ),
    number(
        "connection.max_age_s",
        "Seconds after which a connection is asked to end once its calls are done",
    ),
    number(
        "connection.keepalive_interval_s",
        "Seconds without a frame until the client is asked for a sign of life",
    ),
    number(
        "connection.keepalive_timeout_s",
        "Seconds that the client gets to give it",
    ),
    number(
        "connection.handshake_timeout_s",
        "Seconds for the TLS handshake, and again for the first request head",
    ),
    number(
        "connection.stall_timeout_s",
        "Seconds that a client may leave an answer untaken",
    ),
    READ[0],
    READ[1],
    READ[2],
    READ[3],
    WRITE[0],
    WRITE[1],
    WRITE[2],
    WRITE[3],
    AUTH[0],
    AUTH[1],
    AUTH[2],
    AUTH[3],
    STREAM[0],
    STREAM[1],
    STREAM[2],
    STREAM[3],
    setting("telemetry.format", Kind::Text, "text or json", "Shape of a log line"),
    setting(
        "telemetry.filter",
        Kind::Text,
        "a filter, as in info,social_server=debug",
        "Which log lines are written",
    ),
    setting(
        "telemetry.metrics_listen",
        Kind::Text,
        ADDRESS,
        "Where Prometheus finds metrics; nowhere if left out",
    ),
    number("dev.users", "People in the world that dev mode seeds"),
    number("dev.seed", "The same seed gives the same world"),
];
