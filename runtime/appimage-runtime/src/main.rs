//! The program at the head of an AppImage. Behind it lies a squashfs with the app; this makes its files reachable (through FUSE, or
//! unpacked where there is none) and starts the `AppRun` in it in its own place, so that signals and the exit code are the app's own.
//!
//! What must outlive that start (who serves the files, who deletes the unpacked ones) runs in a helper, which is this program again.
//! The file itself is always read through `/proc/self/exe`: another version may take its name while it runs.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[cfg(target_os = "linux")]
mod cleaner;
#[cfg(target_os = "linux")]
mod extract;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod helper;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod mount;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod own;
#[cfg(target_os = "linux")]
mod sections;
#[cfg(target_os = "linux")]
mod serve;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    options::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("AppImages run on Linux alone");
    std::process::ExitCode::FAILURE
}
