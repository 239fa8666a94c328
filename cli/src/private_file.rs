//! Files that only their owner may read.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// To write a file; one that is made by it is its owner's alone.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Gives a file that was written beside it its name, durably. One that has the name already is only replaced where that is wanted.
pub(crate) fn put(written: &Path, name: &Path, replaces: bool) -> io::Result<()> {
    if replaces {
        fs::rename(written, name)?;
    } else {
        put_where_none_is(written, name)?;
    }
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn put_where_none_is(written: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(written, name) {
        Ok(()) => fs::remove_file(written),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A disk that knows no links.
        Err(_) if name.exists() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(written, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_between_is_only_replaced_where_that_is_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let (written, name) = (folder.path().join("written"), folder.path().join("name"));
        fs::write(&written, "new").expect("written");
        put(&written, &name, false).expect("put");
        fs::write(&written, "newer").expect("written");
        let refused = put(&written, &name, false).expect_err("there is one");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).expect("read"), b"new");
        put(&written, &name, true).expect("put");
        assert_eq!(fs::read(&name).expect("read"), b"newer");
        assert!(!written.exists());
    }
}
