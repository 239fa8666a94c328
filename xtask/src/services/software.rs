//! Finds the programs that services run on, and gets what is missing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use super::process::{quietly, random, write};

/// The version of Apache Cassandra that is fetched.
pub(super) const CASSANDRA: &str = "5.0.5";
/// The artifact that holds a Redis server for machines where nothing may be installed.
const EMBEDDED_REDIS: &str = "1.4.3";
/// Cassandra 5.0 runs on it and on nothing newer.
const JAVA: &str = "17";

/// Where downloads and the state of `services up` are kept.
pub(super) fn cache() -> PathBuf {
    crate::target().join("services")
}

/// A program on `PATH`.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether a Docker daemon answers.
pub(super) fn docker_answers() -> bool {
    on_path("docker").is_some() && quietly(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))
}

/// A Java that Cassandra runs on.
pub(super) fn java() -> Result<PathBuf, String> {
    if let Some(java) = installed_java() {
        return Ok(java);
    }
    if install(&["openjdk-17-jre-headless"])
        && let Some(java) = installed_java()
    {
        return Ok(java);
    }
    Err(format!(
        "Apache Cassandra needs Java {JAVA}: install it (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME"
    ))
}

fn installed_java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let mut candidates: Vec<PathBuf> = home.into_iter().chain(on_path("java")).collect();
    for entry in fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten() {
        candidates.push(entry.path().join("bin/java"));
    }
    candidates.into_iter().find(|java| is_right(java))
}

fn is_right(java: &Path) -> bool {
    let output = Command::new(java).arg("-version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.contains(&format!("version \"{JAVA}.")) || text.contains(&format!("version \"{JAVA}\""))
    })
}

/// Maven, which checks what it fetches.
fn maven() -> Result<PathBuf, String> {
    if let Some(maven) = on_path("mvn") {
        return Ok(maven);
    }
    if install(&["maven"])
        && let Some(maven) = on_path("mvn")
    {
        return Ok(maven);
    }
    Err("Maven is needed once: install it (Debian: apt-get install maven)".to_owned())
}

/// Installs packages where we may: on Debian and its relatives, as root.
pub(super) fn install(packages: &[&str]) -> bool {
    static LISTS: Once = Once::new();
    let root = Command::new("id").arg("-u").output();
    let root = root.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root || on_path("apt-get").is_none() {
        return false;
    }
    eprintln!("installing {}", packages.join(" "));
    LISTS.call_once(|| {
        quietly(Command::new("apt-get").args(["update", "-qq"]));
    });
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // A service that starts by itself would take the usual port.
    command.env("RUNLEVEL", "1");
    quietly(
        command
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages),
    )
}

/// The folder of Cassandra's jars, from the cache or from Maven Central.
pub(super) fn cassandra() -> Result<PathBuf, String> {
    let kept = cache().join(format!("cassandra-{CASSANDRA}"));
    let folder = once(&kept, |folder| {
        maven()?;
        eprintln!("fetching Apache Cassandra {CASSANDRA} from Maven Central (66 MB, once)");
        let pom = pom(folder, "org.apache.cassandra", "cassandra-all", CASSANDRA)?;
        maven_goal(
            &pom,
            "copy-dependencies",
            &folder.join("lib"),
            &["-DincludeScope=runtime"],
        )
    })?;
    Ok(folder.join("lib"))
}

/// The Redis server inside of an artifact, from the cache or from Maven Central. Older than what apt has, and without
/// sharded pub/sub.
pub(super) fn embedded_redis() -> Result<PathBuf, String> {
    let (system, machine) = (env::consts::OS, env::consts::ARCH);
    let system = if system == "macos" { "darwin" } else { system };
    let machine = match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let kept = cache().join(format!("embedded-redis-{EMBEDDED_REDIS}"));
    let folder = once(&kept, |folder| {
        maven()?;
        eprintln!("fetching a Redis server from Maven Central (26 MB, once)");
        let pom = pom(folder, "com.github.codemonstur", "embedded-redis", EMBEDDED_REDIS)?;
        let only = ["-Dmdep.unpack.includes=redis-server*", "-DexcludeTransitive=true"];
        maven_goal(&pom, "unpack-dependencies", folder, &only)
    })?;
    let ending = format!("{system}-{machine}");
    let files = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let found = files.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("redis-server") && name.ends_with(&ending)
    });
    let Some(server) = found else {
        return Err(format!("install redis-server: none is known for {ending}"));
    };
    quietly(Command::new("chmod").arg("+x").arg(&server));
    Ok(server)
}

/// The library that gives a program a clock of its own: an installed one, or the one of the Debian package, which is unpacked into the cache and
/// installed nowhere.
pub fn faketime() -> Result<PathBuf, String> {
    let installed = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    if let Some(library) = installed.iter().find_map(|folder| faketime_below(folder)) {
        return Ok(library);
    }
    let folder = once(&cache().join("libfaketime"), |folder| {
        eprintln!("fetching libfaketime from Debian (47 KB, once)");
        let download = || {
            quietly(
                Command::new("apt-get")
                    .args(["download", "-qq", "libfaketime"])
                    .current_dir(folder),
            )
        };
        let is_there = download() || (quietly(Command::new("apt-get").args(["update", "-qq"])) && download());
        let package = fs::read_dir(folder).into_iter().flatten().flatten().next();
        let unpacked = is_there
            && package
                .is_some_and(|package| quietly(Command::new("dpkg-deb").arg("-x").arg(package.path()).arg(folder)));
        let why = "libfaketime cannot be fetched: install it (Debian: apt-get install libfaketime)";
        unpacked.then_some(()).ok_or_else(|| why.to_owned())
    })?;
    faketime_below(&folder.join("usr/lib")).ok_or_else(|| format!("{} holds no libfaketime", folder.display()))
}

/// The library for programs of many threads, as packages lay it below a folder of libraries.
fn faketime_below(libraries: &Path) -> Option<PathBuf> {
    let architectures = fs::read_dir(libraries).into_iter().flatten().flatten();
    let folders = architectures.map(|entry| entry.path()).chain([libraries.to_owned()]);
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

/// Fills a folder of the cache once: it appears when it is whole, so that an interrupted download leaves nothing half.
fn once(kept: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    if kept.is_dir() {
        return Ok(kept.to_owned());
    }
    let fresh = cache().join(format!("fetching-{:016x}", random()));
    let explain = |error: std::io::Error| format!("{}: {error}", kept.display());
    fs::create_dir_all(&fresh).map_err(explain)?;
    let filled = fill(&fresh).and_then(|()| match fs::rename(&fresh, kept) {
        // Another process was faster.
        Err(_) if kept.is_dir() => Ok(()),
        other => other.map_err(explain),
    });
    // There is something left only after a failure, which is what counts.
    let _ = fs::remove_dir_all(&fresh);
    filled.map(|()| kept.to_owned())
}

fn pom(folder: &Path, group: &str, artifact: &str, version: &str) -> Result<PathBuf, String> {
    let path = folder.join("pom.xml");
    let dependency =
        format!("<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>");
    let text = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  \
         <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>local</groupId><artifactId>services</artifactId><version>1</version>\n  \
         <dependencies><dependency>{dependency}</dependency></dependencies>\n</project>\n"
    );
    write(&path, &text)?;
    Ok(path)
}

fn maven_goal(pom: &Path, goal: &str, folder: &Path, options: &[&str]) -> Result<(), String> {
    let mut command = Command::new(maven()?);
    command
        .args(["--batch-mode", "--quiet", "--strict-checksums", "--file"])
        .arg(pom)
        .arg(format!("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:{goal}"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .arg(format!("-Dmaven.repo.local={}", cache().join("maven").display()))
        .args(options)
        .stdin(Stdio::null());
    // What it says goes to stderr: stdout is for the addresses.
    let output = command.output().map_err(|error| format!("mvn: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = text
        .lines()
        .find(|line| line.contains("ERROR"))
        .unwrap_or("it says nothing");
    Err(format!("mvn {goal}: {}: {complaint}", output.status))
}
