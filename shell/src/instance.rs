//! One running instance per storage folder: a lock, and a local socket by which a second start reaches the first.
//!
//! The lock is an advisory file lock on `instance.lock`. The system drops it when the process ends, however it ends, so
//! nothing is left to clean up after `kill -9`. The holder of the lock removes a stale `instance.sock` and listens on a
//! new one; a second instance sends its arguments there as one line of JSON and is answered `ok`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why the instance could not be claimed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The lock file cannot be made.
    #[error(
        "cannot lock {path}: {source}; check that the folder is writable, or choose another with --storage <dir>"
    )]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another instance holds the lock but does not answer.
    #[error(
        "the app is already running with the storage folder {path}, but it does not answer; close it, \
         or start another instance with --storage <dir>"
    )]
    Silent {
        /// The storage folder.
        path: PathBuf,
    },
}

/// What a second instance tells the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knock {
    /// The arguments that are the app's own.
    pub args: Vec<String>,
}

/// The outcome of [`claim`].
pub enum Claim {
    /// This process is the first; it is so until the value is dropped.
    First(Instance),
    /// Another process is; it has been told.
    Second,
}

/// The right to a storage folder.
pub struct Instance {
    _lock: File,
    socket: PathBuf,
    #[cfg(unix)]
    listener: Option<std::os::unix::net::UnixListener>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Claims `storage` (which must exist) for this process, or tells the process that has it.
pub fn claim(storage: &Path, knock: &Knock) -> Result<Claim, InstanceError> {
    let path = storage.join("instance.lock");
    let failed = |source| InstanceError::Lock {
        path: path.clone(),
        source,
    };
    let lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    let socket = storage.join("instance.sock");
    match lock.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(&socket);
            Ok(Claim::First(Instance {
                _lock: lock,
                #[cfg(unix)]
                listener: local::listen(storage)
                    .inspect_err(|error| tracing::warn!(%error, "other instances cannot reach this one"))
                    .ok(),
                socket,
            }))
        }
        Err(TryLockError::WouldBlock) => {
            local::tell(storage, knock).map_err(|_| InstanceError::Silent {
                path: storage.to_owned(),
            })?;
            Ok(Claim::Second)
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Instance {
    /// Calls `on_knock` for every later start with the same storage folder, from a thread of its own.
    pub fn listen(&mut self, on_knock: impl Fn(Knock) + Send + 'static) {
        #[cfg(unix)]
        if let Some(listener) = self.listener.take() {
            let serve = move || local::serve(&listener, &on_knock);
            if let Err(error) = std::thread::Builder::new()
                .name("instance".to_owned())
                .spawn(serve)
            {
                tracing::warn!(%error, "other instances cannot reach this one");
            }
        }
        #[cfg(not(unix))]
        drop(on_knock);
    }
}

#[cfg(unix)]
mod local {
    use std::fs::{DirBuilder, Permissions};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    /// Longest message from a second instance, in bytes.
    const MAX_MESSAGE_BYTES: u64 = 256 * 1024;

    /// How long one read or write on the socket may take.
    const PATIENCE: Duration = Duration::from_secs(3);

    /// The folder in which the socket is made; with the socket in it no longer than the socket's own path.
    const CLOSED: &str = ".made";

    /// The socket's path for the system calls, which allow about 100 bytes: a long folder is named by a descriptor.
    /// The descriptor must live as long as the path is used.
    fn short(storage: &Path) -> std::io::Result<(PathBuf, Option<File>)> {
        let plain = storage.join("instance.sock");
        if plain.as_os_str().len() < 100 || !cfg!(target_os = "linux") {
            return Ok((plain, None));
        }
        use std::os::fd::AsRawFd;
        let dir = File::open(storage)?;
        Ok((
            PathBuf::from(format!("/proc/self/fd/{}/instance.sock", dir.as_raw_fd())),
            Some(dir),
        ))
    }

    /// A socket is made with the mode that the umask leaves. So it is made in a folder that nobody else can enter, and moved
    /// out when its own mode is right. Only the holder of the lock comes here.
    pub(super) fn listen(storage: &Path) -> std::io::Result<UnixListener> {
        let (path, _dir) = short(storage)?;
        let closed = path.with_file_name(CLOSED);
        if let Err(error) = std::fs::remove_dir_all(&closed)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        DirBuilder::new().mode(0o700).create(&closed)?;
        let made = closed.join("s");
        let listener = UnixListener::bind(&made)?;
        std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        std::fs::rename(&made, &path)?;
        std::fs::remove_dir(&closed)?;
        Ok(listener)
    }

    /// Tells the first instance. It may be between taking the lock and listening, so this tries for a while.
    pub(super) fn tell(storage: &Path, knock: &Knock) -> std::io::Result<()> {
        let (path, _dir) = short(storage)?;
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(error) if std::time::Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(knock)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream).take(16).read_line(&mut answer)?;
        if answer == "ok\n" {
            Ok(())
        } else {
            Err(std::io::ErrorKind::InvalidData.into())
        }
    }

    pub(super) fn serve(listener: &UnixListener, on_knock: &dyn Fn(Knock)) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            match answer(&stream) {
                Ok(knock) => on_knock(knock),
                Err(error) => tracing::warn!(%error, "a message of another instance was not understood"),
            }
        }
    }

    fn answer(mut stream: &UnixStream) -> std::io::Result<Knock> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = Vec::new();
        BufReader::new(stream.take(MAX_MESSAGE_BYTES)).read_until(b'\n', &mut line)?;
        let knock = serde_json::from_slice(&line)?;
        stream.write_all(b"ok\n")?;
        Ok(knock)
    }
}

#[cfg(not(unix))]
mod local {
    use super::*;

    /// Windows: the lock keeps a second instance out, but its arguments are not forwarded yet.
    pub(super) fn tell(_: &Path, _: &Knock) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};
    use std::sync::mpsc;

    use super::*;

    fn first(storage: &Path) -> Instance {
        match claim(storage, &Knock { args: vec![] }).unwrap() {
            Claim::First(instance) => instance,
            Claim::Second => panic!("another instance has {}", storage.display()),
        }
    }

    #[test]
    fn the_second_start_reaches_the_first() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket path may be.
        let storage = dir.path().join("x".repeat(120));
        std::fs::create_dir(&storage).unwrap();
        let mut instance = first(&storage);
        let (sender, knocks) = mpsc::channel();
        instance.listen(move |knock| sender.send(knock).unwrap());
        let knock = Knock {
            args: vec!["pear-chat://room/1".into()],
        };
        assert!(matches!(claim(&storage, &knock).unwrap(), Claim::Second));
        assert_eq!(knocks.recv().unwrap(), knock);
        drop(instance);
        let _again = first(&storage);
    }

    #[test]
    fn the_socket_was_never_open_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        // As a start that was killed leaves it, open to all.
        std::fs::create_dir(dir.path().join(".made")).unwrap();
        std::fs::write(dir.path().join(".made/s"), "").unwrap();
        // Whoever looks all the time never sees one that others may write to.
        let path = dir.path().join("instance.sock");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (modes, open) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut open = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mode = std::fs::metadata(&path).map(|found| found.permissions().mode());
                    open += usize::from(mode.is_ok_and(|mode| mode & 0o077 != 0));
                }
                open
            });
            let modes: Vec<_> = (0..500)
                .map(|_| {
                    let _listener = local::listen(dir.path())?;
                    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
                    std::fs::remove_file(&path).map(|()| mode)
                })
                .collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            (modes, watch.join())
        });
        for mode in modes {
            assert_eq!(mode.unwrap(), 0o600);
        }
        assert_eq!(open.unwrap(), 0, "the socket was open to others for a moment");
        assert!(!dir.path().join(".made").exists());
    }

    #[test]
    fn garbage_on_the_socket_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let mut instance = first(dir.path());
        let (sender, knocks) = mpsc::channel();
        instance.listen(move |knock| sender.send(knock).unwrap());
        for garbage in [&b"hello\n"[..], b"\xff\xfe\n", b"{\"args\":3}\n", b"{}\n"] {
            let mut stream = UnixStream::connect(dir.path().join("instance.sock")).unwrap();
            stream.write_all(garbage).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.is_empty(), "{garbage:?}");
        }
        let knock = Knock {
            args: vec!["a".into()],
        };
        assert!(matches!(claim(dir.path(), &knock).unwrap(), Claim::Second));
        assert_eq!(knocks.recv().unwrap(), knock);
    }

    #[test]
    fn a_killed_instance_leaves_nothing_in_the_way() {
        const CHILD: &str = "BOSC_TEST_INSTANCE_DIR";
        if let Some(storage) = std::env::var_os(CHILD) {
            let _instance = first(Path::new(&storage));
            println!("claimed");
            let _ = std::io::stdin().read(&mut [0]);
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "instance::tests::a_killed_instance_leaves_nothing_in_the_way",
            ])
            .env(CHILD, dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(
            output
                .lines()
                .map_while(Result::ok)
                .any(|line| line.contains("claimed"))
        );
        assert!(dir.path().join("instance.sock").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        let mut instance = first(dir.path());
        let (sender, knocks) = mpsc::channel();
        instance.listen(move |knock| sender.send(knock).unwrap());
        assert!(matches!(
            claim(dir.path(), &Knock { args: vec![] }).unwrap(),
            Claim::Second
        ));
        knocks.recv().unwrap();
    }
}
