//! The helper that deletes an unpacked app once nothing runs from it any more.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::{helper, own};

/// How often it is looked again while the app has not begun, or others still run from the folder.
const OFTEN: Duration = Duration::from_millis(250);

/// How often while the app runs: it is told when that ends, and this is for systems that do not tell.
const SELDOM: Duration = Duration::from_secs(60);

/// `args`: the folder, and the process that becomes the app.
pub(crate) fn run(args: &[OsString]) -> Result<(), String> {
    helper::begin();
    let [folder, id] = args else {
        return Err("this option is the AppImage's own".to_owned());
    };
    let folder = Path::new(folder);
    if !own::is_unpacked(folder) {
        return Err(format!("{} is no folder of an unpacked app", folder.display()));
    }
    let app = match helper::process(id) {
        Ok(app) => app,
        Err(error) => {
            // It may have been killed, and would not hear of this.
            let _ = fs::remove_dir_all(folder);
            helper::cannot(&error);
            return Ok(());
        }
    };
    let _held = match own::hold(folder) {
        Ok(held) => held,
        Err(error) => {
            helper::cannot(&error);
            return Ok(());
        }
    };
    helper::ready().map_err(|error| error.to_string())?;
    own::sweep();
    let program = Path::new("/proc").join(id).join("exe");
    let mut begun = false;
    let mut gone = false;
    loop {
        let running = (!gone).then(|| fs::read_link(&program).ok()).flatten();
        let from_here = running.filter(|program| program.starts_with(folder));
        begun |= from_here.is_some();
        // A process of the same number may restart itself as another version, and then has left this folder.
        if from_here.is_none() && (begun || gone) && !used(folder) {
            break;
        }
        let told = from_here.and_then(|program| watch(&program).ok());
        let mut waits = Vec::new();
        if !gone {
            waits.push(PollFd::new(&app, PollFlags::IN));
        }
        if let Some(told) = &told {
            waits.push(PollFd::new(told, PollFlags::IN));
        }
        let patience = if told.is_some() { SELDOM } else { OFTEN };
        let _ = poll(&mut waits, Timespec::try_from(patience).ok().as_ref());
        gone |= waits
            .first()
            .is_some_and(|app| !gone && !app.revents().is_empty());
    }
    let _ = fs::remove_dir_all(folder);
    Ok(())
}

/// Tells when the program's file is closed, as it is when it ends or becomes another.
fn watch(program: &Path) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let told = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&told, program, WatchFlags::CLOSE_NOWRITE)?;
    Ok(told)
}

/// Whether a process runs a program from the folder.
pub(crate) fn used(folder: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read_link(process.path().join("exe")).ok())
        .any(|program| program.starts_with(folder))
}
