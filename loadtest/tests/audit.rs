//! The audit log as outsiders meet it: proofs, tiles, witnesses, bundles, and two verifiers that have to agree on all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_devstack::skipped;
use proctor_loadtest::cluster::{Cluster, Options, free_port, proctor_binary};
use proctor_loadtest::install::turn;
use proctor_loadtest::load::{Load, prepare};
use proctor_loadtest::oracle;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Python with `cryptography`, in an environment of its own; `None` where python3 is absent.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/audit-venv");
    let run = |command: &mut Command| command.stdin(Stdio::null()).output().ok();
    if !run(Command::new("python3").arg("--version"))?
        .status
        .success()
    {
        return None;
    }
    let _turn = turn("audit-venv").unwrap();
    if !venv.join("installed").is_file() {
        let made = run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).unwrap();
        assert!(made.status.success(), "{made:?}");
        let pip =
            run(Command::new(venv.join("bin/pip")).args(["install", "-q", "cryptography==46.0.3"]))
                .unwrap();
        assert!(pip.status.success(), "{pip:?}");
        std::fs::write(venv.join("installed"), "").unwrap();
    }
    Some(venv.join("bin/python"))
}

fn second_verifier() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verify_audit.py")
}

/// What a verifier said: its exit code, and the fault if it named one.
fn verdict(output: &Output) -> (i32, Option<String>) {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("NOT SOUND: "));
    // `FILE: [entry N: ]fault: sentence`
    let fault = line.and_then(|line| {
        line.split(": ").skip(1).find(|part| {
            !part.starts_with("entry ") && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
    });
    (output.status.code().unwrap_or(-1), fault.map(str::to_owned))
}

/// Both verifiers on the same files, which have to say the same.
fn both(
    python: Option<&Path>,
    bundles: &[PathBuf],
    key: &str,
    checkpoint: Option<&Path>,
) -> (i32, Option<String>) {
    let checkpoint = checkpoint.map(|file| ["--checkpoint", file.to_str().unwrap()]);
    let more = checkpoint.as_ref().map_or(&[][..], |arguments| arguments);
    both_with(python, bundles, &[&["--key", key], more].concat())
}

fn both_with(python: Option<&Path>, bundles: &[PathBuf], with: &[&str]) -> (i32, Option<String>) {
    let arguments = |command: &mut Command| command.args(bundles).args(with).output().unwrap();
    let first = arguments(Command::new(proctor_binary().unwrap()).args(["audit", "verify"]));
    let first_says = verdict(&first);
    if let Some(python) = python {
        let second = arguments(Command::new(python).arg(second_verifier()));
        assert_eq!(
            first_says,
            verdict(&second),
            "{bundles:?}\n{first:?}\n{second:?}"
        );
    }
    first_says
}

struct Log {
    cluster: Cluster,
    key: String,
}

impl Log {
    /// An installation that has decided some hundred calls, sealed often, with a witness and checkpoint files.
    async fn start(witness: &str) -> Self {
        let settings = format!("seal_events = 50\nseal_ms = 300\n{witness}");
        let options = Options {
            ledger_settings: settings,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        let token = prepare(&cluster, &upstream).await.unwrap();
        let load = Load::start(&cluster.edge_url, &token, 8, 1).unwrap();
        load.wait_done(300, PATIENCE).await.unwrap();
        load.end().await;
        oracle::settled(&cluster, PATIENCE).await.unwrap();
        let keys = cluster.acme(Method::GET, "audit/keys", None).await.unwrap();
        let key = keys["keys"][0].as_str().unwrap().to_owned();
        let log = Self { cluster, key };
        log.sealed().await;
        log
    }

    /// Waits until everything is sealed; the size.
    async fn sealed(&self) -> u64 {
        for _ in 0..600 {
            let report = self
                .cluster
                .acme(Method::GET, "audit/verify", None)
                .await
                .unwrap();
            assert_eq!(report["findings"], serde_json::json!([]), "{report}");
            if report["sealed"] == report["entries"] {
                return report["sealed"].as_u64().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it is not sealed");
    }

    async fn export(&self, tenant: &str, query: &str) -> PathBuf {
        let path = format!("/v1/tenants/{tenant}/audit/export{query}");
        let file = self
            .cluster
            .dir
            .path()
            .join(format!("{tenant}-{}.ndjson", query.len()));
        std::fs::write(&file, self.cluster.download(&path).await.unwrap()).unwrap();
        file
    }
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().to_vec()
}

/// RFC 9162, 2.1.3.2, by hand.
fn root_of_proof(leaf_index: u64, size: u64, leaf: Vec<u8>, proof: &[Value]) -> Vec<u8> {
    let (mut at, mut last, mut node) = (leaf_index, size - 1, leaf);
    for step in proof {
        let step = hex::decode(step.as_str().unwrap()).unwrap();
        if at & 1 == 1 || at == last {
            node = hash(&[&[1], &step, &node]);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = hash(&[&[1], &node, &step]);
        }
        at >>= 1;
        last >>= 1;
    }
    assert_eq!(last, 0);
    node
}

/// The root from full and partial tiles of level 0 alone.
fn root_of_leaves(leaves: &[Vec<u8>]) -> Vec<u8> {
    match leaves {
        [leaf] => leaf.clone(),
        _ => {
            let split = 1 << (leaves.len() - 1).ilog2();
            hash(&[
                &[1],
                &root_of_leaves(&leaves[..split]),
                &root_of_leaves(&leaves[split..]),
            ])
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_verifiers_agree_on_sound_bundles_and_on_each_tampering() {
    let python = python();
    if python.is_none() {
        skipped("python3 is absent: only one verifier is tried");
    }
    let python = python.as_deref();
    let log = Log::start("").await;
    let whole = log.export("acme", "").await;
    assert_eq!(
        both(python, std::slice::from_ref(&whole), &log.key, None),
        (0, None)
    );
    // A bare key may begin with a hyphen.
    let other = format!("-{}", "A".repeat(42));
    assert_eq!(
        both(python, std::slice::from_ref(&whole), &other, None),
        (4, Some("checkpoint".into()))
    );
    // A stretch by time, against a checkpoint of the whole.
    let page = log
        .cluster
        .acme(Method::GET, "audit/events?limit=200", None)
        .await
        .unwrap();
    let time = |index: usize| {
        page["entries"][index]["event"]["time"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (from, to) = (time(150), time(20));
    let stretch = log.export("acme", &format!("?from={from}&to={to}")).await;
    let note = log
        .cluster
        .download("/v1/tenants/acme/audit/log/checkpoint")
        .await
        .unwrap();
    let kept = log.cluster.dir.path().join("kept.checkpoint");
    std::fs::write(&kept, note).unwrap();
    let partial = both_with(
        python,
        std::slice::from_ref(&stretch),
        &["--key", &log.key, "--whole"],
    );
    assert_eq!(partial, (4, Some("partial".into())));
    let lines = std::fs::read_to_string(&stretch).unwrap().lines().count();
    assert!((100..=200).contains(&lines), "{lines}");
    assert_eq!(
        both(
            python,
            std::slice::from_ref(&stretch),
            &log.key,
            Some(&kept)
        ),
        (0, None)
    );
    // The platform's chain names the tenant; with it both are sound.
    let platform = wait_named(&log).await;
    // NAME+ID+BASE64, and base64 has plus signs of its own.
    let bare_key = log.key.splitn(3, '+').nth(2).unwrap();
    let bare_key = base64_tail(bare_key);
    assert_eq!(
        both(python, &[whole.clone(), platform], &bare_key, Some(&kept)),
        (0, None)
    );
    // Without a key that is trusted, nothing is.
    let stranger = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let unsigned = both(python, std::slice::from_ref(&whole), stranger, None);
    assert_eq!(unsigned, (4, Some("checkpoint".into())));
    drill(python, &log, &whole);
    log.cluster.stop().await;
}

/// The public key within a verifier key's last part: base64 of a type byte and the key.
fn base64_tail(typed: &str) -> String {
    let output = Command::new("python3")
        .args(["-c", "import base64,sys; print(base64.b64encode(base64.b64decode(sys.argv[1])[1:]).decode())", typed])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The platform's bundle, once it names the tenant.
async fn wait_named(log: &Log) -> PathBuf {
    for _ in 0..300 {
        let bundle = log.export("_platform", "").await;
        if std::fs::read_to_string(&bundle)
            .unwrap()
            .contains("\"tenant\":\"acme\"}")
        {
            return bundle;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the platform's chain does not name the tenant");
}

/// Every tampering, by both verifiers.
fn drill(python: Option<&Path>, log: &Log, whole: &Path) {
    let dir = log.cluster.dir.path().join("drill");
    let output = Command::new(proctor_binary().unwrap())
        .args(["audit", "drill"])
        .arg(whole)
        .arg("--dir")
        .arg(&dir)
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{output:?}");
    let drill: Value =
        serde_json::from_slice(&std::fs::read(dir.join("drill.json")).unwrap()).unwrap();
    let cases = drill["cases"].as_array().unwrap();
    assert!(cases.len() >= 16, "{}", cases.len());
    for case in cases {
        let bundles: Vec<PathBuf> = case["bundles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| dir.join(file.as_str().unwrap()))
            .collect();
        let checkpoint = case["checkpoint"].as_str().map(|file| dir.join(file));
        let found = both(
            python,
            &bundles,
            drill["key"].as_str().unwrap(),
            checkpoint.as_deref(),
        );
        let fault = case["fault"].as_str().map(str::to_owned);
        let code = if fault.is_some() { 4 } else { 0 };
        assert_eq!(found, (code, fault), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_tiles_and_checkpoints_fit_each_other() {
    let log = Log::start("").await;
    let size = log.sealed().await;
    let acme = async |path: &str| log.cluster.acme(Method::GET, path, None).await.unwrap();
    let newest = acme("audit/checkpoints?limit=1").await["checkpoints"][0].clone();
    assert_eq!(newest["size"], size);
    let root = hex::decode(newest["root"].as_str().unwrap()).unwrap();
    for seq in [1, 2, size / 2, size] {
        let proved = acme(&format!("audit/events/{seq}")).await;
        let body = decode(proved["body"].as_str().unwrap());
        let leaf = hash(&[&[0], &body]);
        assert_eq!(hex::encode(&leaf), proved["hash"].as_str().unwrap());
        let proof = proved["proof"].as_array().unwrap();
        assert!(proof.len() <= 20, "{}", proof.len());
        let index = proved["leaf_index"].as_u64().unwrap();
        assert_eq!(root_of_proof(index, size, leaf, proof), root);
    }
    // From the tiles alone, as other tools read them.
    let mut leaves = Vec::new();
    let log_path = |path: String| format!("/v1/tenants/acme/audit/log/{path}");
    for index in 0..=(size - 1) / 256 {
        let width = (size - index * 256).min(256);
        let suffix = if width == 256 {
            String::new()
        } else {
            format!(".p/{width}")
        };
        let tile = log
            .cluster
            .download(&log_path(format!("tile/0/{index:03}{suffix}")))
            .await
            .unwrap();
        let entries = log
            .cluster
            .download(&log_path(format!("tile/entries/{index:03}{suffix}")))
            .await
            .unwrap();
        assert_eq!(tile.len() as u64, width * 32);
        let mut rest = entries.as_slice();
        for leaf in tile.chunks(32) {
            let (length, after) = rest.split_at(2);
            let (body, after) =
                after.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
            assert_eq!(hash(&[&[0], body]), leaf);
            leaves.push(leaf.to_vec());
            rest = after;
        }
        assert!(rest.is_empty());
    }
    assert_eq!(root_of_leaves(&leaves), root);
    let note = log
        .cluster
        .download(&log_path("checkpoint".into()))
        .await
        .unwrap();
    assert!(
        String::from_utf8(note)
            .unwrap()
            .starts_with(&format!("test/audit/acme\n{size}\n"))
    );
    for bad in [
        "tile/0/999",
        "tile/9/000",
        "tile/0/000.p/0",
        "tile/x",
        "tile/0/000.p/999",
    ] {
        let error = log
            .cluster
            .download(&log_path(bad.into()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("404"), "{bad}: {error}");
    }
    // Checkpoints rise in size and time, page by page.
    let (mut before, mut last) = (0, (u64::MAX, u64::MAX));
    loop {
        let page = acme(&format!("audit/checkpoints?limit=3&before_size={before}")).await;
        for checkpoint in page["checkpoints"].as_array().unwrap() {
            let now = (
                checkpoint["size"].as_u64().unwrap(),
                checkpoint["time_s"].as_u64().unwrap(),
            );
            assert!(now.0 < last.0 && now.1 <= last.1, "{now:?} before {last:?}");
            last = now;
        }
        match page["next_before_size"].as_u64() {
            Some(next) => before = next,
            None => break,
        }
    }
    let proof = acme(&format!(
        "audit/consistency?old_size={}&new_size={size}",
        last.0
    ))
    .await;
    assert!(!proof["proof"].as_array().unwrap().is_empty() || last.0 == size);
    log.cluster.stop().await;
}

fn decode(text: &str) -> Vec<u8> {
    let output = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = output.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_cosigns_and_files_keep_every_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();

    let settings = dir.path().join("witness.toml");
    let files = dir.path().join("files");
    std::fs::create_dir_all(dir.path().join("witness")).unwrap();
    let write_settings = |logs: &str| {
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\ndata_dir = {:?}\nname = \"witness.example/w1\"\nlogs = [{logs}]\n",
            dir.path().join("witness").display().to_string()
        );
        std::fs::write(&settings, text).unwrap();
    };
    write_settings("");
    let start = || {
        let child = Command::new(proctor_binary().unwrap())
            .args(["witness", "--config"])
            .arg(&settings)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    };
    let witness_key = {
        let mut witness = start();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(witness.0.stdout.take().unwrap()));
        lines
            .next()
            .unwrap()
            .unwrap()
            .strip_prefix("witness key ")
            .unwrap()
            .to_owned()
    };
    let line = format!(
        "checkpoint_dir = {:?}\nwitnesses = [{{ url = \"http://127.0.0.1:{port}\", key = \"{witness_key}\" }}]\n",
        files.display().to_string()
    );
    let log = Log::start(&line).await;
    // So far nobody answered. Now one does that knows the tenant's log.
    write_settings(&format!("\"{}\"", log.key));
    let witness = start();
    let mut cosigned = None;
    for _ in 0..1_200 {
        let note = log
            .cluster
            .download("/v1/tenants/acme/audit/log/checkpoint")
            .await
            .unwrap();
        let note = String::from_utf8(note).unwrap();
        if note.contains("\u{2014} witness.example/w1 ") {
            cosigned = Some(note);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let note = cosigned.expect("the witness cosigns");
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    // A witness only says that the log grew: its key stands beside the log's, never for it.
    let bundle = log.export("acme", "").await;
    let python = python();
    let with =
        |arguments: &[&str]| both_with(python.as_deref(), std::slice::from_ref(&bundle), arguments);
    let (key, witness_key) = (log.key.as_str(), witness_key.as_str());
    assert_eq!(
        with(&["--key", key, "--witness", witness_key, "--whole"]),
        (0, None)
    );
    let alone = with(&["--key", witness_key]);
    assert_eq!(alone, (4, Some("checkpoint".into())));
    let stranger = "witness.example/w2+20fc3ed5+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let absent = with(&["--key", key, "--witness", stranger]);
    assert_eq!(absent, (4, Some("witness".into())));
    // What the witness keeps is a checkpoint that the bundle is held against.
    let kept = std::fs::read_dir(dir.path().join("witness")).unwrap();
    let kept = kept
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "checkpoint"))
        .unwrap();
    let kept = kept.to_str().unwrap();
    assert_eq!(
        with(&["--key", key, "--witness", witness_key, "--checkpoint", kept]),
        (0, None)
    );
    // Each checkpoint has its file.
    let kept: Vec<String> = std::fs::read_dir(files.join("acme"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(kept.contains(&format!("{size:020}.checkpoint")), "{kept:?}");
    let all = log
        .cluster
        .acme(Method::GET, "audit/checkpoints?limit=1000", None)
        .await
        .unwrap();
    for checkpoint in all["checkpoints"].as_array().unwrap() {
        let name = format!("{:020}.checkpoint", checkpoint["size"].as_u64().unwrap());
        if checkpoint["size"].as_u64().unwrap() <= size {
            assert!(kept.contains(&name), "{name}");
        }
    }
    drop(witness);
    log.cluster.stop().await;
}

/// Reads a chain's events until the stream ends; the ids.
async fn follow(url: String, key: String, ids: tokio::sync::mpsc::Sender<u64>) {
    let http = reqwest::Client::new();
    let mut response = http.get(url).bearer_auth(key).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let mut text = String::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((line, rest)) = text.split_once('\n') {
            if let Some(id) = line.strip_prefix("id:") {
                let _ = ids.send(id.trim().parse().unwrap()).await;
            }
            text = rest.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_chain_does_so_as_long_as_his_key_is_good() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    prepare(&cluster, &upstream).await.unwrap();
    let keys = [
        cluster.key("auditor").await.unwrap(),
        cluster.key("auditor").await.unwrap(),
    ];
    let mut followers = Vec::new();
    for key in &keys {
        let (sender, ids) = tokio::sync::mpsc::channel(1_024);
        let url = format!("{}/v1/tenants/acme/audit/events/stream", cluster.api_url);
        followers.push((tokio::spawn(follow(url, key.clone(), sender)), ids));
    }
    let (kept, mut ids) = followers.remove(0);
    let (cut, _ids) = followers.remove(0);
    assert_eq!(ids.recv().await, Some(1));
    let listed = cluster.acme(Method::GET, "api-keys", None).await.unwrap();
    let id = |key: &Value| key["id"].as_str().unwrap().to_owned();
    let last = listed["api_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(id)
        .max()
        .unwrap();
    let path = format!("api-keys/{last}");
    cluster.acme(Method::DELETE, &path, None).await.unwrap();
    // Its token lives for a minute, and is used again for half of one.
    tokio::time::timeout(2 * PATIENCE, cut)
        .await
        .expect("it ends with its key")
        .unwrap();
    // By now the other one's first token is over, too: each entry of now comes all the same, once.
    let head = cluster.acme(Method::GET, "audit/head", None).await.unwrap();
    let before = head["size"].as_u64().unwrap();
    cluster.key("viewer").await.unwrap();
    for expected in 2..=before + 1 {
        let id = tokio::time::timeout(PATIENCE, ids.recv()).await.unwrap();
        assert_eq!(id, Some(expected));
    }
    assert!(!kept.is_finished());
    kept.abort();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_might_choke_on_is_recorded() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let keys = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"key{n:08}\":1")).collect();
        format!(
            "{{\"tool\":\"worker/work\",\"arguments\":{{{}}}}}",
            members.join(",")
        )
    };
    let bodies = [
        r#"{"tool":"worker/work","arguments":{"a\u0000b":1,"id":"x","amount":1}}"#.to_owned(),
        r#"{"tool":"worker/work","arguments":{"id":"\u0000","amount":1}}"#.to_owned(),
        r#"{"tool":"worker/wo\u0000rk","arguments":{}}"#.to_owned(),
        r#"{"tool":"wor\u0000ker/work","arguments":{}}"#.to_owned(),
        r#"{"tool":"worker/work","arguments":{"\ud800":1}}"#.to_owned(),
        r#"{"tool":"worker/\udfff","arguments":{}}"#.to_owned(),
        r#"{"tool":"worker/\ud83d\ude00","arguments":{}}"#.to_owned(),
        format!(
            r#"{{"tool":"worker/{}","arguments":{{}}}}"#,
            "w".repeat(5_000)
        ),
        keys(1_000),
        keys(60_000),
    ];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut decisions = Vec::new();
    for body in &bodies {
        let short = &body[..body.len().min(80)];
        let answer = http
            .post(format!("{}/v1/tool-call", cluster.edge_url))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        let decision = answer
            .pointer("/error/data/decision_id")
            .or(answer.pointer("/result/_meta/dev.proctor~1decision/decision_id"))
            .and_then(Value::as_str);
        println!(
            "{short}: {status} {}",
            answer.pointer("/error/data/reason").unwrap_or(&Value::Null)
        );
        decisions.push(
            decision
                .unwrap_or_else(|| panic!("{short}: {status} {answer}"))
                .to_owned(),
        );
    }
    oracle::settled(&cluster, PATIENCE).await.unwrap();
    for (decision, body) in decisions.iter().zip(&bodies) {
        let found = cluster
            .acme(
                Method::GET,
                &format!("audit/events?decision_id={decision}"),
                None,
            )
            .await
            .unwrap();
        let found = found["entries"].as_array().unwrap().len();
        assert!(found > 0, "no record of {}", &body[..body.len().min(80)]);
    }
    cluster.stop().await;
}

/// Ended with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
