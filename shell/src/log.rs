//! What an app says of itself: on standard error, and in a file in its storage that a person can send to the author.
//!
//! The file is turned over by hand: crates for that panic where a folder is gone or a disk is full, and a log must not end an app.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use app::Folders;
use base::lock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The file in the folder for logs.
const NAME: &str = "app.log";
/// Bytes after which a new file is begun: some days of an app that says little, and quickly sent by mail.
const MAX_BYTES: u64 = 1 << 20;
/// Files kept besides the one that is written: `app.log.1` is the latest of them.
const KEPT: u32 = 2;

/// The log file, once the app knows where its storage is. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Option<Turning>>>);

impl Log {
    /// Begins to log: to standard error what `level` or `RUST_LOG` let through, warnings without either; to the file what is of
    /// interest later, or more if more is asked for.
    pub(crate) fn begin(level: Option<LevelFilter>) -> Self {
        let log = Self::default();
        let chosen = |default: &str| match level {
            Some(level) => EnvFilter::new(level.to_string()),
            None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default)),
        };
        let seen = tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .with_filter(chosen("warn"));
        let kept = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(log.clone())
            .with_filter(chosen("info"));
        // A program that embeds the shell may have its own.
        let _ = tracing_subscriber::registry().with(seen).with(kept).try_init();
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tracing::error!("{panic}");
            told(panic);
        }));
        log
    }

    /// Writes what is said from now on into the file in `storage`.
    pub(crate) fn keep_in(&self, storage: &Path) {
        let folder = Folders(storage).log();
        match bosc_runtime::private_dir(&folder) {
            Ok(()) => *lock(&self.0) = Some(Turning::new(folder.join(NAME), MAX_BYTES)),
            Err(error) => tracing::warn!(path = %folder.display(), %error, "there will be no log file"),
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One call for each line.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(file) = lock(&self.0).as_mut() {
            file.add(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is put aside when it is full. What cannot be written is lost: nothing is said of it, as this is where it would be.
#[derive(Debug)]
struct Turning {
    path: PathBuf,
    most: u64,
    /// The file and its size; none if it could not be opened.
    open: Option<(File, u64)>,
}

impl Turning {
    fn new(path: PathBuf, most: u64) -> Self {
        let open = None;
        Self { path, most, open }
    }

    fn add(&mut self, line: &[u8]) {
        if self.open.is_none() {
            self.open = open(&self.path).ok();
        }
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let full = |size: u64| size > 0 && size.saturating_add(length) > self.most;
        if self.open.as_ref().is_some_and(|(_, size)| full(*size)) {
            self.open = None;
            turn(&self.path);
            self.open = open(&self.path).ok();
        }
        let written = self.open.as_mut().map(|(file, size)| {
            *size = size.saturating_add(length);
            file.write_all(line)
        });
        if written.is_some_and(|written| written.is_err()) {
            self.open = None;
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// Moves each file one further; the last one goes. If the first cannot be moved it is emptied, so that it does not grow.
fn turn(path: &Path) {
    let old = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT).rev() {
        let _ = fs::rename(old(number), old(number + 1));
    }
    if fs::rename(path, old(1)).is_err() {
        let _ = OpenOptions::new().write(true).truncate(true).open(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<(String, u64)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (
                    entry.file_name().into_string().unwrap(),
                    entry.metadata().unwrap().len(),
                )
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_full_file_is_put_aside_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut log = Turning::new(path.clone(), 100);
        for number in 0..25 {
            log.add(format!("line {number:>33}\n").as_bytes());
        }
        // Two lines a file; the last has one.
        let size = |name: &str, bytes| (name.to_owned(), bytes);
        let expected = [size("app.log", 39), size("app.log.1", 78), size("app.log.2", 78)];
        assert_eq!(files(folder.path()), expected);
        assert!(fs::read_to_string(&path).unwrap().contains(" 24\n"));
        let before = fs::read_to_string(folder.path().join("app.log.1")).unwrap();
        assert!(before.contains(" 22\n") && before.contains(" 23\n"), "{before}");
        // A later start goes on in the same file, and a line that is longer than a file is one.
        drop(log);
        let mut log = Turning::new(path, 100);
        log.add(&[b'x'; 30]);
        log.add(&[b'y'; 500]);
        let sizes: Vec<u64> = files(folder.path()).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(sizes, [500, 69, 78]);
    }

    #[test]
    fn a_folder_that_went_away_or_cannot_be_written_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("log");
        fs::create_dir(&inner).unwrap();
        let mut log = Turning::new(inner.join(NAME), 10);
        log.add(b"0123456789");
        fs::remove_dir_all(&inner).unwrap();
        log.add(b"lost");
        fs::create_dir(&inner).unwrap();
        log.add(b"there");
        assert_eq!(files(&inner), [(NAME.to_owned(), 5)]);
        // What is in its place is no file.
        let blocked = folder.path().join("folder.log");
        fs::create_dir(&blocked).unwrap();
        Turning::new(blocked, 10).add(b"lost");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let log = Log::default();
        log.keep_in(folder.path());
        log.clone().write_all(b"a line\n").unwrap();
        let path = Folders(folder.path()).log().join(NAME);
        assert_eq!(fs::read(&path).unwrap(), b"a line\n");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
