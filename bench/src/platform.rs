//! The platform under test: the server's own binary, with the services that it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use social_sdk::{AdminClient, Client, ClientBuilder};
use tempfile::TempDir;
use tokio::task::block_in_place;
use xtask::services::{self, Server, Services};

use crate::bare;
use crate::failure::{During as _, Failure, Result};
use crate::memory::Memory;

/// A store that was just made is slow to make tables.
const START: Duration = Duration::from_secs(120);
/// Bound of a call: what waits for longer has failed.
const CALL: Duration = Duration::from_secs(30);

/// What the platform keeps everything in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// One process on a data folder.
    Embedded,
    /// One api and one worker process on a CQL store and Redis.
    Cluster,
}

/// What is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) store: Store,
    /// The server's binary; built from the sources where there is none.
    pub(crate) server: Option<PathBuf>,
    /// Settings of the server beyond those of every run: lines of its file, before any section.
    pub(crate) extra: String,
    /// As `extra`, of the section `connection`.
    pub(crate) connection: String,
}

/// A platform that runs. Ends with its owner.
pub(crate) struct Platform {
    // They end in this order.
    processes: Vec<Process>,
    services: Option<Services>,
    folder: TempDir,
    name: String,
}

/// A process of the platform, and where it serves.
struct Process {
    server: Server,
    /// None of a worker's.
    public: Option<String>,
    admin: String,
    admin_token: PathBuf,
}

impl Platform {
    /// Starts services, keyspace and processes.
    pub(crate) fn start(settings: &Settings) -> Result<Self> {
        block_in_place(|| Self::start_all(settings))
    }

    fn start_all(settings: &Settings) -> Result<Self> {
        let server = match &settings.server {
            Some(server) => server.clone(),
            None => build()?,
        };
        let mut platform = Self {
            processes: Vec::new(),
            services: None,
            folder: tempfile::tempdir().during("a folder for the run")?,
            name: format!("bench_{}", std::process::id()),
        };
        match settings.store {
            Store::Embedded => platform.start_process(&server, settings, "server", "")?,
            Store::Cluster => {
                eprintln!("starting a CQL store and Redis");
                let services = Services::start(services::Options::default()).during("services for the cluster")?;
                platform.services = Some(services);
                platform.migrate(&server, settings)?;
                platform.start_process(&server, settings, "api", "\"api\"")?;
                platform.start_process(&server, settings, "worker", "\"worker\"")?;
            }
        }
        Ok(platform)
    }

    fn migrate(&self, server: &Path, settings: &Settings) -> Result<()> {
        let file = self.write_config(settings, "migrate", "\"api\"")?;
        let migrated = command(server).arg("migrate").arg("--config").arg(file).output();
        let migrated = migrated.during("the migration")?;
        if migrated.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&migrated.stderr);
        Err(Failure::new(format!("the migration failed: {}", one_line(&said))))
    }

    fn start_process(&mut self, server: &Path, settings: &Settings, name: &str, roles: &str) -> Result<()> {
        let file = self.write_config(settings, name, roles)?;
        let mut command = command(server);
        command.arg("--config").arg(file);
        let folder = self.folder.path().join("logs").join(name);
        fs::create_dir_all(&folder).during("a folder for the log")?;
        let mut server = Server::start(name, command, folder).map_err(Failure::new)?;
        let log = server.log();
        let mut ports = None;
        let listens = || {
            ports = fs::read_to_string(&log).ok().and_then(|log| announced(&log));
            ports.as_ref().map(drop).ok_or_else(|| "it does not listen".to_owned())
        };
        server
            .wait(START, listens)
            .map_err(|error| Failure::new(one_line(&error)))?;
        let (public, admin) = ports.unwrap_or_default();
        self.processes.push(Process {
            server,
            public,
            admin,
            admin_token: self.data_dir(name).join("admin.token"),
        });
        Ok(())
    }

    fn data_dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_config(&self, settings: &Settings, name: &str, roles: &str) -> Result<PathBuf> {
        let Settings { extra, connection, .. } = settings;
        let free = "127.0.0.1:0";
        let mut text = format!(
            "listen = {free:?}\ndata_dir = {:?}\nkeys_dir = {:?}\ntrusted_proxies = [\"127.0.0.0/8\"]\n{extra}\n",
            self.data_dir(name),
            self.folder.path().join("keys"),
        );
        if let Some(services) = &self.services {
            let points: Vec<String> = services.cql.addresses().split(',').map(str::to_owned).collect();
            let (own, url) = (&self.name, services.redis.url());
            text += &format!(
                "store = \"cluster\"\n[cluster]\nroles = [{roles}]\nname = {name:?}\n\
                 [cluster.cql]\ncontact_points = {points:?}\nkeyspace = {own:?}\nreplication = \"1\"\n\
                 [cluster.redis]\nurl = {url:?}\nprefix = {own:?}\n"
            );
        }
        text += &format!("[admin]\nlisten = {free:?}\n[connection]\n{connection}\n[telemetry]\nfilter = \"warn\"\n");
        for class in ["read", "write", "auth", "stream"] {
            text += &format!("[rate_limits.{class}]\nuser_per_second = 0\naddress_per_second = 0\n");
        }
        let file = self.folder.path().join(format!("{name}.toml"));
        fs::write(&file, text).during("the server's configuration")?;
        Ok(file)
    }

    /// A client of the process that serves, with the timeouts of a bench.
    pub(crate) fn client(&self) -> Result<ClientBuilder> {
        let public = self.processes.iter().find_map(|process| process.public.clone());
        let public = public.ok_or_else(|| Failure::new("no process serves"))?;
        Ok(Client::builder().endpoint(public).timeout(CALL))
    }

    /// A client for operators.
    pub(crate) fn admin(&self) -> Result<AdminClient> {
        let process = self.processes.first().ok_or_else(|| Failure::new("no process runs"))?;
        let token = fs::read_to_string(&process.admin_token).during("the admin token")?;
        let builder = AdminClient::builder()
            .endpoint(&process.admin)
            .connections(4)
            .timeout(CALL);
        builder.build_admin(token).during("the operators' client")
    }

    /// Where the CQL store is.
    pub(crate) fn cql(&self) -> Result<String> {
        let services = self.services.as_ref();
        let services = services.ok_or_else(|| Failure::new("there is no CQL store"))?;
        Ok(services.cql.addresses())
    }

    /// A keyspace beside the platform's.
    pub(crate) fn keyspace_beside(&self) -> String {
        format!("{}_bare", self.name)
    }

    /// Its processes by name and number, services that were started here included. One that has ended fails the run.
    pub(crate) fn processes(&mut self) -> Result<Vec<(String, u32)>> {
        let mut servers: Vec<&mut Server> = self.processes.iter_mut().map(|process| &mut process.server).collect();
        if let Some(services) = &mut self.services {
            servers.extend(
                services
                    .cql
                    .nodes_mut()
                    .iter_mut()
                    .filter_map(services::cql::Node::server),
            );
            servers.extend(services.redis.nodes_mut().iter_mut().map(services::redis::Node::server));
        }
        servers.into_iter().map(running).collect()
    }

    /// What each process holds.
    pub(crate) fn memory(&mut self) -> Result<Vec<Memory>> {
        let processes = self.processes()?;
        processes.iter().map(|(name, pid)| Memory::of(name, *pid)).collect()
    }

    /// Ends it, and leaves nothing behind in stores that were not started here.
    pub(crate) async fn close(mut self) -> Result<()> {
        block_in_place(|| self.processes.clear());
        if let Some(services) = &self.services {
            let session = bare::connect(&services.cql.addresses()).await?;
            bare::drop_keyspace(&session, &self.name).await?;
        }
        block_in_place(|| drop(self));
        Ok(())
    }
}

fn running(server: &mut Server) -> Result<(String, u32)> {
    let pid = if server.alive() { server.pid() } else { None };
    let ended = || {
        Failure::new(format!(
            "{} ended in the run: {}",
            server.name(),
            one_line(&server.last_lines())
        ))
    };
    Ok((server.name().to_owned(), pid.ok_or_else(ended)?))
}

/// Builds the server as it is to be measured.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--locked", "--quiet", "-p", "social-server"])
        .current_dir(xtask::root());
    eprintln!("building the server");
    match build.status().during("cargo")?.success() {
        true => Ok(xtask::target().join("release/social-server")),
        false => Err(Failure::new(
            "the server was not built; --server FILE takes one that is there",
        )),
    }
}

/// The binary, without anything of the environment that could change its configuration.
fn command(server: &Path) -> Command {
    let mut command = Command::new(server);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SOCIAL_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
}

/// The public address, of a process that has one, and the operators'.
fn announced(log: &str) -> Option<(Option<String>, String)> {
    // A line that is being written is not whole.
    let whole = log.rsplit_once('\n')?.0;
    whole.lines().find_map(|line| {
        let (said, admin) = line.strip_suffix(')')?.split_once(" (admin ")?;
        let public = match said.strip_prefix("listening on ") {
            Some(public) => Some(public.to_owned()),
            None if said == "working" => None,
            None => return None,
        };
        Some((public, admin.to_owned()))
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_a_server_says() {
        let log = "warn: something\nlistening on grpc://127.0.0.1:1 (admin grpc://127.0.0.1:2)\n";
        let (public, admin) = announced(log).unwrap();
        assert_eq!(
            (public.as_deref(), admin.as_str()),
            (Some("grpc://127.0.0.1:1"), "grpc://127.0.0.1:2")
        );
        assert_eq!(
            announced("working (admin grpc://127.0.0.1:2)\n"),
            Some((None, "grpc://127.0.0.1:2".into()))
        );
        assert_eq!(announced("working (admin grpc://127.0.0.1:2)"), None);
        assert_eq!(announced("an error\n"), None);
    }
}
