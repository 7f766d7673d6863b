//! The password of a signing key: asked for without an echo, or read from a file descriptor. Wiped from memory after use.

use std::io::Read;

use anyhow::{Context, bail};
use zeroize::Zeroizing;

/// A password as it was typed, without the line break.
pub(crate) type Password = Zeroizing<Vec<u8>>;

/// No line of text is longer than this.
const LIMIT: u64 = 4096;

/// The password of an existing key.
pub(crate) fn read(prompt: &str, descriptor: Option<u32>) -> anyhow::Result<Password> {
    let password = match descriptor {
        Some(descriptor) => from_descriptor(descriptor)?,
        None => ask(prompt)?,
    };
    if password.is_empty() {
        bail!("password required");
    }
    Ok(password)
}

/// The password of a new key; who types it types it twice.
pub(crate) fn choose(prompt: &str, descriptor: Option<u32>) -> anyhow::Result<Password> {
    let password = read(prompt, descriptor)?;
    if descriptor.is_none() && ask("Confirm password: ")? != password {
        bail!("Passwords do not match: nothing was written, run it again");
    }
    Ok(password)
}

fn ask(prompt: &str) -> anyhow::Result<Password> {
    // The prompt itself comes before the echo is off: what is typed in between must not show either.
    let _quiet = Quiet::new();
    let typed = rpassword::prompt_password(prompt)
        .context("cannot ask for the password, there is no terminal: use --password-fd")?;
    Ok(Zeroizing::new(typed.into_bytes()))
}

fn from_descriptor(descriptor: u32) -> anyhow::Result<Password> {
    let mut password = Zeroizing::new(Vec::with_capacity(LIMIT as usize));
    let path = format!("/dev/fd/{descriptor}");
    // Not through the buffer of stdin, which nobody wipes.
    let opened = if cfg!(unix) {
        std::fs::File::open(path).ok()
    } else {
        None
    };
    let read = match opened {
        Some(file) => file.take(LIMIT).read_to_end(&mut password),
        None if descriptor == 0 => std::io::stdin().lock().take(LIMIT).read_to_end(&mut password),
        None if cfg!(unix) => bail!("file descriptor {descriptor} is not open: --password-fd 3 3<FILE"),
        None => bail!("only --password-fd 0, which is stdin, works on this system"),
    };
    read.with_context(|| format!("cannot read the password from file descriptor {descriptor}"))?;
    while password.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        password.pop();
    }
    Ok(password)
}

/// While it lives the terminal does not echo.
#[cfg(unix)]
struct Quiet {
    terminal: std::fs::File,
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Quiet {
    /// Drops what was typed ahead, too. `None` if there is no terminal.
    fn new() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let terminal = std::fs::File::open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent).ok()?;
        Some(Self { terminal, before })
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that went away needs nothing restored.
        let _ = rustix::termios::tcsetattr(
            &self.terminal,
            rustix::termios::OptionalActions::Now,
            &self.before,
        );
    }
}

/// Elsewhere the prompt alone takes care of it.
#[cfg(not(unix))]
struct Quiet;

#[cfg(not(unix))]
impl Quiet {
    fn new() -> Option<Self> {
        None
    }
}
