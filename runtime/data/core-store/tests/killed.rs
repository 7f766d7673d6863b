//! A process that is killed while it writes leaves a store that opens, with every block it reported and no half of another.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use core_store::{Core, CoreOptions, Storage};
use hypercore::KeyPair;
use hypercore::proof::{Request, RequestBlock, RequestUpgrade};

const STORE: &str = "HYPERCORE_TEST_KILLED_STORE";
const WHAT: &str = "HYPERCORE_TEST_KILLED_WHAT";
/// Blocks of the core that the killed reader copies; more than it gets to.
const SOURCE: u64 = 20_000;

fn block(index: u64) -> Bytes {
    vec![index as u8; (index * 131 % 5000) as usize].into()
}

fn writer(storage: &Storage) -> Core {
    let key_pair = Some(KeyPair::from_seed([5; 32]));
    let options = CoreOptions {
        key_pair,
        ..CoreOptions::default()
    };
    Core::open(storage, options).unwrap()
}

fn reader(storage: &Storage, of: &Core) -> Core {
    let options = CoreOptions {
        manifest: of.manifest(),
        ..CoreOptions::default()
    };
    Core::open(storage, options).unwrap()
}

fn source() -> Core {
    let core = writer(&Storage::in_memory().unwrap());
    core.append(&(0..SOURCE).map(block).collect::<Vec<_>>()).unwrap();
    core
}

fn upgrade(from: &Core, to: &Core) {
    let (start, length) = (to.length(), from.length() - to.length());
    if length > 0 {
        let upgrade = Some(RequestUpgrade { start, length });
        let request = Request {
            upgrade,
            ..Request::default()
        };
        to.verify(from.create_proof(&request).unwrap().unwrap()).unwrap();
    }
}

fn fetch(from: &Core, to: &Core, index: u64) {
    let nodes = to.missing_nodes(2 * index).unwrap();
    let request = Request {
        block: Some(RequestBlock { index, nodes }),
        ..Request::default()
    };
    to.verify(from.create_proof(&request).unwrap().unwrap()).unwrap();
}

/// Not a test of its own: what the killed process does.
#[test]
#[ignore = "run by the tests below in a process of its own"]
fn child() {
    let Some(path) = std::env::var_os(STORE) else {
        return;
    };
    let storage = Storage::open(Path::new(&path)).unwrap();
    if std::env::var(WHAT).as_deref() == Ok("append") {
        let core = writer(&storage);
        loop {
            let start = core.length();
            let end = start + 1 + start % 7;
            println!(
                "\nat {}",
                core.append(&(start..end).map(block).collect::<Vec<_>>()).unwrap()
            );
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter(); // So that writes are grouped.
    let source = source();
    let core = reader(&storage, &source);
    upgrade(&source, &core);
    for index in core.contiguous_length()..SOURCE {
        fetch(&source, &core, index);
        println!("\nat {index}");
    }
}

/// Runs the child on the store until it reported `reports` times, then kills it; returns its last report.
fn run_and_kill(store: &Path, what: &str, reports: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(STORE, store)
        .env(WHAT, what)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let last = lines
        .filter_map(|line| line.strip_prefix("at ").and_then(|at| at.parse().ok()))
        .nth(reports);
    child.kill().unwrap();
    child.wait().unwrap();
    last.expect("the child ended early")
}

#[test]
fn appending() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    for reports in [0, 30, 7, 101] {
        let reported: u64 = run_and_kill(&path, "append", reports);
        let core = writer(&Storage::open(&path).unwrap());
        let length = core.length();
        assert!(length >= reported);
        assert_eq!(core.contiguous_length(), length);
        let memory = writer(&Storage::in_memory().unwrap());
        memory
            .append(&(0..length).map(block).collect::<Vec<_>>())
            .unwrap();
        assert_eq!(core.tree_hash(length).unwrap(), memory.tree_hash(length).unwrap());
        let copy = reader(&Storage::in_memory().unwrap(), &core);
        upgrade(&core, &copy);
        for index in 0..length {
            assert_eq!(core.get_local(index).unwrap(), Some(block(index)));
            fetch(&core, &copy, index);
        }
    }
}

#[test]
fn copying_from_a_peer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let source = source();
    let mut before = 0;
    for reports in [200, 1500, 40] {
        run_and_kill(&path, "copy", reports);
        let core = reader(&Storage::open(&path).unwrap(), &source);
        // What was not written yet is fetched again; what was written stays.
        let stored = core.contiguous_length();
        assert!(stored >= before);
        before = stored;
        upgrade(&source, &core);
        assert_eq!(core.tree_hash(SOURCE).unwrap(), source.tree_hash(SOURCE).unwrap());
        for index in 0..stored {
            assert_eq!(core.get_local(index).unwrap(), Some(block(index)));
        }
        (stored..stored + 50).for_each(|index| fetch(&source, &core, index));
    }
}
