//! Threads of their own for a swarm, so that what an app computes or waits for never holds up its sockets, and a flood of packets
//! never holds up the app.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A tokio runtime that ends with this value. Unlike a bare one it may be dropped from within another.
#[derive(Debug)]
pub struct Threads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts `count` threads called `name`.
    ///
    /// # Errors
    /// If the system gives no more threads or file descriptors.
    pub fn start(name: &str, count: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Where to spawn on these threads.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` on these threads and waits for it here. What it spawns stays there. Dropping the future does not stop it.
    ///
    /// # Panics
    /// If `work` does, or the threads end before it.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(work).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(
                error
                    .try_into_panic()
                    .unwrap_or_else(|_| Box::new("the threads ended before the work did")),
            ),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_on_threads_of_that_name_and_ends_within_another_runtime() {
        let threads = Threads::start("test-net", 1).unwrap();
        let name = threads
            .run(async { std::thread::current().name().map(str::to_owned) })
            .await;
        assert_eq!(name.as_deref(), Some("test-net"));
        drop(threads);
    }
}
