//! AppImages as they are made and as they run: mounted, unpacked, replaced meanwhile, spoilt.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use app::Host;
use packaging::{Format, Plan, Program, Request};

/// Says what it was started with, and waits for a line if it is told to.
const PROGRAM: &str = r#"#!/bin/sh
echo "image=$APPIMAGE dir=$APPDIR arg0=$ARGV0 owd=$OWD name=${0##*/} args=$*"
cat "$APPDIR/resources/app/renderer/index.html"
[ "$1" = wait ] && { echo waiting; read line; echo "read $line"; cat "$APPDIR/resources/app/renderer/index.html"; }
exit "${CODE:-0}"
"#;

struct Home {
    dir: tempfile::TempDir,
    image: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::write(dir.path().join("program"), PROGRAM).unwrap();
        project(&dir.path().join("app"));
        let image = make(
            &dir.path().join("app"),
            &dir.path().join("program"),
            &dir.path().join("out"),
        );
        Self { dir, image }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.image);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("APPIMAGE_EXTRACT_AND_RUN")
            .env("TMPDIR", self.path("tmp"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn wait(&self, args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>, String) {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("waiting\n") {
            assert_ne!(said.read_line(&mut text).unwrap(), 0, "{text}");
        }
        (child, said, text)
    }

    /// Ends all that was started here, as a power cut would.
    fn kill_all(&self) {
        let mark = format!("TMPDIR={}", self.path("tmp").display());
        let is_ours = |process: &PathBuf| {
            let env = fs::read(process.join("environ")).unwrap_or_default();
            env.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ids: Vec<_> = processes
            .filter(is_ours)
            .filter_map(|path| Some(path.file_name()?.to_owned()))
            .collect();
        assert!(ids.len() >= 2, "no helper runs");
        assert!(
            Command::new("kill")
                .arg("-9")
                .args(ids)
                .status()
                .unwrap()
                .success()
        );
    }

    /// Nothing is left mounted or unpacked.
    fn all_gone(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let left: Vec<_> = fs::read_dir(self.path("tmp")).unwrap().flatten().collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left: {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn project(dir: &Path) {
    fs::create_dir_all(dir.join("renderer")).unwrap();
    fs::create_dir_all(dir.join("build")).unwrap();
    let upgrade = "pear://jsiptcskaguqzunuxewmmyrb6b7kd8agxtqbqcxkt8h6e8twoyqy";
    let package = format!(
        r#"{{"name":"my-app","productName":"MyApp","version":"1.0.0","license":"Apache-2.0","upgrade":"{upgrade}"}}"#
    );
    fs::write(dir.join("package.json"), package).unwrap();
    fs::write(dir.join("renderer/index.html"), "the page\n").unwrap();
    // Larger than a block, and not all alike.
    let big: Vec<u8> = (0..400_000_u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    fs::write(dir.join("renderer/big"), big).unwrap();
    let icon = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template-app/build/icon.png");
    fs::copy(icon, dir.join("build/icon.png")).unwrap();
}

fn make(app: &Path, program: &Path, out: &Path) -> PathBuf {
    let plan = Plan::new(Request {
        dir: app.to_owned(),
        host: Host::current(),
        program: Program::Built(program.to_owned()),
        out: Some(out.to_owned()),
        formats: vec![Format::AppImage],
    })
    .unwrap();
    let made = plan.run(&mut |_| {}).unwrap();
    assert_eq!(made[0].bytes, fs::metadata(&made[0].path).unwrap().len());
    settle(&made[0].path);
    made[0].path.clone()
}

/// Waits until a file that was written here can be started: the system refuses that while somebody may write to it, and so may what
/// another test is about to start, between its fork and its exec.
fn settle(program: &Path) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let started = Command::new(program).arg("--appimage-offset").output();
        match started {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            started => return drop(started.unwrap()),
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether this machine mounts AppImages at all, by a mount of ours.
fn fuse(home: &Home) -> bool {
    let mut child = home
        .command(&["--appimage-mount"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let _ = child.kill();
    let _ = child.wait();
    if line.is_empty() {
        println!("SKIPPED a mounted AppImage: this machine has no FUSE");
    }
    home.all_gone();
    !line.is_empty()
}

/// The arguments of a start that waits: unpacked, and mounted where that can be.
fn ways(home: &Home) -> Vec<&'static [&'static str]> {
    let mut ways = vec![&["--appimage-extract-and-run", "wait"][..]];
    if fuse(home) {
        ways.push(&["wait"]);
    }
    ways
}

#[test]
fn the_same_app_gives_the_same_bytes() {
    let home = Home::new();
    let before = fs::read(&home.image).unwrap();
    // Another folder, other times, made in another order.
    let other = home.path("other");
    project(&other);
    fs::write(home.path("program"), PROGRAM).unwrap();
    let again = make(&other, &home.path("program"), &home.path("out2"));
    assert!(fs::read(&again).unwrap() == before, "two makes differ");
    assert_eq!(fs::metadata(&again).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn it_starts_its_program_with_what_appimages_tell_theirs() {
    let home = Home::new();
    let mounted = fuse(&home);
    for (how, extracted) in [
        (&["a", "b c"][..], false),
        (&["--appimage-extract-and-run", "a", "b c"], true),
    ] {
        if !extracted && !mounted {
            continue;
        }
        let output = home.command(how).env("CODE", "7").output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        let image = home.image.canonicalize().unwrap();
        let starts = format!("image={} dir={}/", image.display(), home.path("tmp").display());
        assert!(said.starts_with(&starts), "{said}");
        let named = if extracted {
            "/appimage_extracted_bosc_"
        } else {
            "/.mount_bosc_MyApp"
        };
        assert!(said.contains(named), "{said}");
        let ends = format!(
            "owd={} name=MyApp args=a b c\nthe page\n",
            home.dir.path().display()
        );
        assert!(
            said.contains(&format!("arg0={}", home.image.display())) && said.ends_with(&ends),
            "{said}"
        );
        home.all_gone();
    }
    let output = home
        .command(&["x"])
        .env("APPIMAGE_EXTRACT_AND_RUN", "1")
        .output()
        .unwrap();
    assert!(text(&output).contains("/appimage_extracted_bosc_"), "{output:?}");
    home.all_gone();
}

#[test]
fn without_fuse_it_unpacks_itself() {
    let home = Home::new();
    // In a mount namespace of its own, in which there is no device for FUSE.
    let script = "mount --bind /dev/null /dev/fuse && exec \"$0\" alone";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&home.image)
        .env("TMPDIR", home.path("tmp"))
        .output()
        .unwrap();
    if !output.status.success() && text(&output).is_empty() {
        println!("SKIPPED without_fuse_it_unpacks_itself: only root can hide /dev/fuse");
        return;
    }
    assert!(text(&output).contains("/appimage_extracted_bosc_"), "{output:?}");
    home.all_gone();
}

#[test]
fn it_goes_on_when_another_file_takes_its_name_and_leaves_nothing() {
    let home = Home::new();
    for args in ways(&home) {
        let (mut child, mut said, _) = home.wait(args);
        let other = home.path("other");
        fs::write(&other, "#!/bin/sh\nexit 9\n").unwrap();
        fs::copy(&home.image, home.path("kept")).unwrap();
        fs::rename(&other, &home.image).unwrap();
        drop(child.stdin.take());
        let mut rest = String::new();
        while said.read_line(&mut rest).unwrap() > 0 {}
        assert!(rest.contains("read") && rest.ends_with("the page\n"), "{rest}");
        assert!(child.wait().unwrap().success());
        home.all_gone();
        fs::rename(home.path("kept"), &home.image).unwrap();
        settle(&home.image);
    }
}

#[test]
fn a_signal_is_the_programs_and_nothing_is_left_then_either() {
    let home = Home::new();
    for args in ways(&home) {
        let (mut child, ..) = home.wait(args);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        home.all_gone();
    }
}

#[test]
fn what_a_power_cut_left_goes_with_the_next_start() {
    let home = Home::new();
    for args in ways(&home) {
        let (mut child, ..) = home.wait(args);
        // The helper first, which would tidy up.
        home.kill_all();
        let _ = child.wait().unwrap();
        assert_eq!(fs::read_dir(home.path("tmp")).unwrap().count(), 1);
        // A folder of another AppImage is none of ours.
        let other = home.path("tmp/appimage_extracted_0123456789abcdef");
        fs::create_dir(&other).unwrap();
        assert_eq!(home.run(&["--appimage-extract-and-run"]).status.code(), Some(0));
        fs::remove_dir(&other).unwrap();
        home.all_gone();
    }
}

#[test]
fn an_app_killed_while_its_helper_starts_leaves_nothing() {
    let home = Home::new();
    let clean = |folder: &Path| {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        // No process has this number.
        home.run(&[
            "--appimage-internal-clean",
            folder.to_str().unwrap(),
            "2147483647",
        ])
    };
    let ours = home.path("tmp/appimage_extracted_bosc_x");
    clean(&ours);
    assert!(!ours.exists());
    let other = home.path("tmp/other");
    assert_eq!(clean(&other).status.code(), Some(127));
    assert!(other.join("file").is_file());
}

#[test]
fn it_can_be_unpacked_mounted_and_asked() {
    let home = Home::new();
    let listed = text(&home.run(&["--appimage-extract"]));
    for line in [
        "squashfs-root/AppRun\n",
        "squashfs-root/my-app.desktop\n",
        "squashfs-root/.DirIcon\n",
    ] {
        assert!(listed.contains(line), "{listed}");
    }
    let root = home.path("squashfs-root");
    let same = |path: &str| {
        fs::read(root.join("resources/app").join(path)).unwrap()
            == fs::read(home.path("app").join(path)).unwrap()
    };
    assert!(same("package.json") && same("renderer/big") && same("build/icon.png"));
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("MyApp"), mode("my-app.desktop")), (0o755, 0o644));
    assert_eq!(fs::read_link(root.join("AppRun")).unwrap(), Path::new("MyApp"));
    assert!(
        root.join("usr/share/icons/hicolor/256x256/apps/my-app.png")
            .is_file()
    );
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(
        text(&home.run(&["--appimage-extract", "resources/*/renderer/*.html"])),
        "squashfs-root/resources/app/renderer/index.html\n"
    );
    assert!(!root.join("AppRun").exists());

    let offset: usize = text(&home.run(&["--appimage-offset"])).trim().parse().unwrap();
    let bytes = fs::read(&home.image).unwrap();
    assert_eq!(
        (&bytes[offset..offset + 4], &bytes[8..11]),
        (&b"hsqs"[..], &b"AI\x02"[..])
    );
    assert!(text(&home.run(&["--appimage-version"])).starts_with("bosc-appimage-runtime 0."));
    assert!(text(&home.run(&["--appimage-help"])).contains("--appimage-extract-and-run"));
    let unknown = home.run(&["--appimage-nonsense"]);
    assert_eq!(unknown.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--appimage-nonsense is not known"));
}

#[test]
fn other_tools_read_it() {
    let home = Home::new();
    let offset = text(&home.run(&["--appimage-offset"]));
    let unsquashfs = |args: &[&str]| {
        Command::new("unsquashfs")
            .args(["-offset", offset.trim()])
            .args(args)
            .arg(&home.image)
            .output()
    };
    let Ok(listed) = unsquashfs(&["-l"]) else {
        println!("SKIPPED other_tools_read_it: squashfs-tools are missing");
        return;
    };
    assert!(listed.status.success(), "{listed:?}");
    assert!(text(&listed).contains("squashfs-root/resources/app/package.json"));
    let cat = Command::new("unsquashfs")
        .args(["-offset", offset.trim(), "-cat"])
        .arg(&home.image)
        .arg("resources/app/renderer/big")
        .output()
        .unwrap();
    assert!(
        cat.stdout == fs::read(home.path("app/renderer/big")).unwrap(),
        "{:?}",
        cat.status
    );
}

#[test]
fn a_spoilt_one_says_so() {
    let home = Home::new();
    let bytes = fs::read(&home.image).unwrap();
    let offset: usize = text(&home.run(&["--appimage-offset"])).trim().parse().unwrap();
    let spoil: [(&str, Vec<u8>); 3] = [
        ("shorter", bytes[..bytes.len() / 2 + offset / 2].to_vec()),
        ("no squashfs", bytes[..offset].to_vec()),
        (
            "zeroes",
            [&bytes[..offset + 96], &vec![0; bytes.len() - offset - 96]].concat(),
        ),
    ];
    for (name, spoilt) in spoil {
        fs::write(&home.image, spoilt).unwrap();
        settle(&home.image);
        let output = home.run(&["--appimage-extract-and-run"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(127), "{name}: {output:?}");
        assert!(error.contains("get it anew"), "{name}: {error}");
        home.all_gone();
    }
}
