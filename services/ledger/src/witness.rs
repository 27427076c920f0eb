//! Witnesses (C2SP tlog-witness): somebody else who cosigns a checkpoint only if the log has done nothing but grow.
//!
//! [`Watcher`] is the witness: it keeps the newest checkpoint of each log that it watches in a file, and has it on disk
//! before it answers. Run it in another deployment (`proctor witness`), under other hands than the ledger.

use crate::checkpoint::{self, Checkpoint, CheckpointError, VerifierKey, cosign};
use crate::merkle::{Hash, empty_root, extends};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as B64;
use proctor_model::signed::Signer;
use proctor_runtime::keyfile;
use proctor_runtime::keyfile::KeyFileError;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Most hashes of a consistency proof: as C2SP says.
const PROOF_MAX: usize = 63;

/// A witness can't be started.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Its key.
    #[error("the witness' key file")]
    Key(#[from] KeyFileError),
    /// A log's key, or its own name.
    #[error("a log's key, or the witness' name")]
    Log(#[from] CheckpointError),
    /// The listener.
    #[error("the listener")]
    Listen(#[from] std::io::Error),
}

/// The witness of some logs.
pub struct Watcher {
    dir: PathBuf,
    name: String,
    signer: Signer,
    logs: Vec<VerifierKey>,
    /// One at a time: what was seen and what is signed belong together.
    turn: Mutex<()>,
}

/// What a witness says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A signature line.
    Cosigned(String),
    /// It can't be read.
    Malformed,
    /// None of the logs that are watched.
    UnknownLog,
    /// Not signed by the log.
    Unsigned,
    /// The log was seen with this size last: the proof has to begin there.
    Conflict(u64),
    /// The log did something else than grow.
    NotConsistent,
    /// It could not be put on disk, so it is not signed.
    Broken,
}

impl Watcher {
    /// With its key and memory in `dir`; both are made there at first.
    ///
    /// # Errors
    /// If the key file or a log's key can't be used.
    pub fn open(dir: &Path, name: &str, logs: &[String]) -> Result<Self, WitnessError> {
        if name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace()) {
            return Err(CheckpointError::Key.into());
        }
        let logs = logs.iter().map(|key| VerifierKey::parse(key, ""));
        Ok(Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            signer: keyfile::load_or_create_signer(&dir.join("witness.key"))?,
            logs: logs.collect::<Result<_, _>>()?,
            turn: Mutex::new(()),
        })
    }

    /// Its key, as the tools of cosignatures take it.
    #[must_use]
    pub fn key(&self) -> String {
        VerifierKey::of(&self.name, &self.signer).cosigner_text()
    }

    /// Answers the body of an `add-checkpoint` request, at this time in seconds since 1970.
    pub fn add_checkpoint(&self, body: &str, now_s: u64) -> Answer {
        let Some((old_size, proof, note)) = parse(body) else {
            return Answer::Malformed;
        };
        let (checkpoint, signed) = match self.open_note(note) {
            Ok(opened) => opened,
            Err(answer) => return answer,
        };
        if old_size > checkpoint.size {
            return Answer::Malformed;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match self.seen(&checkpoint.origin) {
            Ok(seen) => seen,
            Err(_) => return Answer::Broken,
        };
        let (size, root) = seen.map_or_else(|| (0, empty_root()), |seen| (seen.size, seen.root));
        if old_size != size {
            return Answer::Conflict(size);
        }
        if !extends((size, &root), (checkpoint.size, &checkpoint.root), &proof) {
            return Answer::NotConsistent;
        }
        let line = cosign(&self.name, &self.signer, &checkpoint.text(), now_s);
        // If we crash behind this line, the log asks again from here.
        let note = format!("{}\n{signed}{line}", checkpoint.text());
        if self.remember(&checkpoint.origin, &note).is_err() {
            return Answer::Broken;
        }
        Answer::Cosigned(line)
    }

    /// The checkpoint, and the lines of the log's own signatures.
    fn open_note(&self, note: &str) -> Result<(Checkpoint, String), Answer> {
        let parsed = checkpoint::Note::parse(note).map_err(|_| Answer::Malformed)?;
        let read = Checkpoint::parse(parsed.text).map_err(|_| Answer::Malformed)?;
        let keys: Vec<_> = self
            .logs
            .iter()
            .filter(|key| key.name == read.origin)
            .cloned()
            .collect();
        if keys.is_empty() {
            return Err(Answer::UnknownLog);
        }
        // What is signed is the text as it is written: nothing may stand in it that we do not read.
        if parsed.text != read.text() {
            return Err(Answer::Malformed);
        }
        match parsed.signed(&keys) {
            Ok(signed) if !signed.logs.is_empty() => {
                let lines = parsed.lines_of(&read.origin);
                Ok((read, lines))
            }
            _ => Err(Answer::Unsigned),
        }
    }

    fn file(&self, origin: &str) -> PathBuf {
        let name = hex::encode(proctor_model::audit::sha256(origin.as_bytes()));
        self.dir.join(format!("{name}.checkpoint"))
    }

    fn seen(&self, origin: &str) -> std::io::Result<Option<Checkpoint>> {
        match std::fs::read_to_string(self.file(origin)) {
            Ok(text) => match remembered(&text) {
                Ok(seen) if seen.origin == origin => Ok(Some(seen)),
                // A memory that is damaged is not an empty one.
                _ => Err(ErrorKind::InvalidData.into()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The cosigned note: what an auditor can take from here (`proctor audit verify --checkpoint`).
    fn remember(&self, origin: &str, note: &str) -> std::io::Result<()> {
        let path = self.file(origin);
        let partial = path.with_extension("partial");
        write_synced(&partial, note)?;
        std::fs::rename(&partial, &path)?;
        std::fs::File::open(&self.dir)?.sync_all()
    }
}

/// From a file of ours: a note, or, by older versions, its text alone.
fn remembered(text: &str) -> Result<Checkpoint, CheckpointError> {
    match checkpoint::Note::parse(text) {
        Ok(note) => Checkpoint::parse(note.text),
        Err(_) => Checkpoint::parse(text),
    }
}

/// Writes a file whole and waits until it is on disk.
fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// `old N`, the proof's hashes, an empty line, the note.
fn parse(body: &str) -> Option<(u64, Vec<Hash>, &str)> {
    let (head, note) = body.split_once("\n\n")?;
    let mut lines = head.split('\n');
    let old = lines.next()?.strip_prefix("old ")?;
    let size: u64 = old.parse().ok()?;
    let hash = |line: &str| Hash::try_from(B64.decode(line).ok()?).ok();
    let proof: Vec<Hash> = lines.map(hash).collect::<Option<_>>()?;
    (old == size.to_string() && proof.len() <= PROOF_MAX).then_some((size, proof, note))
}

/// The body of an `add-checkpoint` request.
#[must_use]
pub fn request(old_size: u64, proof: &[Hash], note: &str) -> String {
    let mut body = format!("old {old_size}\n");
    for hash in proof {
        body.push_str(&B64.encode(hash));
        body.push('\n');
    }
    format!("{body}\n{note}")
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Cosigned(line) => (StatusCode::OK, line).into_response(),
            Self::Malformed => StatusCode::BAD_REQUEST.into_response(),
            Self::UnknownLog => StatusCode::NOT_FOUND.into_response(),
            Self::Unsigned => StatusCode::FORBIDDEN.into_response(),
            Self::Conflict(size) => {
                let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
                (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
            }
            Self::NotConsistent => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// A running witness.
pub struct Handle {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Handle {
    /// Waits until it has ended, after the shutdown token was cancelled.
    pub async fn stopped(self) {
        if self.task.await.is_err() {
            tracing::error!("the witness' task failed");
        }
    }
}

/// Serves `POST /add-checkpoint` until `shutdown`.
///
/// # Errors
/// If it can't listen.
pub async fn start(
    watcher: Watcher,
    listen: SocketAddr,
    shutdown: CancellationToken,
) -> Result<Handle, WitnessError> {
    let listener = TcpListener::bind(listen).await?;
    let addr = listener.local_addr()?;
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(axum::extract::DefaultBodyLimit::max(
            checkpoint::NOTE_BYTES_MAX,
        ))
        .with_state(Arc::new(watcher));
    let task = tokio::spawn(async move {
        let served =
            axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the witness' listener stopped");
        }
    });
    Ok(Handle { addr, task })
}

async fn add_checkpoint(State(watcher): State<Arc<Watcher>>, body: String) -> Answer {
    let now = proctor_runtime::Clock::system().now().as_secs();
    let now = u64::try_from(now).unwrap_or(0);
    tokio::task::spawn_blocking(move || watcher.add_checkpoint(&body, now))
        .await
        .unwrap_or(Answer::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{Frontier, Node, Plan};

    const ORIGIN: &str = "test/audit/acme";

    struct Log {
        leaves: Vec<Hash>,
        signer: Signer,
    }

    impl Log {
        fn root(&self, from: usize, to: usize) -> Hash {
            let mut tree = Frontier::default();
            self.leaves[from..to]
                .iter()
                .for_each(|leaf| tree.push(*leaf));
            tree.root()
        }

        fn ask(&self, old: usize, new: usize) -> String {
            let plan = Plan::consistency(old as u64, new as u64).unwrap_or_default();
            let node = |node: Node| {
                let start = usize::try_from(node.index << node.level).unwrap();
                (node, self.root(start, start + (1 << node.level)))
            };
            let proof = plan.proof(&plan.nodes().map(node).collect()).unwrap();
            let checkpoint = Checkpoint {
                origin: ORIGIN.into(),
                size: new as u64,
                root: self.root(0, new),
            };
            request(old as u64, &proof, &checkpoint.sign(&[&self.signer], 5))
        }
    }

    fn log(seed: u8) -> Log {
        Log {
            leaves: (0..40u8).map(|n| [n.wrapping_mul(seed); 32]).collect(),
            signer: Signer::from_seed(&[1; 32]).unwrap(),
        }
    }

    fn watcher(dir: &Path) -> Watcher {
        let key = VerifierKey::of(ORIGIN, &log(3).signer).text();
        Watcher::open(dir, "witness.example/w", &[key]).unwrap()
    }

    #[test]
    fn it_cosigns_growth_and_nothing_else_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut witness) = (log(3), watcher(dir.path()));
        let mut seen = 0;
        for size in [7, 8, 8, 31] {
            let Answer::Cosigned(line) = witness.add_checkpoint(&log.ask(seen, size), 9) else {
                panic!("{seen} to {size}")
            };
            let ask = log.ask(seen, size);
            let note = ask.split_once("\n\n").unwrap().1.to_owned() + &line;
            let key = VerifierKey::parse(&witness.key(), "").unwrap();
            let (_, signed) = checkpoint::open(&note, std::slice::from_ref(&key)).unwrap();
            assert_eq!(signed.time_s(), Some(9));
            // What it keeps is of use to an auditor: signed by the log, and by it.
            let kept = std::fs::read_to_string(witness.file(ORIGIN)).unwrap();
            for key in [&key, &VerifierKey::of("", &log.signer)] {
                let (kept, _) = checkpoint::open(&kept, std::slice::from_ref(key)).unwrap();
                assert_eq!(kept.size, size as u64);
            }
            seen = size;
            witness = watcher(dir.path());
        }
        let other = super::tests::log(5);
        assert_eq!(
            witness.add_checkpoint(&log.ask(8, 40), 9),
            Answer::Conflict(31)
        );
        assert_eq!(
            witness.add_checkpoint(&log.ask(0, 31), 9),
            Answer::Conflict(31)
        );
        // Another history, of the same size and of a larger one; an older state.
        assert_eq!(
            witness.add_checkpoint(&other.ask(31, 31), 9),
            Answer::NotConsistent
        );
        assert_eq!(
            witness.add_checkpoint(&other.ask(31, 40), 9),
            Answer::NotConsistent
        );
        assert_eq!(
            witness.add_checkpoint(&log.ask(12, 20), 9),
            Answer::Conflict(31)
        );
    }

    #[test]
    fn it_answers_only_for_its_logs_and_never_from_a_damaged_memory() {
        let dir = tempfile::tempdir().unwrap();
        let witness = watcher(dir.path());
        let mut forged = log(3);
        forged.signer = Signer::from_seed(&[2; 32]).unwrap();
        assert_eq!(
            witness.add_checkpoint(&forged.ask(0, 5), 9),
            Answer::Unsigned
        );
        let foreign = log(3).ask(0, 5).replace(ORIGIN, "test/audit/other");
        assert_eq!(witness.add_checkpoint(&foreign, 9), Answer::UnknownLog);
        for bad in ["", "old 0", "old x\n\n", "old 00\n\nx", "old 0\nAA==\n\nx"] {
            assert_eq!(witness.add_checkpoint(bad, 9), Answer::Malformed, "{bad}");
        }
        assert!(matches!(
            witness.add_checkpoint(&log(3).ask(0, 5), 9),
            Answer::Cosigned(_)
        ));
        // As older versions kept it.
        let text = std::fs::read_to_string(witness.file(ORIGIN)).unwrap();
        let (text, _) = text.split_once("\n\n").unwrap();
        std::fs::write(witness.file(ORIGIN), format!("{text}\n")).unwrap();
        assert_eq!(
            witness.add_checkpoint(&log(3).ask(0, 5), 9),
            Answer::Conflict(5)
        );
        std::fs::write(witness.file(ORIGIN), "").unwrap();
        assert_eq!(witness.add_checkpoint(&log(3).ask(0, 5), 9), Answer::Broken);
    }
}
