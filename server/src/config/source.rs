//! Where a configuration comes from: defaults, then the file, then variables, then flags.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

use super::{Config, Error, Kind, SETTINGS, Setting, Store, variables};

/// How the server was asked to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serve what is in the data folder.
    Serve,
    /// Seed a small world on the first start, and serve it.
    Dev,
    /// Add a signing key to the data folder, and exit.
    RotateKeys,
    /// Bring the cluster's keyspace to the newest schema, and exit.
    Migrate,
    /// Make the data folder from a backup, and exit.
    Restore {
        /// The backup.
        from: PathBuf,
    },
}

/// What a command line came to.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// How to run.
    pub mode: Mode,
    /// Print the configuration instead of serving.
    pub dump_config: bool,
    /// The configuration, validated.
    pub config: Config,
}

/// Reads the command line, the variables and the file. Prints help and version by itself, and then exits.
///
/// # Errors
/// When a value cannot be read or used, or a variable `SOCIAL_*` is no setting. What clap itself refuses (an unknown flag) it reports and exits with 2.
pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Error> {
    let matches = read(args.into_iter().collect());
    variables::check(std::env::vars_os())?;
    let mode = mode(&matches);
    let values = matches.subcommand().map_or(&matches, |(_, sub)| sub);
    let file = values.get_one::<String>("config").map(PathBuf::from);
    let defaults = if mode == Mode::Dev {
        Config::dev()
    } else {
        Config::default()
    };
    let config = load(&defaults, file.as_deref(), &overrides(values))?;
    check_store(&mode, config.store)?;
    Ok(Invocation {
        mode,
        dump_config: values.get_flag("dump-config"),
        config,
    })
}

fn mode(matches: &ArgMatches) -> Mode {
    match matches.subcommand() {
        Some(("dev", _)) => Mode::Dev,
        Some(("rotate-keys", _)) => Mode::RotateKeys,
        Some(("migrate", _)) => Mode::Migrate,
        Some(("restore", values)) => Mode::Restore {
            from: values.get_one::<PathBuf>(FROM).cloned().unwrap_or_default(),
        },
        _ => Mode::Serve,
    }
}

/// The option that names a backup; it is required.
const FROM: &str = "from";

/// Refuses a command that is not for this store.
fn check_store(mode: &Mode, store: Store) -> Result<(), Error> {
    let problem = match (mode, store) {
        (Mode::Dev, Store::Cluster) => "store: is cluster; dev mode works on a data folder of its own, so leave it out",
        (Mode::Migrate, Store::Embedded) => {
            "store: is embedded, which is never migrated by hand; for a cluster set store to cluster, and section [cluster]"
        }
        (Mode::Restore { .. }, Store::Cluster) => {
            "store: is cluster, whose rows are in its CQL store; a backup is restored into a data folder, so leave it out"
        }
        _ => return Ok(()),
    };
    Err(Error::Unusable(vec![problem.to_owned()]))
}

/// A setting's text and where it stood.
struct Override {
    setting: &'static Setting,
    text: String,
    origin: String,
}

fn command() -> Command {
    let command = Command::new("social-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The social platform's server")
        .after_help("Each setting is a key of the TOML file, a variable and a flag; flags win over variables, those over the file.")
        .subcommand(Command::new("serve").about("Serves what is in the data folder (the default)"))
        .subcommand(Command::new("dev").about("Serves a small seeded world on a folder of its own"))
        .subcommand(
            Command::new("rotate-keys")
                .about("Adds a key that tokens are signed with; a running server takes it up within 90 seconds"),
        )
        .subcommand(
            Command::new("migrate")
                .about("Makes a cluster's keyspace, or brings it to the newest schema; before the first start and each upgrade"),
        )
        .subcommand(
            Command::new("restore")
                .about("Makes a new data folder from a backup that `socialctl admin backup` took")
                .arg(
                    Arg::new(FROM)
                        .long(FROM)
                        .value_name("FILE")
                        .required(true)
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("The backup"),
                ),
        )
        .arg(option("config", variables::CONFIG).value_name("FILE").help("TOML file of settings"))
        .arg(
            Arg::new("dump-config")
                .long("dump-config")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Print the effective configuration as TOML, and exit"),
        );
    SETTINGS
        .iter()
        .fold(command, |command, setting| command.arg(argument(setting)))
}

fn option(flag: &str, variable: &str) -> Arg {
    Arg::new(flag.to_owned())
        .long(flag.to_owned())
        .env(variable.to_owned())
        .global(true)
        .hide_env_values(true)
}

fn argument(setting: &'static Setting) -> Arg {
    let section = setting
        .key
        .rsplit_once('.')
        .map_or("Settings".to_owned(), |(section, _)| format!("Settings: {section}"));
    let name = setting.key.rsplit_once('.').map_or(setting.key, |(_, name)| name);
    let argument = option(&setting.flag(), &setting.variable())
        .value_name(name.to_uppercase())
        .help(setting.help)
        .help_heading(section);
    match setting.kind {
        Kind::Switch => argument.num_args(0..=1).default_missing_value("true"),
        _ => argument,
    }
}

/// Reads a command line, or reports what is wrong with it and exits. The usage line that it then prints tells what the command takes: clap's
/// own names each option that was set, and those that variables set look as if they had to be typed.
fn read(args: Vec<OsString>) -> ArgMatches {
    command().try_get_matches_from(args.clone()).unwrap_or_else(|_| {
        let mut command = command();
        command.build();
        fix_usage(&mut command);
        command.get_matches_from(args)
    })
}

fn fix_usage(command: &mut Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    *command = std::mem::take(command).override_usage(usage);
    command.get_subcommands_mut().for_each(fix_usage);
}

fn overrides(matches: &ArgMatches) -> Vec<Override> {
    let given = |setting: &'static Setting| {
        let flag = setting.flag();
        let text = matches.get_one::<String>(&flag)?.clone();
        let origin = match matches.value_source(&flag) {
            Some(ValueSource::EnvVariable) => setting.variable(),
            _ => format!("--{flag}"),
        };
        Some(Override { setting, text, origin })
    };
    SETTINGS.iter().filter_map(given).collect()
}

fn load(defaults: &Config, file: Option<&Path>, overrides: &[Override]) -> Result<Config, Error> {
    let mut table = Table::try_from(defaults).unwrap_or_default();
    if let Some(path) = file {
        merge(&mut table, read_file(path)?);
    }
    for given in overrides {
        apply(&mut table, given)?;
    }
    let config: Config = table
        .try_into()
        .map_err(|error: toml::de::Error| Error::Unusable(vec![plain(error.message())]))?;
    config.validate()?;
    Ok(config)
}

/// The file's table. It is read as a whole configuration first, since only that tells the line of a mistake.
fn read_file(path: &Path) -> Result<Table, Error> {
    let text = std::fs::read_to_string(path).map_err(|reason| Error::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    let wrong = |error: toml::de::Error| Error::File {
        path: path.to_owned(),
        reason: plain(&error.to_string()),
    };
    let table: Table = text.parse().map_err(wrong)?;
    toml::from_str::<Config>(&text).map_err(wrong)?;
    Ok(table)
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn apply(table: &mut Table, given: &Override) -> Result<(), Error> {
    let refused = |reason: String| Error::Value {
        key: given.setting.key,
        origin: given.origin.clone(),
        reason,
        expected: given.setting.expects,
    };
    let value = parse(given.setting.kind, &given.text).map_err(refused)?;
    insert(table, given.setting.key, value);
    // Read now, so that a mistake is told with the variable or flag that it stands in.
    table
        .clone()
        .try_into::<Config>()
        .map_err(|error| refused(plain(error.message())))?;
    Ok(())
}

/// A parser's message in words of operators: it names types of this program.
fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("usize", "a whole number, 0 or greater"),
        ("u64", "a whole number, 0 or greater"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("u16", "a whole number from 0 to 65535"),
        ("u8", "a whole number from 0 to 255"),
        ("i64", "a whole number"),
        ("f64", "a number"),
        ("a sequence", "a list, as in [\"a\", \"b\"]"),
        ("a map", "a section"),
    ];
    let (what, expected) = match message.split_once(", expected ") {
        Some(parts) => parts,
        None => return message.to_owned(),
    };
    let (expected, rest) = expected.split_at(expected.find('\n').unwrap_or(expected.len()));
    let word = WORDS.iter().find(|(type_name, _)| *type_name == expected);
    let expected = word.map_or(expected, |(_, word)| word);
    format!("{what}, expected {expected}{rest}")
}

fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    let wrong = || format!("`{text}` cannot be read");
    match kind {
        Kind::Text => Ok(Value::String(text.to_owned())),
        Kind::Number => text.replace('_', "").parse().map(Value::Integer).map_err(|_| wrong()),
        Kind::Switch => text.parse().map(Value::Boolean).map_err(|_| wrong()),
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write as _;

    use super::super::Role;
    use super::*;

    fn given(key: &str, text: &str) -> Override {
        let setting = SETTINGS.iter().find(|setting| setting.key == key).unwrap();
        Override {
            setting,
            text: text.to_owned(),
            origin: format!("--{}", setting.flag()),
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn leaves(prefix: &str, table: &Table, into: &mut BTreeSet<String>) {
        for (key, value) in table {
            let key = if prefix.is_empty() {
                key.clone()
            } else {
                format!("{prefix}.{key}")
            };
            match value {
                Value::Table(inner) => leaves(&key, inner, into),
                _ => {
                    into.insert(key);
                }
            }
        }
    }

    #[test]
    fn every_key_is_a_setting_and_every_setting_a_key() {
        let optional = |key: &str| {
            let text = match key {
                "telemetry.filter" => "info",
                "cluster.node" => "1",
                _ => "127.0.0.1:1",
            };
            given(key, text)
        };
        let missing = [
            "tls.cert",
            "tls.key",
            "admin.token_file",
            "admin.tls.cert",
            "admin.tls.key",
            "telemetry.filter",
            "telemetry.metrics_listen",
            "keys_dir",
            "cluster.node",
            "cluster.name",
            "cluster.cql.datacenter",
            "cluster.cql.user",
            "cluster.cql.password_file",
            "cluster.cql.ca_file",
            "cluster.redis.url",
            "cluster.redis.url_file",
            "cluster.redis.ca_file",
        ];
        let full = load(&Config::default(), None, &missing.map(optional)).unwrap();
        let mut keys = BTreeSet::new();
        leaves("", &Table::try_from(&full).unwrap(), &mut keys);
        let settings: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
        assert_eq!(keys, settings);
    }

    #[test]
    fn flags_win_over_the_file_and_it_over_defaults() {
        let file = file("workers = 3\n[admin]\nlisten = \"127.0.0.1:7\"\n[rate_limits.read]\nuser_burst = 9\n");
        let config = load(
            &Config::default(),
            Some(file.path()),
            &[given("admin.listen", "127.0.0.1:8")],
        )
        .unwrap();
        assert_eq!((config.workers, config.admin.listen.port()), (3, 8));
        assert_eq!(config.rate_limits.read.user_burst, 9);
        assert_eq!(
            config.rate_limits.read.user_per_second,
            Config::default().rate_limits.read.user_per_second
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let cases = [
            ("lissten = 1\n", "unknown field `lissten`"),
            ("listen = \"here\"\n", "line 1"),
            ("[telemetry]\nformat = \"xml\"\n", "line 2"),
            ("listen = ", "line 1"),
            ("workers = \"many\"\n", "expected a whole number, 0 or greater"),
            ("workers = -1\n", "expected a whole number, 0 or greater"),
            ("cors_origins = 1\n", "expected a list"),
        ];
        for (text, expected) in cases {
            let file = file(text);
            let error = load(&Config::default(), Some(file.path()), &[])
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = load(&Config::default(), None, &[given("listen", "here")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`listen` (from --listen)") && error.contains("127.0.0.1:50051"),
            "{error}"
        );
        let error = load(&Config::default(), None, &[given("workers", "many")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("`many` cannot be read"), "{error}");
    }

    #[test]
    fn the_dump_reads_back() {
        let config = Config::dev();
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
        let cluster = [
            ("store", "cluster"),
            ("cluster.roles", "worker"),
            ("cluster.node", "7"),
            ("cluster.cql.contact_points", "10.0.0.1:9042,scylla-2"),
            ("cluster.cql.replication", "dc1:3,dc2:2"),
            ("cluster.cql.consistency.truth_read", "local_quorum"),
            ("cluster.redis.url_file", "/run/secrets/redis"),
        ];
        let config = load(&Config::default(), None, &cluster.map(|(key, text)| given(key, text))).unwrap();
        assert!(config.has(Role::Worker) && !config.has(Role::Api));
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn a_wrong_value_of_the_cluster_is_told_with_what_is_right() {
        for (key, text, right) in [
            ("store", "scylla", "embedded or cluster"),
            ("cluster.roles", "api,web", "api, worker, or both"),
            ("cluster.node", "-1", "a whole number"),
            ("cluster.cql.replication", "three", "dc1:3,dc2:3"),
            (
                "cluster.cql.consistency.truth_write",
                "two",
                "one, quorum, local_quorum or all",
            ),
        ] {
            let error = load(&Config::default(), None, &[given(key, text)])
                .unwrap_err()
                .to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(right), "{error}");
        }
    }

    #[test]
    fn each_command_is_for_its_store() {
        let refused = |args: &[&str]| {
            let args = std::iter::once("social-server").chain(args.iter().copied());
            from_args(args.map(OsString::from)).unwrap_err().to_string()
        };
        assert!(refused(&["migrate"]).contains("store: is embedded"));
        let cluster = [
            "dev",
            "--store=cluster",
            "--cluster-cql-contact-points=a",
            "--cluster-redis-url=redis://a",
        ];
        assert!(refused(&cluster).contains("store: is cluster"));
        let restore = [["restore", "--from=x"].as_slice(), &cluster[1..]].concat();
        assert!(refused(&restore).contains("restored into a data folder"));
    }

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
        let args = [
            "social-server",
            "dev",
            "--workers",
            "5",
            "--reflection",
            "false",
            "--dump-config",
        ]
        .map(OsString::from);
        let invocation = from_args(args).unwrap();
        assert_eq!((invocation.mode, invocation.config.workers), (Mode::Dev, 5));
        assert!(invocation.dump_config && !invocation.config.reflection);
        let rotate = ["social-server", "rotate-keys"].map(OsString::from);
        assert_eq!(from_args(rotate).unwrap().mode, Mode::RotateKeys);
        let restore = ["social-server", "restore", "--from", "a.backup", "--data-dir", "new"].map(OsString::from);
        let invocation = from_args(restore).unwrap();
        let from = PathBuf::from("a.backup");
        assert_eq!(
            (invocation.mode, invocation.config.data_dir),
            (Mode::Restore { from }, "new".into())
        );
        let before = ["social-server", "--workers", "6", "serve"].map(OsString::from);
        assert_eq!(from_args(before).unwrap().config.workers, 6);
    }
}
