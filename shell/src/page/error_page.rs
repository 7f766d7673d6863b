//! The page shown instead of a blank window: what went wrong, and what to do.

/// A self-contained HTML page. `title` and `detail` are plain text and are escaped; `advice` says what to do next.
pub fn render(title: &str, detail: &str, advice: &str) -> String {
    include_str!("error_page.html")
        .replace("{title}", &escape(title))
        .replace("{advice}", &escape(advice))
        .replace("{detail}", &escape(detail))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '{' => out.push_str("&#123;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup_or_another_placeholder() {
        let page = render("<b>&\"'", "{advice}<script>", "do {detail}");
        assert!(page.contains("&lt;b&gt;&amp;&quot;&#39;"));
        assert!(!page.contains("<script>"));
        assert!(page.contains("&#123;advice}&lt;script&gt;"));
        assert!(page.contains("do &#123;detail}"));
    }
}
