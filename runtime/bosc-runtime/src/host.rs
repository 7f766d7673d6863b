//! The platform's name as deployment folders spell it: Node's words, `<platform>-<arch>`.

/// This machine's platform: `linux`, `darwin` or `win32`; other systems by Rust's name.
pub fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
}

/// This machine's processor: `x64` or `arm64`; others by Rust's name.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// This machine as `<platform>-<arch>`.
pub fn current() -> String {
    format!("{}-{}", platform(), arch())
}
