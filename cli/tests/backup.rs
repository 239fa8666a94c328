//! `socialctl admin backup` of a server that serves, and `social-server restore` of what it wrote.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, their helpers included"
)]

mod run;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use run::server::Server;
use run::{Ctl, Run};

/// Bytes that a way lets pass before it breaks: the handshake, and some pieces.
const PASSES: usize = 1 << 20;

/// The server's own commands.
fn social_server(arguments: &[&str]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_socialctl")).with_file_name("social-server");
    Command::new(binary).args(arguments).output().unwrap()
}

/// Names of what is in the home folder, its contexts aside.
fn files(ctl: &Ctl) -> Vec<String> {
    let entries = fs::read_dir(ctl.path("")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("contexts"))
        .collect();
    names.sort();
    names
}

/// Posts of 20 KB each, so that a backup takes a while.
fn fill(ctl: &Ctl) {
    ctl.register("ada");
    let text = "\u{1d54f}".repeat(5_000);
    for _ in 0..150 {
        ctl.run_with(&text, ["post", "create", "-"]).ok();
    }
}

#[test]
fn a_backup_is_taken_and_a_server_goes_on_from_it() {
    let mut server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let post = ctl.ok(["post", "create", "Worth keeping", "-o", "id"]);
    let taken = ctl.json(["admin", "backup", "social.backup"]);
    let file = ctl.path("social.backup");
    let (length, mode) = {
        let meta = fs::metadata(&file).unwrap();
        (meta.len(), meta.permissions().mode() & 0o777)
    };
    assert_eq!(mode, 0o600);
    assert_eq!(
        (taken["bytes"].as_u64(), &taken["file"]),
        (Some(length), &"social.backup".into())
    );
    assert!(
        taken["rows"].as_u64() > Some(5) && taken["create_time"].as_str().unwrap().ends_with('Z'),
        "{taken}"
    );
    assert_eq!(files(&ctl), ["social.backup"], "nothing else is left");

    // What is there is not replaced unless that is said.
    let err = ctl.run(["admin", "backup", "social.backup"]).fails(6);
    assert!(err.contains("--replace"), "{err}");
    let card = ctl.ok(["admin", "backup", "social.backup", "--replace"]);
    assert!(card.contains("rows") && card.contains("size"), "{card}");

    let data = server.admin_token_file().parent().unwrap().to_path_buf();
    let restored = data.with_file_name("restored");
    let (from, to) = (file.to_str().unwrap(), restored.to_str().unwrap());
    let done = social_server(&["restore", "--from", from, "--data-dir", to]);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success() && said.contains("restored ") && said.contains("signing keys"),
        "{said}"
    );
    let copied = Command::new("cp")
        .arg("-a")
        .arg(data.join("keys"))
        .arg(&restored)
        .status()
        .unwrap();
    assert!(copied.success());
    server.kill_and_start_on("restored");
    assert_eq!(ctl.ok(["post", "list", "@ada", "-o", "id"]), post);
    assert_eq!(ctl.json(["auth", "whoami"])["handle"], "ada", "still logged in");
}

/// How a way to a server breaks.
#[derive(Clone, Copy)]
enum Break {
    /// The connection is cut.
    Cut,
    /// Nothing comes any more.
    Silence,
}

/// A way to a server that breaks once so many bytes came back over it; its URL, and a word when it broke.
fn way(to: &str, how: Break) -> (String, mpsc::Receiver<()>) {
    let to = to.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (broke, broken) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut up_from, &mut up_to);
                // A client that is gone is gone for the server, too.
                let _ = up_to.shutdown(Shutdown::Both);
            });
            let broke = broke.clone();
            thread::spawn(move || back(server, client, how, &broke));
        }
    });
    (url, broken)
}

fn back(mut from: TcpStream, mut to: TcpStream, how: Break, broke: &mpsc::Sender<()>) {
    let mut left = PASSES;
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if read > left {
            let _ = broke.send(());
            match how {
                Break::Cut => drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both))),
                Break::Silence => thread::sleep(Duration::from_secs(60)),
            }
            return;
        }
        left -= read;
        if to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}

#[test]
fn a_backup_that_is_cut_off_or_interrupted_leaves_no_file() {
    let server = Server::start();
    let ctl = server.ctl();
    fill(&ctl);
    let (cut, _broken) = way(&server.admin_endpoint, Break::Cut);
    let err = ctl
        .run(["admin", "backup", "social.backup", "--admin-endpoint", &cut])
        .fails(8);
    assert!(err.contains("take the backup again"), "{err}");
    assert_eq!(files(&ctl), Vec::<String>::new());

    let (silent, broken) = way(&server.admin_endpoint, Break::Silence);
    let mut command = ctl.command(["admin", "backup", "social.backup", "--admin-endpoint", &silent]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    broken.recv_timeout(Duration::from_secs(30)).expect("it broke half-way");
    let parts = files(&ctl);
    assert!(parts.len() == 1 && parts[0].ends_with(".part"), "{parts:?}");
    let mode = fs::metadata(ctl.path(&parts[0])).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "private from the first byte on");
    let signalled = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status()
        .unwrap();
    assert!(signalled.success());
    let ended = Run::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{ended:?}");
    assert_eq!(files(&ctl), Vec::<String>::new());

    // The server took no harm, and has a place for another once it knows that the first is gone.
    let again = (0..100).find_map(|_| {
        let run = ctl.run(["admin", "backup", "social.backup"]);
        assert!(matches!(run.code, 0 | 7), "{run:?}");
        (run.code == 0).then_some(run).or_else(|| {
            thread::sleep(Duration::from_millis(50));
            None
        })
    });
    again.expect("a place for another").ok();
    assert!(fs::metadata(ctl.path("social.backup")).unwrap().len() > 2 << 20);
}

#[test]
fn a_folder_that_is_not_there_is_told_before_anything_is_asked() {
    let server = Server::start();
    let ctl = server.ctl();
    let err = ctl.run(["admin", "backup", "nowhere/social.backup"]).fails(5);
    assert!(err.contains("cannot write nowhere/social.backup"), "{err}");
    assert!(ctl.run(["admin", "backup", ".."]).code != 0);
    assert_eq!(files(&ctl), Vec::<String>::new());
}
