//! Servers as processes of ours, which end with us whatever happens to us.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a folder of ours is called; nothing else is ever deleted.
pub(super) const FOLDER: &str = "social-services-";
/// How much of a log an error shows.
const LAST_LINES: usize = 12;
const POLL: Duration = Duration::from_millis(50);

/// Waits for the end of whoever started it, which closes its standard input, also where that was by kill -9: then ends the
/// server that it was told last, and deletes its folder. On `bye` it leaves both alone. It ignores what a terminal sends to
/// all, because it is needed just then.
const LEASH: &str = r#"
trap '' HUP INT TERM
held=
while read -r word; do
    [ "$word" = bye ] && exit 0
    held=$word
done
case $held in
'') ;;
*[!0-9]*) docker rm --force --volumes "$held" ;;
*)
    kill -KILL "$held"
    tries=0
    while kill -0 "$held" && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
    ;;
esac
rm -rf "$1"
rmdir "$(dirname "$1")"
"#;

/// A random number that differs from process to process.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A temporary folder, deleted in the end.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    pub(super) fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("{FOLDER}{:016x}", random()));
        // Creating fails where somebody was there before, and nobody else may look inside.
        let created = DirBuilder::new().mode(0o700).create(&path);
        created.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    /// A folder inside.
    pub(super) fn inside(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it stay.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // What is left is in the temporary folder of the machine.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// How a server is stopped, frozen and found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handle {
    /// The process itself.
    Process,
    /// A container of this name; the process is only the Docker client.
    Container(String),
}

/// One server: it can be killed, frozen, thawed and started again with the data that it had.
#[derive(Debug)]
pub struct Server {
    name: String,
    command: Command,
    handle: Handle,
    folder: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    leash: Option<Leash>,
    frozen: bool,
}

impl Server {
    /// A server that was not started yet; its log goes into its folder.
    pub(super) fn new(name: impl Into<String>, command: Command, handle: Handle, folder: PathBuf) -> Self {
        Self {
            name: name.into(),
            command,
            handle,
            folder,
            running: None,
        }
    }

    /// Starts a program that is none of the services. Like those it ends with us, and its folder with it.
    pub fn start(name: &str, command: Command, folder: PathBuf) -> Result<Self, String> {
        let mut server = Self::new(name, command, Handle::Process, folder);
        server.launch()?;
        Ok(server)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts it, without waiting for it to answer.
    pub(super) fn launch(&mut self) -> Result<(), String> {
        if self.running.is_some() {
            return Ok(());
        }
        self.spawn()
            .map_err(|error| format!("{}: {}: {error}", self.name, self.command.get_program().display()))
    }

    fn spawn(&mut self) -> io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut leash = Leash::new(&self.folder)?;
        // What was made before is started again, with its data.
        let mut again = match &self.handle {
            Handle::Container(name) if exists(name) => Some(docker(&["start", "--attach", name])),
            _ => None,
        };
        let command = again.as_mut().unwrap_or(&mut self.command);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: an interrupt at the terminal goes to us, and the leash does the rest in order.
            .process_group(0);
        if let Handle::Container(name) = &self.handle {
            leash.hold(name)?;
        }
        let child = command.spawn()?;
        if self.handle == Handle::Process {
            leash.hold(&child.id().to_string())?;
        }
        self.running = Some(Running {
            child,
            leash: Some(leash),
            frozen: false,
        });
        Ok(())
    }

    /// Waits until the question is answered well; an error says the last answer, and the end of the log.
    pub fn wait(&mut self, patience: Duration, mut question: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let Err(answer) = question() else {
                return Ok(());
            };
            if !self.alive() {
                return Err(format!("{} ended at once:\n{}", self.name, self.last_lines()));
            }
            if start.elapsed() > patience {
                return Err(format!(
                    "{} is not ready after {} s: {answer}\n{}",
                    self.name,
                    patience.as_secs(),
                    self.last_lines()
                ));
            }
            thread::sleep(POLL);
        }
    }

    /// Whether its process is there; it may be frozen.
    pub fn alive(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        if matches!(running.child.try_wait(), Ok(None)) {
            return true;
        }
        self.forget();
        false
    }

    /// Kills it as kill -9 does, and waits for its end. Its data stays.
    pub fn kill(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        match &self.handle {
            Handle::Process => {
                // An error says that it has ended already.
                let _ = running.child.kill();
            }
            Handle::Container(name) => {
                quietly(&mut docker(&["kill", name]));
            }
        }
        let _ = running.child.wait();
        self.forget();
    }

    /// Stops its every thread, as SIGSTOP does: connections stay open and nobody answers.
    pub fn freeze(&mut self) -> Result<(), String> {
        self.pause(true)
    }

    /// Lets a frozen server go on where it was.
    pub fn thaw(&mut self) -> Result<(), String> {
        self.pause(false)
    }

    fn pause(&mut self, frozen: bool) -> Result<(), String> {
        let Some(running) = &mut self.running else {
            return Err(format!("{} does not run", self.name));
        };
        if running.frozen == frozen {
            return Ok(());
        }
        let done = match &self.handle {
            Handle::Process => signal(running.child.id(), if frozen { "STOP" } else { "CONT" }),
            Handle::Container(name) => quietly(&mut docker(&[if frozen { "pause" } else { "unpause" }, name])),
        };
        running.frozen = frozen;
        done.then_some(())
            .ok_or_else(|| format!("{} could not be frozen or thawed", self.name))
    }

    /// Lets it live on when we end.
    pub(super) fn detach(mut self) {
        self.forget();
        // Nothing is left to be removed with us.
        self.handle = Handle::Process;
    }

    fn forget(&mut self) {
        if let Some(Running { leash: Some(leash), .. }) = self.running.take() {
            leash.release();
        }
    }

    /// The file that everything it says goes into.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What the server said last.
    pub fn last_lines(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if let Handle::Container(name) = &self.handle {
            remove(name);
        }
    }
}

/// A process that outlives us for a moment, to end what we started.
#[derive(Debug)]
struct Leash {
    keeper: Child,
    line: Option<ChildStdin>,
}

impl Leash {
    fn new(folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", LEASH, "leash"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            // It must not hold open what our own output goes to.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut keeper = command.spawn()?;
        let line = keeper.stdin.take();
        Ok(Self { keeper, line })
    }

    /// What is to end with us: a process, or a container.
    fn hold(&mut self, what: &str) -> io::Result<()> {
        match &mut self.line {
            Some(line) => writeln!(line, "{what}"),
            None => Ok(()),
        }
    }

    fn release(mut self) {
        if let Some(mut line) = self.line.take() {
            // When it is not there any more it holds nothing either.
            let _ = writeln!(line, "bye");
        }
        let _ = self.keeper.wait();
    }
}

/// Sends a signal; false when the process is not there.
pub(super) fn signal(pid: u32, name: &str) -> bool {
    // The shell has it built in; small systems have no such program.
    quietly(Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, name, &pid.to_string()]))
}

/// Runs a command that says nothing, and whether it succeeded.
pub(super) fn quietly(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A command of Docker.
pub(super) fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

/// Removes a container with what it stored.
pub(super) fn remove(container: &str) {
    quietly(&mut docker(&["rm", "--force", "--volumes", container]));
}

fn exists(container: &str) -> bool {
    quietly(&mut docker(&["container", "inspect", container]))
}

/// When a process was started, which tells it from a later one of the same number. None when there is none, or when it has
/// ended and only waits for somebody to notice.
pub(super) fn started(pid: u32) -> Option<String> {
    let (state, started) = seen(pid)?;
    (!state.starts_with(['Z', 'X'])).then_some(started)
}

/// The state of a process, and when it was started.
fn seen(pid: u32) -> Option<(String, String)> {
    if !has_proc() {
        return Some((column(pid, "stat=")?, column(pid, "lstart=")?));
    }
    // In ticks since the machine was started: unlike a time of day it stays when the clock is set. The name before it, in
    // parentheses, may hold anything.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, format!("{} ticks", fields.nth(18)?)))
}

/// Resident memory of a process in MB.
pub(super) fn memory_mb(pid: u32) -> Option<u64> {
    if !has_proc() {
        return Some(column(pid, "rss=")?.parse::<u64>().ok()? / 1024);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn column(pid: u32, name: &str) -> Option<String> {
    let output = Command::new("ps")
        .args(["-o", name, "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Writes a file, and says which one when that fails.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    let written = File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Folder) -> Server {
        let mut command = Command::new("sleep");
        command.arg("600");
        let inside = folder.inside("sleeper").expect("a folder");
        let mut server = Server::new("sleeper", command, Handle::Process, inside);
        server.launch().expect("sleep");
        server
    }

    fn within_5_s(mut done: impl FnMut() -> bool) -> bool {
        (0..100).any(|_| {
            thread::sleep(POLL);
            done()
        })
    }

    #[test]
    fn a_server_ends_with_its_owner() {
        let folder = Folder::new().expect("a folder");
        let server = sleeper(&folder);
        let pid = server.pid().expect("a process");
        assert!(started(pid).is_some());
        drop(server);
        assert!(started(pid).is_none());
    }

    #[test]
    fn the_leash_ends_what_nobody_could() {
        let folder = Folder::new().expect("a folder");
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        let inside = folder.inside("sleeper").expect("a folder");
        let mut leash = Leash::new(&inside).expect("a leash");
        leash.hold(&child.id().to_string()).expect("held");
        // As the kernel does with the line of a killed process.
        drop(leash.line.take());
        assert!(!child.wait().expect("its end").success());
        leash.keeper.wait().expect("its end");
        assert!(!inside.exists() && !folder.path.exists());
    }

    #[test]
    fn a_server_is_killed_frozen_thawed_and_started_again() {
        let folder = Folder::new().expect("a folder");
        let mut server = sleeper(&folder);
        let first = server.pid().expect("a process");
        server.freeze().expect("frozen");
        // The kernel stops it when it would run next.
        assert!(within_5_s(
            || seen(first).is_some_and(|(state, _)| state.starts_with('T'))
        ));
        server.thaw().expect("thawed");
        assert!(server.alive());
        server.kill();
        assert!(!server.alive() && server.pid().is_none() && started(first).is_none());
        server.launch().expect("again");
        assert!(server.alive());
    }

    #[test]
    fn what_was_detached_stays() {
        let folder = Folder::new().expect("a folder");
        let server = sleeper(&folder);
        let pid = server.pid().expect("a process");
        server.detach();
        assert!(started(pid).is_some());
        assert!(signal(pid, "KILL"));
    }
}
