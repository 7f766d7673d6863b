//! Media types by file extension, for the kinds of file that pages load.
//!
//! Not `mime_guess`: its table has no charsets, without which a page's text is read wrong.

/// What is sent for an unknown extension: the web view downloads it and never runs it.
pub const UNKNOWN: &str = "application/octet-stream";

/// The media type of `path` by its extension, case-insensitively, with the charset where text needs one.
pub fn of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((_, extension)) = name.rsplit_once('.') else {
        return UNKNOWN;
    };
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "txt" | "md" | "log" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "xml" => "application/xml; charset=utf-8",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "apng" => "image/apng",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "jxl" => "image/jxl",
        "ico" => "image/x-icon",
        "bmp" => "image/bmp",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "ogv" => "video/ogg",
        "mov" => "video/quicktime",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_extensions() {
        for (path, expected) in [
            ("renderer/index.html", "text/html; charset=utf-8"),
            ("a/b.MJS", "text/javascript; charset=utf-8"),
            ("style.min.css", "text/css; charset=utf-8"),
            ("x.wasm", "application/wasm"),
            ("icon.svg", "image/svg+xml"),
            ("font.woff2", "font/woff2"),
            ("song.mp3", "audio/mpeg"),
            ("LICENSE", UNKNOWN),
            ("dir.html/file", UNKNOWN),
            ("trailing.", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(of(path), expected, "{path}");
        }
    }
}
