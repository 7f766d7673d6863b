//! `bosc stage` of a folder that was staged before: what was not touched is not read again, and every change is found.

#![cfg(target_os = "linux")]

mod place;

use std::fs::{self, File, FileTimes};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use core_store::Core;
use corestore::{Corestore, GetOptions};
use predicates::str::contains;
use rustix::fs::inotify;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use place::{Place, refuses};

const ELSEWHERE: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";
/// Longer than a file must have been left alone before its times are relied upon.
const SETTLED: Duration = Duration::from_millis(2200);

/// The name of what a stage remembers, beside the drive.
const NAME: &str = "staged-files";

/// Tells which files of a folder are opened.
struct Watch(OwnedFd);

impl Watch {
    fn begin(folder: &Path) -> Self {
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, folder, inotify::WatchFlags::OPEN).unwrap();
        Self(watch)
    }

    fn opened(self) -> Vec<String> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.0, &mut space);
        let mut names = Vec::new();
        loop {
            match events.next() {
                Ok(event) => names.extend(event.file_name().map(|name| name.to_string_lossy().into_owned())),
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(error) => panic!("{error}"),
            }
        }
        names.sort();
        names.dedup();
        names
    }
}

/// A place with a folder `dep` of three files, and a link.
fn place() -> (Place, String) {
    // Not the system's folder for temporary files, whose times may not be kept by a disk.
    let place = Place::within(Path::new(env!("CARGO_TARGET_TMPDIR")));
    place.package("dep", "1.0.0", ELSEWHERE);
    place.write("dep/a.txt", "one content");
    place.write("dep/b.txt", "another text");
    let link = place.touch();
    (place, link)
}

/// The core that the link names, and with which lies what is remembered.
fn core(place: &Place, link: &str) -> Core {
    let store = Corestore::open(place.path("store")).unwrap();
    let key = Some(link.trim_start_matches("pear://").parse().unwrap());
    let options = GetOptions {
        key,
        ..GetOptions::default()
    };
    store.get(options).unwrap()
}

/// Whether the disk is one whose times are relied upon. If not, there is nothing to be seen of it here.
fn relied_upon(place: &Place) -> bool {
    let kind = rustix::fs::statfs(place.path("dep")).unwrap().f_type;
    let known = [0xef53i64, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x794c_7630];
    let relied_upon = known.contains(&(kind as i64));
    if !relied_upon {
        use std::io::Write;
        let thread = std::thread::current();
        let _ = writeln!(
            std::io::stdout(),
            "SKIPPED {}: the times of this disk are not relied upon",
            thread.name().unwrap_or("a test")
        );
    }
    relied_upon
}

/// Other content of the same size, under the times that the file had.
fn change_unseen(path: &Path, content: &str) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(before.len(), content.len() as u64);
    fs::write(path, content).unwrap();
    let times = FileTimes::new()
        .set_modified(before.modified().unwrap())
        .set_accessed(before.accessed().unwrap());
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(
        fs::metadata(path).unwrap().modified().unwrap(),
        before.modified().unwrap()
    );
}

/// Stages, dry and then for good: both say the same, which is returned.
fn stage(place: &Place, link: &str, more: &[&str]) -> String {
    let changes = |dry: &[&str]| {
        let all = [&["stage", link, "dep"], more, dry].concat();
        let text = place.stdout(&all);
        let lines = text.lines().filter(|line| line.starts_with(['+', '-', '~']));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let dry = changes(&["--dry-run"]);
    let run = changes(&[]);
    assert_eq!(dry, run);
    run
}

fn dumped(place: &Place, link: &str, name: &str) -> String {
    place.bosc(&["dump", link, "out", "--force"]).success();
    fs::read_to_string(place.path("out").join(name)).unwrap()
}

#[test]
fn what_was_not_touched_is_not_read_again_unless_all_is_asked_for() {
    let (place, link) = place();
    if !relied_upon(&place) {
        return;
    }
    std::thread::sleep(SETTLED);
    assert_eq!(stage(&place, &link, &[]).lines().count(), 3);
    let watch = Watch::begin(&place.path("dep"));
    assert_eq!(stage(&place, &link, &[]), "");
    let opened = watch.opened();
    assert!(!opened.iter().any(|name| name.ends_with(".txt")), "{opened:?}");

    place.write("dep/b.txt", "a longer text than before");
    let watch = Watch::begin(&place.path("dep"));
    assert!(stage(&place, &link, &[]).contains("/b.txt"));
    let opened = watch.opened();
    assert!(
        opened.contains(&"b.txt".into()) && !opened.contains(&"a.txt".into()),
        "{opened:?}"
    );

    let watch = Watch::begin(&place.path("dep"));
    assert_eq!(stage(&place, &link, &["--read-all"]), "");
    let opened = watch.opened();
    assert!(
        opened.contains(&"a.txt".into()) && opened.contains(&"b.txt".into()),
        "{opened:?}"
    );
    assert_eq!(dumped(&place, &link, "b.txt"), "a longer text than before");
}

#[test]
fn a_change_of_the_same_size_under_the_same_times_is_found() {
    let (place, link) = place();
    std::thread::sleep(SETTLED);
    stage(&place, &link, &[]);
    change_unseen(&place.path("dep/a.txt"), "two content");
    assert!(stage(&place, &link, &[]).contains("/a.txt"));
    assert_eq!(dumped(&place, &link, "a.txt"), "two content");
    // Another file in its place, with the same times.
    let (a, other) = (place.path("dep/a.txt"), place.path("other"));
    let times = fs::metadata(&a).unwrap().modified().unwrap();
    fs::write(&other, "six content").unwrap();
    File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_modified(times)
        .unwrap();
    std::thread::sleep(SETTLED);
    stage(&place, &link, &[]);
    fs::rename(&other, &a).unwrap();
    assert!(stage(&place, &link, &[]).contains("/a.txt"));
    assert_eq!(dumped(&place, &link, "a.txt"), "six content");
}

#[test]
fn a_file_that_is_changed_right_after_it_was_staged_is_found() {
    let (place, link) = place();
    let file = place.path("dep/a.txt");
    for round in 0..6 {
        change_unseen(&file, &format!("{round}ne content"));
        assert!(
            place.stdout(&["stage", &link, "dep"]).contains("/a.txt"),
            "{round}"
        );
        change_unseen(&file, &format!("{round}wo content"));
        assert!(
            place.stdout(&["stage", &link, "dep"]).contains("/a.txt"),
            "{round}"
        );
    }
    assert_eq!(dumped(&place, &link, "a.txt"), "5wo content");
    // Times that lie ahead are relied upon no more than those of just now.
    let ahead = SystemTime::now() + Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(ahead)
        .unwrap();
    stage(&place, &link, &[]);
    change_unseen(&file, "nine conten");
    assert!(stage(&place, &link, &[]).contains("/a.txt"));
}

#[test]
fn a_change_through_a_memory_map_is_found() {
    let (place, link) = place();
    let file = File::options()
        .read(true)
        .write(true)
        .open(place.path("dep/a.txt"))
        .unwrap();
    // SAFETY: the kernel chooses where; nothing of this process lies there.
    let map = unsafe {
        mmap(
            std::ptr::null_mut(),
            4096,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &file,
            0,
        )
    }
    .unwrap()
    .cast::<u8>();
    let write = |byte: u8| {
        // SAFETY: the map is 4096 bytes long, is unmapped below alone, and the file behind it is not cut.
        unsafe { map.write_volatile(byte) }
    };
    write(b'1');
    std::thread::sleep(SETTLED);
    stage(&place, &link, &[]);
    // The page was written to before, so that the times change only if it has gone to the disk since.
    write(b'2');
    assert!(stage(&place, &link, &[]).contains("/a.txt"));
    assert_eq!(dumped(&place, &link, "a.txt"), "2ne content");
    // SAFETY: it is the whole map, and nobody uses it any more.
    unsafe { munmap(map.cast(), 4096) }.unwrap();
}

#[test]
fn a_secret_that_was_forced_once_is_refused_the_next_time() {
    let (place, link) = place();
    let token = format!("const token = 'ghp_{}'", "a1B2".repeat(9));
    place.write("dep/app.js", &token);
    std::thread::sleep(SETTLED);
    for _ in 0..2 {
        stage(&place, &link, &["--force"]);
        refuses(
            place.bosc(&["stage", &link, "dep"]),
            &["/app.js", "a GitHub token"],
        );
    }
    // Free of secrets, then not, under the same times.
    place.write("dep/app.js", &"x".repeat(token.len()));
    std::thread::sleep(SETTLED);
    stage(&place, &link, &[]);
    change_unseen(&place.path("dep/app.js"), &token);
    refuses(
        place.bosc(&["stage", &link, "dep"]),
        &["/app.js", "a GitHub token"],
    );
}

#[test]
fn blocks_that_came_to_hold_something_else_are_not_taken_for_what_they_held() {
    let (place, link) = place();
    stage(&place, &link, &[]);
    let length = place.length(&link).to_string();
    place.write("dep/d/a.txt", "the one that was first");
    std::thread::sleep(SETTLED);
    stage(&place, &link, &[]);
    let remembered = core(&place, &link).user_data(NAME).unwrap().unwrap();
    // Another file comes to the same path and the same blocks, and the stage is killed before it remembers that.
    fs::rename(place.path("dep/d"), place.path("aside")).unwrap();
    place.write("dep/d/a.txt", "what came in its place");
    place
        .bosc(&["stage", &link, "dep", "--truncate", &length])
        .success();
    assert_eq!(dumped(&place, &link, "d/a.txt"), "what came in its place");
    core(&place, &link).set_user_data(NAME, &remembered).unwrap();
    // The first comes back; a folder that is renamed leaves the times of its files.
    fs::rename(place.path("dep/d"), place.path("gone")).unwrap();
    fs::rename(place.path("aside"), place.path("dep/d")).unwrap();
    assert!(stage(&place, &link, &[]).contains("/d/a.txt"));
    assert_eq!(dumped(&place, &link, "d/a.txt"), "the one that was first");
}

#[test]
fn a_lost_or_spoilt_memory_costs_nothing_but_time() {
    let (place, link) = place();
    std::thread::sleep(SETTLED);
    stage(&place, &link, &[]);
    let whole = core(&place, &link).user_data(NAME).unwrap().unwrap();
    let mut contents = ["one content", "two content"].iter().cycle().skip(1);
    for at in (0..whole.len()).step_by(whole.len() / 8).chain([usize::MAX]) {
        let mut spoilt = whole.clone();
        match spoilt.get_mut(at) {
            Some(byte) => *byte ^= 0x10,
            None => spoilt.clear(),
        }
        core(&place, &link).set_user_data(NAME, &spoilt).unwrap();
        let watch = Watch::begin(&place.path("dep"));
        assert_eq!(stage(&place, &link, &[]), "");
        assert!(watch.opened().contains(&"b.txt".into()), "{at}");
        let content = contents.next().unwrap();
        change_unseen(&place.path("dep/a.txt"), content);
        assert!(stage(&place, &link, &[]).contains("/a.txt"));
        assert_eq!(dumped(&place, &link, "a.txt"), *content);
    }
    // The memory of another drive says nothing of this one.
    let other = place.touch();
    core(&place, &link).set_user_data(NAME, &whole).unwrap();
    place
        .bosc(&["stage", &other, "dep"])
        .success()
        .stdout(contains("+ /a.txt"));
}

#[test]
fn a_stage_that_is_killed_leaves_nothing_that_hides_a_change() {
    let (place, link) = place();
    for number in 0..400 {
        place.write(&format!("dep/many/{number}"), &format!("content {number:03}"));
    }
    std::thread::sleep(SETTLED);
    for round in 0..12u64 {
        let command = place.command(&["stage", &link, "dep"]);
        let mut child = std::process::Command::new(command.get_program())
            .args(command.get_args())
            .current_dir(place.path(""))
            .env("BOSC_STORAGE", place.path("store"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(15 + round * 15));
        child.kill().unwrap();
        child.wait().unwrap();
        change_unseen(&place.path("dep/many/7"), &format!("contenx {round:03}"));
    }
    place.bosc(&["stage", &link, "dep"]).success();
    assert_eq!(dumped(&place, &link, "many/7"), "contenx 011");
    assert_eq!(dumped(&place, &link, "many/399"), "content 399");
}
