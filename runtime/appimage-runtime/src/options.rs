//! What the AppImage itself is asked to do, by its first argument. All other arguments are the app's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use appimage::Image;
use glob::Pattern;

use crate::{cleaner, extract, helper, launch, mount, serve};

/// What begins every such argument.
const PREFIX: &str = "--appimage-";

/// Asks for the app to be unpacked rather than mounted: as an argument, and in the environment.
const EXTRACT_AND_RUN: &str = "--appimage-extract-and-run";
const EXTRACT_AND_RUN_ENV: &str = "APPIMAGE_EXTRACT_AND_RUN";

/// Where `--appimage-extract` unpacks to, in the current folder: the name that every AppImage uses.
const EXTRACTED: &str = "squashfs-root";

/// What a shell returns for a program that cannot be started.
const CANNOT_START: u8 = 127;

const HELP: &str = "\
An AppImage: one file that is an app. Started without one of these options, it starts the app.

  --appimage-extract [PATTERN]  Unpack it, or the files whose paths match, into ./squashfs-root
  --appimage-extract-and-run    Start the app from files unpacked for this once, without FUSE
                                (also with APPIMAGE_EXTRACT_AND_RUN=1)
  --appimage-mount              Mount it, print where, and unmount it when this program is ended
  --appimage-offset             Print where in this file its squashfs begins
  --appimage-version            Print the version of what starts the app
  --appimage-help               Print this
";

/// This very file, whatever has its name now.
pub(crate) const SELF: &str = "/proc/self/exe";

/// Does what this process was started for.
pub(crate) fn run() -> ExitCode {
    let mut args = std::env::args_os();
    let arg0 = args.next().unwrap_or_default();
    let mut args: Vec<OsString> = args.collect();
    let option = args.first().and_then(|first| first.to_str()).unwrap_or_default();
    let unpacked = std::env::var_os(EXTRACT_AND_RUN_ENV).is_some_and(|value| !value.is_empty());
    let done = match option {
        EXTRACT_AND_RUN => {
            args.remove(0);
            start(arg0, args, true)
        }
        "--appimage-extract" => unpack(args.get(1)),
        "--appimage-mount" => mount_only(),
        "--appimage-offset" => open().map(|image| println!("{}", image.start())),
        "--appimage-version" => {
            println!("bosc-appimage-runtime {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        "--appimage-help" => {
            print!("{HELP}");
            Ok(())
        }
        helper::BEGIN => helper::detach(args.get(1..).unwrap_or_default()).map_err(|error| error.to_string()),
        helper::SERVE => serve::run(args.get(1..).unwrap_or_default()),
        helper::CLEAN => cleaner::run(args.get(1..).unwrap_or_default()),
        other if other.starts_with(PREFIX) => {
            Err(format!("{other} is not known; see --appimage-help for what is"))
        }
        _ => start(arg0, args, unpacked),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let name = file();
            eprintln!(
                "{}: {why}",
                name.file_name().unwrap_or(name.as_os_str()).display()
            );
            ExitCode::from(CANNOT_START)
        }
    }
}

/// The AppImage, by its name at the time of this call.
pub(crate) fn file() -> PathBuf {
    std::fs::read_link(SELF).unwrap_or_else(|_| SELF.into())
}

/// Opens what this file holds.
pub(crate) fn open() -> Result<Image, String> {
    Image::open(Path::new(SELF)).map_err(|error| format!("the file cannot be used ({error}); get it anew"))
}

/// Starts the app. Returns only if that failed.
fn start(arg0: OsString, args: Vec<OsString>, unpacked: bool) -> Result<(), String> {
    // Before anything is mounted or written: a file that was spoilt says so.
    let image = open()?;
    let app = launch::App { arg0, args };
    if !unpacked && let Ok(folder) = mount::for_app() {
        return Err(app.replace_this(&folder));
    }
    let folder = extract::for_app(&image)?;
    Err(app.replace_this(&folder))
}

fn unpack(pattern: Option<&OsString>) -> Result<(), String> {
    let pattern = match pattern {
        None => None,
        Some(pattern) => {
            let text = pattern.to_str().ok_or("the pattern is no text")?;
            let text = text.trim_start_matches('/');
            Some(Pattern::new(text).map_err(|error| format!("the pattern {text} cannot be used: {error}"))?)
        }
    };
    let to = Path::new(EXTRACTED);
    std::fs::create_dir_all(to)
        .map_err(|error| format!("cannot make {EXTRACTED} in the current folder: {error}"))?;
    extract::all(&open()?, to, pattern.as_ref(), |path| {
        println!("{}", to.join(path).display());
    })
}

/// Mounts it until this process ends.
fn mount_only() -> Result<(), String> {
    open()?;
    let (folder, _held) = mount::while_held().map_err(|error| format!("it cannot be mounted: {error}"))?;
    println!("{}", folder.display());
    loop {
        std::thread::park();
    }
}
