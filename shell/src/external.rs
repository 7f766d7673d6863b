//! Opening links to other places in the system's browser or mail program.

/// Checks a link that a person clicked: absolute, and of a kind that opens a browser or a mail program.
pub fn checked(link: &str) -> Option<url::Url> {
    let url = url::Url::parse(link).ok()?;
    let fine = match url.scheme() {
        "https" | "http" => url.has_host() && url.username().is_empty() && url.password().is_none(),
        // Some mail programs would attach a file of this machine.
        "mailto" => !url.query_pairs().any(|(name, _)| {
            ["attach", "attachment"]
                .iter()
                .any(|bad| name.eq_ignore_ascii_case(bad))
        }),
        _ => false,
    };
    fine.then_some(url)
}

/// Opens `link` if it is [`checked`]; otherwise says so in the log.
pub fn open(link: &str) {
    let Some(url) = checked(link) else {
        tracing::warn!(link = %link.chars().take(200).collect::<String>(), "this link is not opened");
        return;
    };
    // It waits a moment to see whether the launcher fails, and tries the next one then.
    std::thread::spawn(move || {
        if let Err(error) = open::that_detached(url.as_str()) {
            tracing::error!(%error, "the link cannot be opened");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn only_web_and_mail_links() {
        for link in [
            "https://example.com/a?b#c",
            "http://localhost:3000/",
            "mailto:a@example.com",
        ] {
            assert!(checked(link).is_some(), "{link}");
        }
        for link in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "app://localhost/x",
            "https://user:pass@example.com/",
            "--help",
            "smb://host/x",
            "mailto:a@example.com?subject=x&Attach=/etc/passwd",
            "mailto:a@example.com?attachment=/etc/passwd",
            "",
        ] {
            assert!(checked(link).is_none(), "{link}");
        }
    }
}
