//! What a page can send: messages of the bridge, and the addresses it loads. No message passes without the window's token, and no
//! address leads out of the app.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The shell wants a web view, so its files are taken in as they are.
#[allow(dead_code)]
#[path = "../../shell/src/bridge/message.rs"]
mod message;
#[allow(dead_code)]
#[path = "../../shell/src/page/path.rs"]
mod path;

const ORIGIN: &str = "app://bundle";
const TOKEN: &str = "secret";

fuzz_target!(|text: &str| {
    if let Ok(envelope) = message::accept(text, "app://bundle/index.html", ORIGIN, TOKEN) {
        assert_eq!(envelope.token, TOKEN);
        assert!(envelope.page.len() <= 64);
        assert!(message::accept(text, "app://bundle/", ORIGIN, "another").is_err());
        assert!(message::accept(text, "app://bundle.example/", ORIGIN, TOKEN).is_err());
    }
    // The address of the frame is the page's to choose.
    if message::accept(
        r#"{"token":"secret","page":"p","call":{"kind":"painted"}}"#,
        text,
        ORIGIN,
        TOKEN,
    )
    .is_ok()
    {
        assert!(
            text == ORIGIN
                || text.starts_with("app://bundle/")
                || text.starts_with("app://bundle?")
                || text.starts_with("app://bundle#")
        );
    }
    if let Some(inside) = path::drive_path(text) {
        assert!(!inside.starts_with('/') && !inside.ends_with('/'));
        assert!(
            inside
                .split('/')
                .all(|name| !name.is_empty() && name != "." && name != "..")
        );
        assert!(!inside.contains(['\\', ':', '\0']));
        let again = path::url_path(&inside);
        // Escapes make it longer, and perhaps too long to be served.
        if again.len() <= 4096 {
            assert_eq!(path::drive_path(&again), Some(inside));
        }
    }
});
