//! The helper that serves the AppImage's files to the system, and unmounts them.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fuser::{Config, MountOption, Session};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::UnmountFlags;

use crate::files::Files;
use crate::mount::WHILE_HELD;
use crate::{helper, options, own};

/// How long an app may take to open its first file.
const FIRST: Duration = Duration::from_secs(30);

/// How long nothing may be open before the app counts as ended: a script may be about to start the next program.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// How long until it is tried again to unmount what somebody still stands in.
const AGAIN: Duration = Duration::from_secs(2);

/// `args`: where to mount, for how long, the AppImage's name, and the process that becomes the app.
pub(crate) fn run(args: &[OsString]) -> Result<(), String> {
    helper::begin();
    let [folder, how, name, id] = args else {
        return Err("this option is the AppImage's own".to_owned());
    };
    let folder = Path::new(folder);
    let app = (how != WHILE_HELD).then(|| helper::process(id));
    if let Err(error) = app
        .transpose()
        .and_then(|app| serve(folder, app, &name.to_string_lossy()))
    {
        // Whoever made it may have been killed, and would not hear of this.
        let _ = std::fs::remove_dir(folder);
        helper::cannot(&error);
    }
    Ok(())
}

/// Without an app the files are served while standard input is open.
fn serve(folder: &Path, app: Option<OwnedFd>, name: &str) -> Result<(), String> {
    let files = Files::new(options::open()?);
    let uses = files.uses();
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        // A comma would end the name in the list of mounts.
        MountOption::FSName(name.replace(',', "_")),
        MountOption::Subtype("appimage".to_owned()),
    ];
    let session = Session::new(files, folder, &config).map_err(|error| error.to_string())?;
    helper::ready().map_err(|error| error.to_string())?;
    let served = std::thread::spawn({
        let uses = uses.clone();
        move || {
            let _ = session.run();
            uses.end();
        }
    });
    own::sweep();
    if let Some(app) = app {
        std::thread::spawn({
            let uses = uses.clone();
            move || {
                // Killed on the way, it would be waited for as one that takes long to begin.
                let _ = poll(&mut [PollFd::new(&app, PollFlags::IN)], None);
                uses.nobody_begins();
            }
        });
        let mut patience = FIRST;
        while uses.wait_for_none(patience) && !unmount(folder, false) {
            patience = AGAIN;
            std::thread::sleep(AGAIN);
        }
    } else {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        unmount(folder, true);
    }
    let _ = served.join();
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

/// Unmounts the folder, unless somebody is in it; `always` for as soon as nobody is.
pub(crate) fn unmount(folder: &Path, always: bool) -> bool {
    let flags = if always {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    // Only root may do it without help.
    if rustix::mount::unmount(folder, flags).is_ok() {
        return true;
    }
    ["fusermount3", "fusermount"].iter().any(|program| {
        let mut command = Command::new(program);
        command.arg("-u");
        if always {
            command.arg("-z");
        }
        let quiet = || Stdio::null();
        command
            .arg("--")
            .arg(folder)
            .stdin(quiet())
            .stdout(quiet())
            .stderr(quiet());
        command.status().is_ok_and(|status| status.success())
    })
}
