//! The helper that serves the AppImage's files to the system, and unmounts them.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fuser::{Config, MountOption, Session};
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

/// `args`: where to mount, for how long, and the AppImage's name.
pub(crate) fn run(args: &[OsString]) -> Result<(), String> {
    helper::begin();
    let [folder, how, name] = args else {
        return Err("this option is the AppImage's own".to_owned());
    };
    let folder = Path::new(folder);
    if let Err(error) = serve(folder, how == WHILE_HELD, &name.to_string_lossy()) {
        helper::cannot(&error);
    }
    Ok(())
}

fn serve(folder: &Path, while_held: bool, name: &str) -> Result<(), String> {
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
    if while_held {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        unmount(folder, true);
    } else {
        let mut patience = FIRST;
        while uses.wait_for_none(patience) && !unmount(folder, false) {
            patience = AGAIN;
            std::thread::sleep(AGAIN);
        }
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
