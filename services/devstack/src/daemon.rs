//! The life of one server: start until it answers, stop, crash, start again.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::child::{Child, Launch};
use crate::{DevstackError, ports};

/// How often a starting server is asked whether it is ready.
const POLL: Duration = Duration::from_millis(10);
/// How long one attempt to reach it may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before the first restart after a crash; doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A server that ran this long has recovered: the next crash starts with `BACKOFF_MIN` again.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// How often a start is repeated when the chosen port was taken meanwhile.
const PORT_TRIES: usize = 5;
/// How much of the log an error quotes.
const LOG_TAIL_BYTES: usize = 2_000;

/// What happens when a server dies without having been asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Supervision {
    /// It stays down until `restart`.
    #[default]
    None,
    /// It is started again, on the same port, with growing pauses.
    Restart,
}

/// What differs between the servers.
pub(crate) trait Server: Send + Sync + 'static {
    /// The process to start.
    fn launch(&self) -> &Launch;
    /// Ends an orphan and clears what keeps a fresh process from starting.
    fn prepare(&self) -> impl Future<Output = Result<(), DevstackError>> + Send;
    /// Whether it serves authenticated clients now; the text says why not.
    fn probe(&self) -> impl Future<Output = Result<(), String>> + Send;
    /// Whether a start that ended with this log may succeed if it is tried again.
    fn worth_retrying(&self, log_tail: &str) -> bool;
    /// Signals that stop it, each with the time it gets to work.
    fn stop_ladder(&self) -> &'static [(Signal, Duration)];
    /// The same when nobody can wait long.
    fn drop_ladder(&self) -> &'static [(Signal, Duration)];
    /// How long it may take to become ready.
    fn start_timeout(&self) -> Duration;
    /// The loopback port it is to listen on.
    fn port(&self) -> u16;
}

/// A server that has been started. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Daemon<S: Server> {
    inner: Arc<Inner<S>>,
    supervisor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner<S> {
    server: S,
    /// Held while the process is started or stopped.
    lifecycle: Mutex<()>,
    /// The current process, which may have ended; `None` after `stop`.
    current: watch::Sender<Option<Arc<Child>>>,
    starts: AtomicU64,
}

impl<S: Server> Daemon<S> {
    /// Starts the server and returns when it is ready.
    pub(crate) async fn start(server: S, supervision: Supervision) -> Result<Self, DevstackError> {
        let inner = Arc::new(Inner {
            server,
            lifecycle: Mutex::new(()),
            current: watch::Sender::new(None),
            starts: AtomicU64::new(0),
        });
        // Made before the first start, so that its drop cleans up after a start that is cancelled.
        let mut daemon = Self {
            inner,
            supervisor: None,
        };
        {
            let _alone = daemon.inner.lifecycle.lock().await;
            daemon.inner.start().await?;
        }
        if supervision == Supervision::Restart {
            daemon.supervisor = Some(tokio::spawn(supervise(Arc::clone(&daemon.inner))));
        }
        Ok(daemon)
    }

    /// Starts the server `make` gives. A free port can be taken by somebody else before the server
    /// has it; `make` is asked for another server then.
    pub(crate) async fn start_on_a_free_port(
        make: impl Fn() -> Result<S, DevstackError>,
        supervision: Supervision,
    ) -> Result<Self, DevstackError> {
        let mut tries = PORT_TRIES;
        loop {
            let server = make()?;
            let port = server.port();
            tries -= 1;
            match Self::start(server, supervision).await {
                Err(DevstackError::EndedEarly { .. }) if tries > 0 && !ports::is_free(port) => {}
                started => return started,
            }
        }
    }

    pub(crate) fn server(&self) -> &S {
        &self.inner.server
    }

    /// Process id; `None` while it is down.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.inner.running().map(|child| child.pid())
    }

    /// How often the process was started and became ready.
    pub(crate) fn starts(&self) -> u64 {
        self.inner.starts.load(Ordering::Acquire)
    }

    /// Stops it in order. It stays down, supervised or not, until `restart`.
    pub(crate) async fn stop(&self) {
        let _alone = self.inner.lifecycle.lock().await;
        self.inner.stop().await;
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) async fn kill9(&self) {
        if let Some(child) = self.inner.running() {
            child.signal(Signal::SIGKILL);
            child.ended().await;
        }
    }

    /// Ends it by these signals, as if it had come to its end by itself.
    pub(crate) async fn end(&self, ladder: &[(Signal, Duration)]) {
        if let Some(child) = self.inner.running() {
            child.end(ladder).await;
        }
    }

    /// Stops it if it runs, then starts it.
    pub(crate) async fn restart(&self) -> Result<(), DevstackError> {
        let _alone = self.inner.lifecycle.lock().await;
        self.inner.stop().await;
        self.inner.start().await
    }

    /// Kills it, lets `damage` work on its files, and starts it again if it ran before.
    pub(crate) async fn while_down(
        &self,
        damage: impl FnOnce(&S) -> Result<(), DevstackError>,
    ) -> Result<(), DevstackError> {
        let _alone = self.inner.lifecycle.lock().await;
        let ran = self.pid().is_some();
        self.kill9().await;
        damage(&self.inner.server)?;
        if ran {
            self.inner.start().await
        } else {
            Ok(())
        }
    }

    /// Waits until it serves clients.
    pub(crate) async fn wait_ready(&self) -> Result<(), DevstackError> {
        let server = &self.inner.server;
        let deadline = Instant::now() + server.start_timeout();
        loop {
            let problem = match self.inner.running() {
                Some(_) => match self.inner.probe().await {
                    Ok(()) => return Ok(()),
                    Err(problem) => problem,
                },
                None => "it does not run".to_owned(),
            };
            if Instant::now() >= deadline {
                return Err(self.inner.not_ready(problem));
            }
            sleep(POLL).await;
        }
    }
}

impl<S: Server> Drop for Daemon<S> {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.abort();
        }
        if let Some(child) = self.inner.current.send_replace(None) {
            child.end_blocking(self.inner.server.drop_ladder());
        }
    }
}

impl<S: Server> Inner<S> {
    fn running(&self) -> Option<Arc<Child>> {
        self.current
            .borrow()
            .clone()
            .filter(|child| child.status().is_none())
    }

    async fn stop(&self) {
        if let Some(child) = self.current.send_replace(None) {
            child.end(self.server.stop_ladder()).await;
        }
    }

    /// Starts a process and waits until it is ready; retries what passes by itself.
    async fn start(&self) -> Result<(), DevstackError> {
        let deadline = Instant::now() + self.server.start_timeout();
        self.server.prepare().await?;
        loop {
            match self.start_once(deadline).await {
                Ok(child) => {
                    self.starts.fetch_add(1, Ordering::AcqRel);
                    tracing::debug!(
                        server = self.server.launch().name,
                        pid = child.pid(),
                        "server is ready"
                    );
                    self.current.send_replace(Some(Arc::new(child)));
                    return Ok(());
                }
                Err(DevstackError::EndedEarly { log_tail, .. })
                    if Instant::now() < deadline && self.server.worth_retrying(&log_tail) =>
                {
                    sleep(POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_once(&self, deadline: Instant) -> Result<Child, DevstackError> {
        let launch = self.server.launch();
        let log_start = std::fs::metadata(&launch.log).map_or(0, |meta| meta.len());
        let child = Child::spawn(launch)?;
        loop {
            let answer = tokio::select! {
                answer = self.probe() => answer,
                () = child.ended() => Err("it ended".to_owned()),
            };
            // Asked after the probe: a stranger on our port must not make a dead child look ready.
            if let Some(status) = child.status() {
                return Err(DevstackError::EndedEarly {
                    server: launch.name,
                    status: status.to_string(),
                    log_tail: log_tail(&launch.log, log_start),
                });
            }
            match answer {
                Ok(()) => return Ok(child),
                Err(problem) if Instant::now() >= deadline => return Err(self.not_ready(problem)),
                Err(_) => sleep(POLL).await,
            }
        }
    }

    async fn probe(&self) -> Result<(), String> {
        match timeout(PROBE_TIMEOUT, self.server.probe()).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer".to_owned()),
        }
    }

    fn not_ready(&self, last: String) -> DevstackError {
        DevstackError::NotReady {
            server: self.server.launch().name,
            seconds: self.server.start_timeout().as_secs(),
            last,
        }
    }
}

/// Starts the server again whenever it has died unasked.
async fn supervise<S: Server>(inner: Arc<Inner<S>>) {
    let name = inner.server.launch().name;
    let mut current = inner.current.subscribe();
    let mut backoff = BACKOFF_MIN;
    loop {
        let Ok(Some(child)) = current
            .wait_for(Option::is_some)
            .await
            .map(|child| child.clone())
        else {
            return;
        };
        let since = Instant::now();
        child.ended().await;
        if since.elapsed() >= STEADY_AFTER {
            backoff = BACKOFF_MIN;
        }
        let _alone = inner.lifecycle.lock().await;
        let asked_for = !inner
            .current
            .borrow()
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &child));
        if asked_for {
            continue;
        }
        tracing::warn!(server = name, pid = child.pid(), status = ?child.status(), ?backoff, "server died; starting it again");
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
        if let Err(error) = inner.start().await {
            // `current` still names the dead child, so the next round tries again.
            tracing::error!(server = name, %error, "server could not be started again");
        }
    }
}

/// The last lines written to a log since `start`.
fn log_tail(log: &Path, start: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let start = usize::try_from(start)
        .unwrap_or(usize::MAX)
        .max(bytes.len().saturating_sub(LOG_TAIL_BYTES));
    String::from_utf8_lossy(bytes.get(start..).unwrap_or_default())
        .trim()
        .to_owned()
}
