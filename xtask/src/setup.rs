//! What the machine needs besides Rust: the web view's headers, a driver and a display for its window, fonts, network tools, and what reads packages.

use std::process::Command;

use anyhow::{Result, bail};

use crate::steps::{has_program, run};

/// A Debian package, and how to see that it is not needed any more.
pub(crate) struct Need {
    pub(crate) package: &'static str,
    pub(crate) there: fn() -> bool,
}

const NEEDS: [Need; 12] = [
    Need {
        package: "build-essential",
        there: || has_program("cc") && has_program("c++"),
    },
    Need {
        package: "pkg-config",
        there: || has_program("pkg-config"),
    },
    Need {
        package: "libwebkit2gtk-4.1-dev",
        there: || has_library("webkit2gtk-4.1"),
    },
    Need {
        package: "webkit2gtk-driver",
        there: || has_program("WebKitWebDriver"),
    },
    Need {
        package: "xvfb",
        there: || has_program("Xvfb"),
    },
    Need {
        package: "x11-utils",
        there: || has_program("xprop"),
    },
    Need {
        package: "xauth",
        there: || has_program("xauth"),
    },
    Need {
        package: "iproute2",
        there: || has_program("ip"),
    },
    Need {
        package: "nftables",
        // Not on everybody's path: only root may use it.
        there: || has_program("nft") || std::path::Path::new("/usr/sbin/nft").is_file(),
    },
    Need {
        package: "squashfs-tools",
        there: || has_program("unsquashfs"),
    },
    Need {
        package: "desktop-file-utils",
        there: || has_program("desktop-file-validate"),
    },
    Need {
        package: "fonts-dejavu-core",
        there: || std::path::Path::new("/usr/share/fonts/truetype/dejavu").is_dir(),
    },
];

fn has_library(name: &str) -> bool {
    Command::new("pkg-config")
        .args(["--exists", name])
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs what is missing, where it may; else says the line to type.
pub(crate) fn run_if_needed() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    install(&NEEDS)
}

/// Installs those of `needs` that are missing, where it may; else says the line to type.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !(need.there)())
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install -y {}",
        missing.join(" ")
    );
    if !has_program("apt-get") {
        bail!(
            "this machine lacks what Debian calls {}: install them with its package manager",
            missing.join(", ")
        );
    }
    let Some(prefix) = may_install() else {
        bail!("this machine lacks some packages; type:\n  {by_hand}")
    };
    println!("installing {} ...", missing.join(" "));
    let apt = |args: &[&str]| {
        let mut words = prefix.iter().copied().chain([
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-qq",
            "-o",
            "Dpkg::Use-Pty=0",
        ]);
        let mut command = Command::new(words.next().unwrap_or("env"));
        command.args(words).args(args).stdout(std::process::Stdio::null());
        command
    };
    let installed = run(&mut apt(&["update"]))
        .and_then(|()| run(apt(&["install", "-y", "--no-install-recommends"]).args(&missing)));
    if let Err(error) = installed {
        bail!("{error:#}\nThe packages could not be installed; type:\n  {by_hand}");
    }
    match needs.iter().find(|need| !(need.there)()) {
        None => Ok(()),
        Some(need) => bail!(
            "{} was installed, and what it brings is still not found",
            need.package
        ),
    }
}

/// What to put in front of apt-get: nothing for root, sudo if it asks for no password, `None` if we may not.
fn may_install() -> Option<Vec<&'static str>> {
    let quiet = |command: &mut Command| command.output().ok().filter(|output| output.status.success());
    let id = quiet(Command::new("id").arg("-u"))?;
    if String::from_utf8_lossy(&id.stdout).trim() == "0" {
        return Some(Vec::new());
    }
    quiet(Command::new("sudo").args(["-n", "true"])).map(|_| vec!["sudo", "-n"])
}

/// `cargo xtask setup`.
pub(crate) fn run_task() -> Result<()> {
    run_if_needed()?;
    println!("this machine has all it needs");
    Ok(())
}
