//! The bridge between the page and the host: `window.bridge` on one side, typed messages on the other.
//!
//! `docs/bridge.md` has every call, event, payload and error code as a page meets them, `bridge.d.ts` ([`TYPES`]) their types.

pub mod commands;
pub mod dispatch;
#[cfg(test)]
mod documented;
pub mod message;

pub use commands::{CommandError, Commands};
pub use dispatch::{Bridge, HostActions, Page};
pub use message::{Call, Envelope, Rejected, ToPage};
use serde_json::json;

/// The types of `window.bridge`, for editors and TypeScript.
pub const TYPES: &str = include_str!("bridge.d.ts");

/// The script that defines `window.bridge`, with this window's token, origin and package in it.
pub fn script(token: &str, origin: &str, package: &serde_json::Value) -> String {
    let config = json!({
        "token": token,
        "origin": origin,
        "pkg": package.to_string(),
        "maxMessage": message::MAX_MESSAGE_BYTES / 3,
    });
    include_str!("bridge.js").replace("{config}", &config.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_script_carries_its_configuration_as_json_text() {
        let package = serde_json::json!({ "name": "a\"b</script>", "version": "1.0.0" });
        let script = super::script("secret", "app://localhost", &package);
        assert!(script.contains(r#""token":"secret""#));
        assert!(script.contains(r#"\"name\":\"a\\\"b</script>\""#), "{script}");
        assert!(!script.contains("{config}"));
    }
}
