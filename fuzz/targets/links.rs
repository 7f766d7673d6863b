//! Links and the note of an update: a link that is read is written again to the same, and a note never keeps an app from starting.

#![no_main]

use app::Link;
use bosc_runtime::bundle::Note;
use hypercore::Key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = serde_json::from_slice::<Note>(bytes) {
        let again = serde_json::to_vec(&note).expect("plain data");
        assert_eq!(serde_json::from_slice::<Note>(&again).ok(), Some(note));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(link) = text.parse::<Link>() {
        assert_eq!(link.is_versioned(), link.version("it").is_ok());
        assert!(link.path.is_empty() || link.path.starts_with(['/', '?', '#']));
        assert_eq!(link.to_string().parse(), Ok(link));
    }
});
