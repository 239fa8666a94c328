#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::Reason;
use crate::id::{SessionId, UserId};
use secrecy::ExposeSecret;

const START: Time = Time::from_unix_ms(1_800_000_000_000);

fn folder() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("deep/keys");
    (root, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn issue(keys: &Keys, now: Time) -> String {
    keys.issue(UserId(1), SessionId(2), now)
        .unwrap()
        .text
        .expose_secret()
        .to_owned()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_first_start_makes_secret_files_that_the_next_one_uses() {
    let (_root, folder) = folder();
    let keys = Keys::open(&folder, START).unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(files(&folder), ["refresh.key", "signing-1800000000000.pem"]);
    for file in files(&folder) {
        assert_eq!(mode(&folder.join(file)), 0o600);
    }
    let token = issue(&keys, START);
    let again = Keys::open(&folder, START.plus_ms(5_000)).unwrap();
    assert_eq!(files(&folder).len(), 2);
    assert!(again.verify(&token, START.plus_ms(5_000)).is_ok());
    assert!(!format!("{again:?}").contains("PRIVATE"));
}

#[test]
fn processes_that_start_at_once_have_the_same_keys() {
    for _ in 0..20 {
        let (_root, folder) = folder();
        let open = |n: u64| {
            let folder = folder.clone();
            std::thread::spawn(move || Keys::open(&folder, START.plus_ms(n)).unwrap())
        };
        let opened: Vec<_> = (0..8).map(open).collect();
        let opened: Vec<_> = opened.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(files(&folder).len(), 2);
        let token = issue(&opened[0], START);
        assert!(opened.iter().all(|keys| keys.verify(&token, START).is_ok()));
    }
}

#[test]
fn what_others_may_read_is_refused_with_what_to_do() {
    let (_root, folder) = folder();
    Keys::open(&folder, START).unwrap();
    for (path, good, bad) in [
        (folder.clone(), 0o700, 0o750),
        (folder.join("refresh.key"), 0o600, 0o604),
        (folder.join("signing-1800000000000.pem"), 0o600, 0o640),
    ] {
        set_mode(&path, bad);
        let error = Keys::open(&folder, START).unwrap_err().to_string();
        assert!(
            error.contains(&path.display().to_string()) && error.contains(&format!("chmod {good:o}")),
            "{error}"
        );
        set_mode(&path, good);
    }
    Keys::open(&folder, START).unwrap();
}

#[test]
fn files_that_are_no_keys_are_refused_and_change_nothing() {
    let (_root, folder) = folder();
    let keys = Keys::open(&folder, START).unwrap();
    let token = issue(&keys, START);
    let signing = folder.join("signing-1800000000000.pem");
    let pem = fs::read(&signing).unwrap();
    for broken in [
        &b""[..],
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        &pem[..60],
        &[0xff; 5000],
    ] {
        fs::write(&signing, broken).unwrap();
        assert!(matches!(keys.reload(), Err(KeyError::Malformed { .. })));
        assert!(keys.verify(&token, START).is_ok());
    }
    fs::write(&signing, &pem).unwrap();
    fs::write(folder.join("refresh.key"), b"short").unwrap();
    assert!(matches!(keys.reload(), Err(KeyError::Malformed { .. })));
}

#[test]
fn a_rotation_interrupts_nobody() {
    let (_root, folder) = folder();
    let keys = Keys::open(&folder, START).unwrap();
    let other_process = Keys::open(&folder, START).unwrap();
    let rotated = START.plus_ms(1_000_000);
    keys.rotate(rotated).unwrap();
    assert_eq!(files(&folder).len(), 3);

    // Until the others have read the new key, the old one signs.
    let early = rotated.plus(LEAD).plus_ms(0);
    let before = issue(&keys, Time::from_unix_ms(early.unix_ms() - 1000));
    assert!(other_process.verify(&before, early).is_ok());
    let after = issue(&keys, early);
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(kid(&before), kid(&after));
    assert_eq!(
        other_process.verify(&after, early).unwrap_err().reason,
        Reason::TokenInvalid
    );
    other_process.reload().unwrap();
    assert!(other_process.verify(&after, early).is_ok());

    // The old key verifies for as long as its tokens live, is then refused, and goes with the next rotation.
    let last = issue_with_oldest(&other_process, early.plus(RELOAD_INTERVAL));
    let expires = early.plus(RELOAD_INTERVAL).plus(limits::ACCESS_TOKEN_TTL);
    assert!(keys.verify(&last, Time::from_unix_ms(expires.unix_ms() - 1)).is_ok());
    assert_eq!(keys.verify(&last, expires).unwrap_err().reason, Reason::TokenExpired);
    let gone = expires.plus(SKEW).plus_ms(1);
    assert_eq!(keys.verify(&last, gone).unwrap_err().reason, Reason::TokenInvalid);
    keys.rotate(gone).unwrap();
    assert_eq!(files(&folder).len(), 3);
    assert!(!folder.join("signing-1800000000000.pem").exists());
}

/// A token of a process that did not read its folder in time.
fn issue_with_oldest(keys: &Keys, now: Time) -> String {
    let ring = keys.ring();
    let oldest = Ring {
        keys: vec![ring.keys[0].copy()],
        seal: ring.seal.clone(),
    };
    issue(
        &Keys {
            folder: None,
            ring: RwLock::new(Arc::new(oldest)),
            generation: AtomicU64::new(0),
        },
        now,
    )
}

#[test]
fn a_stolen_key_is_gone_when_its_file_is() {
    let (_root, folder) = folder();
    let keys = Keys::open(&folder, START).unwrap();
    let token = issue(&keys, START);
    keys.rotate(START.plus_ms(10)).unwrap();
    keys.reload().unwrap();
    assert_eq!(keys.generation(), 0, "nothing was withdrawn");
    fs::remove_file(folder.join("signing-1800000000000.pem")).unwrap();
    keys.reload().unwrap();
    assert_eq!(keys.generation(), 1);
    assert_eq!(
        keys.verify(&token, START.plus_ms(20)).unwrap_err().reason,
        Reason::TokenInvalid
    );
    // The only key left signs at once.
    let now = START.plus_ms(20);
    assert!(keys.verify(&issue(&keys, now), now).is_ok());
}

#[test]
fn rotations_ascend_also_when_the_clock_steps_back() {
    let (_root, folder) = folder();
    let keys = Keys::open(&folder, START).unwrap();
    keys.rotate(Time::from_unix_ms(START.unix_ms() - 50_000)).unwrap();
    assert_eq!(keys.ring().newest(), Some(START.plus_ms(1)));
    let memory = Keys::in_memory(START);
    memory.rotate(START).unwrap();
    assert_eq!(memory.ring().keys.len(), 2);
}

#[test]
fn a_key_made_by_openssl_is_taken() {
    let (_root, folder) = folder();
    Keys::open(&folder, START).unwrap();
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let path = folder.join("signing-1700000000000.pem");
    fs::write(&path, pem).unwrap();
    set_mode(&path, 0o600);
    let keys = Keys::open(&folder, START).unwrap();
    // RFC 8410's example key, whose public half is known.
    let public = URL_SAFE_NO_PAD
        .decode("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE")
        .unwrap();
    let kid: String = Sha256::digest(public)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(keys.ring().keys[0].kid, kid);
}
