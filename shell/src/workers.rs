//! Workers: programs of the app's bundle that run beside it and talk with the page in raw bytes.
//!
//! The calls are those of `hello-pear-electron`'s preload. There a worker is a JavaScript file for Bare; here it is a
//! native executable inside the app (`/workers/name`), started with the app's storage folder as its first argument.
//! What the page writes arrives on the worker's standard input; what the worker prints on standard output arrives in the
//! page's `onWorkerIPC` listeners, standard error in `onWorkerStderr`. (`onWorkerStdout` is accepted and stays silent.)

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::lock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::bridge::{CommandError, Page, ToPage};
use crate::page::path::drive_path;

/// Bytes read from a worker at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks of one worker on their way to the page; further output waits in the pipe.
const MAX_IN_FLIGHT: usize = 16;

/// Writes of the page waiting for one worker; further writes wait.
const MAX_WAITING_WRITES: usize = 64;

/// How long a worker may take to end after its input has closed.
const GRACE: Duration = Duration::from_secs(2);

struct Running {
    input: mpsc::Sender<Vec<u8>>,
    stop: watch::Sender<bool>,
}

/// The workers of this app.
#[derive(Clone)]
pub struct Workers {
    app: PathBuf,
    storage: PathBuf,
    page: Arc<dyn Page>,
    running: Arc<Mutex<HashMap<String, Running>>>,
    alive: Arc<watch::Sender<usize>>,
}

impl Workers {
    /// Workers are looked up below `app` and are told `storage`.
    pub fn new(app: PathBuf, storage: PathBuf, page: Arc<dyn Page>) -> Self {
        Self {
            app,
            storage,
            page,
            running: Arc::default(),
            alive: Arc::new(watch::channel(0).0),
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        lock(&self.running)
    }

    /// Starts the worker `spec`; does nothing if it runs already. Must be called on the tokio runtime.
    pub fn start(&self, spec: &str) -> Result<(), CommandError> {
        let program = self.find(spec)?;
        let mut running = self.running();
        if running.contains_key(spec) {
            return Ok(());
        }
        let mut child = Command::new(&program)
            .arg(&self.storage)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                CommandError::new(
                    "WORKER_FAILED",
                    format!("The worker {spec} could not be started: {error}."),
                )
            })?;
        let (input, writes) = mpsc::channel(MAX_WAITING_WRITES);
        let (stop, stopped) = watch::channel(false);
        running.insert(spec.to_owned(), Running { input, stop });
        self.alive.send_replace(running.len());
        drop(running);

        let credit = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let stdout = child
            .stdout
            .take()
            .map(|pipe| self.forward(spec, "ipc", pipe, credit.clone()));
        let stderr = child
            .stderr
            .take()
            .map(|pipe| self.forward(spec, "stderr", pipe, credit));
        let workers = self.clone();
        let spec = spec.to_owned();
        tokio::spawn(async move {
            let code = supervise(&mut child, writes, stopped).await;
            for task in [stdout, stderr].into_iter().flatten() {
                let _ = task.await;
            }
            let mut running = workers.running();
            running.remove(&spec);
            let left = running.len();
            drop(running);
            workers.page.post(ToPage::WorkerExit { spec, code }, None);
            workers.alive.send_replace(left);
        });
        Ok(())
    }

    /// Sends bytes (base64) to a running worker; waits while the worker is slow.
    pub async fn write(&self, spec: &str, data: &str) -> Result<(), CommandError> {
        let bytes = STANDARD
            .decode(data)
            .map_err(|_| CommandError::new("BAD_ARGUMENTS", "The data for the worker is not base64."))?;
        let input = self.running().get(spec).map(|worker| worker.input.clone());
        let ended = || CommandError::new("WORKER_NOT_RUNNING", format!("The worker {spec} is not running."));
        input.ok_or_else(ended)?.send(bytes).await.map_err(|_| ended())
    }

    /// Ends all workers: their input closes, and after a moment they are killed. Returns when none is left.
    pub async fn close(&self) {
        for worker in self.running().values() {
            let _ = worker.stop.send(true);
        }
        let _ = self.alive.subscribe().wait_for(|left| *left == 0).await;
    }

    fn find(&self, spec: &str) -> Result<PathBuf, CommandError> {
        let missing = || {
            CommandError::new(
                "WORKER_MISSING",
                format!(
                    "There is no worker {spec} in the app; a worker is an executable file, such as /workers/main."
                ),
            )
        };
        // One program has one spelling, so that it runs once: no escapes, no links.
        let path = drive_path(spec)
            .filter(|path| spec.strip_prefix('/') == Some(path))
            .ok_or_else(missing)?;
        let root = self.app.canonicalize().map_err(|_| missing())?;
        let plain = root.join(path);
        let program = [plain.clone(), plain.with_extension("exe")]
            .into_iter()
            .take(if cfg!(windows) { 2 } else { 1 })
            .find(|path| path.canonicalize().is_ok_and(|real| real == *path) && path.is_file())
            .ok_or_else(missing)?;
        if !executable(&program) {
            return Err(CommandError::new(
                "WORKER_NOT_EXECUTABLE",
                format!(
                    "The worker {spec} is not an executable file; Bosc runs native programs as workers, not scripts."
                ),
            ));
        }
        Ok(program)
    }

    fn forward(
        &self,
        spec: &str,
        stream: &'static str,
        mut pipe: impl AsyncRead + Unpin + Send + 'static,
        credit: Arc<Semaphore>,
    ) -> tokio::task::JoinHandle<()> {
        let (page, spec) = (self.page.clone(), spec.to_owned());
        tokio::spawn(async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            while let Ok(permit) = credit.clone().acquire_owned().await {
                match pipe.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => {
                        let data = STANDARD.encode(chunk.get(..read).unwrap_or_default());
                        page.post(
                            ToPage::Worker {
                                spec: spec.clone(),
                                stream,
                                data,
                            },
                            Some(permit),
                        );
                    }
                }
            }
        })
    }
}

/// Feeds the worker until it ends or must; gives its exit code.
async fn supervise(
    child: &mut Child,
    mut writes: mpsc::Receiver<Vec<u8>>,
    mut stopped: watch::Receiver<bool>,
) -> Option<i32> {
    let mut stdin = child.stdin.take();
    let feed = async {
        while let Some(bytes) = writes.recv().await {
            let Some(pipe) = stdin.as_mut() else { break };
            if pipe.write_all(&bytes).await.is_err() || pipe.flush().await.is_err() {
                break;
            }
        }
        // The worker no longer reads; its end is reported by wait().
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = feed => None,
        _ = stopped.changed() => None,
    };
    let status = match ended {
        Some(status) => status,
        None => {
            drop(stdin);
            match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    let _ = child.kill().await;
                    child.wait().await
                }
            }
        }
    };
    status.ok().and_then(|status| status.code())
}

#[cfg(unix)]
fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("exe"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::bridge::dispatch::tests::PageLog;

    fn app(script: &str, mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("workers")).unwrap();
        let path = dir.path().join("workers/main");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        dir
    }

    fn workers(dir: &tempfile::TempDir) -> (Workers, mpsc::UnboundedReceiver<ToPage>) {
        let (log, received) = PageLog::new();
        (
            Workers::new(dir.path().to_owned(), "/storage".into(), Arc::new(log)),
            received,
        )
    }

    async fn gather(received: &mut mpsc::UnboundedReceiver<ToPage>, want: &str) -> String {
        let mut text = String::new();
        while !text.contains(want) {
            match received.recv().await.unwrap() {
                ToPage::Worker { data, .. } => {
                    text.push_str(&String::from_utf8(STANDARD.decode(data).unwrap()).unwrap())
                }
                other => panic!("{other:?}"),
            }
        }
        text
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_exit_code_is_reported() {
        let dir = app(
            "#!/bin/sh\necho \"at $1\"\nread line\necho \"got $line\"\nexit 7\n",
            0o755,
        );
        let (workers, mut received) = workers(&dir);
        workers.start("/workers/main").unwrap();
        workers.start("/workers/main").unwrap();
        assert_eq!(gather(&mut received, "\n").await, "at /storage\n");
        workers
            .write("/workers/main", &STANDARD.encode("hello\n"))
            .await
            .unwrap();
        assert_eq!(gather(&mut received, "\n").await, "got hello\n");
        let exit = received.recv().await.unwrap();
        assert_eq!(
            exit,
            ToPage::WorkerExit {
                spec: "/workers/main".into(),
                code: Some(7)
            }
        );
        let error = workers.write("/workers/main", "").await.unwrap_err();
        assert_eq!(error.code, Some("WORKER_NOT_RUNNING"));
    }

    #[tokio::test]
    async fn closing_ends_a_worker() {
        let dir = app("#!/bin/sh\necho up\ncat >/dev/null\n", 0o755);
        let (workers, mut received) = workers(&dir);
        workers.start("/workers/main").unwrap();
        gather(&mut received, "up").await;
        workers.close().await;
        assert!(matches!(
            received.recv().await.unwrap(),
            ToPage::WorkerExit { code: Some(0), .. }
        ));
    }

    #[tokio::test]
    async fn what_is_no_worker_is_refused() {
        let dir = app("text", 0o644);
        std::os::unix::fs::symlink("main", dir.path().join("workers/link")).unwrap();
        let (workers, _received) = workers(&dir);
        for (spec, code) in [
            ("/workers/main", "WORKER_NOT_EXECUTABLE"),
            ("/workers/other", "WORKER_MISSING"),
            ("/workers", "WORKER_MISSING"),
            ("/../../bin/sh", "WORKER_MISSING"),
            ("bin", "WORKER_MISSING"),
            ("/workers/%6dain", "WORKER_MISSING"),
            ("/%77orkers/main", "WORKER_MISSING"),
            ("/workers/link", "WORKER_MISSING"),
        ] {
            assert_eq!(workers.start(spec).unwrap_err().code, Some(code), "{spec}");
        }
    }
}
